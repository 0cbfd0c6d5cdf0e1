#include "appliance/audit/quorum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

enum { KEYS = 30 };

static struct ed25519 *keys[KEYS], *log_key;
static char vkeys[KEYS][128], log_vkey[128], log_as_witness[128];

static void
name_key(char out[128], const char *name, uint8_t type, const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(127);
	struct note_key k;

	assert_int_equal(note_key_make(&k, name, type, ed25519_public(key)), 0);
	note_key_text(&b, &k);
	(void)snprintf(out, 128, "%s", buf_text(&b));
}

static int
set_up(void **state)
{
	(void)state;
	assert_int_equal(ed25519_generate(&log_key), 0);
	name_key(log_vkey, "mainstay.audit/site1", NOTE_TYPE_ED25519, log_key);
	name_key(log_as_witness, "mainstay.audit/site1", NOTE_TYPE_COSIGNATURE, log_key);
	for (int i = 0; i < KEYS; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "w%d.example", i);
		assert_int_equal(ed25519_generate(&keys[i]), 0);
		name_key(vkeys[i], name, NOTE_TYPE_COSIGNATURE, keys[i]);
	}
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ed25519_free(log_key);
	for (int i = 0; i < KEYS; i++)
		ed25519_free(keys[i]);
	return 0;
}

/* "%N" in a policy stands for the key of witness N, "%L" for the log's. */
static void
expand(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text != '%')
			buf_u8(out, (uint8_t)*text);
		else if (*++text == 'L')
			buf_puts(out, log_vkey);
		else if (*text == 'X')
			buf_puts(out, log_as_witness);
		else
			buf_puts(out, vkeys[*text - '0']);
	}
}

static int
parse(struct quorum **ret, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(QUORUM_BYTES_MAX);

	expand(&b, text);
	return quorum_parse(ret, b.data, b.len, "audit.policy");
}

/* A checkpoint with cosignatures by the witnesses whose digits stand in by. */
static void
make_note(struct buf *out, const char *by)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);
	struct note_checkpoint c = { .origin = "mainstay.audit/site1", .size = 7 };

	note_checkpoint_text(&text, &c);
	assert_int_equal(buf_error(&text), 0);
	assert_int_equal(note_sign(out, buf_text(&text), text.len, c.origin, log_key), 0);
	for (; *by; by++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "w%d.example", *by - '0');
		assert_int_equal(note_cosign(out, buf_text(&text), text.len, name, keys[*by - '0'],
					 1800000000 + (uint64_t)(*by - '0')),
			0);
	}
}

static void
judge(const struct quorum *q, const char *by, struct quorum_verdict *ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	SCOPED(note_freep) struct note *note = NULL;

	make_note(&b, by);
	assert_int_equal(note_open(&note, b.data, b.len, "note"), 0);
	assert_int_equal(quorum_check(q, note, ret), 0);
}

#define SIX                                                                                        \
	"log %L\nwitness X1 %1\nwitness X2 %2\nwitness X3 %3\ngroup X-witnesses 2 X1 X2 X3\n"      \
	"witness Y1 %4\nwitness Y2 %5\nwitness Y3 %6\ngroup Y-witnesses any Y1 Y2 Y3\n"            \
	"group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"

