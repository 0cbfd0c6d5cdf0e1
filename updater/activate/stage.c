#include "updater/activate/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/came.h"
#include "updater/activate/stored.h"
#include "updater/object/object.h"
#include "updater/object/patch.h"

enum {
	STAGE_NAME_MAX = 128,
	NOT_HERE = 4096, /* no reason of refuse.h: this way gives no file, and nothing is wrong with that */
};

int
stage_check_room(const struct tree_index *index, uint64_t free_bytes)
{
	uint64_t need = tree_index_bytes(index) + STAGE_RESERVE;

	if (free_bytes < need)
		return REFUSE(REASON_NO_SPACE, index->service, "the store needs %llu bytes free, has %llu",
			(unsigned long long)need, (unsigned long long)free_bytes);
	return 0;
}

static int
check_space(int store_fd, const struct tree_index *index)
{
	struct statvfs vfs;

	if (fstatvfs(store_fd, &vfs) < 0)
		return FAULT(-errno);
	return stage_check_room(index, (uint64_t)vfs.f_bavail * vfs.f_frsize);
}

/* Open an object that the courier wrote; it may have put anything there, links included. */
static int
open_object(int objects_fd, const uint8_t sha256[32], int *ret_fd)
{
	char name[OBJECT_NAME_MAX];
	struct stat st;
	int fd = beneath_open(objects_fd, object_name(name, sha256), O_RDONLY | O_NONBLOCK, 0);

	if (fd == -ENOENT)
		return REFUSE(REASON_NOT_FOUND, name, "the object has not arrived");
	if (fd < 0)
		return REFUSE(REASON_UNSAFE_TREE, name, "the object cannot be opened: %s", strerror(-fd));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return REFUSE(REASON_UNSAFE_TREE, name, "the object is no regular file");
	}
	*ret_fd = fd;
	return 0;
}

/* What is not what its name says goes: the courier fetches what is missing, and would never look at this again. */
static void
drop_object(int objects_fd, const uint8_t sha256[32])
{
	SCOPED(scope_close) int parent = -1;
	char path[OBJECT_NAME_MAX];
	const char *name;

	if (beneath_parent(&parent, &name, objects_fd, object_name(path, sha256)) == 0)
		(void)unlinkat(parent, name, 0);
}

/* --- what is at hand ------------------------------------------------------------------------------------------- */
struct stage {
	int store_fd, objects_fd, patches_fd, dir_fd; /* dir_fd: the new tree */
	struct stored *stored;
	struct came came;
	struct patch_room *room; /* made with the first patch */
	struct stage_result *result;
	unsigned spoilt; /* files that lack an object, for what they were to be made of is not it: the rest is tried all the same */
	unsigned bad;	 /* objects that were not what their names say, and are gone; of those: */
	int bad_reason;
};

static void
stage_done(struct stage *s)
{
	scope_close(&s->dir_fd);
	stored_free(s->stored);
	patch_room_free(s->room);
	came_done(&s->came);
}

/* --- files ------------------------------------------------------------------------------------------------------- */
/* The file lies elsewhere in the store with the same bytes and mode: one more name for it.  The trees are read-only, and
 * what drifts in one is found in each of them.  NOT_HERE: it cannot be; then it is copied. */
static int
link_held(struct stage *s, const struct stored_file *f, int fd, const struct tree_entry *e)
{
	SCOPED(scope_close) int from_dir = -1, to_dir = -1;
	const char *from, *to;
	char path[64 + 1 + TREE_PATH_MAX + 1];
	struct stat is, st;

	if (fstat(fd, &is) < 0)
		return FAULT(-errno);
	if ((is.st_mode & 07777) != e->mode || is.st_uid != geteuid())
		return NOT_HERE;
	(void)snprintf(path, sizeof(path), "%s/%s", f->hex, f->entry->path);
	if (beneath_parent(&from_dir, &from, s->store_fd, path) < 0 ||
		beneath_parent(&to_dir, &to, s->dir_fd, e->path) < 0)
		return NOT_HERE;
	if (linkat(from_dir, from, to_dir, to, 0) < 0)
		return NOT_HERE; /* as many names as the file system allows */
	if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == is.st_ino && st.st_dev == is.st_dev)
		return 0;
	(void)unlinkat(to_dir, to, 0);
	return NOT_HERE;
}

