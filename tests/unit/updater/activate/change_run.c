/* A change on the loop, taken up at any step as after a crash: how it ends, and what it leaves. */
#include "tests/unit/updater/activate/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "appliance/loop/child.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/mutes.h"
#include "tests/fakes/sync_fails.h"

/* The file of the shim's word cannot be opened, for want of a descriptor. */
static bool shim_unread;

int
openat(int dir_fd, const char *path, int flags, ...)
{
	va_list args;
	int r;

	if (shim_unread && strcmp(path, "shim/redis.json") == 0) {
		errno = EMFILE;
		return -1;
	}
	va_start(args, flags);
	r = (int)syscall(SYS_openat, dir_fd, path, flags, va_arg(args, unsigned));
	va_end(args);
	return r;
}

/* The shim's word on redis. */
static void
shim_writes(struct bench *b, enum state_is is, unsigned restarts)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	SCOPED(scope_close) int fd = -1;
	struct state s = { .is = is, .exit = 1, .started_us = 1, .restarts = restarts };
	char path[512];

	if (is == STATE_RUNNING) {
		s.health = STATE_HEALTH_PASSING;
		s.pid = getpid();
		assert_int_equal(child_starttime(&s.start_time, s.pid), 0);
	}
	assert_int_equal(process_boot_id(s.boot), 0);
	assert_int_equal(state_encode(&out, &s), 0);
	(void)snprintf(path, sizeof(path), "%s/shim", b->t->paths.run);
	assert_int_equal(fs_open_dir(&fd, -1, path, 0755), 0);
	assert_int_equal(fs_replace(fd, "redis.json", out.data, out.len, 0644), 0);
}

static void
shim_says(struct bench *b, enum state_is is)
{
	shim_writes(b, is, 0);
}

/* When what a crash cut off had begun. */
static uint64_t started_us = 1;

/* A crash left the journal at this step. */
static void
crash_at(struct bench *b, enum change_step step, const struct bench_release *from,
	const struct bench_release *to)
{
	struct change c = { .id = "00",
		.n = 1,
		.items = { { .service = "redis", .to_version = "7", .counter = 2, .step = step } },
		.reason = step >= CHANGE_UNDO_STOP && step != CHANGE_GOOD ? REASON_STATE_MOVED : REASON_NONE,
		.started_us = started_us };
	struct change_item *item = &c.items[0];

	if (from) {
		(void)snprintf(item->from, sizeof(item->from), "%s", from->hex);
		(void)snprintf(item->from_version, sizeof(item->from_version), "7");
		item->from_counter = 1;
	}
	(void)snprintf(item->to, sizeof(item->to), "%s", to->hex);
	assert_int_equal(change_save(&c, b->u->journal_fd), 0);
	bench_restart(b);
}

static void
run_to_end(struct bench *b, unsigned seconds)
{
	uint64_t until = clock_mono_us() + seconds * CLOCK_US_PER_S;

	while (b->u->run && clock_mono_us() < until)
		bench_turn(b);
	assert_null(b->u->run);
}

/* Its alerts are muted by the update, for so long at most. */
static void
assert_muted(struct bench *b, uint64_t max_s)
{
	SCOPED_JSON *mutes = mutes_for_people(b->t->m);
	const json_t *one = json_array_get(mutes, 0);
	uint64_t until_us = 0;

	assert_int_equal(json_array_size(mutes), 1);
	assert_string_equal(json_text(one, "service"), "redis");
	assert_string_equal(json_text(one, "why"), "update 00");
	assert_int_equal(clock_parse(&until_us, json_text(one, "until")), 0);
	assert_in_range(until_us, clock_now_us(), clock_now_us() + max_s * CLOCK_US_PER_S);
}

/* Gone back, for this reason; cluster.lock names hex (NULL: nothing). */
static void
assert_went_back(struct bench *b, enum reason why, const char *hex)
{
	struct lock lock;
	char leaf[64];
	struct stat st;

	assert_string_equal(b->u->state, "rolled-back");
	assert_string_equal(b->u->reason, refuse_token(why));
	assert_int_equal(lock_read(&lock, &b->t->paths), 0);
	if (hex)
		assert_string_equal(lock_find(&lock, "redis")->release, hex);
	else
		assert_null(lock_find(&lock, "redis"));
	assert_int_equal(fstatat(b->u->journal_fd, "change.json", &st, 0), -1);
	(void)snprintf(leaf, sizeof(leaf), "rollback redis %s", refuse_token(why));
	assert_string_equal(site_last_leaf(b->t), leaf);
}

