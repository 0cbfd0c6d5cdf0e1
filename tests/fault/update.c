/* The work that is cut, and what must hold after the cut: releases that come and go, and cores that are switched.
 *
 *	update work STATE SEED NOTES STEPS BLOCKS	install, update, update to what does not run, go back, update, switch
 *							cores to one that runs, to one that does not, back, and remove;
 *							before each (STEPS of them at most) note in NOTES what holds, and how
 *							long BLOCKS, the record of the disk, was
 *	update check STATE SEED NOTES CUT		STATE is what a cut after CUT bytes of BLOCKS left: look at it, do what
 *							the monitor does at its start, and look again
 *
 * update_check.c says what must hold. */
#include "tests/fault/update_check.h"

#include <inttypes.h>
#include <limits.h>
#include <unwind.h>

#include "tests/fault/trouble.h"
#include "updater/activate/core_change.h"

struct work {
	struct world w;
	struct bench_release releases[WORLD_RELEASES + 1], cores[WORLD_CORES + 1]; /* from 1 */
	uint64_t counter; /* of the last assignment */
	unsigned tries;	  /* of this step, before this one */
	bool stranded;	  /* nobody here can bring what the step wants */
	FILE *notes;
	const char *blocks;
};

/* Where it stands, without meeting any trouble. */
static void
look(struct work *k, struct world_point *ret)
{
	trouble_spare(true);
	world_point(&k->w, ret);
	trouble_spare(false);
}

static void
note_down(struct work *k, const char *step, const char *via)
{
	struct world_point p;
	struct stat st;

	need(world_settle(&k->w, 30), "before %s a change does not end", step);
	look(k, &p);
	need(stat(k->blocks, &st) == 0, "%s", k->blocks);
	fprintf(k->notes, "%lld %s %s %s %llu %llu %u %llu %s\n", (long long)st.st_size, p.release,
		via, p.core, p.generation, p.leaves, p.wanted, p.rows, step);
	need(fflush(k->notes) == 0, "notes");
}

static void
publish(struct work *k, unsigned n)
{
	SCOPED_JSON *missing = NULL;
	struct bench_release *r = &k->releases[n];

	/* What nothing named until now was swept out of incoming/. */
	bench_release_done(r);
	world_release(&k->w, n, r);
	bench_publish(&k->w.b, r, bench_custom(n));
	need(bench_assign(&k->w.b, ++k->counter, r->target, r->hex) == 0, "assignment");
	need(bench_call(&k->w.b, CALL_ROLE_COURIER, "update.objects", NULL, NULL, 0, &missing) == 0,
		"objects");
	/* What a patch is made from may be gone after trouble: a courier would bring the whole, and there is none here. */
	k->stranded = trouble_met() && json_array_size(json_object_get(missing, "missing")) > 0;
	need(json_array_size(json_object_get(missing, "missing")) == 0,
		"not all of release %u was brought", n);
}


/* --- steps ---------------------------------------------------------------------------------------------------------- */
static void
install(struct work *k)
{
	static struct site_answer answers[3]; /* one may come when nobody waits for it any more */
	struct site_answer *a = &answers[k->tries];

	bench_begin(&k->w.b, "service.install", "redis", a);
	publish(k, 1);
	need(bench_end(&k->w.b, a, 30) == 0, "install");
}

static void
update(struct work *k, unsigned n, int r)
{
	publish(k, n);
	need(world_settle(&k->w, 30), "staging");
	/* The site may have gone back from it, for what failed was no fault of the release. */
	need(world_call(&k->w, "update.apply", k->tries ? json_pack("{s:s}", "again", "yes") : NULL) == r,
		"update to release %u", n);
}

static void
update_good(struct work *k)
{
	update(k, 2, 0);
}

static void
update_sick(struct work *k)
{
	update(k, 3, REASON_STATE_MOVED);
}

static void
roll_back(struct work *k)
{
	need(world_call(&k->w, "update.rollback", json_pack("{s:s}", "service", "redis")) == 0,
		"rollback");
}

static void
update_again(struct work *k)
{
	update(k, 4, 0);
}

