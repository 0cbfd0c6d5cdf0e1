/* Requests against a server of our own on loopback, which speaks what the test wants. */
#include "appliance/loop/curl_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <zlib.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"

static char base[64];
static pid_t server;

/* 3000 zeros, compressed where that was asked for. */
static void
reply_gzip(int fd, bool asked)
{
	uint8_t plain[3000], packed[200];
	z_stream z = { .next_in = plain, .avail_in = sizeof(plain), .next_out = packed, .avail_out = sizeof(packed) };
	char head[120];

	memset(plain, '0', sizeof(plain));
	if (deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
		deflate(&z, Z_FINISH) != Z_STREAM_END)
		_exit(1);
	(void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n%sContent-Length: %lu\r\n\r\n",
		asked ? "Content-Encoding: gzip\r\n" : "", asked ? z.total_out : sizeof(plain));
	(void)!write(fd, head, strlen(head));
	(void)!write(fd, asked ? packed : plain, asked ? z.total_out : sizeof(plain));
	(void)deflateEnd(&z);
}

static void
reply_to(int fd, const char *request)
{
	char text[4096];

	if (strncmp(request, "GET /gzip ", 10) == 0) {
		reply_gzip(fd, strstr(request, "\r\nAccept-Encoding: gzip\r\n"));
		return;
	}
	if (strncmp(request, "GET /plain ", 11) == 0) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One:  a b \r\n"
			"Other: no\r\nx-one: second\r\n\r\nhello");
	} else if (strncmp(request, "POST /echo ", 11) == 0 &&
		strstr(request, "\r\nX-Own: yes\r\n") && !strstr(request, "Expect:")) {
		const char *body = strstr(request, "\r\n\r\n") + 4;

		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 100 Continue\r\nX-One: interim\r\n\r\n"
			"HTTP/1.1 201 Made\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			strlen(body), body);
	} else if (strncmp(request, "GET /away ", 10) == 0) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 302 Found\r\nLocation: %s/plain\r\n"
			"Content-Length: 0\r\n\r\n",
			base);
	} else if (strncmp(request, "GET /large ", 11) == 0) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n%03000d", 7);
	} else if (strncmp(request, "GET /header ", 12) == 0) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: %03000d", 7);
		(void)!write(fd, text, strlen(text));
		(void)snprintf(text, sizeof(text), "%03000d", 7);
		for (int i = 0; i < 3; i++)
			(void)!write(fd, text, strlen(text));
		(void)snprintf(text, sizeof(text), "\r\n\r\n");
	} else if (strncmp(request, "GET /ranges ", 12) == 0 && strstr(request, "\r\nRange: bytes=3-5\r\n")) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 206 Part\r\nContent-Range: bytes 3-5/10\r\nContent-Length: 3\r\n\r\n345");
	} else if (strncmp(request, "GET /ranges ", 12) == 0 && strstr(request, "\r\nRange: bytes=7-\r\n")) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 206 Part\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\n789");
	} else if (strncmp(request, "GET /noranges ", 14) == 0) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
	} else if (strncmp(request, "GET /another ", 13) == 0) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 206 Part\r\nContent-Range: bytes 4-6/10\r\nContent-Length: 3\r\n\r\n456");
	} else if (strncmp(request, "GET /unsaid ", 12) == 0) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 206 Part\r\nContent-Length: 3\r\n\r\n345");
	} else if (strncmp(request, "GET /shorter ", 13) == 0) {
		(void)snprintf(text, sizeof(text),
			"HTTP/1.1 206 Part\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\n34");
	} else if (strncmp(request, "GET /gone ", 10) == 0) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\nsorry");
	} else if (strncmp(request, "GET /who ", 9) == 0 || strncmp(request, "GET /last ", 10) == 0) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n%010d", getpid());
	} else if (strncmp(request, "GET /hang ", 10) == 0) {
		(void)pause();
	} else {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	}
	(void)!write(fd, text, strlen(text));
}