static void
a_quorum_is_met_by_those_it_names(void **state)
{
	static const struct {
		const char *name, *policy, *by;
		bool met;
	} rows[] = {
		{ "none asks for nobody", "quorum none\n", "", true },
		{ "one witness", "witness a %1\nquorum a\n", "1", true },
		{ "one witness that is missing", "witness a %1\nquorum a\n", "", false },
		{ "another one instead", "witness a %1\nwitness b %2\nquorum a\n", "2", false },
		{ "a stranger does not count", "witness a %1\nquorum a\n", "3", false },
		{ "any of two", "witness a %1\nwitness b %2\ngroup g any a b\nquorum g\n", "2",
			true },
		{ "all of two, one", "witness a %1\nwitness b %2\ngroup g all a b\nquorum g\n", "2",
			false },
		{ "all of two, both", "witness a %1\nwitness b %2\ngroup g all a b\nquorum g\n",
			"12", true },
		{ "two groups, both", SIX, "136", true },
		{ "two groups, only the first", SIX, "123", false },
		{ "two groups, one short in the first", SIX, "14", false },
		{ "two groups, only the second", SIX, "456", false },
		{ "one that signed twice is one", SIX, "114", false },
		{ "white space and comments", "  # a\n\n\twitness   a\t%1 \n quorum a\n", "1",
			true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(quorum_freep) struct quorum *q = NULL;
		uint64_t before = refuse_count(REASON_THRESHOLD);
		SCOPED_JSON *json = NULL;
		struct quorum_verdict v;

		if (parse(&q, rows[i].policy) != 0)
			fail_msg("%s: %s", rows[i].name, refuse_last()->text);
		judge(q, rows[i].by, &v);
		json = quorum_json(q, &v);
		if (v.met != rows[i].met ||
			quorum_require(json, "site1") != (v.met ? 0 : REASON_THRESHOLD))
			fail_msg("%s: %d", rows[i].name, v.met);
		assert_int_equal(refuse_count(REASON_THRESHOLD), before + !v.met);
	}
}

static void
what_is_refused_names_the_place(void **state)
{
	static const struct {
		const char *name, *policy, *place;
		enum reason reason;
	} rows[] = {
		{ "no quorum", "witness a %1\n", "audit.policy:2:1", REASON_MALFORMED },
		{ "an empty file", "", "audit.policy:1:1", REASON_MALFORMED },
		{ "two quorums", "quorum none\nquorum none\n", "audit.policy:2:1",
			REASON_CONFLICT },
		{ "a quorum of nobody", "quorum a\n", "audit.policy:1:8", REASON_NOT_FOUND },
		{ "a quorum before its witness", "quorum a\nwitness a %1\n", "audit.policy:1:8",
			REASON_NOT_FOUND },
		{ "an unknown line", "witnes a %1\nquorum none\n", "audit.policy:1:1",
			REASON_UNKNOWN_FIELD },
		{ "no key", "witness a\nquorum none\n", "audit.policy:1:1", REASON_MALFORMED },
		{ "a word too many", "witness a %1 https://a b\nquorum none\n", "audit.policy:1:86",
			REASON_MALFORMED },
		{ "what is no key", "witness a x+y+z\nquorum none\n", "audit.policy:1:11",
			REASON_MALFORMED },
		{ "a log's key for a witness", "witness a %L\nquorum none\n", "audit.policy:1:11",
			REASON_MALFORMED },
		{ "a witness's key for a log", "log %X\nquorum none\n", "audit.policy:1:5",
			REASON_MALFORMED },
		{ "a log twice", "log %L\nlog %L\nquorum none\n", "audit.policy:2:5",
			REASON_CONFLICT },
		{ "a witness's key twice", "witness a %1\nwitness b %1\nquorum none\n",
			"audit.policy:2:11", REASON_CONFLICT },
		{ "a name twice", "witness a %1\nwitness a %2\nquorum none\n", "audit.policy:2:9",
			REASON_CONFLICT },
		{ "a group named as a witness", "witness a %1\ngroup a any a\nquorum none\n",
			"audit.policy:2:7", REASON_CONFLICT },
		{ "the name none", "witness none %1\nquorum none\n", "audit.policy:1:9",
			REASON_CONFLICT },
		{ "a group without members", "group g all\nquorum none\n", "audit.policy:1:1",
			REASON_MALFORMED },
		{ "a group of itself", "group g all g\nquorum g\n", "audit.policy:1:13",
			REASON_NOT_FOUND },
		{ "none as a member", "group g all none\nquorum g\n", "audit.policy:1:13",
			REASON_NOT_FOUND },
		{ "a member twice", "witness a %1\ngroup g all a a\nquorum g\n",
			"audit.policy:2:15", REASON_CONFLICT },
		{ "a member of two groups",
			"witness a %1\ngroup g all a\ngroup h all a\nquorum h\n",
			"audit.policy:3:13", REASON_CONFLICT },
		{ "none of one", "witness a %1\ngroup g 0 a\nquorum g\n", "audit.policy:2:9",
			REASON_MALFORMED },
		{ "two of one", "witness a %1\ngroup g 2 a\nquorum g\n", "audit.policy:2:9",
			REASON_MALFORMED },
		{ "01 of one", "witness a %1\ngroup g 01 a\nquorum g\n", "audit.policy:2:9",
			REASON_MALFORMED },
		{ "some of one", "witness a %1\ngroup g some a\nquorum g\n", "audit.policy:2:9",
			REASON_MALFORMED },
		{ "a URL without TLS", "log %L http://x\nquorum none\n", "audit.policy:1:80",
			REASON_MALFORMED },
		{ "a URL of nothing", "log %L https://\nquorum none\n", "audit.policy:1:80",
			REASON_MALFORMED },
		{ "a URL with a password", "log %L https://u:p@x\nquorum none\n",
			"audit.policy:1:80", REASON_MALFORMED },
		{ "a URL that is not ASCII", "log %L https://\xc3\xa9\nquorum none\n",
			"audit.policy:1:80", REASON_MALFORMED },
		{ "a control", "quorum\rnone\n", "audit.policy:1:7", REASON_MALFORMED },
		{ "a delete", "quorum none\n#\x7f\n", "audit.policy:2:2", REASON_MALFORMED },
		{ "a file cut off", "quorum non", "audit.policy:1:11", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(quorum_freep) struct quorum *q = NULL;
		uint64_t before = refuse_count(rows[i].reason);
		int r = parse(&q, rows[i].policy);

		if (r != (int)rows[i].reason || q || refuse_count(r) != before + 1)
			fail_msg("%s: %d", rows[i].name, r);
		if (strcmp(refuse_last()->place, rows[i].place) != 0)
			fail_msg("%s: %s", rows[i].name, refuse_last()->place);
	}
	assert_non_null(strstr(refuse_last()->text, "cut off"));
}

/* One more than the limits allow. */
static void
limits(void **state)
{
	SCOPED(scope_free) char *big = calloc(1, QUORUM_BYTES_MAX + 1);
	struct quorum *q = NULL;

	(void)state;
	for (int what = 0; what < 6; what++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(QUORUM_BYTES_MAX);
		uint64_t before = refuse_count(REASON_TOO_LARGE);

		if (what == 0) /* witnesses */
			for (int i = 0; i <= QUORUM_WITNESSES_MAX; i++)
				buf_printf(&b, "witness w%d %s\n", i, vkeys[i]);
		if (what == 1) { /* groups */
			buf_printf(&b, "witness g %s\n", vkeys[0]);
			for (int i = 0; i <= QUORUM_GROUPS_MAX; i++)
				buf_printf(&b, "group g%d all g%.0d\n", i + 1, i);
		}
		if (what == 2) { /* words */
			buf_puts(&b, "group g all");
			for (int i = 0; i < 80; i++)
				buf_puts(&b, " a");
		}
		if (what == 3) { /* a name */
			buf_puts(&b, "witness ");
			for (int i = 0; i < NOTE_NAME_MAX; i++)
				buf_u8(&b, 'n');
			buf_printf(&b, " %s", vkeys[0]);
		}
		if (what == 4) { /* a URL */
			buf_printf(&b, "witness a %s https://", vkeys[0]);
			for (int i = 0; i < QUORUM_URL_MAX; i++)
				buf_u8(&b, 'u');
		}
		if (what == 5) { /* logs */
			for (int i = 0; i <= QUORUM_LOGS_MAX; i++) {
				SCOPED(ed25519_freep) struct ed25519 *key = NULL;
				char vkey[128];

				assert_int_equal(ed25519_generate(&key), 0);
				name_key(vkey, "log", NOTE_TYPE_ED25519, key);
				buf_printf(&b, "log %s\n", vkey);
			}
		}
		buf_puts(&b, "\nquorum none\n");
		if (quorum_parse(&q, b.data, b.len, "p") != REASON_TOO_LARGE)
			fail_msg("limit %d: %s", what, refuse_last()->text);
		assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	}
	assert_int_equal(quorum_parse(&q, big, QUORUM_BYTES_MAX + 1, "p"), REASON_TOO_LARGE);
	assert_null(q);
}

static void
a_wrong_line_of_a_known_witness_spoils_the_note(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	SCOPED(quorum_freep) struct quorum *q = NULL;
	SCOPED(note_freep) struct note *note = NULL;
	uint64_t before = refuse_count(REASON_BAD_SIGNATURE);
	struct quorum_verdict v;

	(void)state;
	assert_int_equal(parse(&q, "witness a %1\nwitness b %2\ngroup g any a b\nquorum g\n"), 0);
	make_note(&b, "12");
	assert_int_equal(note_open(&note, b.data, b.len, "note"), 0);
	note->bytes[note->sigs[2].sig - note->bytes + 20] ^= 1;
	assert_int_equal(quorum_check(q, note, &v), REASON_BAD_SIGNATURE);
	assert_int_equal(refuse_count(REASON_BAD_SIGNATURE), before + 1);
	assert_false(v.met);
}

static void
what_is_written_reads_back_as_the_same(void **state)
{
	SCOPED(quorum_freep) struct quorum *q = NULL, *again = NULL, *one = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(QUORUM_BYTES_MAX), twice = text;
	SCOPED_JSON *json = NULL;
	struct quorum_verdict v;

	(void)state;
	assert_int_equal(parse(&q,
				 "log %L https://log.example/\nwitness z\xc3\xa9\xff %3 "
				 "https://w.example/prefix//\n" SIX),
		REASON_CONFLICT); /* the log stands in SIX as well */
	assert_int_equal(parse(&q, "witness z\xc3\xa9\xff %7 https://w.example/prefix//\n" SIX), 0);
	quorum_text(&text, q);
	assert_int_equal(quorum_parse(&again, text.data, text.len, "p"), 0);
	quorum_text(&twice, again);
	assert_string_equal(buf_text(&text), buf_text(&twice));
	assert_int_equal(quorum_n_logs(again), 1);
	assert_string_equal(quorum_log(again, 0)->name, "mainstay.audit/site1");
	assert_int_equal(quorum_n_witnesses(again), 7);
	assert_string_equal(quorum_witness(again, 0)->url, "https://w.example/prefix");
	judge(again, "17", &v);
	json = quorum_json(again, &v);
	assert_non_null(json);
	assert_false(json_is_true(json_object_get(json, "met")));
	assert_string_equal(json_text(json, "quorum"), "X-and-Y");
	assert_int_equal(json_array_size(json_object_get(json, "witnesses")), 7);
	assert_string_equal(json_text(json_array_get(json_object_get(json, "witnesses"), 1),
				    "time"),
		"2027-01-15T08:00:01.000Z");

	assert_int_equal(quorum_single(&one, "hub", &quorum_witness(q, 1)->key), 0);
	buf_reset(&text);
	quorum_text(&text, one);
	assert_non_null(strstr(buf_text(&text), "quorum hub\n"));
	judge(one, "1", &v);
	assert_true(v.met);
	judge(one, "2", &v);
	assert_false(v.met);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quorum_is_met_by_those_it_names),
		cmocka_unit_test(what_is_refused_names_the_place),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_wrong_line_of_a_known_witness_spoils_the_note),
		cmocka_unit_test(what_is_written_reads_back_as_the_same),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
