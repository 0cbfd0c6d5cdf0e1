/* What a PostgreSQL, or something in its place, may say: a whole conversation, and all that is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/postgres_fields.h"
#include "telemetry/collect/postgres_talk.h"

#define NONCE  "AAAAAAAAAAAAAAAAAAAAAAAA"

struct talk {
	struct postgres_talk t;
	struct buf out;
};

static int
setup(void **state)
{
	static const uint8_t nonce[POSTGRES_TALK_NONCE];
	struct talk *k = calloc(1, sizeof(*k));

	if (!k)
		return -1;
	k->out = BUF_MAX(16 * 1024);
	*state = k;
	return postgres_talk_begin(&k->t, &k->out, "watch", "postgres", 900, nonce);
}

static int
teardown(void **state)
{
	struct talk *k = *state;

	buf_done(&k->out);
	free(k);
	return 0;
}

/* Say one message of the server's: type, body. */
static int
say(struct talk *k, char type, const void *body, size_t len)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(32 * 1024);
	size_t used = 0;
	int r;

	buf_u8(&in, (uint8_t)type);
	buf_u32(&in, (uint32_t)len + 4);
	buf_put(&in, body, len);
	buf_reset(&k->out);
	assert_int_equal(postgres_talk_take(&k->t, in.data, in.len - 1, "secret", 6, &used, &k->out),
		POSTGRES_TALK_MORE);
	assert_int_equal(used, 0);
	r = postgres_talk_take(&k->t, in.data, in.len, "secret", 6, &used, &k->out);
	if (r > POSTGRES_TALK_MORE)
		assert_int_equal(used, in.len);
	return r;
}

static int
say_auth(struct talk *k, uint32_t kind, const char *text, size_t len)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);

	buf_u32(&body, kind);
	buf_put(&body, text, len);
	return say(k, 'R', body.data, body.len);
}