static void
switch_core(struct work *k, unsigned n)
{
	struct bench_release *c = &k->cores[n];

	bench_release_done(c);
	world_core(&k->w, n, c);
	need(core_change_start(k->w.b.u->core,
		     &(struct core_release){ .index = c->index.data,
			     .len = c->index.len,
			     .hex = c->hex,
			     .version = n == 1 ? "1" : "2",
			     .counter = n }) == 0,
		"core %u", n);
	need(world_settle(&k->w, 60), "the change of the core does not end");
}

static void
core_good(struct work *k)
{
	switch_core(k, 1);
}

static void
core_broken(struct work *k)
{
	switch_core(k, 2);
}

static void
core_back(struct work *k)
{
	need(core_change_back(k->w.b.u->core) == 0, "back to the core before");
	need(world_settle(&k->w, 60), "the change of the core does not end");
}

static void
uninstall(struct work *k)
{
	need(world_remove(&k->w) == 0, "removal");
}

/* What it is called, what it does, the release and the core that there are then (0: none, the packaged one), and the
 * release that may be seen on the way. */
static const struct {
	const char *name;
	void (*fn)(struct work *k);
	unsigned release, core, via;
	bool is_told; /* a verb says that it is done: then it must be */
} steps[] = {
	{ "install", install, 1, 0, 0, true },
	{ "update", update_good, 2, 0, 0, true },
	{ "update-that-fails", update_sick, 2, 0, 3, false },
	{ "rollback", roll_back, 1, 0, 0, true },
	{ "update-again", update_again, 4, 0, 0, true },
	{ "core", core_good, 4, 1, 0, false },
	{ "core-that-fails", core_broken, 4, 1, 0, false },
	{ "core-back", core_back, 4, 0, 0, false },
	{ "remove", uninstall, 0, 0, 0, true },
};

/* What there is after step i. */
static void
after(const struct work *k, size_t i, struct world_point *ret)
{
	*ret = (struct world_point){ .release = "-", .core = "packaged" };
	if (steps[i].release)
		memcpy(ret->release, k->releases[steps[i].release].hex, sizeof(ret->release));
	if (steps[i].core)
		memcpy(ret->core, k->cores[steps[i].core].hex, sizeof(ret->core));
}

static bool
is_there(struct work *k, size_t i)
{
	struct world_point now, then;

	look(k, &now);
	after(k, i, &then);
	/* What was cut off while it was taken away is named by cluster.yaml until it is asked for again. */
	return strcmp(now.release, then.release) == 0 && strcmp(now.core, then.core) == 0 && now.wanted == (steps[i].release > 0);
}

static void
expect(struct work *k, size_t i)
{
	struct world_point now, then;

	need(world_settle(&k->w, 30), "a change does not end");
	look(k, &now);
	after(k, i, &then);
	need(strcmp(now.release, then.release) == 0, "the work itself: release %s, not %s", now.release, then.release);
	need(strcmp(now.core, then.core) == 0, "the work itself: core %s, not %s", now.core, then.core);
}

/* --- trouble ---------------------------------------------------------------------------------------------------------- */
static struct {
	struct world *w;
	jmp_buf out;
	uintptr_t frame; /* of who goes on then */
} way_out;

static _Unwind_Reason_Code
on_frame(int version, _Unwind_Action actions, _Unwind_Exception_Class class, struct _Unwind_Exception *e,
	struct _Unwind_Context *context, void *arg)
{
	(void)version, (void)actions, (void)class, (void)e, (void)arg;
	if (_Unwind_GetCFA(context) > way_out.frame)
		longjmp(way_out.out, 1);
	return _URC_NO_REASON;
}

/* Each frame on the way lets go of what it owns, as where it returns: what is left then, is lost by whom is tried here. */
static void
leave(void)
{
	static struct _Unwind_Exception e;

	if (!trouble_met())
		return;
	need_leave = NULL;
	/* Whose answer did not come in time has its place in a frame that is gone then. */
	if (way_out.w->b.waiting)
		world_stop(way_out.w);
	e = (struct _Unwind_Exception){ 0 };
	(void)_Unwind_ForcedUnwind(&e, on_frame, NULL);
	abort();
}

