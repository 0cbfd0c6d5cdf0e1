/* The order in which services change. */
#include "updater/activate/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "appliance/base/json.h"

static const struct {
	const char *name;
	const char *items; /* "a:b,c d" : a requires b and c; d nothing */
	const char *order;
	const char *ring; /* NULL: all can go */
} rows[] = {
	{ "nothing required: as they stood", "c b a", "c b a ", NULL },
	{ "what is required goes first", "a:b b", "b a ", NULL },
	{ "a chain", "a:b b:c c", "c b a ", NULL },
	{ "two of one", "a:c b:c c", "c a b ", NULL },
	{ "what is not among them plays no part", "a:x b", "a b ", NULL },
	{ "one alone", "a", "a ", NULL },
	{ "none", "", "", NULL },
	{ "a circle of two", "a:b b:a", "a b ", "a requires b requires a" },
	{ "a circle behind one that can go", "b:c c:b a", "a b c ", "b requires c requires b" },
	{ "one that requires a circle waits with it", "d a:b b:c c:b", "d a b c ", "b requires c requires b" },
	{ "of three", "a:b b:c c:a", "a b c ", "a requires b requires c requires a" },
	{ "itself", "a:a", "a ", "a requires a" },
};

static void
each_goes_behind_what_it_requires(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		SCOPED_JSON *keep = json_array();
		struct order_item items[8];
		char text[64], got[64] = "", *at, *word;
		char ring[ORDER_RING_MAX];
		size_t n = 0, done, out[8];

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
		done = order_sort(items, n, out, ring);
		assert_int_equal(done < n, rows[i].ring != NULL);
		if (strcmp(ring, rows[i].ring ?: "") != 0)
			fail_msg("%s: %s", rows[i].name, ring);
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
