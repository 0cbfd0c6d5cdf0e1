#include "updater/activate/core_approved.h"
#include "updater/activate/update.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/platform.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"

void
update_release_done(struct update_release *r)
{
	buf_done(&r->index);
	r->tree = tree_index_free(r->tree);
}

/* --- what the targets key signed about it --------------------------------------------------------------------------- */
/* The director may choose, but only what fits: this platform, a service and no core, never older. */
static int
check_custom(struct update *u, const struct assignment_release *a, const struct tuf_target *t,
	uint64_t *ret_counter)
{
	const json_t *counter = json_object_get(t->custom, "counter");
	const struct lock_entry *running;
	struct lock lock;
	bool core = strcmp(json_text(t->custom, "class"), "core") == 0;
	int r = core ? core_approved_has(monitor_dir(u->m), a->sha256) : 1;

	if (r < 0)
		return FAULT(r);
	if (!t->has_sha256 || !sha256_same(t->sha256, a->sha256, SHA256_LEN))
		return REFUSE(REASON_HASH_MISMATCH, a->target, "the assignment names other bytes than the targets role");
	if (r == 0)
		return REFUSE(REASON_NOT_APPROVED, a->target,
			"a core release needs its owners' signature: mainstay update approve sha256:%s",
			hex_encode((char[65]){ 0 }, a->sha256, SHA256_LEN));
	if (core != (strcmp(a->service, CORE_SERVICE) == 0))
		return REFUSE(REASON_ALTERED, a->target, core ? "it is of the core, and assigned for a service"
							      : "it is of a service, and assigned for the core");
	if ((!core && strcmp(json_text(t->custom, "class"), "service") != 0) || !json_is_integer(counter) ||
		json_integer_value(counter) < 0)
		return REFUSE(REASON_MALFORMED, a->target, "its custom metadata has no class or counter");
	if (strcmp(json_text(t->custom, "platform"), platform_text()) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, a->target, "it is for platform \"%s\", this is %s",
			json_text(t->custom, "platform"), platform_text());
	*ret_counter = (uint64_t)json_integer_value(counter);
	r = update_floor_check(u, a, t->role, *ret_counter);
	if (r != 0)
		return r;
	if (core)
		return *ret_counter >= core_counter(u->core)
			? 0
			: REFUSE(REASON_ROLLBACK, a->target, "its counter %llu is below %llu, which runs",
				  (unsigned long long)*ret_counter, (unsigned long long)core_counter(u->core));
	r = lock_read(&lock, monitor_paths(u->m));
	if (r != 0)
		return r;
	running = lock_find(&lock, a->service);
	if (running && *ret_counter < running->counter)
		return REFUSE(REASON_ROLLBACK, a->target, "its counter %llu is below %llu, which runs",
			(unsigned long long)*ret_counter, (unsigned long long)running->counter);
	return 0;
}

/* --- its index -------------------------------------------------------------------------------------------------------- */
static int
read_below(int dir_fd, const char *path, size_t max, struct buf *out)
{
	SCOPED(scope_close) int fd = beneath_open(dir_fd, path, O_RDONLY | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return REASON_NOT_FOUND;
	if (fd < 0)
		return REFUSE(REASON_UNSAFE_TREE, path, "what the courier left cannot be opened: %s", strerror(-fd));
	return fs_read_fd(fd, max, out);
}

/* A service may have signers of its own: what they may sign is told by its path, so that the index is held to that. */
static int
check_path(const struct update_release *rel, const char *target)
{
	char path[TUF_PATH_MAX + 1];

	(void)snprintf(path, sizeof(path), "services/%s/%s/index.json", rel->tree->service, rel->tree->version);
	return strcmp(path, target) == 0
		? 0
		: REFUSE(REASON_ALTERED, target, "the index is of %s %s, which belongs at %s", rel->tree->service,
			  rel->tree->version, path);
}

/* The index's bytes are verified; only now they are parsed. */
static int
parse_index(const char *service, struct update_release *ret)
{
	uint8_t digest[SHA256_LEN];
	int r;

	r = tree_index_read(&ret->tree, ret->index.data, ret->index.len);
	if (r != 0)
		return r;
	sha256_of(digest, ret->index.data, ret->index.len);
	hex_encode(ret->hex, digest, sizeof(digest));
	if (service && strcmp(ret->tree->service, service) != 0)
		return REFUSE(REASON_ALTERED, service, "the index is of service \"%s\"", ret->tree->service);
	return 0;
}

int
update_release_load(struct update *u, const struct assignment_release *a, struct update_release *ret)
{
	struct tuf_client *tuf = monitor_tuf(u->m);
	struct tuf_target t;
	char path[TUF_PATH_MAX + 200];
	int r;

	*ret = (struct update_release){ .index = BUF_MAX(TREE_INDEX_BYTES_MAX) };
	if (!tuf)
		return REASON_NOT_FOUND;
	r = tuf_client_target(tuf, a->target, &t);
	if (r == TUF_WANTS)
		return REASON_NOT_FOUND;
	r = r ?: check_custom(u, a, &t, &ret->counter);
	ret->has_packs = r == 0 && hex_decode(ret->packs, sizeof(ret->packs), json_text(t.custom, "packs"));
	if (r != 0)
		return r;
	snprintf(path, sizeof(path), "tuf/targets/%s", t.file);
	r = read_below(u->incoming_fd, path, TREE_INDEX_BYTES_MAX, &ret->index);
	r = r ?: tuf_target_check(&t, ret->index.data, ret->index.len);
	r = r ?: parse_index(a->service, ret);
	r = r ?: check_path(ret, a->target);
	if (r != 0)
		update_release_done(ret);
	return r;
}

int
update_release_stored(struct update *u, const char *hex, struct update_release *ret)
{
	char name[96];
	int r;

	*ret = (struct update_release){ .index = BUF_MAX(TREE_INDEX_BYTES_MAX) };
	snprintf(name, sizeof(name), "%s.json", hex);
	r = fs_read(u->store_fd, name, TREE_INDEX_BYTES_MAX, &ret->index);
	if (r == REASON_NOT_FOUND)
		r = REFUSE(REASON_NOT_FOUND, hex, "that release is not in the store any more");
	r = r ?: parse_index(NULL, ret);
	if (r == 0 && strcmp(ret->hex, hex) != 0)
		r = REFUSE(REASON_ALTERED, hex, "the stored index has digest %s", ret->hex);
	if (r != 0)
		update_release_done(ret);
	return r;
}

/* --- its definition --------------------------------------------------------------------------------------------------- */
int
update_release_definition(struct update *u, const char *hex, struct definition **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	char name[96];
	int r;

	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = fs_read(u->store_fd, name, DEFINITION_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, hex, "that release is not in the store");
	return r ?: definition_read(ret, b.data, b.len);
}
