#include "appliance/trust/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/vectors.h"

#define DASH "\xe2\x80\x94"
#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static void
c2sp_vectors(void **state)
{
	json_t *v = vectors_load("note/c2sp_examples.json");
	const char *text = json_string_value(json_object_get(v, "note"));
	const char *with_cosig = json_string_value(json_object_get(v, "checkpoint_with_cosig"));
	SCOPED(note_freep) struct note *n = NULL, *c = NULL;
	SCOPED(buf_done) struct buf vkey = BUF_MAX(1024);
	struct note_checkpoint checkpoint;
	struct note_key k;
	uint64_t time_s = 0;

	(void)state;
	assert_int_equal(note_key_parse(&k, json_string_value(json_object_get(v, "vkey"))), 0);
	note_key_text(&vkey, &k);
	assert_string_equal(buf_text(&vkey), json_string_value(json_object_get(v, "vkey")));
	assert_int_equal(note_open(&n, text, strlen(text), "note"), 0);
	assert_int_equal(note_verify(n, &k, NULL), 0);

	assert_int_equal(note_open(&c, with_cosig, strlen(with_cosig), "note"), 0);
	assert_int_equal(c->n_sigs, 2);
	assert_int_equal(note_checkpoint_parse(&checkpoint, c->text, c->text_len, "note"), 0);
	assert_int_equal(checkpoint.size, 20852163);
	assert_string_equal(checkpoint.origin, "example.com/behind-the-sofa");
	assert_int_equal(c->sigs[1].len, 72);
	for (int i = 0; i < 8; i++)
		time_s = time_s << 8 | c->sigs[1].sig[i];
	assert_int_equal(time_s, json_integer_value(json_object_get(v, "cosig_timestamp")));
	vectors_ran("note", 2, 0);
	json_decref(v);
}

static void
signed_and_cosigned(void **state)
{
	struct note_checkpoint c = { .origin = "mainstay.audit/plant7", .size = 42 }, back;
	SCOPED(ed25519_freep) struct ed25519 *log = NULL, *witness = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(1024), note = BUF_MAX(4096);
	SCOPED(note_freep) struct note *n = NULL;
	struct note_key lk, wk, stranger;
	uint64_t when = 0;

	(void)state;
	assert_int_equal(ed25519_generate(&log), 0);
	assert_int_equal(ed25519_generate(&witness), 0);
	note_checkpoint_text(&text, &c);
	assert_int_equal(note_sign(&note, buf_text(&text), text.len, c.origin, log), 0);
	assert_int_equal(note_cosign(&note, buf_text(&text), text.len, "hub.example", witness,
				 1800000000),
		0);
	assert_int_equal(note_open(&n, note.data, note.len, "note"), 0);
	assert_int_equal(note_checkpoint_parse(&back, n->text, n->text_len, "note"), 0);
	assert_int_equal(back.size, 42);

	assert_int_equal(note_key_make(&lk, c.origin, NOTE_TYPE_ED25519, ed25519_public(log)), 0);
	assert_int_equal(note_key_make(&wk, "hub.example", NOTE_TYPE_COSIGNATURE,
				 ed25519_public(witness)),
		0);
	assert_int_equal(note_key_make(&stranger, "x.example", NOTE_TYPE_COSIGNATURE,
				 ed25519_public(log)),
		0);
	assert_int_equal(note_verify(n, &lk, NULL), 0);
	assert_int_equal(note_verify(n, &wk, &when), 0);
	assert_int_equal(when, 1800000000);
	assert_int_equal(note_verify(n, &stranger, NULL), REASON_UNKNOWN_KEY);
	/* text under the signatures, changed */
	n = note_free(n);
	note.data[strlen(c.origin) + 1] = '5';
	assert_int_equal(note_open(&n, note.data, note.len, "note"), 0);
	assert_int_equal(note_verify(n, &lk, NULL), REASON_BAD_SIGNATURE);
	assert_int_equal(note_verify(n, &wk, NULL), REASON_BAD_SIGNATURE);
	assert_int_equal(refuse_last()->reason, REASON_BAD_SIGNATURE);
}

