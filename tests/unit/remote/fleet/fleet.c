#include "remote/fleet/fleet.h"

#include "appliance/base/hex.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/note.h"
#include "remote/fleet/login.h"
#include "tests/fakes/hub_bench.h"

static const struct serve_module *const modules[] = { &fleet_module, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

/* --- statements ------------------------------------------------------------------------------------------- */
static struct bench_call *
send_statement(const char *sequence, const char *site, const struct ed25519 *key)
{
	SCOPED_JSON *payload = json_pack("{s:i, s:s}", "v", 1, "site", site);
	SCOPED_JSON *envelope = NULL;
	struct bench_call *c;
	char *text;

	assert_int_equal(envelope_seal(&envelope, MESSAGE_STATEMENT, payload, key), 0);
	text = json_dumps(envelope, JSON_COMPACT);
	c = bench_batch("/v1/heartbeat", "heartbeat", sequence, "application/json", text, strlen(text));
	free(text);
	return c;
}

static void
test_a_statement_is_the_sites_own_or_none(void **state)
{
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;
	SCOPED_JSON *page = NULL;

	(void)state;
	assert_int_equal(ed25519_generate(&stranger), 0);
	bench_refused(send_statement("1", "acme-1", stranger), 422, REASON_UNKNOWN_KEY);
	bench_refused(send_statement("1", "acme-2", bench.courier), 422, REASON_WRONG_ADDRESSEE);
	bench_refused(bench_batch("/v1/heartbeat", "heartbeat", "1", "application/json", "{}", 2), 400, REASON_MALFORMED);
	bench_refused(bench_batch("/v1/heartbeat", "results", "1", "application/json", "{}", 2), 400, REASON_MALFORMED);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM statements"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM streams"), 0);
	assert_int_equal(send_statement("1", "acme-1", bench.courier)->status, 200);
	page = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1", NULL, 0));
	assert_true(json_is_object(json_object_get(page, "statement")));
	assert_string_equal(json_string_value(json_object_get(page, "key")), ed25519_public_hex(bench.courier));
	assert_non_null(json_object_get(page, "last_contact"));
}

/* --- heads -------------------------------------------------------------------------------------------------- */
/* A checkpoint of a log of n leaves "0", "1", ... and the proof from old. */
static struct bench_call *
send_head(const char *origin, uint64_t old, const char *proof, const char *root64, uint64_t size,
	const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	SCOPED(buf_done) struct buf body = BUF_MAX(8192);

	buf_printf(&text, "%s\n%ju\n%s\n", origin, (uintmax_t)size, root64);
	buf_printf(&body, "old %ju\n%s\n", (uintmax_t)old, proof);
	assert_int_equal(note_sign(&body, buf_text(&text), text.len, origin, key), 0);
	return bench_batch("/witness/add-checkpoint", "audit", "1", "text/plain", body.data, body.len);
}

static void
test_the_witness_signs_one_history(void **state)
{
	static const char origin[] = "mainstay.audit/acme-1";
	/* RFC 6962: leaf "0" alone; then leaves "0" and "1". */
	SCOPED(buf_done) struct buf one = BUF_MAX(128);
	SCOPED(buf_done) struct buf two = BUF_MAX(128);
	SCOPED(buf_done) struct buf proof = BUF_MAX(128);
	SCOPED(ed25519_freep) struct ed25519 *stranger = NULL;
	uint8_t leaf0[33] = { 0, '0' }, h[65] = { 1 }, root[32];
	SCOPED_JSON *page = NULL;
	SCOPED_JSON *list = NULL;
	struct bench_call *c;

	(void)state;
	assert_int_equal(ed25519_generate(&stranger), 0);
	sha256_of(h + 1, leaf0, 2);
	leaf0[1] = '1';
	sha256_of(h + 33, leaf0, 2);
	sha256_of(root, h, 65);
	hex_base64(&one, h + 1, 32);
	hex_base64(&two, root, 32);
	hex_base64(&proof, h + 33, 32);
	buf_puts(&proof, "\n");

	assert_int_equal(send_head("mainstay.audit/other", 0, "", buf_text(&one), 1, bench.courier)->status, 404);
	assert_int_equal(send_head(origin, 0, "", buf_text(&one), 1, stranger)->status, 403);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM heads"), 0);
	c = send_head(origin, 0, "", buf_text(&one), 1, bench.courier);
	assert_int_equal(c->status, 200);
	assert_non_null(strstr(buf_text(&c->body), "bench-hub"));
	assert_string_equal(http_call_added(&c->pub, "Mainstay-Committed"), "1");
	c = send_head(origin, 0, "", buf_text(&two), 2, bench.courier);
	assert_int_equal(c->status, 409);
	assert_string_equal(buf_text(&c->body), "1\n");
	assert_int_equal(send_head(origin, 1, buf_text(&proof), buf_text(&one), 2, bench.courier)->status, 422);
	assert_int_equal(send_head(origin, 3, "", buf_text(&two), 2, bench.courier)->status, 400);
	assert_int_equal(bench_count(bench_db(), "SELECT max(size) FROM heads"), 1);
	assert_int_equal(send_head(origin, 1, buf_text(&proof), buf_text(&two), 2, bench.courier)->status, 200);
	bench_restart(modules);
	page = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1", NULL, 0));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(page, "audit"), "size")), 2);
	list = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/audit?from=2", NULL, 0));
	assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1/audit?from=-1", NULL, 0), 400,
		REASON_MALFORMED);
	bench_refused(bench_batch("/witness/add-checkpoint", "audit", "2", "text/plain", "old x\n", 6), 400,
		REASON_MALFORMED);
}

