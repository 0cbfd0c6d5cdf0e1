#include "appliance/serve/bearer.h"

#include "appliance/base/hex.h"
#include "tests/fakes/hub_bench.h"

#define HOUR (3600 * CLOCK_US_PER_S)

static unsigned handled;
static struct auth_identity seen;

static int
on_call(struct http_call *call, void *state)
{
	(void)state;
	handled++;
	seen = call->who;
	http_call_reply(call, 200, NULL, NULL, 0);
	return 0;
}

static const struct route routes[] = {
	{ "POST", "/otlp", ROUTE_SITE, 16, on_call, ROUTE_OTLP | ROUTE_BEARER },
	{ "GET", "/site", ROUTE_SITE, 0, on_call, 0 },
};
static const struct serve_module otlp = {
	.name = "otlp", .routes = routes, .n_routes = ARRAY_LEN(routes)
};
static const struct serve_module *const modules[] = { &otlp, NULL };

static char token[BEARER_TEXT_MAX];

static struct db *
fleet(void)
{
	return databases_fleet(serve_databases(bench.serve));
}

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	handled = 0;
	assert_int_equal(bearer_mint(fleet(), "acme", "acme-1", BENCH_NOW, BENCH_NOW + HOUR, token),
		0);
	return 0;
}

static struct bench_call *
ask(const char *method, const char *target, const char *scheme, const char *text)
{
	struct bench_call *c = bench_new(method, target, NULL, 0);
	char header[256];

	(void)snprintf(header, sizeof(header), "%s%s", scheme, text);
	bench_header(c, "authorization", header);
	bench_send(c);
	return c;
}

/* The token with its last digit changed. */
static const char *
forged(void)
{
	static char text[BEARER_TEXT_MAX];

	memcpy(text, token, sizeof(text));
	text[BEARER_TEXT_MAX - 2] = text[BEARER_TEXT_MAX - 2] == '0' ? '1' : '0';
	return text;
}

static void
id_of(char id[BEARER_ID_MAX])
{
	(void)snprintf(id, BEARER_ID_MAX, "%s", token + 5);
}

static void
test_a_token_is_its_sites_on_its_routes(void **state)
{
	char id[BEARER_ID_MAX];

	(void)state;
	id_of(id);
	assert_int_equal(ask("POST", "/otlp", "Bearer ", token)->status, 200);
	assert_int_equal(ask("POST", "/otlp", "bearer ", token)->status, 200);
	assert_int_equal(handled, 2);
	assert_int_equal(seen.kind, AUTH_SENDER);
	assert_string_equal(seen.site, "acme-1");
	assert_string_equal(seen.customer, "acme");
	assert_string_equal(seen.keyid, id);
	/* Elsewhere it is nothing. */
	bench_refused(ask("GET", "/site", "Bearer ", token), 401, REASON_UNSIGNED);
	assert_int_equal(handled, 2);
}

static void
test_the_hub_keeps_no_token(void **state)
{
	const char *secret = token + 5 + 16 + 1;
	SCOPED(db_query_endp) struct db_query *q = NULL;
	uint8_t raw[32], digest[32];
	const void *kept;
	size_t len;

	(void)state;
	assert_true(hex_decode(raw, sizeof(raw), secret));
	sha256_of(digest, raw, sizeof(raw));
	assert_int_equal(db_query(&q, fleet(), "SELECT digest FROM bearers", ""), 0);
	assert_int_equal(db_next(q), DB_ROW);
	kept = db_blob(q, 0, &len);
	assert_int_equal(len, 32);
	assert_memory_equal(kept, digest, 32);
}

