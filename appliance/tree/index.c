#include "appliance/tree/index.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/index_check.h"
#include "appliance/trust/sha256.h"

static const char operand[] = "index.json";
static const char *const types[] = { "file", "dir", "link" };

/* --- building ------------------------------------------------------------------------------------ */
static void
entry_done(struct tree_entry *e)
{
	free(e->path);
	free(e->target);
}

int
tree_index_new(struct tree_index **ret, const char *service, const char *version,
	const uint8_t definition[32])
{
	SCOPED(tree_index_freep) struct tree_index *x = calloc(1, sizeof(*x));

	if (!x)
		return FAULT(-ENOMEM);
	x->service = strdup(service);
	x->version = strdup(version);
	memcpy(x->definition, definition, sizeof(x->definition));
	if (!x->service || !x->version)
		return FAULT(-ENOMEM);
	*ret = STEAL(x);
	return 0;
}

struct tree_index *
tree_index_free(struct tree_index *x)
{
	if (!x)
		return NULL;
	for (size_t i = 0; i < x->n_entries; i++)
		entry_done(&x->entries[i]);
	free(x->entries);
	free(x->service);
	free(x->version);
	free(x);
	return NULL;
}

int
tree_index_add(struct tree_index *x, const struct tree_entry *e)
{
	struct tree_entry *into;

	if (x->n_entries == TREE_ENTRIES_MAX)
		return REFUSE(REASON_TOO_LARGE, e->path, "more than %d entries", TREE_ENTRIES_MAX);
	/* Room doubles at each power of two. */
	if ((x->n_entries & (x->n_entries - 1)) == 0) {
		struct tree_entry *more = reallocarray(
			x->entries, x->n_entries ? 2 * x->n_entries : 1, sizeof(*more));

		if (!more)
			return FAULT(-ENOMEM);
		x->entries = more;
	}
	into = &x->entries[x->n_entries];
	*into = *e;
	into->path = strdup(e->path);
	into->target = e->target ? strdup(e->target) : NULL;
	x->n_entries++;
	return into->path && (into->target || !e->target) ? 0 : FAULT(-ENOMEM);
}

