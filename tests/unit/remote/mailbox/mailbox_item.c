/* Items of a mailbox that the hub made up are stepped over; one that is one comes in canonical bytes. */
#include "remote/mailbox/mailbox_item.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "remote/mailbox/mailbox_wire.h"

static const struct {
	const char *item;
	uint64_t n; /* 0: none */
	const char *body;
} rows[] = {
	{ "{\"n\":1,\"kind\":\"request\",\"body\":{\"sigs\":[],\"payload\":\"x\"}}", 1,
		"{\"payload\":\"x\",\"sigs\":[]}" },
	{ "{\"n\":9007199254740991,\"kind\":\"request\",\"body\":{}}", 9007199254740991, "{}" },
	{ "{\"n\":2,\"kind\":\"request\",\"body\":{},\"more\":1}", 2, "{}" },
	{ "{\"n\":3,\"kind\":\"dry-run\",\"body\":{}}", 3, "{}" },
	{ "{\"n\":4,\"kind\":\"cancel\",\"body\":{}}", 4, "{}" },
	{ "{\"n\":5,\"kind\":\"cance\",\"body\":{}}", 0, NULL },
	{ "{\"n\":5,\"kind\":\"progress\",\"body\":{}}", 0, NULL },
	{ "{\"n\":0,\"kind\":\"request\",\"body\":{}}", 0, NULL },
	{ "{\"n\":-1,\"kind\":\"request\",\"body\":{}}", 0, NULL },
	{ "{\"n\":1.5,\"kind\":\"request\",\"body\":{}}", 0, NULL },
	{ "{\"n\":\"1\",\"kind\":\"request\",\"body\":{}}", 0, NULL },
	{ "{\"n\":1,\"kind\":\"permit\",\"body\":{}}", 0, NULL },
	{ "{\"n\":1,\"kind\":7,\"body\":{}}", 0, NULL },
	{ "{\"n\":1,\"body\":{}}", 0, NULL },
	{ "{\"n\":1,\"kind\":\"request\"}", 0, NULL },
	{ "{\"n\":1,\"kind\":\"request\",\"body\":null}", 0, NULL },
	{ "{\"n\":1,\"kind\":\"request\",\"body\":\"{}\"}", 0, NULL },
	{ "{\"n\":1,\"kind\":\"request\",\"body\":[]}", 0, NULL },
	{ "{\"n\":1,\"kind\":\"request\",\"body\":{\"x\":1.5}}", 0,
		NULL }, /* has no canonical form */
	{ "[]", 0, NULL },
	{ "\"request\"", 0, NULL },
	{ "null", 0, NULL },
};

static void
items_are_taken_apart(void **state)
{
	uint64_t none = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf body = BUF_MAX(MAILBOX_WIRE_BODY_MAX);
		SCOPED_JSON *item = json_loads(rows[i].item, JSON_DECODE_ANY, NULL);
		const char *kind = NULL;
		uint64_t n = 77;

		assert_non_null(item);
		assert_int_equal(mailbox_item_read(item, &n, &kind, &body), 0);
		assert_int_equal(n, rows[i].n ? rows[i].n : 77);
		if (rows[i].n)
			assert_string_equal(buf_text(&body), rows[i].body);
		if (rows[i].n)
			assert_string_equal(kind, json_text(item, "kind"));
	}
	assert_int_equal(mailbox_item_read(NULL, &none, &(const char *){ NULL }, &(struct buf){ 0 }), 0);
	assert_int_equal(none, 0);
}

static void
a_body_over_the_cap_is_no_item(void **state)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(MAILBOX_WIRE_BODY_MAX);
	SCOPED_JSON *item = NULL;
	const char *kind = NULL;
	char *big = malloc(MAILBOX_WIRE_BODY_MAX + 1);
	uint64_t n = 77;

	(void)state;
	memset(big, 'a', MAILBOX_WIRE_BODY_MAX);
	big[MAILBOX_WIRE_BODY_MAX] = '\0';
	item = json_pack("{s:i, s:s, s:{s:s}}", "n", 1, "kind", "request", "body", "payload", big);
	assert_int_equal(mailbox_item_read(item, &n, &kind, &body), 0);
	assert_int_equal(n, 77);
	free(big);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_taken_apart),
		cmocka_unit_test(a_body_over_the_cap_is_no_item),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
