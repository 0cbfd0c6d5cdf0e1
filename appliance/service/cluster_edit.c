/* Edits of cluster.yaml by lines: whatever an edit does not mean stays as its writer left it. */
#include "appliance/service/cluster.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/yaml.h"
#include "appliance/service/cluster_lines.h"

static const struct yaml_node *
find_service(const struct cluster_lines *t, const char *service)
{
	const struct yaml_node *services = t->root ? yaml_get(t->root, "services") : NULL;

	return services && services->kind == YAML_KIND_MAPPING ? yaml_get(services, service) : NULL;
}

static int
open_service(struct cluster_lines *t, const char *text, size_t len, const char *service,
	const struct yaml_node **ret)
{
	int r = cluster_lines_open(t, text, len);

	if (r)
		return r;
	*ret = find_service(t, service);
	return *ret
		? 0
		: REFUSE(REASON_NOT_FOUND, service, "no service of that name is in cluster.yaml");
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
wanted(const struct cluster_lines *t, const char *service)
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
check_result(const struct buf *out, size_t from, const struct cluster_lines *t, const char *service)
{
	struct cluster *c = NULL;
	SCOPED_JSON *is = NULL;
	int r;

	if (buf_error(out))
		return FAULT(buf_error(out));
	r = cluster_read(&c, out->data + from, out->len - from, CLUSTER_LINES_FILE);
	/* What the lines became is no news to anybody: they were not ours to change. */
	if (r == REASON_MALFORMED || r == REASON_UNKNOWN_FIELD)
		return cluster_lines_by_hand(service, find_service(t, service));
	if (r)
		return r;
	is = cluster_json(c);
	cluster_free(c);
	if (!is)
		return FAULT(-ENOMEM);
	return json_equal(is, t->want) ? 0 : cluster_lines_by_hand(service, find_service(t, service));
}

int
cluster_names(bool *ret, const char *text, size_t len, const char *service)
{
	SCOPED(cluster_lines_done) struct cluster_lines t = { 0 };
	int r = cluster_lines_open(&t, text, len);

	*ret = r == 0 && find_service(&t, service);
	return r;
}

int
cluster_install(struct buf *out, const char *text, size_t len, const char *service,
	const char *channel)
{
	SCOPED(cluster_lines_done) struct cluster_lines t = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(1024);
	const struct yaml_node *services;
	size_t from = out->len, indent;
	int r;

	r = cluster_lines_open(&t, text, len);
	if (r)
		return r;
	if (find_service(&t, service))
		return REFUSE(REASON_CONFLICT, service, "is in cluster.yaml already");
	services = t.root ? yaml_get(t.root, "services") : NULL;
	indent = services ? cluster_lines_child_indent(services) : CLUSTER_LINES_STEP;
	cluster_lines_put_indent(&body, indent);
	buf_printf(&body, "%s:\n", service);
	cluster_lines_put_indent(&body, indent + CLUSTER_LINES_STEP);
	buf_printf(&body, "channel: %s\n", channel ?: "stable");
	if (buf_error(&body))
		return FAULT(buf_error(&body));
	if (services) {
		r = cluster_lines_insert(out, &t, services, &body);
	} else {
		cluster_lines_put(out, &t, 1, t.n);
		buf_puts(out, "services:\n");
		buf_put(out, body.data, body.len);
	}
	if (json_object_set_new(json_object_get(t.want, "services"), service,
		    json_pack("{ss sb sb sb s{} s[]}", "channel", channel ?: "stable", "hold", 0,
			    "automatic", 0, "stopped", 0, "knobs", "accepted")) < 0)
		return FAULT(-EINVAL);
	return r ?: check_result(out, from, &t, service);
}

int
cluster_remove(struct buf *out, const char *text, size_t len, const char *service)
{
	SCOPED(cluster_lines_done) struct cluster_lines t = { 0 };
	const struct yaml_node *n;
	size_t from = out->len;
	int r;

	r = open_service(&t, text, len, service, &n);
	if (r)
		return r;
	r = cluster_lines_leave_out(out, &t, yaml_get(t.root, "services"), n, false);
	(void)json_object_del(json_object_get(t.want, "services"), service);
	return r ?: check_result(out, from, &t, service);
}

/* Set or unset key in map, which is a service or its knobs. */
static int
set_in(struct buf *out, const struct cluster_lines *t, const struct yaml_node *map, const char *key,
	const char *value, bool alone)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	const struct yaml_node *n = map->kind == YAML_KIND_MAPPING ? yaml_get(map, key) : NULL;

	if (n)
		return value ? cluster_lines_replace(out, t, n, value)
			     : cluster_lines_leave_out(out, t, map, n, alone);
	if (!value) {
		cluster_lines_put(out, t, 1, t->n);
		return 0;
	}
	cluster_lines_put_indent(&body, cluster_lines_child_indent(map));
	buf_printf(&body, "%s: ", key);
	cluster_lines_put_value(&body, value);
	buf_puts(&body, "\n");
	return cluster_lines_insert(out, t, map, &body);
}

int
cluster_set(struct buf *out, const char *text, size_t len, const char *service, const char *knob,
	const char *value)
{
	SCOPED(cluster_lines_done) struct cluster_lines t = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(4096);
	const struct yaml_node *s, *knobs;
	size_t from = out->len;
	json_t *to = NULL;
	int r;

	r = value ? check_value(knob, value) : 0;
	r = r ?: open_service(&t, text, len, service, &s);
	if (r)
		return r;
	if (value && !(to = json_string(value)))
		return FAULT(-ENOMEM);
	r = want(json_object_get(wanted(&t, service), "knobs"), knob, to);
	if (r)
		return FAULT(r);
	knobs = s->kind == YAML_KIND_MAPPING ? yaml_get(s, "knobs") : NULL;
	if (knobs || !value) {
		r = knobs ? set_in(out, &t, knobs, knob, value, true)
			  : (cluster_lines_put(out, &t, 1, t.n), 0);
		return r ?: check_result(out, from, &t, service);
	}
	cluster_lines_put_indent(&body, cluster_lines_child_indent(s));
	buf_puts(&body, "knobs:\n");
	cluster_lines_put_indent(&body, cluster_lines_child_indent(s) + CLUSTER_LINES_STEP);
	buf_printf(&body, "%s: ", knob);
	cluster_lines_put_value(&body, value);
	buf_puts(&body, "\n");
	r = cluster_lines_insert(out, &t, s, &body);
	return r ?: check_result(out, from, &t, service);
}

int
cluster_member(struct buf *out, const char *text, size_t len, const char *service,
	const char *member, const char *value)
{
	SCOPED(cluster_lines_done) struct cluster_lines t = { 0 };
	const struct yaml_node *s;
	size_t from = out->len;
	int r;

	r = value ? check_value(member, value) : 0;
	r = r ?: open_service(&t, text, len, service, &s);
	if (r)
		return r;
	if (!strcmp(member, "channel"))
		r = want(wanted(&t, service), member, json_string(value ?: "stable"));
	else if (!strcmp(member, "update"))
		r = want(wanted(&t, service), "automatic",
			json_boolean(value && !strcmp(value, "auto")));
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
