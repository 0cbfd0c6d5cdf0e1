/* Having heads cosigned: by the hub, by witnesses of the customer's own, and what one that lies can do; on a clock of
 * the test's own. */
#include "appliance/monitor/cosign.h"

#include "tests/unit/appliance/monitor/site_clock.h"

#include "appliance/audit/witness.h"
#include "appliance/egress/ledger.h"
#include "appliance/monitor/forked.h"
#include "appliance/monitor/outbox.h"
#include "appliance/monitor/witnesses.h"
#include "appliance/record/record.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

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

/* Another letter in the last signature of a note; returns the one that stood there. */
static uint8_t
spoil(struct buf *note)
{
	uint8_t *at = &note->data[note->len - 10], was = *at;

	*at = was == 'A' ? 'B' : 'A';
	return was;
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
	pass(t, 3 * CLOCK_US_PER_S);
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
	pass(t, 60 * CLOCK_US_PER_S);
	site_refused(t, reply(t, 409, "many", 4), REASON_MALFORMED);
	pass(t, 60 * CLOCK_US_PER_S);
	t->witness = t->director; /* the same name, another key */
	cosign(t, &line);
	t->witness = right;
	site_refused(t, reply(t, 200, line.data, line.len), REASON_UNKNOWN_KEY);
	pass(t, 60 * CLOCK_US_PER_S);
	site_refused(t, reply(t, 200, "— nonsense\n", 13), REASON_MALFORMED);
	assert_int_equal(audit_cosigned(t->m->audit), 0);
	pass(t, 60 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), before + 5); /* asked again after each */
	buf_reset(&line);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_true(audit_cosigned(t->m->audit) > 0);
}

/* Somebody removes it from the running monitor's folder. */
static void
a_cosigned_head_that_is_gone_is_missed(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096);
	struct site_test *t = *state;
	uint64_t before;

	pass(t, 5 * CLOCK_US_PER_S);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_int_equal(site_control(t, "audit.verify", NULL), 0);
	assert_int_equal(unlinkat(t->m->lib_fd, "audit/cosigned", 0), 0);
	before = refuse_count(REASON_ALTERED);
	site_refused(t, site_control(t, "audit.verify", NULL), REASON_ALTERED);
	assert_string_equal(refuse_last()->operand, "cosigned");
	assert_int_equal(refuse_count(REASON_ALTERED), before + 1);
	assert_true(audit_cosigned(t->m->audit) > 0);
}

/* --- witnesses of the customer's own -------------------------------------------------------------------------- */
#define OTHER_NAME "w.example"
#define OTHER_URL "https://w.example/log"

static struct ed25519 *other;

static int
set_up_other(void **state)
{
	assert_int_equal(ed25519_generate(&other), 0);
	return set_up(state);
}

static int
tear_down_other(void **state)
{
	other = ed25519_free(other);
	return tear_down(state);
}

static void
put_vkey(struct buf *out, const char *name, const struct ed25519 *key)
{
	struct note_key k;

	assert_int_equal(note_key_make(&k, name, NOTE_TYPE_COSIGNATURE, ed25519_public(key)), 0);
	note_key_text(out, &k);
}

static int
apply_text(struct site_test *t, const char *text)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(64 * 1024);
	SCOPED_JSON *doc = json_pack("{s:s}", "policy", text);

	assert_int_equal(json_canonical(&body, doc), 0);
	return site_call(t, CALL_ROLE_CONTROL, "audit.policy", NULL, body.data, body.len, NULL);
}

/* Both, or any of them, are to cosign. */
static int
apply(struct site_test *t, const char *rule)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);

	buf_puts(&b, "witness hub ");
	put_vkey(&b, "hub.example/witness", t->witness);
	buf_puts(&b, "\nwitness own ");
	put_vkey(&b, OTHER_NAME, other);
	buf_printf(&b, " " OTHER_URL "/\ngroup both %s hub own\nquorum both\n", rule);
	return apply_text(t, buf_text(&b));
}

static uint64_t
submissions(struct site_test *t)
{
	return outbox_next(t->m->outbox, LEDGER_WITNESS);
}

