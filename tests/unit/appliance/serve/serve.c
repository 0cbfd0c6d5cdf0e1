#include "appliance/serve/serve.h"

#include <errno.h>

#include "appliance/serve/batch.h"
#include "appliance/serve/problem.h"
#include "tests/fakes/hub_bench.h"

/* --- a module to knock on ------------------------------------------------------------------------------- */
static unsigned handled;

static int
on_open_route(struct http_call *call, void *state)
{
	(void)state;
	handled++;
	http_call_reply(call, 200, "text/plain", call->segments[0], strlen(call->segments[0]));
	return 0;
}

static int
on_batch(struct http_call *call, void *state)
{
	static const char *const streams[] = { "metrics", NULL };
	struct batch b;
	int r = batch_begin(&b, call, serve_databases(state), streams);

	if (r != 0)
		return r;
	if (strcmp(call->path, "/coded") == 0) { /* its first byte is the coding */
		b.content = (const char *)call->body + 1;
		b.content_len = call->body_len - 1;
	}
	if (b.seen && strcmp(call->path, "/batch") != 0)
		r = batch_take_over(&b, call);
	if (r == 0 && !b.seen)
		r = db_exec(b.db, "INSERT INTO things(text) VALUES(?1)", "t", call->body_len ? "body" : "none");
	if (r == 0 && call->body_len == 4 && memcmp(call->body, "fail", 4) == 0)
		r = REFUSE(REASON_ALTERED, "thing", "as asked");
	return batch_end(&b, call, r, NULL, NULL, 0);
}

static int
on_fault(struct http_call *call, void *state)
{
	(void)call;
	(void)state;
	return -EIO;
}

static int
on_module_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const char *const steps[] = { "CREATE TABLE things(text TEXT) STRICT" };
static const struct db_migration migration = { "things", steps, 1 };
static const struct route routes[] = {
	{ "GET", "/open/{}/x", ROUTE_OPEN, 0, on_open_route, 0 },
	{ "POST", "/batch", ROUTE_SITE, 16, on_batch, 0 },
	{ "POST", "/over", ROUTE_SITE, 16, on_batch, 0 },
	{ "POST", "/coded", ROUTE_SITE, 16, on_batch, 0 },
	{ "POST", "/otlp", ROUTE_SITE, 16, on_batch, ROUTE_OTLP },
	{ "GET", "/site", ROUTE_SITE, 0, on_open_route, 0 },
	{ "GET", "/pending", ROUTE_SITE, 0, on_open_route, ROUTE_PENDING },
	{ "GET", "/engineer", ROUTE_ENGINEER, 0, on_open_route, 0 },
	{ "GET", "/fault", ROUTE_OPEN, 0, on_fault, 0 },
};
static const struct serve_module things = {
	.name = "things",
	.customer = &migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_module_open,
};
static const struct serve_module *const modules[] = { &things, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	handled = 0;
	return 0;
}

/* --- routes --------------------------------------------------------------------------------------------- */
static void
test_a_route_is_found_by_method_and_whole_path(void **state)
{
	static const char *const nowhere[] = { "/", "/open", "/open//x", "/open/a/x/", "/open/a/b/x", "/open/a%2fb/x",
		"/open/a/xy", "/site/" };

	(void)state;
	assert_int_equal(bench_ask(NULL, "GET", "/open/abc/x", NULL, 0)->status, 200);
	assert_int_equal(bench_ask(NULL, "GET", "/open/abc/x?a=1", NULL, 0)->status, 200);
	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++)
		bench_refused(bench_ask(NULL, "GET", nowhere[i], NULL, 0), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(NULL, "POST", "/open/abc/x", NULL, 0), 404, REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "is not for POST (but for GET)");
	bench_refused(bench_ask(NULL, "GET", "/open/abc/x?a", "x", 1), 413, REASON_TOO_LARGE);
	bench_refused(bench_ask(NULL, "GET", "/open/abc/x?a=1&a=2", NULL, 0), 400, REASON_MALFORMED);
	bench_refused(bench_ask(NULL, "GET", "/fault", NULL, 0), 503, REASON_FAULT);
	assert_int_equal(handled, 2);
}

static void
test_a_refusal_is_a_problem_or_a_status(void **state)
{
	struct bench_call *c = bench_ask(NULL, "GET", "/site", NULL, 0);
	SCOPED_JSON *doc = bench_json(c);

	(void)state;
	assert_string_equal(http_call_added(&c->pub, "Content-Type"), "application/problem+json");
	assert_string_equal(json_string_value(json_object_get(doc, "reason")), "unsigned");
	assert_int_equal(json_integer_value(json_object_get(doc, "status")), 401);
	c = bench_ask(NULL, "POST", "/otlp", NULL, 0);
	bench_refused(c, 401, REASON_UNSIGNED);
	assert_string_equal(http_call_added(&c->pub, "Content-Type"), "application/x-protobuf");
	/* google.rpc.Status: code 16, then a message. */
	assert_memory_equal(c->body.data, "\x08\x10\x12", 3);
}

