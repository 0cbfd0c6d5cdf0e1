#include "updater/release/release_packs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"
#include "updater/object/pack.h"
#include "updater/object/patch.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_listed.h"
#include "updater/release/release_repo.h"

struct verifying {
	struct release_repo *repo;
	int patches_fd, packs_fd;
	struct patch_room *room;
	json_t *seen; /* names of files, below both folders */
};

static void
verifying_done(struct verifying *v)
{
	scope_close(&v->patches_fd);
	scope_close(&v->packs_fd);
	patch_room_free(v->room);
	json_decref(v->seen);
}

static int
compare(int a, off_t at, int b, uint64_t len, struct sha256 *hash, const char *name)
{
	uint8_t x[16384], y[16384];

	for (uint64_t done = 0; done < len;) {
		size_t want = len - done < sizeof(x) ? (size_t)(len - done) : sizeof(x);

		if (pread(a, x, want, at + (off_t)done) != (ssize_t)want ||
			pread(b, y, want, (off_t)done) != (ssize_t)want || memcmp(x, y, want) != 0)
			return REFUSE(REASON_ALTERED, name, "differs from what the pack holds");
		sha256_put(hash, x, want);
		done += want;
	}
	return 0;
}

static int
verify_patch(struct verifying *v, const struct pack_member *m, int patch_fd)
{
	/* In memory: who looks at a repository writes nothing there, and two files are small beside a machine. */
	SCOPED(scope_close) int from = memfd_create("from", MFD_CLOEXEC);
	SCOPED(scope_close) int to = memfd_create("to", MFD_CLOEXEC);
	struct stat st;
	int r;

	if (from < 0 || to < 0)
		return FAULT(-errno);
	r = object_copy(v->repo->objects_fd, m->from, UINT64_MAX, false, from);
	r = r ?: object_copy(v->repo->objects_fd, m->to, UINT64_MAX, false, to);
	if (r)
		return r;
	if (fstat(to, &st) < 0)
		return FAULT(-errno);
	return patch_apply(v->room, patch_fd, from, m->to, (uint64_t)st.st_size, -1);
}

static int
verify_member(struct verifying *v, const struct pack_member *m, int pack_fd, struct sha256 *hash)
{
	char name[PATCH_NAME_MAX];
	int dir = m->patch ? v->patches_fd : v->repo->objects_fd;
	const char *path = m->patch ? patch_name(name, m->from, m->to) : object_name(name, m->to);
	SCOPED(scope_close) int fd = beneath_open(dir, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return REFUSE(REASON_NOT_FOUND, path, "a pack has it, the repository has not");
	if ((uint64_t)st.st_size != m->length)
		return REFUSE(REASON_ALTERED, path, "has another length in the pack");
	r = compare(pack_fd, (off_t)m->at, fd, m->length, hash, path);
	if (r || !m->patch)
		return r;
	if (json_object_set_new(v->seen, path, json_true()) < 0)
		return FAULT(-ENOMEM);
	return verify_patch(v, m, fd);
}

static int
verify_pack(struct verifying *v, const struct pack_list *l, size_t i)
{
	SCOPED(scope_close) int fd = -1;
	uint8_t digest[SHA256_LEN];
	struct sha256 hash;
	struct stat st;
	char hex[65];
	int r = 0;

	hex_encode(hex, l->packs[i].sha256, SHA256_LEN);
	fd = beneath_open(v->packs_fd, hex, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return REFUSE(REASON_NOT_FOUND, hex, "a release names this pack, the repository has it not");
	if ((uint64_t)st.st_size != l->packs[i].size)
		return REFUSE(REASON_ALTERED, hex, "the pack has another length");
	if (json_object_set_new(v->seen, hex, json_true()) < 0)
		return FAULT(-ENOMEM);
	sha256_init(&hash);
	for (size_t k = 0; r == 0 && k < l->n_members; k++)
		if (l->members[k].pack == i)
			r = verify_member(v, &l->members[k], fd, &hash);
	sha256_final(&hash, digest);
	if (r == 0 && memcmp(digest, l->packs[i].sha256, sizeof(digest)) != 0)
		r = REFUSE(REASON_HASH_MISMATCH, hex, "its bytes are not what its name says");
	return r;
}

static int
verify_list(struct verifying *v, const char *path, const char *hex)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PACK_LIST_MAX);
	SCOPED(pack_list_freep) struct pack_list *l = NULL;
	uint8_t digest[SHA256_LEN];
	int r;

	if (!hex_decode(digest, sizeof(digest), hex))
		return REFUSE(REASON_MALFORMED, path, "custom.packs is no digest");
	r = object_get(v->repo->objects_fd, digest, PACK_LIST_MAX, &b);
	r = r ?: pack_list_read(&l, b.data, b.len);
	for (size_t i = 0; r == 0 && i < l->n_packs; i++)
		r = verify_pack(v, l, i);
	return r;
}

/* patches/ or packs/, which are not there before the first release: -1. */
static int
open_there(int *ret_fd, const struct release_repo *repo, const char *name)
{
	*ret_fd = openat(repo->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 && errno != ENOENT ? FAULT(-errno) : 0;
}

/* Nothing else lies there. */
static int
verify_folder(struct verifying *v, int dir_fd, size_t *files)
{
	static const uint8_t none[SHA256_LEN];
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	int r = dir_fd < 0 ? 0 : tree_index_new(&x, "repository", "0", none);

	if (r || dir_fd < 0)
		return r;
	r = tree_walk(x, dir_fd, NULL, NULL);
	for (size_t i = 0; r == 0 && i < x->n_entries; i++) {
		const struct tree_entry *e = &x->entries[i];

		if (e->type == TREE_TYPE_FILE && release_commit_is_begun(e->path))
			continue;
		++*files;
		if (e->type != TREE_TYPE_FILE || !json_object_get(v->seen, e->path))
			r = REFUSE(REASON_ALTERED, e->path, "is not part of the repository");
	}
	return r;
}

int
release_packs_verify(struct release_repo *repo, size_t *files)
{
	SCOPED(verifying_done) struct verifying v = { .repo = repo, .patches_fd = -1, .packs_fd = -1 };
	SCOPED_JSON *targets = NULL; /* also of releases that are withdrawn: their packs stay */
	const char *path;
	json_t *t;
	int r = release_listed(repo, true, &targets);

	v.seen = json_object();
	r = r ?: open_there(&v.patches_fd, repo, "patches");
	r = r ?: open_there(&v.packs_fd, repo, "packs");
	r = r ?: patch_room_new(&v.room, -1, NULL);
	json_object_foreach(targets, path, t)
	{
		const char *hex = json_text(json_object_get(t, "custom"), "packs");

		if (r == 0 && hex[0])
			r = verify_list(&v, path, hex);
	}
	r = r ?: verify_folder(&v, v.patches_fd, files);
	return r ?: verify_folder(&v, v.packs_fd, files);
}