/* The last record of a stream of the outbox. */
static void
last_of(struct site_test *t, const char *stream, struct buf *raw, struct ledger_entry *ret)
{
	SCOPED(scope_close)
	int fd = openat(t->m->lib_fd, "outbox", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	uint64_t sequence;

	assert_int_equal(record_reader_open(&rd, fd, stream, outbox_next(t->m->outbox, stream) - 1),
		0);
	assert_int_equal(record_reader_next(rd, raw, &sequence), 0);
	assert_int_equal(ledger_decode(ret, raw->data, raw->len, stream), 0);
}

/* What the customer's witness answers to the submission sent last. */
static void
cosign_other(struct site_test *t, const struct ed25519 *key, struct buf *out)
{
	SCOPED(buf_done) struct buf raw = BUF_MAX(LEDGER_RECORD_MAX);
	struct witness_submission s;
	struct ledger_entry e;

	last_of(t, LEDGER_WITNESS, &raw, &e);
	assert_string_equal(e.path, OTHER_URL "/add-checkpoint");
	assert_string_equal(e.class_name, "audit");
	assert_int_equal(witness_parse(&s, e.body, e.body_len), 0);
	assert_int_equal(witness_cosignature(out, &s, OTHER_NAME, key, now_us / CLOCK_US_PER_S), 0);
	witness_submission_done(&s);
}

static int
other_says(struct site_test *t, const char *status, const void *body, size_t len)
{
	char sequence[24];

	(void)snprintf(sequence, sizeof(sequence), "%llu", (unsigned long long)submissions(t) - 1);
	return site_call(t, CALL_ROLE_COURIER, "witness.reply",
		json_pack("{s:s, s:s}", "sequence", sequence, "status", status), body, len, NULL);
}

static bool
is_met(struct site_test *t)
{
	SCOPED_JSON *o = witnesses_json(t->m);

	return json_is_true(json_object_get(o, "met"));
}

/* What status has pending under this kind and id; "" where there is nothing. */
static const char *
waits(struct site_test *t, const char *kind, const char *id)
{
	static char text[1024];
	SCOPED_JSON *status = NULL;
	const json_t *item;
	size_t i;

	text[0] = '\0';
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
	json_array_foreach(json_object_get(status, "pending"), i, item)
		if (strcmp(json_text(item, "kind"), kind) == 0 &&
			strcmp(json_text(item, "id"), id) == 0)
			(void)snprintf(text, sizeof(text), "%s", json_text(item, "text"));
	return text;
}

static void
both_cosign_one_head(void **state)
{
	SCOPED(buf_done)
	struct buf line = BUF_MAX(4096), own = BUF_MAX(4096), raw = BUF_MAX(LEDGER_RECORD_MAX);
	struct site_test *t = *state;
	uint64_t hub_heads = heads(t), sent;
	struct ledger_entry e;

	assert_int_equal(apply(t, "all"), 0);
	assert_string_equal(site_last_leaf(t), "policy audit.policy");
	sent = submissions(t);
	pass(t, 5 * CLOCK_US_PER_S);
	assert_int_equal(submissions(t), sent + 1);
	assert_int_equal(heads(t), hub_heads); /* the hub waits for its line */
	cosign_other(t, other, &own);
	assert_int_equal(other_says(t, "200", own.data, own.len), 0);
	assert_false(is_met(t));
	assert_string_equal(waits(t, "witness", "quorum"),
		"not met: not cosigned by hub; mainstay audit head");
	assert_int_equal(heads(t), hub_heads + 1);
	last_of(t, "audit", &raw, &e);
	assert_non_null(memmem(e.body, e.body_len, own.data, own.len)); /* and carries it */
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_true(is_met(t));
	assert_string_equal(waits(t, "witness", "quorum"), "");
	assert_int_equal(audit_cosigned(t->m->audit), audit_size(t->m->audit));
	/* Nothing is left to do, and a restart knows it. */
	pass(t, 600 * CLOCK_US_PER_S);
	assert_int_equal(submissions(t), sent + 1);
	site_restart(t);
	assert_true(is_met(t));
	pass(t, 600 * CLOCK_US_PER_S);
	assert_int_equal(submissions(t), sent + 1);
	assert_int_equal(heads(t), hub_heads + 1);
}

static void
one_that_is_silent_holds_the_others_up_for_seconds(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096);
	struct site_test *t = *state;
	uint64_t hub_heads = heads(t), sent;

	assert_int_equal(apply(t, "any"), 0);
	sent = submissions(t);
	pass(t, 5 * CLOCK_US_PER_S);
	assert_int_equal(submissions(t), sent + 1);
	pass(t, 14 * CLOCK_US_PER_S);
	assert_int_equal(heads(t), hub_heads);
	pass(t, CLOCK_US_PER_S);
	assert_int_equal(heads(t), hub_heads + 1);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_true(is_met(t)); /* any of them */
	/* It is tried again, ever more seldom. */
	for (int i = 0; i < 3600; i++)
		pass(t, CLOCK_US_PER_S);
	assert_in_range(submissions(t), sent + 7, sent + 30);
	assert_int_equal(heads(t), hub_heads + 1); /* and costs the hub nothing */
}

