/* What is said of a request while it runs: signed, in order, paced, and never more than there is room for. */
#include "tests/unit/remote/request/world.h"

#include "remote/request/progress.h"

static const struct operate_result ok = { .outcome = OPERATE_OK };

/* Taken in with the next turn. */
static void
says(struct monitor *m, enum operate_stream stream, const char *bytes, size_t len)
{
	for (size_t at = 0; at < len; at += 16384) {
		struct operate_output o = { stream, (const uint8_t *)bytes + at, len - at < 16384 ? len - at : 16384 };

		assert_int_equal(operate_output_send(m->spawn->calls[0].fd, &o), 0);
	}
}

/* Until one message more was posted, or so long that none will be. */
static struct progress *
next(struct monitor *m)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct progress *p = NULL;
	size_t before = m->n_posts;
	const json_t *post;

	for (int i = 0; i < 20 && m->n_posts == before; i++)
		assert_true(sd_event_run(m->loop, 10000) >= 0);
	if (m->n_posts == before)
		return NULL;
	assert_int_equal(m->n_posts, before + 1);
	post = m->posts[before];
	assert_string_equal(json_text(post, "kind"), "progress");
	assert_string_equal(json_text(post, "request"), "r-1");
	assert_int_equal(envelope_open_json(&e, MESSAGE_PROGRESS, json_object_get(post, "envelope")), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(m->site_key)), 0);
	assert_int_equal(progress_parse(&p, e->payload), 0);
	return p;
}

static void
next_is(struct monitor *m, uint64_t n, enum progress_kind kind, const char *text)
{
	SCOPED(progress_freep) struct progress *p = next(m);

	assert_non_null(p);
	assert_int_equal(p->n, n);
	assert_int_equal(p->kind, kind);
	assert_string_equal(p->text, text);
	assert_true(p->time_us == m->now_us);
}

/* r-1 runs, and has said that; a turn comes every 5 ms. */
static void
running(struct monitor *m)
{
	struct request q = good("r-1", "info");

	world_open(m);
	((struct request_site *)m->module_arg)->progress_ms = 5;
	assert_int_equal(deliver(m, "1", &q, ANN), 0);
	assert_string_equal(state_of(m, "r-1"), "running");
	if (m->n_posts == 1) /* the plan; it may have taken longer than that */
		progress_free(next(m));
	assert_int_equal(m->n_posts, 2);
}

static void
test_it_says_what_it_does(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	SCOPED(progress_freep) struct progress *first = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct monitor_call watcher = { 0 };
	size_t told;

	(void)state;
	running(&m);
	assert_int_equal(envelope_open_json(&e, MESSAGE_PROGRESS, json_object_get(m.posts[1], "envelope")), 0);
	assert_int_equal(progress_parse(&first, e->payload), 0);
	assert_int_equal(first->n, 1);
	assert_int_equal(first->kind, PROGRESS_STATE);
	assert_string_equal(first->text, "running");
	assert_int_equal(call(&m, "requests.watch", &watcher), 0);
	told = watcher.n_progress;
	says(&m, OPERATE_STDOUT, "one\n", 4);
	says(&m, OPERATE_STDERR, "\x1b[2Joops\n", 9);
	next_is(&m, 2, PROGRESS_OUT, "one\n");
	assert_int_equal(watcher.n_progress, told + 1);
	next_is(&m, 3, PROGRESS_ERR, "\\x1b[2Joops\n");
	assert_null(next(&m)); /* nothing new */
	says(&m, OPERATE_STDOUT, "two\n", 4);
	next_is(&m, 4, PROGRESS_OUT, "two\n");
	work_at(&m, 0, OPERATE_STDOUT, "", &ok);
	result = said(&m, "r-1"); /* the last word */
	assert_string_equal(result->out, "one\ntwo\n");
	assert_null(next(&m));
	assert_int_equal(m.n_posts, 6);
	watcher.gone(&watcher, watcher.gone_arg);
	call_done(&watcher);
}

