#include "appliance/service/cluster_lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/service/cluster.h"

enum { PLACE_MAX = 256 };

void
cluster_lines_done(struct cluster_lines *t)
{
	free(t->lines);
	t->root = yaml_node_free(t->root);
	json_decref(t->want);
}

static bool
is_text(const struct cluster_line *l, size_t *ret_indent)
{
	size_t at = 0;

	while (at < l->len && l->p[at] == ' ')
		at++;
	*ret_indent = at;
	return at < l->len && !strchr("#\r\n", l->p[at]);
}

/* YAML also ends lines at a bare CR, NEL, LS and PS: its line numbers would not be ours. */
static bool
has_other_breaks(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\r' && (i + 1 == len || p[i + 1] != '\n'))
			return true;
		if (len - i >= 2 && !memcmp(p + i, "\xc2\x85", 2))
			return true;
		if (len - i >= 3 &&
			(!memcmp(p + i, "\xe2\x80\xa8", 3) || !memcmp(p + i, "\xe2\x80\xa9", 3)))
			return true;
	}
	return false;
}

int
cluster_lines_open(struct cluster_lines *t, const char *p, size_t len)
{
	struct cluster *c = NULL;
	const char *end = p + len;
	size_t n = 1;
	int r;

	r = cluster_read(&c, p, len, CLUSTER_LINES_FILE);
	if (r)
		return r;
	t->want = cluster_json(c);
	cluster_free(c);
	if (!t->want)
		return FAULT(-ENOMEM);
	if (has_other_breaks(p, len))
		return REFUSE(REASON_MALFORMED, CLUSTER_LINES_FILE,
			"has line breaks that are no newlines: it can only be edited by hand");
	for (const char *q = p; q < end; q++)
		n += *q == '\n';
	t->lines = calloc(n, sizeof(*t->lines));
	if (!t->lines)
		return FAULT(-ENOMEM);
	for (; p < end; t->n++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		t->lines[t->n] = (struct cluster_line){ p,
			stop ? (size_t)(stop + 1 - p) : (size_t)(end - p) };
		p += t->lines[t->n].len;
	}
	t->eol = t->n && t->lines[0].len > 1 && t->lines[0].p[t->lines[0].len - 2] == '\r' ? "\r\n"
											 : "\n";
	for (size_t i = 0; i < t->n; i++) {
		size_t indent;

		if (is_text(&t->lines[i], &indent))
			return yaml_parse(&t->root, t->lines[0].p, len, CLUSTER_LINES_FILE);
	}
	return 0;
}

/* The last line (from 1) of the block whose key stands in line at this indent: deeper lines belong
 * to it; blank lines and comments after the last of them do not. */
static size_t
block_end(const struct cluster_lines *t, size_t line, size_t indent)
{
	size_t last = line;

	for (size_t i = line; i < t->n; i++) {
		size_t here;

		if (!is_text(&t->lines[i], &here))
			continue;
		/* A list may stand as deep as its key. */
		if (here < indent || (here == indent && t->lines[i].p[here] != '-'))
			break;
		last = i + 1;
	}
	return last;
}

void
cluster_lines_put(struct buf *out, const struct cluster_lines *t, size_t from,
	size_t to) /* both from 1, inclusive */
{
	for (size_t i = from; i <= to && i <= t->n; i++) {
		const struct cluster_line *l = &t->lines[i - 1];

		buf_put(out, l->p, l->len);
		if (l->len == 0 || l->p[l->len - 1] != '\n')
			buf_puts(out, t->eol);
	}
}

/* Lines of ours, ended as the others are. */
static void
put_body(struct buf *out, const struct cluster_lines *t, const struct buf *body)
{
	for (size_t i = 0; i < body->len; i++) {
		if (body->data[i] == '\n')
			buf_puts(out, t->eol);
		else
			buf_u8(out, body->data[i]);
	}
}

void
cluster_lines_put_indent(struct buf *out, size_t n)
{
	buf_printf(out, "%*s", (int)n, "");
}

static bool
is_plain(const char *v)
{
	if (!isalnum((unsigned char)*v) && !(*v == '-' && isdigit((unsigned char)v[1])) &&
		*v != '/')
		return false;
	if (!strcmp(v, "null"))
		return false;
	for (; *v; v++)
		if (!isalnum((unsigned char)*v) && !strchr("-_./+%@", *v) &&
			!(*v == ':' && isalnum((unsigned char)v[1])))
			return false;
	return true;
}

void
cluster_lines_put_value(struct buf *out, const char *v)
{
	if (is_plain(v)) {
		buf_puts(out, v);
		return;
	}
	buf_puts(out, "\"");
	for (; *v; v++) {
		if (*v == '"' || *v == '\\')
			buf_puts(out, "\\");
		buf_put(out, v, 1);
	}
	buf_puts(out, "\"");
}

static bool
is_block(const struct yaml_node *n)
{
	return n->kind == YAML_KIND_MAPPING && n->children && n->children->key_line > n->key_line;
}

