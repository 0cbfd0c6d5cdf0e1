/* The order in which services change. */
#include "updater/activate/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

static const struct {
	const char *name;
	const char *items; /* "a:b,c d" : a requires b and c; d nothing */
	const char *order;
} rows[] = {
	{ "nothing required: as they stood", "c b a", "c b a " },
	{ "what is required goes first", "a:b b", "b a " },
	{ "a chain", "a:b b:c c", "c b a " },
	{ "two of one", "a:c b:c c", "c a b " },
	{ "what is not among them plays no part", "a:x b", "a b " },
	{ "one alone", "a", "a " },
	{ "none", "", "" },
	{ "a circle of two", "a:b b:a", NULL },
	{ "a circle behind one that can go", "a b:c c:b", NULL },
	{ "itself", "a:a", NULL },
};

static void
each_goes_behind_what_it_requires(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		SCOPED_JSON *keep = json_array();
		struct order_item items[8];
		char text[64], got[64] = "", *at, *word;
		uint64_t before = refuse_count(REASON_CONFLICT);
		size_t n = 0, out[8];
		int r;

		(void)snprintf(text, sizeof(text), "%s", rows[i].items);
		for (word = strtok_r(text, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
			char *needs = strchr(word, ':'), *inner, *one;
			json_t *list = json_array();

			if (needs) {
				*needs++ = '\0';
				for (one = strtok_r(needs, ",", &inner); one; one = strtok_r(NULL, ",", &inner))
					json_array_append_new(list, json_string(one));
			}
			json_array_append_new(keep, list);
			items[n++] = (struct order_item){ word, list };
		}
		r = order_sort(items, n, out);
		assert_int_equal(r, rows[i].order ? 0 : REASON_CONFLICT);
		assert_int_equal(refuse_count(REASON_CONFLICT), before + (rows[i].order ? 0 : 1));
		if (!rows[i].order)
			continue;
		for (size_t k = 0; k < n; k++)
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", items[out[k]].name);
		if (strcmp(got, rows[i].order) != 0)
			fail_msg("%s: %s", rows[i].name, got);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_goes_behind_what_it_requires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
