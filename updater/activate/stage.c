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
#include "appliance/trust/sha256.h"
#include "updater/object/object.h"

enum { STAGE_NAME_MAX = 128 };

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

static int
stage_file(int dir_fd, int objects_fd, const struct tree_entry *e)
{
	SCOPED(scope_close) int in = -1;
	SCOPED(scope_close) int out = -1;
	int r;

	r = open_object(objects_fd, e->sha256, &in);
	if (r != 0)
		return r;
	out = beneath_open(dir_fd, e->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (out < 0)
		return FAULT(out);
	r = object_copy_fd(in, e->sha256, e->size, true, out);
	if (r > 0)
		drop_object(objects_fd, e->sha256);
	if (r != 0)
		return r;
	return fchmod(out, e->mode) < 0 ? FAULT(-errno) : 0;
}

static int
stage_entry(int dir_fd, int objects_fd, const struct tree_entry *e)
{
	SCOPED(scope_close) int parent = -1;
	const char *name;
	int r;

	if (e->type == TREE_TYPE_FILE)
		return stage_file(dir_fd, objects_fd, e);
	r = beneath_parent(&parent, &name, dir_fd, e->path);
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

/* Make the tree under its passing name, then give it its own. */
static int
stage_all(int store_fd, int objects_fd, const struct tree_index *index, const void *bytes, size_t len,
	const char *hex, const char *passing)
{
	SCOPED(scope_close) int dir_fd = -1;
	char name[STAGE_NAME_MAX];
	int r;

	/* Whatever our umask: the services' users have to pass. */
	if (mkdirat(store_fd, passing, 0755) < 0 || fchmodat(store_fd, passing, 0755, 0) < 0)
		return FAULT(-errno);
	dir_fd = openat(store_fd, passing, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir_fd < 0)
		return FAULT(-errno);
	for (size_t i = 0; i < index->n_entries; i++) {
		r = stage_entry(dir_fd, objects_fd, &index->entries[i]);
		if (r != 0)
			return r;
	}
	r = close_folders(dir_fd, index);
	r = r ?: stage_definition(store_fd, objects_fd, index, hex);
	if (r != 0)
		return r;
	snprintf(name, sizeof(name), "%s.json", hex);
	r = fs_replace(store_fd, name, bytes, len, 0644);
	if (r < 0)
		return FAULT(r);
	/* One flush for some hundred files; the name must not come before their bytes. */
	if (syncfs(store_fd) < 0 || renameat(store_fd, passing, store_fd, hex) < 0)
		return FAULT(-errno);
	return fs_sync_dir(store_fd);
}

int
stage_tree(struct stage_result *ret, int store_fd, int objects_fd, const void *bytes, size_t len)
{
	SCOPED(tree_index_freep) struct tree_index *index = NULL;
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
	ret->bytes = tree_index_bytes(index);
	ret->files = 0;
	for (size_t i = 0; i < index->n_entries; i++)
		ret->files += index->entries[i].type == TREE_TYPE_FILE;
	if (fstatat(store_fd, hex, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = check_space(store_fd, index);
	if (r != 0)
		return r;
	r = fs_remove_tree(store_fd, passing);
	r = r ?: stage_all(store_fd, objects_fd, index, bytes, len, hex, passing);
	if (r != 0)
		(void)fs_remove_tree(store_fd, passing); /* what is left of it is swept by the next staging */
	return r;
}

int
stage_remove(int store_fd, const char *hex)
{
	char name[STAGE_NAME_MAX];
	int r;

	r = fs_remove_tree(store_fd, hex);
	snprintf(name, sizeof(name), ".stage-%s", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	snprintf(name, sizeof(name), "%s.definition.json", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	snprintf(name, sizeof(name), "%s.json", hex);
	r = r ?: fs_remove_tree(store_fd, name);
	return r < 0 ? FAULT(r) : r;
}