/* --- signatures ------------------------------------------------------------------------------------------- */
static void
test_replies_are_signed_over_the_nonce(void **state)
{
	struct bench_call *c = bench_new("GET", "/open/a/x", NULL, 0);
	struct httpsig_message m = { .status = 200 };

	(void)state;
	bench_header(c, "mainstay-nonce", "cafe");
	bench_send(c);
	m.headers = c->out;
	m.n_headers = c->n_out;
	assert_int_equal(httpsig_verify_reply(&m, c->body.data, c->body.len, "cafe", ed25519_public(bench.hub_key), NULL),
		0);
	assert_int_equal(httpsig_verify_reply(&m, c->body.data, c->body.len, "beef", ed25519_public(bench.hub_key), NULL),
		REASON_REPLAYED);
	c = bench_new("GET", "/nothing", NULL, 0);
	bench_header(c, "mainstay-nonce", "not a\"nonce");
	bench_send(c);
	bench_refused(c, 404, REASON_NOT_FOUND);
	assert_null(http_call_added(&c->pub, "Signature"));
}

static void
test_only_a_known_key_of_the_right_kind_passes(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;

	(void)state;
	assert_int_equal(ed25519_generate(&stranger), 0);
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	assert_int_equal(bench_ask(bench.engineer, "GET", "/engineer", NULL, 0)->status, 200);
	bench_refused(bench_ask(NULL, "GET", "/site", NULL, 0), 401, REASON_UNSIGNED);
	bench_refused(bench_ask(stranger, "GET", "/site", NULL, 0), 401, REASON_UNKNOWN_KEY);
	assert_string_equal(refuse_last()->text, "signs no requests here");
	bench_refused(bench_ask(bench.engineer, "GET", "/site", NULL, 0), 403, REASON_WRONG_ROLE);
	bench_refused(bench_ask(bench.courier, "GET", "/engineer", NULL, 0), 403, REASON_WRONG_ROLE);
	assert_int_equal(handled, 2);
}

static void
test_a_signature_holds_for_its_time_host_and_body(void **state)
{
	struct bench_call *c = bench_new("GET", "/site", NULL, 0);

	(void)state;
	bench_sign(c, bench.courier);
	clock_fake(BENCH_NOW + 3600 * CLOCK_US_PER_S, BENCH_NOW);
	bench_send(c);
	bench_refused(c, 401, REASON_EXPIRED);
	c = bench_new("GET", "/site", NULL, 0);
	bench_sign(c, bench.courier);
	clock_fake(BENCH_NOW, BENCH_NOW);
	bench_send(c);
	bench_refused(c, 401, REASON_NOT_YET_VALID);
	assert_non_null(http_call_added(&c->pub, "Signature")); /* our time, believable */

	c = bench_new("GET", "/site", NULL, 0);
	c->in[0].value = "other.example:1";
	bench_sign(c, bench.courier);
	bench_send(c);
	bench_refused(c, 401, REASON_BAD_SIGNATURE);

	c = bench_new("GET", "/site", NULL, 0);
	bench_sign_for(c, bench.courier, "other.example:1");
	c->in[0].value = "other.example:1";
	bench_send(c);
	bench_refused(c, 401, REASON_WRONG_ADDRESSEE);

	c = bench_new("POST", "/batch", "abcd", 4);
	bench_header(c, "mainstay-stream", "metrics");
	bench_header(c, "mainstay-sequence", "1");
	bench_sign(c, bench.courier);
	c->pub.body = (const uint8_t *)"abce";
	bench_send(c);
	bench_refused(c, 401, REASON_HASH_MISMATCH);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM things"), 0);
	assert_int_equal(handled, 0);
}

static void
test_a_key_ends_and_a_newer_one_takes_over(void **state)
{
	struct auth_identity next = { .kind = AUTH_SITE, .site = "acme-1", .customer = "acme" }, former;
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	uint64_t before = refuse_count(REASON_EXPIRED);

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	memcpy(next.key, ed25519_public(key), 32);
	memcpy(next.keyid, ed25519_keyid(key), 65);
	/* One that ends earlier is a former one, and is over. */
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &next, BENCH_NOW + 7200 * CLOCK_US_PER_S),
		REASON_EXPIRED);
	assert_int_equal(refuse_count(REASON_EXPIRED), before + 1);
	clock_fake(BENCH_NOW + 7100 * CLOCK_US_PER_S, BENCH_NOW);
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	bench_refused(bench_ask(key, "GET", "/site", NULL, 0), 401, REASON_UNKNOWN_KEY);
	clock_fake(BENCH_NOW + 7300 * CLOCK_US_PER_S, BENCH_NOW);
	/* One that ends later ends the others within the hour. */
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &next, BENCH_NOW * 3), 0);
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	/* What was said of the former one, said again, gives it no more than that hour. */
	former = (struct auth_identity){ .kind = AUTH_SITE, .site = "acme-1", .customer = "acme" };
	memcpy(former.key, ed25519_public(bench.courier), 32);
	memcpy(former.keyid, ed25519_keyid(bench.courier), 65);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &former, BENCH_NOW * 2), 0);
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	clock_fake(BENCH_NOW + 20000 * CLOCK_US_PER_S, BENCH_NOW);
	bench_refused(bench_ask(bench.courier, "GET", "/site", NULL, 0), 401, REASON_EXPIRED);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &former, BENCH_NOW * 2), 0);
	bench_refused(bench_ask(bench.courier, "GET", "/site", NULL, 0), 401, REASON_EXPIRED);
	assert_int_equal(registry_key_sweep(serve_databases(bench.serve), clock_now_us()), 0);
	bench_refused(bench_ask(bench.courier, "GET", "/site", NULL, 0), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &former, BENCH_NOW * 2), REASON_EXPIRED);
	bench_refused(bench_ask(bench.courier, "GET", "/site", NULL, 0), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(bench_ask(key, "GET", "/site", NULL, 0)->status, 200);
}

