/* What takes a request back, and what is said while it runs, as messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/message.h"
#include "remote/request/cancel.h"
#include "remote/request/progress.h"

static json_t *
a_cancel(void)
{
	const struct cancel c = { .request = { 1, 2 }, .id = "r-1", .engineer = "ann",
		.reason = "wrong site", .time_us = UINT64_C(1795291200000000) };
	json_t *doc = NULL;

	assert_int_equal(cancel_json(&doc, &c), 0);
	return doc;
}

static json_t *
a_progress(void)
{
	const struct progress p = { .request = { 3, 4 }, .n = 7, .time_us = UINT64_C(1795291200000000),
		.kind = PROGRESS_ERR, .text = "two\nlines \"quoted\"\n" };
	json_t *doc = NULL;

	assert_int_equal(progress_json(&doc, &p), 0);
	return doc;
}

/* Canonical bytes and back, as they travel. */
static json_t *
travelled(json_t *take_doc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	SCOPED_JSON *doc = take_doc;
	json_t *back = NULL;

	assert_int_equal(json_canonical(&b, doc), 0);
	assert_int_equal(json_read_canonical(&back, b.data, b.len, 1 << 20, "message"), 0);
	return back;
}

static void
test_they_come_back_as_they_were(void **state)
{
	SCOPED_JSON *cancel_doc = travelled(a_cancel()), *progress_doc = travelled(a_progress());
	SCOPED(cancel_freep) struct cancel *c = NULL;
	SCOPED(progress_freep) struct progress *p = NULL;

	(void)state;
	assert_int_equal(cancel_parse(&c, cancel_doc), 0);
	assert_string_equal(c->id, "r-1");
	assert_string_equal(c->engineer, "ann");
	assert_string_equal(c->reason, "wrong site");
	assert_int_equal(c->request[1], 2);
	assert_true(c->time_us == UINT64_C(1795291200000000));
	assert_int_equal(progress_parse(&p, progress_doc), 0);
	assert_int_equal(p->n, 7);
	assert_int_equal(p->kind, PROGRESS_ERR);
	assert_string_equal(p->text, "two\nlines \"quoted\"\n");
	assert_string_equal(progress_kind_text(PROGRESS_STATE), "state");
}

static const struct {
	const char *name;
	bool progress;
	const char *member, *json; /* NULL: taken away */
	enum reason reason;
} bad[] = {
	{ "a cancel of another version", false, "v", "2", REASON_MALFORMED },
	{ "a cancel of version 0", false, "v", "0", REASON_MALFORMED },
	{ "a cancel that names no request", false, "request", NULL, REASON_MALFORMED },
	{ "a cancel whose digest is none", false, "request", "\"sha256:12\"", REASON_MALFORMED },
	{ "a cancel whose id is a path", false, "id", "\"../r-1\"", REASON_MALFORMED },
	{ "a cancel without a reason", false, "reason", "\"\"", REASON_MALFORMED },
	{ "a cancel of nobody", false, "engineer", NULL, REASON_MALFORMED },
	{ "a cancel at no time", false, "time", "\"soon\"", REASON_MALFORMED },
	{ "a cancel with a member more", false, "force", "true", REASON_UNKNOWN_FIELD },
	{ "progress of another version", true, "v", "2", REASON_MALFORMED },
	{ "progress of version 0", true, "v", "0", REASON_MALFORMED },
	{ "progress without a number", true, "n", NULL, REASON_MALFORMED },
	{ "progress numbered from 0", true, "n", "0", REASON_MALFORMED },
	{ "progress of a kind that is none", true, "kind", "\"result\"", REASON_MALFORMED },
	{ "progress about nothing", true, "request", NULL, REASON_MALFORMED },
	{ "progress whose text is a number", true, "text", "5", REASON_MALFORMED },
	{ "progress with a member more", true, "outcome", "\"ok\"", REASON_UNKNOWN_FIELD },
};

static void
test_what_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		SCOPED_JSON *doc = bad[i].progress ? a_progress() : a_cancel();
		SCOPED(cancel_freep) struct cancel *c = NULL;
		SCOPED(progress_freep) struct progress *p = NULL;
		uint64_t before = refuse_count(bad[i].reason);
		int r;

		if (bad[i].json)
			json_object_set_new(doc, bad[i].member,
				json_loads(bad[i].json, JSON_DECODE_ANY, NULL));
		else
			json_object_del(doc, bad[i].member);
		r = bad[i].progress ? progress_parse(&p, doc) : cancel_parse(&c, doc);
		if (r != (int)bad[i].reason || refuse_count(bad[i].reason) != before + 1 || c || p)
			fail_msg("%s: %d", bad[i].name, r);
	}
}

/* A text as long as one message may say, each byte the one that takes most room, fits its envelope. */
static void
test_the_longest_text_fits(void **state)
{
	static char text[REQUEST_PROGRESS_MAX + 2];
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	SCOPED(progress_freep) struct progress *back = NULL;
	SCOPED_JSON *doc = NULL, *longer = NULL;
	struct progress p = { .n = UINT64_C(1) << 50, .kind = PROGRESS_STATE, .text = text };

	(void)state;
	memset(text, '"', REQUEST_PROGRESS_MAX);
	assert_int_equal(progress_json(&doc, &p), 0);
	assert_int_equal(json_canonical(&b, doc), 0);
	assert_true(b.len <= message_payload_max(MESSAGE_PROGRESS));
	assert_int_equal(progress_parse(&back, doc), 0);
	text[REQUEST_PROGRESS_MAX] = '"';
	back = progress_free(back);
	assert_int_equal(progress_json(&longer, &p), 0);
	assert_int_equal(progress_parse(&back, longer), REASON_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_they_come_back_as_they_were),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_the_longest_text_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
