#include "appliance/tree/index_check.h"

#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/index.h"

/* --- one entry ----------------------------------------------------------------------------------- */
/* The sandbox lays folders of its own over these: what a release put there would be seen by people who
 * read its index, and by nothing that runs. */
static int
check_reserved(const char *path)
{
	static const char *const reserved[] = { "conf", "data", "dev", "log", "proc", "run", "sys",
		"tmp" };
	size_t n = strcspn(path, "/");

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (strlen(reserved[i]) == n && !strncmp(path, reserved[i], n))
			return REFUSE(REASON_UNSAFE_TREE, path,
				"/%s of the sandbox is not the release's to fill", reserved[i]);
	}
	return 0;
}

/* A tree is read by a user that does not own it, and written by nobody: more bits or fewer are a mistake,
 * or wait for one. */
static int
check_mode(const struct tree_entry *e)
{
	bool dir = e->type == TREE_TYPE_DIR;

	if (e->mode > 0777)
		return REFUSE(REASON_UNSAFE_TREE, e->path,
			"mode %04o has set-user-id, set-group-id or sticky bits", e->mode);
	if (e->mode == 0755 || e->mode == 0555 || (!dir && (e->mode == 0644 || e->mode == 0444)))
		return 0;
	return REFUSE(REASON_UNSAFE_TREE, e->path, "mode %04o is none of 0755, 0555%s", e->mode,
		dir ? "" : ", 0644, 0444");
}

static int
check_entry(const struct tree_entry *e)
{
	int r = tree_path_check(e->path);

	r = r ?: check_reserved(e->path);
	if (r)
		return r;
	if (e->type == TREE_TYPE_LINK)
		return tree_link_check(e->path, e->target);
	r = check_mode(e);
	if (!r && e->type == TREE_TYPE_FILE && e->size > TREE_FILE_MAX)
		r = REFUSE(REASON_TOO_LARGE, e->path, "%llu bytes", (unsigned long long)e->size);
	return r;
}

static int
check_parent(const struct tree_index *x, const struct tree_entry *e)
{
	const char *slash = strrchr(e->path, '/');
	const struct tree_entry *parent;
	char path[TREE_PATH_MAX + 1];

	if (!slash)
		return 0;
	memcpy(path, e->path, (size_t)(slash - e->path));
	path[slash - e->path] = '\0';
	parent = tree_index_find(x, path);
	if (!parent || parent->type != TREE_TYPE_DIR)
		return REFUSE(REASON_UNSAFE_TREE, e->path, "its parent is not listed as a dir");
	return 0;
}

/* --- names that some file system takes for one another --------------------------------------------- */
static int
by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcasecmp(*x, *y);
}

/* Names are ASCII, so that this is all the folding there is. */
static int
check_case(const struct tree_index *x)
{
	SCOPED(scope_free) const char **paths = calloc(x->n_entries + 1, sizeof(*paths));

	if (!paths)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < x->n_entries; i++)
		paths[i] = x->entries[i].path;
	qsort(paths, x->n_entries, sizeof(*paths), by_text);
	for (size_t i = 1; i < x->n_entries; i++) {
		if (!strcasecmp(paths[i - 1], paths[i]))
			return REFUSE(REASON_UNSAFE_TREE, paths[i],
				"another path differs from it only in case");
	}
	return 0;
}

/* --- links --------------------------------------------------------------------------------------- */
/* As many links one after the other as we follow; the kernel's bound is 40. */
enum { HOPS_MAX = 8 };

struct links {
	const struct tree_index *x;
	const struct tree_entry **end; /* of entry i, once known: what the link finally leads to; NULL: not kept */
	unsigned char *hops;	       /* and over how many links */
};

static int follow(struct links *l, const struct tree_entry *e, unsigned depth,
	const struct tree_entry **ret, unsigned *ret_hops);

static int
too_many(const struct tree_entry *e)
{
	return REFUSE(REASON_UNSAFE_TREE, e->path,
		"the link goes in a circle, or over more than %d links", HOPS_MAX);
}

/* One name further from at; at is "" at the top, and becomes where that is. */
static int
step(struct links *l, const struct tree_entry *link, char at[TREE_PATH_MAX + 1], const char *name,
	size_t len, unsigned depth, const struct tree_entry **ret, unsigned *hops)
{
	size_t n = strlen(at);
	const struct tree_entry *e;
	unsigned more = 0;
	int r;

	if (n + 1 + len > TREE_PATH_MAX)
		return REFUSE(REASON_UNSAFE_TREE, link->path, "the link leads to a path that is too long");
	(void)snprintf(at + n, TREE_PATH_MAX + 1 - n, "%s%.*s", n ? "/" : "", (int)len, name);
	e = tree_index_find(l->x, at);
	if (!e)
		return REFUSE(REASON_UNSAFE_TREE, link->path,
			"the link leads to nothing in the tree: there is no %s", at);
	r = e->type == TREE_TYPE_LINK ? follow(l, e, depth + 1, &e, &more) : 0;
	if (r)
		return r;
	*hops += more;
	(void)snprintf(at, TREE_PATH_MAX + 1, "%s", e->path);
	*ret = e;
	return 0;
}

