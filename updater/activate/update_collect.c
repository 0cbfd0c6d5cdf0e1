/* Trees of the store that nothing names any more. */
#include "updater/activate/update.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/lock.h"
#include "updater/activate/hook.h"
#include "updater/activate/worker.h"

#define PASSING ".stage-" /* stage.h */

enum { AGAIN_S = 5 };

const json_t *
update_brought(const struct update *u, const char *service, const char *release)
{
	const json_t *row, *last = NULL;
	size_t i;

	json_array_foreach (u->history, i, row)
		if (strcmp(json_text(row, "service"), service) == 0 && strcmp(json_text(row, "to"), release) == 0 &&
			strcmp(json_text(row, "outcome"), change_step_text(CHANGE_GOOD)) == 0)
			last = row;
	return last;
}

const char *
update_before(const struct update *u, const char *service, const char *release)
{
	const json_t *row = update_brought(u, service, release);

	return row && json_text(row, "from")[0] ? json_text(row, "from") : NULL;
}

static bool
is_assigned(const struct update *u, const char *hex)
{
	char text[65];

	for (size_t i = 0; u->has_assignment && i < u->assignment.n; i++)
		if (strcmp(hex_encode(text, u->assignment.releases[i].sha256, 32), hex) == 0)
			return true;
	return false;
}

/* What runs, what `update rollback` goes back to, and what is there to be applied. */
static bool
is_named(const struct update *u, const struct lock *lock, const char *hex)
{
	for (size_t i = 0; i < lock->n; i++) {
		const struct lock_entry *e = &lock->entries[i];
		const char *before = update_before(u, e->service, e->release);

		if (strcmp(e->release, hex) == 0 || (before && strcmp(before, hex) == 0))
			return true;
	}
	return is_assigned(u, hex) || core_keeps(u->core, hex);
}

/* The first tree that nothing names; false: there is none. */
static bool
find_unnamed(const struct update *u, const struct lock *lock, char out[65])
{
	int fd = openat(u->store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool found = false;

	if (!dir) {
		log_fault(FAULT(-errno), "looking for trees that nothing names");
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	while (!found && (e = readdir(dir))) {
		/* The tree, or what a removal or a staging that was cut off has left of it. */
		const char *name = e->d_name + (strncmp(e->d_name, PASSING, strlen(PASSING)) == 0 ? strlen(PASSING) : 0);
		size_t len = strspn(name, "0123456789abcdef");

		if (len != 64 || (name[64] && name[64] != '.'))
			continue;
		(void)snprintf(out, 65, "%.64s", name);
		found = !is_named(u, lock, out);
	}
	(void)closedir(dir);
	return found;
}

void
update_collect_snapshots(struct update *u, const char *service)
{
	const char *keep[HOOK_SNAPSHOTS_KEPT + 1];
	const struct lock_entry *runs;
	const json_t *brought;
	struct lock lock;
	size_t n = 0;

	if (lock_read(&lock, monitor_paths(u->m)) != 0)
		return; /* which of them is needed is not known */
	for (size_t i = json_array_size(u->history); i-- > 0 && n < HOOK_SNAPSHOTS_KEPT;) {
		const json_t *row = json_array_get(u->history, i);

		if (strcmp(json_text(row, "service"), service) == 0 && json_text(row, "snapshot")[0])
			keep[n++] = json_text(row, "snapshot");
	}
	runs = lock_find(&lock, service);
	brought = runs ? update_brought(u, service, runs->release) : NULL;
	if (brought && json_text(brought, "snapshot")[0])
		keep[n++] = json_text(brought, "snapshot");
	hook_forget_snapshots(u->m, service, keep, n);
}

/* No row where it is half removed or damaged, which is said when somebody needs it. */
static int
tree_json(struct update *u, const char *hex, json_t **ret, uint64_t *bytes)
{
	struct update_release rel;
	int r = update_release_stored(u, hex, &rel);

	*ret = NULL;
	*bytes = 0;
	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < rel.tree->n_entries; i++)
		*bytes += rel.tree->entries[i].type == TREE_TYPE_FILE ? rel.tree->entries[i].size : 0;
	*ret = json_pack("{s:s, s:s, s:s, s:I}", "service", rel.tree->service, "version", rel.tree->version, "release", hex,
		"bytes", (json_int_t)*bytes);
	update_release_done(&rel);
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
add_trees(struct update *u, DIR *dir, json_t *trees, uint64_t *ret_bytes)
{
	const struct dirent *e;
	uint64_t bytes;
	int r = 0;

	while (r == 0 && (e = readdir(dir))) {
		json_t *row;

		if (strspn(e->d_name, "0123456789abcdef") != 64 || e->d_name[64])
			continue;
		r = tree_json(u, e->d_name, &row, &bytes);
		*ret_bytes += bytes;
		if (row && json_array_append_new(trees, row) < 0)
			r = FAULT(-ENOMEM);
	}
	return r;
}

json_t *
update_store_json(struct update *u)
{
	int fd = openat(u->store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	SCOPED_JSON *trees = json_array();
	uint64_t bytes = 0;
	int r = dir ? 0 : FAULT(-errno);

	if (!dir && fd >= 0)
		(void)close(fd);
	r = r ?: add_trees(u, dir, trees, &bytes);
	if (dir)
		(void)closedir(dir);
	if (r < 0)
		log_fault(r, "looking through the store");
	return r == -ENOMEM ? NULL : json_pack("{s:I, s:O}", "bytes", (json_int_t)bytes, "trees", trees);
}

static void
on_removed(int r, const struct stage_result *result, void *arg)
{
	struct update *u = arg;

	(void)result;
	if (r == 0) {
		update_collect(u);
		return;
	}
	u->cut_off = true; /* update_collect_again() tries again; now it would go round in circles */
	if (r < 0)
		log_fault(r, "removing an old tree");
}

void
update_collect(struct update *u)
{
	struct lock lock;
	char hex[65];
	int r;

	u->collected_us = clock_mono_us();
	if (u->run || u->worker || core_change_running(u->core) || !monitor_spawner(u->m))
		return;
	(void)fs_sweep(u->store_fd, 0); /* of a worker that was killed */
	if (lock_read(&lock, monitor_paths(u->m)) != 0)
		return;
	u->cut_off = find_unnamed(u, &lock, hex);
	if (!u->cut_off)
		return;
	log_info("store: removing %s, which nothing names any more", hex);
	r = worker_remove(&u->worker, u->m, hex, on_removed, u);
	if (r < 0)
		log_fault(r, "removing an old tree");
}

void
update_collect_again(struct update *u)
{
	uint64_t now_us = clock_mono_us();

	if (!u->collected_us) /* we are new: let those come first who have something to do */
		u->collected_us = now_us;
	if (u->cut_off && now_us - u->collected_us >= AGAIN_S * CLOCK_US_PER_S)
		update_collect(u);
}
