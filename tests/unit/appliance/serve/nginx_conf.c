#include "appliance/serve/nginx_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/nginx.h"
#include "appliance/serve/reactor.h"
#include "appliance/serve/tls.h"
#include "tests/fakes/enclave.h"
#include "tests/fakes/scratch.h"

static int
no_handler(struct http_call *call, void *state)
{
	(void)call;
	(void)state;
	return 0;
}

static const struct route small = { "POST", "/v1/small", ROUTE_OPEN, 1024, no_handler, 0 };
static const struct route large = { "POST", "/v1/metrics", ROUTE_OPEN, 64 * 1024 * 1024, no_handler, 0 };
static const struct route local = { "GET", "/metrics", ROUTE_OPEN, 0, no_handler, ROUTE_LOCAL };
static const struct route *const routes[] = { &small, &large, &local };

/* nginx -t binds what it is told to listen on: a port that nobody uses and that any user may. */
static const char *
free_address(void)
{
	static char text[32];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)close(fd);
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(a.sin_port));
	return text;
}

static struct nginx_config
config_of(const struct scratch *s, char *dir, size_t size)
{
	(void)snprintf(dir, size, "%s/nginx", s->path);
	return (struct nginx_config){ .dir = dir, .state = s->path, .socket = "/tmp/none.sock",
		.listen = free_address(), .repo = "/tmp/repo", .routes = routes, .n_routes = 3 };
}

static void
test_nginx_takes_what_is_written(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 18);
	struct nginx_config c;
	struct scratch s;
	char dir[128];

	(void)state;
	scratch_make(&s);
	c = config_of(&s, dir, sizeof(dir));
	assert_int_equal(tls_ensure(s.fd, "hub", "127.0.0.1"), 0);
	assert_int_equal(nginx_install(&c), 0);
	assert_int_equal(nginx_conf_write(&out, &c), 0);
	assert_null(strstr(buf_text(&out), "/v1/small"));
	assert_non_null(strstr(buf_text(&out), "location = /v1/metrics {\n\tclient_max_body_size 67174400;"));
	assert_non_null(strstr(buf_text(&out), "location = /metrics {\n\tallow 127.0.0.0/8;"));
	assert_non_null(strstr(buf_text(&out), "location /objects/ {"));
	scratch_remove(&s);
}

/* Numbers tell where it failed (enclave.h). */
static int
without_nginx(void *arg)
{
	static const char *const folders[] = { "/usr/sbin", "/usr/local/sbin" };
	const struct nginx_config *c = arg;

	(void)setenv("PATH", "/nonexistent", 1);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (access(folders[i], F_OK) == 0 && enclave_cover(folders[i]) < 0)
			return 1;
	if (nginx_install(c) != REASON_NOT_FOUND || refuse_last()->reason != REASON_NOT_FOUND)
		return 2;
	if (refuse_count(REASON_NOT_FOUND) != 1 || strcmp(refuse_last()->operand, "nginx") != 0)
		return 3;
	return access(c->dir, F_OK) == 0 ? 4 : 0; /* nothing was written */
}

static void
test_no_nginx(void **state)
{
	struct nginx_config c;
	struct scratch s;
	char dir[128];
	int r;

	(void)state;
	scratch_make(&s);
	c = config_of(&s, dir, sizeof(dir));
	r = enclave_run(without_nginx, &c);
	scratch_remove(&s);
	if (r < 0)
		skip();
	assert_int_equal(r, 0);
}

static void
test_a_path_cannot_become_configuration(void **state)
{
	static const char *const bad[] = { "/a b", "/a;", "/a\"", "/$x", "/a{", "/a\n" };
	struct scratch s;
	char dir[128];

	(void)state;
	scratch_make(&s);
	for (size_t i = 0; i < 6; i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(1 << 18);
		struct nginx_config c = config_of(&s, dir, sizeof(dir));

		c.repo = bad[i];
		assert_int_equal(nginx_conf_write(&out, &c), REASON_MALFORMED);
		assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
		assert_int_equal(out.len, 0);
	}
	scratch_remove(&s);
}

static void
test_nginx_refuses_for_us(void **state)
{
	struct nginx_config c;
	struct scratch s;
	char dir[128];

	(void)state;
	scratch_make(&s);
	c = config_of(&s, dir, sizeof(dir)); /* no certificate there */
	assert_int_equal(nginx_install(&c), REASON_CONFLICT);
	assert_string_equal(refuse_last()->operand, "nginx");
	scratch_remove(&s);
}

/* A program of that name which kills itself before it has looked at anything, so many times. */
static void
put_nginx_that_is_killed(const struct scratch *s, unsigned times)
{
	SCOPED(scope_close) int bin = -1;
	char text[256];
	int n = snprintf(text, sizeof(text), "#!/bin/sh\necho >>'%s/looks'\n[ $(wc -l <'%s/looks') -gt %u ] || kill -KILL $$\n",
		s->path, s->path, times);

	assert_int_equal(fs_open_dir(&bin, s->fd, "bin", 0755), 0);
	assert_int_equal(fs_replace(bin, "nginx", text, (size_t)n, 0755), 0);
}

static void
test_a_check_that_was_killed_is_no_verdict(void **state)
{
	static const struct {
		unsigned kills;
		int want;
		const char *looks; /* a line each */
	} rows[] = { { 1, 0, "\n\n" }, { 2, 0, "\n\n\n" }, { 9, REASON_INTERRUPTED, "\n\n\n" } };
	SCOPED(scope_free) char *path = strdup(getenv("PATH"));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf looks = BUF_MAX(64);
		struct nginx_config c;
		struct scratch s;
		char dir[128], bin[128];

		scratch_make(&s);
		c = config_of(&s, dir, sizeof(dir));
		(void)snprintf(bin, sizeof(bin), "%s/bin", s.path);
		put_nginx_that_is_killed(&s, rows[i].kills);
		assert_int_equal(setenv("PATH", bin, 1), 0);
		assert_int_equal(nginx_install(&c), rows[i].want);
		assert_int_equal(setenv("PATH", path, 1), 0);
		scratch_read(&s, "looks", &looks);
		assert_string_equal(buf_text(&looks), rows[i].looks);
		if (rows[i].want)
			assert_string_equal(refuse_last()->operand, "nginx");
		scratch_remove(&s);
	}
}