/* A head that meets the policy stands until another one does. */
static void
a_quorum_is_not_lost_to_a_newer_head(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096), own = BUF_MAX(4096);
	struct site_test *t = *state;
	uint64_t met;

	assert_int_equal(apply(t, "all"), 0);
	pass(t, 5 * CLOCK_US_PER_S);
	cosign_other(t, other, &own);
	assert_int_equal(other_says(t, "200", own.data, own.len), 0);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	met = audit_cosigned(t->m->audit);
	assert_int_equal(monitor_leaf(t->m, "switch", "test", "x", NULL, REASON_NONE), 0);
	pass(t, 5 * CLOCK_US_PER_S);
	site_refused(t, other_says(t, "0", "", 0), REASON_UNREACHABLE);
	assert_string_equal(refuse_last()->text, "cannot be reached");
	buf_reset(&line);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_int_equal(audit_cosigned(t->m->audit), met);
	assert_true(is_met(t));
}

static void
wait_for_submission(struct site_test *t)
{
	uint64_t before = submissions(t);

	for (int s = 0; s < 2000 && submissions(t) == before; s++)
		pass(t, CLOCK_US_PER_S);
	assert_int_equal(submissions(t), before + 1);
}

static void
what_the_customers_witness_may_not_say(void **state)
{
	SCOPED(buf_done) struct buf own = BUF_MAX(4096), wrong = BUF_MAX(4096);
	struct site_test *t = *state;

	assert_int_equal(apply(t, "any"), 0);
	for (int i = 0; i < 7; i++) {
		wait_for_submission(t);
		buf_reset(&own);
		cosign_other(t, other, &own);
		buf_reset(&wrong);
		cosign_other(t, t->witness, &wrong); /* its name, another key */
		switch (i) {
		case 0:
			site_refused(t, other_says(t, "200", wrong.data, wrong.len),
				REASON_UNKNOWN_KEY);
			break;
		case 1:
			(void)spoil(&own);
			site_refused(t, other_says(t, "200", own.data, own.len),
				REASON_BAD_SIGNATURE);
			break;
		case 2:
			site_refused(t, other_says(t, "200", "\n", 1), REASON_UNSIGNED);
			break;
		case 3:
			site_refused(t, other_says(t, "409", "x\n", 2), REASON_MALFORMED);
			break;
		case 4:
			site_refused(t, other_says(t, "409", "1000\n", 5), REASON_ROLLBACK);
			break;
		case 5:
			site_refused(t, other_says(t, "422", "", 0), REASON_ALTERED);
			break;
		case 6:
			assert_int_equal(other_says(t, "409", "2\n", 2), 0); /* it stands there */
			wait_for_submission(t);
			site_refused(t, other_says(t, "409", "2\n", 2), REASON_CONFLICT);
			break;
		}
		assert_int_equal(audit_cosigned(t->m->audit), 0);
		assert_false(forked_is(t->m));
	}
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "witness.reply",
			json_pack("{s:s, s:s}", "sequence", "9999", "status", "200"), "", 0, NULL),
		REASON_MALFORMED);
}

static void
a_policy_that_is_none_changes_nothing(void **state)
{
	struct site_test *t = *state;

	site_refused(t, apply_text(t, "quorum x\n"), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->place, "audit.policy:1:8");
	t->judge_says = "{\"policy\":\"quorum x\n\"}"; /* a judge that was taken over */
	site_refused(t, apply_text(t, "quorum none\n"), REASON_NOT_FOUND);
}