/* Whoever registers a key only names it. */
static void
test_a_key_stays_whose_it_is(void **state)
{
	static const struct auth_identity others[] = {
		{ .kind = AUTH_SITE, .site = "other-1", .customer = "other" },
		{ .kind = AUTH_SITE, .site = "acme-2", .customer = "acme" },
		{ .kind = AUTH_ENGINEER, .engineer = "bob", .customers = ",acme," },
	};
	struct databases *d = serve_databases(bench.serve);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct auth_identity who = others[i];
		uint64_t n = refuse_count(REASON_CONFLICT);

		memcpy(who.key, ed25519_public(bench.courier), 32);
		memcpy(who.keyid, ed25519_keyid(bench.courier), 65);
		assert_int_equal(registry_key_put(d, &who, BENCH_NOW * 3), REASON_CONFLICT);
		assert_int_equal(refuse_last()->reason, REASON_CONFLICT);
		assert_int_equal(refuse_count(REASON_CONFLICT), n + 1);
		assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	}
}

/* Statements of a courier's key end later and later. */
static void
test_a_superseded_key_statement_gives_nobody_a_key(void **state)
{
	struct auth_identity who = { .kind = AUTH_SITE, .site = "acme-1", .customer = "acme" }, next = who;
	const uint64_t week = BENCH_NOW + 7 * 86400 * CLOCK_US_PER_S;
	struct databases *d = serve_databases(bench.serve);
	SCOPED(ed25519_freep) struct ed25519 *key = NULL, *stolen = NULL;
	uint64_t n;

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(ed25519_generate(&stolen), 0);
	memcpy(who.key, ed25519_public(stolen), 32);
	memcpy(who.keyid, ed25519_keyid(stolen), 65);
	memcpy(next.key, ed25519_public(key), 32);
	memcpy(next.keyid, ed25519_keyid(key), 65);
	assert_int_equal(registry_site_forget_keys(d, "acme-1"), 0);
	assert_int_equal(registry_courier_put(d, &who, week), 0);
	assert_int_equal(registry_courier_put(d, &who, week), 0); /* its answer was lost */
	assert_int_equal(registry_courier_put(d, &next, week + 1000), 0);
	assert_int_equal(registry_site_forget_keys(d, "acme-1"), 0);
	for (unsigned i = 0; i < 3; i++) { /* the old one again; another of the same end; the present one of another key */
		n = refuse_count(REASON_REPLAYED);
		assert_int_equal(registry_courier_put(d, &who, week + (i == 1) * 999 + (i == 2) * 1000),
			REASON_REPLAYED);
		assert_int_equal(refuse_count(REASON_REPLAYED), n + 1);
	}
	bench_refused(bench_ask(stolen, "GET", "/site", NULL, 0), 401, REASON_UNKNOWN_KEY);
	assert_int_equal(registry_courier_put(d, &next, week + 2000), 0);
	assert_int_equal(bench_ask(key, "GET", "/site", NULL, 0)->status, 200);
}

/* Nothing of a site counts before an engineer has accepted it, but its asking for the record. */
static void
test_a_pending_site_is_heard_only_where_a_route_says_so(void **state)
{
	struct bench_call *c;

	(void)state;
	assert_int_equal(registry_site_status(serve_databases(bench.serve), "acme-1", REGISTRY_PENDING), 0);
	c = bench_ask(bench.courier, "GET", "/site", NULL, 0);
	bench_refused(c, 403, REASON_NOT_APPROVED);
	assert_non_null(strstr(buf_text(&c->body), "mainstay-desk accept acme-1"));
	bench_refused(bench_batch("/batch", "metrics", "1", "text/plain", "x", 1), 403, REASON_NOT_APPROVED);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM things"), 0);
	assert_int_equal(bench_ask(bench.courier, "GET", "/pending", NULL, 0)->status, 200);
	assert_int_equal(registry_site_status(serve_databases(bench.serve), "acme-1", REGISTRY_CLONED), 0);
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	assert_int_equal(handled, 2);
}

