#include "appliance/audit/witness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/merkle_tree.h"
#include "tests/fakes/refused.h"

#define ORIGIN "mainstay.audit/plant7"

static struct ed25519 *key, *hub;
static struct note_key log_key, witness_key;
static struct merkle_tree leaves;
static struct merkle_source tree;

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(ed25519_generate(&hub), 0);
	assert_int_equal(note_key_make(&log_key, ORIGIN, NOTE_TYPE_ED25519, ed25519_public(key)),
		0);
	assert_int_equal(note_key_make(&witness_key, "hub", NOTE_TYPE_COSIGNATURE,
				 ed25519_public(hub)),
		0);
	merkle_tree_make(&leaves, 20);
	tree = merkle_tree_source(&leaves);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(key);
	ed25519_free(hub);
	merkle_tree_done(&leaves);
	return 0;
}

static void
checkpoint(struct buf *out, uint64_t size, bool wrong_root)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);
	struct note_checkpoint c = { .origin = ORIGIN, .size = size };

	assert_int_equal(merkle_root(&tree, size, c.root), 0);
	c.root[0] ^= wrong_root;
	note_checkpoint_text(&text, &c);
	assert_int_equal(note_sign(out, buf_text(&text), text.len, ORIGIN, key), 0);
}

struct row {
	const char *name;
	uint64_t stored, old, size;
	bool wrong_root, no_proof, unknown, bad_key;
	int status;
	enum reason reason;
};

static int
decide(const struct row *row)
{
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	SCOPED(buf_done) struct buf head = BUF_MAX(4096), body = BUF_MAX(8192);
	struct merkle_proof proof = { .n = 0 };
	struct note_key other = log_key;
	uint8_t root[32];

	checkpoint(&head, row->size, row->wrong_root);
	if (!row->no_proof)
		(void)merkle_prove_consistency(&tree, row->old, row->size, &proof);
	witness_request(&body, row->old, &proof, buf_text(&head), head.len);
	assert_int_equal(witness_parse(&s, body.data, body.len), 0);
	assert_int_equal(merkle_root(&tree, row->stored, root), 0);
	other.key[0] ^= 1;
	return witness_decide(&s,
		row->unknown	       ? NULL
			: row->bad_key ? &other
				       : &log_key,
		row->stored, root);
}

static void
decisions(void **state)
{
	static const struct row rows[] = {
		{ "the first", 0, 0, 5, .status = 200 },
		{ "the first, empty", 0, 0, 0, .status = 200 },
		{ "growth", 5, 5, 12, .status = 200 },
		{ "the same again", 5, 5, 5, .status = 200 },
		{ "unknown log", 5, 5, 12, .unknown = true, .status = 404,
			.reason = REASON_NOT_FOUND },
		{ "signed by another", 5, 5, 12, .bad_key = true, .status = 403,
			.reason = REASON_BAD_SIGNATURE },
		{ "old beyond size", 9, 9, 5, .no_proof = true, .status = 400,
			.reason = REASON_MALFORMED },
		{ "another old", 7, 5, 12, .status = 409, .reason = REASON_CONFLICT },
		{ "from the start again", 7, 0, 12, .status = 409, .reason = REASON_CONFLICT },
		{ "another root", 5, 5, 12, .wrong_root = true, .status = 422,
			.reason = REASON_ALTERED },
		{ "no proof", 5, 5, 12, .no_proof = true, .status = 422, .reason = REASON_ALTERED },
		{ "same size, another root", 5, 5, 5, .wrong_root = true, .status = 422,
			.reason = REASON_ALTERED },
		{ "empty tree, another root", 0, 0, 0, .wrong_root = true, .status = 422,
			.reason = REASON_ALTERED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t before = rows[i].reason ? refuse_count(rows[i].reason) : 0;
		int status = decide(&rows[i]);

		if (status != rows[i].status)
			fail_msg("%s: %d", rows[i].name, status);
		if (rows[i].reason)
			assert_int_equal(refuse_count(rows[i].reason), before + 1);
	}
}

static void
bodies(void **state)
{
#define HASH "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	static const char *const rows[] = {
		"",
		"old",
		"old \n\n",
		"old x\n\n",
		"old 01\n\n",
		"new 1\n\n",
		"old 1\n",
		"old 1\nAAAA\n\n",
		"old 1\n" HASH,
		"old 1\n" HASH "\n",
		"old 1\n" HASH "\njunk",
	};
	SCOPED(buf_done) struct buf head = BUF_MAX(4096), many = BUF_MAX(WITNESS_BODY_MAX + 100);
	SCOPED(scope_free) char *big = calloc(1, WITNESS_BODY_MAX + 1);
	struct witness_submission s = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (witness_parse(&s, rows[i], strlen(rows[i])) != REASON_MALFORMED || s.note)
			fail_msg("row %zu", i);
	}
	assert_refused(witness_parse(&s, "new 1\n\n", 7), REASON_MALFORMED, "first line is not");
	assert_refused(witness_parse(&s, "old 1\nAAAA\n\n", 12), REASON_MALFORMED, "not base64 of 32 bytes");
	assert_refused(witness_parse(&s, "old 1\n", 6), REASON_MALFORMED, "no blank line");
	assert_null(s.note);
	checkpoint(&head, 5, false);
	buf_puts(&many, "old 1\n");
	for (int i = 0; i < 64; i++)
		buf_puts(&many, HASH);
	buf_printf(&many, "\n%s", buf_text(&head));
	assert_int_equal(witness_parse(&s, many.data, many.len), REASON_MALFORMED);
	assert_int_equal(witness_parse(&s, big, WITNESS_BODY_MAX + 1), REASON_TOO_LARGE);
}