static const char offers[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
static const char challenge[] = "r=" NONCE "server,s=c2FsdHNhbHRzYWx0,i=4096";
/* By Python's hashlib and hmac, for the password "secret". */
static const char final_ours[] = "c=biws,r=" NONCE "server,p=65YGLM3oWCJrN0V0ngPV/xsmFKBXgSvSJ3+Y7rkLp4I=";
static const char final_theirs[] = "v=b+vNule1fhsEvOlqw+VD+uJ8VVADrFX6225BSWnsPug=";

static void
come_to_proof(struct talk *k)
{
	assert_int_equal(say_auth(k, 10, offers, sizeof(offers)), POSTGRES_TALK_GO_ON);
	assert_int_equal(say_auth(k, 11, challenge, strlen(challenge)), POSTGRES_TALK_GO_ON);
}

static void
come_in(struct talk *k)
{
	come_to_proof(k);
	assert_int_equal(say_auth(k, 12, final_theirs, strlen(final_theirs)), POSTGRES_TALK_GO_ON);
	assert_int_equal(say_auth(k, 0, "", 0), POSTGRES_TALK_GO_ON);
	assert_int_equal(say(k, 'S', "a\0b\0", 4), POSTGRES_TALK_GO_ON);
	assert_int_equal(say(k, 'K', "\0\0\0\1\0\0\0\2", 8), POSTGRES_TALK_GO_ON);
	assert_int_equal(say(k, 'Z', "I", 1), POSTGRES_TALK_READY);
}

static void
the_start_asks_for_little_and_reads_only(void **state)
{
	struct talk *k = *state;

	assert_memory_equal(k->out.data + 4, "\0\3\0\0user\0watch\0database\0postgres\0", 33);
	assert_non_null(memmem(k->out.data, k->out.len, "default_transaction_read_only\0on\0", 33));
	assert_non_null(memmem(k->out.data, k->out.len, "statement_timeout\0" "900\0\0", 23));
	assert_int_equal(k->out.data[3] | k->out.data[2] << 8, k->out.len);
}

static void
a_password_is_proved_both_ways(void **state)
{
	struct talk *k = *state;

	assert_int_equal(say_auth(k, 10, offers, sizeof(offers)), POSTGRES_TALK_GO_ON);
	assert_memory_equal(k->out.data, "p\0\0\0\x36SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=" NONCE, 55);
	assert_int_equal(say_auth(k, 11, challenge, strlen(challenge)), POSTGRES_TALK_GO_ON);
	assert_int_equal(k->out.len, 5 + strlen(final_ours));
	assert_memory_equal(k->out.data + 5, final_ours, strlen(final_ours));
	assert_int_equal(say_auth(k, 12, final_theirs, strlen(final_theirs)), POSTGRES_TALK_GO_ON);
	assert_int_equal(k->t.state, POSTGRES_TALK_PROVED);
	assert_int_equal(k->t.rounds, 4096);
	postgres_talk_forget(&k->t);
	assert_int_equal(k->t.rounds, 0);
}

static void
a_query_gives_one_row(void **state)
{
	struct talk *k = *state;

	come_in(k);
	buf_reset(&k->out);
	assert_int_equal(postgres_talk_query(&k->t, &k->out, "SELECT 1"), 0);
	assert_memory_equal(k->out.data, "Q\0\0\0\rSELECT 1\0", 14);
	assert_int_equal(say(k, 'T', "\0\0", 2), POSTGRES_TALK_GO_ON);
	assert_int_equal(say(k, 'D', "\0\2\0\0\0\1" "7\377\377\377\377", 11), POSTGRES_TALK_ROW);
	assert_int_equal(k->t.n_columns, 2);
	assert_null(k->t.column[1].p);
	assert_int_equal(say(k, 'C', "SELECT 1\0", 9), POSTGRES_TALK_GO_ON);
	assert_int_equal(say(k, 'N', "SNOTICE\0\0", 9), POSTGRES_TALK_GO_ON);
	assert_int_equal(say(k, 'Z', "I", 1), POSTGRES_TALK_READY);
}

/* --- what errors come to ------------------------------------------------------------------------------------- */
static void
errors_by_their_state(void **state)
{
	static const struct {
		const char *fields;
		size_t len;
		int result;
	} rows[] = {
		{ "SFATAL\0C28P01\0Mno\0\0", 19, POSTGRES_TALK_DENIED },
		{ "C28000\0\0", 8, POSTGRES_TALK_DENIED },
		{ "SFATAL\0C53300\0\0", 15, POSTGRES_TALK_FULL },
		{ "C57P03\0\0", 8, POSTGRES_TALK_ERROR },
	};
	struct talk *k = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(say(k, 'E', rows[i].fields, rows[i].len), rows[i].result);
}

/* --- what is refused ------------------------------------------------------------------------------------------- */
enum when { AT_START, AFTER_OFFER, AFTER_PROOF, INSIDE, ASKED };

static const struct refused {
	const char *name;
	enum when when;
	char type;
	const char *body;
	size_t len;
	const char *why;
} refused[] = {
	{ "a password in clear", AT_START, 'R', "\0\0\0\3", 4, "in another way" },
	{ "MD5", AT_START, 'R', "\0\0\0\5salt", 8, "in another way" },
	{ "no password at all", AT_START, 'R', "\0\0\0\0", 4, "in another way" },
	{ "a challenge before the offer", AT_START, 'R', "\0\0\0\13r=", 6, "in another way" },
	{ "other mechanisms", AT_START, 'R', "\0\0\0\nSCRAM-SHA-1\0\0", 17, "offers no SCRAM-SHA-256" },
	{ "a name without end", AT_START, 'R', "\0\0\0\nSCRAM-SHA-256", 17, "offers no SCRAM-SHA-256" },
	{ "a challenge with NUL", AFTER_OFFER, 'R', "\0\0\0\13r=\0", 7, "is no text" },
	{ "another's nonce", AFTER_OFFER, 'R', "\0\0\0\13r=BAAAAAAAAAAAAAAAAAAAAAAAserver,s=c2FsdA==,i=1", 50,
		"is not SCRAM's" },
	{ "a nonce with nothing of the server's", AFTER_OFFER, 'R', "\0\0\0\13r=" NONCE ",s=c2FsdA==,i=1", 45,
		"is not SCRAM's" },
	{ "no salt", AFTER_OFFER, 'R', "\0\0\0\13r=" NONCE "x,s=,i=1", 38, "is not SCRAM's" },
	{ "a salt that is none", AFTER_OFFER, 'R', "\0\0\0\13r=" NONCE "x,s=!!!!,i=1", 42, "is not SCRAM's" },
	{ "no rounds", AFTER_OFFER, 'R', "\0\0\0\13r=" NONCE "x,s=c2FsdA==,i=0", 46, "is not SCRAM's" },
	{ "rounds to keep us busy for an hour", AFTER_OFFER, 'R', "\0\0\0\13r=" NONCE "x,s=c2FsdA==,i=2000000000", 55,
		"more than 65536 rounds" },
	{ "an extension", AFTER_OFFER, 'R', "\0\0\0\13m=x,r=" NONCE "x,s=c2FsdA==,i=1", 50, "is not SCRAM's" },
	{ "no proof of the server's", AFTER_PROOF, 'R', "\0\0\0\0", 4, "in another way" },
	{ "a wrong proof", AFTER_PROOF, 'R', "\0\0\0\14v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 50,
		"does not prove" },
	{ "its words for a proof", AFTER_PROOF, 'R', "\0\0\0\14e=other-error", 17, "does not prove" },
	{ "settings before it let us in", AT_START, 'S', "a\0b\0", 4, "before its time" },
	{ "ready before it let us in", AFTER_PROOF, 'Z', "I", 1, "before its time" },
	{ "ready in a transaction", ASKED, 'Z', "T", 1, "before its time" },
	{ "ready twice", INSIDE, 'Z', "I", 1, "before its time" },
	{ "a row that nobody asked for", INSIDE, 'D', "\0\1\0\0\0\1x", 7, "not asked for" },
	{ "a row of nothing", ASKED, 'D', "\0\0", 2, "not asked for" },
	{ "a row of too much", ASKED, 'D', "\1\0", 2, "not asked for" },
	{ "a column longer than its row", ASKED, 'D', "\0\1\0\0\0\7x", 7, "does not end" },
	{ "a row longer than its columns", ASKED, 'D', "\0\1\0\0\0\1xy", 8, "does not end" },
	{ "an error without a state", AT_START, 'E', "SFATAL\0\0", 8, "names no state" },
	{ "an error without end", AT_START, 'E', "C28P01", 6, "names no state" },
	{ "a message of no kind", INSIDE, 'x', "", 0, "of type 0x78" },
};

static void
what_is_refused(void **state)
{
	static const uint8_t nonce[POSTGRES_TALK_NONCE];
	struct talk *k = *state;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		const struct refused *row = &refused[i];
		enum postgres_talk_state was;
		uint64_t before;

		buf_reset(&k->out);
		assert_int_equal(postgres_talk_begin(&k->t, &k->out, "u", "d", 900, nonce), 0);
		if (row->when == AFTER_OFFER)
			assert_int_equal(say_auth(k, 10, offers, sizeof(offers)), POSTGRES_TALK_GO_ON);
		else if (row->when == AFTER_PROOF)
			come_to_proof(k);
		else if (row->when != AT_START)
			come_in(k);
		buf_reset(&k->out);
		if (row->when == ASKED)
			assert_int_equal(postgres_talk_query(&k->t, &k->out, "SELECT 1"), 0);
		was = k->t.state;
		before = refuse_count(REASON_MALFORMED);
		if (say(k, row->type, row->body, row->len) != REASON_MALFORMED ||
			refuse_count(REASON_MALFORMED) != before + 1 || k->t.state != was ||
			k->out.len != 0 || !strstr(refuse_last()->text, row->why))
			fail_msg("%s: %s", row->name, refuse_last()->text);
	}
}

