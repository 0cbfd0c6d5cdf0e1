/* The core's change in the monitor: who may begin one, how far the old core takes it, and what the next monitor, of
 * whichever core, makes of what it finds. */
#include "tests/unit/updater/activate/bench.h"

#include <sys/socket.h>

#include "appliance/monitor/calls.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/slots.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/core_approved.h"
#include "updater/activate/core_room.h"
#include "updater/activate/update_verbs.h"

#define DEFINITION                                                                                 \
	"name: %s\n"                                                                               \
	"version: \"2\"\n"                                                                         \
	"class: %s\n"                                                                              \
	"exec: [/bin/mainstayd]\n"                                                                 \
	"heal: never\n"                                                                            \
	"payload: {tree: tree}\n"                                                                  \
	"data: {folders: [], format: %s, accepts: [mainstay-0]}\n"                                 \
	"knobs:\n"                                                                                 \
	"  tries: {type: int, min: 0, max: 99, default: %u, apply: next-start, help: a}\n"         \
	"  trial-seconds: {type: int, min: 1, max: 9, default: 4, apply: next-start, help: a}\n"   \
	"  soak-seconds: {type: int, min: 0, max: 9, default: 0, apply: next-start, help: a}\n"

static const char *const programs[] = { "mainstay", "mainstay-activate", "mainstay-collectd", "mainstay-courier",
	"mainstay-judge", "mainstay-notify", "mainstay-operate", "mainstay-supervise", "mainstayd" };

struct release {
	const char *name, *class, *format;
	unsigned tries, n_programs;
	struct buf index;
	char hex[65];
};

static void
make(struct bench *b, struct release *rel)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(buf_done) struct buf json = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(scope_close) int objects = -1;
	struct tree_entry dir = { .path = (char *)"bin", .type = TREE_TYPE_DIR, .mode = 0755 };
	char text[2048];
	uint8_t digest[32];

	(void)snprintf(text, sizeof(text), DEFINITION, rel->name, rel->class, rel->format, rel->tries);
	assert_int_equal(definition_compile(&d, text, strlen(text), "service.yaml", b->t->dir.fd), 0);
	assert_int_equal(definition_write(d, &json), 0);
	(void)snprintf(text, sizeof(text), "%s/incoming/objects", b->t->paths.lib);
	assert_int_equal(fs_open_dir(&objects, -1, text, 0755), 0);
	assert_int_equal(object_put(objects, json.data, json.len, digest), 0);
	assert_int_equal(tree_index_new(&x, CORE_SERVICE, "2", digest), 0);
	assert_int_equal(tree_index_add(x, &dir), 0);
	for (unsigned i = 0; i < rel->n_programs; i++) {
		struct tree_entry e = { .type = TREE_TYPE_FILE, .mode = 0755, .size = 10 };

		(void)snprintf(text, sizeof(text), "bin/%s", programs[i]);
		e.path = text;
		assert_int_equal(object_put(objects, "#!/bin/sh\n", 10, e.sha256), 0);
		assert_int_equal(tree_index_add(x, &e), 0);
	}
	assert_int_equal(tree_index_seal(x), 0);
	rel->index = BUF_MAX(1 << 16);
	assert_int_equal(tree_index_write(x, &rel->index), 0);
	sha256_of(digest, rel->index.data, rel->index.len);
	hex_encode(rel->hex, digest, sizeof(digest));
}

static struct release
good_release(void)
{
	return (struct release){ .name = CORE_SERVICE,
		.class = "core",
		.format = SLOTS_STATE_FORMAT,
		.tries = 2,
		.n_programs = ARRAY_LEN(programs) };
}

static void
approve(struct bench *b, const struct release *rel)
{
	uint8_t raw[32];

	assert_true(hex_decode(raw, sizeof(raw), rel->hex));
	assert_int_equal(core_approved_add(b->t->m->dir_fd, raw), 0);
}

static int
start(struct bench *b, const struct release *rel, uint64_t counter)
{
	return core_change_start(b->u->core,
		&(struct core_release){ .index = rel->index.data,
			.len = rel->index.len,
			.hex = rel->hex,
			.version = "2",
			.counter = counter });
}

static struct slots
slots_of(struct bench *b)
{
	SCOPED(scope_close) int fd = -1;
	struct slots s;

	assert_int_equal(slots_open(&fd, &b->t->paths), 0);
	assert_int_equal(slots_load(&s, fd), 0);
	return s;
}