static void
serve(int listen_fd)
{
	for (;;) {
		int fd = accept(listen_fd, NULL, NULL);

		if (fd < 0)
			_exit(1);
		if (fork() == 0) { /* each connection its own, so that one can hang */
			char request[8192];
			ssize_t n;

			(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
			while ((n = read(fd, request, sizeof(request) - 1)) > 0) {
				request[n] = '\0';
				reply_to(fd, request);
				if (strncmp(request, "GET /last ", 10) == 0)
					break; /* hangs up without having said so */
			}
			_exit(0);
		}
		(void)close(fd);
	}
}

static int
start_server(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, 16) < 0 ||
		getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -1;
	(void)snprintf(base, sizeof(base), "http://127.0.0.1:%d", ntohs(addr.sin_port));
	server = fork();
	if (server == 0) {
		(void)signal(SIGCHLD, SIG_IGN);
		serve(fd);
	}
	(void)close(fd);
	return server < 0 ? -1 : 0;
}

static int
stop_server(void **state)
{
	(void)state;
	(void)kill(server, SIGKILL);
	return waitpid(server, NULL, 0) == server ? 0 : -1;
}

static char url[128];

static struct http_request
get(const char *path)
{
	(void)snprintf(url, sizeof(url), "%s%s", base, path);
	return (struct http_request){
		.method = "GET", .url = url, .allow_http = true, .timeout_ms = 5000
	};
}

static void
replies_come_with_the_wanted_headers(void **state)
{
	static const char *const want[] = { "X-ONE", NULL };
	struct http_request req = get("/plain");
	struct http_reply reply;

	(void)state;
	req.want_headers = want;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_int_equal(reply.status, 200);
	assert_string_equal(buf_text(&reply.body), "hello");
	assert_int_equal(reply.n_headers, 2);
	assert_string_equal(http_header(&reply, "x-one"), "a b");
	assert_null(http_header(&reply, "other"));
	http_reply_done(&reply);
}

static void
a_body_is_posted_with_our_headers(void **state)
{
	static const char *const headers[] = { "X-Own: yes", NULL };
	static const char *const bad[] = { "X-Own: yes\r\nX-Second: no", NULL };
	struct http_request req = get("/echo");
	struct http_reply reply;

	(void)state;
	req.method = "POST";
	req.headers = headers;
	req.body = "the body";
	req.body_len = 8;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_int_equal(reply.status, 201);
	assert_string_equal(buf_text(&reply.body), "the body");
	assert_null(http_header(&reply, "x-one")); /* of the interim reply */
	http_reply_done(&reply);
	req.headers = bad;
	assert_int_equal(http_perform(NULL, &req, &reply), -EINVAL);
	http_reply_done(&reply);
}

/* Who answered; each connection is another's. */
static int
who(struct http_line *line, const char *path)
{
	struct http_request req = get(path);
	struct http_reply reply;
	int pid;

	assert_int_equal(http_perform(line, &req, &reply), 0);
	assert_int_equal(reply.status, 200);
	pid = (int)strtol(buf_text(&reply.body), NULL, 10);
	http_reply_done(&reply);
	return pid;
}

static void
a_line_keeps_its_connection(void **state)
{
	SCOPED(http_line_freep) struct http_line *line = NULL;
	struct http_request hang;
	struct http_reply reply;
	int first, second;

	(void)state;
	assert_int_not_equal(who(NULL, "/who"), who(NULL, "/who"));
	assert_int_equal(http_line_new(&line), 0);
	first = who(line, "/who");
	assert_int_equal(who(line, "/who"), first);
	assert_int_equal(who(line, "/last"), first);
	second = who(line, "/who"); /* the peer is gone, another answers */
	assert_int_not_equal(second, first);
	hang = get("/hang");
	hang.timeout_ms = 50;
	assert_int_equal(http_perform(line, &hang, &reply), REASON_UNREACHABLE);
	assert_int_equal(reply.trouble, HTTP_TROUBLE_TIME);
	http_reply_done(&reply);
	assert_int_not_equal(who(line, "/who"), second); /* no late answer is taken for another's */
}

static void
redirects_are_not_followed(void **state)
{
	struct http_request req = get("/away");
	struct http_reply reply;

	(void)state;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_int_equal(reply.status, 302);
	http_reply_done(&reply);
}

