#include "appliance/base/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

#define SAFE_INTEGER ((int64_t)((INT64_C(1) << 53) - 1))

SCOPED_DESTRUCTOR(struct yaml_node, yaml_node_free)

struct reader {
	yaml_parser_t parser;
	const char *name;
	size_t n_nodes;
	bool ended; /* the document is over */
};

/* The children of one collection that is being read. */
struct level {
	struct yaml_node *node;
	struct yaml_node **tail;
	char *key; /* read, its value not yet */
	unsigned key_line, key_column;
};

static int
refuse_mark(const struct reader *rd, const yaml_mark_t *mark, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	(void)snprintf(place, sizeof(place), "%s:%zu:%zu", rd->name, mark->line + 1,
		mark->column + 1);
	return REFUSE_AT(REASON_MALFORMED, rd->name, place, "YAML: %s", text);
}

static int
next_event(struct reader *rd, yaml_event_t *event)
{
	if (yaml_parser_parse(&rd->parser, event))
		return 0;
	if (rd->parser.error == YAML_MEMORY_ERROR)
		return FAULT(-ENOMEM);
	return refuse_mark(rd, &rd->parser.problem_mark,
		rd->parser.problem ? rd->parser.problem : "not YAML");
}

/* What the language has and these files may not use. */
static const char *
forbidden(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return "aliases are not used here";
	case YAML_SCALAR_EVENT:
		if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
			return "NUL in text";
		return e->data.scalar.anchor ? "anchors are not used here"
			: e->data.scalar.tag ? "tags are not used here"
					     : NULL;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor ? "anchors are not used here"
			: e->data.sequence_start.tag ? "tags are not used here"
						     : NULL;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor ? "anchors are not used here"
			: e->data.mapping_start.tag ? "tags are not used here"
						    : NULL;
	default:
		return NULL;
	}
}

static int
new_node(struct reader *rd, struct yaml_node **ret, const yaml_event_t *e)
{
	SCOPED(yaml_node_freep) struct yaml_node *n = NULL;

	if (++rd->n_nodes > YAML_NODES_MAX)
		return refuse_mark(rd, &e->start_mark, "too many entries");
	n = calloc(1, sizeof(*n));
	if (!n)
		return FAULT(-ENOMEM);
	n->kind = e->type == YAML_SEQUENCE_START_EVENT ? YAML_KIND_SEQUENCE
		: e->type == YAML_MAPPING_START_EVENT  ? YAML_KIND_MAPPING
						       : YAML_KIND_SCALAR;
	n->line = (unsigned)e->start_mark.line + 1;
	n->column = (unsigned)e->start_mark.column + 1;
	if (n->kind == YAML_KIND_SCALAR) {
		n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		n->text = strdup((const char *)e->data.scalar.value);
		if (!n->text)
			return FAULT(-ENOMEM);
	}
	*ret = STEAL(n);
	return 0;
}

static int
take_key(struct reader *rd, struct level *in, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;

	if (e->type != YAML_SCALAR_EVENT)
		return refuse_mark(rd, &e->start_mark, "a key must be a word");
	if (yaml_get(in->node, text))
		return refuse_mark(rd, &e->start_mark, "the same key twice");
	in->key = strdup(text);
	if (!in->key)
		return FAULT(-ENOMEM);
	in->key_line = (unsigned)e->start_mark.line + 1;
	in->key_column = (unsigned)e->start_mark.column + 1;
	return 0;
}

/* Add the node of this event to the innermost collection, or make it the root. */
static int
take_value(struct reader *rd, struct level *in, struct yaml_node **root, const yaml_event_t *e,
	struct yaml_node **ret)
{
	struct yaml_node *n = NULL;
	int r = new_node(rd, &n, e);

	if (r)
		return r;
	if (in) {
		n->key = STEAL(in->key);
		n->key_line = in->key_line;
		n->key_column = in->key_column;
		if (!n->key)
			n->key_line = n->key_column = 0;
		*in->tail = n;
		in->tail = &n->next;
		in->node->n_children++;
	} else {
		*root = n;
	}
	*ret = n;
	return 0;
}

static int
take_event(struct reader *rd, struct level *levels, size_t *depth, struct yaml_node **root,
	const yaml_event_t *e)
{
	struct level *in = *depth > 0 ? &levels[*depth - 1] : NULL;
	const char *bad = forbidden(e);
	struct yaml_node *n = NULL;
	int r;

	if (bad)
		return refuse_mark(rd, &e->start_mark, bad);
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (rd->ended || e->data.document_start.version_directive ||
			e->data.document_start.tag_directives.start !=
				e->data.document_start.tag_directives.end)
			return refuse_mark(rd, &e->start_mark, "one document without directives");
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		rd->ended = true;
		return 0;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		(*depth)--;
		return 0;
	case YAML_SCALAR_EVENT:
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		break;
	default:
		return 0;
	}
	if (in && in->node->kind == YAML_KIND_MAPPING && !in->key)
		return take_key(rd, in, e);
	r = take_value(rd, in, root, e, &n);
	if (r || n->kind == YAML_KIND_SCALAR)
		return r;
	if (*depth == YAML_DEPTH_MAX)
		return refuse_mark(rd, &e->start_mark, "nested too deeply");
	levels[(*depth)++] = (struct level){ .node = n, .tail = &n->children };
	return 0;
}