static void
slots_put(struct bench *b, struct slots *s)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(slots_open(&fd, &b->t->paths), 0);
	assert_int_equal(slots_save(s, fd), 0);
}

static unsigned
switches(struct bench *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->t->spawner->n_calls; i++)
		n += strcmp(b->t->spawner->calls[i].what, "switch") == 0;
	return n;
}

static const char *
last(struct bench *b, const char *member)
{
	return json_text(json_array_get(b->u->history, json_array_size(b->u->history) - 1), member);
}

static const struct slots_package package = { "0.1", SLOTS_STATE_FORMAT, SLOTS_STATE_ACCEPTS };

/* What `mainstay run` does before it starts a core. */
static void
begin_try(struct bench *b)
{
	struct slots s = slots_of(b);
	enum slots_slot picked;
	struct slots_now moment;

	assert_int_equal(slots_now(&moment), 0);
	if (slots_pick(&s, &package, &moment, &picked))
		slots_put(b, &s);
}

static bool
now_good(struct slots *s)
{
	enum slots_slot picked;
	struct slots_now moment;

	assert_int_equal(slots_now(&moment), 0);
	(void)slots_pick(s, &package, &moment, &picked);
	return slots_good(s, SLOTS_A, SLOTS_STATE_FORMAT, &moment);
}

/* Another monitor starts, of the core in this slot. */
static void
start_as(struct bench *b, enum slots_slot slot)
{
	struct site_test *t = b->t;
	struct monitor_setup setup = {
		.paths = &t->paths, .loop = t->loop, .spawner = &t->spawner->base, .identity = &t->id
	};
	struct core *core;

	bench_stop(b);
	assert_int_equal(monitor_open(&t->m, &setup), 0);
	assert_int_equal(services_init(t->m), 0);
	assert_int_equal(update_site_init(t->m), 0);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (strcmp(t->m->modules[i].module->name, "update") == 0)
			b->u = t->m->modules[i].arg;
	core = b->u->core;
	if (core->slots.trial == slot)
		begin_try(b);
	core->running = slot;
	if (slots_tree(&core->slots, slot))
		hex_encode(core->hex, slots_tree(&core->slots, slot)->digest, 32);
	assert_int_equal(monitor_start(t->m), 0);
	bench_settle(b);
}

#define refused(call, why, said)                                                                   \
	do {                                                                                       \
		uint64_t count_ = refuse_count(why);                                               \
		assert_int_equal((call), (why));                                                   \
		assert_int_equal(refuse_count(why), count_ + 1);                                   \
		assert_non_null(strstr(refuse_last()->text, said));                                \
	} while (0)

/* --- the beginning -------------------------------------------------------------------------------------------- */
static void
who_may_begin(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	struct slots s;

	make(b, &rel);
	refused(start(b, &rel, 1), REASON_NOT_APPROVED, rel.hex);
	refused(core_change_back(b->u->core), REASON_NOT_FOUND, "no other core ran");
	approve(b, &rel);
	s = slots_of(b);
	s.tree[0] = (struct slots_tree){ .present = true, .counter = 7, .version = "1", .digest = { 9 } };
	s.active = SLOTS_A;
	slots_put(b, &s);
	start_as(b, SLOTS_A);
	refused(start(b, &rel, 6), REASON_ROLLBACK, "its counter 6 is below 7");
	(void)snprintf(b->u->core->hex, sizeof(b->u->core->hex), "%s", rel.hex);
	refused(start(b, &rel, 8), REASON_CONFLICT, "runs already");
	b->u->core->hex[0] = '\0';
	assert_false(core_change_running(b->u->core));
	assert_int_equal(slots_of(b).trial, SLOTS_NONE);
	assert_int_equal(start(b, &rel, 7), 0);
	refused(start(b, &rel, 8), REASON_BUSY, "a change of the core is under way");
	refused(core_change_back(b->u->core), REASON_BUSY, "a change of the core is under way");
	refused(update_core_rollback(b->u, NULL), REASON_BUSY, "a change of the core is under way");
	buf_done(&rel.index);
}