static void
test_a_nonce_counts_once_also_after_a_restart(void **state)
{
	struct bench_call *c = bench_new("GET", "/site", NULL, 0), *again;
	char input[512], signature[256];

	(void)state;
	bench_sign(c, bench.courier);
	(void)snprintf(input, sizeof(input), "%s", http_call_get(&c->pub, "signature-input"));
	(void)snprintf(signature, sizeof(signature), "%s", http_call_get(&c->pub, "signature"));
	bench_send(c);
	assert_int_equal(c->status, 200);
	for (int round = 0; round < 2; round++) {
		again = bench_new("GET", "/site", NULL, 0);
		bench_header(again, "signature-input", input);
		bench_header(again, "signature", signature);
		bench_send(again);
		bench_refused(again, 409, REASON_REPLAYED);
		bench_restart(modules);
	}
	/* As long as the signature could hold, sweeping forgets nothing. */
	assert_int_equal(auth_nonce_sweep(serve_databases(bench.serve), BENCH_NOW + 300 * CLOCK_US_PER_S), 0);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)), "SELECT count(*) FROM nonces"), 1);
	assert_int_equal(auth_nonce_sweep(serve_databases(bench.serve), BENCH_NOW + 400 * CLOCK_US_PER_S), 0);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)), "SELECT count(*) FROM nonces"), 0);
}

/* A request signed at one time and sent again later. */
static struct bench_call *
again(const char *input, const char *signature)
{
	struct bench_call *c = bench_new("GET", "/site", NULL, 0);

	bench_header(c, "signature-input", input);
	bench_header(c, "signature", signature);
	bench_send(c);
	return c;
}

static uint64_t
judged_us(void)
{
	uint64_t us;

	assert_int_equal(auth_now_us(serve_databases(bench.serve), &us), 0);
	return us;
}

static void
test_a_clock_set_back_reopens_no_window(void **state)
{
	struct bench_call *c = bench_new("GET", "/site", NULL, 0);
	struct httpsig_message m = { .status = 401 };
	char input[512], signature[256];
	uint64_t created_s = 0;

	(void)state;
	bench_sign(c, bench.courier);
	(void)snprintf(input, sizeof(input), "%s", http_call_get(&c->pub, "signature-input"));
	(void)snprintf(signature, sizeof(signature), "%s", http_call_get(&c->pub, "signature"));
	bench_send(c);
	assert_int_equal(c->status, 200);
	/* An hour on, it is forgotten; then the clock goes back to where it was taken. */
	clock_fake(BENCH_NOW + 3600 * CLOCK_US_PER_S, BENCH_NOW + 3600 * CLOCK_US_PER_S);
	assert_int_equal(auth_nonce_sweep(serve_databases(bench.serve), clock_now_us()), 0);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)), "SELECT count(*) FROM nonces"), 0);
	for (int round = 0; round < 2; round++) {
		clock_fake(BENCH_NOW, BENCH_NOW + 3600 * CLOCK_US_PER_S);
		c = again(input, signature);
		bench_refused(c, 401, REASON_EXPIRED);
		/* Who signs with the time that we answer with is taken. */
		m.headers = c->out;
		m.n_headers = c->n_out;
		assert_int_equal(httpsig_verify_reply(&m, c->body.data, c->body.len, c->pub.nonce,
					 ed25519_public(bench.hub_key), &created_s),
			0);
		assert_int_equal(created_s, BENCH_NOW / CLOCK_US_PER_S + 360);
		c = bench_new("GET", "/site", NULL, 0);
		clock_fake(created_s * CLOCK_US_PER_S, BENCH_NOW + 3600 * CLOCK_US_PER_S);
		bench_sign(c, bench.courier);
		clock_fake(BENCH_NOW, BENCH_NOW + 3600 * CLOCK_US_PER_S);
		bench_send(c);
		assert_int_equal(c->status, 200);
		bench_restart(modules);
	}
	/* It goes on by the other clock until the first has caught up. */
	assert_int_equal(judged_us(), BENCH_NOW + 360 * CLOCK_US_PER_S);
	clock_fake(BENCH_NOW + 5 * CLOCK_US_PER_S, BENCH_NOW + 3605 * CLOCK_US_PER_S);
	assert_int_equal(judged_us(), BENCH_NOW + 365 * CLOCK_US_PER_S);
	clock_fake(BENCH_NOW + 400 * CLOCK_US_PER_S, BENCH_NOW + 3606 * CLOCK_US_PER_S);
	assert_int_equal(judged_us(), BENCH_NOW + 400 * CLOCK_US_PER_S);
}

/* It is the hub that failed, not the caller's clock; and no reply tells of a time that nobody read. */
static void
test_a_clock_that_cannot_be_read_accuses_nobody(void **state)
{
	struct bench_call *c = bench_new("GET", "/site", NULL, 0);
	struct db *fleet = databases_fleet(serve_databases(bench.serve));

	(void)state;
	bench_sign(c, bench.courier);
	assert_int_equal(db_exec(fleet, "ALTER TABLE nonces_swept RENAME TO elsewhere", ""), 0);
	bench_send(c);
	bench_refused(c, 503, REASON_FAULT);
	assert_null(http_call_added(&c->pub, "Signature"));
}