static void
lengths_that_lie(void **state)
{
	struct talk *k = *state;
	uint64_t malformed = refuse_count(REASON_MALFORMED), large = refuse_count(REASON_TOO_LARGE);
	size_t used = 0;

	assert_int_equal(postgres_talk_take(&k->t, (const uint8_t *)"R\0\0\0\3", 5, "", 0, &used, &k->out),
		REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), malformed + 1);
	assert_int_equal(postgres_talk_take(&k->t, (const uint8_t *)"R\177\0\0\0", 5, "", 0, &used, &k->out),
		REASON_TOO_LARGE);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), large + 1);
	assert_int_equal(used, 0);
}

/* --- numbers ----------------------------------------------------------------------------------------------------- */
static void
numbers_row_by_row(void **state)
{
	static const struct {
		const char *text;
		bool good, is_int;
		double real;
	} rows[] = {
		{ "0", true, true, 0 },
		{ "-12", true, true, -12 },
		{ "3.25", true, false, 3.25 },
		{ "-0.5", true, false, -0.5 },
		{ "", false, false, 0 },
		{ "-", false, false, 0 },
		{ ".5", false, false, 0 },
		{ "5.", false, false, 0 },
		{ "1e9", false, false, 0 },
		{ "NaN", false, false, 0 },
		{ "1.2.3", false, false, 0 },
		{ "99999999999999999999", false, false, 0 },
		{ "1234567890123456789012345", false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool is_int = false;
		int64_t whole = 0;
		double real = 0;
		bool good = postgres_fields_number((const uint8_t *)rows[i].text, strlen(rows[i].text), &is_int,
			&whole, &real);

		if (good != rows[i].good || (good && (is_int != rows[i].is_int || real != rows[i].real)))
			fail_msg("%s", rows[i].text);
	}
}

static void
a_query_leaves_out_what_is_dear(void **state)
{
	const struct postgres_field *fields[] = { postgres_fields_find("commits"),
		postgres_fields_find("database_bytes") };
	SCOPED(buf_done) struct buf cheap = BUF_MAX(4096);
	SCOPED(buf_done) struct buf dear = BUF_MAX(4096);

	(void)state;
	assert_null(postgres_fields_find("nothing"));
	postgres_fields_query(&cheap, fields, 2, false);
	postgres_fields_query(&dear, fields, 2, true);
	assert_null(strstr(buf_text(&cheap), "pg_database_size"));
	assert_string_equal(buf_text(&cheap) + cheap.len - 6, ", NULL");
	assert_non_null(strstr(buf_text(&dear), "pg_database_size"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_start_asks_for_little_and_reads_only, setup, teardown),
		cmocka_unit_test_setup_teardown(a_password_is_proved_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(a_query_gives_one_row, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_by_their_state, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(lengths_that_lie, setup, teardown),
		cmocka_unit_test(numbers_row_by_row),
		cmocka_unit_test(a_query_leaves_out_what_is_dear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
