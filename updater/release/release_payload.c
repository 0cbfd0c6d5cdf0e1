#include "updater/release/release_payload.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "updater/object/object_batch.h"
#include "updater/release/release_closure.h"
#include "updater/release/release_package.h"

struct payload {
	struct tree_index *x;
	json_t *at;	 /* path in the tree -> its number in x, which is unsorted while it grows */
	json_t *origins; /* path in the tree -> where it came from (release_payload.h) */
	json_t *needed;	 /* libraries of programs and plugins */
	size_t n_there;	 /* of them, those that x has */
	int folder_fd;
	struct object_batch *objects; /* NULL: nothing is kept */
	void (*on_fault)(const struct refusal *why, void *arg);
	void *arg;
};

static const struct tree_entry *
find(const struct payload *p, const char *path)
{
	const json_t *n = json_object_get(p->at, path);

	return n ? &p->x->entries[json_integer_value(n)] : NULL;
}

static int
add_entry(struct payload *p, const struct tree_entry *e, const char *origin)
{
	int r = tree_index_add(p->x, e);

	if (r)
		return r;
	if (json_object_set_new(p->at, e->path, json_integer((json_int_t)p->x->n_entries - 1)) < 0)
		return FAULT(-ENOMEM);
	return origin && json_object_set_new(p->origins, e->path, json_string(origin)) < 0 ? FAULT(-ENOMEM) : 0;
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
		is = find(p, parent);
		if (is && is->type != TREE_TYPE_DIR)
			return REFUSE(REASON_CONFLICT, path, "%s is no folder of the tree", parent);
		r = is ? 0 : add_entry(p, &e, NULL);
		if (r)
			return r;
	}
	return 0;
}

/* Add an open file at path, and keep its bytes. */
static int
add_fd(struct payload *p, int fd, const char *path, unsigned mode, const char *origin)
{
	struct tree_entry e = { .path = (char *)path, .type = TREE_TYPE_FILE };
	const struct tree_entry *is;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return FAULT(-errno);
	if (!S_ISREG(st.st_mode))
		return REFUSE(REASON_UNSAFE_TREE, path, "is no regular file");
	r = tree_attributes_check(fd, path);
	r = r ?: tree_path_check(path);
	r = r ?: add_parents(p, path);
	r = r ?: tree_hash_fd(fd, TREE_FILE_MAX, e.sha256, &e.size);
	if (r)
		return r;
	is = find(p, path);
	if (is && is->type == TREE_TYPE_FILE && !memcmp(is->sha256, e.sha256, sizeof(e.sha256)))
		return 0; /* a library that two programs share */
	if (is)
		return REFUSE(REASON_CONFLICT, path, "two things of the payload claim this path");
	e.mode = mode ? mode : plain_mode(st.st_mode);
	r = add_entry(p, &e, origin);
	return r || !p->objects ? r : object_batch_put_fd(p->objects, fd, NULL);
}

static int
add_link(struct payload *p, const char *path, const char *target, const char *origin)
{
	struct tree_entry e = {
		.path = (char *)path, .type = TREE_TYPE_LINK, .target = (char *)target
	};
	const struct tree_entry *is;
	int r = tree_path_check(path);

	r = r ?: add_parents(p, path);
	if (r)
		return r;
	is = find(p, path);
	if (is && is->type == TREE_TYPE_LINK && !strcmp(is->target, target))
		return 0;
	if (is)
		return REFUSE(REASON_CONFLICT, path, "two things of the payload claim this path");
	return add_entry(p, &e, origin);
}

/* Where a thing of this machine lies in the tree: at its own place.  Where a folder at the top is a link here
 * (/lib64 -> usr/lib64) the tree gets the same link. */
static int
place(struct payload *p, const char *host, char path[PATH_MAX + 64])
{
	const char *rest = strchr(host + 1, '/');
	char top[64], real[PATH_MAX];

	if (!rest || (size_t)(rest - host) >= sizeof(top))
		return REFUSE(REASON_MALFORMED, host, "lies at the very top");
	(void)snprintf(top, sizeof(top), "%.*s", (int)(rest - host), host);
	if (!realpath(top, real))
		return FAULT(-errno);
	(void)snprintf(path, PATH_MAX + 64, "%s%s", real + 1, rest);
	return strcmp(real, top) != 0 ? add_link(p, top + 1, real + 1, NULL) : 0;
}

