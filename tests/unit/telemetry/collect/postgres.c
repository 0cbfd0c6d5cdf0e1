/* Probing a PostgreSQL that answers, turns us away, is frozen, or is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/trust/sha256.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/source.h"
#include "tests/fakes/turn.h"

#define PASSWORD "secret"

enum manner { WELL, FROZEN, FULL, STARTING, FAILS, STRANGE };

/* A server that knows one password and gives one row. */
struct server {
	sd_event *loop;
	char dir[48];
	int fd, peer;
	struct loop_watch *accept, *read;
	struct buf in, out;
	char nonce[128], first[256];
	enum manner manner;
	bool begun, done; /* done: the probe has ended */
	unsigned connections, queries, wants;
	char query[8192];
	const char *gives; /* as a secret; NULL: nothing */
	void *source;
};

static void
message(struct server *s, char type, const void *p, size_t len)
{
	buf_u8(&s->out, (uint8_t)type);
	buf_u32(&s->out, (uint32_t)len + 4);
	buf_put(&s->out, p, len);
}

static void
auth(struct server *s, uint32_t kind, const char *text, size_t len)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1024);

	buf_u32(&body, kind);
	buf_put(&body, text, len);
	message(s, 'R', body.data, body.len);
}

static void
error(struct server *s, const char *state)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(64);

	buf_put(&body, "SFATAL", 7);
	buf_printf(&body, "C%s", state);
	buf_put(&body, "\0", 2);
	message(s, 'E', body.data, body.len);
}

/* What the client proves, checked as RFC 5802 has a server do it; one round. */
static bool
is_proof(const struct server *s, const char *final, char theirs[64])
{
	uint8_t salted[32], key[32], stored[32], signature[32], server[32];
	SCOPED(buf_done) struct buf whole = BUF_MAX(1024);
	SCOPED(buf_done) struct buf proof = BUF_MAX(64);
	SCOPED(buf_done) struct buf text = BUF_MAX(64);
	const char *p = strstr(final, ",p=");

	assert_non_null(p);
	sha256_hmac(salted, PASSWORD, strlen(PASSWORD), "salt\0\0\0\1", 8);
	sha256_hmac(key, salted, 32, "Client Key", 10);
	sha256_of(stored, key, 32);
	buf_printf(&whole, "n=,r=%s,%s,%.*s", s->nonce, s->first, (int)(p - final), final);
	sha256_hmac(signature, stored, 32, whole.data, whole.len);
	sha256_hmac(server, salted, 32, "Server Key", 10);
	sha256_hmac(server, server, 32, whole.data, whole.len);
	buf_puts(&text, "v=");
	hex_base64(&text, server, 32);
	(void)snprintf(theirs, 64, "%s", buf_text(&text));
	assert_true(hex_unbase64(&proof, p + 3, strlen(p + 3)));
	for (size_t i = 0; i < 32; i++)
		key[i] ^= signature[i];
	return proof.len == 32 && sha256_same(key, proof.data, 32);
}

static void
on_start(struct server *s)
{
	if (s->manner == FULL)
		error(s, "53300");
	else if (s->manner == STARTING)
		error(s, "57P03");
	else
		auth(s, 10, "SCRAM-SHA-256\0", 15);
}

static void
on_sasl(struct server *s, const char *body, size_t len)
{
	char text[512], theirs[64];

	assert_true(len < sizeof(text));
	memcpy(text, body, len);
	text[len] = '\0';
	if (strcmp(text, "SCRAM-SHA-256") == 0) {
		(void)snprintf(s->nonce, sizeof(s->nonce), "%s", strstr(text + 18, "r=") + 2);
		(void)snprintf(s->first, sizeof(s->first), "r=%sx,s=c2FsdA==,i=1", s->nonce);
		auth(s, 11, s->first, strlen(s->first));
	} else if (!is_proof(s, text, theirs)) {
		error(s, "28P01");
	} else {
		auth(s, 12, theirs, strlen(theirs));
		auth(s, 0, "", 0);
		message(s, 'S', "a\0b", 4);
		message(s, 'Z', "I", 1);
	}
}

/* Statistics that began at second 1, 7 commits, 2.5 of a hundred sessions, a size where it is asked for. */
static void
on_query(struct server *s, const char *sql)
{
	static const char row[] = "\0\4\0\0\0\7" "1000000\0\0\0\1" "7\0\0\0\3" "2.5\0\0\0\2" "99";
	static const char without[] = "\0\4\0\0\0\7" "1000000\0\0\0\1" "7\0\0\0\3" "2.5\377\377\377\377";

	s->queries++;
	(void)snprintf(s->query, sizeof(s->query), "%s", sql);
	if (s->manner == FAILS) {
		error(s, "57014");
		message(s, 'Z', "I", 1);
		return;
	}
	message(s, 'T', "\0\0", 2);
	if (s->manner == STRANGE)
		message(s, 'D', "\0\1\0\0\0\1x", 7);
	else if (strstr(sql, "pg_database_size"))
		message(s, 'D', row, sizeof(row) - 1);
	else
		message(s, 'D', without, sizeof(without) - 1);
	message(s, 'C', "SELECT 1", 9);
	message(s, 'Z', "I", 1);
}