static void
notes_that_are_none(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "a\n\n" DASH " name AAAAAAA=\n", REASON_NONE },
		{ "a\n\nb\n\n" DASH " name AAAAAAA=\n",
			REASON_NONE }, /* the last blank line counts */
		{ "", REASON_MALFORMED },
		{ "a\n", REASON_MALFORMED },
		{ "a\n\n", REASON_UNSIGNED },
		{ "a\n\n" DASH " name AAAAAAA=", REASON_MALFORMED },
		{ "a\n\n- name AAAAAAA=\n", REASON_MALFORMED },
		{ "a\n\n" DASH " na+me AAAAAAA=\n", REASON_MALFORMED },
		{ "a\n\n" DASH "  AAAAAAA=\n", REASON_MALFORMED },
		{ "a\n\n" DASH " name AAAA\n", REASON_MALFORMED },
		{ "a\n\n" DASH " name !\n", REASON_MALFORMED },
		{ "a\tb\n\n" DASH " name AAAAAAA=\n", REASON_MALFORMED },
		{ "a\r\n\n" DASH " name AAAAAAA=\n", REASON_MALFORMED },
	};
	SCOPED(buf_done) struct buf many = BUF_MAX(NOTE_MAX + 100);
	struct note *n = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = note_open(&n, rows[i].text, strlen(rows[i].text), "note");

		if (r != (int)rows[i].reason)
			fail_msg("row %zu: %s", i, refuse_token((enum reason)r));
		n = note_free(n);
	}
	buf_puts(&many, "a\n\n");
	for (int i = 0; i <= NOTE_SIGS_MAX; i++)
		buf_puts(&many, DASH " name AAAAAAA=\n");
	assert_int_equal(note_open(&n, many.data, many.len, "note"), REASON_TOO_LARGE);
	while (!buf_error(&many) && many.len <= NOTE_MAX)
		buf_puts(&many, "aaaaaaaaaaaa\n");
	assert_refused(note_open(&n, many.data, many.len, "note"), REASON_TOO_LARGE, "note over");
	assert_refused(note_open(&n, "a\n", 2, "note"), REASON_MALFORMED, "no blank line");
	assert_null(n);
}

static void
checkpoints_that_are_none(void **state)
{
	static const struct {
		const char *text;
		enum reason reason;
	} rows[] = {
		{ "o\n0\n" ROOT "\n", REASON_NONE },
		{ "o\n7\n" ROOT "\nextension\n", REASON_NONE },
		{ "o\n07\n" ROOT "\n", REASON_MALFORMED },
		{ "o\n-7\n" ROOT "\n", REASON_MALFORMED },
		{ "o\n9223372036854775808\n" ROOT "\n", REASON_MALFORMED },
		{ "o\n99999999999999999999999999999\n" ROOT "\n", REASON_MALFORMED },
		{ "\n7\n" ROOT "\n", REASON_MALFORMED },
		{ "o\n7\nAAAA\n", REASON_MALFORMED },
		{ "o\n7\n" ROOT, REASON_MALFORMED },
		{ "o\n7\n" ROOT "\n\nx\n", REASON_MALFORMED },
		{ "o\n7\n" ROOT "\nx", REASON_MALFORMED },
		{ "o\n", REASON_MALFORMED },
		{ "", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct note_checkpoint c = { 0 };
		int r = note_checkpoint_parse(&c, rows[i].text, strlen(rows[i].text), "checkpoint");

		if (r != (int)rows[i].reason)
			fail_msg("row %zu: %s", i, refuse_token((enum reason)r));
		assert_int_equal(c.origin[0] != 0, r == 0);
	}
	{
		struct note_checkpoint c = { 0 };

		assert_refused(note_checkpoint_parse(&c, "o\n", 2, "checkpoint"), REASON_MALFORMED,
			"checkpoint without a size");
		assert_int_equal(c.origin[0], 0);
	}
}

static void
keys_that_are_none(void **state)
{
	static const char *const rows[] = {
		"",
		"name",
		"name+00",
		"name+0000000g+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
		"example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", /* another id */
		"example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", /* another name */
		"example.com/foo+530d903a+BekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", /* another type */
		"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==", /* short */
		"exam ple+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
	};
	uint8_t raw[32] = { 9 };
	struct note_key k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(note_key_parse(&k, rows[i]), REASON_MALFORMED);
	assert_int_equal(note_key_make(&k, "a+b", 1, raw), REASON_MALFORMED);
	assert_int_equal(note_key_make(&k, "a b", 1, raw), REASON_MALFORMED);
	assert_int_equal(note_key_make(&k, "", 1, raw), REASON_MALFORMED);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(c2sp_vectors),
		cmocka_unit_test(signed_and_cosigned),
		cmocka_unit_test(notes_that_are_none),
		cmocka_unit_test(checkpoints_that_are_none),
		cmocka_unit_test(keys_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
