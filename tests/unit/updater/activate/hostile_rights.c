/* Signed releases that a customer may put in, for they are none of the refused ones: what they ask for is off and shown
 * before, and what carries them is never more than was promised. */
#include "tests/unit/updater/activate/hostile.h"

#include <zstd.h>

#include "appliance/service/definition.h"

#define LOOK(members) "{\"operations\":{\"look\":{" members "}}}"
#define KEY	      "\"args\":{\"key\":{\"pattern\":\"[a-z]+\",\"type\":\"text\"}}"
#define ARGV	      "\"argv\":[\"/bin/run\",\"{key}\"]"

/* What the staged release is: its definition, and its row of the plan. */
struct offered {
	struct definition *d;
	struct accepted *a;
	json_t *plan;
	const json_t *row;
};

static void
offered_done(struct offered *o)
{
	definition_free(o->d);
	accepted_free(o->a);
	json_decref(o->plan);
}

static void
offer(struct bench *b, const struct hostile *h, unsigned n, struct offered *o)
{
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED(scope_free) char *before = hostile_state(b);
	SCOPED(scope_free) char *after = NULL;

	*o = (struct offered){ 0 };
	hostile_offer(b, h, n, &r);
	if (strcmp(b->u->state, "staged") != 0)
		fail_msg("%s: %s: %s: %s", h->name, b->u->state, b->u->reason, b->u->text);
	assert_int_equal(update_release_definition(b->u, r.hex, &o->d), 0);
	assert_int_equal(accepted_load(&o->a, monitor_dir(b->t->m)), 0);
	assert_int_equal(bench_call(b, CALL_ROLE_CONTROL, "update.plan", NULL, NULL, 0, &o->plan), 0);
	o->row = json_array_get(json_object_get(o->plan, "items"), 0);
	assert_non_null(o->row);
	after = hostile_state(b);
	assert_string_equal(before, after);
	assert_true(hostile_was_quiet(b));
}

static bool
names(const json_t *list, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach (list, i, one)
		if (json_is_string(one) && strcmp(json_string_value(one), name) == 0)
			return true;
	return false;
}

/* --- rights ------------------------------------------------------------------------------------------------------- */
static const struct hostile wider[] = {
	{ "another program", .definition = LOOK(KEY ",\"argv\":[\"/bin/other\",\"{key}\"],\"risk\":\"observe\"") },
	{ "an argument more", .definition = LOOK(KEY ",\"argv\":[\"/bin/run\",\"{key}\",\"--all\"],\"risk\":\"observe\"") },
	{ "another risk", .definition = LOOK(KEY "," ARGV ",\"risk\":\"change\"") },
	{ "any argument", .definition = LOOK("\"args\":{\"key\":{\"type\":\"text\"}}," ARGV ",\"risk\":\"observe\"") },
	{ "a wider pattern", .definition = LOOK("\"args\":{\"key\":{\"pattern\":\".*\",\"type\":\"text\"}}," ARGV ",\"risk\":\"observe\"") },
	{ "a default", .definition = LOOK("\"args\":{\"key\":{\"default\":\"all\",\"pattern\":\"[a-z]+\",\"type\":\"text\"}}," ARGV ",\"risk\":\"observe\"") },
	{ "a secret", .definition = LOOK(KEY "," ARGV ",\"risk\":\"change\",\"secrets\":[\"word\"]") },
	{ "memory", .definition = LOOK(KEY "," ARGV ",\"memory\":4294967296,\"risk\":\"observe\"") },
	{ "an hour", .definition = LOOK(KEY "," ARGV ",\"risk\":\"observe\",\"timeout\":\"1h\"") },
	{ "more output", .definition = LOOK(KEY "," ARGV ",\"output\":1048576,\"risk\":\"observe\"") },
	{ "a dry run that does it", .definition = LOOK(KEY "," ARGV ",\"dry_run\":[\"/bin/run\"],\"risk\":\"observe\"") },
	{ "a verb", .definition = LOOK("\"risk\":\"destroy\",\"verb\":\"stop\"") },
};

