#include "updater/release/release_packs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"
#include "updater/object/pack.h"
#include "updater/object/patch.h"
#include "updater/release/release_base.h"
#include "updater/release/release_listed.h"
#include "updater/release/release_patches.h"
#include "updater/release/release_repo.h"

enum {
	PATCH_BYTES_MAX = 1024 * 1024 * 1024,
	TEMPORARY_MAX = 80,
};

/* A release before this one. */
struct before {
	uint64_t counter;
	const char *path; /* of its index among the targets; borrowed */
	struct tree_index *x;
	struct release_base *base;
};

struct making {
	struct release_repo *repo;
	int patches_fd, packs_fd;
	const struct tree_index *x;
	struct before before[PACK_RELEASES]; /* the newest first */
	size_t n_before;
	const struct tree_entry **files; /* each digest once, by path */
	bool *packed;			 /* the object itself is in a pack */
	size_t n_files;
	struct release_patches *patches;
	struct pack_list *list;
	int pack_fd; /* the one that is written */
	bool named;  /* the packs have their own names */
	struct sha256 hash;
};

static void
name_temporary(char out[TEMPORARY_MAX], const struct making *m, size_t pack)
{
	(void)snprintf(out, TEMPORARY_MAX, ".tmp.%s.%zu", m->x->service, pack);
}

static void
making_done(struct making *m)
{
	/* One may be begun that the list has not yet. */
	for (size_t i = 0; m->list && !m->named && i <= m->list->n_packs; i++) {
		char temporary[TEMPORARY_MAX];

		name_temporary(temporary, m, i);
		(void)unlinkat(m->packs_fd, temporary, 0);
	}
	for (size_t i = 0; i < m->n_before; i++) {
		release_base_free(m->before[i].base);
		tree_index_free(m->before[i].x);
	}
	scope_close(&m->pack_fd);
	scope_close(&m->patches_fd);
	scope_close(&m->packs_fd);
	free(m->files);
	free(m->packed);
	release_patches_free(m->patches);
	pack_list_free(m->list);
}

/* --- the releases before ------------------------------------------------------------------------------------------ */
/* Keep the newest, in their order. */
static void
note_before(struct making *m, uint64_t counter, const char *path)
{
	size_t at = 0;

	while (at < m->n_before && m->before[at].counter > counter)
		at++;
	if (at == PACK_RELEASES)
		return;
	if (m->n_before < PACK_RELEASES)
		m->n_before++;
	memmove(&m->before[at + 1], &m->before[at], (m->n_before - at - 1) * sizeof(m->before[0]));
	m->before[at] = (struct before){ .counter = counter, .path = path };
}

static int
find_before(struct making *m, const char *platform)
{
	SCOPED_JSON *targets = NULL;
	char prefix[80];
	const char *path;
	json_t *t;
	int r = release_listed(m->repo, false, &targets);

	if (r)
		return r;

	(void)snprintf(prefix, sizeof(prefix), "services/%s/", m->x->service);
	json_object_foreach(targets, path, t)
	{
		const json_t *custom = json_object_get(t, "custom");

		if (strncmp(path, prefix, strlen(prefix)) == 0 &&
			strcmp(json_text(custom, "platform"), platform) == 0)
			note_before(m, (uint64_t)json_integer_value(json_object_get(custom, "counter")), path);
	}
	for (size_t i = 0; i < m->n_before && r == 0; i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TREE_INDEX_BYTES_MAX);

		r = release_repo_get_target(m->repo, m->before[i].path, TREE_INDEX_BYTES_MAX, &b);
		r = r ?: tree_index_read(&m->before[i].x, b.data, b.len);
		r = r ?: release_base_new(&m->before[i].base, m->before[i].x);
	}
	return r;
}

static int
by_digest(const void *a, const void *b)
{
	const struct tree_entry *const *x = a, *const *y = b;
	int r = memcmp((*x)->sha256, (*y)->sha256, SHA256_LEN);

	return r ?: strcmp((*x)->path, (*y)->path);
}

static int
by_place(const void *a, const void *b)
{
	const struct tree_entry *const *x = a, *const *y = b;

	return strcmp((*x)->path, (*y)->path);
}

/* Each digest once, under the first of its paths; in the order of the paths, so that neighbours lie together. */
static int
list_files(const struct tree_index *x, const struct tree_entry ***ret, size_t *ret_n)
{
	const struct tree_entry **list = calloc(x->n_entries + 1, sizeof(*list));
	size_t n = 0, kept = 0;

	if (!list)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < x->n_entries; i++)
		if (x->entries[i].type == TREE_TYPE_FILE)
			list[n++] = &x->entries[i];
	qsort(list, n, sizeof(*list), by_digest);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || memcmp(list[i]->sha256, list[i - 1]->sha256, SHA256_LEN) != 0)
			list[kept++] = list[i];
	qsort(list, kept, sizeof(*list), by_place);
	*ret = list;
	*ret_n = kept;
	return 0;
}