/* A head that does not continue the one that stands is kept, with that one, for who verifies. */
static void
test_a_log_that_parts_is_kept_as_evidence(void **state)
{
	static const char origin[] = "mainstay.audit/acme-1", path[] = "/v1/fleet/sites/acme-1/audit";
	struct buf root[2] = { BUF_MAX(128), BUF_MAX(128) };
	SCOPED_JSON *before = NULL, *list = NULL, *page = NULL, *fleet = NULL;
	const json_t *conflict;
	uint8_t digest[32] = { 1 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		digest[1] = (uint8_t)i;
		hex_base64(&root[i], digest, 32);
	}
	assert_int_equal(send_head(origin, 0, "", buf_text(&root[0]), 5, bench.courier)->status, 200);
	/* One that stood here is shown again. */
	assert_int_equal(db_exec(bench_db(), "INSERT INTO heads SELECT log, 4, root, site, checkpoint, time FROM heads", ""), 0);
	assert_int_equal(send_head(origin, 0, "", buf_text(&root[0]), 4, bench.courier)->status, 409);
	assert_int_equal(db_exec(bench_db(), "DELETE FROM heads WHERE size = 4", ""), 0);
	/* To ask from a wrong place is no crime; nor is to be somebody else. */
	assert_int_equal(send_head(origin, 0, "", buf_text(&root[1]), 6, bench.courier)->status, 409);
	assert_int_equal(send_head(origin, 5, "", buf_text(&root[1]), 6, bench.engineer)->status, 403);
	before = bench_json(bench_ask(bench.engineer, "GET", path, NULL, 0));
	assert_int_equal(json_array_size(json_object_get(before, "conflicts")), 0);
	assert_int_equal(send_head(origin, 0, "", buf_text(&root[0]), 3, bench.courier)->status, 409);
	assert_int_equal(send_head(origin, 5, "", buf_text(&root[1]), 5, bench.courier)->status, 422);
	for (int i = 0; i < 40; i++)
		assert_int_equal(send_head(origin, 5, "", buf_text(&root[1]), (uint64_t)(7 + i), bench.courier)->status,
			422);
	list = bench_json(bench_ask(bench.engineer, "GET", path, NULL, 0));
	assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
	assert_int_equal(json_array_size(json_object_get(list, "conflicts")), 16); /* the first ones */
	conflict = json_array_get(json_object_get(list, "conflicts"), 0);
	assert_string_equal(json_text(conflict, "kind"), "rollback");
	page = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1", NULL, 0));
	assert_true(json_equal(json_object_get(page, "conflicts"), json_object_get(list, "conflicts")));
	fleet = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites", NULL, 0));
	assert_string_equal(json_text(json_array_get(json_object_get(fleet, "items"), 0), "audit"), "rolled back");
	conflict = json_array_get(json_object_get(list, "conflicts"), 1);
	assert_string_equal(json_text(conflict, "kind"), "fork");
	assert_int_equal(json_integer_value(json_object_get(conflict, "size")), 5);
	assert_non_null(strstr(json_text(conflict, "checkpoint"), buf_text(&root[1])));
	assert_non_null(strstr(json_text(conflict, "stood"), buf_text(&root[0])));
	for (int i = 0; i < 2; i++)
		buf_done(&root[i]);
}

