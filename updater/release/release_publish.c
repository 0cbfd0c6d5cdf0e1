#include "updater/release/release_publish.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/object/object.h"
#include "updater/object/object_batch.h"
#include "updater/release/release_beside.h"
#include "updater/release/release_build.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_packs.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_role.h"

struct built {
	int fd, objects_fd;
	struct buf index;
	struct tree_index *x;
	json_t *statement; /* verified */
	char target[256];
	const char *owner; /* the role that vouches for it; borrowed */
};

static void
built_done(struct built *b)
{
	scope_close(&b->fd);
	scope_close(&b->objects_fd);
	buf_done(&b->index);
	tree_index_free(b->x);
	json_decref(b->statement);
}

/* --- checking ------------------------------------------------------------------------------------ */
static int
check_definition(int objects_fd, const struct tree_index *x)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(definition_freep) struct definition *d = NULL;
	int r;

	r = object_get(objects_fd, x->definition, DEFINITION_BYTES_MAX, &b);
	r = r ?: definition_read(&d, b.data, b.len);
	if (r)
		return r;
	if (strcmp(d->name, x->service) != 0 || strcmp(d->version, x->version) != 0)
		return REFUSE(REASON_ALTERED, "definition.json", "is of %s %s, the index of %s %s",
			d->name, d->version, x->service, x->version);
	return 0;
}

int
release_check(int objects_fd, const void *p, size_t len, uint64_t *ret_objects)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	int r;

	r = tree_index_read(&x, p, len);
	r = r ?: check_definition(objects_fd, x);
	if (r)
		return r;
	*ret_objects = 1;
	for (size_t i = 0; i < x->n_entries; i++) {
		const struct tree_entry *e = &x->entries[i];

		if (e->type != TREE_TYPE_FILE)
			continue;
		r = object_copy(objects_fd, e->sha256, e->size, true, -1);
		if (r)
			return r;
		++*ret_objects;
	}
	return 0;
}

/* The statement, signed by the role that owns it, and the index that it names. */
static int
open_built(struct built *b, const struct release_repo *repo, const char *dir)
{
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	SCOPED(buf_done) struct buf statement = BUF_MAX(64 * 1024);
	struct tuf_split measured = { 0 };
	const json_t *role, *role_keys;
	char whose[TUF_ROLE_MAX + 48];
	uint64_t objects;
	int r;

	b->objects_fd = -1;
	b->index = BUF_MAX(TREE_INDEX_BYTES_MAX);
	b->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = b->fd < 0 ? REASON_NOT_FOUND : fs_read(b->fd, RELEASE_FILE, 64 * 1024, &statement);
	r = r ?: fs_read(b->fd, "index.json", TREE_INDEX_BYTES_MAX, &b->index);
	if (r > 0)
		return REFUSE(r, dir, "is no built release");
	if (r < 0)
		return FAULT(r);
	b->objects_fd = beneath_open(b->fd, "objects", O_RDONLY | O_DIRECTORY, 0);
	if (b->objects_fd < 0)
		return REFUSE(REASON_NOT_FOUND, dir, "has no objects");
	r = tree_index_read(&b->x, b->index.data, b->index.len);
	if (r)
		return r;
	(void)snprintf(b->target, sizeof(b->target), "services/%s/%s/index.json", b->x->service, b->x->version);
	b->owner = release_repo_owner(repo, b->target);
	role = release_repo_role(repo, b->owner, &role_keys);
	r = tuf_split(&split, statement.data, statement.len, 64 * 1024, RELEASE_FILE);
	(void)snprintf(whose, sizeof(whose), "%s, which role %s signs", RELEASE_FILE, b->owner);
	r = r ?: tuf_verify(&split, role_keys, role, whose);
	r = r ?: tuf_parse(&b->statement, &split.canonical, RELEASE_FILE);
	r = r ?: tuf_split_measure(&measured, b->index.data, b->index.len);
	r = r
		?: tuf_measure_check(b->statement, true, measured.length, measured.sha256,
			   measured.sha512, "index.json");
	r = r ?: release_beside_check(b->fd, b->statement);
	return r ?: release_check(b->objects_fd, b->index.data, b->index.len, &objects);
}