static void
what_check_refuses(void **state)
{
	static const struct {
		const char *name, *class, *format, *text;
		unsigned tries, n;
		enum reason reason;
	} rows[] = {
		{ "other", "core", SLOTS_STATE_FORMAT, "defines core \"other\"", 2, 9, REASON_ALTERED },
		{ CORE_SERVICE, "service", SLOTS_STATE_FORMAT, "defines service", 2, 9, REASON_ALTERED },
		{ CORE_SERVICE, "core", "mainstay-9", "does not take over state", 2, 9, REASON_CONFLICT },
		{ CORE_SERVICE, "core", SLOTS_STATE_FORMAT, "has no such program", 2, 8, REASON_NOT_FOUND },
		{ CORE_SERVICE, "core", SLOTS_STATE_FORMAT, "tries must be 1 to 9", 0, 9, REASON_MALFORMED },
		{ CORE_SERVICE, "core", SLOTS_STATE_FORMAT, "tries must be 1 to 9", 10, 9, REASON_MALFORMED },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct release rel = { .name = rows[i].name,
			.class = rows[i].class,
			.format = rows[i].format,
			.tries = rows[i].tries,
			.n_programs = rows[i].n };
		uint64_t count = refuse_count(rows[i].reason);

		/* exec names a program that is in every tree but the smaller one */
		make(b, &rel);
		approve(b, &rel);
		assert_int_equal(start(b, &rel, 1), 0);
		for (unsigned n = 0; n < 200 && core_change_running(b->u->core); n++)
			bench_turn(b);
		assert_false(core_change_running(b->u->core));
		assert_string_equal(last(b, "outcome"), "rolled-back");
		assert_string_equal(last(b, "reason"), refuse_token(rows[i].reason));
		assert_non_null(strstr(last(b, "text"), rows[i].text));
		assert_int_equal(refuse_count(rows[i].reason), count + 1);
		assert_int_equal(slots_of(b).trial, SLOTS_NONE);
		assert_int_equal(switches(b), 0);
		buf_done(&rel.index);
	}
}

/* --- handing over --------------------------------------------------------------------------------------------- */
/* The old core's part: the release is staged and on trial, and the supervisor was asked to make room. */
static void
hand_over(struct bench *b, struct release *rel)
{
	struct slots s;

	make(b, rel);
	approve(b, rel);
	assert_int_equal(start(b, rel, 3), 0);
	for (unsigned n = 0; n < 200 && switches(b) == 0; n++)
		bench_turn(b);
	assert_int_equal(switches(b), 1);
	s = slots_of(b);
	assert_int_equal(s.trial, SLOTS_A);
	assert_int_equal(s.active, SLOTS_PACKAGED);
	assert_int_equal(s.tries, 2);
	assert_int_equal(s.trial_ms, 4000);
	assert_true(core_keeps(b->u->core, rel->hex));
	refused(update_begin(b->u, CHANGE_APPLY, "x",
			&(struct update_release){ .tree = &(struct tree_index){ .service = (char *)"redis" } }, 1, NULL),
		REASON_BUSY, "a change of the core is under way");
}

static void
the_owners_word_is_asked_for_again(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();

	make(b, &rel);
	approve(b, &rel);
	assert_int_equal(start(b, &rel, 3), 0);
	assert_int_equal(unlinkat(b->t->m->dir_fd, "core.json", 0), 0);
	for (unsigned n = 0; n < 200 && core_change_running(b->u->core); n++)
		bench_turn(b);
	assert_string_equal(last(b, "reason"), "not-approved");
	assert_int_equal(slots_of(b).trial, SLOTS_NONE);
	buf_done(&rel.index);
}

/* What a plan says of it: nothing, or that the site went back from it and why. */
static void
says_back(struct bench *b, const char *hex, const char *why)
{
	SCOPED_JSON *said = update_core_back(b->u, hex);

	assert_int_equal(update_went_back(b->u, CORE_SERVICE, hex), why != NULL);
	if (!why) {
		assert_string_equal(json_string_value(said), "");
		return;
	}
	assert_non_null(strstr(json_string_value(said), why));
	assert_non_null(strstr(json_string_value(said), "--again"));
}

