#include "updater/activate/stage_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"
#include "updater/activate/came.h"
#include "updater/activate/stored.h"
#include "updater/object/object.h"
#include "updater/object/patch.h"

enum { NOT_HERE = 4096 }; /* no reason of refuse.h: this way gives no file, and nothing is wrong with that */

/* Open an object that the courier wrote; it may have put anything there, links included. */
int
stage_file_open_object(int objects_fd, const uint8_t sha256[32], int *ret_fd)
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
void
stage_file_drop_object(int objects_fd, const uint8_t sha256[32])
{
	SCOPED(scope_close) int parent = -1;
	char path[OBJECT_NAME_MAX];
	const char *name;

	if (beneath_parent(&parent, &name, objects_fd, object_name(path, sha256)) == 0)
		(void)unlinkat(parent, name, 0);
}

/* --- files ------------------------------------------------------------------------------------------------------- */
/* The file lies elsewhere in the store with the same bytes and mode: one more name for it.  The trees are read-only, and
 * what drifts in one is found in each of them.  NOT_HERE: it cannot be; then it is copied. */
static int
link_held(struct stage_hand *h, const struct stored_file *f, int fd, const struct tree_entry *e)
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
	if (beneath_parent(&from_dir, &from, h->of->store_fd, path) < 0 ||
		beneath_parent(&to_dir, &to, h->of->dir_fd, e->path) < 0)
		return NOT_HERE;
	if (linkat(from_dir, from, to_dir, to, 0) < 0)
		return NOT_HERE; /* as many names as the file system allows */
	if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == is.st_ino && st.st_dev == is.st_dev)
		return 0;
	(void)unlinkat(to_dir, to, 0);
	return NOT_HERE;
}

static int
copy_held(struct stage_hand *h, int fd, const struct tree_entry *e)
{
	SCOPED(scope_close) int out = beneath_open(h->of->dir_fd, e->path, O_RDWR | O_CREAT | O_EXCL, 0600);
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
take_stored(struct stage_hand *h, const struct tree_entry *e, bool *ret_spoilt)
{
	const struct stored_file *f = stored_find(h->of->stored, e->sha256, e->mode);
	SCOPED(scope_close) int fd = f ? stored_open(f, h->of->store_fd) : -ENOENT;
	uint8_t digest[SHA256_LEN];
	uint64_t size = 0;
	int r;

	if (!f)
		return NOT_HERE;
	if (fd < 0 || tree_hash_fd(fd, e->size, digest, &size) != 0 || size != e->size ||
		!sha256_same(digest, e->sha256, sizeof(digest))) {
		came_mark_file(h->of->came, e->sha256);
		*ret_spoilt = true;
		return NOT_HERE;
	}
	r = link_held(h, f, fd, e);
	if (r == NOT_HERE)
		r = copy_held(h, fd, e);
	if (r == 0)
		h->linked++;
	return r;
}

static int
apply_patch(struct stage_hand *h, const struct came_patch *p, int base, const struct tree_entry *e)
{
	SCOPED(scope_close) int out = -1, patch = -1;
	char name[PATCH_NAME_MAX];
	struct stat st;
	int r = 0;

	if (!h->room)
		r = patch_room_new(&h->room, h->of->store_fd, &h->of->large);
	if (r < 0)
		return r;
	patch = beneath_open(h->of->patches_fd, patch_name(name, p->from, p->to), O_RDONLY | O_NONBLOCK, 0);
	if (patch < 0 || fstat(patch, &st) < 0 || !S_ISREG(st.st_mode))
		return REFUSE(REASON_UNSAFE_TREE, name, "the patch cannot be opened");
	out = beneath_open(h->of->dir_fd, e->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (out < 0)
		return FAULT(out);
	r = patch_apply(h->room, patch, base, e->sha256, e->size, out);
	if (r != 0)
		return r;
	(void)sync_file_range(out, 0, 0, SYNC_FILE_RANGE_WRITE); /* the flush at the end is shorter by it */
	return fchmod(out, e->mode) < 0 ? FAULT(-errno) : 0;
}

/* NOT_HERE: no patch makes it. */
static int
take_patched(struct stage_hand *h, const struct tree_entry *e, bool *ret_spoilt)
{
	size_t n;
	const struct came_patch *p = came_find(h->of->came, e->sha256, &n);
	int r;

	for (; n > 0; n--, p++) {
		const struct stored_file *f = stored_find(h->of->stored, p->from, 0);
		SCOPED(scope_close) int base = f ? stored_open(f, h->of->store_fd) : -ENOENT;

		if (base < 0)
			continue;
		r = apply_patch(h, p, base, e);
		if (r == 0)
			h->patched++;
		if (r <= 0)
			return r;
		came_mark_patch(h->of->came, p); /* it is not tried again: the object is fetched instead */
		*ret_spoilt = true;
	}
	return NOT_HERE;
}

/* What a pack brought may be spoilt from end to end: all of it is found in one run, and comes anew one by one. */
static int
note_bad(struct stage_hand *h, const struct tree_entry *e)
{
	stage_file_drop_object(h->of->objects_fd, e->sha256);
	h->why = *refuse_last();
	h->bad++;
	return 0;
}

static int
take_object(struct stage_hand *h, const struct tree_entry *e)
{
	SCOPED(scope_close) int in = -1;
	SCOPED(scope_close) int out = -1;
	int r;

	r = stage_file_open_object(h->of->objects_fd, e->sha256, &in);
	if (r != 0)
		return r;
	/* A patch that failed may have left a part. */
	out = beneath_open(h->of->dir_fd, e->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (out < 0)
		return FAULT(out);
	if (e->size > PATCH_KEEP)
		(void)pthread_mutex_lock(&h->of->large);
	r = object_copy_fd(in, e->sha256, e->size, true, out);
	if (e->size > PATCH_KEEP)
		(void)pthread_mutex_unlock(&h->of->large);
	if (r > 0)
		return note_bad(h, e);
	if (r < 0)
		return r;
	(void)sync_file_range(out, 0, 0, SYNC_FILE_RANGE_WRITE);
	return fchmod(out, e->mode) < 0 ? FAULT(-errno) : 0;
}

int
stage_file_make(struct stage_hand *h, const struct tree_entry *e)
{
	bool spoilt = false;
	int r = take_stored(h, e, &spoilt);

	if (r == NOT_HERE)
		r = take_patched(h, e, &spoilt);
	if (r == NOT_HERE && spoilt && !object_exists(h->of->objects_fd, e->sha256)) {
		h->spoilt++;
		return 0;
	}
	return r == NOT_HERE ? take_object(h, e) : r;
}
