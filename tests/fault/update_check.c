#include "tests/fault/update_check.h"

#include "appliance/audit/audit.h"
#include "appliance/service/accepted.h"
#include "appliance/service/cluster.h"
#include "tests/fakes/tree_folder.h"
#include "updater/activate/core_room.h"

enum { SETTLE_S = 60, HEX = 64 };

struct check {
	struct world *w;
	struct world_point was, next; /* the last point before the cut, and the first after it */
	int lib, store;
};

/* --- the notes ------------------------------------------------------------------------------------------------------ */
static bool
read_point(FILE *f, struct world_point *p)
{
	return fscanf(f, "%lld %64s %64s %64s %llu %llu %u %llu %31s", &p->at, p->release, p->via,
		       p->core, &p->generation, &p->leaves, &p->wanted, &p->rows, p->step) == 9;
}

static void
read_notes(struct check *c, const char *path, long long cut)
{
	FILE *f = fopen(path, "re");

	need(f && fscanf(f, "broken %64s %64s", c->w->sick, c->w->broken) == 2 &&
			read_point(f, &c->was),
		"notes");
	need(c->was.at <= cut, "the cut is before the work");
	for (c->next = c->was; read_point(f, &c->next) && c->next.at <= cut;)
		c->was = c->next;
	(void)fclose(f);
}

