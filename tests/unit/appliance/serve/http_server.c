#include "appliance/serve/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/serve/reactor.h"
#include "tests/fakes/scratch.h"

/* What the server gave us, and what it took for done. */
struct bench {
	struct scratch dir;
	struct reactor *reactor;
	struct http_server *server;
	char path[128];
	unsigned dispatched, done;
};

static void
dispatch(struct http_call *call, void *arg)
{
	struct bench *b = arg;

	b->dispatched++;
	http_call_reply(call, 200, "text/plain", call->path, strlen(call->path));
}

static void
sign(struct http_call *call, int status, const void *body, size_t len, void *arg)
{
	(void)call;
	(void)status;
	(void)body;
	(void)len;
	(void)arg;
}

static void
done(const struct http_call *call, int status, void *arg)
{
	struct bench *b = arg;

	(void)call;
	(void)status;
	b->done++;
}

static const struct http_server_ops ops = { dispatch, sign, done };

static void
open_for(struct bench *b, uid_t uid)
{
	*b = (struct bench){ 0 };
	scratch_make(&b->dir);
	(void)snprintf(b->path, sizeof(b->path), "%s/http.sock", b->dir.path);
	assert_int_equal(reactor_new(&b->reactor), 0);
	assert_int_equal(http_server_open(&b->server, b->reactor, b->path, &uid, 1, &ops, b), 0);
}

static void
close_bench(struct bench *b)
{
	http_server_close(b->server);
	reactor_free(b->reactor);
	scratch_remove(&b->dir);
}

/* Say this on a new connection; the status of what comes back, whose bytes go to out. */
static int
ask(struct bench *b, const void *text, size_t len, struct buf *out)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), status = 0;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", b->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
	for (int i = 0; i < 200 && !strstr(buf_text(out), "\r\n\r\n"); i++) {
		char chunk[4096];
		ssize_t n;

		assert_int_equal(reactor_run(b->reactor, 10000), 0);
		while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
			buf_put(out, chunk, (size_t)n);
	}
	close(fd);
	assert_int_equal(reactor_run(b->reactor, 1000), 0);
	(void)sscanf(buf_text(out), "HTTP/1.1 %d", &status);
	return status;
}

static void
expect(struct bench *b, const char *name, const char *text, int status, enum reason reason,
	const char *operand)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	uint64_t before = refuse_count(reason);
	unsigned dispatched = b->dispatched, answered = b->done;
	char token[64];
	int is = ask(b, text, strlen(text), &out);

	if (is != status)
		fail_msg("%s: %d", name, is);
	if (refuse_last()->reason != reason || strcmp(refuse_last()->operand, operand) != 0 ||
		refuse_count(reason) != before + 1)
		fail_msg("%s: %s: %s", name, refuse_last()->operand, refuse_last()->text);
	(void)snprintf(token, sizeof(token), "\"reason\":\"%s\"", refuse_token(reason));
	assert_true(strncmp(text, "HEAD", 4) == 0 || strstr(buf_text(&out), token));
	assert_int_equal(b->dispatched, dispatched); /* no handler saw it */
	assert_int_equal(b->done, answered + 1);
	assert_int_equal(http_server_inflight(b->server), 0);
}