static void
test_tokens_that_are_none(void **state)
{
	static const struct {
		const char *says, *scheme, *text;
		enum reason reason;
	} rows[] = {
		{ "another scheme", "Basic ", "otlp", REASON_MALFORMED },
		{ "no token", "Bearer", "", REASON_MALFORMED },
		{ "a word", "Bearer ", "otlp_x_y", REASON_MALFORMED },
		{ "digits that are none", "Bearer otlp_000000000000000g_",
			"0000000000000000000000000000000000000000000000000000000000000000",
			REASON_MALFORMED },
		{ "a separator that is none", "Bearer otlp_0000000000000000-",
			"0000000000000000000000000000000000000000000000000000000000000000",
			REASON_MALFORMED },
		{ "one that nobody made", "Bearer otlp_0000000000000000_",
			"0000000000000000000000000000000000000000000000000000000000000000",
			REASON_UNKNOWN_KEY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench_call *c = ask("POST", "/otlp", rows[i].scheme, rows[i].text);

		if (c->status != 401)
			fail_msg("%s: %d", rows[i].says, c->status);
		bench_refused(c, 401, rows[i].reason);
		assert_string_equal(http_call_added(&c->pub, "WWW-Authenticate"), "Bearer");
		assert_string_equal(http_call_added(&c->pub, "Content-Type"),
			"application/x-protobuf");
		assert_memory_equal(c->body.data, "\x08\x10\x12",
			3); /* google.rpc.Status, code 16 */
	}
	bench_refused(ask("POST", "/otlp", "Bearer ", forged()), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(handled, 0);
}

static void
test_a_token_ends_and_is_revoked(void **state)
{
	char id[BEARER_ID_MAX];
	uint64_t before = refuse_count(REASON_NOT_FOUND);

	(void)state;
	id_of(id);
	clock_fake(BENCH_NOW + HOUR - 1, BENCH_NOW);
	assert_int_equal(ask("POST", "/otlp", "Bearer ", token)->status, 200);
	clock_fake(BENCH_NOW + HOUR, BENCH_NOW);
	bench_refused(ask("POST", "/otlp", "Bearer ", token), 401, REASON_EXPIRED);
	clock_fake(BENCH_NOW, BENCH_NOW);
	assert_int_equal(bearer_revoke(fleet(), id, BENCH_NOW), 0);
	assert_int_equal(bearer_revoke(fleet(), id, BENCH_NOW + 1), 0);
	assert_int_equal(bench_count(fleet(), "SELECT revoked FROM bearers"), BENCH_NOW);
	bench_refused(ask("POST", "/otlp", "Bearer ", token), 401, REASON_REVOKED);
	/* One that is wrong is not told that it was revoked. */
	bench_refused(ask("POST", "/otlp", "Bearer ", forged()), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(bearer_revoke(fleet(), "0000000000000000", BENCH_NOW), REASON_NOT_FOUND);
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_int_equal(bearer_sweep(serve_databases(bench.serve), BENCH_NOW), 0);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM bearers"), 1);
	assert_int_equal(bearer_sweep(serve_databases(bench.serve),
				 BENCH_NOW + HOUR + (BEARER_KEEP_S + 1) * CLOCK_US_PER_S),
		0);
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM bearers"), 0);
}

static void
test_only_a_site_that_enrolled_gets_one(void **state)
{
	static const char *const rows[][2] = { { "acme", "acme-2" }, { "globex", "acme-1" },
		{ "", "" } };
	char text[BEARER_TEXT_MAX] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = refuse_count(REASON_NOT_FOUND);

		assert_int_equal(bearer_mint(fleet(), rows[i][0], rows[i][1], BENCH_NOW,
					 BENCH_NOW * 2, text),
			REASON_NOT_FOUND);
		assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	}
	assert_string_equal(text, "");
	assert_int_equal(bench_count(fleet(), "SELECT count(*) FROM bearers"), 1);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_token_is_its_sites_on_its_routes),
		TEST(test_the_hub_keeps_no_token),
		TEST(test_tokens_that_are_none),
		TEST(test_a_token_ends_and_is_revoked),
		TEST(test_only_a_site_that_enrolled_gets_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