/* --- publishing ---------------------------------------------------------------------------------- */
/* One object, by what it holds: compressed anew here, so that verify can say how it must look. */
static int
copy_object(const struct built *b, const struct release_repo *repo, struct object_batch *to, const uint8_t sha256[32],
	uint64_t size)
{
	SCOPED(scope_close) int plain = -1;
	int r;

	if (object_exists(repo->objects_fd, sha256))
		return 0;
	plain = openat(repo->objects_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (plain < 0)
		return FAULT(-errno);
	r = object_copy(b->objects_fd, sha256, size, false, plain);
	return r ?: object_batch_put_fd(to, plain, NULL);
}

static int
copy_objects(const struct built *b, const struct release_repo *repo)
{
	SCOPED(object_batch_freep) struct object_batch *to = NULL;
	int r = object_batch_new(&to, repo->objects_fd);

	r = r ?: copy_object(b, repo, to, b->x->definition, DEFINITION_BYTES_MAX);
	for (size_t i = 0; !r && i < b->x->n_entries; i++) {
		if (b->x->entries[i].type == TREE_TYPE_FILE)
			r = copy_object(b, repo, to, b->x->entries[i].sha256, b->x->entries[i].size);
	}
	return r ?: object_batch_commit(to);
}

/* What targets.json will say of it. */
static int
make_meta(const struct built *b, uint64_t counter, const uint8_t packs[32], json_t **ret)
{
	SCOPED_JSON *meta = tuf_repo_meta(b->index.data, b->index.len, 0);
	SCOPED_JSON *custom = json_copy_whole(json_object_get(b->statement, "custom"), JSON_DEEP);

	if (!meta || !json_is_object(custom) || json_put_u64(custom, "counter", counter) < 0 ||
		json_put_hex(custom, "packs", packs, 32) < 0 || json_object_set(meta, "custom", custom) < 0)
		return FAULT(-ENOMEM);
	*ret = STEAL(meta);
	return 0;
}

/* The owner's document with the index and what lies beside it. */
static int
add_target(struct release_repo *repo, const struct built *b, uint64_t counter, const uint8_t packs[32], json_t **ret_next)
{
	SCOPED_JSON *signed_ = NULL, *metas = json_object();
	json_t *meta = NULL;
	int r = make_meta(b, counter, packs, &meta);

	if (r)
		return r;
	if (json_object_set_new(metas, b->target, meta) < 0)
		return FAULT(-ENOMEM);
	r = release_beside_publish(repo, b->fd, b->statement, metas);
	r = r ?: release_role_renew(repo, b->owner, &signed_);
	if (r)
		return r;
	if (json_object_update(json_object_get(signed_, "targets"), metas) < 0)
		return FAULT(-ENOMEM);
	*ret_next = json_pack("{s:O}", b->owner, signed_);
	return *ret_next ? 0 : FAULT(-ENOMEM);
}

int
release_publish(struct release_repo *repo, const char *dir, const struct release_keys *keys, uint64_t *ret_counter,
	char ret_target[256], json_t **ret_next)
{
	SCOPED(built_done) struct built b = { .fd = -1 };
	const json_t *old, *of, *role_keys;
	uint8_t packs[32];
	int r = open_built(&b, repo, dir);

	*ret_next = NULL;
	if (r)
		return r;
	(void)snprintf(ret_target, 256, "%s", b.target);
	if (strcmp(b.target, json_text(b.statement, "target")) != 0)
		return REFUSE(REASON_ALTERED, RELEASE_FILE, "was signed for another target");
	if (release_role_withdrawn(repo, b.target))
		return REFUSE(REASON_REVOKED, b.target, "this version was withdrawn: give it a new one");
	old = json_object_get(json_object_get(release_repo_signed(repo, b.owner), "targets"), b.target)
		?: json_object_get(json_object_get(release_repo_signed(repo, "targets"), "targets"), b.target);
	if (old &&
		json_equal(json_object_get(old, "hashes"),
			json_object_get(b.statement, "hashes"))) {
		*ret_counter =
			(uint64_t)json_integer_value(json_object_get(json_object_get(old, "custom"),
				"counter"));
		return 0;
	}
	if (old)
		return REFUSE(REASON_CONFLICT, b.target,
			"this version is published and is another tree: give it a new version");
	of = release_repo_role(repo, b.owner, &role_keys);
	if (keys && release_keys_count(keys, of) < (size_t)json_integer_value(json_object_get(of, "threshold")))
		return REFUSE(REASON_UNKNOWN_KEY, b.owner,
			"%zu of its keys are here, where %lld must sign; --out writes a draft for the others",
			release_keys_count(keys, of), (long long)json_integer_value(json_object_get(of, "threshold")));
	/* Before a byte is written: nobody is told of what no signature will follow. */
	r = keys ? release_commit_able(repo, keys, b.owner) : 0;
	if (r)
		return r;
	*ret_counter = release_role_counter(repo, b.x->service);
	r = copy_objects(&b, repo);
	r = r ?: release_packs_make(repo, b.x, json_text(json_object_get(b.statement, "custom"), "platform"), packs);
	r = r ?: release_repo_put_target(repo, b.target, b.index.data, b.index.len);
	return r ?: add_target(repo, &b, *ret_counter, packs, ret_next);
}