static void
a_reply_has_a_maximum(void **state)
{
	struct http_request req = get("/large");
	struct http_reply reply;

	(void)state;
	req.max_reply = 2999;
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_TOO_LARGE);
	http_reply_done(&reply);
	req.max_reply = 3000;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_int_equal(reply.body.len, 3000);
	http_reply_done(&reply);
	req = get("/header");
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_TOO_LARGE);
	http_reply_done(&reply);
}

static int
sink(const void *p, size_t len, void *arg)
{
	size_t *total = arg;

	(void)p;
	*total += len;
	return *total > 10000 ? -ENOSPC : 0;
}

static int
full_sink(const void *p, size_t len, void *arg)
{
	(void)p;
	(void)len;
	(void)arg;
	return REASON_NO_SPACE;
}

static void
what_is_in_a_compressed_body_is_counted(void **state)
{
	struct http_request req = get("/gzip");
	struct http_reply reply;
	size_t total = 0;

	(void)state;
	req.sink = sink;
	req.sink_arg = &total;
	req.max_reply = 3000;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_null(http_header(&reply, "content-encoding")); /* nobody asked for it */
	assert_int_equal(total, 3000);
	http_reply_done(&reply);
	req.gzip = true;
	total = 0;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_string_equal(http_header(&reply, "content-encoding"), "gzip");
	assert_int_equal(total, 3000);
	http_reply_done(&reply);
	req.max_reply = 2999; /* it came in 30 */
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_TOO_LARGE);
	http_reply_done(&reply);
}

static void
a_sink_takes_the_body_or_ends_it(void **state)
{
	struct http_request req = get("/large");
	struct http_reply reply;
	size_t total = 0;

	(void)state;
	req.sink = sink;
	req.sink_arg = &total;
	assert_int_equal(http_perform(NULL, &req, &reply), 0);
	assert_int_equal(total, 3000);
	assert_int_equal(reply.body.len, 0);
	http_reply_done(&reply);
	req.sink = full_sink;
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_NO_SPACE);
	http_reply_done(&reply);
}

static void
http_needs_a_permission_and_tls_a_certificate(void **state)
{
	struct http_request req = get("/plain");
	struct http_reply reply;
	char https[128];

	(void)state;
	req.allow_http = false;
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_UNREACHABLE);
	assert_true(reply.error[0]);
	assert_int_equal(reply.status, 0);
	http_reply_done(&reply);
	(void)snprintf(https, sizeof(https), "https%s", base + 4);
	req.url = https;
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_UNREACHABLE);
	assert_int_equal(reply.trouble, HTTP_TROUBLE_TLS);
	http_reply_done(&reply);
	req.url = "file:///etc/passwd";
	req.allow_http = true;
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_UNREACHABLE);
	http_reply_done(&reply);
}

static void
silence_is_unreachable(void **state)
{
	struct http_request req = get("/hang");
	struct http_reply reply;

	(void)state;
	req.timeout_ms = 100;
	assert_int_equal(http_perform(NULL, &req, &reply), REASON_UNREACHABLE);
	assert_in_range(reply.used_ms, 90, 3000);
	http_reply_done(&reply);
}

/* --- on the loop ---------------------------------------------------------------------------------------- */
struct test {
	sd_event *loop;
	struct curl_loop *curl;
	struct curl_transfer *a, *b, *hanging;
	struct loop_timer *timer;
	int n, wanted;
};

static void
on_second(struct http_reply *reply, void *arg)
{
	struct test *t = arg;

	assert_int_equal(reply->result, 0);
	assert_int_equal(reply->status, 404);
	if (++t->n == t->wanted)
		(void)sd_event_exit(t->loop, 0);
}

static void
on_first(struct http_reply *reply, void *arg)
{
	struct http_request req = get("/none");
	struct test *t = arg;

	assert_int_equal(reply->result, 0);
	assert_string_equal(buf_text(&reply->body), "hello");
	assert_null(t->a); /* forgotten: the next may start in its slot */
	assert_int_equal(curl_loop_start(&t->a, t->curl, &req, on_second, t), 0);
	if (++t->n == t->wanted)
		(void)sd_event_exit(t->loop, 0);
}

static void
never(struct http_reply *reply, void *arg)
{
	(void)reply;
	(void)arg;
	fail();
}

