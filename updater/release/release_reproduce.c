#include "updater/release/release_reproduce.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "updater/release/release_build.h"
#include "updater/release/release_provenance.h"
#include "updater/release/release_sbom.h"

struct sides {
	int built_fd, here_fd;
	json_t *items;
};

static int
differs(struct sides *s, const char *what, const char *built, const char *here)
{
	return json_array_append_new(s->items, json_pack("{s:s, s:s, s:s}", "what", what, "built", built, "here",
						       here)) < 0
		? FAULT(-ENOMEM)
		: 0;
}

static int
read_json(json_t **ret, int dir_fd, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_SBOM_MAX);
	int r = fs_read(dir_fd, file, RELEASE_SBOM_MAX, &b);

	if (r > 0)
		return REFUSE(r, file, "is not there: this is no built release");
	return r ? FAULT(r) : json_read(ret, b.data, b.len, RELEASE_SBOM_MAX, file);
}

/* --- texts by name, of both sides ------------------------------------------------------------------- */
static int
compare_texts(struct sides *s, const char *kind, const json_t *built, const json_t *here)
{
	const char *name;
	char what[TREE_PATH_MAX + 64];
	json_t *v;
	int r = 0;

	json_object_foreach((json_t *)built, name, v) {
		const char *other = json_text(here, name);

		(void)snprintf(what, sizeof(what), "%s %s", kind, name);
		if (!r && strcmp(json_string_value(v), other) != 0)
			r = differs(s, what, json_string_value(v), *other ? other : "none");
	}
	json_object_foreach((json_t *)here, name, v) {
		(void)snprintf(what, sizeof(what), "%s %s", kind, name);
		if (!r && !json_object_get(built, name))
			r = differs(s, what, "none", json_string_value(v));
	}
	return r;
}

/* package -> version of an SBOM; the first is the release itself. */
static int
packages_of(json_t **ret, int dir_fd)
{
	SCOPED_JSON *doc = NULL, *map = json_object();
	const json_t *list;
	int r = read_json(&doc, dir_fd, RELEASE_SBOM);

	list = json_object_get(doc, "packages");
	for (size_t i = 1; !r && i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);

		if (json_object_set_new(map, json_text(one, "name"), json_string(json_text(one, "versionInfo"))) < 0)
			r = FAULT(-ENOMEM);
	}
	if (!r)
		*ret = STEAL(map);
	return r;
}

/* path -> what it is, of an index. */
static int
entries_of(json_t **ret, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED_JSON *map = json_object();
	int r = fs_read(dir_fd, "index.json", TREE_INDEX_BYTES_MAX, &b);

	if (r > 0)
		return REFUSE(r, "index.json", "is not there: this is no built release");
	r = r < 0 ? FAULT(r) : tree_index_read(&x, b.data, b.len);
	for (size_t i = 0; !r && i < x->n_entries; i++) {
		const struct tree_entry *e = &x->entries[i];
		char text[TREE_PATH_MAX + 96], hex[65];

		hex_encode(hex, e->sha256, sizeof(e->sha256));
		(void)snprintf(text, sizeof(text), "%s %04o %s",
			e->type == TREE_TYPE_LINK	? "link"
				: e->type == TREE_TYPE_DIR ? "dir"
							   : "file",
			e->mode, e->type == TREE_TYPE_LINK ? e->target : e->type == TREE_TYPE_DIR ? "" : hex);
		if (json_object_set_new(map, e->path, json_string(text)) < 0)
			r = FAULT(-ENOMEM);
	}
	if (!r)
		*ret = STEAL(map);
	return r;
}

/* file -> SHA-256 of all below a folder but release.json, which is signed in one and not in the other. */
static int
files_of(json_t **ret, int dir_fd)
{
	static const uint8_t none[32];
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED_JSON *map = json_object();
	int r = tree_index_new(&x, "built", "0", none);

	r = r ?: tree_walk(x, dir_fd, NULL, NULL);
	for (size_t i = 0; !r && i < x->n_entries; i++) {
		const struct tree_entry *e = &x->entries[i];
		char hex[65];

		hex_encode(hex, e->sha256, sizeof(e->sha256));
		if (e->type == TREE_TYPE_FILE && strcmp(e->path, RELEASE_FILE) != 0 &&
			json_object_set_new(map, e->path, json_string(hex)) < 0)
			r = FAULT(-ENOMEM);
	}
	if (!r)
		*ret = STEAL(map);
	return r;
}