/* Nothing there yet: no value, or an empty pair of braces. */
static bool
is_empty(const struct yaml_node *n)
{
	return n->kind == YAML_KIND_MAPPING ? !n->children
					    : n->kind == YAML_KIND_SCALAR && n->plain && !*n->text;
}

int
cluster_lines_by_hand(const char *what, const struct yaml_node *n)
{
	char place[PLACE_MAX] = "";

	return REFUSE_AT(REASON_MALFORMED, what,
		n ? yaml_place(place, sizeof(place), CLUSTER_LINES_FILE, n) : CLUSTER_LINES_FILE,
		"is written in a form that can only be edited by hand");
}

/* The key's line of an empty mapping, without what stood for emptiness ("{}"), and all else of it as it is. */
static int
put_bare_key(struct buf *out, const struct cluster_lines *t, const struct yaml_node *n)
{
	const struct cluster_line *l = &t->lines[n->key_line - 1];
	size_t colon = n->key_column - 1 + strlen(n->key);
	const char *open, *close;

	while (colon < l->len && l->p[colon] != ':')
		colon++;
	if (colon >= l->len) /* "? key", and the colon in another line */
		return cluster_lines_by_hand(n->key, n);
	buf_put(out, l->p, colon + 1);
	open = l->p + colon + 1;
	if (n->kind == YAML_KIND_MAPPING) {
		while (open < l->p + l->len && *open == ' ')
			open++;
		close = memchr(open, '}', (size_t)(l->p + l->len - open));
		if (!close || *open != '{')
			return cluster_lines_by_hand(n->key, n);
		open = close + 1;
	}
	buf_put(out, open, (size_t)(l->p + l->len - open));
	if (l->p[l->len - 1] != '\n')
		buf_puts(out, t->eol);
	return 0;
}

/* Insert body's lines as the last of map (whose key stands in the text), body being written for
 * indent *ret_indent. */
size_t
cluster_lines_child_indent(const struct yaml_node *map)
{
	return is_block(map) ? map->children->key_column - 1
			     : map->key_column - 1 + CLUSTER_LINES_STEP;
}

int
cluster_lines_insert(struct buf *out, const struct cluster_lines *t, const struct yaml_node *map,
	const struct buf *body)
{
	size_t end;
	int r = buf_error(body);

	if (r < 0) /* lines that are cut off would pass for a text that nobody can edit */
		return FAULT(r);
	if (!is_empty(map) && !is_block(map))
		return cluster_lines_by_hand(map->key, map);
	end = is_block(map) ? block_end(t, map->key_line, map->key_column - 1) : map->key_line;
	if (is_block(map)) {
		cluster_lines_put(out, t, 1, end);
	} else {
		cluster_lines_put(out, t, 1, map->key_line - 1);
		r = put_bare_key(out, t, map);
	}
	if (r)
		return r;
	put_body(out, t, body);
	cluster_lines_put(out, t, end + 1, t->n);
	return 0;
}

/* The column behind a scalar that begins in this line. */
static size_t
scalar_end(const struct cluster_line *l, size_t at)
{
	char quote = l->p[at];
	size_t end = at + 1;

	if (quote == '"' || quote == '\'') {
		while (end < l->len && l->p[end] != quote)
			end += l->p[end] == '\\' && quote == '"' ? 2 : 1;
		return end < l->len ? end + 1 : l->len;
	}
	for (end = at; end < l->len && l->p[end] != '\n' && l->p[end] != '\r'; end++)
		if (l->p[end] == '#' && end > at && l->p[end - 1] == ' ')
			break;
	while (end > at && l->p[end - 1] == ' ')
		end--;
	return end;
}

int
cluster_lines_replace(struct buf *out, const struct cluster_lines *t, const struct yaml_node *n,
	const char *value)
{
	const struct cluster_line *l = &t->lines[n->key_line - 1];
	size_t at = n->column - 1;

	if (n->kind != YAML_KIND_SCALAR || n->line != n->key_line || at >= l->len)
		return cluster_lines_by_hand(n->key, n);
	cluster_lines_put(out, t, 1, n->key_line - 1);
	buf_put(out, l->p, at);
	cluster_lines_put_value(out, value);
	at = scalar_end(l, at);
	buf_put(out, l->p + at, l->len - at);
	if (l->p[l->len - 1] != '\n')
		buf_puts(out, t->eol);
	cluster_lines_put(out, t, n->key_line + 1, t->n);
	return 0;
}

/* Leave out n's lines; the key of a map that would be empty then is left out with it, where alone
 * says so. */
int
cluster_lines_leave_out(struct buf *out, const struct cluster_lines *t, const struct yaml_node *map,
	const struct yaml_node *n, bool alone)
{
	const struct yaml_node *which = alone && map->n_children == 1 ? map : n;

	if (!is_block(map))
		return cluster_lines_by_hand(map->key, map);
	cluster_lines_put(out, t, 1, which->key_line - 1);
	cluster_lines_put(out, t, block_end(t, which->key_line, which->key_column - 1) + 1, t->n);
	return 0;
}
