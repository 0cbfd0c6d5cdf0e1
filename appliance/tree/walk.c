#include "appliance/tree/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/trust/sha256.h"

struct walk {
	struct tree_index *x;
	tree_walk_fn *each;
	void *arg;
	struct statx top;
};

int
tree_hash_fd(int fd, uint64_t max, uint8_t ret[32], uint64_t *ret_size)
{
	uint8_t chunk[64 * 1024];
	struct sha256 h;
	struct stat st;
	uint64_t at = 0;

	/* What is too large already is not read for minutes first. */
	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
		return REASON_TOO_LARGE;
	sha256_init(&h);
	for (;;) {
		ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		if (n == 0)
			break;
		at += (uint64_t)n;
		if (at > max)
			return REASON_TOO_LARGE;
		sha256_put(&h, chunk, (size_t)n);
	}
	sha256_final(&h, ret);
	*ret_size = at;
	return 0;
}

/* What is mounted tells file systems apart; device numbers do not: an overlay's files may have those of its layers, and
 * parts of one btrfs have several.  Kernels before 5.8 do not say what is mounted. */
static int
look(int dir_fd, const char *name, struct statx *ret)
{
	return statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
		       STATX_BASIC_STATS | STATX_MNT_ID, ret) < 0
		? FAULT(-errno)
		: 0;
}

static bool
is_mounted_together(const struct statx *a, const struct statx *b)
{
	if (a->stx_mask & b->stx_mask & STATX_MNT_ID)
		return a->stx_mnt_id == b->stx_mnt_id;
	return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor;
}

static int
check_kind(const struct walk *w, const struct statx *st, const char *path)
{
	if (!is_mounted_together(st, &w->top))
		return REFUSE(REASON_UNSAFE_TREE, path, "lies on another file system");
	if (S_ISLNK(st->stx_mode))
		return 0;
	if (!S_ISREG(st->stx_mode) && !S_ISDIR(st->stx_mode))
		return REFUSE(REASON_UNSAFE_TREE, path, "is a device, socket or pipe");
	return 0;
}

static int
add_link(struct walk *w, int dir_fd, const char *name, struct tree_entry *e)
{
	char target[TREE_PATH_MAX + 2];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return FAULT(-errno);
	target[n] = '\0';
	e->type = TREE_TYPE_LINK;
	e->mode = 0;
	e->target = target;
	return tree_index_add(w->x, e);
}

static int
add_file(struct walk *w, int dir_fd, const char *name, struct tree_entry *e)
{
	SCOPED(scope_close) int fd = beneath_open(dir_fd, name, O_RDONLY | O_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return FAULT(fd);
	r = tree_attributes_check(fd, e->path);
	if (r)
		return r;
	e->type = TREE_TYPE_FILE;
	r = tree_hash_fd(fd, TREE_FILE_MAX, e->sha256, &e->size);
	if (r > 0)
		return REFUSE(REASON_TOO_LARGE, e->path, "more than %llu bytes",
			(unsigned long long)TREE_FILE_MAX);
	r = r ?: tree_index_add(w->x, e);
	return r || !w->each ? r : w->each(e, fd, w->arg);
}

/* As deep as a path may be: tree_path_check() ends it. */
static int walk_dir(struct walk *w, int take_fd, const char *below);

static int
add_one(struct walk *w, int dir_fd, const char *below, const char *name)
{
	char path[TREE_PATH_MAX + 1];
	struct tree_entry e = { .path = path };
	struct statx st;
	int fd, r;

	if (snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "", name) >=
		(int)sizeof(path))
		return REFUSE(REASON_UNSAFE_TREE, below, "a path below it is too long");
	r = tree_path_check(path);
	if (r)
		return r;
	r = look(dir_fd, name, &st);
	r = r ?: check_kind(w, &st, path);
	if (r)
		return r;
	e.mode = st.stx_mode & 0777;
	if (S_ISLNK(st.stx_mode))
		return add_link(w, dir_fd, name, &e);
	if (S_ISREG(st.stx_mode))
		return add_file(w, dir_fd, name, &e);
	e.type = TREE_TYPE_DIR;
	r = tree_index_add(w->x, &e);
	if (r)
		return r;
	fd = beneath_open(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return FAULT(fd);
	r = tree_attributes_check(fd, path);
	if (r) {
		close(fd);
		return r;
	}
	return walk_dir(w, fd, path);
}

static int
walk_dir(struct walk *w, int take_fd, const char *below)
{
	SCOPED(scope_closedir) DIR *dir = fdopendir(take_fd);
	struct dirent *e;
	int r = 0;

	if (!dir) {
		r = -errno;
		close(take_fd);
		return FAULT(r);
	}
	while (!r && (errno = 0, e = readdir(dir))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = add_one(w, dirfd(dir), below, e->d_name);
	}
	if (!r && errno)
		return FAULT(-errno);
	return r;
}

int
tree_walk(struct tree_index *x, int dir_fd, tree_walk_fn *each, void *arg)
{
	struct walk w = { .x = x, .each = each, .arg = arg };
	int fd, r;

	r = look(dir_fd, "", &w.top);
	if (r)
		return r;
	fd = beneath_open(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? FAULT(fd) : walk_dir(&w, fd, "");
}