static void
requests_run_beside_each_other(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct test t = { .wanted = 3 };
	struct http_request req;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	t.loop = loop;
	assert_int_equal(curl_loop_new(&t.curl, loop), 0);
	req = get("/hang");
	assert_int_equal(curl_loop_start(&t.hanging, t.curl, &req, never, &t), 0);
	req = get("/plain");
	assert_int_equal(curl_loop_start(&t.a, t.curl, &req, on_first, &t), 0);
	req = get("/nothing");
	assert_int_equal(curl_loop_start(&t.b, t.curl, &req, on_second, &t), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_null(t.b);
	assert_non_null(t.hanging);
	t.curl = curl_loop_free(t.curl); /* cancels what hangs */
	assert_null(t.hanging);
}

static void
end(void *arg)
{
	struct test *t = arg;

	(void)sd_event_exit(t->loop, 0);
}

static void
a_cancelled_request_does_not_call_back(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct test t = { 0 };
	struct http_request req = get("/plain");

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	t.loop = loop;
	assert_int_equal(curl_loop_new(&t.curl, loop), 0);
	assert_int_equal(curl_loop_start(&t.a, t.curl, &req, never, &t), 0);
	assert_null(curl_loop_cancel(t.a));
	assert_null(t.a);
	assert_null(curl_loop_cancel(NULL));
	assert_int_equal(loop_after(&t.timer, loop, 100, end, &t), 0);
	assert_int_equal(loop_run(loop), 0);
	t.curl = curl_loop_free(t.curl);
}

static int
into_text(const void *p, size_t len, void *arg)
{
	char *text = arg;
	size_t have = strlen(text);

	memcpy(text + have, p, len);
	text[have + len] = '\0';
	return 0;
}

/* Whatever the server makes of Range, the sink gets the part and nothing else. */
static void
a_part_is_what_was_asked_for(void **state)
{
	static const struct {
		const char *path;
		uint64_t at, len;
		size_t max;
		int result;
		long status;
		const char *got;
	} rows[] = {
		{ "/ranges", 3, 3, 0, 0, 206, "345" },
		{ "/ranges", 7, 0, 0, 0, 206, "789" },
		{ "/noranges", 3, 3, 0, 0, 206, "345" },
		{ "/noranges", 0, 3, 0, 0, 206, "012" },
		{ "/noranges", 7, 0, 0, 0, 206, "789" },
		{ "/noranges", 7, 3, 0, 0, 206, "789" },
		{ "/noranges", 7, 4, 0, REASON_UNREACHABLE, 200, "789" },
		{ "/another", 3, 3, 0, REASON_UNREACHABLE, 0, "" },
		{ "/unsaid", 3, 3, 0, REASON_UNREACHABLE, 0, "" },
		{ "/shorter", 3, 3, 0, REASON_UNREACHABLE, 206, "34" },
		{ "/gone", 3, 3, 0, 0, 404, "" },
		{ "/ranges", 7, 0, 2, REASON_TOO_LARGE, 206, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_request req = get(rows[i].path);
		struct http_reply reply;
		char got[64] = "";

		req.sink = into_text;
		req.sink_arg = got;
		req.range_at = rows[i].at;
		req.range_len = rows[i].len;
		req.max_reply = rows[i].max;
		assert_int_equal(http_perform(NULL, &req, &reply), rows[i].result);
		if (rows[i].result == 0)
			assert_int_equal(reply.status, rows[i].status);
		assert_string_equal(got, rows[i].got);
		http_reply_done(&reply);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_is_what_was_asked_for),
		cmocka_unit_test(replies_come_with_the_wanted_headers),
		cmocka_unit_test(a_body_is_posted_with_our_headers),
		cmocka_unit_test(a_line_keeps_its_connection),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(a_reply_has_a_maximum),
		cmocka_unit_test(what_is_in_a_compressed_body_is_counted),
		cmocka_unit_test(a_sink_takes_the_body_or_ends_it),
		cmocka_unit_test(http_needs_a_permission_and_tls_a_certificate),
		cmocka_unit_test(silence_is_unreachable),
		cmocka_unit_test(requests_run_beside_each_other),
		cmocka_unit_test(a_cancelled_request_does_not_call_back),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
