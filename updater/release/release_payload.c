#include "updater/release/release_payload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "updater/object/object.h"
#include "updater/release/release_closure.h"

struct payload {
	struct tree_index *x;
	int folder_fd, objects_fd;
};

/* x is unsorted while it grows, and small enough to be looked through. */
static const struct tree_entry *
find(const struct tree_index *x, const char *path)
{
	for (size_t i = 0; i < x->n_entries; i++) {
		if (!strcmp(x->entries[i].path, path))
			return &x->entries[i];
	}
	return NULL;
}

/* Only what a version-control system keeps of a mode, so that a checkout's umask is not in the digest. */
static unsigned
plain_mode(unsigned mode)
{
	return mode & 0111 ? 0755 : 0644;
}

static int
add_parents(struct payload *p, const char *path)
{
	char parent[TREE_PATH_MAX + 1];

	for (const char *s = path; (s = strchr(s, '/')); s++) {
		struct tree_entry e = { .path = parent, .type = TREE_TYPE_DIR, .mode = 0755 };
		const struct tree_entry *is;
		int r;

		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(s - path), path);
		is = find(p->x, parent);
		if (is && is->type != TREE_TYPE_DIR)
			return REFUSE(REASON_CONFLICT, path, "%s is no folder of the tree", parent);
		r = is ? 0 : tree_index_add(p->x, &e);
		if (r)
			return r;
	}
	return 0;
}

/* Add an open file at path, and keep its bytes. */
static int
add_fd(struct payload *p, int fd, const char *path, unsigned mode)
{
	struct tree_entry e = { .path = (char *)path, .type = TREE_TYPE_FILE };
	const struct tree_entry *is = find(p->x, path);
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode))
		return REFUSE(REASON_UNSAFE_TREE, path, "is no regular file");
	if (st.st_mode & (S_ISUID | S_ISGID))
		return REFUSE(REASON_UNSAFE_TREE, path, "has set-user-id or set-group-id bits");
	if (fgetxattr(fd, "security.capability", NULL, 0) >= 0)
		return REFUSE(REASON_UNSAFE_TREE, path, "has file capabilities");
	r = tree_path_check(path);
	r = r ?: add_parents(p, path);
	r = r ?: tree_hash_fd(fd, TREE_FILE_MAX, e.sha256, &e.size);
	if (r)
		return r;
	if (is && is->type == TREE_TYPE_FILE && !memcmp(is->sha256, e.sha256, sizeof(e.sha256)))
		return 0; /* a library that two programs share */
	if (is)
		return REFUSE(REASON_CONFLICT, path, "two things of the payload claim this path");
	e.mode = mode ? mode : plain_mode(st.st_mode);
	r = tree_index_add(p->x, &e);
	return r ?: object_put_fd(p->objects_fd, fd, NULL);
}

static int
add_link(struct payload *p, const char *path, const char *target)
{
	struct tree_entry e = {
		.path = (char *)path, .type = TREE_TYPE_LINK, .target = (char *)target
	};
	const struct tree_entry *is = find(p->x, path);

	if (is && is->type == TREE_TYPE_LINK && !strcmp(is->target, target))
		return 0;
	if (is)
		return REFUSE(REASON_CONFLICT, path, "two things of the payload claim this path");
	return tree_index_add(p->x, &e);
}

/* A file of this machine at its own place.  Where a folder at the top is a link here (/lib64 -> usr/lib64)
 * the tree gets the same link. */
static int
add_host_file(struct payload *p, const char *host)
{
	SCOPED(scope_close) int fd = open(host, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *rest = strchr(host + 1, '/');
	char top[64], real[PATH_MAX], path[PATH_MAX + 64];
	int r;

	if (fd < 0)
		return REFUSE(
			REASON_NOT_FOUND, host, "cannot be opened: is its package installed?");
	if (!rest || (size_t)(rest - host) >= sizeof(top))
		return REFUSE(REASON_MALFORMED, host, "lies at the very top");
	(void)snprintf(top, sizeof(top), "%.*s", (int)(rest - host), host);
	if (!realpath(top, real))
		return FAULT(-errno);
	(void)snprintf(path, sizeof(path), "%s%s", real + 1, rest);
	r = add_fd(p, fd, path, 0);
	if (!r && strcmp(real, top) != 0)
		r = add_link(p, top + 1, real + 1);
	return r;
}

static int
add_programs(struct payload *p, const json_t *programs)
{
	SCOPED_JSON *libraries = json_array();
	int r = 0;

	if (!libraries)
		return FAULT(-ENOMEM);
	for (size_t i = 0; !r && i < json_array_size(programs); i++) {
		const char *path = json_string_value(json_array_get(programs, i));

		r = release_closure(libraries, path);
		r = r ?: add_host_file(p, path);
	}
	for (size_t i = 0; !r && i < json_array_size(libraries); i++)
		r = add_host_file(p, json_string_value(json_array_get(libraries, i)));
	return r;
}

static int
add_files(struct payload *p, const json_t *files)
{
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(files); i++) {
		const json_t *one = json_array_get(files, i);
		const char *from = json_string_value(json_object_get(one, "from")),
			   *to = json_string_value(json_object_get(one, "to")),
			   *mode = json_string_value(json_object_get(one, "mode"));
		SCOPED(scope_close) int fd = -1;

		if (from[0] == '/')
			fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		else
			fd = beneath_open(p->folder_fd, from, O_RDONLY | O_NONBLOCK, 0);
		if (fd < 0)
			return REFUSE(REASON_NOT_FOUND, from, "cannot be opened");
		r = add_fd(p, fd, to + 1, !mode ? 0 : strcmp(mode, "0755") ? 0644 : 0755);
	}
	return r;
}

static int
keep_file(const struct tree_entry *e, int fd, void *arg)
{
	const struct payload *p = arg;

	(void)e;
	return object_put_fd(p->objects_fd, fd, NULL);
}

/* A folder as it is, first, so that everything else goes round it. */
static int
add_tree(struct payload *p, const char *name)
{
	SCOPED(scope_close) int fd = -1;
	int r;

	fd = beneath_open(p->folder_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, name, "is no folder beside the definition");
	r = tree_walk(p->x, fd, keep_file, p);
	for (size_t i = 0; !r && i < p->x->n_entries; i++) {
		struct tree_entry *e = &p->x->entries[i];

		if (e->type == TREE_TYPE_DIR)
			e->mode = 0755;
		else if (e->type == TREE_TYPE_FILE)
			e->mode = plain_mode(e->mode);
	}
	return r;
}

int
release_payload(struct tree_index *x, const struct definition *d, int folder_fd, int objects_fd)
{
	struct payload p = { x, folder_fd, objects_fd };
	const char *tree = json_string_value(json_object_get(d->payload, "tree"));
	int r = tree ? add_tree(&p, tree) : 0;

	r = r ?: add_programs(&p, json_object_get(d->payload, "programs"));
	return r ?: add_files(&p, json_object_get(d->payload, "files"));
}