/* One customer's trouble is no reason to show nothing of the others. */
static void
test_a_list_goes_on_where_a_log_cannot_be_read(void **state)
{
	SCOPED_JSON *fleet = NULL;

	(void)state;
	(void)bench_db();
	bench_restart(modules);
	scratch_put(&bench.scratch, "customers/acme.db", "no database, no database, no database", 37);
	fleet = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites", NULL, 0));
	assert_string_equal(json_text(json_array_get(json_object_get(fleet, "items"), 0), "site"), "acme-1");
	assert_string_equal(json_text(json_array_get(json_object_get(fleet, "items"), 0), "audit"), "unknown");
}

/* What the hub holds of a log is its own site's to see: so a site learns that it was rolled back. */
static void
test_a_site_sees_the_head_of_its_own_log(void **state)
{
	SCOPED(buf_done) struct buf root = BUF_MAX(128);
	static const char *const origins[] = { "mainstay.audit/acme-1", "mainstay.audit/acme-2" };
	char path[2][128], hex[65];
	uint8_t digest[32] = { 1 };
	struct bench_call *c;

	(void)state;
	hex_base64(&root, digest, 32);
	for (int i = 0; i < 2; i++) {
		sha256_of(digest, origins[i], strlen(origins[i]));
		(void)snprintf(path[i], sizeof(path[i]), "/witness/%s/checkpoint", hex_encode(hex, digest, 32));
	}
	bench_refused(bench_ask(bench.courier, "GET", path[0], NULL, 0), 404, REASON_NOT_FOUND);
	assert_int_equal(send_head(origins[0], 0, "", buf_text(&root), 5, bench.courier)->status, 200);
	c = bench_ask(bench.courier, "GET", path[0], NULL, 0);
	assert_int_equal(c->status, 200);
	assert_non_null(strstr(buf_text(&c->body), buf_text(&root)));
	assert_non_null(strstr(buf_text(&c->body), "bench-hub"));
	bench_refused(bench_ask(bench.courier, "GET", path[1], NULL, 0), 404, REASON_NOT_FOUND);
}

static void
test_a_site_that_is_gone_says_nothing(void **state)
{
	static const char origin[] = "mainstay.audit/acme-1";
	SCOPED(buf_done) struct buf root = BUF_MAX(128);
	char path[128], hex[65];
	uint8_t digest[32] = { 1 };

	(void)state;
	hex_base64(&root, digest, 32);
	assert_int_equal(db_exec(databases_fleet(serve_databases(bench.serve)), "DELETE FROM sites", ""), 0);
	bench_refused(send_statement("1", "acme-1", bench.courier), 422, REASON_NOT_FOUND);
	bench_refused(send_head("mainstay.audit/acme-1", 0, "", buf_text(&root), 1, bench.courier), 404, REASON_NOT_FOUND);
	sha256_of(digest, origin, strlen(origin));
	(void)snprintf(path, sizeof(path), "/witness/%s/checkpoint", hex_encode(hex, digest, 32));
	bench_refused(bench_ask(bench.courier, "GET", path, NULL, 0), 404, REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->text, "no such site");
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM statements"), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM heads"), 0);
}

/* --- who sees what ------------------------------------------------------------------------------------------ */
static void
test_a_site_is_shown_to_whom_it_concerns(void **state)
{
	struct registry_site other = { .site = "globex-1", .customer = "globex", .platform = "p" };
	SCOPED_JSON *list = NULL;

	(void)state;
	assert_int_equal(registry_site_put(serve_databases(bench.serve), &other), 0);
	list = bench_json(bench_ask(bench.engineer, "GET", "/v1/fleet/sites", NULL, 0));
	assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/globex-1", NULL, 0), 404, REASON_NOT_FOUND);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/none", NULL, 0), 404, REASON_NOT_FOUND);
	bench.engineer_says = REASON_EXPIRED;
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites", NULL, 0), 403, REASON_EXPIRED);
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/sites/acme-1", NULL, 0), 403, REASON_EXPIRED);
}

/* --- logins ------------------------------------------------------------------------------------------------- */
/* A login that says what changes says, else what is right, with a signature that nobody has looked at yet: all of
 * these are refused before. */
