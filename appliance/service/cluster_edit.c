/* Edits of cluster.yaml by lines: whatever an edit does not mean stays as its writer left it. */
#include "appliance/service/cluster.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"

static const char file_name[] = "cluster.yaml";

enum { STEP = 2 }; /* columns of one more level, where nothing shows another habit */

struct line {
	const char *p;
	size_t len; /* with its newline */
};

/* The text in lines, and its tree; lines are numbered from 1 as the tree's are. */
struct text {
	struct line *lines;
	size_t n;
	struct yaml_node *root; /* NULL where there is no document */
	json_t *want; /* owned; the cluster it says, which each edit changes to what is to come out */
};

static void
text_done(struct text *t)
{
	free(t->lines);
	t->root = yaml_node_free(t->root);
	json_decref(t->want);
}

static bool
is_text(const struct line *l, size_t *ret_indent)
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

static int
text_open(struct text *t, const char *p, size_t len)
{
	struct cluster *c = NULL;
	const char *end = p + len;
	size_t n = 1;
	int r;

	r = cluster_read(&c, p, len, file_name);
	if (r)
		return r;
	t->want = cluster_json(c);
	cluster_free(c);
	if (!t->want)
		return FAULT(-ENOMEM);
	if (has_other_breaks(p, len))
		return REFUSE(REASON_MALFORMED, file_name,
			"has line breaks that are no newlines: it can only be edited by hand");
	for (const char *q = p; q < end; q++)
		n += *q == '\n';
	t->lines = calloc(n, sizeof(*t->lines));
	if (!t->lines)
		return FAULT(-ENOMEM);
	for (; p < end; t->n++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		t->lines[t->n] =
			(struct line){ p, stop ? (size_t)(stop + 1 - p) : (size_t)(end - p) };
		p += t->lines[t->n].len;
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t indent;

		if (is_text(&t->lines[i], &indent))
			return yaml_parse(&t->root, t->lines[0].p, len, file_name);
	}
	return 0;
}

/* The last line (from 1) of the block whose key stands in line at this indent: deeper lines belong
 * to it; blank lines and comments after the last of them do not. */
static size_t
block_end(const struct text *t, size_t line, size_t indent)
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

static void
put_lines(struct buf *out, const struct text *t, size_t from,
	size_t to) /* both from 1, inclusive */
{
	for (size_t i = from; i <= to && i <= t->n; i++) {
		const struct line *l = &t->lines[i - 1];

		buf_put(out, l->p, l->len);
		if (l->len == 0 || l->p[l->len - 1] != '\n')
			buf_puts(out, "\n");
	}
}

static void
put_indent(struct buf *out, size_t n)
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

static void
put_value(struct buf *out, const char *v)
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

static int
only_by_hand(const char *what)
{
	return REFUSE(REASON_MALFORMED, what,
		"is written in a form that can only be edited by hand");
}

/* The key's line of an empty mapping, without what stood for emptiness ("{}"), its comment kept. */
static int
put_bare_key(struct buf *out, const struct text *t, const struct yaml_node *n)
{
	const struct line *l = &t->lines[n->key_line - 1];
	size_t colon = n->key_column - 1 + strlen(n->key);
	const char *hash;

	while (colon < l->len && l->p[colon] != ':')
		colon++;
	if (colon >= l->len) /* "? key", and the colon in another line */
		return only_by_hand(n->key);
	buf_put(out, l->p, colon + 1);
	hash = memchr(l->p, '#', l->len);
	if (hash && hash > l->p + colon) {
		buf_puts(out, " ");
		buf_put(out, hash, (size_t)(l->p + l->len - hash));
	}
	if (!hash || l->p[l->len - 1] != '\n')
		buf_puts(out, "\n");
	return 0;
}

/* Insert body's lines as the last of map (whose key stands in the text), body being written for
 * indent *ret_indent. */
static size_t
child_indent(const struct yaml_node *map)
{
	return is_block(map) ? map->children->key_column - 1 : map->key_column - 1 + STEP;
}

static int
insert_last(struct buf *out, const struct text *t, const struct yaml_node *map,
	const struct buf *body)
{
	size_t end;
	int r = 0;

	if (!is_empty(map) && !is_block(map))
		return only_by_hand(map->key);
	end = is_block(map) ? block_end(t, map->key_line, map->key_column - 1) : map->key_line;
	if (is_block(map)) {
		put_lines(out, t, 1, end);
	} else {
		put_lines(out, t, 1, map->key_line - 1);
		r = put_bare_key(out, t, map);
	}
	if (r)
		return r;
	buf_put(out, body->data, body->len);
	put_lines(out, t, end + 1, t->n);
	return 0;
}

/* The column behind a scalar that begins in this line. */
static size_t
scalar_end(const struct line *l, size_t at)
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