static void
what_the_next_monitor_finds(void **state)
{
	static const struct {
		const char *what, *outcome, *reason, *text;
		enum slots_slot running;
		bool failed, good;
	} rows[] = {
		{ "the old core again, before the switch", "rolled-back", "interrupted", "the monitor ended", SLOTS_PACKAGED,
			false, false },
		{ "the old core, the new one having failed", "rolled-back", "state-moved", "it ended before", SLOTS_PACKAGED,
			true, false },
		{ "the new core, marked good", "good", "", "", SLOTS_A, false, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bench *b = *state;
		struct release rel = good_release();
		struct slots s;
		char leaf[64];

		hand_over(b, &rel);
		s = slots_of(b);
		if (rows[i].failed)
			assert_true(slots_give_up(&s, SLOTS_WHY_ENDED));
		if (rows[i].good)
			assert_true(now_good(&s));
		slots_put(b, &s);
		start_as(b, rows[i].running);
		assert_false(core_change_running(b->u->core));
		assert_string_equal(last(b, "outcome"), rows[i].outcome);
		assert_string_equal(last(b, "reason"), rows[i].reason);
		assert_non_null(strstr(last(b, "text"), rows[i].text));
		(void)snprintf(leaf, sizeof(leaf), "%s " CORE_SERVICE "%s%s", rows[i].good ? "activate" : "rollback",
			rows[i].good ? "" : " ", rows[i].reason);
		assert_string_equal(site_last_leaf(b->t), leaf);
		s = slots_of(b);
		assert_int_equal(s.trial, SLOTS_NONE);
		assert_int_equal(s.active, rows[i].running);
		assert_int_equal(faccessat(b->u->journal_fd, "core.json", F_OK, 0), -1);
		says_back(b, rel.hex, rows[i].good ? NULL : rows[i].text);
		buf_done(&rel.index);
		b->t->spawner->n_calls = 0;
		start_as(b, rows[i].running);
		assert_false(core_change_running(b->u->core)); /* once is enough */
	}
}

/* --- the trial ------------------------------------------------------------------------------------------------- */
static void
daemons(struct bench *b, bool ready)
{
	SCOPED(scope_free) struct roster *r = calloc(1, sizeof(*r));
	SCOPED(scope_close) int run = -1;
	SCOPED(scope_close) int dir = -1;

	r->n = 3;
	for (size_t i = 0; i < r->n; i++)
		r->entries[i] = (struct roster_entry){ .role = (enum roster_role)(ROSTER_MONITOR + i),
			.pid = getpid(),
			.start_time = 1,
			.ready = ready };
	assert_int_equal(fs_open_dir(&run, AT_FDCWD, b->t->paths.run, 0755), 0);
	assert_int_equal(fs_open_dir(&dir, run, "supervise", 0755), 0);
	assert_int_equal(roster_save(r, run), 0);
}

static int
connect_as(struct bench *b, enum call_role role)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	assert_int_equal(calls_attach(b->t->m, role, ends[1], "daemon"), 0);
	return ends[0];
}

static bool
turn_until_over(struct bench *b, unsigned ms)
{
	uint64_t until = clock_mono_us() + ms * CLOCK_US_PER_MS;

	while (core_change_running(b->u->core) && clock_mono_us() < until)
		bench_turn(b);
	return !core_change_running(b->u->core);
}

/* Everything but one thing is there: not good.  With it: good. */
static void
a_core_on_trial_proves_itself(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	int courier, collectd;

	hand_over(b, &rel);
	start_as(b, SLOTS_A);
	assert_true(core_change_running(b->u->core));
	assert_false(turn_until_over(b, 500)); /* no daemons */
	daemons(b, false);
	assert_false(turn_until_over(b, 500)); /* that are ready */
	daemons(b, true);
	assert_false(turn_until_over(b, 500)); /* nor connected */
	courier = connect_as(b, CALL_ROLE_COURIER);
	assert_false(turn_until_over(b, 500));
	assert_int_equal(slots_of(b).trial, SLOTS_A);
	collectd = connect_as(b, CALL_ROLE_COLLECT);
	assert_true(turn_until_over(b, 5000));
	assert_string_equal(last(b, "outcome"), "good");
	assert_int_equal(slots_of(b).active, SLOTS_A);
	assert_int_equal(slots_of(b).previous, SLOTS_PACKAGED);
	assert_string_equal(site_last_leaf(b->t), "activate " CORE_SERVICE);
	(void)close(courier);
	(void)close(collectd);
	buf_done(&rel.index);
}