/* --- one that lies ---------------------------------------------------------------------------------------------- */
static void
a_longer_log_that_nobody_signed_is_not_believed(void **state)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(4096);
	struct site_test *t = *state;
	uint64_t before = heads(t);
	char epoch[33];

	(void)snprintf(epoch, sizeof(epoch), "%s", monitor_epoch(t->m));
	pass(t, 5 * CLOCK_US_PER_S);
	site_refused(t, reply(t, 409, "999999\n", 7), REASON_ROLLBACK);
	assert_string_equal(monitor_epoch(t->m), epoch);
	assert_false(forked_is(t->m));
	assert_false(monitor_cloned(t->m));
	/* It is asked again, and may come to its senses. */
	for (int i = 0; i < 10; i++) {
		pass(t, 5 * CLOCK_US_PER_S);
		if (heads(t) > before + 1)
			break;
	}
	assert_int_equal(heads(t), before + 2);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_int_equal(audit_cosigned(t->m->audit), audit_size(t->m->audit));
}

/* A checkpoint of that size and root, by that key. */
static void
checkpoint(struct buf *out, const char *origin, uint64_t size, const uint8_t root[32],
	const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);
	struct note_checkpoint c = { .size = size };

	(void)snprintf(c.origin, sizeof(c.origin), "%s", origin);
	memcpy(c.root, root, sizeof(c.root));
	note_checkpoint_text(&text, &c);
	assert_int_equal(note_sign(out, buf_text(&text), text.len, origin, key), 0);
}

static int
evidence(struct site_test *t, const struct buf *b)
{
	return site_call(t, CALL_ROLE_COURIER, "witness.evidence", NULL, b->data, b->len, NULL);
}

static void
what_proves_no_fork(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct site_test *t = *state;
	const char *origin = audit_origin(t->m->audit);
	uint8_t root[32];

	audit_root(t->m->audit, root);
	checkpoint(&b, origin, 1000, root, t->witness);
	site_refused(t, evidence(t, &b), REASON_UNKNOWN_KEY);
	buf_reset(&b);
	checkpoint(&b, origin, 1000, root, t->m->site.audit_key);
	(void)spoil(&b);
	site_refused(t, evidence(t, &b), REASON_BAD_SIGNATURE);
	buf_reset(&b);
	checkpoint(&b, "mainstay.audit/site2", 1000, root, t->m->site.audit_key);
	site_refused(t, evidence(t, &b), REASON_WRONG_ADDRESSEE);
	buf_reset(&b);
	buf_puts(&b, "junk");
	site_refused(t, evidence(t, &b), REASON_MALFORMED);
	/* A head of ours, old or present. */
	buf_reset(&b);
	assert_non_null(audit_checkpoint(t->m->audit));
	buf_puts(&b, audit_checkpoint(t->m->audit));
	assert_int_equal(evidence(t, &b), 0);
	assert_int_equal(audit_root_at(t->m->audit, 1, root), 0);
	buf_reset(&b);
	checkpoint(&b, origin, 1, root, t->m->site.audit_key);
	assert_int_equal(evidence(t, &b), 0);
	assert_false(forked_is(t->m));
}

static void
our_own_signature_under_another_log_is_a_fork(void **state)
{
	static const struct {
		const char *name;
		uint64_t size;
		const char *leaf;
	} rows[] = {
		{ "one that is longer", 1000, "clone rolled back: " },
		{ "one of our length", 2, "clone forked: " },
	};
	uint8_t root[32] = { 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(4096);
		SCOPED_JSON *status = NULL;
		struct site_test *t;
		uint64_t before, size;
		void *site = NULL;
		char epoch[33];

		assert_int_equal(set_up(&site), 0);
		t = site;
		before = heads(t);
		(void)snprintf(epoch, sizeof(epoch), "%s", monitor_epoch(t->m));
		checkpoint(&b, audit_origin(t->m->audit), rows[i].size, root, t->m->site.audit_key);
		assert_int_equal(evidence(t, &b), 0);
		assert_string_not_equal(monitor_epoch(t->m), epoch);
		if (strncmp(site_last_leaf(t), rows[i].leaf, strlen(rows[i].leaf)) != 0)
			fail_msg("%s: %s", rows[i].name, site_last_leaf(t));
		size = audit_size(t->m->audit);
		/* Told again, it is no news; nor after a restart. */
		assert_int_equal(evidence(t, &b), 0);
		site_restart(t);
		assert_int_equal(evidence(t, &b), 0);
		assert_true(forked_is(t->m));
		assert_int_equal(audit_size(t->m->audit), size);
		assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status),
			0);
		assert_int_equal(json_integer_value(json_object_get(
					 json_object_get(json_object_get(status, "audit"),
						 "forked"),
					 "size")),
			rows[i].size);
		for (int s = 0; s < 100; s++)
			pass(t, 10 * CLOCK_US_PER_S);
		assert_int_equal(heads(t), before); /* no head of it is sent any more */
		assert_int_equal(tear_down(&site), 0);
	}
}

