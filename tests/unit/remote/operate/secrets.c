/* Secrets of operations: in the sandbox, and masked in what comes out of it. */

#include "appliance/base/refuse.h"
#include "remote/operate/mask.h"
#include "tests/unit/remote/operate/bench.h"

/* How a program prints it, and what is recorded: by way of both outputs, whole, in pieces, cut off. */
static const struct {
	const char *script, *out, *err;
} printed[] = {
	{ "cat /run/secrets/word", "word is \"***\"\n", "" },
	{ "cat /run/secrets/word >&2; exit 1", "", "word is \"***\"\n" },
	{ "stat -c %a /run/secrets/word; echo x >/run/secrets/word; rm -f /run/secrets/word; ls /run/secrets",
		"400\nword\n", NULL },
	{ "for c in c4n 4ry-c4n 4ry- c4n4ry; do printf %s $c; sleep 0.1; done; printf ' end'", "*** end", "" },
	{ "printf c4n4ry-c4n4ry-c4n4rx", "c4n4ry-c4n4ry-c4n4rx", "" },
	{ "printf c4n4ry-c4n4ry-c4n4ry-c4n; sleep 0.1; printf x", "***-c4nx", "" },
	{ "printf 'c4n4ry-c4n4ry-c4n4'", "***", "" },
	{ "printf 'c4'", "c4", "" },
	{ "env; cat /proc/self/cmdline | tr '\\0' ' '", NULL, "" },
};

static void
test_secrets(void **state)
{
	struct bench *b = *state;

	b->job.profile = OPERATE_CHANGE;
	for (size_t i = 0; i < ARRAY_LEN(printed); i++) {
		give_secret(b, "word is \"" CANARY "\"\n", 9, sizeof(CANARY) - 1);
		assert_int_equal(run(b, printed[i].script, -1), 0);
		close(b->job.secrets[0].fd);
		if (printed[i].out && strcmp(b->text, printed[i].out) != 0)
			fail_msg("%s: %s", printed[i].script, b->text);
		if (printed[i].err && strcmp(b->errors, printed[i].err) != 0)
			fail_msg("%s: %s", printed[i].script, b->errors);
		assert_null(strstr(b->text, CANARY));
		assert_null(strstr(b->errors, CANARY));
	}
}

/* However it falls on the pieces that are read and the frames that are sent: at each byte of both. */
static void
test_secrets_between_frames(void **state)
{
	struct bench *b = *state;
	char script[160];

	b->job.profile = OPERATE_CHANGE;
	for (int before = OPERATE_CHUNK_MAX - (int)sizeof(CANARY); before <= OPERATE_CHUNK_MAX; before += 5) {
		give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
		(void)snprintf(script, sizeof(script), "{ head -c %d /dev/zero | tr '\\0' x; cat /run/secrets/word; } >&2", before);
		assert_int_equal(run(b, script, -1), 0);
		close(b->job.secrets[0].fd);
		assert_int_equal(b->err.len, before + 3);
		assert_string_equal(buf_text(&b->err) + before, "***");
	}
}

/* Killed while it held back what could be a secret's beginning; and a room that ends within one. */
static void
test_secrets_cut_off(void **state)
{
	struct bench *b = *state;

	b->job.profile = OPERATE_CHANGE;
	b->job.timeout_ms = 700;
	give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
	assert_int_equal(run(b, "printf c4n4ry-c4n4; sleep 1000", -1), 0);
	assert_int_equal(b->result.outcome, OPERATE_TIMEOUT);
	assert_string_equal(b->text, "***");
	close(b->job.secrets[0].fd);
	b->job.timeout_ms = 20000;
	b->job.output = 10;
	give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
	assert_int_equal(run(b, "printf 12345678; cat /run/secrets/word", -1), 0);
	assert_string_equal(b->text, "12345678**");
	assert_true(b->result.truncated);
	close(b->job.secrets[0].fd);
}

static void
test_observe_has_no_secrets(void **state)
{
	struct bench *b = *state;

	give_secret(b, CANARY, 0, sizeof(CANARY) - 1);
	assert_int_equal(run(b, "ls /run/secrets /run; ls /proc/self/fd | wc -l", -1), 0);
	assert_string_equal(b->text, "/run:\nservice\n4\n");
	close(b->job.secrets[0].fd);
}

static void
test_a_secret_that_is_not_there(void **state)
{
	struct bench *b = *state;
	uint64_t before = refuse_count(REASON_MALFORMED);

	b->job.profile = OPERATE_CHANGE;
	give_secret(b, "short", 2, 4);
	assert_int_equal(run(b, "echo ran", -1), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_string_equal(b->text, "");
	b->job.secrets[0].len = 0;
	assert_int_equal(run(b, "echo ran", -1), REASON_MALFORMED);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 2);
	assert_string_equal(b->text, "");
	close(b->job.secrets[0].fd);
}

static void
test_masks(void **state)
{
	static const struct {
		const char *says, *pieces[4], *out;
	} rows[] = {
		{ "one inside another: the longest", { "xabcdefx", "" }, "x***x" },
		{ "the shorter alone", { "xabcx", "" }, "x***x" },
		{ "the longer, begun in one read and ended in the next", { "xabc", "defx" }, "x***x" },
		{ "the shorter, that could have been the longer", { "xabcd", "ex" }, "x***dex" },
		{ "the shorter at the end", { "xabc", "" }, "x***" },
		{ "one after the other", { "abcabc", "abcdef" }, "*********" },
		{ "a byte at a time", { "a", "b", "c", "z" }, "***z" },
		{ "begun again within itself", { "ab", "abc" }, "ab***" },
	};
	struct operate_secret secrets[2] = { { .name = "short", .fd = a_secret("abc"), .len = 3 },
		{ .name = "long", .fd = a_secret("abcdef"), .len = 6 } };
	struct mask m;

	(void)state;
	assert_int_equal(mask_load(&m, secrets, 2), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(4096);
		struct mask_rest rest = { .len = 0 };

		for (size_t k = 0; k < ARRAY_LEN(rows[i].pieces) && rows[i].pieces[k]; k++)
			assert_int_equal(mask_feed(&m, &rest, rows[i].pieces[k], strlen(rows[i].pieces[k]),
						 false, &out),
				0);
		assert_int_equal(mask_feed(&m, &rest, "", 0, true, &out), 0);
		if (strcmp(buf_text(&out), rows[i].out) != 0)
			fail_msg("%s: %s", rows[i].says, buf_text(&out));
		assert_int_equal(rest.len, 0);
	}
	mask_done(&m);
	assert_int_equal(m.n, 0);
	close(secrets[0].fd);
	close(secrets[1].fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_between_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_observe_has_no_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_secret_that_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masks, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