static int
read_all(struct reader *rd, struct yaml_node **root)
{
	struct level levels[YAML_DEPTH_MAX] = { 0 };
	size_t depth = 0;
	bool more = true;
	int r = 0;

	while (r == 0 && more) {
		yaml_event_t event;

		r = next_event(rd, &event);
		if (r)
			break;
		more = event.type != YAML_STREAM_END_EVENT;
		r = take_event(rd, levels, &depth, root, &event);
		yaml_event_delete(&event);
	}
	for (size_t i = 0; i < depth; i++)
		free(levels[i].key); /* a key whose value never came */
	return r;
}

int
yaml_parse(struct yaml_node **ret, const void *p, size_t len, const char *name)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	struct reader rd = { .name = name };
	int r;

	if (len > YAML_BYTES_MAX)
		return REFUSE_AT(REASON_TOO_LARGE, name, name, "%zu bytes, of at most %d", len,
			(int)YAML_BYTES_MAX);
	if (!yaml_parser_initialize(&rd.parser))
		return FAULT(-ENOMEM);
	yaml_parser_set_encoding(&rd.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&rd.parser, len ? p : "", len);
	r = read_all(&rd, &root);
	yaml_parser_delete(&rd.parser);
	if (r)
		return r;
	if (!root) { /* nothing but comments: an empty value, as YAML has it */
		root = calloc(1, sizeof(*root));
		if (!root || !(root->text = strdup("")))
			return FAULT(-ENOMEM);
		root->plain = true;
		root->line = root->column = 1;
	}
	*ret = STEAL(root);
	return 0;
}

struct yaml_node *
yaml_node_free(struct yaml_node *root)
{
	while (root) {
		struct yaml_node *next = root->next;

		yaml_node_free(root->children); /* at most YAML_DEPTH_MAX deep */
		free(root->text);
		free(root->key);
		free(root);
		root = next;
	}
	return NULL;
}

const struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
	if (!map || map->kind != YAML_KIND_MAPPING)
		return NULL;
	for (const struct yaml_node *n = map->children; n; n = n->next)
		if (strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

static json_t *
scalar_json(const struct yaml_node *n)
{
	int64_t v;

	if (!n->plain)
		return json_string(n->text);
	if (strcmp(n->text, "true") == 0)
		return json_true();
	if (strcmp(n->text, "false") == 0)
		return json_false();
	if (strcmp(n->text, "null") == 0 || !*n->text)
		return json_null();
	if (number_i64(&v, n->text, -SAFE_INTEGER, SAFE_INTEGER) == 0)
		return json_integer(v);
	return json_string(n->text);
}

int
yaml_json(json_t **ret, const struct yaml_node *root)
{
	SCOPED_JSON *v = root->kind == YAML_KIND_SCALAR ? scalar_json(root)
		: root->kind == YAML_KIND_SEQUENCE	? json_array()
							: json_object();

	if (!v)
		return FAULT(-ENOMEM);
	for (const struct yaml_node *n = root->children; n; n = n->next) {
		json_t *child = NULL;
		int r = yaml_json(&child, n);

		if (r)
			return r;
		r = n->key ? json_object_set_new(v, n->key, child)
			   : json_array_append_new(v, child);
		if (r < 0)
			return FAULT(-ENOMEM);
	}
	*ret = STEAL(v);
	return 0;
}

const char *
yaml_place(char *out, size_t size, const char *name, const struct yaml_node *node)
{
	(void)snprintf(out, size, "%s:%u:%u", name, node->key ? node->key_line : node->line,
		node->key ? node->key_column : node->column);
	return out;
}

int
yaml_unknown(const char *file, const struct yaml_node *node, const char *operand, const char *what,
	const char *const known[], size_t n_known)
{
	const char *word = node->key ? node->key : node->text ? node->text : "";
	const char *near = nearest_word(word, known, n_known);
	char place[REFUSE_PLACE_MAX];

	yaml_place(place, sizeof(place), file, node);
	return REFUSE_AT(REASON_UNKNOWN_FIELD, operand, place, "unknown %s \"%s\"%s%s%s", what,
		word, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}
