/* What the courier brings of the hub's answers: a record goes only by an acknowledgement of that very record. */
#include "appliance/monitor/courier_verbs.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/outbox.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

#define NOW   (UINT64_C(1795000000) * CLOCK_US_PER_S) /* November 2026 */
#define NONCE "00112233445566778899aabbccddeeff"

enum { BODY = 3 * 1024 * 1024 }; /* so that each record has a segment of its own, and goes alone */

static char digests[2][SHA256_TEXT_MAX]; /* of results 1 and 2 */

static int
set_up(void **state)
{
	SCOPED(scope_free) char *body = calloc(1, BODY);
	struct site_test *t;

	clock_fake(NOW, 5000 * CLOCK_US_PER_S);
	assert_int_equal(site_set_up_recorded(state), 0);
	t = *state;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t sequence = 0;
		uint8_t digest[SHA256_LEN];

		memset(body, 'a' + (int)i, BODY);
		assert_int_equal(outbox_put(t->m->outbox, "results", "result", "/v1/results", "application/json", body,
					 BODY, NOW, &sequence),
			0);
		assert_int_equal(sequence, i + 1);
		sha256_of(digest, body, BODY);
		if (i < ARRAY_LEN(digests))
			sha256_text(digests[i], digest);
	}
	return 0;
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

/* The hub's signed answer, brought as one to record 1 of results. */
static int
bring(struct site_test *t, int status, const char *body)
{
	struct httpsig_message msg = { .status = status };
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32];
	char text[8];
	int r;

	(void)snprintf(text, sizeof(text), "%d", status);
	sha256_of(digest, body, strlen(body));
	assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, NONCE, t->reply, NOW), 0);
	r = site_call(t, CALL_ROLE_COURIER, "outbox.reply",
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "stream", "results", "sequence", "1", "nonce", NONCE,
			"status", text, "signature_input", fields.input, "signature", fields.signature,
			"content_digest", fields.digest),
		body, strlen(body), NULL);
	httpsig_fields_done(&fields);
	return r;
}

static bool
kept(struct site_test *t, uint64_t sequence)
{
	uint8_t digest[SHA256_LEN];
	int r = outbox_digest(t->m->outbox, "results", sequence, digest);

	assert_true(r == 0 || r == REASON_NOT_FOUND);
	return r == 0;
}

static char ack_room[512];

static const char *
ack(const char *site, const char *stream, int sequence, const char *digest)
{
	(void)snprintf(ack_room, sizeof(ack_room),
		"{\"v\":1,\"site\":\"%s\",\"stream\":\"%s\",\"sequence\":%d,\"sha256\":\"%s\"}", site, stream, sequence,
		digest);
	return ack_room;
}

static void
the_acknowledgement_of_a_record_lets_it_go(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_false(kept(t, 1));
	assert_true(kept(t, 2));
	/* again, as it comes after a restart of the courier */
	assert_int_equal(bring(t, 200, ack("site1", "results", 1, digests[0])), 0);
	assert_true(kept(t, 2));
}

static void
the_acknowledgement_of_anything_else_does_not(void **state)
{
	static const struct {
		const char *site, *stream;
		int sequence;
		unsigned digest;
		enum reason reason;
	} rows[] = {
		{ "site2", "results", 1, 0, REASON_WRONG_ADDRESSEE },
		{ "site1", "heartbeat", 1, 0, REASON_WRONG_ADDRESSEE },
		{ "site1", "results", 2, 1, REASON_WRONG_ADDRESSEE },
		{ "site1", "results", 1, 1, REASON_CONFLICT },
	};
	static const char *const bodies[] = { "", "{}", "[]", "\x08\x01",
		"{\"v\":2,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1}",
		"{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1,\"sha256\":\"00\"}" };
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		site_refused(t,
			bring(t, 200,
				ack(rows[i].site, rows[i].stream, rows[i].sequence, digests[rows[i].digest])),
			rows[i].reason);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		site_refused(t, bring(t, 200, bodies[i]), REASON_MALFORMED);
	/* an answer that commits nothing, and one whose hub does not know what was there */
	assert_int_equal(bring(t, 503, ack("site1", "results", 1, digests[0])), 0);
	assert_int_equal(bring(t, 200, "{\"v\":1,\"site\":\"site1\",\"stream\":\"results\",\"sequence\":1}"), 0);
	assert_true(kept(t, 1));
}

static void
what_is_not_kept_has_no_digest(void **state)
{
	struct site_test *t = *state;
	uint8_t digest[SHA256_LEN];

	assert_int_equal(outbox_digest(t->m->outbox, "results", 5, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(t->m->outbox, "heartbeat", 1, digest), REASON_NOT_FOUND);
	assert_int_equal(outbox_digest(t->m->outbox, "none", 1, digest), REASON_NOT_FOUND);
}

static void
contact_tells_the_difference_of_the_clocks(void **state)
{
	static const char *const none[] = { "x", "", "1.5", "99999999999999999999", "-999999999999999999" };
	struct site_test *t = *state;
	int64_t century_ms = INT64_C(-73) * 366 * 24 * 3600 * 1000;
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)century_ms);
	assert_int_equal(
		site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", text), NULL, 0, NULL), 0);
	assert_true(t->m->offset_ms == century_ms);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		site_refused(t,
			site_call(t, CALL_ROLE_COURIER, "contact", json_pack("{s:s}", "offset_ms", none[i]), NULL, 0,
				NULL),
			REASON_MALFORMED);
		assert_true(t->m->offset_ms == century_ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_acknowledgement_of_a_record_lets_it_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_acknowledgement_of_anything_else_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_kept_has_no_digest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(contact_tells_the_difference_of_the_clocks, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