static int
replace_value(struct buf *out, const struct text *t, const struct yaml_node *n, const char *value)
{
	const struct line *l = &t->lines[n->key_line - 1];
	size_t at = n->column - 1;

	if (n->kind != YAML_KIND_SCALAR || n->line != n->key_line || at >= l->len)
		return only_by_hand(n->key);
	put_lines(out, t, 1, n->key_line - 1);
	buf_put(out, l->p, at);
	put_value(out, value);
	at = scalar_end(l, at);
	buf_put(out, l->p + at, l->len - at);
	if (l->p[l->len - 1] != '\n')
		buf_puts(out, "\n");
	put_lines(out, t, n->key_line + 1, t->n);
	return 0;
}

/* Leave out n's lines; the key of a map that would be empty then is left out with it, where alone
 * says so. */
static int
leave_out(struct buf *out, const struct text *t, const struct yaml_node *map,
	const struct yaml_node *n, bool alone)
{
	const struct yaml_node *which = alone && map->n_children == 1 ? map : n;

	if (!is_block(map))
		return only_by_hand(map->key);
	put_lines(out, t, 1, which->key_line - 1);
	put_lines(out, t, block_end(t, which->key_line, which->key_column - 1) + 1, t->n);
	return 0;
}

static const struct yaml_node *
find_service(const struct text *t, const char *service)
{
	const struct yaml_node *services = t->root ? yaml_get(t->root, "services") : NULL;

	return services && services->kind == YAML_KIND_MAPPING ? yaml_get(services, service) : NULL;
}

static int
not_there(const char *service)
{
	return REFUSE(REASON_NOT_FOUND, service, "no service of that name is in cluster.yaml");
}

static int
check_value(const char *what, const char *value)
{
	if (strlen(value) > CLUSTER_VALUE_MAX)
		return REFUSE(REASON_TOO_LARGE, what, "a value has at most %d bytes",
			CLUSTER_VALUE_MAX);
	for (; *value; value++)
		if (iscntrl((unsigned char)*value))
			return REFUSE(REASON_MALFORMED, what, "a value is one line of text");
	return 0;
}

static json_t *
wanted(const struct text *t, const char *service)
{
	return json_object_get(json_object_get(t->want, "services"), service);
}

/* That a member has this value; NULL: is not there. */
static int
want(json_t *obj, const char *member, json_t *take_value)
{
	if (!take_value) {
		(void)json_object_del(obj, member);
		return 0;
	}
	return json_object_set_new(obj, member, take_value) < 0 ? -ENOMEM : 0;
}

/* What came out must be the cluster that was asked for: our lines are not all that YAML can do (a text in quotes
 * may go on in lines that stand like keys), and an edit that does something else is none. */
static int
check_result(const struct buf *out, size_t from, const struct text *t, const char *service)
{
	struct cluster *c = NULL;
	SCOPED_JSON *is = NULL;
	int r;

	if (buf_error(out))
		return FAULT(buf_error(out));
	r = cluster_read(&c, out->data + from, out->len - from, file_name);
	if (r)
		return r;
	is = cluster_json(c);
	cluster_free(c);
	if (!is)
		return FAULT(-ENOMEM);
	return json_equal(is, t->want) ? 0 : only_by_hand(service);
}

int
cluster_install(struct buf *out, const char *text, size_t len, const char *service,
	const char *channel)
{
	SCOPED(text_done) struct text t = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(1024);
	const struct yaml_node *services;
	size_t from = out->len, indent;
	int r;

	r = text_open(&t, text, len);
	if (r)
		return r;
	if (find_service(&t, service))
		return REFUSE(REASON_CONFLICT, service, "is in cluster.yaml already");
	services = t.root ? yaml_get(t.root, "services") : NULL;
	indent = services ? child_indent(services) : STEP;
	put_indent(&body, indent);
	buf_printf(&body, "%s:\n", service);
	put_indent(&body, indent + STEP);
	buf_printf(&body, "channel: %s\n", channel ?: "stable");
	if (services) {
		r = insert_last(out, &t, services, &body);
	} else {
		put_lines(out, &t, 1, t.n);
		buf_puts(out, "services:\n");
		buf_put(out, body.data, body.len);
	}
	if (json_object_set_new(json_object_get(t.want, "services"), service,
		    json_pack("{ss sb sb s{} s[]}", "channel", channel ?: "stable", "hold", 0,
			    "stopped", 0, "knobs", "accepted")) < 0)
		return FAULT(-EINVAL);
	return r ?: check_result(out, from, &t, service);
}

int
cluster_remove(struct buf *out, const char *text, size_t len, const char *service)
{
	SCOPED(text_done) struct text t = { 0 };
	const struct yaml_node *n;
	size_t from = out->len;
	int r;

	r = text_open(&t, text, len);
	if (r)
		return r;
	n = find_service(&t, service);
	if (!n)
		return not_there(service);
	r = leave_out(out, &t, yaml_get(t.root, "services"), n, false);
	(void)json_object_del(json_object_get(t.want, "services"), service);
	return r ?: check_result(out, from, &t, service);
}