static void
the_same_name_with_wider_rights_is_off(void **state)
{
	struct bench *b = *state;

	hostile_begin(b);
	for (size_t i = 0; i < ARRAY_LEN(wider); i++) {
		SCOPED(offered_done) struct offered o;
		uint8_t rights[32];

		offer(b, &wider[i], (unsigned)i + 1, &o);
		assert_int_equal(definition_rights_digest(o.d, definition_operation(o.d, "look"), rights), 0);
		if (accepted_operation(o.a, "redis", "look", rights))
			fail_msg("%s: still accepted", wider[i].name);
		if (!names(json_object_get(json_object_get(o.row, "new"), "operations"), "look"))
			fail_msg("%s: the plan does not say so", wider[i].name);
	}
	print_message("%zu releases with wider rights, each off\n", ARRAY_LEN(wider));
}

/* Other words for people are no other rights: nobody has to accept them again. */
static void
other_help_is_the_same_right(void **state)
{
	static const struct hostile h = { "help", .definition = LOOK(KEY "," ARGV ",\"help\":\"other words\",\"risk\":\"observe\"") };
	SCOPED(offered_done) struct offered o;
	uint8_t rights[32];

	hostile_begin(*state);
	offer(*state, &h, 1, &o);
	assert_int_equal(definition_rights_digest(o.d, definition_operation(o.d, "look"), rights), 0);
	assert_true(accepted_operation(o.a, "redis", "look", rights));
}

static void
what_is_new_is_off_and_in_the_plan(void **state)
{
	static const struct hostile h = { "much",
		.definition = "{\"alerts\":[{\"for\":\"1s\",\"metric\":\"m\",\"name\":\"a\",\"op\":\"above\",\"text\":\"t\","
						  "\"value\":1}],\"metrics\":[{\"fields\":[\"keys\",\"used\"],\"socket\":\"{run}/s\","
						  "\"source\":\"redis\"}],\"operations\":{\"shell\":{\"argv\":[\"/bin/sh\"],\"risk\":\"observe\"}}}" };
	SCOPED(offered_done) struct offered o;
	const json_t *news;
	uint8_t rights[32];

	hostile_begin(*state);
	offer(*state, &h, 1, &o);
	news = json_object_get(o.row, "new");
	assert_true(names(json_object_get(news, "operations"), "shell"));
	assert_true(names(json_object_get(news, "fields"), "redis_keys"));
	assert_true(names(json_object_get(news, "fields"), "alert.redis.a"));
	assert_false(names(json_object_get(news, "fields"), "redis_used"));
	assert_int_equal(definition_rights_digest(o.d, definition_operation(o.d, "shell"), rights), 0);
	assert_false(accepted_operation(o.a, "redis", "shell", rights));
	assert_false(accepted_field(o.a, "redis", "redis_keys"));
	assert_false(accepted_field(o.a, "redis", "alert.redis.a"));
	assert_true(accepted_field(o.a, "redis", "redis_used"));
}

/* A port that opens because nobody had set it; a knob that was not there before; data without a way back. */
static void
what_changes_by_itself_is_in_the_plan(void **state)
{
	static const struct hostile h = { "defaults",
		.definition = "{\"data\":{\"accepts\":[\"one\"],\"folders\":[\"db\"],\"format\":\"two\"},\"knobs\":{\"dir\":{\"default\":\"b\",\"type\":\"text\"},"
		"\"listen\":{\"default\":\"0.0.0.0\",\"type\":\"text\"},\"port\":{\"default\":6379,\"type\":\"int\"},"
		"\"size\":{\"default\":9,\"max\":9,\"min\":1,\"type\":\"int\"}},\"notes\":[\"faster\"]}" };
	static const char defaults[] = "[{\"from\":null,\"knob\":\"listen\",\"to\":\"0.0.0.0\"},{\"from\":0,\"knob\":\"port\",\"to\":6379}]";
	SCOPED(offered_done) struct offered o;
	SCOPED(scope_free) char *text = NULL;

	hostile_begin(*state);
	offer(*state, &h, 1, &o);
	text = json_dumps(json_object_get(o.row, "defaults"), JSON_SORT_KEYS | JSON_COMPACT);
	assert_string_equal(text, defaults);
	assert_string_equal(json_text(o.row, "data"), "one-way");
	assert_true(names(json_object_get(o.row, "notes"), "faster"));
}