/* A clock that ran ahead for a while forgets only what is old by what its signers said. */
static void
test_a_clock_that_ran_ahead_strands_nobody(void **state)
{
	uint64_t ahead = BENCH_NOW + UINT64_C(2000000000) * CLOCK_US_PER_S;

	(void)state;
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
	clock_fake(ahead, BENCH_NOW);
	assert_int_equal(auth_nonce_sweep(serve_databases(bench.serve), ahead), 0);
	clock_fake(BENCH_NOW + 361 * CLOCK_US_PER_S, BENCH_NOW);
	assert_int_equal(bench_ask(bench.courier, "GET", "/site", NULL, 0)->status, 200);
}

static void
test_a_signature_refused_is_told_which_would_be_taken(void **state)
{
	struct bench_call *c = bench_ask(NULL, "GET", "/site", NULL, 0);

	(void)state;
	assert_int_equal(c->status, 401);
	assert_non_null(strstr(http_call_added(&c->pub, "Accept-Signature"), "created;expires;"));
	c = bench_ask(bench.engineer, "GET", "/site", NULL, 0);
	bench_refused(c, 403, REASON_WRONG_ROLE);
	assert_null(http_call_added(&c->pub, "Accept-Signature"));
}

static void
test_a_claim_that_cannot_be_read_is_refused_once(void **state)
{
	struct bench_call *c = bench_new("GET", "/site", NULL, 0);

	(void)state;
	bench_header(c, "signature-input", "((");
	bench_header(c, "signature", "sig=:AAAA:");
	bench_send(c);
	bench_refused(c, 401, REASON_MALFORMED);
}

/* --- batches ------------------------------------------------------------------------------------------------ */
static void
test_a_batch_is_stored_once(void **state)
{
	struct bench_call *c = bench_batch("/batch", "metrics", "1", "text/plain", "a", 1);

	(void)state;
	assert_int_equal(c->status, 200);
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "1");
	c = bench_batch("/batch", "metrics", "1", "text/plain", "b", 1);
	assert_int_equal(c->status, 200);
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "1");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM things"), 1);
	bench_restart(modules);
	c = bench_batch("/batch", "metrics", "7", "text/plain", "c", 1);
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "7");
	c = bench_batch("/batch", "metrics", "7", "text/plain", "d", 1);
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "7");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM things"), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM batches"), 2);
	assert_int_equal(batch_forget(bench_db(), "acme-1"), 0);
	c = bench_batch("/batch", "metrics", "1", "text/plain", "f", 1);
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "1");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM things"), 3);
}

#define HUGE_NUMBER "9007199254740991"

/* Is a batch of this number new to the hub? */
static bool
is_taken(const char *sequence)
{
	int64_t before = bench_count(bench_db(), "SELECT count(*) FROM things");
	struct bench_call *c = bench_batch("/batch", "metrics", sequence, "text/plain", "x", 1);

	assert_int_equal(c->status, 200);
	return bench_count(bench_db(), "SELECT count(*) FROM things") > before;
}