static int
add_host_file(struct payload *p, const char *host)
{
	SCOPED(scope_close) int fd = open(host, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char path[PATH_MAX + 64], target[PATH_MAX + 64];
	const struct tree_entry *is;
	int r;

	if (fd < 0)
		return REFUSE(
			REASON_NOT_FOUND, host, "cannot be opened: is its package installed?");
	r = place(p, host, path);
	if (r)
		return r;
	/* A package brought its link already: the library is what that leads to. */
	is = find(p, path);
	if (is && is->type == TREE_TYPE_LINK && !strchr(is->target, '/')) {
		(void)snprintf(target, sizeof(target), "%.*s%s",
			(int)(strrchr(host, '/') + 1 - host), host, is->target);
		return add_host_file(p, target);
	}
	return add_fd(p, fd, path, 0, host);
}

/* One thing was refused: where all are asked for, it is told and the next is looked at. */
static int
told(const struct payload *p, int r)
{
	if (r <= 0 || !p->on_fault)
		return r;
	p->on_fault(refuse_last(), p->arg);
	return 0;
}

/* --- what a payload names -------------------------------------------------------------------------- */
static int
add_needed(struct payload *p)
{
	int r = 0;

	for (; !r && p->n_there < json_array_size(p->needed); p->n_there++)
		r = add_host_file(p, json_string_value(json_array_get(p->needed, p->n_there)));
	return r;
}

static int
add_programs(struct payload *p, const json_t *programs)
{
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(programs); i++) {
		const char *path = json_string_value(json_array_get(programs, i));

		r = release_closure(p->needed, path);
		r = r ?: add_needed(p);
		r = told(p, r ?: add_host_file(p, path));
	}
	return r;
}

static bool
matches(const json_t *patterns, const char *path, json_t *hit)
{
	bool any = false;

	for (size_t i = 0; i < json_array_size(patterns); i++) {
		if (!release_package_match(json_string_value(json_array_get(patterns, i)), path))
			continue;
		any = true;
		if (hit)
			(void)json_array_set_new(hit, i, json_true());
	}
	return any;
}

/* Written from where the link lies, so that it means the same in any folder the tree comes to. */
static int
add_host_link(struct payload *p, const char *host)
{
	SCOPED(buf_done) struct buf from_here = BUF_MAX(PATH_MAX);
	char target[PATH_MAX], path[PATH_MAX + 64], to[PATH_MAX + 64];
	ssize_t n = readlink(host, target, sizeof(target) - 1);
	const struct tree_entry *is;
	int r = n < 0 ? FAULT(-errno) : place(p, host, path);

	if (r)
		return r;
	/* Brought already by what a program needs, as the file that the link leads to. */
	is = find(p, path);
	if (is && is->type == TREE_TYPE_FILE &&
		!strcmp(json_text(p->origins, path), host))
		return 0;
	target[n] = '\0';
	if (target[0] != '/')
		return add_link(p, path, target, host);
	r = place(p, target, to);
	for (const char *s = path; (s = strchr(s, '/')); s++)
		buf_puts(&from_here, "../");
	if (!r)
		buf_puts(&from_here, to);
	r = r ?: buf_error(&from_here);
	return r ?: add_link(p, path, buf_text(&from_here), host);
}

static bool
is_elf(const char *host)
{
	SCOPED(scope_close) int fd = open(host, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	unsigned char head[18];

	/* Programs and libraries; no object files, no core dumps. */
	return fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head) &&
		!memcmp(head, ELFMAG, SELFMAG) && (head[16] == ET_EXEC || head[16] == ET_DYN);
}

static int
add_packaged(struct payload *p, const char *host)
{
	struct stat st;
	int r;

	if (lstat(host, &st) < 0)
		return REFUSE(REASON_NOT_FOUND, host, "its package says that it is here, and it is not");
	if (S_ISDIR(st.st_mode))
		return 0; /* comes with what is in it */
	if (S_ISLNK(st.st_mode))
		return add_host_link(p, host);
	r = is_elf(host) ? release_closure_plugin(p->needed, host) : 0;
	r = r ?: add_needed(p);
	return r ?: add_host_file(p, host);
}

