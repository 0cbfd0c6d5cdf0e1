#include "appliance/monitor/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <fcntl.h>

#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/trust/note.h"
#include "tests/fakes/refused.h"

#define TUF                                                                                        \
	"{\"signatures\":[{\"keyid\":\"ab\",\"sig\":\"cd\"}],\"signed\":{\"_type\":\"root\","      \
	"\"a\":\"x\\ny\"}}"

static void
hostile_inputs_are_refused_by_kind(void **state)
{
	static const struct {
		enum judge_kind kind;
		const char *input;
		enum reason reason;
	} rows[] = {
		{ JUDGE_TUF, "", REASON_MALFORMED },
		{ JUDGE_TUF, "[]", REASON_MALFORMED },
		{ JUDGE_TUF, "{\"signed\":{}}", REASON_MALFORMED },
		{ JUDGE_TUF,
			"{\"signatures\":[{\"keyid\":\"ab\",\"sig\":\"cd\"},{\"keyid\":\"ab\","
			"\"sig\":\"ef\"}],\"signed\":{}}",
			REASON_MALFORMED },
		{ JUDGE_TUF, "{\"signatures\":[],\"signed\":{\"n\":1.5}}", REASON_MALFORMED },
		{ JUDGE_TUF, "{\"signatures\":[],\"signed\":{\"n\":1,\"n\":2}}", REASON_MALFORMED },
		{ JUDGE_TUF, TUF "x", REASON_MALFORMED },
		{ JUDGE_CARD, "{\"signed\":3,\"signatures\":[]}", REASON_MALFORMED },
		{ JUDGE_RECORD, "{}", REASON_MALFORMED },
		{ JUDGE_RECORD, "{\"payload\":\"e30=\",\"sigs\":[]}", REASON_UNSIGNED },
		{ JUDGE_RECORD, "{\"payload\":\"e30=\",\"sigs\":[],\"more\":1}",
			REASON_UNKNOWN_FIELD },
		{ JUDGE_POLICY, "v: 1\nrulez: []\n", REASON_UNKNOWN_FIELD },
		{ JUDGE_POLICY, "\x80\x81", REASON_MALFORMED },
		{ JUDGE_CLUSTER, "services: [1]\n", REASON_MALFORMED },
		{ JUDGE_CLUSTER, "servises: {}\n", REASON_UNKNOWN_FIELD },
		{ JUDGE_CLUSTER, "services:\n  ../x: {}\n", REASON_MALFORMED },
		{ JUDGE_DEFINITION, "{}", REASON_MALFORMED },
		{ JUDGE_DEFINITION, "{\"name\":\"x\",\"name\":\"y\"}", REASON_MALFORMED },
		{ JUDGE_INDEX, "{\"v\":1}", REASON_MALFORMED },
		{ JUDGE_INDEX, "nonsense", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(JUDGE_OUTPUT_MAX);
		uint64_t before = refuse_count(rows[i].reason);

		assert_int_equal(judge_job(rows[i].kind, "input", rows[i].input,
					 strlen(rows[i].input), &out),
			rows[i].reason);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_true(refuse_count(rows[i].reason) > before);
		assert_int_equal(out.len, 0);
	}
}

/* A policy of witnesses may name them as it likes; what goes on as JSON may not. */
static void
names_that_are_no_utf_8_are_refused(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(JUDGE_OUTPUT_MAX), text = BUF_MAX(1024);
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	struct note_key k;

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(note_key_make(&k, "w.example", NOTE_TYPE_COSIGNATURE, ed25519_public(key)), 0);
	buf_puts(&text, "witness w\xff ");
	note_key_text(&text, &k);
	buf_puts(&text, "\nquorum w\xff\n");
	assert_refused(judge_job(JUDGE_QUORUM, "policy", text.data, text.len, &out), REASON_MALFORMED,
		"names in it are not UTF-8");
	assert_int_equal(out.len, 0);
}

static void
what_is_too_large_is_not_read(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(JUDGE_OUTPUT_MAX);
	char *p = calloc(1, JUDGE_INPUT_MAX + 1);

	(void)state;
	for (unsigned kind = 0; kind < JUDGE_KIND_MAX; kind++)
		assert_int_equal(judge_job((enum judge_kind)kind, "input", p, JUDGE_INPUT_MAX + 1,
					 &out),
			REASON_TOO_LARGE);
	free(p);
}

static void
signed_bytes_come_out_canonical_with_their_signatures(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(JUDGE_OUTPUT_MAX), bytes = BUF_MAX(4096);
	SCOPED_JSON *answer = NULL;
	const json_t *sigs = NULL;

	(void)state;
	assert_int_equal(judge_job(JUDGE_TUF, "root", TUF, strlen(TUF), &out), 0);
	assert_int_equal(json_read_canonical(&answer, out.data, out.len, out.len, "answer"), 0);
	assert_int_equal(judge_signed(answer, &bytes, &sigs), 0);
	assert_string_equal(buf_text(&bytes), "{\"_type\":\"root\",\"a\":\"x\ny\"}");
	assert_int_equal(json_array_size(sigs), 1);
}

static void
yaml_comes_out_as_json(void **state)
{
	static const char cluster[] = "services:\n  redis:\n    knobs: { maxmemory: 64mb }\n";
	SCOPED(buf_done) struct buf out = BUF_MAX(JUDGE_OUTPUT_MAX);

	(void)state;
	assert_int_equal(judge_job(JUDGE_CLUSTER, "cluster.yaml", cluster, strlen(cluster), &out),
		0);
	assert_non_null(strstr(buf_text(&out), "\"maxmemory\""));
	buf_reset(&out);
	assert_int_equal(judge_job(JUDGE_CLUSTER, "cluster.yaml", "", 0, &out),
		0); /* an empty cluster */
	buf_reset(&out);
	assert_int_equal(judge_job(JUDGE_POLICY, "policy.yaml", "v: 1\nrules: []\n", 15, &out), 0);
	assert_string_equal(buf_text(&out), "{\"rules\":[],\"v\":1}");
}

static void
what_a_hostile_judge_answers_is_refused(void **state)
{
	static const char *const rows[] = { "{}", "{\"signed\":\"e30=\"}",
		"{\"signed\":\"!\",\"sigs\":[]}", "{\"signed\":7,\"sigs\":[]}",
		"{\"signed\":\"e30=\",\"sigs\":{}}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf bytes = BUF_MAX(64);
		SCOPED_JSON *answer = json_loads(rows[i], 0, NULL);
		const json_t *sigs = NULL;

		assert_int_equal(judge_signed(answer, &bytes, &sigs), REASON_MALFORMED);
		assert_null(sigs);
	}
}

/* --- the worker around it ------------------------------------------------------------------------ */
static int
policy_file(void)
{
	int fd = -1;

	assert_int_equal(fs_memfd(&fd, "in", "v: 1\nrules: []\n", 15), 0);
	return fd;
}

/* take_in < 0: without any file. */
static enum call_type
serve(const char *kind, const char *name, int take_in, char reason[64])
{
	SCOPED(frame_done) struct frame reply = { 0 };
	SCOPED(scope_close) int in = take_in;
	struct frame_out out;
	int fds[2], result = -1;

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(fs_memfd(&result, "sealed", "", 0), 0);
	frame_begin(&out, CALL_TYPE_CALL, 9);
	frame_put_text(&out, CALL_TAG_VERB, kind);
	frame_put_text(&out, CALL_TAG_TEXT, name);
	if (in >= 0) {
		frame_put_fd(&out, in);
		frame_put_fd(&out, result);
	}
	assert_int_equal(frame_send_wait(fds[0], &out, 1000), 0);
	frame_out_done(&out);
	assert_int_equal(judge_serve(fds[1]), 0);
	assert_int_equal(frame_recv_wait(fds[0], &reply, 1000), 0);
	assert_int_equal(reply.id, 9);
	(void)snprintf(reason, 64, "%s", frame_text(&reply, CALL_TAG_REASON, 63) ?: "");
	for (size_t i = 0; i < 2; i++)
		(void)close(fds[i]);
	(void)close(result);
	return (enum call_type)reply.type;
}

static void
a_job_of_another_form_is_answered_with_a_refusal(void **state)
{
	static const struct {
		const char *kind, *name;
		bool with_files;
	} rows[] = { { "oracle", "x", true }, { "policy", NULL, true }, { "policy", "x", false } };
	uint64_t before = refuse_count(REASON_MALFORMED);
	char reason[64];
	int pipes[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(serve(rows[i].kind, rows[i].name, rows[i].with_files ? policy_file() : -1, reason),
			CALL_TYPE_REFUSED);
		assert_string_equal(reason, "malformed");
		assert_string_equal(refuse_last()->text, "not of the agreed form");
	}
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(serve("policy", "x", pipes[0], reason), CALL_TYPE_REFUSED);
	assert_string_equal(reason, "malformed");
	assert_string_equal(refuse_last()->text, "the input cannot be read");
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 4);
	(void)close(pipes[1]);
	/* an output that takes nothing is our own fault */
	assert_int_equal(serve("policy", "x", policy_file(), reason), CALL_TYPE_FAULT);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_inputs_are_refused_by_kind),
		cmocka_unit_test(names_that_are_no_utf_8_are_refused),
		cmocka_unit_test(what_is_too_large_is_not_read),
		cmocka_unit_test(signed_bytes_come_out_canonical_with_their_signatures),
		cmocka_unit_test(yaml_comes_out_as_json),
		cmocka_unit_test(what_a_hostile_judge_answers_is_refused),
		cmocka_unit_test(a_job_of_another_form_is_answered_with_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