/* A thief of the courier's key posts what is well made under a number that the site will never reach. */
static void
test_a_huge_number_hides_nothing_that_comes_after_it(void **state)
{
	uint64_t later = BENCH_NOW + 1000 * CLOCK_US_PER_S;

	(void)state;
	assert_true(is_taken("1") && is_taken("2") && is_taken(HUGE_NUMBER));
	assert_true(is_taken("3") && is_taken("5"));
	assert_false(is_taken("1") || is_taken("3") || is_taken("5") || is_taken(HUGE_NUMBER));
	/* Nor once rows are swept: those below what the site said since stay had, the huge one raises nothing. */
	clock_fake(later, later);
	assert_true(is_taken("6"));
	assert_int_equal(batch_sweep(bench_db(), later), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM batches"), 1);
	bench_restart(modules);
	assert_false(is_taken("1") || is_taken("4") || is_taken("5") || is_taken("6"));
	assert_true(is_taken("7"));
	assert_int_equal(bench_count(bench_db(), "SELECT floor FROM streams"), 5);
}

/* The thief speaks last, and the site is off until all rows are old. */
static void
test_a_huge_number_hides_nothing_from_a_site_that_was_off(void **state)
{
	(void)state;
	assert_true(is_taken("1") && is_taken("2") && is_taken(HUGE_NUMBER));
	assert_int_equal(batch_sweep(bench_db(), BENCH_NOW + 1), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM batches"), 0);
	assert_true(is_taken("3"));
}

/* What the acknowledgement says, and that the hub signed it. */
static void
acknowledged(struct bench_call *c, json_int_t sequence, const char *content)
{
	struct httpsig_message m = { .status = 200, .headers = c->out, .n_headers = c->n_out };
	SCOPED_JSON *ack = bench_json(c), *want = NULL;
	uint8_t digest[SHA256_LEN];
	char text[SHA256_TEXT_MAX];

	sha256_of(digest, content, strlen(content));
	want = json_pack("{s:i, s:s, s:s, s:I, s:s}", "v", 1, "site", "acme-1", "stream", "metrics", "sequence",
		sequence, "sha256", sha256_text(text, digest));
	if (!*content)
		(void)json_object_del(want, "sha256");
	assert_true(json_equal(ack, want));
	assert_int_equal(httpsig_verify_reply(&m, c->body.data, c->body.len, c->pub.nonce,
				 ed25519_public(bench.hub_key), NULL),
		0);
}

static int64_t
how_many(void)
{
	return bench_count(bench_db(), "SELECT count(*) FROM things");
}

/* A site restored from an image gives out its numbers anew; what a thief posted ahead stands in nobody's way. */
static void
test_other_content_under_a_number_is_another_batch(void **state)
{
	uint64_t before = batch_count_another();

	(void)state;
	assert_int_equal(bench_batch("/over", "metrics", "1", "text/plain", "a", 1)->status, 200);
	assert_int_equal(bench_batch("/over", "metrics", "2", "text/plain", "b", 1)->status, 200);
	assert_int_equal(bench_batch("/over", "metrics", "2", "text/plain", "b", 1)->status, 200);
	assert_int_equal(how_many(), 2); /* the same: an answer was lost */
	assert_int_equal(bench_batch("/over", "metrics", "1", "text/plain", "new", 3)->status, 200);
	assert_int_equal(how_many(), 3);
	assert_int_equal(bench_batch("/over", "metrics", "1", "text/plain", "new", 3)->status, 200);
	assert_int_equal(how_many(), 3); /* each of them once */
	assert_int_equal(bench_batch("/over", "metrics", "2", "text/plain", "other", 5)->status, 200);
	assert_int_equal(how_many(), 4);
	assert_int_equal(batch_count_another(), before + 2);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM batches"), 2);
	acknowledged(bench_batch("/batch", "metrics", "1", "text/plain", "x", 1), 1, "new");
	/* Of a number whose row was swept nobody knows. */
	clock_fake(BENCH_NOW + 1, BENCH_NOW + 1);
	assert_int_equal(bench_batch("/over", "metrics", "3", "text/plain", "c", 1)->status, 200);
	assert_int_equal(batch_sweep(bench_db(), BENCH_NOW + 1), 0);
	assert_int_equal(bench_batch("/over", "metrics", "1", "text/plain", "y", 1)->status, 200);
	assert_int_equal(how_many(), 5);
	assert_int_equal(batch_count_another(), before + 2);
}

/* Packed otherwise it is the same; and so it is under the digest that an older program kept. */
static void
test_one_record_in_two_codings_is_one(void **state)
{
	uint8_t digest[SHA256_LEN];

	(void)state;
	assert_int_equal(bench_batch("/coded", "metrics", "1", "text/plain", "1plain", 6)->status, 200);
	assert_int_equal(bench_batch("/coded", "metrics", "1", "text/plain", "2plain", 6)->status, 200);
	assert_int_equal(how_many(), 1);
	assert_int_equal(bench_batch("/coded", "metrics", "1", "text/plain", "2other", 6)->status, 200);
	assert_int_equal(how_many(), 2);
	sha256_of(digest, "3older", 6);
	assert_int_equal(db_exec(bench_db(), "UPDATE batches SET sha256 = ?1", "b", digest, sizeof(digest)), 0);
	assert_int_equal(bench_batch("/coded", "metrics", "1", "text/plain", "3older", 6)->status, 200);
	assert_int_equal(how_many(), 2);
}

static void
test_a_file_of_an_older_program_keeps_what_was_had(void **state)
{
	struct db_migration older = batch_customer_migration;
	SCOPED(db_closep) struct db *db = NULL;
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/older.db", bench.scratch.path);
	assert_int_equal(db_open(&db, path), 0);
	older.n_steps = 2;
	assert_int_equal(db_migrate(db, &older, 1), 0);
	assert_int_equal(db_exec(db, "INSERT INTO streams VALUES('a', 'metrics', 9), ('b', 'metrics', 7)", ""), 0);
	assert_int_equal(db_exec(db, "INSERT INTO batches VALUES('a', 'metrics', 5, 1, 1, NULL), ('a', 'metrics', 9, 1, 1, NULL)",
				 ""),
		0);
	assert_int_equal(db_migrate(db, &batch_customer_migration, 1), 0);
	assert_int_equal(bench_count(db, "SELECT floor FROM streams WHERE site = 'a' AND last = 9"), 4);
	assert_int_equal(bench_count(db, "SELECT floor FROM streams WHERE site = 'b' AND last = 7"), 7);
}

static void
test_an_acknowledgement_names_what_was_committed(void **state)
{
	(void)state;
	acknowledged(bench_batch("/batch", "metrics", "5", "text/plain", "a", 1), 5, "a");
	/* Other content under the same number: told what stands there. */
	acknowledged(bench_batch("/batch", "metrics", "5", "text/plain", "b", 1), 5, "a");
	/* One whose row was swept: nobody can say. */
	clock_fake(BENCH_NOW + 1, BENCH_NOW + 1);
	acknowledged(bench_batch("/batch", "metrics", "6", "text/plain", "c", 1), 6, "c");
	assert_int_equal(batch_sweep(bench_db(), BENCH_NOW + 1), 0);
	acknowledged(bench_batch("/batch", "metrics", "5", "text/plain", "a", 1), 5, "");
}

static void
test_a_refused_batch_leaves_nothing(void **state)
{
	static const char *const sequences[] = { "0", "", "x", "01", "-1", "9007199254740992", "99999999999999999999" };
	struct bench_call *c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sequences); i++)
		bench_refused(bench_batch("/batch", "metrics", sequences[i], "text/plain", "a", 1), 400, REASON_MALFORMED);
	bench_refused(bench_batch("/batch", "other", "1", "text/plain", "a", 1), 400, REASON_MALFORMED);
	c = bench_batch("/batch", "metrics", "1", "text/plain", "fail", 4);
	bench_refused(c, 403, REASON_ALTERED);
	assert_null(http_call_added(&c->pub, "Mainstay-Committed"));
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM things"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 0);
	bench_refused(bench_batch("/batch", "metrics", "1", "text/plain", "seventeen letters", 17), 413, REASON_TOO_LARGE);
	assert_int_equal(bench_batch("/batch", "metrics", "1", "text/plain", "a", 1)->status, 200);
}

