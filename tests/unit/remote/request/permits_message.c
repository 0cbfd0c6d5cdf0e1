/* The message that lists standing permits: there and back, and what is none. */
#include "remote/request/permits.h"

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

#define EPOCH "00112233445566778899aabbccddeeff"

static json_t *
item(const char *line)
{
	SCOPED_JSON *arguments = json_pack("[s]", line);
	const struct permits_item one = { .id = "p-1", .service = "redis", .operation = "clear", .engineer = "ann",
		.approver = "dora", .limits = "10.000 s, 64 KiB of output", .arguments = arguments,
		.not_before_us = UINT64_C(1795291200000000), .expires_us = UINT64_C(1795294800000000), .uses = 5, .left = 2 };
	json_t *o = NULL;

	assert_int_equal(permits_item_json(&o, &one), 0);
	return o;
}

static json_t *
message(json_t *items)
{
	const struct permits p = { .site = "acme-1", .epoch = EPOCH, .counter = 7, .time_us = UINT64_C(1795291200000000),
		.more = 1 };
	json_t *doc = NULL;

	assert_int_equal(permits_json(&doc, &p, items), 0);
	return doc;
}

static json_t *
good(void)
{
	SCOPED_JSON *items = json_pack("[o]", item("pattern = 'session:*'"));

	return message(items);
}

static void
test_it_comes_back_as_it_was(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	SCOPED(permits_freep) struct permits *p = NULL;
	SCOPED_JSON *doc = good(), *back = NULL;

	(void)state;
	assert_int_equal(json_canonical(&b, doc), 0);
	assert_int_equal(json_read_canonical(&back, b.data, b.len, 1 << 20, "message"), 0);
	assert_int_equal(permits_parse(&p, back), 0);
	assert_string_equal(p->site, "acme-1");
	assert_string_equal(p->epoch, EPOCH);
	assert_int_equal(p->counter, 7);
	assert_int_equal(p->more, 1);
	assert_int_equal(p->n_items, 1);
	assert_string_equal(p->items[0].id, "p-1");
	assert_string_equal(p->items[0].operation, "clear");
	assert_string_equal(p->items[0].limits, "10.000 s, 64 KiB of output");
	assert_string_equal(json_string_value(json_array_get(p->items[0].arguments, 0)), "pattern = 'session:*'");
	assert_int_equal(p->items[0].left, 2);
	assert_true(p->items[0].expires_us == UINT64_C(1795294800000000));
}

static void
test_what_is_refused(void **state)
{
	static const struct {
		const char *name;
		bool inside; /* of the one permit */
		const char *member, *json; /* NULL: taken away */
		enum reason reason;
		const char *text;
	} rows[] = {
		{ "version 2", false, "v", "2", REASON_MALFORMED, "" },
		{ "version 0", false, "v", "0", REASON_MALFORMED, "version, counter or epoch is none" },
		{ "number 0", false, "counter", "0", REASON_MALFORMED, "version, counter or epoch is none" },
		{ "a short epoch", false, "epoch", "\"0011\"", REASON_MALFORMED, "version, counter or epoch is none" },
		{ "an epoch of other letters", false, "epoch", "\"zz112233445566778899aabbccddeeff\"", REASON_MALFORMED,
			"version, counter or epoch is none" },
		{ "of no site", false, "site", NULL, REASON_MALFORMED, "" },
		{ "at no time", false, "time", "\"soon\"", REASON_MALFORMED, "" },
		{ "permits that are no list", false, "permits", "{}", REASON_MALFORMED, "" },
		{ "a permit that is a number", false, "permits", "[1]", REASON_MALFORMED, "" },
		{ "without how many more", false, "more", NULL, REASON_MALFORMED, "" },
		{ "a member more", false, "note", "\"x\"", REASON_UNKNOWN_FIELD, "" },
		{ "of no operation", true, "operation", "\"\"", REASON_MALFORMED, "" },
		{ "of nobody", true, "approver", NULL, REASON_MALFORMED, "" },
		{ "more left than it had", true, "left", "6", REASON_MALFORMED, "more uses left than it has" },
		{ "more uses than there are", true, "uses", "101", REASON_MALFORMED, "" },
		{ "an argument that is a number", true, "arguments", "[1]", REASON_MALFORMED, "is no line" },
		{ "a permit with a member more", true, "sig", "\"x\"", REASON_UNKNOWN_FIELD, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = good();
		json_t *into = rows[i].inside ? json_array_get(json_object_get(doc, "permits"), 0) : doc;
		SCOPED(permits_freep) struct permits *p = NULL;
		uint64_t before = refuse_count(rows[i].reason);
		int r;

		if (rows[i].json)
			json_object_set_new(into, rows[i].member, json_loads(rows[i].json, JSON_DECODE_ANY, NULL));
		else
			json_object_del(into, rows[i].member);
		r = permits_parse(&p, doc);
		if (r != (int)rows[i].reason || refuse_count(rows[i].reason) != before + 1 || p ||
			!strstr(refuse_last()->text, rows[i].text))
			fail_msg("%s: %d", rows[i].name, r);
	}
}

/* As many, each as long, as a site puts into one; and one line or one permit longer. */
static void
test_the_largest_fits(void **state)
{
	static char line[PERMITS_LINE_MAX + 2];
	SCOPED(permits_freep) struct permits *p = NULL;
	SCOPED_JSON *items = json_array(), *doc = NULL, *more = NULL, *longer = NULL, *list = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);
	size_t bytes = 0;

	(void)state;
	memset(line, 'x', PERMITS_LINE_MAX);
	while (bytes < PERMITS_BYTES_MAX && json_array_size(items) < PERMITS_MAX) {
		json_t *one = item(line);

		while (json_array_size(json_object_get(one, "arguments")) < PERMITS_LINES_MAX)
			json_array_append_new(json_object_get(one, "arguments"), json_string(line));
		bytes += json_dumpb(one, NULL, 0, JSON_COMPACT);
		json_array_append_new(items, one);
	}
	doc = message(items);
	assert_int_equal(json_canonical(&b, doc), 0);
	assert_true(b.len <= message_payload_max(MESSAGE_PERMITS));
	assert_int_equal(permits_parse(&p, doc), 0);
	p = permits_free(p);
	while (json_array_size(items) <= PERMITS_MAX)
		json_array_append_new(items, item("x = 1"));
	more = message(items);
	assert_int_equal(permits_parse(&p, more), REASON_MALFORMED);
	line[PERMITS_LINE_MAX] = 'x';
	list = json_pack("[o]", item(line));
	longer = message(list);
	assert_int_equal(permits_parse(&p, longer), REASON_MALFORMED);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_comes_back_as_it_was),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_the_largest_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