/* A release that runs and that the new core cannot read: it gives itself up, and asks for the old one. */
static void
a_core_that_finds_itself_wrong_gives_way(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	char hex[65];

	memset(hex, 'a', 64);
	hex[64] = '\0';
	hand_over(b, &rel);
	bench_active(b, hex, 1);
	start_as(b, SLOTS_A);
	assert_int_equal(slots_of(b).trial, SLOTS_NONE);
	assert_int_equal(slots_of(b).failed, SLOTS_A);
	start_as(b, SLOTS_PACKAGED);
	assert_string_equal(last(b, "outcome"), "rolled-back");
	assert_non_null(strstr(last(b, "text"), "its definition cannot be read"));
	assert_string_equal(site_last_leaf(b->t), "rollback " CORE_SERVICE " not-found");
	buf_done(&rel.index);
}

static void
back_to_the_package_by_the_customers_word(void **state)
{
	struct bench *b = *state;
	struct slots_now moment;
	struct release rel = good_release();
	struct slots s;

	hand_over(b, &rel);
	s = slots_of(b);
	assert_true(now_good(&s));
	slots_put(b, &s);
	start_as(b, SLOTS_A);
	b->t->spawner->n_calls = 0;
	assert_int_equal(core_change_back(b->u->core), 0);
	for (unsigned n = 0; n < 200 && switches(b) == 0; n++)
		bench_turn(b);
	s = slots_of(b);
	assert_int_equal(s.trial, SLOTS_PACKAGED);
	assert_int_equal(s.active, SLOTS_A);
	says_back(b, rel.hex, NULL);
	begin_try(b);
	s = slots_of(b);
	assert_int_equal(slots_now(&moment), 0);
	assert_true(slots_good(&s, SLOTS_PACKAGED, SLOTS_STATE_FORMAT, &moment));
	slots_put(b, &s);
	start_as(b, SLOTS_PACKAGED);
	assert_string_equal(last(b, "outcome"), "good");
	assert_string_equal(last(b, "kind"), "rollback");
	says_back(b, rel.hex, "this site went back from it: ");
	approve(b, &rel);
	says_back(b, rel.hex, NULL);
	buf_done(&rel.index);
}

/* The package that is installed could not read what this core writes. */
static void
not_back_to_a_package_that_cannot_read_it(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	struct slots s, after;

	hand_over(b, &rel);
	s = slots_of(b);
	assert_true(now_good(&s));
	(void)snprintf(s.accepts, sizeof(s.accepts), "mainstay-0");
	slots_put(b, &s);
	start_as(b, SLOTS_A);
	b->t->spawner->n_calls = 0;
	s = slots_of(b);
	refused(core_change_back(b->u->core), REASON_CONFLICT,
		"takes over state of the form mainstay-0, not " SLOTS_STATE_FORMAT);
	after = slots_of(b);
	assert_memory_equal(&s, &after, sizeof(s));
	assert_int_equal(faccessat(b->u->journal_fd, "core.json", F_OK, 0), -1);
	assert_false(core_change_running(b->u->core));
	assert_int_equal(switches(b), 0);
	buf_done(&rel.index);
}

/* Good, but after its time, which nobody ended: it is not marked, and gives way. */
static void
one_that_is_good_too_late(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	uint64_t before;
	struct slots s;
	int courier, collectd;

	hand_over(b, &rel);
	start_as(b, SLOTS_A);
	s = slots_of(b);
	s.begun_ms -= 4000;
	slots_put(b, &s);
	before = refuse_count(REASON_STATE_MOVED);
	daemons(b, true);
	courier = connect_as(b, CALL_ROLE_COURIER);
	collectd = connect_as(b, CALL_ROLE_COLLECT);
	for (unsigned n = 0; n < 2000 && refuse_count(REASON_STATE_MOVED) == before; n++)
		bench_turn(b);
	assert_int_equal(refuse_count(REASON_STATE_MOVED), before + 1);
	assert_int_equal(slots_of(b).active, SLOTS_PACKAGED);
	(void)close(courier);
	(void)close(collectd);
	buf_done(&rel.index);
}

