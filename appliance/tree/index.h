/* The index of a file tree: what a release consists of, in one canonical document.
 *
 * {"v":1,"service","version","definition":"sha256:HEX","entries":[
 *   {"path","type":"dir","mode","owner"},
 *   {"path","type":"file","mode","owner","size","sha256":HEX},
 *   {"path","type":"link","target"}]}
 *
 * Canonical: OLPC JSON, entries sorted by the bytes of their paths, none twice, every parent
 * listed as a dir.  mode is octal text ("0755").  owner is the class that a file
 * belongs to, and "root" is the only one: stage makes all of a tree root's and readable by all, and the sandbox shows it read-only;
 * what a service may write lies in its data.  Its digest (SHA-256 of its bytes) names the tree in the store.
 *
 * Refused with unsafe-tree: absolute or empty paths, "." and "..", names that are no printable ASCII,
 * begin or end with a space or are too long, more than 64 steps, names that differ only in case, the
 * sandbox's own folders at the top, modes that are none of 0755, 0555, 0644, 0444, links that are absolute, lead
 * out of the tree, to nothing or in a circle, owners other than root, and what is neither file, folder nor link. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

enum {
	TREE_INDEX_BYTES_MAX = 16 * 1024 * 1024,
	TREE_ENTRIES_MAX = 65536,
	TREE_PATH_MAX = 1023,
	TREE_NAME_MAX = 255,
	TREE_DEPTH_MAX = 64, /* steps of a path */
};
#define TREE_FILE_MAX (UINT64_C(4) << 30)   /* bytes of one file */
#define TREE_BYTES_MAX (UINT64_C(16) << 30) /* of all files */

enum tree_type { TREE_TYPE_FILE, TREE_TYPE_DIR, TREE_TYPE_LINK };

struct tree_entry {
	char *path; /* "usr/bin/redis-server"; owned by its index */
	enum tree_type type;
	unsigned mode; /* file, dir: permission bits, at most 0777 */
	uint64_t size;	    /* file */
	uint8_t sha256[32]; /* file */
	char *target;	    /* link */
};

struct tree_index {
	char *service, *version;
	uint8_t definition[32];
	struct tree_entry *entries; /* sorted by path */
	size_t n_entries;
};

/* Parse and check; only the canonical form is accepted.  Returns 0, REASON_MALFORMED,
 * REASON_UNKNOWN_FIELD, REASON_TOO_LARGE or REASON_UNSAFE_TREE (logged, naming the path), or a
 * fault. */
int tree_index_read(struct tree_index **ret, const void *p, size_t len);
struct tree_index *tree_index_free(struct tree_index *x);
SCOPED_DESTRUCTOR(struct tree_index, tree_index_free)

/* Names are ASCII on purpose.  What two letters share one name is another answer in each version of
 * Unicode and in each file system (composed and decomposed accents, full width, ligatures, letters that
 * fold together, marks of no width); site and builder would need the same tables for ever.  One name in a
 * hundred thousand of Debian's has other letters; data that needs them travels in an archive. */

/* Build one: new, add in any order (strings are copied), then seal sorts and checks it as read
 * does. */
int tree_index_new(struct tree_index **ret, const char *service, const char *version,
	const uint8_t definition[32]);
int tree_index_add(struct tree_index *x, const struct tree_entry *e);
int tree_index_seal(struct tree_index *x);

/* Append the canonical bytes of a sealed index; their SHA-256 names the release in the store.  Returns 0;
 * REASON_TOO_LARGE (logged) where out, or an index, may not hold that many; or a fault. */
int tree_index_write(const struct tree_index *x, struct buf *out);

/* The entry of path, or NULL. */
const struct tree_entry *tree_index_find(const struct tree_index *x, const char *path);

/* What path leads to in a sealed index, links followed wherever they stand on the way; NULL where nothing. */
const struct tree_entry *tree_index_resolve(const struct tree_index *x, const char *path);

/* Bytes of all files. */
uint64_t tree_index_bytes(const struct tree_index *x);

/* Check one path as it may stand in an index, and a link's target seen from its path.
 * REASON_UNSAFE_TREE (logged). */
int tree_path_check(const char *path);
int tree_link_check(const char *path, const char *target);
