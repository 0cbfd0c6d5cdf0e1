/* YAML that people write (policy.yaml, cluster.yaml, service.yaml), read through libyaml's events into
 * a tree that knows line and column.  No aliases, no anchors, no tags, one document, 64 KiB, depth 16,
 * no duplicate keys.  Schema is the reader's: json_members() on yaml_json(), or by hand. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	YAML_BYTES_MAX = 64 * 1024,
	YAML_DEPTH_MAX = 16,
	YAML_NODES_MAX = 8192,
};

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_SEQUENCE, YAML_KIND_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	unsigned line, column;  /* from 1 */
	char *text;             /* scalar: NUL-terminated; owned */
	bool plain;             /* scalar without quotes: may mean a number or a truth value */
	char *key;              /* in a mapping: this child's key; owned */
	unsigned key_line, key_column;
	struct yaml_node *children; /* first child of a sequence or mapping */
	struct yaml_node *next;
	size_t n_children;
};

/* Parse; name is the file's name for messages.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE (logged
 * with "name:line:col"), or a fault. */
int yaml_parse(struct yaml_node **ret, const void *p, size_t len, const char *name);
struct yaml_node *yaml_node_free(struct yaml_node *root); /* (libyaml itself exports a yaml_free) */

/* The child of a mapping, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* The tree as JSON: plain decimal integers become numbers, plain true and false truth values, plain
 * null or empty null, everything else text. */
int yaml_json(json_t **ret, const struct yaml_node *root);

/* "file:line:col" of a node (of its key where it has one), for REFUSE_AT. */
const char *yaml_place(char *out, size_t size, const char *name, const struct yaml_node *node);

/* Refuse a key that is none of known[], naming the nearest one: 'unknown knob "maxmem"; did you mean
 * "maxmemory"?'.  what is the word for it ("key", "knob").  Returns REASON_UNKNOWN_FIELD. */
int yaml_unknown(const char *file, const struct yaml_node *node, const char *operand,
	const char *what, const char *const known[], size_t n_known);