/* Whatever another core was found to be meanwhile: what is not on trial any more is not marked good. */
static void
one_that_is_not_on_trial_any_more(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	struct core_change c = { 0 };
	uint64_t before;
	struct slots s;
	int courier, collectd;

	hand_over(b, &rel);
	start_as(b, SLOTS_A);
	s = slots_of(b);
	assert_true(slots_give_up(&s, SLOTS_WHY_SILENT));
	slots_put(b, &s);
	before = refuse_count(REASON_STATE_MOVED);
	daemons(b, true);
	courier = connect_as(b, CALL_ROLE_COURIER);
	collectd = connect_as(b, CALL_ROLE_COLLECT);
	for (unsigned n = 0; n < 2000 && refuse_count(REASON_STATE_MOVED) == before; n++)
		bench_turn(b);
	assert_int_equal(refuse_count(REASON_STATE_MOVED), before + 1);
	assert_string_equal(refuse_last()->text, "its time is up, or it is not on trial any more");
	assert_int_equal(core_change_load(&c, b->u->journal_fd), 0);
	assert_int_equal(c.step, CORE_ROLLED_BACK);
	assert_int_equal(slots_of(b).active, SLOTS_PACKAGED);
	(void)close(courier);
	(void)close(collectd);
	buf_done(&rel.index);
}

/* Killed at any point of the journal, with the slots as they were or as they came to be: whoever starts next ends the
 * change, as what runs, and leaves no trial behind. */
static void
killed_at_every_point(void **state)
{
	enum { AS_BEFORE, ON_TRIAL, GOOD, GONE_BACK, STATES };
	struct bench *b = *state;
	struct release rel = good_release();
	struct slots trial;
	uint64_t changes = 0;

	hand_over(b, &rel);
	trial = slots_of(b);
	for (enum core_step step = CORE_STAGE; step < CORE_STEP_MAX; step++)
		for (int is = AS_BEFORE; is < STATES; is++) {
			struct core_change c = { .step = step, .counter = 3 };
			struct slots s = trial;
			bool ours = is == GOOD;

			/* What the steps cannot leave behind. */
			if ((is != AS_BEFORE && step < CORE_SLOT) || (is == AS_BEFORE && step > CORE_SLOT) ||
				(is != GOOD && step >= CORE_COMMIT && step != CORE_ROLLED_BACK) ||
				(is == GOOD && step == CORE_ROLLED_BACK))
				continue;
			c.started_us = ++changes * CLOCK_US_PER_MS;
			(void)snprintf(c.to, sizeof(c.to), "%s", rel.hex);
			(void)snprintf(c.to_version, sizeof(c.to_version), "2");
			c.reason = step == CORE_ROLLED_BACK ? REASON_CONFLICT : REASON_NONE;
			b->t->spawner->n_calls = 0;
			if (is == AS_BEFORE || is == GONE_BACK)
				(void)slots_give_up(&s, SLOTS_WHY_CUT);
			if (is == AS_BEFORE)
				s.failed = SLOTS_NONE;
			if (is == GOOD)
				assert_true(now_good(&s));
			s.generation = 0;
			{
				SCOPED(scope_close) int fd = -1;

				assert_int_equal(slots_open(&fd, &b->t->paths), 0);
				(void)unlinkat(fd, "slots.0", 0);
				(void)unlinkat(fd, "slots.1", 0);
				assert_int_equal(slots_save(&s, fd), 0);
			}
			{
				SCOPED(scope_close) int fd = -1;
				char path[512];

				(void)snprintf(path, sizeof(path), "%s/monitor/journal", b->t->paths.lib);
				assert_int_equal(fs_open_dir(&fd, AT_FDCWD, path, 0700), 0);
				assert_int_equal(core_change_save(&c, fd), 0);
			}
			start_as(b, ours ? SLOTS_A : SLOTS_PACKAGED);
			assert_false(core_change_running(b->u->core));
			assert_int_equal(slots_of(b).trial, SLOTS_NONE);
			assert_int_equal(slots_of(b).active, ours ? SLOTS_A : SLOTS_PACKAGED);
			assert_string_equal(last(b, "outcome"), ours ? "good" : "rolled-back");
			assert_int_equal(faccessat(b->u->journal_fd, "core.json", F_OK, 0), -1);
			assert_int_equal(json_array_size(b->u->history), changes); /* each told once */
		}
	buf_done(&rel.index);
}

