/* Lists of packs: only what was written is read, and what costs least is chosen. */
#include "updater/object/pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/refused.h"

#define A "0101010101010101010101010101010101010101010101010101010101010101"
#define B "0202020202020202020202020202020202020202020202020202020202020202"
#define PACKS(packs) "{\"packs\":[" packs "],\"service\":\"s\",\"v\":1,\"version\":\"1\"}"
#define PACK(members, size) "{\"members\":[" members "],\"sha256\":\"" A "\",\"size\":" size "}"

static int
read_list(const char *text)
{
	SCOPED(pack_list_freep) struct pack_list *l = NULL;

	return pack_list_read(&l, text, strlen(text));
}

static void
only_a_list_of_packs_is_read(void **state)
{
	static const struct {
		const char *text;
		enum reason why;
		const char *says;
	} rows[] = {
		{ PACKS(PACK("[\"" A "\",\"\",0]", "0")), REASON_MALFORMED, "member 0 is not" },
		{ PACKS(PACK("[\"" A "\",\"\",-1]", "0")), REASON_MALFORMED, "member 0 is not" },
		{ PACKS(PACK("[\"" A "\",\"\"]", "0")), REASON_MALFORMED, "member 0 is not" },
		{ PACKS(PACK("[\"" A "\",\"x\",1]", "1")), REASON_MALFORMED, "member 0 is not" },
		{ PACKS(PACK("[\"x\",\"\",1]", "1")), REASON_MALFORMED, "member 0 is not" },
		{ PACKS(PACK("[\"" A "\",\"\",5]", "6")), REASON_MALFORMED, "do not fill it" },
		{ PACKS(PACK("[\"" A "\",\"\",5],[\"" A "\",\"\",5]", "10")), REASON_CONFLICT, "stands twice" },
		{ PACKS(PACK("[\"" A "\",\"" B "\",5],[\"" A "\",\"" B "\",5]", "10")), REASON_CONFLICT,
			"stands twice" },
		{ PACKS(PACK("[\"" A "\",\"\",8589934592],[\"" B "\",\"\",1]", "1")), REASON_TOO_LARGE,
			"a pack of more than" },
		{ "{\"packs\":[],\"service\":\"s\",\"v\":0,\"version\":\"1\"}", REASON_MALFORMED, "version 0" },
		{ "{\"more\":1,\"packs\":[],\"service\":\"s\",\"v\":1,\"version\":\"1\"}", REASON_UNKNOWN_FIELD, "" },
	};

	(void)state;
	assert_int_equal(read_list(PACKS("")), 0);
	assert_int_equal(read_list(PACKS(PACK("[\"" A "\",\"\",5],[\"" B "\",\"" A "\",1]", "6"))), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_refused(read_list(rows[i].text), rows[i].why, rows[i].says);
}

static void
fill(uint8_t out[32], uint8_t with)
{
	memset(out, with, 32);
}

static void
more_packs_or_members_than_allowed_are_refused(void **state)
{
	SCOPED(pack_list_freep) struct pack_list *l = NULL;
	uint8_t a[32];

	(void)state;
	fill(a, 1);
	assert_int_equal(pack_list_new(&l, "s", "1"), 0);
	for (unsigned i = 0; i < PACK_MAX; i++)
		assert_int_equal(pack_list_pack(l), 0);
	assert_refused(pack_list_pack(l), REASON_TOO_LARGE, "more than 64 packs");
	assert_int_equal(l->n_packs, PACK_MAX);
	for (unsigned i = 0; i < PACK_MEMBERS_MAX; i++)
		assert_int_equal(pack_list_add(l, a, NULL, 1), 0);
	assert_refused(pack_list_add(l, a, NULL, 1), REASON_TOO_LARGE, "more than 65536 members");
	assert_int_equal(l->n_members, PACK_MEMBERS_MAX);
}

static void
what_was_built_is_read_again(void **state)
{
	SCOPED(pack_list_freep) struct pack_list *l = NULL, *again = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(PACK_LIST_MAX);
	uint8_t x[32], y[32];

	(void)state;
	fill(x, 1);
	fill(y, 2);
	assert_int_equal(pack_list_new(&l, "redis", "7"), 0);
	assert_int_equal(pack_list_pack(l), 0);
	assert_int_equal(pack_list_add(l, x, y, 100), 0);
	assert_int_equal(pack_list_add(l, y, NULL, 50), 0);
	assert_int_equal(pack_list_pack(l), 0);
	assert_int_equal(pack_list_add(l, x, NULL, 500), 0);
	assert_true(pack_list_has(l, x, y));
	assert_true(pack_list_has(l, x, NULL));
	assert_false(pack_list_has(l, y, x));
	assert_int_equal(pack_list_write(l, &b), 0);
	assert_int_equal(pack_list_read(&again, b.data, b.len), 0);
	assert_int_equal(again->n_packs, 2);
	assert_int_equal(again->packs[0].size, 150);
	assert_int_equal(again->n_members, 3);
	assert_int_equal(again->members[1].at, 100);
	assert_int_equal(again->members[2].pack, 1);
	assert_int_equal(again->members[2].at, 0);
}

struct knows {
	bool held, spoilt;
};

static bool
held(const uint8_t sha256[32], void *arg)
{
	return sha256[0] == 2 && ((struct knows *)arg)->held;
}

static bool
spoilt(const uint8_t from[32], const uint8_t to[32], void *arg)
{
	return from[0] == 2 && to[0] == 1 && ((struct knows *)arg)->spoilt;
}

static void
a_patch_is_chosen_where_its_base_is_held(void **state)
{
	SCOPED(pack_list_freep) struct pack_list *l = NULL;
	struct knows knows = { .held = true };
	const struct pack_ask ask = { .held = held, .spoilt = spoilt, .arg = &knows };
	const char *text = PACKS(PACK("[\"" A "\",\"" B "\",5],[\"" A "\",\"\",50]", "55"));
	uint8_t to[32], other[32];

	(void)state;
	fill(to, 1);
	fill(other, 9);
	assert_int_equal(pack_list_read(&l, text, strlen(text)), 0);
	assert_true(pack_choose(l, to, &ask)->patch);
	assert_null(pack_choose(l, other, &ask));
	knows.spoilt = true;
	assert_false(pack_choose(l, to, &ask)->patch);
	knows = (struct knows){ 0 };
	assert_false(pack_choose(l, to, &ask)->patch);
	assert_int_equal(pack_choose(l, to, &ask)->length, 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_list_of_packs_is_read),
		cmocka_unit_test(more_packs_or_members_than_allowed_are_refused),
		cmocka_unit_test(what_was_built_is_read_again),
		cmocka_unit_test(a_patch_is_chosen_where_its_base_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