static void
a_definition_of_another_service_is_never_run(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	uint64_t before = refuse_count(REASON_ALTERED);

	bench_release(b, &r, "redis", "7", "nginx");
	bench_store(b, &r);
	bench_active(b, NULL, 0);
	crash_at(b, CHANGE_CHECK, NULL, &r);
	run_to_end(b, 5);
	assert_true(refuse_count(REASON_ALTERED) > before);
	assert_went_back(b, REASON_ALTERED, NULL);
}

static int
count(const struct audit_entry *e, void *arg)
{
	(void)e;
	++*(size_t *)arg;
	return 0;
}

static size_t
count_leaves(struct bench *b, const char *kind)
{
	size_t n = 0;

	assert_int_equal(audit_each(b->t->m->audit, &(struct audit_filter){ .kind = kind }, count, &n), 0);
	return n;
}

/* Killed after its last leaf, before the journal was gone. */
static void
a_change_that_is_taken_up_again_is_told_once(void **state)
{
	static const struct {
		enum change_step step;
		const char *kind;
	} rows[] = { { CHANGE_COMMIT, "activate" }, { CHANGE_ROLLED_BACK, "rollback" } };
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	uint8_t digest[32];

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &two);
	bench_active(b, two.hex, 2);
	shim_says(b, STATE_RUNNING);
	assert_true(hex_decode(digest, sizeof(digest), two.hex));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(monitor_leaf(b->t->m, rows[i].kind, "mainstayd", "redis", digest, REASON_NONE), 0);
		started_us = 1;
		crash_at(b, rows[i].step, &one, &two);
		run_to_end(b, 5);
		assert_int_equal(count_leaves(b, rows[i].kind), 1);
		/* The one that stands is of a change before this one. */
		started_us = clock_now_us() + CLOCK_US_PER_S;
		crash_at(b, rows[i].step, &one, &two);
		run_to_end(b, 5);
		assert_int_equal(count_leaves(b, rows[i].kind), 2);
	}
	started_us = 1;
}

static void
a_service_that_fails_goes_back(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &two);
	bench_active(b, two.hex, 2);
	shim_says(b, STATE_FAILED);
	crash_at(b, CHANGE_HEALTH, &one, &two);
	assert_muted(b, 6 * 3600); /* also where it goes on after a crash */
	run_to_end(b, 5);
	assert_muted(b, MUTES_GRACE_S);
	assert_went_back(b, REASON_STATE_MOVED, one.hex);
	assert_non_null(strstr(b->u->text, "it failed while its health was awaited"));
}

/* Its health has passed: one look that finds it otherwise is enough. */
static void
a_service_that_fails_while_it_soaks_goes_back(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &two);
	bench_active(b, two.hex, 2);
	shim_says(b, STATE_FAILED);
	crash_at(b, CHANGE_SOAK, &one, &two);
	run_to_end(b, 5);
	assert_went_back(b, REASON_STATE_MOVED, one.hex);
	assert_non_null(strstr(b->u->text, "after it had passed"));
}

/* Nothing is left of what ran before the boot: that is not the release's health, and is not called so. */
static void
a_power_cut_while_it_soaks_goes_back_and_is_called_so(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_store(b, &two);
	bench_active(b, two.hex, 2);
	crash_at(b, CHANGE_SOAK, &one, &two);
	run_to_end(b, 20);
	assert_went_back(b, REASON_INTERRUPTED, one.hex);
	assert_non_null(strstr(b->u->text, "the machine went down while the release was being watched"));
}

/* It is well at each look, and is not the same that was well. */
static void
a_service_that_starts_again_while_it_soaks_goes_back(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	bench_release(b, &one, "redis", "7", "redis");
	bench_release_with(b, &two, "redis", "8", "redis", "health: {type: unix, socket: \"{run}/s\", soak: 1h}\n");
	bench_store(b, &two);
	bench_active(b, two.hex, 2);
	shim_writes(b, STATE_RUNNING, 4);
	crash_at(b, CHANGE_SOAK, &one, &two);
	bench_settle(b);
	assert_int_equal(change_run_state(b->u->run)->items[0].step, CHANGE_SOAK);
	shim_writes(b, STATE_RUNNING, 5);
	run_to_end(b, 5);
	assert_went_back(b, REASON_STATE_MOVED, one.hex);
	assert_non_null(strstr(b->u->text, "it ended and was started again"));
}

