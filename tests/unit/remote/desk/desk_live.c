/* What the desk shows of a running request: the site's own words about this one, each once and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/command.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_live.h"
#include "remote/desk/desk_waiting.h"
#include "remote/request/progress.h"

static struct ed25519 *site, *thief;
static struct command_call call;

static struct desk_answer
asked(void)
{
	struct desk_answer a = { .call = &call, .id = "r-1", .request = { 1, 2, 3 }, .state = "delivered" };

	a.keys.n = 1;
	memcpy(a.keys.keys[0].key, ed25519_public(site), 32);
	return a;
}

static json_t *
piece(uint64_t n, enum progress_kind kind, const char *text, uint8_t digest, const struct ed25519 *key)
{
	struct progress p = { .request = { digest, 2, 3 }, .n = n, .time_us = 1000, .kind = kind, .text = text };
	SCOPED_JSON *payload = NULL;
	json_t *envelope = NULL;

	assert_int_equal(progress_json(&payload, &p), 0);
	assert_int_equal(envelope_seal(&envelope, MESSAGE_PROGRESS, payload, key), 0);
	return envelope;
}

/* Show what the hub brings; *ret_text is what stood on stderr. */
static unsigned
show(struct desk_live *l, struct desk_answer *a, json_t *take_list, char text[4096])
{
	SCOPED_JSON *doc = json_pack("{s:o}", "progress", take_list);
	FILE *file = tmpfile();
	int kept = dup(STDERR_FILENO);
	unsigned fresh;
	ssize_t n;

	(void)fflush(stderr);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	fresh = desk_live_take(l, a, doc);
	(void)fflush(stderr);
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	(void)close(kept);
	n = pread(fileno(file), text, 4095, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	(void)fclose(file);
	return fresh;
}

static void
test_in_order_and_marked(void **state)
{
	SCOPED(desk_live_done) struct desk_live l = DESK_LIVE_NONE;
	struct desk_answer a = asked();
	char text[4096];

	(void)state;
	assert_int_equal(show(&l, &a,
				 json_pack("[o, o, o]", piece(1, PROGRESS_STATE, "running", 1, site),
					 piece(2, PROGRESS_OUT, "one\ntw", 1, site), piece(3, PROGRESS_ERR, "oh\n", 1, site)),
				 text),
		3);
	assert_string_equal(text, "live: running\nlive | one\nlive | tw\nlive ! oh\n");
	assert_int_equal(show(&l, &a, json_pack("[o]", piece(4, PROGRESS_OUT, "o\n", 1, site)), text), 1);
	assert_string_equal(text, "live | o\n");
	assert_int_equal(l.seen, 4);
	assert_int_equal(l.dropped, 0);
	assert_string_equal(buf_text(&l.out), "one\ntwo\n");
	assert_false(desk_live_showed(&l, "one\ntwo\n")); /* nobody sees it: this is no terminal */
	assert_int_equal(show(&l, &a, json_array(), text), 0);
	assert_string_equal(text, "");
}

static void
test_what_is_missing_is_said(void **state)
{
	SCOPED(desk_live_done) struct desk_live l = DESK_LIVE_NONE;
	struct desk_answer a = asked();
	char text[4096];

	(void)state;
	assert_int_equal(show(&l, &a, json_pack("[o]", piece(3, PROGRESS_OUT, "three\n", 1, site)), text), 1);
	assert_string_equal(text, "live: 2 pieces are missing here: the result will have all\nlive | three\n");
	assert_true(l.holes);
}

static void
test_what_the_hub_can_forge_is_dropped_and_said(void **state)
{
	static const struct {
		const char *name;
		uint64_t n;
		uint8_t digest;
		bool forged, other_type;
		const char *says;
	} rows[] = {
		{ "by another key", 2, 1, true, false, "[unknown-key]" },
		{ "of another request", 2, 9, false, false, "[altered]" },
		{ "the same again", 1, 1, false, false, "a piece that came before [replayed]" },
		{ "another message of the site", 2, 1, false, true, "[bad-signature]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(desk_live_done) struct desk_live l = DESK_LIVE_NONE;
		struct desk_answer a = asked();
		json_t *bad = piece(rows[i].n, PROGRESS_OUT, "rm -rf\n", rows[i].digest, rows[i].forged ? thief : site);
		char text[4096];

		if (rows[i].other_type) {
			SCOPED(envelope_freep) struct envelope *e = NULL;

			assert_int_equal(envelope_open_json(&e, MESSAGE_PROGRESS, bad), 0);
			json_decref(bad);
			assert_int_equal(envelope_seal(&bad, MESSAGE_RESULT, e->payload, site), 0);
		}
		assert_int_equal(show(&l, &a, json_pack("[o]", piece(1, PROGRESS_OUT, "good\n", 1, site)), text), 1);
		assert_int_equal(show(&l, &a, json_pack("[O, o]", bad, bad), text), 0);
		if (!strstr(text, rows[i].says) || strstr(text, "live |"))
			fail_msg("%s: %s", rows[i].name, text);
		assert_int_equal(l.dropped, 2); /* and said once */
		assert_null(strstr(strstr(text, "dropped") + 1, "dropped"));
		/* What comes behind it is shown all the same. */
		assert_int_equal(show(&l, &a, json_pack("[o]", piece(2, PROGRESS_OUT, "more\n", 1, site)), text), 1);
		assert_string_equal(text, "live | more\n");
		assert_string_equal(buf_text(&l.out), "good\nmore\n");
	}
}

static void
test_reordered_pieces_do_not_come_late(void **state)
{
	SCOPED(desk_live_done) struct desk_live l = DESK_LIVE_NONE;
	struct desk_answer a = asked();
	char text[4096];

	(void)state;
	assert_int_equal(show(&l, &a,
				 json_pack("[o, o]", piece(2, PROGRESS_OUT, "two\n", 1, site),
					 piece(1, PROGRESS_OUT, "one\n", 1, site)),
				 text),
		1);
	assert_null(strstr(text, "one"));
	assert_int_equal(l.dropped, 1);
}

static void
test_scripts_see_the_result_alone(void **state)
{
	SCOPED(desk_live_done) struct desk_live l = DESK_LIVE_NONE;
	struct desk_answer a = asked();
	char text[4096];

	(void)state;
	call.json = true;
	assert_int_equal(show(&l, &a, json_pack("[o]", piece(3, PROGRESS_OUT, "x\n", 1, site)), text), 1);
	assert_string_equal(text, "");
	assert_int_equal(show(&l, &a, json_pack("[o]", piece(4, PROGRESS_OUT, "x\n", 1, thief)), text), 0);
	assert_non_null(strstr(text, "[unknown-key]"));
	call.json = false;
}

/* For whom it waits is what the site signed last; nothing else that the hub shows is. */
static void
test_the_newest_signed_state_counts(void **state)
{
	struct desk_answer a = asked(), none = asked();
	SCOPED_JSON *doc = json_pack("{s:[o, o, o, o, o]}", "progress", piece(3, PROGRESS_STATE, "plan 2: waits", 1, site),
		piece(2, PROGRESS_STATE, "waits", 1, site), piece(9, PROGRESS_STATE, "waits for a thief", 1, thief),
		piece(8, PROGRESS_STATE, "waits for another", 9, site), piece(7, PROGRESS_OUT, "waits for what it writes", 1, site));
	SCOPED_JSON *forged = json_pack("{s:[o]}", "progress", piece(1, PROGRESS_STATE, "waits for a thief", 1, thief));
	uint64_t since_us;

	(void)state;
	desk_waiting_read(&a, doc, &since_us);
	assert_string_equal(a.said, "plan 2: waits");
	assert_int_equal(a.said_n, 3);
	assert_int_equal(a.said_us, 1000);
	assert_int_equal(since_us, 1000);
	desk_waiting_read(&none, forged, &since_us);
	assert_string_equal(none.said, "");
	assert_int_equal(since_us, 0);
}

static int
setup(void **state)
{
	(void)state;
	log_open("test", LOG_LEVEL_WARNING);
	log_quiet_refusals(true);
	return ed25519_generate(&site) || ed25519_generate(&thief);
}

static int
teardown(void **state)
{
	(void)state;
	ed25519_free(site);
	ed25519_free(thief);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order_and_marked),
		cmocka_unit_test(test_what_is_missing_is_said),
		cmocka_unit_test(test_what_the_hub_can_forge_is_dropped_and_said),
		cmocka_unit_test(test_reordered_pieces_do_not_come_late),
		cmocka_unit_test(test_scripts_see_the_result_alone),
		cmocka_unit_test(test_the_newest_signed_state_counts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