/* --- engineers, counters ---------------------------------------------------------------------------------- */
static void
test_a_login_covers_what_it_named_while_people_says_so(void **state)
{
	struct auth_identity ada = { .kind = AUTH_ENGINEER, .engineer = "ada", .customers = ",acme,globex," };
	struct auth_identity site = { .kind = AUTH_SITE, .customers = ",*," };

	(void)state;
	assert_true(auth_covers(&ada, "acme") && auth_covers(&ada, "globex"));
	assert_false(auth_covers(&ada, "acm") || auth_covers(&ada, "cme") || auth_covers(&ada, "acme,globex2"));
	assert_false(auth_covers(&site, "acme"));
	assert_int_equal(serve_engineer(bench.serve, &ada, "support", "acme", "x"), 0);
	assert_int_equal(serve_engineer(bench.serve, &ada, "support", "initech", "x"), REASON_NOT_FOUND);
	bench.engineer_says = REASON_REVOKED;
	assert_int_equal(serve_engineer(bench.serve, &ada, "support", "acme", "x"), REASON_REVOKED);
}

/* People may say less than the login by now; a test sets which. */
static int
says_wrong_role(const struct auth_identity *who, const char *role, const char *customer, void *arg)
{
	(void)arg;
	if (customer && strcmp(customer, "globex") == 0)
		return REFUSE(REASON_WRONG_ROLE, who->engineer, "is not for %s", customer);
	return role ? REFUSE(REASON_WRONG_ROLE, who->engineer, "has not the role %s", role) : 0;
}

static void
test_what_is_not_there_and_what_is_anothers_is_one_answer(void **state)
{
	struct auth_identity ada = { .kind = AUTH_ENGINEER, .engineer = "ada", .customers = ",acme," };
	struct auth_identity bob = { .kind = AUTH_ENGINEER, .engineer = "bob", .customers = ",*," };
	struct registry_site site = { .site = "globex-1", .customer = "globex", .platform = "p" };
	SCOPED(registry_site_done) struct registry_site found = { 0 };
	const struct auth_identity *both[] = { &ada, &bob };
	struct serve_config *config = (struct serve_config *)serve_config(bench.serve);
	struct db *db = NULL;

	(void)state;
	assert_int_equal(registry_site_put(serve_databases(bench.serve), &site), 0);
	config->engineer = says_wrong_role;
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		char text[REFUSE_TEXT_MAX];
		uint64_t before = refuse_count(REASON_NOT_FOUND);

		assert_int_equal(serve_find_site(bench.serve, both[i], "none", &found, &db), REASON_NOT_FOUND);
		assert_string_equal(refuse_last()->operand, "none");
		(void)snprintf(text, sizeof(text), "%s", refuse_last()->text);
		registry_site_done(&found);
		assert_int_equal(serve_find_site(bench.serve, both[i], "globex-1", &found, &db), REASON_NOT_FOUND);
		assert_string_equal(refuse_last()->operand, "globex-1");
		assert_string_equal(refuse_last()->text, text);
		registry_site_done(&found);
		assert_null(db);
		assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 2);
	}
	assert_int_equal(serve_find_site(bench.serve, &ada, "acme-1", &found, &db), 0);
	assert_non_null(db);
	/* Of his own customer an engineer is told which role he lacks. */
	assert_int_equal(serve_engineer(bench.serve, &ada, "support", "acme", "x"), REASON_WRONG_ROLE);
}

