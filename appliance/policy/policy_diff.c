#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/policy/policy_form.h"
#include "appliance/policy/policy.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

/* Append "redis,etcd" of a list, or the text itself. */
static void
put_value(struct buf *out, const json_t *v)
{
	if (json_is_string(v))
		buf_puts(out, json_string_value(v));
	for (size_t i = 0; i < json_array_size(v); i++)
		buf_printf(out, "%s%s", i > 0 ? "," : "", json_string_value(json_array_get(v, i)));
}

static void
put_rule(struct buf *out, const json_t *rule)
{
	buf_puts(out, json_string_value(json_object_get(rule, "decision")));
	for (unsigned i = 0; i <= POLICY_FORM_APPROVERS; i++) {
		const char *name = policy_form_name((enum policy_form)i);
		const json_t *v = json_object_get(rule, name);

		if (!v || i == POLICY_FORM_DECISION)
			continue;
		buf_printf(out, " %s=", name);
		put_value(out, v);
	}
}

static void
add_text(json_t *lines, struct buf *b)
{
	if (buf_error(b) == 0)
		(void)json_array_append_new(lines, json_string(buf_text(b)));
	buf_reset(b);
}

/* Every fact of a policy as one line; two policies differ in the lines they do not share. */
static json_t *
facts(const struct policy *p)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE_MAX_BYTES);
	const json_t *doc = policy_json(p);
	const char *name;
	json_t *lines = json_array(), *v;
	unsigned k;
	size_t n = policy_owners(p, &k);

	if (n > 0) {
		buf_printf(&b, "owners: %u must sign", k);
		add_text(lines, &b);
	}
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "owner %s", policy_owner(p, i));
		add_text(lines, &b);
	}
	for (size_t i = 0; i < policy_n_approvers(p); i++) {
		buf_printf(&b, "approver %s %s", policy_approver(p, i)->name,
			policy_approver(p, i)->key);
		add_text(lines, &b);
	}
	json_object_foreach(json_object_get(doc, "classes"), name, v) {
		buf_printf(&b, "class %s ", name);
		put_value(&b, v);
		add_text(lines, &b);
	}
	json_object_foreach(json_object_get(doc, "windows"), name, v) {
		buf_printf(&b, "window %s ", name);
		put_value(&b, v);
		add_text(lines, &b);
	}
	json_array_foreach(json_object_get(doc, "notify"), n, v) {
		buf_printf(&b, "notify %s", json_string_value(v));
		add_text(lines, &b);
	}
	json_array_foreach(json_object_get(doc, "rules"), n, v) {
		buf_puts(&b, "rule ");
		put_rule(&b, v);
		add_text(lines, &b);
	}
	return lines;
}

static bool
has_line(const json_t *lines, const char *line)
{
	for (size_t i = 0; i < json_array_size(lines); i++)
		if (strcmp(json_string_value(json_array_get(lines, i)), line) == 0)
			return true;
	return false;
}

static void
put_missing(json_t *out, char sign, const json_t *from, const json_t *in)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE_MAX_BYTES);

	for (size_t i = 0; i < json_array_size(from); i++) {
		const char *line = json_string_value(json_array_get(from, i));

		if (has_line(in, line))
			continue;
		buf_printf(&b, "%c %s", sign, line);
		add_text(out, &b);
	}
}

json_t *
policy_diff(const struct policy *before, const struct policy *after)
{
	SCOPED_JSON *old = facts(before), *new = facts(after);
	json_t *out = json_array();

	put_missing(out, '-', old, new);
	put_missing(out, '+', new, old);
	return out;
}