static void
answers(void **state)
{
	SCOPED(buf_done)
	struct buf head = BUF_MAX(4096),
		   body = BUF_MAX(8192), reply = BUF_MAX(4096);
	SCOPED(buf_done) struct buf whole = BUF_MAX(8192);
	SCOPED(witness_submission_done) struct witness_submission s = { 0 };
	struct merkle_proof none = { .n = 0 };
	SCOPED(note_freep) struct note *n = NULL;
	struct note_key other = witness_key;
	uint64_t size = 0;

	(void)state;
	checkpoint(&head, 5, false);
	witness_request(&body, 0, &none, buf_text(&head), head.len);
	assert_int_equal(witness_parse(&s, body.data, body.len), 0);
	assert_int_equal(witness_cosignature(&reply, &s, "hub", hub, 1800000000), 0);
	assert_int_equal(witness_accept(&whole, buf_text(&head), head.len, reply.data, reply.len,
				 &witness_key),
		0);
	assert_int_equal(note_open(&n, whole.data, whole.len, "note"), 0);
	assert_int_equal(note_verify(n, &witness_key, NULL), 0);
	assert_int_equal(note_verify(n, &log_key, NULL), 0);

	buf_reset(&whole);
	other.key[0] ^= 1;
	assert_int_equal(witness_accept(&whole, buf_text(&head), head.len, reply.data, reply.len,
				 &other),
		REASON_BAD_SIGNATURE);
	other = witness_key;
	other.id[0] ^= 1;
	assert_int_equal(witness_accept(&whole, buf_text(&head), head.len, reply.data, reply.len,
				 &other),
		REASON_UNKNOWN_KEY);
	assert_int_equal(witness_accept(&whole, buf_text(&head), head.len, "junk", 4, &witness_key),
		REASON_MALFORMED);
	assert_int_equal(witness_accept(&whole, buf_text(&head), head.len, reply.data,
				 WITNESS_BODY_MAX + 1, &witness_key),
		REASON_TOO_LARGE);
	assert_int_equal(whole.len, 0);

	assert_int_equal(witness_conflict(&size, "17\n", 3), 0);
	assert_int_equal(size, 17);
	assert_int_equal(witness_conflict(&size, "17", 2), REASON_MALFORMED);
	assert_int_equal(witness_conflict(&size, "", 0), REASON_MALFORMED);
	assert_int_equal(witness_conflict(&size, "-1\n", 3), REASON_MALFORMED);
	assert_int_equal(size, 17);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(decisions),
		cmocka_unit_test(bodies),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