/* --- packs -------------------------------------------------------------------------------------------------------- */
static int
begin_pack(struct making *m)
{
	char temporary[TEMPORARY_MAX];

	if (m->pack_fd >= 0)
		return 0;
	name_temporary(temporary, m, m->list->n_packs);
	m->pack_fd = openat(m->packs_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (m->pack_fd < 0)
		return FAULT(-errno);
	sha256_init(&m->hash);
	return pack_list_pack(m->list);
}

static int
end_pack(struct making *m)
{
	int r;

	if (m->pack_fd < 0)
		return 0; /* nothing came into it */
	sha256_final(&m->hash, m->list->packs[m->list->n_packs - 1].sha256);
	r = fsync(m->pack_fd) < 0 ? FAULT(-errno) : 0;
	scope_close(&m->pack_fd);
	m->pack_fd = -1;
	return r;
}

/* All are synced: where one of these names is there already it is that of the very same bytes, which stay whole. */
static int
name_packs(struct making *m)
{
	for (size_t i = 0; i < m->list->n_packs; i++) {
		char temporary[TEMPORARY_MAX], hex[65];

		name_temporary(temporary, m, i);
		hex_encode(hex, m->list->packs[i].sha256, SHA256_LEN);
		if (renameat(m->packs_fd, temporary, m->packs_fd, hex) < 0)
			return FAULT(-errno);
	}
	m->named = true;
	return FAULT(fs_sync_dir(m->packs_fd));
}

/* Append the file's bytes as a member. */
static int
add_member(struct making *m, int dir_fd, const char *name, const uint8_t to[32], const uint8_t *from)
{
	SCOPED(scope_close) int fd = beneath_open(dir_fd, name, O_RDONLY, 0);
	SCOPED(buf_done) struct buf b = BUF_MAX(PATCH_BYTES_MAX);
	int r = fd < 0 ? FAULT(fd) : begin_pack(m);

	r = r ?: fs_read_fd(fd, PATCH_BYTES_MAX, &b);
	r = r ?: fs_write_all(m->pack_fd, b.data, b.len);
	if (r)
		return r;
	sha256_put(&m->hash, b.data, b.len);
	return pack_list_add(m->list, to, from, b.len);
}

static int
add_object(struct making *m, const uint8_t sha256[32])
{
	char name[OBJECT_NAME_MAX];

	return add_member(m, m->repo->objects_fd, object_name(name, sha256), sha256, NULL);
}

static bool
digest_in(const struct tree_entry **sorted, size_t n, const struct tree_entry *e)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = memcmp(sorted[middle]->sha256, e->sha256, SHA256_LEN);

		if (r == 0)
			return true;
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* For each file that this release before has not, in its order: the base there, NULL for none.  Those of the newest are the
 * likeliest to be wanted, and come with the objects that no patch makes. */
static int
changed_files(struct making *m, size_t k,
	int (*each)(struct making *m, size_t k, size_t i, const struct tree_entry *from))
{
	const struct tree_entry **old = NULL;
	size_t n_old = 0;
	int r = list_files(m->before[k].x, &old, &n_old);

	qsort(old, r ? 0 : n_old, sizeof(*old), by_digest);
	for (size_t i = 0; r == 0 && i < m->n_files; i++)
		if (!digest_in(old, n_old, m->files[i]))
			r = each(m, k, i, release_base_find(m->before[k].base, m->files[i]));
	free(old);
	return r;
}

static int
want_patch(struct making *m, size_t k, size_t i, const struct tree_entry *from)
{
	(void)k;
	return from ? release_patches_want(m->patches, from, m->files[i]) : 0;
}

static int
pack_patch(struct making *m, size_t k, size_t i, const struct tree_entry *from)
{
	const struct tree_entry *e = m->files[i];
	char name[PATCH_NAME_MAX];
	int r = 0;

	if (from && pack_list_has(m->list, e->sha256, from->sha256))
		return 0; /* the base has not changed between two of the releases */
	if (from && release_patches_has(m->patches, from, e))
		return add_member(m, m->patches_fd, patch_name(name, from->sha256, e->sha256), e->sha256, from->sha256);
	if (k == 0)
		m->packed[i] = (r = add_object(m, e->sha256)) == 0;
	return r;
}

static int
pack_patches(struct making *m)
{
	int r = release_patches_new(&m->patches);

	for (size_t k = 0; r == 0 && k < m->n_before; k++)
		r = changed_files(m, k, want_patch);
	r = r ?: release_patches_make(m->patches, m->repo, m->patches_fd);
	for (size_t k = 0; r == 0 && k < m->n_before; k++) {
		r = changed_files(m, k, pack_patch);
		r = r ?: end_pack(m);
	}
	return r;
}

/* What a site needs that begins with this release. */
static int
pack_objects(struct making *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_files; i++)
		if (!m->packed[i])
			r = add_object(m, m->files[i]->sha256);
	return r ?: end_pack(m);
}

int
release_packs_make(struct release_repo *repo, const struct tree_index *x, const char *platform, uint8_t ret_list[32])
{
	SCOPED(making_done) struct making m = { .repo = repo, .x = x, .patches_fd = -1, .packs_fd = -1, .pack_fd = -1 };
	SCOPED(buf_done) struct buf b = BUF_MAX(PACK_LIST_MAX);
	int r = fs_open_dir(&m.patches_fd, repo->fd, "patches", 0755);

	r = r ?: fs_open_dir(&m.packs_fd, repo->fd, "packs", 0755);
	r = r ?: pack_list_new(&m.list, x->service, x->version);
	r = r ?: find_before(&m, platform);
	r = r ?: list_files(x, &m.files, &m.n_files);
	if (r)
		return r;
	m.packed = calloc(m.n_files + 1, sizeof(*m.packed));
	if (!m.packed)
		return FAULT(-ENOMEM);
	r = pack_patches(&m);
	r = r ?: pack_objects(&m);
	r = r ?: name_packs(&m);
	r = r ?: pack_list_write(m.list, &b);
	if (r)
		return r;
	return object_put(repo->objects_fd, b.data, b.len, ret_list);
}