static bool
take_message(struct server *s)
{
	size_t head = s->begun ? 5 : 4, size;
	const uint8_t *p = s->in.data;

	if (s->in.len < head)
		return false;
	size = (size_t)p[head - 2] << 8 | p[head - 1];
	if (s->in.len < size + head - 4)
		return false;
	if (!s->begun)
		on_start(s);
	else if (p[0] == 'p')
		on_sasl(s, (const char *)p + 5, size - 4);
	else
		on_query(s, (const char *)p + 5);
	s->begun = true;
	buf_consume(&s->in, size + head - 4);
	return true;
}

static void
hang_up(struct server *s)
{
	s->read = loop_unwatch(s->read);
	scope_close(&s->peer);
	s->peer = -1;
	s->begun = false;
	buf_reset(&s->in);
}

static void
on_readable(uint32_t revents, void *arg)
{
	struct server *s = arg;
	uint8_t *at = buf_reserve(&s->in, 16384);
	ssize_t n = recv(s->peer, at, 16384, MSG_DONTWAIT);

	(void)revents;
	if (n <= 0) {
		hang_up(s);
		return;
	}
	buf_advance(&s->in, (size_t)n);
	if (s->manner == FROZEN)
		return;
	while (take_message(s))
		;
	for (size_t i = 0; i < s->out.len; i++) /* in pieces */
		assert_int_equal(send(s->peer, s->out.data + i, 1, MSG_NOSIGNAL), 1);
	buf_reset(&s->out);
}

static void
on_connection(uint32_t revents, void *arg)
{
	struct server *s = arg;

	(void)revents;
	if (s->peer >= 0)
		hang_up(s);
	s->peer = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(s->peer >= 0);
	s->connections++;
	assert_int_equal(loop_watch(&s->read, s->loop, s->peer, EPOLLIN, on_readable, s), 0);
}

static void
on_done(void *arg)
{
	struct server *s = arg;

	s->done = true;
}

static void
on_want(void *arg)
{
	struct server *s = arg;

	s->wants++;
	if (s->gives)
		postgres_source.secret(s->source, s->gives, strlen(s->gives));
}

static int
make(struct server *s, void **ret, const json_t *spec)
{
	const struct source_ask ask = { .loop = s->loop,
		.service = "pg",
		.dir = s->dir,
		.spec = spec,
		.done = on_done,
		.want = on_want,
		.arg = s };

	return postgres_source.make(ret, &ask);
}

static int
setup(void **state)
{
	SCOPED_JSON *spec = json_pack("{s:s, s:s, s:[s, s, s]}", "socket", "{run}/s", "user", "watch", "fields",
		"commits", "connections_percent", "database_bytes");
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (!s)
		return -1;
	*state = s;
	s->peer = -1;
	s->gives = PASSWORD;
	s->in = s->out = BUF_MAX(65536);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/mainstay-postgres-XXXXXX");
	if (!mkdtemp(s->dir) || loop_new(&s->loop, NULL, NULL) != 0)
		return -1;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", s->dir);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(s->fd, 4) < 0 ||
		make(s, &s->source, spec) != 0)
		return -1;
	return loop_watch(&s->accept, s->loop, s->fd, EPOLLIN, on_connection, s);
}

static int
teardown(void **state)
{
	struct server *s = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r = fs_remove_tree(tmp, strrchr(s->dir, '/') + 1);

	postgres_source.free(s->source);
	loop_unwatch(s->accept);
	loop_unwatch(s->read);
	scope_close(&s->fd);
	scope_close(&s->peer);
	buf_done(&s->in);
	buf_done(&s->out);
	sd_event_unref(s->loop);
	free(s);
	return r;
}

/* Probe once; the samples have to be these. */
static void
probe(struct server *s, const char *want)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	const struct sample_set *samples;

	postgres_source.probe(s->source);
	postgres_source.probe(s->source); /* one is under way: nothing */
	for (s->done = false; !s->done;)
		assert_true(turn_beside(s->loop, 10 * CLOCK_US_PER_MS) >= 0);
	samples = postgres_source.samples(s->source);
	for (size_t i = 0; i < samples->n; i++) {
		const struct otlp_sample *p = &samples->items[i];

		buf_printf(&out, "%s=%g%s ", p->name, p->real, p->kind == OTLP_SAMPLE_COUNTER ? "+" : "");
		if (p->kind == OTLP_SAMPLE_COUNTER)
			assert_int_equal(p->start_us, CLOCK_US_PER_S);
	}
	assert_string_equal(buf_text(&out), want);
}