static int
by_path(const void *a, const void *b)
{
	const struct tree_entry *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int
tree_index_seal(struct tree_index *x)
{
	if (x->n_entries)
		qsort(x->entries, x->n_entries, sizeof(*x->entries), by_path);
	return tree_index_check(x);
}

/* --- reading ------------------------------------------------------------------------------------- */
struct document {
	uint64_t v;
	const char *service, *version;
	uint8_t definition[32];
	const json_t *entries;
};

static const struct json_field document_fields[] = {
	{"v",	       JSON_KIND_U64,    false, offsetof(struct document, v),	   1		     },
	{ "service",    JSON_KIND_TEXT,   false, offsetof(struct document, service),	64		   },
	{ "version",    JSON_KIND_TEXT,   false, offsetof(struct document, version),	64		   },
	{ "definition", JSON_KIND_SHA256, false, offsetof(struct document, definition), 0		  },
	{ "entries",    JSON_KIND_ARRAY,  false, offsetof(struct document, entries),	 TREE_ENTRIES_MAX},
};

struct one {
	const char *type, *mode, *owner;
	const json_t *path, *target;
	uint64_t size;
	uint8_t sha256[32];
};

static const struct json_field one_fields[] = {
	{"path",	  JSON_KIND_ANY,	 false, offsetof(struct one, path),   0},
	{ "type",	  JSON_KIND_TEXT, false, offsetof(struct one, type),   8},
	{ "mode",	  JSON_KIND_TEXT, true,	offsetof(struct one, mode),   4},
	{ "owner",  JSON_KIND_TEXT, true,	 offsetof(struct one, owner),  8},
	{ "size",	  JSON_KIND_U64,	 true,  offsetof(struct one, size),   0},
	{ "sha256", JSON_KIND_KEY,  true,	 offsetof(struct one, sha256), 0},
	{ "target", JSON_KIND_ANY,  true,	 offsetof(struct one, target), 0},
};

static int
read_mode(unsigned *ret, const char *text)
{
	unsigned mode = 0;

	if (strlen(text) != 4)
		return REASON_MALFORMED;
	for (; *text; text++) {
		if (*text < '0' || *text > '7')
			return REASON_MALFORMED;
		mode = mode * 8 + (unsigned)(*text - '0');
	}
	*ret = mode;
	return 0;
}

static bool
find_word(const char *text, const char *const *words, size_t n, int *ret)
{
	for (size_t i = 0; text && i < n; i++) {
		if (!strcmp(words[i], text)) {
			*ret = (int)i;
			return true;
		}
	}
	return false;
}

static int
read_entry(struct tree_index *x, const json_t *obj)
{
	struct one one = { 0 };
	struct tree_entry e = { 0 };
	/* Paths are judged by the tree's own rules, so that an unsafe one is called that. */
	const char *path = json_string_value(json_object_get(obj, "path")),
		   *target = json_string_value(json_object_get(obj, "target"));
	int type, r;
	bool file;

	if (!path)
		return REFUSE(REASON_MALFORMED, operand, "an entry has no path");
	r = tree_path_check(path);
	r = r ?: json_members(obj, one_fields, ARRAY_LEN(one_fields), &one, path);
	if (r)
		return r;
	if (!find_word(one.type, types, ARRAY_LEN(types), &type))
		return REFUSE(
			REASON_UNSAFE_TREE, path, "type \"%s\" is no file, dir or link", one.type);
	file = type == TREE_TYPE_FILE;
	if ((type == TREE_TYPE_LINK) != (target != NULL) ||
		(type == TREE_TYPE_LINK) == (one.mode != NULL) || !one.mode != !one.owner ||
		file != (json_object_get(obj, "size") != NULL) ||
		file != (json_object_get(obj, "sha256") != NULL) ||
		!target != !json_object_get(obj, "target"))
		return REFUSE(REASON_MALFORMED, path, "the members do not fit the type");
	if (one.mode && read_mode(&e.mode, one.mode) != 0)
		return REFUSE(REASON_MALFORMED, path, "mode is not four octal digits");
	if (one.owner && strcmp(one.owner, "root") != 0)
		return REFUSE(REASON_UNSAFE_TREE, path, "owner is \"%s\": all of a tree is root's; a service writes in its data",
			one.owner);
	e.path = (char *)path;
	e.target = (char *)target;
	e.type = (enum tree_type)type;
	e.size = one.size;
	memcpy(e.sha256, one.sha256, sizeof(e.sha256));
	return tree_index_add(x, &e);
}

int
tree_index_read(struct tree_index **ret, const void *p, size_t len)
{
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	SCOPED(buf_done) struct buf again = BUF_MAX(TREE_INDEX_BYTES_MAX);
	SCOPED_JSON *json = NULL;
	struct document d = { 0 };
	int r;

	r = json_read(&json, p, len, TREE_INDEX_BYTES_MAX, operand);
	r = r ?: json_members(json, document_fields, ARRAY_LEN(document_fields), &d, operand);
	if (r)
		return r;
	if (d.v != 1)
		return REFUSE(REASON_MALFORMED, operand, "v must be 1");
	r = tree_index_new(&x, d.service, d.version, d.definition);
	for (size_t i = 0; !r && i < json_array_size(d.entries); i++)
		r = read_entry(x, json_array_get(d.entries, i));
	r = r ?: tree_index_seal(x);
	r = r ?: tree_index_write(x, &again);
	if (r)
		return r;
	/* One tree has one index: order, spelling and digits are all fixed. */
	if (again.len != len || memcmp(again.data, p, len) != 0)
		return REFUSE(REASON_MALFORMED, operand, "is not in canonical form");
	*ret = STEAL(x);
	return 0;
}

/* --- writing ------------------------------------------------------------------------------------- */
static json_t *
entry_json(const struct tree_entry *e)
{
	char mode[8], hex[65];

	if (e->type == TREE_TYPE_LINK)
		return json_pack(
			"{s:s, s:s, s:s}", "path", e->path, "type", "link", "target", e->target);
	(void)snprintf(mode, sizeof(mode), "%04o", e->mode & 0777);
	if (e->type == TREE_TYPE_DIR)
		return json_pack("{s:s, s:s, s:s, s:s}", "path", e->path, "type", "dir", "mode",
			mode, "owner", "root");
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "path", e->path, "type", "file", "mode",
		mode, "owner", "root", "size", (json_int_t)e->size, "sha256",
		hex_encode(hex, e->sha256, sizeof(e->sha256)));
}

int
tree_index_write(const struct tree_index *x, struct buf *out)
{
	char definition[SHA256_TEXT_MAX];
	SCOPED_JSON *entries = json_array();
	SCOPED_JSON *doc = NULL;
	int r;

	for (size_t i = 0; i < x->n_entries; i++) {
		if (json_array_append_new(entries, entry_json(&x->entries[i])) < 0)
			return FAULT(-ENOMEM);
	}
	doc = json_pack("{s:i, s:s, s:s, s:s, s:O}", "v", 1, "service", x->service, "version",
		x->version, "definition", sha256_text(definition, x->definition), "entries",
		entries);
	if (!doc)
		return FAULT(-ENOMEM);
	r = json_canonical(out, doc);
	r = r ?: buf_error(out);
	if (r == -EMSGSIZE)
		return REFUSE(
			REASON_TOO_LARGE, operand, "more than %d bytes", TREE_INDEX_BYTES_MAX);
	return r < 0 ? FAULT(r) : r;
}

const struct tree_entry *
tree_index_find(const struct tree_index *x, const char *path)
{
	struct tree_entry key = { .path = (char *)path };

	return x->n_entries ? bsearch(&key, x->entries, x->n_entries, sizeof(key), by_path) : NULL;
}

uint64_t
tree_index_bytes(const struct tree_index *x)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < x->n_entries; i++)
		sum += x->entries[i].type == TREE_TYPE_FILE ? x->entries[i].size : 0;
	return sum;
}
