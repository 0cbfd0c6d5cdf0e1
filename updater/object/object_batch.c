#include "updater/object/object_batch.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"

struct object_batch {
	int dir_fd;	 /* borrowed */
	json_t *files;	 /* temporary name -> its own */
	json_t *folders; /* name -> true where it was made here; those that got a file */
};

int
object_batch_new(struct object_batch **ret, int dir_fd)
{
	SCOPED(object_batch_freep) struct object_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return FAULT(-ENOMEM);
	b->dir_fd = dir_fd;
	b->files = json_object();
	b->folders = json_object();
	if (!b->files || !b->folders)
		return FAULT(-ENOMEM);
	*ret = STEAL(b);
	return 0;
}

struct object_batch *
object_batch_free(struct object_batch *b)
{
	const char *name;
	json_t *is;

	if (!b)
		return NULL;
	json_object_foreach(b->files, name, is)
		(void)unlinkat(b->dir_fd, name, 0);
	json_object_foreach(b->folders, name, is)
		if (json_is_true(is))
			(void)unlinkat(b->dir_fd, name, AT_REMOVEDIR); /* refused where an object is in it */
	json_decref(b->files);
	json_decref(b->folders);
	free(b);
	return NULL;
}

static int
make_folder(struct object_batch *b, const char *object)
{
	char aa[3];
	bool made;

	(void)snprintf(aa, sizeof(aa), "%.2s", object);
	if (json_object_get(b->folders, aa))
		return 0;
	made = mkdirat(b->dir_fd, aa, 0755) == 0;
	if (!made && errno != EEXIST)
		return FAULT(-errno);
	if (made && fchmodat(b->dir_fd, aa, 0755, 0) < 0) /* what is served is readable, whatever the umask */
		return FAULT(-errno);
	return json_object_set_new(b->folders, aa, json_boolean(made)) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
write_object(struct object_batch *b, const char *name, int from_fd, uint64_t size)
{
	SCOPED(scope_close) int fd = -1;
	char temporary[OBJECT_NAME_MAX + 8];
	int r;

	(void)snprintf(temporary, sizeof(temporary), "%.3s.tmp.%s", name, name + 3);
	if (json_object_get(b->files, temporary))
		return 0;
	r = make_folder(b, name);
	if (r)
		return r;
	/* Noted first: what was begun is removed, too. */
	if (json_object_set_new(b->files, temporary, json_string(name)) < 0)
		return FAULT(-ENOMEM);
	fd = openat(b->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return FAULT(-errno);
	return FAULT(object_compress(from_fd, size, fd));
}

int
object_batch_put_fd(struct object_batch *b, int fd, uint8_t ret_sha256[32])
{
	uint8_t sha256[SHA256_LEN];
	char name[OBJECT_NAME_MAX];
	uint64_t size;
	int r = tree_hash_fd(fd, UINT64_MAX, sha256, &size);

	if (r)
		return FAULT(r);
	if (!object_exists(b->dir_fd, sha256))
		r = write_object(b, object_name(name, sha256), fd, size);
	if (!r && ret_sha256)
		memcpy(ret_sha256, sha256, sizeof(sha256));
	return r;
}

int
object_batch_put(struct object_batch *b, const void *p, size_t len, uint8_t ret_sha256[32])
{
	SCOPED(scope_close) int fd = -1;
	int r = fs_memfd(&fd, "object", p, len);

	return r ? FAULT(r) : object_batch_put_fd(b, fd, ret_sha256);
}

/* --- all at once -------------------------------------------------------------------------------------------------- */
/* The keys, and one more name. */
static int
sync_keys(int dir_fd, json_t *of, const char *more)
{
	SCOPED(scope_free) const char **names = calloc(json_object_size(of) + 1, sizeof(*names));
	const char *name;
	json_t *is;
	size_t n = 0;

	if (!names)
		return FAULT(-ENOMEM);
	json_object_foreach(of, name, is)
		names[n++] = name;
	if (more)
		names[n++] = more;
	return FAULT(fs_sync_all(dir_fd, names, n));
}

int
object_batch_commit(struct object_batch *b)
{
	const char *temporary;
	json_t *name;
	void *next;
	int r;

	if (json_object_size(b->files) == 0)
		return 0;
	r = sync_keys(b->dir_fd, b->files, NULL);
	if (r)
		return r;
	json_object_foreach_safe(b->files, next, temporary, name)
	{
		if (renameat(b->dir_fd, temporary, b->dir_fd, json_string_value(name)) < 0)
			return FAULT(-errno);
		(void)json_object_del(b->files, temporary);
	}
	return sync_keys(b->dir_fd, b->folders, ".");
}
