/* What the site says by itself: its statement, its heads for the witness, the courier's key; on a clock of the
 * test's own. */
#include "appliance/monitor/statement.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/audit/witness.h"
#include "appliance/enrol/enrol_hub.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/outbox.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

#define DAY (UINT64_C(86400) * CLOCK_US_PER_S)
#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S) /* November 2026 */

static uint64_t now_us, up_us;

static void
set_clock(uint64_t now, uint64_t up)
{
	now_us = now;
	up_us = up;
	clock_fake(now, up);
}

/* Time goes by, and the modules' ticks with it. */
static void
pass(struct site_test *t, uint64_t us)
{
	set_clock(now_us + us, up_us + us);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (t->m->modules[i].module->tick)
			t->m->modules[i].module->tick(t->m, monitor_now_us(t->m),
				t->m->modules[i].arg);
}

static int
set_up(void **state)
{
	struct site_test *t;

	set_clock(NOW, 5000 * CLOCK_US_PER_S);
	assert_int_equal(site_set_up_recorded(state), 0);
	t = *state;
	assert_int_equal(site_control(t, "switch",
				 json_pack("{s:s, s:s}", "name", "all", "on", "true")),
		0);
	return 0;
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

/* --- the witness ----------------------------------------------------------------------------------- */
/* The hub's signed answer to what went out in the audit stream. */
static int
reply(struct site_test *t, int status, const void *body, size_t len)
{
	static const char nonce[] = "00112233445566778899aabbccddeeff";
	struct httpsig_message msg = { .status = status };
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32];
	char text[8];
	int r;

	(void)snprintf(text, sizeof(text), "%d", status);
	sha256_of(digest, body, len);
	assert_int_equal(httpsig_sign_reply(&fields, &msg, digest, nonce, t->reply, now_us), 0);
	r = site_call(t, CALL_ROLE_COURIER, "outbox.reply",
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "stream", "audit", "nonce", nonce,
			"status", text, "signature_input", fields.input, "signature",
			fields.signature, "content_digest", fields.digest),
		body, len, NULL);
	httpsig_fields_done(&fields);
	return r;
}

static uint64_t
heads(struct site_test *t)
{
	return outbox_next(t->m->outbox, "audit");
}

/* What the witness signs for the log as it is now. */
static void
cosign(struct site_test *t, struct buf *out)
{
	SCOPED(buf_done) struct buf request = BUF_MAX(WITNESS_BODY_MAX);
	struct merkle_proof proof = { 0 };
	struct witness_submission s;
	const char *checkpoint = audit_checkpoint(t->m->audit);

	assert_int_equal(audit_consistency(t->m->audit, 0, &proof), 0);
	witness_request(&request, 0, &proof, checkpoint, strlen(checkpoint));
	assert_int_equal(witness_parse(&s, request.data, request.len), 0);
	assert_int_equal(witness_cosignature(out, &s, "hub.example/witness", t->witness,
				 now_us / CLOCK_US_PER_S),
		0);
	witness_submission_done(&s);
}

static void
a_head_is_cosigned_once(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096);
	struct site_test *t = *state;
	uint64_t before = heads(t);

	pass(t, 5 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 1);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_int_equal(audit_cosigned(t->m->audit), audit_size(t->m->audit));
	pass(t, 600 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 1); /* nothing new to say */
	assert_int_equal(monitor_leaf(t->m, "switch", "test", "x", NULL, REASON_NONE), 0);
	pass(t, 5 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 2);
}

static void
a_lost_answer_is_waited_for_and_then_asked_for_again(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096), old = BUF_MAX(4096);
	struct site_test *t = *state;
	uint64_t before = heads(t), seen;
	char size[32];

	pass(t, 5 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 1);
	seen = audit_size(t->m->audit);
	cosign(t, &old); /* the witness stands here now, but its answer never comes */
	assert_int_equal(monitor_leaf(t->m, "switch", "test", "x", NULL, REASON_NONE), 0);
	pass(t, 30 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 1);
	pass(t, 31 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 2);
	/* It says how far it is; the next head is consistent with that. */
	(void)snprintf(size, sizeof(size), "%llu\n", (unsigned long long)seen);
	assert_int_equal(reply(t, 409, size, strlen(size)), 0);
	pass(t, 3 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 3);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_int_equal(audit_cosigned(t->m->audit), audit_size(t->m->audit));
	/* The lost one turns up after all: of a former life. */
	assert_int_equal(reply(t, 200, old.data, old.len), 0);
	assert_int_equal(audit_cosigned(t->m->audit), audit_size(t->m->audit));
}

static void
an_answer_that_cosigns_nothing_is_refused_and_asked_for_again(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096);
	struct site_test *t = *state;
	struct ed25519 *right = t->witness;
	uint64_t before = heads(t);

	pass(t, 5 * CLOCK_US_PER_S);
	site_refused(t, reply(t, 500, "", 0), REASON_UNREACHABLE);
	pass(t, 3 * CLOCK_US_PER_S);
	site_refused(t, reply(t, 409, "many", 4), REASON_MALFORMED);
	pass(t, 3 * CLOCK_US_PER_S);
	t->witness = t->director; /* the same name, another key */
	cosign(t, &line);
	t->witness = right;
	site_refused(t, reply(t, 200, line.data, line.len), REASON_UNKNOWN_KEY);
	pass(t, 3 * CLOCK_US_PER_S);
	site_refused(t, reply(t, 200, "— nonsense\n", 13), REASON_MALFORMED);
	assert_int_equal(audit_cosigned(t->m->audit), 0);
	pass(t, 3 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 5); /* asked again after each */
	buf_reset(&line);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_true(audit_cosigned(t->m->audit) > 0);
}