static int
add_package(struct payload *p, const json_t *one)
{
	const json_t *include = json_object_get(one, "include"),
		     *exclude = json_object_get(one, "exclude");
	const char *name = json_text(one, "name");
	SCOPED_JSON *paths = json_array(), *hit = json_array();
	int r = release_package_files(paths, name);

	if (r)
		return told(p, r);

	for (size_t i = 0; i < json_array_size(include); i++)
		(void)json_array_append_new(hit, json_false());
	for (size_t i = 0; !r && i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i));

		if (matches(include, path, hit) && !matches(exclude, path, NULL))
			r = told(p, add_packaged(p, path));
	}
	for (size_t i = 0; !r && i < json_array_size(include); i++) {
		if (!json_is_true(json_array_get(hit, i)))
			r = told(p, REFUSE(REASON_NOT_FOUND, json_string_value(json_array_get(include, i)),
					       "package %s has nothing that matches it", name));
	}
	return r;
}

static int
add_packages(struct payload *p, const json_t *packages)
{
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(packages); i++)
		r = add_package(p, json_array_get(packages, i));
	return r;
}

/* A small text that stands in the definition itself. */
static int
add_lines(struct payload *p, const json_t *lines, const char *path, unsigned mode)
{
	SCOPED(scope_close) int fd = memfd_create("lines", MFD_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(dup(fd), "w");

	if (!f)
		return FAULT(-errno);
	for (size_t i = 0; i < json_array_size(lines); i++)
		(void)fprintf(f, "%s\n", json_string_value(json_array_get(lines, i)));
	if (fclose(f) != 0)
		return FAULT(-errno);
	return add_fd(p, fd, path, mode, "service.yaml");
}

static int
add_files(struct payload *p, const json_t *files)
{
	int r = 0;

	for (size_t i = 0; !r && i < json_array_size(files); i++) {
		const json_t *one = json_array_get(files, i), *lines = json_object_get(one, "lines");
		const char *from = json_text(one, "from"), *to = json_text(one, "to"),
			   *given = json_text(one, "mode");
		unsigned mode = !*given ? 0 : strcmp(given, "0755") ? 0644 : 0755;
		SCOPED(scope_close) int fd = -1;

		if (lines) {
			r = told(p, add_lines(p, lines, to + 1, mode ? mode : 0644));
			continue;
		}
		if (from[0] == '/')
			fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		else
			fd = beneath_open(p->folder_fd, from, O_RDONLY | O_NONBLOCK, 0);
		r = fd < 0 ? REFUSE(REASON_NOT_FOUND, from, "cannot be opened") : add_fd(p, fd, to + 1, mode, from);
		r = told(p, r);
	}
	return r;
}

static int
keep_file(const struct tree_entry *e, int fd, void *arg)
{
	const struct payload *p = arg;

	(void)e;
	return p->objects ? object_batch_put_fd(p->objects, fd, NULL) : 0;
}

/* A folder as it is, first, so that everything else goes round it. */
static int
add_tree(struct payload *p, const char *name)
{
	SCOPED(scope_close) int fd = -1;
	char origin[TREE_PATH_MAX + 257];
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
		(void)snprintf(origin, sizeof(origin), "%s/%s", name, e->path);
		if (json_object_set_new(p->at, e->path, json_integer((json_int_t)i)) < 0 ||
			(e->type != TREE_TYPE_DIR &&
				json_object_set_new(p->origins, e->path, json_string(origin)) < 0))
			r = FAULT(-ENOMEM);
	}
	return r;
}

int
release_payload(struct tree_index *x, const struct definition *d, int folder_fd,
	struct object_batch *objects, json_t **ret_origins, void (*on_fault)(const struct refusal *why, void *arg), void *arg)
{
	SCOPED_JSON *at = json_object(), *origins = json_object(), *needed = json_array();
	struct payload p = { x, at, origins, needed, 0, folder_fd, objects, on_fault, arg };
	const char *tree = json_string_value(json_object_get(d->payload, "tree"));
	int r = !at || !origins || !needed ? FAULT(-ENOMEM) : tree ? told(&p, add_tree(&p, tree)) : 0;

	r = r ?: add_programs(&p, json_object_get(d->payload, "programs"));
	r = r ?: add_packages(&p, json_object_get(d->payload, "packages"));
	r = r ?: add_files(&p, json_object_get(d->payload, "files"));
	if (!r)
		*ret_origins = STEAL(origins);
	return r;
}