static int
follow(struct links *l, const struct tree_entry *e, unsigned depth, const struct tree_entry **ret,
	unsigned *ret_hops)
{
	size_t self = (size_t)(e - l->x->entries);
	const struct tree_entry *end = NULL;
	char at[TREE_PATH_MAX + 1];
	const char *p = e->target;
	unsigned hops = 1;
	char *slash;
	int r = 0;

	if (l->end && l->end[self]) {
		*ret = l->end[self];
		*ret_hops = l->hops[self];
		return 0;
	}
	if (depth == HOPS_MAX)
		return too_many(e);
	(void)snprintf(at, sizeof(at), "%s", e->path);
	/* From the folder the link lies in; tree_link_check() has seen that ".." stays in the tree and
	 * stands in front alone. */
	for (bool up = true; up;) {
		slash = strrchr(at, '/');
		*(slash ? slash : at) = '\0';
		up = !strncmp(p, "../", 3) || !strcmp(p, "..");
		p += up ? strspn(p, ".") : 0;
		p += up && *p == '/';
	}
	if (!*p)
		return REFUSE(REASON_UNSAFE_TREE, e->path, "the link leads to a folder above itself");
	while (!r && *p) {
		size_t len = strcspn(p, "/");

		r = step(l, e, at, p, len, depth, &end, &hops);
		p += len + (p[len] == '/');
	}
	if (!r && hops > HOPS_MAX)
		r = too_many(e);
	if (r)
		return r;
	*ret = end;
	*ret_hops = hops;
	if (l->end) {
		l->end[self] = end;
		l->hops[self] = (unsigned char)hops;
	}
	return 0;
}

/* Every link leads to a file or folder of the tree.  One that led elsewhere would mean what the sandbox,
 * the service's own data, or the machine happens to have there. */
static int
check_links(const struct tree_index *x)
{
	SCOPED(scope_free) const struct tree_entry **end = calloc(x->n_entries + 1, sizeof(const void *));
	SCOPED(scope_free) unsigned char *hops = calloc(x->n_entries + 1, 1);
	struct links l = { x, end, hops };
	const struct tree_entry *to;
	unsigned over;
	int r = end && hops ? 0 : FAULT(-ENOMEM);

	for (size_t i = 0; !r && i < x->n_entries; i++) {
		if (x->entries[i].type == TREE_TYPE_LINK)
			r = follow(&l, &x->entries[i], 0, &to, &over);
	}
	return r;
}

const struct tree_entry *
tree_index_resolve(const struct tree_index *x, const char *path)
{
	struct links l = { .x = x };
	const struct tree_entry *e = NULL;
	char at[TREE_PATH_MAX + 1] = "";
	unsigned over;

	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/"), n = strlen(at);

		if (n + 1 + len > TREE_PATH_MAX)
			return NULL;
		(void)snprintf(at + n, sizeof(at) - n, "%s%.*s", n ? "/" : "", (int)len, p);
		e = tree_index_find(x, at);
		if (!e || (e->type == TREE_TYPE_LINK && follow(&l, e, 0, &e, &over) != 0))
			return NULL;
		(void)snprintf(at, sizeof(at), "%s", e->path);
		p += len + (p[len] == '/');
	}
	return e;
}

int
tree_index_check(const struct tree_index *x)
{
	int r = 0;

	for (size_t i = 0; !r && i < x->n_entries; i++) {
		r = check_entry(&x->entries[i]);
		if (!r && i > 0 && !strcmp(x->entries[i - 1].path, x->entries[i].path))
			r = REFUSE(REASON_UNSAFE_TREE, x->entries[i].path, "the path comes twice");
	}
	for (size_t i = 0; !r && i < x->n_entries; i++)
		r = check_parent(x, &x->entries[i]);
	if (!r && tree_index_bytes(x) > TREE_BYTES_MAX)
		r = REFUSE(REASON_TOO_LARGE, "index.json", "more than %llu bytes",
			(unsigned long long)TREE_BYTES_MAX);
	r = r ?: check_case(x);
	return r ?: check_links(x);
}