/* Takes the place of cmocka's: what bench.h asks for may not be had where a call was made to fail. */
void
_fail(const char *const file, const int line)
{
	need(false, "%s:%d", file, line);
	abort();
}

/* Do step i; where a verb fails once more, and then once more after a restart.  What a verb called done must be so.  false
 * where the trouble lasts. */
static bool
do_step(struct work *k, size_t i)
{
	for (k->tries = 0; k->tries < 3; k->tries++) {
		way_out.w = &k->w;
		way_out.frame = (uintptr_t)__builtin_frame_address(0);
		if (setjmp(way_out.out) != 0)
			continue;
		need_leave = trouble_expected() ? leave : NULL;
		if (k->tries == 2 || !k->w.b.u)
			world_boot(&k->w);
		need(k->tries == 0 || world_settle(&k->w, trouble_lasts() ? 5 : 30), "a change does not end");
		if (k->tries == 0 || !is_there(k, i))
			steps[i].fn(k);
		if (steps[i].is_told)
			need_leave = NULL;
		expect(k, i);
		need_leave = NULL;
		return true;
	}
	need(trouble_lasts() || k->stranded, "%s does not recover", steps[i].name);
	return false;
}

/* It gave up: what is there is as before step i, or as after it. */
static void
note_end(struct work *k, size_t i)
{
	struct world_point then;

	after(k, i, &then);
	fprintf(k->notes, "%lld %s - %s 0 0 %u %d gave-up\n", LLONG_MAX, then.release, then.core, steps[i].release > 0, 99);
}

static int
work(struct work *k, const char *notes, unsigned long n)
{
	size_t i;

	trouble_spare(true);
	world_enrol(&k->w);
	for (unsigned j = 1; j <= WORLD_RELEASES; j++)
		world_release(&k->w, j, &k->releases[j]);
	for (unsigned j = 1; j <= WORLD_CORES; j++)
		world_core(&k->w, j, &k->cores[j]);
	memcpy(k->w.sick, k->releases[3].hex, sizeof(k->w.sick));
	memcpy(k->w.broken, k->cores[2].hex, sizeof(k->w.broken));
	sync();
	trouble_spare(false);
	k->notes = fopen(notes, "we");
	need(k->notes != NULL, "%s", notes);
	fprintf(k->notes, "broken %s %s\n", k->w.sick, k->w.broken);
	for (i = 0; i < ARRAY_LEN(steps) && i < n; i++) {
		note_down(k, steps[i].name, steps[i].via ? k->releases[steps[i].via].hex : "-");
		if (!do_step(k, i)) {
			note_end(k, i);
			break;
		}
	}
	if (i == ARRAY_LEN(steps) || i == n)
		note_down(k, "end", "-");
	if (trouble_expected() && i > 0 && (i == ARRAY_LEN(steps) || i == n))
		note_end(k, i - 1);
	printf("%zu steps\n", i);
	return fclose(k->notes) ? 4 : 0;
}

int
main(int argc, char **argv)
{
	char run[256];
	struct work k = { .blocks = argc == 7 ? argv[6] : NULL };
	int r = 2;

	log_open("update", LOG_LEVEL_INFO);
	if (argc < 6 || (strcmp(argv[1], "work") != 0 && strcmp(argv[1], "check") != 0)) {
		fprintf(stderr,
			"usage: update work STATE SEED NOTES STEPS BLOCKS | update check STATE "
			"SEED NOTES CUT\n");
		return r;
	}
	/* Where whoever called us sweeps: we may be killed. */
	(void)snprintf(run, sizeof(run), "%s/run.XXXXXX", getenv("TMPDIR") ?: "/tmp");
	need(mkdtemp(run) != NULL, "run");
	world_open(&k.w, argv[2], run);
	if (argc == 7)
		r = work(&k, argv[4], strtoul(argv[5], NULL, 10));
	else
		r = update_check(&k.w, argv[4], strtoll(argv[5], NULL, 10));
	world_close(&k.w);
	for (size_t i = 1; i <= WORLD_RELEASES; i++)
		bench_release_done(&k.releases[i]);
	for (size_t i = 1; i <= WORLD_CORES; i++)
		bench_release_done(&k.cores[i]);
	(void)fs_remove_tree(AT_FDCWD, run);
	return r;
}
