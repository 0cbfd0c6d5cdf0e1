#include "appliance/audit/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"

enum { FILE_MODE = 0600, DIR_MODE = 0700 };

void
stage_init(struct stage *s, int dir_fd)
{
	s->dir_fd = dir_fd;
	s->n = s->n_dirs = 0;
}

void
stage_done(struct stage *s)
{
	for (size_t i = 0; i < s->n; i++)
		scope_close(&s->file[i].fd);
	for (size_t i = 0; i < s->n_dirs; i++)
		scope_close(&s->dir[i].fd);
	s->n = s->n_dirs = 0;
}

/* The folder of that name, opened once. */
static int
open_dir(struct stage *s, const char *name, const char *base, struct stage_dir **ret)
{
	size_t len = (size_t)(base - name) - 1;
	struct stage_dir *d = &s->dir[s->n_dirs];
	int r;

	for (size_t i = 0; i < s->n_dirs; i++) {
		if (strlen(s->dir[i].name) == len && !memcmp(s->dir[i].name, name, len)) {
			*ret = &s->dir[i];
			return 0;
		}
	}
	memcpy(d->name, name, len);
	d->name[len] = '\0';
	r = fs_open_dir(&d->fd, s->dir_fd, d->name, DIR_MODE);
	if (r < 0)
		return FAULT(r);
	s->n_dirs++;
	d->grew = false;
	*ret = d;
	return 0;
}

static int
open_file(struct stage *s, const char *name, int flags, bool is_new, struct stage_file **ret)
{
	const char *base = strrchr(name, '/') + 1;
	struct stage_file *f = &s->file[s->n];
	struct stage_dir *dir = NULL;
	int r;

	if (s->n == STAGE_FILES_MAX || strlen(name) >= sizeof(f->name))
		return FAULT(-EOVERFLOW);
	r = open_dir(s, name, base, &dir);
	if (r < 0)
		return FAULT(r);
	f->fd = openat(dir->fd, base, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags,
		FILE_MODE);
	if (f->fd < 0)
		return FAULT(-errno);
	memcpy(f->name, name, strlen(name) + 1);
	dir->grew |= is_new;
	s->n++;
	*ret = f;
	return 0;
}

int
stage_put(struct stage *s, const char *name, const void *p, size_t len)
{
	struct stage_file *f;
	int r = open_file(s, name, O_TRUNC, true, &f);

	if (r < 0)
		return FAULT(r);
	f->was = -1;
	return FAULT(fs_write_all(f->fd, p, len));
}

int
stage_append(struct stage *s, const char *name, off_t at, const void *p, size_t len)
{
	struct stage_file *f;
	int r = open_file(s, name, 0, at == 0, &f);

	if (r < 0)
		return FAULT(r);
	f->was = at > 0 ? at : -1;
	if (ftruncate(f->fd, at) < 0 || lseek(f->fd, at, SEEK_SET) < 0)
		return FAULT(-errno);
	return FAULT(fs_write_all(f->fd, p, len));
}

int
stage_again(struct stage *s, const char *name, const void *p, size_t len)
{
	struct stage_file *f;
	int r = open_file(s, name, 0, false, &f);

	if (r < 0)
		return FAULT(r);
	f->was = (off_t)len;
	return FAULT(fs_write_all(f->fd, p, len));
}

int
stage_sync(struct stage *s)
{
	/* All begin before the first is waited for, so that they share the file system's commit. */
	for (size_t i = 0; i < s->n; i++)
		(void)sync_file_range(s->file[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (size_t i = 0; i < s->n; i++) {
		if (fdatasync(s->file[i].fd) < 0)
			return FAULT(-errno);
	}
	for (size_t i = 0; i < s->n_dirs; i++) {
		int r = s->dir[i].grew ? fs_sync_dir(s->dir[i].fd) : 0;

		if (r < 0)
			return FAULT(r);
	}
	return 0;
}

int
stage_undo(struct stage *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct stage_file *f = &s->file[i];

		if (f->was < 0) {
			if (unlinkat(s->dir_fd, f->name, 0) < 0 && errno != ENOENT)
				return FAULT(-errno);
		} else if (ftruncate(f->fd, f->was) < 0 || fsync(f->fd) < 0) {
			return FAULT(-errno);
		}
	}
	return 0;
}