static int
copy_held(struct stage *s, int fd, const struct tree_entry *e)
{
	SCOPED(scope_close) int out = beneath_open(s->dir_fd, e->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	uint8_t digest[SHA256_LEN];
	uint64_t size;
	off_t at = 0;
	int r;

	if (out < 0)
		return FAULT(out);
	while ((uint64_t)at < e->size) {
		ssize_t n = copy_file_range(fd, &at, out, NULL, (size_t)(e->size - (uint64_t)at), 0);

		if (n <= 0)
			return FAULT(n < 0 ? -errno : -EIO);
	}
	/* What was written, not what was read before. */
	r = tree_hash_fd(out, e->size, digest, &size);
	if (r == 0 && !sha256_same(digest, e->sha256, sizeof(digest)))
		r = FAULT(-EIO);
	return r ?: fchmod(out, e->mode) < 0 ? FAULT(-errno) : 0;
}

/* NOT_HERE: the store does not hold it, or not any more. */
static int
take_stored(struct stage *s, const struct tree_entry *e, bool *ret_spoilt)
{
	const struct stored_file *f = stored_find(s->stored, e->sha256, e->mode);
	SCOPED(scope_close) int fd = f ? stored_open(f, s->store_fd) : -ENOENT;
	uint8_t digest[SHA256_LEN];
	uint64_t size = 0;
	int r;

	if (!f)
		return NOT_HERE;
	if (fd < 0 || tree_hash_fd(fd, e->size, digest, &size) != 0 || size != e->size ||
		!sha256_same(digest, e->sha256, sizeof(digest))) {
		came_mark_file(&s->came, e->sha256);
		*ret_spoilt = true;
		return NOT_HERE;
	}
	r = link_held(s, f, fd, e);
	if (r == NOT_HERE)
		r = copy_held(s, fd, e);
	if (r == 0)
		s->result->linked++;
	return r;
}

static int
apply_patch(struct stage *s, const struct came_patch *p, int base, const struct tree_entry *e)
{
	SCOPED(scope_close) int out = -1, patch = -1;
	char name[PATCH_NAME_MAX];
	struct stat st;
	int r = 0;

	if (!s->room)
		r = patch_room_new(&s->room);
	if (r < 0)
		return r;
	patch = beneath_open(s->patches_fd, patch_name(name, p->from, p->to), O_RDONLY | O_NONBLOCK, 0);
	if (patch < 0 || fstat(patch, &st) < 0 || !S_ISREG(st.st_mode))
		return REFUSE(REASON_UNSAFE_TREE, name, "the patch cannot be opened");
	out = beneath_open(s->dir_fd, e->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (out < 0)
		return FAULT(out);
	r = patch_apply(s->room, patch, base, e->sha256, e->size, out);
	if (r != 0)
		return r;
	(void)sync_file_range(out, 0, 0, SYNC_FILE_RANGE_WRITE); /* the flush at the end is shorter by it */
	return fchmod(out, e->mode) < 0 ? FAULT(-errno) : 0;
}

/* NOT_HERE: no patch makes it. */
static int
take_patched(struct stage *s, const struct tree_entry *e, bool *ret_spoilt)
{
	size_t n;
	const struct came_patch *p = came_find(&s->came, e->sha256, &n);
	int r;

	for (; n > 0; n--, p++) {
		const struct stored_file *f = stored_find(s->stored, p->from, 0);
		SCOPED(scope_close) int base = f ? stored_open(f, s->store_fd) : -ENOENT;

		if (base < 0)
			continue;
		r = apply_patch(s, p, base, e);
		if (r == 0)
			s->result->patched++;
		if (r <= 0)
			return r;
		came_mark_patch(&s->came, p); /* it is not tried again: the object is fetched instead */
		*ret_spoilt = true;
	}
	return NOT_HERE;
}

/* What a pack brought may be spoilt from end to end: all of it is found in one run, and comes anew one by one. */
static int
note_bad(struct stage *s, const struct tree_entry *e, int reason)
{
	drop_object(s->objects_fd, e->sha256);
	s->bad_reason = reason;
	s->bad++;
	return 0;
}

static int
take_object(struct stage *s, const struct tree_entry *e)
{
	SCOPED(scope_close) int in = -1;
	SCOPED(scope_close) int out = -1;
	int r;

	r = open_object(s->objects_fd, e->sha256, &in);
	if (r != 0)
		return r;
	/* A patch that failed may have left a part. */
	out = beneath_open(s->dir_fd, e->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (out < 0)
		return FAULT(out);
	r = object_copy_fd(in, e->sha256, e->size, true, out);
	if (r > 0)
		return note_bad(s, e, r);
	if (r < 0)
		return r;
	(void)sync_file_range(out, 0, 0, SYNC_FILE_RANGE_WRITE);
	return fchmod(out, e->mode) < 0 ? FAULT(-errno) : 0;
}

static int
stage_file(struct stage *s, const struct tree_entry *e)
{
	bool spoilt = false;
	int r = take_stored(s, e, &spoilt);

	if (r == NOT_HERE)
		r = take_patched(s, e, &spoilt);
	if (r == NOT_HERE && spoilt && !object_exists(s->objects_fd, e->sha256)) {
		s->spoilt++;
		return 0;
	}
	return r == NOT_HERE ? take_object(s, e) : r;
}

static int
stage_entry(struct stage *s, const struct tree_entry *e)
{
	SCOPED(scope_close) int parent = -1;
	const char *name;
	int r;

	if (e->type == TREE_TYPE_FILE)
		return stage_file(s, e);
	r = beneath_parent(&parent, &name, s->dir_fd, e->path);
	if (r < 0)
		return FAULT(r);
	if (e->type == TREE_TYPE_LINK)
		return symlinkat(e->target, parent, name) < 0 ? FAULT(-errno) : 0;
	/* Owner bits stay writable until the end: entries below still have to be made. */
	if (mkdirat(parent, name, 0755) < 0)
		return FAULT(-errno);
	return 0;
}

/* Folders get their modes last, deepest first, when nothing is made below them any more. */
static int
close_folders(int dir_fd, const struct tree_index *index)
{
	for (size_t i = index->n_entries; i-- > 0;) {
		const struct tree_entry *e = &index->entries[i];

		if (e->type != TREE_TYPE_DIR)
			continue;
		SCOPED(scope_close) int fd = beneath_open(dir_fd, e->path, O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return FAULT(fd);
		if (fchmod(fd, e->mode) < 0)
			return FAULT(-errno);
	}
	return 0;
}

static int
stage_definition(int store_fd, int objects_fd, const struct tree_index *index, const char *hex)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED(scope_close) int in = -1;
	char name[STAGE_NAME_MAX];
	int r;

	r = open_object(objects_fd, index->definition, &in);
	if (r != 0)
		return r;
	SCOPED(scope_close) int copy = memfd_create("definition", MFD_CLOEXEC);
	if (copy < 0)
		return FAULT(-errno);
	r = object_copy_fd(in, index->definition, DEFINITION_BYTES_MAX, false, copy);
	if (r > 0)
		drop_object(objects_fd, index->definition);
	r = r ?: fs_read_fd(copy, DEFINITION_BYTES_MAX, &text);
	if (r != 0)
		return r;
	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = fs_replace(store_fd, name, text.data, text.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

/* Is anything lacking now that all files were tried? */
static int
check_all_taken(struct stage *s, const char *hex)
{
	if (s->bad && stage_packs_spoilt(s->objects_fd)) {
		/* They came one by one, and are no better: that is the end of it.  Whoever tries again may find packs mended. */
		(void)unlinkat(s->objects_fd, STAGE_PACKS_BAD, 0);
		return s->bad_reason;
	}
	if (s->bad) {
		int fd = openat(s->objects_fd, STAGE_PACKS_BAD, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

		if (fd < 0)
			return s->bad_reason;
		scope_close(&fd);
		return REFUSE(REASON_NOT_FOUND, hex, "%u objects have other bytes than their names say: they have to come again, by themselves",
			s->bad);
	}
	if (s->spoilt)
		return REFUSE(REASON_NOT_FOUND, hex, "%u patches or files of the store are not what they were: objects have to come instead",
			s->spoilt);
	return 0;
}

/* Make the tree under its passing name, then give it its own. */
static int
stage_all(struct stage *s, const struct tree_index *index, const void *bytes, size_t len, const char *hex,
	const char *passing)
{
	char name[STAGE_NAME_MAX];
	int r = stored_read(&s->stored, s->store_fd, index->service);

	r = r ?: came_read(&s->came, s->patches_fd);
	if (r != 0)
		return r;
	/* Whatever our umask: the services' users have to pass. */
	if (mkdirat(s->store_fd, passing, 0755) < 0 || fchmodat(s->store_fd, passing, 0755, 0) < 0)
		return FAULT(-errno);
	s->dir_fd = openat(s->store_fd, passing, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->dir_fd < 0)
		return FAULT(-errno);
	for (size_t i = 0; i < index->n_entries; i++) {
		r = stage_entry(s, &index->entries[i]);
		if (r != 0)
			return r;
	}
	r = check_all_taken(s, hex);
	if (r != 0)
		return r;
	r = close_folders(s->dir_fd, index);
	r = r ?: stage_definition(s->store_fd, s->objects_fd, index, hex);
	if (r != 0)
		return r;
	snprintf(name, sizeof(name), "%s.json", hex);
	r = fs_replace(s->store_fd, name, bytes, len, 0644);
	if (r < 0)
		return FAULT(r);
	/* One flush for some hundred files; the name must not come before their bytes. */
	if (syncfs(s->store_fd) < 0 || renameat(s->store_fd, passing, s->store_fd, hex) < 0)
		return FAULT(-errno);
	return fs_sync_dir(s->store_fd);
}

bool
stage_packs_spoilt(int objects_fd)
{
	struct stat st;

	return objects_fd >= 0 && fstatat(objects_fd, STAGE_PACKS_BAD, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int
stage_tree(struct stage_result *ret, int store_fd, int objects_fd, int patches_fd, const void *bytes, size_t len)
{
	SCOPED(tree_index_freep) struct tree_index *index = NULL;
	SCOPED(stage_done) struct stage s = {
		.store_fd = store_fd,
		.objects_fd = objects_fd,
		.patches_fd = patches_fd,
		.dir_fd = -1,
		.came.fd = -1,
		.result = ret,
	};
	char hex[65], passing[STAGE_NAME_MAX];
	uint8_t digest[SHA256_LEN];
	struct stat st;
	int r;

	r = tree_index_read(&index, bytes, len);
	if (r != 0)
		return r;
	sha256_of(digest, bytes, len);
	hex_encode(hex, digest, sizeof(digest));
	snprintf(passing, sizeof(passing), ".stage-%s", hex);
	*ret = (struct stage_result){ .bytes = tree_index_bytes(index) };
	for (size_t i = 0; i < index->n_entries; i++)
		ret->files += index->entries[i].type == TREE_TYPE_FILE;
	if (fstatat(store_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = check_space(store_fd, index);
	if (r != 0)
		return r;
	r = fs_remove_tree(store_fd, passing);
	r = r ?: stage_all(&s, index, bytes, len, hex, passing);
	if (r != 0)
		(void)fs_remove_tree(store_fd, passing); /* what is left of it is swept by the next staging */
	if (r == -ENOSPC || r == -EDQUOT)
		return REFUSE(REASON_NO_SPACE, index->service, "the disk of the store is full");
	return r;
}

int
stage_remove(int store_fd, const char *hex)
{
	char name[STAGE_NAME_MAX];
	int r;

	/* Its name goes first: what has it is whole. */
	snprintf(name, sizeof(name), ".stage-%s", hex);
	r = fs_remove_tree(store_fd, name);
	if (r == 0 && renameat(store_fd, hex, store_fd, name) < 0 && errno != ENOENT)
		r = -errno;
	r = r ?: fs_sync_dir(store_fd);
	r = r ?: fs_remove_tree(store_fd, name);
	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	snprintf(name, sizeof(name), "%s.json", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	return r < 0 ? FAULT(r) : r;
}