#define ALL "postgres_up=1 postgres_commits=7+ postgres_connections_percent=2.5 postgres_database_bytes=99 "

static void
one_session_is_kept_and_dear_numbers_too(void **state)
{
	struct server *s = *state;

	probe(s, ALL);
	assert_non_null(strstr(s->query, "pg_database_size"));
	probe(s, ALL);
	assert_null(strstr(s->query, "pg_database_size"));
	assert_int_equal(s->connections, 1);
	assert_int_equal(s->queries, 2);
	assert_int_equal(s->wants, 1);
}

static void
one_that_was_started_again_is_asked_anew(void **state)
{
	struct server *s = *state;

	probe(s, ALL);
	hang_up(s);
	(void)sd_event_run(s->loop, 100 * 1000); /* it hears of that between two probes */
	probe(s, ALL);
	assert_int_equal(s->connections, 2);
}

static void
without_a_password_nothing_is_asked(void **state)
{
	struct server *s = *state;

	s->gives = NULL;
	probe(s, "postgres_up=0 ");
	assert_int_equal(s->connections, 0);
	s->gives = PASSWORD;
	probe(s, ALL);
}

static void
a_wrong_password_is_an_answer_and_asked_for_again(void **state)
{
	struct server *s = *state;

	s->gives = "rotated";
	probe(s, "postgres_up=1 ");
	assert_int_equal(s->wants, 1);
	s->gives = PASSWORD;
	probe(s, ALL);
	assert_int_equal(s->wants, 2);
}

static void
all_sessions_taken_is_a_number(void **state)
{
	struct server *s = *state;

	s->manner = FULL;
	probe(s, "postgres_up=1 postgres_connections_percent=100 ");
}

static void
errors_are_no_answer(void **state)
{
	struct server *s = *state;

	s->manner = STARTING;
	probe(s, "postgres_up=0 ");
	s->manner = FAILS;
	probe(s, "postgres_up=0 ");
	s->manner = WELL;
	probe(s, ALL);
}

static void
a_row_of_another_shape_gives_no_numbers(void **state)
{
	struct server *s = *state;

	s->manner = STRANGE;
	probe(s, "postgres_up=1 ");
}

static void
a_frozen_one_is_down_within_its_time(void **state)
{
	struct server *s = *state;
	uint64_t begin = clock_mono_us();

	s->manner = FROZEN;
	probe(s, "postgres_up=0 ");
	assert_in_range((clock_mono_us() - begin) / CLOCK_US_PER_MS, SOURCE_TIMEOUT_MS - 50,
		2 * SOURCE_TIMEOUT_MS);
}

static void
no_socket_is_down_at_once(void **state)
{
	struct server *s = *state;
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/s", s->dir);
	assert_int_equal(unlink(path), 0);
	probe(s, "postgres_up=0 ");
}

static void
what_a_definition_may_not_name(void **state)
{
	static const struct {
		const char *spec;
		int reason;
	} rows[] = {
		{ "{\"fields\": []}", REASON_MALFORMED },
		{ "{\"socket\": \"/run/x\", \"fields\": []}", REASON_MALFORMED },
		{ "{\"socket\": \"{run}/..\", \"fields\": []}", REASON_MALFORMED },
		{ "{\"socket\": \"{run}/s\", \"fields\": [\"commits; DROP TABLE x\"]}", REASON_MALFORMED },
		{ "{\"socket\": \"{run}/s\", \"fields\": [7]}", REASON_MALFORMED },
	};
	SCOPED_JSON *many = json_pack("{s:s, s:[]}", "socket", "{run}/s", "fields");
	struct server *s = *state;
	uint64_t before;
	void *source = NULL;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *spec = json_loads(rows[i].spec, 0, NULL);

		before = refuse_count(REASON_MALFORMED);
		assert_int_equal(make(s, &source, spec), rows[i].reason);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
	for (int i = 0; i < 49; i++)
		(void)json_array_append_new(json_object_get(many, "fields"), json_string("commits"));
	before = refuse_count(REASON_TOO_LARGE);
	assert_int_equal(make(s, &source, many), REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	assert_null(source);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(one_session_is_kept_and_dear_numbers_too),
		ROW(one_that_was_started_again_is_asked_anew),
		ROW(without_a_password_nothing_is_asked),
		ROW(a_wrong_password_is_an_answer_and_asked_for_again),
		ROW(all_sessions_taken_is_a_number),
		ROW(errors_are_no_answer),
		ROW(a_row_of_another_shape_gives_no_numbers),
		ROW(a_frozen_one_is_down_within_its_time),
		ROW(no_socket_is_down_at_once),
		ROW(what_a_definition_may_not_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