static struct bench_call *
send_login(const char *name, json_t *take_value)
{
	SCOPED_JSON *asked = bench_json(bench_ask(NULL, "GET", "/v1/login?engineer=ada", NULL, 0));
	SCOPED_JSON *payload = json_pack("{s:i, s:s, s:s, s:s, s:[s], s:O}", "v", 1, "hub", "bench-hub", "engineer", "ada",
		"key", ed25519_public_hex(bench.engineer), "customers", "acme", "nonce", json_object_get(asked, "nonce"));
	SCOPED(buf_done) struct buf canonical = BUF_MAX(8192);
	SCOPED(buf_done) struct buf base = BUF_MAX(8192);
	SCOPED(buf_done) struct buf body = BUF_MAX(8192);

	assert_int_equal(json_put_time(payload, "not_after", BENCH_NOW + 3600 * CLOCK_US_PER_S), 0);
	if (take_value)
		assert_int_equal(json_object_set_new(payload, name, take_value), 0);
	assert_int_equal(json_canonical(&canonical, payload), 0);
	hex_base64(&base, canonical.data, canonical.len);
	buf_printf(&body, "{\"payload\":\"%s\",\"sigs\":[{\"keyid\":\"%064d\",\"sig\":\"AAAA\"}]}", buf_text(&base), 0);
	return bench_ask(NULL, "POST", "/v1/login", body.data, body.len);
}

static void
test_a_login_that_is_wrong_is_refused_before_anybody_is_looked_up(void **state)
{
	static const struct {
		const char *what, *name, *value;
		int status;
		enum reason reason;
	} rows[] = {
		{ "another hub", "hub", "other-hub", 403, REASON_WRONG_ADDRESSEE },
		{ "no such member", "extra", "x", 400, REASON_UNKNOWN_FIELD },
		{ "over before it begins", "not_after", "2020-01-01T00:00:00Z", 403, REASON_EXPIRED },
		{ "too long", "not_after", "2028-01-01T00:00:00Z", 400, REASON_MALFORMED },
		{ "no time", "not_after", "soon", 400, REASON_MALFORMED },
		{ "a key of low order", "key", "0000000000000000000000000000000000000000000000000000000000000000", 403,
			REASON_LOW_ORDER_KEY },
		{ "a nonce of nobody's", "nonce", "000000000000000000000000000000000000000000000000", 409, REASON_REPLAYED },
		{ "no nonce", "nonce", "x", 400, REASON_MALFORMED },
		{ "a signature that is none", NULL, NULL, 400, REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		bench_refused(send_login(rows[i].name, rows[i].value ? json_string(rows[i].value) : NULL), rows[i].status,
			rows[i].reason);
	bench_refused(send_login("not_after", json_string("2028-01-01T00:00:00Z")), 400, REASON_MALFORMED);
	assert_non_null(strstr(refuse_last()->text, "a login lasts at most"));
	bench_refused(bench_ask(NULL, "GET", "/v1/login", NULL, 0), 400, REASON_MALFORMED);
	bench_refused(bench_ask(NULL, "GET", "/v1/login?who=ada", NULL, 0), 400, REASON_MALFORMED);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)), "SELECT count(*) FROM keys"), 2);
	assert_int_equal(bench_count(databases_fleet(serve_databases(bench.serve)), "SELECT count(*) FROM nonces"), 0);
}

static void
test_a_nonce_is_good_for_five_minutes(void **state)
{
	SCOPED_JSON *asked = bench_json(bench_ask(NULL, "GET", "/v1/login?engineer=ada", NULL, 0));

	(void)state;
	clock_fake(BENCH_NOW + (LOGIN_NONCE_S + 1) * CLOCK_US_PER_S, BENCH_NOW);
	bench_refused(send_login("nonce", json_incref(json_object_get(asked, "nonce"))), 403, REASON_EXPIRED);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_statement_is_the_sites_own_or_none),
		TEST(test_the_witness_signs_one_history),
		TEST(test_a_log_that_parts_is_kept_as_evidence),
		TEST(test_a_list_goes_on_where_a_log_cannot_be_read),
		TEST(test_a_site_sees_the_head_of_its_own_log),
		TEST(test_a_site_that_is_gone_says_nothing),
		TEST(test_a_site_is_shown_to_whom_it_concerns),
		TEST(test_a_login_that_is_wrong_is_refused_before_anybody_is_looked_up),
		TEST(test_a_nonce_is_good_for_five_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
