#include "updater/activate/came.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "updater/object/patch.h"

enum { ENDING = 4 }; /* ".zst", ".bad" */

static int
by_to(const void *a, const void *b)
{
	const struct came_patch *x = a, *y = b;
	int r = memcmp(x->to, y->to, sizeof(x->to));

	return r ?: memcmp(x->from, y->from, sizeof(x->from));
}

void
came_done(struct came *c)
{
	scope_close(&c->fd);
	free(c->patches);
}

int
came_read(struct came *ret, int fd)
{
	struct came c = { .fd = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	const struct dirent *d;
	int list = c.fd < 0 ? -1 : openat(c.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = list < 0 ? NULL : fdopendir(list);

	if (!dir) {
		scope_close(&list);
		*ret = c;
		return fd < 0 ? 0 : FAULT(-errno);
	}
	while (c.n < CAME_MAX && (d = readdir(dir))) {
		/* Room doubles at each power of two. */
		if ((c.n & (c.n - 1)) == 0) {
			struct came_patch *more = reallocarray(c.patches, c.n ? 2 * c.n : 1, sizeof(*more));

			if (!more)
				break; /* the rest counts as not there, and comes as objects */
			c.patches = more;
		}
		if (patch_name_read(d->d_name, c.patches[c.n].from, c.patches[c.n].to))
			c.n++;
	}
	closedir(dir);
	if (c.n > 0)
		qsort(c.patches, c.n, sizeof(*c.patches), by_to);
	*ret = c;
	return 0;
}

const struct came_patch *
came_find(const struct came *c, const uint8_t to[32], size_t *ret_n)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(c->patches[middle].to, to, 32) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (*ret_n = 0; low + *ret_n < c->n && memcmp(c->patches[low + *ret_n].to, to, 32) == 0;)
		++*ret_n;
	return *ret_n ? &c->patches[low] : NULL;
}

/* --- marks -------------------------------------------------------------------------------------------------------- */
static char *
marked_patch(char out[PATCH_NAME_MAX], const uint8_t from[32], const uint8_t to[32])
{
	patch_name(out, from, to);
	memcpy(out + strlen(out) - ENDING, ".bad", ENDING);
	return out;
}

static char *
marked_file(char out[PATCH_NAME_MAX], const uint8_t sha256[32])
{
	char hex[65];

	(void)snprintf(out, PATCH_NAME_MAX, "%s.bad", hex_encode(hex, sha256, 32));
	return out;
}

static void
leave_mark(const struct came *c, const char *name)
{
	int fd = c->fd < 0 ? -1
			   : openat(c->fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

	scope_close(&fd);
}

void
came_mark_patch(const struct came *c, const struct came_patch *p)
{
	char name[PATCH_NAME_MAX];

	leave_mark(c, marked_patch(name, p->from, p->to));
	(void)unlinkat(c->fd, patch_name(name, p->from, p->to), 0);
}

void
came_mark_file(const struct came *c, const uint8_t sha256[32])
{
	char name[PATCH_NAME_MAX];

	leave_mark(c, marked_file(name, sha256));
}

static bool
is_there(const struct came *c, const char *name)
{
	struct stat st;

	return c->fd >= 0 && fstatat(c->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool
came_patch_marked(const struct came *c, const uint8_t from[32], const uint8_t to[32])
{
	char name[PATCH_NAME_MAX];

	return is_there(c, marked_patch(name, from, to));
}

bool
came_file_marked(const struct came *c, const uint8_t sha256[32])
{
	char name[PATCH_NAME_MAX];

	return is_there(c, marked_file(name, sha256));
}