/* --- trees ----------------------------------------------------------------------------------------------------------- */
/* A tree that has its name is whole, as are its index and its definition. */
static void
check_tree(const struct check *c, const char *hex, const char *whose)
{
	SCOPED(buf_done)
	struct buf index = BUF_MAX(TREE_INDEX_BYTES_MAX),
		   text = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(scope_close) int dir = openat(c->store, hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[128], is[HEX + 1];
	uint8_t digest[32];

	need(dir >= 0, "%s: its tree %s is not there", whose, hex);
	(void)snprintf(name, sizeof(name), "%s.json", hex);
	need(fs_read(c->store, name, TREE_INDEX_BYTES_MAX, &index) == 0, "%s: no index of tree %s",
		whose, hex);
	sha256_of(digest, index.data, index.len);
	need(strcmp(hex_encode(is, digest, sizeof(digest)), hex) == 0,
		"%s: index of tree %s is another", whose, hex);
	need(tree_index_read(&x, index.data, index.len) == 0, "%s: index of tree %s", whose, hex);
	need(tree_folder_is(x, dir) == 0, "%s: tree %s is not whole", whose, hex);
	(void)snprintf(name, sizeof(name), "%s.definition.json", hex);
	need(fs_read(c->store, name, DEFINITION_BYTES_MAX, &text) == 0,
		"%s: no definition of tree %s", whose, hex);
	sha256_of(digest, text.data, text.len);
	need(memcmp(digest, x->definition, sizeof(digest)) == 0 &&
			definition_read(&d, text.data, text.len) == 0,
		"%s: definition of tree %s is another", whose, hex);
}

static bool
is_assigned(const struct check *c, const char *hex)
{
	const struct update *u = c->w->b.u;
	char text[HEX + 1];

	for (size_t i = 0; u && u->has_assignment && i < u->assignment.n; i++)
		if (strcmp(hex_encode(text, u->assignment.releases[i].sha256, 32), hex) == 0)
			return true;
	return false;
}

/* rest: nothing is under way; then what staging left is there only where it is staged once more. */
static void
check_store(const struct check *c, bool rest)
{
	static const char passing[] = ".stage-";
	DIR *dir = fdopendir(openat(c->store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *e;

	need(dir != NULL, "store");
	while ((e = readdir(dir))) {
		if (strlen(e->d_name) == HEX && strspn(e->d_name, "0123456789abcdef") == HEX)
			check_tree(c, e->d_name, "store");
		else if (rest && strncmp(e->d_name, passing, strlen(passing)) == 0)
			need(is_assigned(c, e->d_name + strlen(passing)), "store: %s is left",
				e->d_name);
	}
	(void)closedir(dir);
}

/* --- as it was found -------------------------------------------------------------------------------------------------- */
/* Of both copies of the slots one is good, and no older than what was promised. */
static void
check_slots(const struct check *c)
{
	static const char *const names[] = { "slots.0", "slots.1" };
	SCOPED(scope_close) int core = openat(c->lib, "core", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned there = 0, good = 0;
	struct slots s;

	for (size_t i = 0; core >= 0 && i < ARRAY_LEN(names); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(SLOTS_BYTES_MAX);
		int r = fs_read(core, names[i], SLOTS_BYTES_MAX, &b);

		there += r != REASON_NOT_FOUND;
		good += r == 0 && slots_parse(&s, b.data, b.len) == 0;
	}
	need(good == there, "slots: %u of %u copies are good", good, there);
	world_slots(c->w, &s);
	need(s.generation >= c->was.generation, "slots: generation %llu after %llu",
		(unsigned long long)s.generation, c->was.generation);
	for (enum slots_slot slot = SLOTS_A; slot <= SLOTS_B; slot++) {
		char hex[HEX + 1];

		if (slots_tree(&s, slot))
			check_tree(c, hex_encode(hex, slots_tree(&s, slot)->digest, 32),
				slots_text(slot));
	}
}

static bool
is_named(const struct check *c, const char *hex, bool rest)
{
	return strcmp(hex, c->was.release) == 0 || strcmp(hex, c->next.release) == 0 ||
		(!rest && strcmp(hex, c->was.via) == 0);
}

/* cluster.lock names the old release or the new one, whole; cluster.yaml is one, and has what the lock has. */
static void
check_cluster(const struct check *c, bool rest)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1 << 16);
	struct cluster *cluster = NULL;
	SCOPED(scope_close) int etc = open(c->w->t.paths.etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct lock_entry *e;
	struct lock lock;
	bool wanted;
	int r;

	need(lock_read(&lock, &c->w->t.paths) == 0, "cluster.lock");
	e = lock_find(&lock, "redis");
	need(is_named(c, e ? e->release : "-", rest), "cluster.lock names %s, not %s or %s",
		e ? e->release : "none", c->was.release, c->next.release);
	if (e)
		check_tree(c, e->release, "cluster.lock");
	r = etc < 0 ? REASON_NOT_FOUND : fs_read(etc, "cluster.yaml", 1 << 16, &text);
	need(r == 0 || r == REASON_NOT_FOUND, "cluster.yaml");
	/* An empty one can be read, too; but nobody wrote that. */
	need(r != 0 || (text.len > 0 && buf_text(&text)[text.len - 1] == '\n'), "cluster.yaml is cut off");
	need(cluster_read(&cluster, buf_text(&text), text.len, "cluster.yaml") == 0,
		"cluster.yaml");
	wanted = cluster_find(cluster, "redis") != NULL;
	need(!e || wanted, "cluster.yaml does not name what runs");
	need(wanted == c->was.wanted || wanted == c->next.wanted, "cluster.yaml %s the service",
		wanted ? "names" : "does not name");
	if (rest && !wanted) {
		SCOPED(accepted_freep) struct accepted *a = NULL;

		need(accepted_load(&a, monitor_dir(c->w->t.m)) == 0, "accepted.json");
		need(!accepted_knows(a, "redis"),
			"what was accepted of a service that was removed is kept");
	}
	cluster_free(cluster);
}

static void
check_journals(const struct check *c)
{
	SCOPED(scope_close)
	int fd = openat(c->lib, "monitor/journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct core_change core;
	struct change change;
	int r;

	need(fd >= 0, "journal");
	r = change_load(&change, fd);
	need(r == 0 || r == REASON_NOT_FOUND, "journal of the change");
	r = core_change_load(&core, fd);
	need(r == 0 || r == REASON_NOT_FOUND, "journal of the core's change");
}

/* --- after the monitor's start ------------------------------------------------------------------------------------------ */
/* Is there a row that says that this release went in? */
static bool
went_in(const struct update *u, const char *service, const char *hex)
{
	const json_t *row;
	size_t i;

	json_array_foreach(u->history, i, row)
		if (strcmp(json_text(row, "service"), service) == 0 &&
			strcmp(json_text(row, "to"), hex) == 0 &&
			strcmp(json_text(row, "outcome"), "good") == 0)
			return true;
	return false;
}

/* No change is forgotten, and none is told twice. */
static void
check_history(const struct check *c, const struct world_point *now)
{
	const struct update *u = c->w->b.u;
	const char *before;

	need(now->rows >= c->was.rows && now->rows <= c->next.rows,
		"history: %llu changes, not %llu to %llu", now->rows, c->was.rows, c->next.rows);
	need(strcmp(u->state, "activating") != 0, "update status says activating, and nothing is");
	if (strcmp(now->core, "packaged") != 0)
		need(went_in(u, CORE_SERVICE, now->core),
			"history does not know the core that runs");
	if (strcmp(now->release, "-") == 0)
		return;
	need(went_in(u, "redis", now->release), "history does not know the release that runs");
	before = update_before(u, "redis", now->release);
	if (before)
		check_tree(c, before, "what rollback goes back to");
}

static void
check_accepted(const struct check *c)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;

	need(accepted_load(&a, monitor_dir(c->w->t.m)) == 0, "accepted.json");
	need(accepted_knows(a, "redis"), "nothing of what runs is accepted");
}

static void
check_end(const struct check *c)
{
	struct world_point now;
	struct slots s;
	struct stat st;

	world_point(c->w, &now);
	need(fstatat(c->w->b.u->journal_fd, "change.json", &st, 0) < 0, "the journal is left");
	need(fstatat(c->w->b.u->journal_fd, "core.json", &st, 0) < 0, "the core's journal is left");
	check_cluster(c, true);
	check_store(c, true);
	check_slots(c);
	world_slots(c->w, &s);
	need(s.trial == SLOTS_NONE, "a core is on trial still");
	need(strcmp(now.core, c->was.core) == 0 || strcmp(now.core, c->next.core) == 0,
		"core %s, not %s or %s", now.core, c->was.core, c->next.core);
	need(now.leaves >= c->was.leaves, "%llu leaves after %llu", now.leaves, c->was.leaves);
	check_history(c, &now);
	if (strcmp(now.release, "-") != 0)
		check_accepted(c);
}

/* It goes on from there: a plan is made, and what runs can be taken away. */
static void
check_goes_on(const struct check *c)
{
	struct world_point now;
	struct services_state state;

	need(world_call(c->w, "update.plan", NULL) == 0, "plan after the cut");
	need(!services_find(c->w->t.m, "redis", &state) || world_remove(c->w) == 0, "removal after the cut");
	need(world_settle(c->w, SETTLE_S), "rest after the removal");
	world_point(c->w, &now);
	need(strcmp(now.release, "-") == 0, "what was removed is there");
	check_store(c, true);
}

int
update_check(struct world *w, const char *notes, long long cut)
{
	struct check c = { .w = w };

	read_notes(&c, notes, cut);
	c.lib = open(w->t.paths.lib, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(c.lib >= 0, "lib");
	c.store = openat(c.lib, "store", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(c.store >= 0, "store");
	check_store(&c, false);
	check_slots(&c);
	check_cluster(&c, false);
	check_journals(&c);
	world_boot(w);
	need(world_settle(w, SETTLE_S), "the change does not end");
	/* The courier comes, and asks what is missing. */
	(void)bench_call(&w->b, CALL_ROLE_COURIER, "update.objects", NULL, NULL, 0, NULL);
	need(world_settle(w, SETTLE_S), "staging does not end");
	check_end(&c);
	check_goes_on(&c);
	close(c.store);
	close(c.lib);
	return 0;
}