/* What it wrote since the last turn comes before the result; of more than a piece of each stream it is said how much. */
static void
test_the_rest_comes_before_the_result(void **state)
{
	static char flood[60 * 1024];
	SCOPED(world_end) struct monitor m;
	const struct {
		enum progress_kind kind;
		size_t len;
		const char *text;
	} rest[] = { { PROGRESS_OUT, REQUEST_PROGRESS_MAX, NULL }, { PROGRESS_ERR, 5, "oops\n" },
		{ PROGRESS_STATE, 0, "28672 bytes and more of its output are left out here" } };

	(void)state;
	memset(flood, 'x', sizeof(flood));
	running(&m);
	((struct request_site *)m.module_arg)->progress_ms = 60000; /* no turn comes */
	says(&m, OPERATE_STDOUT, "x", 1);
	next_is(&m, 2, PROGRESS_OUT, "x"); /* but for the one that was planned */
	says(&m, OPERATE_STDOUT, flood, sizeof(flood));
	work_at(&m, 0, OPERATE_STDERR, "oops\n", &ok);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_int_equal(m.n_posts, 7);
	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		SCOPED(envelope_freep) struct envelope *e = NULL;
		SCOPED(progress_freep) struct progress *p = NULL;

		assert_int_equal(envelope_open_json(&e, MESSAGE_PROGRESS, json_object_get(m.posts[3 + i], "envelope")), 0);
		assert_int_equal(progress_parse(&p, e->payload), 0);
		assert_int_equal(p->n, 3 + i);
		assert_int_equal(p->kind, rest[i].kind);
		if (rest[i].len)
			assert_int_equal(strlen(p->text), rest[i].len);
		if (rest[i].text)
			assert_ptr_equal(strstr(p->text, rest[i].text), p->text);
	}
	assert_string_equal(json_text(m.posts[6], "kind"), "result");
}

/* What ends before the first turn has its result, and costs nothing besides. */
static void
test_a_quick_one_says_nothing(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m); /* with a first turn that is far off */
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	work_at(&m, 0, OPERATE_STDOUT, "one\n", &ok);
	assert_int_equal(m.n_posts, 2);
	assert_null(next(&m));
}

static void
test_a_character_is_never_cut(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	running(&m);
	says(&m, OPERATE_STDOUT, "5 \xe2\x82", 4);
	next_is(&m, 2, PROGRESS_OUT, "5 ");
	assert_null(next(&m));
	says(&m, OPERATE_STDOUT, "\xac\n\xf0\x9f", 4);
	next_is(&m, 3, PROGRESS_OUT, "\xe2\x82\xac\n");
	/* What can be the beginning of none is told as it is. */
	says(&m, OPERATE_STDOUT, "x\xff", 2);
	next_is(&m, 4, PROGRESS_OUT, "\\xf0\\x9fx\\xff");
}

/* A flood: pieces of 32 KiB of text at most, one a turn, until what a result holds was said; then one sentence. */
static void
test_a_flood_is_bounded(void **state)
{
	static char flood[64 * 1024];
	SCOPED(world_end) struct monitor m;
	size_t in_all = 0;
	uint64_t n = 1;

	(void)state;
	memset(flood, '\1', sizeof(flood)); /* each is four bytes of text */
	running(&m);
	says(&m, OPERATE_STDOUT, flood, sizeof(flood));
	for (;;) {
		SCOPED(progress_freep) struct progress *p = next(&m);

		assert_non_null(p);
		assert_int_equal(p->n, ++n);
		if (p->kind == PROGRESS_STATE) {
			assert_non_null(strstr(p->text, "32768 bytes and more of its output are left out here"));
			break;
		}
		assert_true(strlen(p->text) <= REQUEST_PROGRESS_MAX);
		in_all += strlen(p->text);
	}
	assert_int_equal(in_all, REQUEST_OUTPUT_MAX);
	assert_null(next(&m));
}

/* It is the last to get room, and asks once. */
static void
test_no_room_is_silence(void **state)
{
	SCOPED(world_end) struct monitor m;
	SCOPED(request_result_freep) struct request_result *result = NULL;
	uint64_t before = refuse_count(REASON_NO_SPACE);

	(void)state;
	running(&m);
	m.outbox_full = true;
	says(&m, OPERATE_STDOUT, "one\n", 4);
	assert_null(next(&m));
	says(&m, OPERATE_STDOUT, "two\n", 4);
	m.outbox_full = false;
	assert_null(next(&m));
	assert_int_equal(refuse_count(REASON_NO_SPACE), before + 1);
	work_at(&m, 0, OPERATE_STDOUT, "", &ok);
	result = said(&m, "r-1");
	assert_string_equal(result->out, "one\ntwo\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_says_what_it_does),
		cmocka_unit_test(test_the_rest_comes_before_the_result),
		cmocka_unit_test(test_a_quick_one_says_nothing),
		cmocka_unit_test(test_a_character_is_never_cut),
		cmocka_unit_test(test_a_flood_is_bounded),
		cmocka_unit_test(test_no_room_is_silence),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
