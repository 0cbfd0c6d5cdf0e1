/* Both ends of enrolment against each other. */
#include "appliance/enrol/enrol_hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/enrol_site.h"
#include "appliance/trust/envelope.h"

#define NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define HOUR (UINT64_C(3600) * CLOCK_US_PER_S)
#define DAY (24 * HOUR)

struct fixture {
	struct ed25519 *site, *audit, *courier, *other;
	struct enrol_hub_row row;
	struct buf body;
};

static void
request(struct fixture *f, const struct ed25519 *site, const char *daemon_site,
	const char *daemon_role, uint64_t not_after)
{
	SCOPED_JSON *daemon = NULL, *payload = NULL;

	payload = json_pack("{s:i, s:s, s:s}", "v", 1, "site", daemon_site, "role", daemon_role);
	assert_int_equal(json_put_text(payload, "key", ed25519_public_hex(f->courier)), 0);
	assert_int_equal(json_put_time(payload, "not_after", not_after), 0);
	assert_int_equal(envelope_seal(&daemon, MESSAGE_DAEMON, payload, site), 0);
	buf_reset(&f->body);
	assert_int_equal(enrol_site_request(&f->body, &f->row.token, site, ed25519_public(f->audit),
				 daemon, "linux-x86_64", NOW),
		0);
}

static int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(ed25519_generate(&f->site), 0);
	assert_int_equal(ed25519_generate(&f->audit), 0);
	assert_int_equal(ed25519_generate(&f->courier), 0);
	assert_int_equal(ed25519_generate(&f->other), 0);
	assert_int_equal(token_mint(&f->row.token, "plant7", "acme", NOW + HOUR), 0);
	f->body = BUF_MAX(ENROL_WIRE_BODY_MAX);
	request(f, f->site, "plant7", "courier", NOW + 7 * DAY);
	*state = f;
	return 0;
}

static int
end(void **state)
{
	struct fixture *f = *state;

	ed25519_free(f->site);
	ed25519_free(f->audit);
	ed25519_free(f->courier);
	ed25519_free(f->other);
	buf_done(&f->body);
	free(f);
	return 0;
}

static int
decide(struct fixture *f, bool *first, uint64_t now_us)
{
	SCOPED(enrol_hub_request_done) struct enrol_hub_request q = { 0 };

	assert_int_equal(enrol_hub_read(&q, f->body.data, f->body.len, NOW), 0);
	return enrol_hub_decide(first, &f->row, &q, now_us);
}

static void
a_site_enrols(void **state)
{
	struct fixture *f = *state;
	SCOPED(enrol_hub_request_done) struct enrol_hub_request q = { 0 };
	bool first = false;

	assert_int_equal(enrol_hub_read(&q, f->body.data, f->body.len, NOW), 0);
	assert_string_equal(q.site, "plant7");
	assert_string_equal(q.platform, "linux-x86_64");
	assert_memory_equal(q.key, ed25519_public(f->site), 32);
	assert_memory_equal(q.audit_key, ed25519_public(f->audit), 32);
	assert_memory_equal(q.courier_key, ed25519_public(f->courier), 32);
	assert_int_equal(q.courier_not_after_us, NOW + 7 * DAY);
	assert_int_equal(enrol_hub_decide(&first, &f->row, &q, NOW), 0);
	assert_true(first);
	/* the same key again, until the token expires */
	f->row.used = true;
	memcpy(f->row.key, q.key, 32);
	assert_int_equal(enrol_hub_decide(&first, &f->row, &q, NOW + HOUR - 1), 0);
	assert_false(first);
	assert_int_equal(enrol_hub_decide(&first, &f->row, &q, NOW + HOUR), REASON_EXPIRED);
}

static void
decisions_that_refuse(void **state)
{
	struct fixture *f = *state;
	uint64_t used = refuse_count(REASON_USED_TOKEN);
	bool first = true;

	f->row.used = true;
	memcpy(f->row.key, ed25519_public(f->other), 32);
	assert_int_equal(decide(f, &first, NOW), REASON_USED_TOKEN);
	assert_int_equal(refuse_count(REASON_USED_TOKEN), used + 1);
	f->row.used = false;
	assert_int_equal(decide(f, &first, NOW + HOUR), REASON_EXPIRED);
	f->row.token.secret[0] ^= 1;
	assert_int_equal(decide(f, &first, NOW), REASON_BAD_SIGNATURE);
	f->row.token.secret[0] ^= 1;
	memcpy(f->row.token.site, "plant8", 6);
	assert_int_equal(decide(f, &first, NOW), REASON_WRONG_ADDRESSEE);
	assert_true(first); /* written only on success */
}

static void
daemon_keys(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *site, *role;
		uint64_t not_after;
		enum reason reason;
	} rows[] = {
		{ "plant7", "courier", NOW + 7 * DAY, REASON_NONE },
		{ "plant8", "courier", NOW + 7 * DAY, REASON_WRONG_ADDRESSEE },
		{ "plant7", "monitor", NOW + 7 * DAY, REASON_WRONG_ROLE },
		{ "plant7", "courier", NOW, REASON_EXPIRED },
		{ "plant7", "courier", NOW + 9 * DAY, REASON_MALFORMED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(enrol_hub_request_done) struct enrol_hub_request q = { 0 };

		request(f, f->site, rows[i].site, rows[i].role, rows[i].not_after);
		assert_int_equal(enrol_hub_read(&q, f->body.data, f->body.len, NOW),
			rows[i].reason);
		assert_int_equal(q.site[0] != 0, rows[i].reason == REASON_NONE);
	}
}