/* --- what is assigned ------------------------------------------------------------------------------------------- */
/* What a director, or who has its key, may try with the core. */
static void
what_an_assignment_cannot_do(void **state)
{
	static const struct {
		const char *member, *value, *text;
		uint64_t counter;
		enum reason reason;
		bool approved;
	} rows[] = {
		{ "class", "core", "needs its owners' signature", 7, REASON_NOT_APPROVED, false },
		{ "class", "service", "it is of a service, and assigned for the core", 7, REASON_ALTERED, true },
		{ "platform", "vms-vax", "it is for platform", 7, REASON_WRONG_ADDRESSEE, true },
		{ "class", "core", "its counter 6 is below 7, which runs", 6, REASON_ROLLBACK, true },
		{ "class", "core", NULL, 7, REASON_NONE, true },
	};
	struct bench *b = *state;
	struct bench_release r = { 0 };
	struct assignment_release a = { .service = CORE_SERVICE };
	struct slots s = slots_of(b);

	s.tree[0] = (struct slots_tree){ .present = true, .counter = 7, .version = "1", .digest = { 9 } };
	s.active = SLOTS_A;
	slots_put(b, &s);
	start_as(b, SLOTS_A);
	bench_release(b, &r, CORE_SERVICE, "7", CORE_SERVICE);
	(void)snprintf(a.target, sizeof(a.target), "%s", r.target);
	assert_true(hex_decode(a.sha256, sizeof(a.sha256), r.hex));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *custom = bench_custom(rows[i].counter);
		struct update_release rel;
		uint64_t before;
		int got;

		json_object_set_new(custom, "class", json_string("core"));
		json_object_set_new(custom, rows[i].member, json_string(rows[i].value));
		if (rows[i].approved)
			assert_int_equal(core_approved_add(b->t->m->dir_fd, a.sha256), 0);
		bench_publish(b, &r, custom);
		before = refuse_count(rows[i].reason);
		got = update_release_load(b->u, &a, &rel);
		assert_int_equal(got, rows[i].reason);
		if (got == 0) {
			update_release_done(&rel);
			continue;
		}
		assert_int_equal(refuse_count(rows[i].reason), before + 1);
		assert_non_null(strstr(refuse_last()->text, rows[i].text));
	}
	bench_release_done(&r);
}

/* A supervisor that says yes and does nothing: nothing has changed, and no trial is left for the next start. */
static void
a_supervisor_that_does_not_make_room(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	uint64_t before = refuse_count(REASON_UNREACHABLE);

	make(b, &rel);
	approve(b, &rel);
	b->u->core->switch_ms = 50;
	assert_int_equal(start(b, &rel, 3), 0);
	assert_true(turn_until_over(b, 5000));
	assert_int_equal(refuse_count(REASON_UNREACHABLE), before + 1);
	assert_string_equal(last(b, "outcome"), "rolled-back");
	assert_string_equal(last(b, "reason"), "unreachable");
	assert_int_equal(slots_of(b).trial, SLOTS_NONE);
	assert_int_equal(slots_of(b).active, SLOTS_PACKAGED);
	buf_done(&rel.index);
}

/* The core never changes in one step with services. */
static void
never_beside_services(void **state)
{
	struct bench *b = *state;
	struct release rel = good_release();
	struct change_run *none = b->u->run;

	make(b, &rel);
	approve(b, &rel);
	b->u->run = (struct change_run *)b;
	refused(update_core_rollback(b->u, NULL), REASON_BUSY, "a change of services is under way");
	refused(update_core_apply(b->u, NULL, &(struct update_release){ .tree = &(struct tree_index){ .version = (char *)"2" } }), REASON_BUSY,
		"a change of services is under way");
	b->u->run = none;
	assert_false(core_change_running(b->u->core));
	assert_int_equal(slots_of(b).trial, SLOTS_NONE);
	buf_done(&rel.index);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_set_up, bench_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_may_begin),
		TEST(what_check_refuses),
		TEST(the_owners_word_is_asked_for_again),
		TEST(what_the_next_monitor_finds),
		TEST(a_core_on_trial_proves_itself),
		TEST(a_core_that_finds_itself_wrong_gives_way),
		TEST(back_to_the_package_by_the_customers_word),
		TEST(not_back_to_a_package_that_cannot_read_it),
		TEST(one_that_is_good_too_late),
		TEST(one_that_is_not_on_trial_any_more),
		TEST(killed_at_every_point),
		TEST(what_an_assignment_cannot_do),
		TEST(a_supervisor_that_does_not_make_room),
		TEST(never_beside_services),
	};

	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