static void
requests_that_no_handler_sees(void **state)
{
	static const struct {
		const char *name, *text, *operand;
	} rows[] = {
		{ "two hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "host" },
		{ "two content types",
			"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a\r\nContent-type: b\r\n\r\n",
			"content-type" },
		{ "two signatures",
			"GET / HTTP/1.1\r\nHost: a\r\nSignature: a\r\nSignature: a\r\n\r\n",
			"signature" },
		{ "no host", "GET / HTTP/1.1\r\nAccept: a\r\n\r\n", "host" },
		{ "an empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "host" },
		{ "chunks",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
			"chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
			"transfer-encoding" },
		{ "a length with a sign",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nxy",
			"content-length" },
		{ "a length without a body",
			"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
			"content-length" },
		{ "a target that is no path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "target" },
		{ "a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "target" },
		{ "a byte beyond ASCII", "GET /a\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", "target" },
	};
	struct bench b;

	(void)state;
	open_for(&b, geteuid());
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(&b, rows[i].name, rows[i].text, 400, REASON_MALFORMED, rows[i].operand);
	close_bench(&b);
}

static void
a_request_is_dispatched(void **state)
{
	static const char text[] = "POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy";
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	struct bench b;

	(void)state;
	open_for(&b, geteuid());
	assert_int_equal(ask(&b, text, strlen(text), &out), 200);
	assert_non_null(strstr(buf_text(&out), "\r\n\r\n/a"));
	assert_int_equal(b.dispatched, 1);
	close_bench(&b);
}

static void
more_than_a_request_may_have(void **state)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);
	struct bench b;

	(void)state;
	open_for(&b, geteuid());
	buf_puts(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < HTTP_SERVER_HEADERS_MAX; i++)
		buf_printf(&text, "X-%d: a\r\n", i);
	buf_puts(&text, "\r\n");
	expect(&b, "65 headers", buf_text(&text), 413, REASON_TOO_LARGE, "headers");
	buf_reset(&text);
	buf_puts(&text, "GET /");
	for (int i = 0; i < HTTP_SERVER_TARGET_MAX; i++)
		buf_u8(&text, 'a');
	buf_puts(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
	expect(&b, "a target of 2049 bytes", buf_text(&text), 400, REASON_MALFORMED, "target");
	close_bench(&b);
}

static void
a_peer_of_another_user(void **state)
{
	struct bench b;

	(void)state;
	open_for(&b, geteuid() + 1);
	expect(&b, "another uid", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 403, REASON_WRONG_ROLE,
		"peer");
	close_bench(&b);
}

/* --- polls that are parked --------------------------------------------------------------------------- */
enum { PARKED = 1000, BATCH = 100, PARKED_BYTES_MAX = 32 * 1024 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MEASURES = false }; /* what stands around each piece of memory would be measured */
#elif defined(__has_feature)
enum { MEASURES = !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)) };
#else
enum { MEASURES = true };
#endif

static void
park(struct http_call *call, void *arg)
{
	struct bench *b = arg;

	(void)call;
	b->dispatched++;
}

/* Bytes of memory that are ours alone. */
static size_t
resident(void)
{
	unsigned long all = 0, here = 0, shared = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu %lu", &all, &here, &shared), 3);
	(void)fclose(f);
	return (here - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

static int
connect_to(const struct bench *b)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", b->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* As a courier's poll comes through nginx: what its headers are is a kilobyte. */
static void
a_thousand_parked_polls_have_their_bounds(void **state)
{
	static const struct http_server_ops parking = { park, sign, done };
	static char text[1200];
	struct rlimit files = { 0 };
	static int fds[PARKED];
	uid_t uid = geteuid();
	size_t before, each;
	struct bench b = { 0 };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	if (files.rlim_max < 2 * PARKED + 64 || setrlimit(RLIMIT_NOFILE, &files) < 0) {
		print_message("skipped: no more than %lu files may be open here\n", (unsigned long)files.rlim_max);
		skip();
	}
	(void)snprintf(text, sizeof(text), "GET /v1/mailbox?after=1&wait=25 HTTP/1.1\r\nHost: hub\r\nSignature: %01000d\r\n\r\n", 1);
	scratch_make(&b.dir);
	(void)snprintf(b.path, sizeof(b.path), "%s/http.sock", b.dir.path);
	assert_int_equal(reactor_new(&b.reactor), 0);
	assert_int_equal(http_server_open(&b.server, b.reactor, b.path, &uid, 1, &parking, &b), 0);
	before = resident();
	for (unsigned i = 0; i < PARKED; i++) {
		fds[i] = connect_to(&b);
		assert_int_equal(send(fds[i], text, strlen(text), MSG_NOSIGNAL), strlen(text));
		for (int k = 0; i % BATCH == BATCH - 1 && k < 200 && b.dispatched <= i; k++)
			assert_int_equal(reactor_run(b.reactor, 1000), 0);
	}
	assert_int_equal(http_server_inflight(b.server), PARKED);
	each = (resident() - before) / PARKED;
	print_message("a parked poll costs the hub %zu bytes, %d of them %zu KiB\n", each, PARKED, each * PARKED / 1024);
	for (unsigned i = 0; i < PARKED; i++)
		(void)close(fds[i]);
	close_bench(&b);
	assert_true(!MEASURES || (each > 0 && each <= PARKED_BYTES_MAX));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_that_no_handler_sees),
		cmocka_unit_test(a_request_is_dispatched),
		cmocka_unit_test(more_than_a_request_may_have),
		cmocka_unit_test(a_peer_of_another_user),
		cmocka_unit_test(a_thousand_parked_polls_have_their_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