typedef int list_fn(json_t **ret, int dir_fd);

static int
compare(struct sides *s, const char *kind, list_fn *list)
{
	SCOPED_JSON *built = NULL, *here = NULL;
	int r = list(&built, s->built_fd);

	r = r ?: list(&here, s->here_fd);
	return r ?: compare_texts(s, kind, built, here);
}

static int
compare_statements(struct sides *s)
{
	SCOPED_JSON *built = NULL, *here = NULL;
	int r = read_json(&built, s->built_fd, RELEASE_FILE);

	r = r ?: read_json(&here, s->here_fd, RELEASE_FILE);
	if (r || json_equal(json_object_get(built, "signed"), json_object_get(here, "signed")))
		return r;
	return differs(s, RELEASE_FILE, "one statement", "another");
}

/* Causes first: packages, then entries of the tree; and only where these are the same, the files that say so. */
static int
compare_all(struct sides *s)
{
	int r = compare(s, "package", packages_of);

	r = r ?: compare(s, "entry", entries_of);
	if (r || json_array_size(s->items))
		return r;
	r = compare(s, "file", files_of);
	return r ?: compare_statements(s);
}

/* --- building anew ----------------------------------------------------------------------------------- */
static int
read_options(struct release_options *o, const json_t *statement, const json_t *provenance)
{
	const json_t *custom = json_object_get(json_object_get(statement, "signed"), "custom"),
		     *run = json_object_get(json_object_get(provenance, "predicate"), "runDetails");
	const char *time = json_text(json_object_get(run, "metadata"), "finishedOn");

	*o = (struct release_options){
		.platform = json_text(custom, "platform"),
		.channel = json_text(custom, "channel"),
		.class = json_text(custom, "class"),
		.builder = json_text(json_object_get(run, "builder"), "id"),
	};
	if (!*o->platform || !*o->channel || !*o->class || !*o->builder ||
		(*time && clock_parse_s(&o->epoch_us, time) != 0))
		return REFUSE(REASON_MALFORMED, RELEASE_FILE, "does not say how the release was built");
	return 0;
}

static int
build_and_compare(struct sides *s, const char *folder, const char *scratch, const struct release_options *o)
{
	struct release_summary summary;
	int r = release_build(folder, scratch, o, &summary);

	if (r)
		return r;
	s->here_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = s->here_fd < 0 ? FAULT(-errno) : compare_all(s);
	scope_close(&s->here_fd);
	return r;
}

int
release_reproduce(const char *folder, const char *built, json_t **ret_items)
{
	SCOPED(scope_close) int built_fd = open(built, O_RDONLY | O_DIRECTORY | O_CLOEXEC), tmp_fd = -1;
	SCOPED_JSON *items = json_array(), *statement = NULL, *provenance = NULL;
	struct sides s = { built_fd, -1, items };
	struct release_options o;
	const char *tmp = getenv("TMPDIR") ?: "/tmp";
	char scratch[PATH_MAX];
	int r;

	if (built_fd < 0)
		return REFUSE(REASON_NOT_FOUND, built, "is no built release");
	r = read_json(&statement, built_fd, RELEASE_FILE);
	r = r ?: read_json(&provenance, built_fd, RELEASE_PROVENANCE);
	r = r ?: read_options(&o, statement, provenance);
	if (r)
		return r;
	if (snprintf(scratch, sizeof(scratch), "%s/mainstay-release.XXXXXX", tmp) >= (int)sizeof(scratch) ||
		!mkdtemp(scratch))
		return FAULT(-errno);
	r = build_and_compare(&s, folder, scratch, &o);
	tmp_fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)fs_remove_tree(tmp_fd, strrchr(scratch, '/') + 1); /* what stays is in the scratch folder's place */
	if (!r)
		*ret_items = STEAL(items);
	return r;
}