/* Nobody could say then how often it had been started before. */
static void
a_service_that_could_not_be_looked_at_as_its_soak_began_is_watched_from_the_next_look(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	bench_release(b, &one, "redis", "7", "redis");
	bench_release_with(b, &two, "redis", "8", "redis", "health: {type: unix, socket: \"{run}/s\", soak: 1h}\n");
	bench_store(b, &two);
	bench_active(b, two.hex, 2);
	shim_writes(b, STATE_RUNNING, 4);
	shim_unread = true;
	crash_at(b, CHANGE_SOAK, &one, &two);
	bench_settle(b);
	shim_unread = false;
	bench_settle(b);
	bench_settle(b);
	assert_int_equal(change_run_state(b->u->run)->items[0].step, CHANGE_SOAK);
	shim_writes(b, STATE_RUNNING, 5);
	run_to_end(b, 5);
	assert_went_back(b, REASON_STATE_MOVED, one.hex);
	assert_non_null(strstr(b->u->text, "it ended and was started again"));
}

static void
a_service_that_does_not_become_healthy_goes_back(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };

	bench_release(b, &r, "redis", "7", "redis");
	bench_store(b, &r);
	bench_active(b, r.hex, 2);
	crash_at(b, CHANGE_HEALTH, NULL, &r);
	assert_int_equal(change_run_state(b->u->run)->items[0].step, CHANGE_HEALTH);
	clock_fake(clock_now_us() + 61 * CLOCK_US_PER_S, clock_mono_us() + 61 * CLOCK_US_PER_S);
	for (unsigned i = 0; i < 1000 && b->u->run; i++)
		bench_turn(b);
	clock_real();
	assert_went_back(b, REASON_STATE_MOVED, NULL);
	assert_non_null(strstr(b->u->text, "after 60 s"));
}

static void
what_was_not_staged_is_given_up(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct stat st;

	bench_release(b, &r, "redis", "7", "redis");
	bench_active(b, NULL, 0);
	crash_at(b, CHANGE_STAGE, NULL, &r);
	run_to_end(b, 5);
	assert_went_back(b, REASON_INTERRUPTED, NULL);
	assert_int_equal(fstatat(b->u->store_fd, r.hex, &st, 0), -1);
}

/* Whatever the instant: the lock names the old release or the new one, and the change has one end. */
static void
every_step_can_be_taken_again(void **state)
{
	static const enum change_step forward[] = { CHANGE_COMMIT };
	static const enum change_step backward[] = { CHANGE_UNDO_STOP, CHANGE_UNDO_SWITCH,
		CHANGE_UNDO_START };
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };
	struct lock lock;

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	for (size_t i = 0; i < ARRAY_LEN(forward); i++) {
		bench_active(b, two.hex, 2);
		crash_at(b, forward[i], &one, &two);
		run_to_end(b, 5);
		assert_string_equal(b->u->state, "good");
		assert_string_equal(site_last_leaf(b->t), "activate redis");
	}
	for (size_t i = 0; i < ARRAY_LEN(backward); i++) {
		bench_active(b, backward[i] == CHANGE_UNDO_START ? one.hex : two.hex, 2);
		crash_at(b, backward[i], &one, &two);
		run_to_end(b, 5);
		assert_string_equal(b->u->state, "rolled-back");
		assert_int_equal(lock_read(&lock, &b->t->paths), 0);
		assert_string_equal(lock_find(&lock, "redis")->release, one.hex);
	}
}

/* --- the end ------------------------------------------------------------------------------------------------- */
struct watched {
	struct bench *b;
	unsigned ended, over;
	unsigned no_room, stuck; /* so often it cannot be kept; that was said */
	enum change_step how;
	bool no_lock;		 /* cluster.lock cannot be put back, once */
};

static bool
has_journal(const struct bench *b)
{
	return faccessat(b->u->journal_fd, "change.json", F_OK, 0) == 0;
}

static void
watch_step(const struct change *c, size_t item, void *arg)
{
	struct watched *w = arg;

	if (w->no_lock && c->items[item].step == CHANGE_UNDO_SWITCH)
		folder_failures = 1;
	w->no_lock = false;
}

static int
watch_ended(const struct change *c, void *arg)
{
	struct watched *w = arg;

	assert_true(change_current(c) == c->n);
	assert_true(has_journal(w->b));
	assert_int_equal(w->over, 0);
	if (w->no_room > 0) {
		w->no_room--;
		return -ENOSPC;
	}
	w->ended++;
	w->how = change_outcome(c);
	return 0;
}

static void
watch_stuck(const struct change *c, int r, void *arg)
{
	struct watched *w = arg;

	(void)c;
	assert_true(r == -ENOSPC || r == -EIO);
	w->stuck++;
}