static bool
comes_up(const struct nginx *n)
{
	for (int i = 0; i < 1000 && !nginx_ready(n); i++)
		(void)usleep(10 * 1000);
	return nginx_ready(n);
}

/* A hub that dies at once with its nginx, as where the kernel takes memory back: workers stay, with the port. */
static int
hub_that_is_killed(const struct nginx_config *c)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(32);
	struct reactor *reactor;
	struct nginx *n;
	char path[PATH_MAX];

	if (reactor_new(&reactor) != 0 || nginx_start(&n, reactor, c) != 0 || !comes_up(n))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/nginx.pid", c->dir);
	if (fs_read(AT_FDCWD, path, 32, &text) != 0)
		return 2;
	return kill((pid_t)strtol(buf_text(&text), NULL, 10), SIGKILL) < 0 ? 3 : 0;
}

/* A person's program that has the log for what it says, too, and is none of ours to end. */
static pid_t
start_another(const struct nginx_config *c)
{
	char path[PATH_MAX], ready;
	int fds[2], fd;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/error.log", c->dir);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		if (dup2(fd, 2) != 2 || write(fds[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	assert_int_equal(read(fds[0], &ready, 1), 1);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(fd);
	return pid;
}

static void
test_who_was_left_by_a_hub_that_was_killed_gives_its_port_back(void **state)
{
	struct reactor *reactor;
	struct nginx_config c;
	struct nginx *n;
	struct scratch s;
	char dir[128];
	int status;
	pid_t pid, reader;

	(void)state;
	scratch_make(&s);
	c = config_of(&s, dir, sizeof(dir));
	assert_int_equal(tls_ensure(s.fd, "hub", "127.0.0.1"), 0);
	assert_int_equal(nginx_install(&c), 0);
	pid = fork();
	if (pid == 0)
		_exit(hub_that_is_killed(&c));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	reader = start_another(&c);
	assert_int_equal(reactor_new(&reactor), 0);
	assert_int_equal(nginx_start(&n, reactor, &c), 0);
	assert_true(comes_up(n));
	assert_int_equal(waitpid(reader, &status, WNOHANG), 0);
	assert_int_equal(kill(reader, SIGKILL), 0);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	nginx_stop(n);
	reactor_free(reactor);
	scratch_remove(&s);
}

/* --- tls.h --------------------------------------------------------------------------------------------- */
static X509 *
load(const struct scratch *s, const char *name)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1 << 16);
	X509 *cert;
	BIO *bio;

	scratch_read(s, name, &text);
	bio = BIO_new_mem_buf(text.data, (int)text.len);
	cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(cert);
	return cert;
}

static void
test_the_server_is_certified_by_its_ca_for_its_host(void **state)
{
	SCOPED(buf_done) struct buf key = BUF_MAX(4096), left = BUF_MAX(4096);
	X509 *ca, *server, *again;
	struct scratch s;
	struct stat st;

	(void)state;
	scratch_make(&s);
	assert_int_equal(tls_ensure(s.fd, "hub", "127.0.0.1"), 0);
	ca = load(&s, "ca.pem");
	server = load(&s, "server.pem");
	assert_int_equal(X509_verify(server, X509_get0_pubkey(ca)), 1);
	assert_int_equal(X509_check_ip_asc(server, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ca(server), 0);
	assert_int_equal(fstatat(s.fd, "server.key", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_equal(tls_ensure(s.fd, "hub", "127.0.0.1"), 0);
	again = load(&s, "server.pem");
	assert_int_equal(X509_cmp(server, again), 0);
	X509_free(again);
	assert_int_equal(tls_ensure(s.fd, "hub", "hub.example"), 0);
	again = load(&s, "server.pem");
	assert_int_not_equal(X509_cmp(server, again), 0);
	assert_int_equal(X509_check_host(again, "hub.example", 0, 0, NULL), 1);
	assert_int_equal(X509_verify(again, X509_get0_pubkey(ca)), 1);
	assert_true(tls_ensure(s.fd, "hub", "127.0.0.1,DNS:evil") < 0);
	/* What sites trust is not replaced, whatever became of it; what they reach by it is. */
	scratch_put(&s, "server.key", "none", 4);
	assert_int_equal(tls_ensure(s.fd, "hub", "127.0.0.1"), 0);
	scratch_put(&s, "ca.pem", "none", 4);
	scratch_read(&s, "ca.key", &key);
	assert_int_equal(tls_ensure(s.fd, "hub", "127.0.0.1"), REASON_MALFORMED);
	scratch_read(&s, "ca.key", &left);
	assert_string_equal(buf_text(&key), buf_text(&left));
	X509_free(again);
	X509_free(server);
	X509_free(ca);
	scratch_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nginx_takes_what_is_written),
		cmocka_unit_test(test_no_nginx),
		cmocka_unit_test(test_a_path_cannot_become_configuration),
		cmocka_unit_test(test_nginx_refuses_for_us),
		cmocka_unit_test(test_a_check_that_was_killed_is_no_verdict),
		cmocka_unit_test(test_who_was_left_by_a_hub_that_was_killed_gives_its_port_back),
		cmocka_unit_test(test_the_server_is_certified_by_its_ca_for_its_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