/* --- a first install ------------------------------------------------------------------------------------------------ */
static void
a_first_install_shows_all_that_it_asks_for(void **state)
{
	static const struct hostile h = { "all",
		.definition = "{\"hooks\":{\"check\":{\"argv\":[\"/bin/run\"]}},\"limits\":{\"files\":5000,\"memory\":2147483648,\"processes\":300},"
		"\"network\":\"host\",\"prepare\":{\"argv\":[\"/bin/run\"],\"creates\":\"db\"},\"requires\":{\"memory\":1}}" };
	static const char *const asked[] = { "hook.check=sha256:", "limit.files=5000", "limit.memory=2147483648",
		"limit.processes=300", "network=host", "prepare=sha256:", "require.memory=1", "secret.word" };
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED_JSON *rights = NULL;
	const json_t *powers;

	hostile_make(b, &h, "7", &r);
	bench_store(b, &r);
	assert_int_equal(update_release_definition(b->u, r.hex, &d), 0);
	assert_int_equal(accepted_load(&a, monitor_dir(b->t->m)), 0);
	assert_int_equal(rights_list(&rights, d, a), 0);
	powers = json_object_get(rights, "powers");
	assert_int_equal(json_array_size(powers), ARRAY_LEN(asked));
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		const json_t *one = json_array_get(powers, i);

		assert_int_equal(strncmp(json_text(one, "name"), asked[i], strlen(asked[i])), 0);
		assert_false(json_is_true(json_object_get(one, "accepted")));
	}
	assert_int_equal(json_array_size(json_object_get(rights, "operations")), 2);
	assert_int_equal(json_array_size(json_object_get(rights, "fields")), 2); /* redis_up, redis_used */
}

/* --- bombs ---------------------------------------------------------------------------------------------------------- */
enum { BOMB_BYTES = 64 << 20 };

/* An object of that name that unpacks to very much more than its index says. */
static void
put_bomb(struct bench *b)
{
	void *zeros = calloc(1, BOMB_BYTES), *out = malloc(ZSTD_compressBound(BOMB_BYTES));
	size_t n;

	assert_true(zeros && out);
	n = ZSTD_compress(out, ZSTD_compressBound(BOMB_BYTES), zeros, BOMB_BYTES, 1);
	assert_false(ZSTD_isError(n));
	bench_file(b, "incoming/objects/00", "0000000000000000000000000000000000000000000000000000000000000000.zst", out, n);
	free(zeros);
	free(out);
}

/* It is cut there, taken away, and asked for again: what never comes right never goes in. */
static void
a_file_never_unpacks_to_more_than_its_index_says(void **state)
{
	static const struct hostile h = { "a bomb",
		.entry = "[{\"path\":\"bomb\",\"type\":\"file\",\"mode\":\"0644\",\"owner\":\"root\",\"size\":1000,\"sha256\":"
			 "\"0000000000000000000000000000000000000000000000000000000000000000\"}]" };
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	SCOPED(scope_free) char *before = NULL;
	SCOPED(scope_free) char *after = NULL;
	uint64_t count;
	struct stat st;

	hostile_begin(b);
	put_bomb(b);
	before = hostile_state(b);
	count = refuse_count(REASON_TOO_LARGE);
	hostile_offer(b, &h, 1, &r);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), count + 1);
	assert_string_not_equal(b->u->state, "staged");
	assert_int_equal(fstatat(b->u->store_fd, r.hex, &st, 0), -1);
	assert_int_equal(fstatat(b->u->incoming_fd,
				 "objects/00/0000000000000000000000000000000000000000000000000000000000000000.zst", &st, 0),
		-1);
	assert_int_equal(bench_control(b, "update.apply", NULL), REASON_NOT_FOUND);
	after = hostile_state(b);
	assert_string_equal(before, after);
	assert_true(hostile_was_quiet(b));
}

static void
nor_does_a_definition(void **state)
{
	static const struct hostile h = { "a bomb",
		.index = "{\"definition\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}",
		.why = REASON_TOO_LARGE, .text = "more than 262144 bytes" };
	struct bench *b = *state;

	hostile_begin(b);
	put_bomb(b);
	hostile_refused(b, &h, 1);
}

int
main(void)
{
#define HOSTILE_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		HOSTILE_TEST(the_same_name_with_wider_rights_is_off),
		HOSTILE_TEST(other_help_is_the_same_right),
		HOSTILE_TEST(what_is_new_is_off_and_in_the_plan),
		HOSTILE_TEST(what_changes_by_itself_is_in_the_plan),
		HOSTILE_TEST(a_first_install_shows_all_that_it_asks_for),
		HOSTILE_TEST(a_file_never_unpacks_to_more_than_its_index_says),
		HOSTILE_TEST(nor_does_a_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