/* The witness has more entries than we have: this disk was restored or copied. */
static void
a_longer_log_at_the_witness_is_a_new_epoch_and_no_more_heads(void **state)
{
	struct site_test *t = *state;
	uint64_t before = heads(t);
	char epoch[33];

	(void)snprintf(epoch, sizeof(epoch), "%s", monitor_epoch(t->m));
	pass(t, 5 * CLOCK_US_PER_S);
	assert_int_equal(reply(t, 409, "1000\n", 5), 0);
	assert_string_not_equal(monitor_epoch(t->m), epoch);
	assert_string_equal(site_last_leaf(t), "clone the log is behind its witness rollback");
	pass(t, 600 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 1);
}

/* --- the clock ------------------------------------------------------------------------------------- */
static void
a_clock_that_jumps_makes_a_new_epoch(void **state)
{
	static const struct {
		const char *name;
		int64_t wall_s, up_s;
		bool jumps;
	} rows[] = {
		{ "time that goes by", 3600, 3600, false },
		{ "a second of leap", 3599, 3600, false },
		{ "a clock slewed a little", 3620, 3600, false },
		{ "an hour back", -3600, 1, true },
		{ "a year on", 365 * 86400, 1, true },
		{ "a machine resumed from a copy: its boot time went on where it was", 86400, 1,
			true },
	};
	struct site_test *t = *state;
	struct epoch e;

	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct epoch again;
		char before[33];
		bool jumped;

		(void)snprintf(before, sizeof(before), "%s", e.text);
		set_clock(now_us + (uint64_t)(rows[i].wall_s * (int64_t)CLOCK_US_PER_S),
			up_us + (uint64_t)(rows[i].up_s * (int64_t)CLOCK_US_PER_S));
		assert_int_equal(epoch_look(&e, t->m->run_fd, &jumped), 0);
		if (jumped != rows[i].jumps || jumped != (strcmp(before, e.text) != 0))
			fail_msg("%s: %d", rows[i].name, jumped);
		assert_int_equal(epoch_look(&e, t->m->run_fd, &jumped), 0);
		assert_false(jumped);
		/* and it is on the disk */
		assert_int_equal(epoch_open(&again, t->m->run_fd, t->m->lib_fd, 0), 0);
		assert_string_equal(again.text, e.text);
	}
	/* It jumps while nobody looks, too. */
	set_clock(now_us - 7200 * CLOCK_US_PER_S, up_us + CLOCK_US_PER_S);
	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 0), 0);
	assert_true(e.renewed);
}

static void
the_monitor_looks_at_its_clock(void **state)
{
	struct site_test *t = *state;
	char epoch[33];

	(void)snprintf(epoch, sizeof(epoch), "%s", monitor_epoch(t->m));
	set_clock(now_us - 3600 * CLOCK_US_PER_S, up_us);
	for (unsigned i = 0; i < 300 && strcmp(monitor_epoch(t->m), epoch) == 0; i++)
		site_turn(t);
	assert_string_not_equal(monitor_epoch(t->m), epoch);
}

/* --- the courier's key ----------------------------------------------------------------------------- */
/* The key statement of the courier's configuration, as the hub reads it. */
static int
hub_takes_key(struct site_test *t, uint64_t *ret_not_after)
{
	SCOPED_JSON *config = courier_verbs_config(t->m);
	uint8_t key[32];

	assert_non_null(json_object_get(config, "daemon"));
	return enrol_hub_daemon(key, ret_not_after, json_object_get(config, "daemon"), "site1",
		ed25519_public(t->m->site.key), now_us);
}

static void
the_couriers_key_is_renewed_before_it_ends(void **state)
{
	struct site_test *t = *state;
	struct ed25519 *courier = NULL;
	uint64_t first, again;

	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(courier)), NULL, 0,
				 NULL),
		0);
	assert_int_equal(hub_takes_key(t, &first), 0);
	assert_true(first == now_us + 7 * DAY);
	pass(t, 3 * DAY);
	assert_int_equal(hub_takes_key(t, &again), 0);
	assert_true(again == first);
	pass(t, DAY + CLOCK_US_PER_S);
	assert_int_equal(hub_takes_key(t, &again), 0);
	assert_true(again == now_us + 7 * DAY);
	pass(t, 30 * DAY); /* asleep for a month */
	assert_int_equal(hub_takes_key(t, &again), 0);
	ed25519_free(courier);
}

/* The clock was wrong for a while: a key for the year 2040 is one that no hub takes. */
static void
a_key_for_a_far_future_is_renewed_too(void **state)
{
	struct site_test *t = *state;
	struct ed25519 *courier = NULL;
	uint64_t not_after;

	assert_int_equal(ed25519_generate(&courier), 0);
	assert_int_equal(site_call(t, CALL_ROLE_COURIER, "courier.hello",
				 json_pack("{s:s}", "key", ed25519_public_hex(courier)), NULL, 0,
				 NULL),
		0);
	pass(t, 5000 * DAY);
	assert_int_equal(hub_takes_key(t, &not_after), 0);
	set_clock(now_us - 4990 * DAY, up_us + CLOCK_US_PER_S);
	pass(t, CLOCK_US_PER_S);
	assert_int_equal(hub_takes_key(t, &not_after), 0);
	ed25519_free(courier);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(a_head_is_cosigned_once),
		ROW(a_lost_answer_is_waited_for_and_then_asked_for_again),
		ROW(an_answer_that_cosigns_nothing_is_refused_and_asked_for_again),
		ROW(a_longer_log_at_the_witness_is_a_new_epoch_and_no_more_heads),
		ROW(a_clock_that_jumps_makes_a_new_epoch),
		ROW(the_monitor_looks_at_its_clock),
		ROW(the_couriers_key_is_renewed_before_it_ends),
		ROW(a_key_for_a_far_future_is_renewed_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