/* Set or unset key in map, which is a service or its knobs. */
static int
set_in(struct buf *out, const struct text *t, const struct yaml_node *map, const char *key,
	const char *value, bool alone)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	const struct yaml_node *n = map->kind == YAML_KIND_MAPPING ? yaml_get(map, key) : NULL;

	if (n)
		return value ? replace_value(out, t, n, value) : leave_out(out, t, map, n, alone);
	if (!value) {
		put_lines(out, t, 1, t->n);
		return 0;
	}
	put_indent(&body, child_indent(map));
	buf_printf(&body, "%s: ", key);
	put_value(&body, value);
	buf_puts(&body, "\n");
	return insert_last(out, t, map, &body);
}

int
cluster_set(struct buf *out, const char *text, size_t len, const char *service, const char *knob,
	const char *value)
{
	SCOPED(text_done) struct text t = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	const struct yaml_node *s, *knobs;
	size_t from = out->len;
	int r;

	r = value ? check_value(knob, value) : 0;
	r = r ?: text_open(&t, text, len);
	if (r)
		return r;
	s = find_service(&t, service);
	if (!s)
		return not_there(service);
	r = want(json_object_get(wanted(&t, service), "knobs"), knob,
		value ? json_string(value) : NULL);
	if (r)
		return FAULT(r);
	knobs = s->kind == YAML_KIND_MAPPING ? yaml_get(s, "knobs") : NULL;
	if (knobs || !value) {
		r = knobs ? set_in(out, &t, knobs, knob, value, true)
			  : (put_lines(out, &t, 1, t.n), 0);
		return r ?: check_result(out, from, &t, service);
	}
	put_indent(&body, child_indent(s));
	buf_puts(&body, "knobs:\n");
	put_indent(&body, child_indent(s) + STEP);
	buf_printf(&body, "%s: ", knob);
	put_value(&body, value);
	buf_puts(&body, "\n");
	r = insert_last(out, &t, s, &body);
	return r ?: check_result(out, from, &t, service);
}

int
cluster_member(struct buf *out, const char *text, size_t len, const char *service,
	const char *member, const char *value)
{
	SCOPED(text_done) struct text t = { 0 };
	const struct yaml_node *s;
	size_t from = out->len;
	int r;

	r = value ? check_value(member, value) : 0;
	r = r ?: text_open(&t, text, len);
	if (r)
		return r;
	s = find_service(&t, service);
	if (!s)
		return not_there(service);
	if (!strcmp(member, "channel"))
		r = want(wanted(&t, service), member, json_string(value ?: "stable"));
	else
		r = want(wanted(&t, service), member,
			json_boolean(value && !strcmp(value, "true")));
	if (r)
		return FAULT(r);
	r = set_in(out, &t, s, member, value, false);
	return r ?: check_result(out, from, &t, service);
}

/* --- the difference --------------------------------------------------------------------------- */
static const char *
line_end(const char *p)
{
	const char *end = strchr(p, '\n');

	return end ? end + 1 : p + strlen(p);
}

static void
put_marked(struct buf *out, char mark, const char *p, const char *end)
{
	while (p < end) {
		const char *next = line_end(p);

		buf_put(out, &mark, 1);
		buf_put(out, p, (size_t)(next - p));
		if (next[-1] != '\n')
			buf_puts(out, "\n");
		p = next;
	}
}

static const char *
line_before(const char *begin, const char *p)
{
	if (p == begin)
		return p;
	for (p--; p > begin && p[-1] != '\n'; p--)
		;
	return p;
}

void
cluster_difference(struct buf *out, const char *old_text, const char *new_text)
{
	const char *a = old_text, *b = new_text;
	const char *a_end = a + strlen(a), *b_end = b + strlen(b), *around;

	/* One hunk from the first line that differs to the last: an edit is one place. */
	while (*a && line_end(a) - a == line_end(b) - b &&
		!memcmp(a, b, (size_t)(line_end(a) - a))) {
		a = line_end(a);
		b = line_end(b);
	}
	while (a_end > a && b_end > b) {
		const char *la = line_before(a, a_end), *lb = line_before(b, b_end);

		if (a_end - la != b_end - lb || memcmp(la, lb, (size_t)(a_end - la)))
			break;
		a_end = la;
		b_end = lb;
	}
	if (a == a_end && b == b_end)
		return;
	around = line_before(old_text, line_before(old_text, a));
	put_marked(out, ' ', around, a);
	put_marked(out, '-', a, a_end);
	put_marked(out, '+', b, b_end);
	around = line_end(a_end);
	put_marked(out, ' ', a_end, *around ? line_end(around) : around);
}
