#include "appliance/serve/nginx_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/nginx.h"
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
		cmocka_unit_test(test_the_server_is_certified_by_its_ca_for_its_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