/* Power fails, or the disk is full, before the proof is kept: it is judged again, nothing of it is missing. */
static void
a_fork_that_could_not_be_kept_has_its_leaf_and_its_epoch(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct site_test *t = *state;
	uint8_t root[32] = { 7 };
	char epoch[33];

	(void)snprintf(epoch, sizeof(epoch), "%s", monitor_epoch(t->m));
	checkpoint(&b, audit_origin(t->m->audit), 1000, root, t->m->site.audit_key);
	assert_int_equal(mkdirat(t->m->dir_fd, "forked.json", 0700), 0);
	assert_true(evidence(t, &b) < 0);
	assert_string_not_equal(monitor_epoch(t->m), epoch);
	assert_true(monitor_cloned(t->m));
	assert_memory_equal(site_last_leaf(t), "clone rolled back: ", 19);
	assert_false(forked_is(t->m));
	assert_int_equal(unlinkat(t->m->dir_fd, "forked.json", AT_REMOVEDIR), 0);
	site_restart(t);
	assert_true(monitor_cloned(t->m));
	assert_int_equal(evidence(t, &b), 0);
	assert_true(forked_is(t->m));
}

/* --- by file ---------------------------------------------------------------------------------------------------- */
static void
a_cosignature_may_come_as_a_file(void **state)
{
	SCOPED(buf_done)
	struct buf note = BUF_MAX(NOTE_MAX), line = BUF_MAX(4096);
	SCOPED(note_freep) struct note *n = NULL;
	struct site_test *t = *state;
	const char *head;
	uint8_t was;

	assert_int_equal(apply(t, "all"), 0);
	head = audit_checkpoint(t->m->audit);
	pass(t, 5 * CLOCK_US_PER_S);
	site_refused(t, other_says(t, "0", "", 0), REASON_UNREACHABLE);
	cosign(t, &line);
	assert_int_equal(reply(t, 200, line.data, line.len), 0);
	assert_false(is_met(t));
	site_refused(t, cosign_import(t->m, head, strlen(head)), REASON_UNKNOWN_KEY);
	site_refused(t, cosign_import(t->m, "x", 1), REASON_MALFORMED);
	assert_int_equal(note_open(&n, head, strlen(head), "head"), 0);
	buf_puts(&note, head);
	assert_int_equal(note_cosign(&note, n->text, n->text_len, OTHER_NAME, other, 1800000000),
		0);
	was = spoil(&note);
	site_refused(t, cosign_import(t->m, note.data, note.len), REASON_BAD_SIGNATURE);
	note.data[note.len - 10] = was;
	assert_int_equal(cosign_import(t->m, note.data, note.len), 0);
	assert_true(is_met(t)); /* beside the hub's, which stood there */
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define OTHER(test) cmocka_unit_test_setup_teardown(test, set_up_other, tear_down_other)
	static const struct CMUnitTest tests[] = {
		ROW(a_head_is_cosigned_once),
		ROW(a_cosigned_head_that_is_gone_is_missed),
		ROW(a_lost_answer_is_waited_for_and_then_asked_for_again),
		ROW(an_answer_that_cosigns_nothing_is_refused_and_asked_for_again),
		OTHER(both_cosign_one_head),
		OTHER(one_that_is_silent_holds_the_others_up_for_seconds),
		OTHER(a_quorum_is_not_lost_to_a_newer_head),
		OTHER(what_the_customers_witness_may_not_say),
		OTHER(a_policy_that_is_none_changes_nothing),
		ROW(a_longer_log_that_nobody_signed_is_not_believed),
		ROW(what_proves_no_fork),
		cmocka_unit_test(our_own_signature_under_another_log_is_a_fork),
		ROW(a_fork_that_could_not_be_kept_has_its_leaf_and_its_epoch),
		OTHER(a_cosignature_may_come_as_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