static void
test_who_is_no_engineer_any_more_reaches_no_handler(void **state)
{
	(void)state;
	handled = 0;
	bench.engineer_says = REASON_REVOKED;
	bench_refused(bench_ask(bench.engineer, "GET", "/engineer", NULL, 0), 403, REASON_REVOKED);
	assert_int_equal(handled, 0);
	bench.engineer_says = 0;
	assert_int_equal(bench_ask(bench.engineer, "GET", "/engineer", NULL, 0)->status, 200);
}

static int
add_name(const char *name, struct db *db, void *arg)
{
	(void)db;
	return json_array_append_new(arg, json_string(name)) < 0 ? -ENOMEM : 0;
}

static void
test_a_list_says_whose_file_it_could_not_read(void **state)
{
	struct auth_identity ada = { .kind = AUTH_ENGINEER, .engineer = "ada", .customers = ",acme,globex," };
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 16);
	SCOPED_JSON *names = json_array();
	SCOPED_JSON *unavailable = json_array();
	SCOPED_JSON *doc = NULL;
	struct bench_call *c = bench_new("GET", "/x", NULL, 0);

	(void)state;
	(void)bench_db();
	for (const char *const *name = (const char *const[]){ "globex", "initech", NULL }; *name; name++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "customers/%s.db", *name);
		scratch_put(&bench.scratch, path, "no database, no database, no database", 37);
	}
	assert_int_equal(serve_each_customer(bench.serve, &ada, add_name, names, unavailable), 0);
	assert_int_equal(json_array_size(names), 1);
	assert_string_equal(json_string_value(json_array_get(names, 0)), "acme");
	assert_int_equal(json_array_size(unavailable), 1);
	assert_string_equal(json_string_value(json_array_get(unavailable, 0)), "globex");
	assert_int_equal(serve_reply_items(&c->pub, names, unavailable), 0);
	doc = bench_json(c);
	assert_int_equal(json_array_size(json_object_get(doc, "unavailable")), 1);
	serve_metrics(bench.serve, &out);
	assert_non_null(strstr(buf_text(&out), "mainstay_hub_customers_ailing 1\n"));
	assert_non_null(strstr(buf_text(&out), "mainstay_hub_customer_ailing{customer=\"globex\",why=\"EUCLEAN\"} 1\n"));
}

static void
test_the_counters_count(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1 << 16);

	(void)state;
	(void)bench_ask(NULL, "GET", "/open/a/x", NULL, 0);
	(void)bench_ask(NULL, "GET", "/open/b/x", NULL, 0);
	(void)bench_ask(NULL, "GET", "/nothing", NULL, 0);
	serve_metrics(bench.serve, &out);
	assert_non_null(strstr(buf_text(&out),
		"mainstay_hub_requests_total{method=\"GET\",route=\"/open/{}/x\",code=\"200\"} 2\n"));
	assert_non_null(
		strstr(buf_text(&out), "mainstay_hub_requests_total{method=\"\",route=\"\",code=\"404\"} 1\n"));
	assert_non_null(strstr(buf_text(&out), "# TYPE mainstay_hub_refusals_total counter\n"));
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_route_is_found_by_method_and_whole_path),
		TEST(test_a_refusal_is_a_problem_or_a_status),
		TEST(test_replies_are_signed_over_the_nonce),
		TEST(test_only_a_known_key_of_the_right_kind_passes),
		TEST(test_a_signature_holds_for_its_time_host_and_body),
		TEST(test_a_key_ends_and_a_newer_one_takes_over),
		TEST(test_a_key_stays_whose_it_is),
		TEST(test_a_superseded_key_statement_gives_nobody_a_key),
		TEST(test_a_pending_site_is_heard_only_where_a_route_says_so),
		TEST(test_a_nonce_counts_once_also_after_a_restart),
		TEST(test_a_clock_set_back_reopens_no_window),
		TEST(test_a_clock_that_cannot_be_read_accuses_nobody),
		TEST(test_a_clock_that_ran_ahead_strands_nobody),
		TEST(test_a_signature_refused_is_told_which_would_be_taken),
		TEST(test_a_claim_that_cannot_be_read_is_refused_once),
		TEST(test_a_batch_is_stored_once),
		TEST(test_a_huge_number_hides_nothing_that_comes_after_it),
		TEST(test_other_content_under_a_number_is_another_batch),
		TEST(test_one_record_in_two_codings_is_one),
		TEST(test_a_file_of_an_older_program_keeps_what_was_had),
		TEST(test_a_huge_number_hides_nothing_from_a_site_that_was_off),
		TEST(test_an_acknowledgement_names_what_was_committed),
		TEST(test_a_refused_batch_leaves_nothing),
		TEST(test_a_login_covers_what_it_named_while_people_says_so),
		TEST(test_what_is_not_there_and_what_is_anothers_is_one_answer),
		TEST(test_who_is_no_engineer_any_more_reaches_no_handler),
		TEST(test_a_list_says_whose_file_it_could_not_read),
		TEST(test_the_counters_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
