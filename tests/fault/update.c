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

#include "updater/activate/core_change.h"

struct work {
	struct world w;
	struct bench_release releases[WORLD_RELEASES + 1], cores[WORLD_CORES + 1]; /* from 1 */
	uint64_t counter; /* of the last assignment */
	FILE *notes;
	const char *blocks;
};

static void
note_down(struct work *k, const char *step, const char *via)
{
	struct world_point p;
	struct stat st;

	need(world_settle(&k->w, 30), "before %s a change does not end", step);
	world_point(&k->w, &p);
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
	need(json_array_size(json_object_get(missing, "missing")) == 0,
		"not all of release %u was brought", n);
}

static void
expect(struct work *k, const char *release, const char *core)
{
	struct world_point p;

	need(world_settle(&k->w, 30), "a change does not end");
	world_point(&k->w, &p);
	need(strcmp(p.release, release) == 0, "the work itself: release %s, not %s", p.release,
		release);
	need(strcmp(p.core, core) == 0, "the work itself: core %s, not %s", p.core, core);
}

/* --- steps ---------------------------------------------------------------------------------------------------------- */
static void
install(struct work *k)
{
	struct site_answer a;

	bench_begin(&k->w.b, "service.install", "redis", &a);
	publish(k, 1);
	need(bench_end(&k->w.b, &a, 30) == 0, "install");
}

static void
update(struct work *k, unsigned n, int r)
{
	publish(k, n);
	need(world_settle(&k->w, 30), "staging");
	need(world_call(&k->w, "update.apply", NULL) == r, "update to release %u", n);
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
	need(world_call(&k->w, "service.remove", json_pack("{s:s}", "service", "redis")) == 0,
		"removal");
}

/* What it is called, what it does, the release and the core that there are then (0: none, the packaged one), and the
 * release that may be seen on the way. */
static const struct {
	const char *name;
	void (*fn)(struct work *k);
	unsigned release, core, via;
} steps[] = {
	{ "install", install, 1, 0, 0 },
	{ "update", update_good, 2, 0, 0 },
	{ "update-that-fails", update_sick, 2, 0, 3 },
	{ "rollback", roll_back, 1, 0, 0 },
	{ "update-again", update_again, 4, 0, 0 },
	{ "core", core_good, 4, 1, 0 },
	{ "core-that-fails", core_broken, 4, 1, 0 },
	{ "core-back", core_back, 4, 0, 0 },
	{ "remove", uninstall, 0, 0, 0 },
};

static int
work(struct work *k, const char *notes, unsigned long n)
{
	world_enrol(&k->w);
	for (unsigned i = 1; i <= WORLD_RELEASES; i++)
		world_release(&k->w, i, &k->releases[i]);
	for (unsigned i = 1; i <= WORLD_CORES; i++)
		world_core(&k->w, i, &k->cores[i]);
	memcpy(k->w.sick, k->releases[3].hex, sizeof(k->w.sick));
	memcpy(k->w.broken, k->cores[2].hex, sizeof(k->w.broken));
	sync();
	k->notes = fopen(notes, "we");
	need(k->notes != NULL, "%s", notes);
	fprintf(k->notes, "broken %s %s\n", k->w.sick, k->w.broken);
	for (size_t i = 0; i < ARRAY_LEN(steps) && i < n; i++) {
		note_down(k, steps[i].name, steps[i].via ? k->releases[steps[i].via].hex : "-");
		steps[i].fn(k);
		expect(k, steps[i].release ? k->releases[steps[i].release].hex : "-",
			steps[i].core ? k->cores[steps[i].core].hex : "packaged");
	}
	note_down(k, "end", "-");
	printf("%zu steps, %llu leaves\n", ARRAY_LEN(steps) < n ? ARRAY_LEN(steps) : (size_t)n,
		(unsigned long long)audit_size(k->w.t.m->audit));
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