static void
watch_over(const struct change *c, void *arg)
{
	struct watched *w = arg;

	(void)c;
	assert_false(has_journal(w->b));
	assert_int_equal(w->ended, 1);
	w->over++;
}

static const struct change_run_ops watch_ops = { .stepped = watch_step, .ended = watch_ended, .stuck = watch_stuck,
	.again_ms = 10, .over = watch_over };

/* What outlives the journal is told while the journal is still there: a crash between the two loses nothing. */
static void
the_journal_goes_last(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct change c = { .id = "00",
		.n = 1,
		.items = { { .service = "redis", .to_version = "7", .step = CHANGE_COMMIT } },
		.started_us = 1 };
	struct change_run *run = NULL;

	bench_release(b, &r, "redis", "7", "redis");
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", r.hex);
	/* As it goes, and while the disk is full: until it is kept it is not over, and that is said once. */
	for (unsigned no_room = 0; no_room < 3; no_room += 2) {
		struct watched w = { .b = b, .no_room = no_room };

		assert_int_equal(change_run_start(&run, b->t->m, b->u->journal_fd, &c, NULL, &watch_ops, &w), 0);
		assert_true(has_journal(b));
		for (unsigned i = 0; i < 100 && run; i++)
			bench_turn(b);
		assert_null(run);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.over, 1);
		assert_int_equal(w.stuck, no_room > 0);
	}
}

/* Else the service would be left stopped, and somebody had to come. */
static void
a_disk_that_fails_once_keeps_nothing_from_going_back(void **state)
{
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release r = { 0 };
	struct change c = { .id = "00",
		.n = 1,
		.reason = REASON_STATE_MOVED,
		.items = { { .service = "redis", .to_version = "7", .step = CHANGE_UNDO_SWITCH } },
		.started_us = 1 };
	struct watched w = { .b = b, .no_lock = true };
	struct change_run *run = NULL;
	struct lock lock;

	bench_release(b, &r, "redis", "7", "redis");
	bench_active(b, r.hex, 1);
	(void)snprintf(c.items[0].to, sizeof(c.items[0].to), "%s", r.hex);
	assert_int_equal(change_run_start(&run, b->t->m, b->u->journal_fd, &c, NULL, &watch_ops, &w), 0);
	for (unsigned i = 0; i < 200 && run; i++)
		bench_turn(b);
	assert_null(run);
	assert_int_equal(w.stuck, 1);
	assert_int_equal(w.how, CHANGE_ROLLED_BACK);
	assert_int_equal(lock_read(&lock, &b->t->paths), 0);
	assert_null(lock_find(&lock, "redis"));
}

/* The journal was left after all was told: its end is told once more, and changes nothing. */
static void
an_end_that_was_cut_off_is_remembered_once(void **state)
{
	static const struct {
		enum change_step step;
		const char *state;
	} rows[] = { { CHANGE_GOOD, "good" }, { CHANGE_ROLLED_BACK, "rolled-back" } };
	struct bench *b = *state;
	SCOPED(bench_release_done) struct bench_release one = { 0 }, two = { 0 };

	bench_release(b, &one, "redis", "7", "redis");
	bench_release(b, &two, "redis", "8", "redis");
	bench_active(b, two.hex, 2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_array_clear(b->u->history);
		assert_int_equal(update_save(b->u), 0);
		for (unsigned times = 0; times < 2; times++) {
			crash_at(b, rows[i].step, &one, &two);
			run_to_end(b, 5);
			assert_false(has_journal(b));
			assert_int_equal(json_array_size(b->u->history), 1);
			assert_string_equal(b->u->state, rows[i].state);
		}
	}
}

int
main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		BENCH_TEST(a_definition_of_another_service_is_never_run),
		BENCH_TEST(a_change_that_is_taken_up_again_is_told_once),
		BENCH_TEST(a_service_that_fails_goes_back),
		BENCH_TEST(a_service_that_fails_while_it_soaks_goes_back),
		BENCH_TEST(a_power_cut_while_it_soaks_goes_back_and_is_called_so),
		BENCH_TEST(a_service_that_starts_again_while_it_soaks_goes_back),
		BENCH_TEST(a_service_that_could_not_be_looked_at_as_its_soak_began_is_watched_from_the_next_look),
		BENCH_TEST(a_service_that_does_not_become_healthy_goes_back),
		BENCH_TEST(what_was_not_staged_is_given_up),
		BENCH_TEST(every_step_can_be_taken_again),
		BENCH_TEST(the_journal_goes_last),
		BENCH_TEST(a_disk_that_fails_once_keeps_nothing_from_going_back),
		BENCH_TEST(an_end_that_was_cut_off_is_remembered_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