static void
a_daemon_key_of_another_version(void **state)
{
	struct fixture *f = *state;
	SCOPED_JSON *payload =
		json_pack("{s:i, s:s, s:s}", "v", 0, "site", "plant7", "role", "courier");
	SCOPED_JSON *daemon = NULL;
	uint8_t key[32];
	uint64_t until = 0;

	assert_int_equal(json_put_text(payload, "key", ed25519_public_hex(f->courier)), 0);
	assert_int_equal(json_put_time(payload, "not_after", NOW + DAY), 0);
	assert_int_equal(envelope_seal(&daemon, MESSAGE_DAEMON, payload, f->site), 0);
	assert_int_equal(enrol_hub_daemon(key, &until, daemon, "plant7", ed25519_public(f->site),
				 NOW),
		REASON_MALFORMED);
	assert_int_equal(until, 0);
}

/* Sign an enrolment payload whose one member is replaced. */
static int
read_with(struct fixture *f, const char *name, json_t *take_value, const struct ed25519 *signer)
{
	SCOPED(enrol_hub_request_done) struct enrol_hub_request q = { 0 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(ENROL_WIRE_BODY_MAX);
	SCOPED_JSON *sealed = NULL;

	assert_int_equal(envelope_open(&e, MESSAGE_ENROL, f->body.data, f->body.len), 0);
	assert_int_equal(json_object_set_new(e->payload, name, take_value), 0);
	assert_int_equal(envelope_seal(&sealed, MESSAGE_ENROL, e->payload, signer), 0);
	assert_int_equal(json_canonical(&text, sealed), 0);
	return enrol_hub_read(&q, text.data, text.len, NOW);
}

static void
requests_that_are_refused(void **state)
{
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
	struct fixture *f = *state;
	SCOPED(enrol_hub_request_done) struct enrol_hub_request q = { 0 };
	static char big[ENROL_WIRE_BODY_MAX + 1];

	assert_int_equal(read_with(f, "v", json_integer(1), f->site), 0);
	assert_int_equal(read_with(f, "v", json_integer(0), f->site), REASON_MALFORMED);
	assert_int_equal(read_with(f, "site", json_string("No"), f->site), REASON_MALFORMED);
	assert_int_equal(read_with(f, "hmac", json_string("00"), f->site), REASON_MALFORMED);
	assert_int_equal(read_with(f, "x", json_integer(1), f->site), REASON_UNKNOWN_FIELD);
	assert_int_equal(read_with(f, "v", json_integer(1), f->other), REASON_UNKNOWN_KEY);
	assert_int_equal(read_with(f, "key", json_string(ZEROS), f->site), REASON_LOW_ORDER_KEY);
	assert_int_equal(read_with(f, "audit_key", json_string(ZEROS), f->site),
		REASON_LOW_ORDER_KEY);
	assert_int_equal(read_with(f, "key", json_string(ed25519_public_hex(f->other)), f->other),
		REASON_UNKNOWN_KEY);
	assert_int_equal(enrol_hub_read(&q, "{}", 2, NOW), REASON_MALFORMED);
	assert_int_equal(enrol_hub_read(&q, big, sizeof(big), NOW), REASON_TOO_LARGE);
	assert_null(q.daemon);
}

static void
answers(void **state)
{
	SCOPED_JSON *record = json_pack("{s:s}", "payload", "x"), *pending = NULL, *accepted = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);
	SCOPED(enrol_site_answer_done) struct enrol_site_answer a = { 0 };

	(void)state;
	assert_int_equal(enrol_hub_answer(&pending, "plant7", "acme", NULL), 0);
	assert_int_equal(json_canonical(&text, pending), 0);
	assert_int_equal(enrol_site_answer(&a, text.data, text.len, "plant7", "acme"), 0);
	assert_false(a.accepted);
	assert_string_equal(a.customer, "acme");
	assert_int_equal(enrol_site_answer(&a, text.data, text.len, "plant8", "acme"),
		REASON_WRONG_ADDRESSEE);
	assert_int_equal(enrol_site_answer(&a, text.data, text.len, "plant7", "other"),
		REASON_WRONG_ADDRESSEE);

	buf_reset(&text);
	assert_int_equal(enrol_hub_answer(&accepted, "plant7", "acme", record), 0);
	assert_int_equal(json_canonical(&text, accepted), 0);
	assert_int_equal(enrol_site_answer(&a, text.data, text.len, "plant7", "acme"), 0);
	assert_true(a.accepted);
	assert_true(json_equal(a.record, record));

	/* accepted without its record */
	buf_reset(&text);
	json_object_del(accepted, "record");
	assert_int_equal(json_canonical(&text, accepted), 0);
	assert_int_equal(enrol_site_answer(&a, text.data, text.len, "plant7", "acme"),
		REASON_MALFORMED);
	assert_int_equal(enrol_site_answer(&a, "{\"x\":1}", 7, "plant7", "acme"),
		REASON_UNKNOWN_FIELD);
}

#define WITH_SITE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_SITE(a_site_enrols),
		WITH_SITE(decisions_that_refuse),
		WITH_SITE(daemon_keys),
		WITH_SITE(a_daemon_key_of_another_version),
		WITH_SITE(requests_that_are_refused),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
