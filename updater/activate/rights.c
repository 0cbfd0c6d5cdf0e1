#include "updater/activate/rights.h"

#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"

enum { FIELD_MAX = 160 };

/* Has one of the first n metrics that source, and that field (NULL: any)? */
static bool
is_named(const json_t *metrics, size_t n, const char *source, const char *field)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *metric = json_array_get(metrics, i), *one;
		size_t k;

		if (strcmp(json_text(metric, "source"), source) != 0)
			continue;
		json_array_foreach (json_object_get(metric, "fields"), k, one)
			if (field && strcmp(json_string_value(one), field) == 0)
				return true;
		if (!field)
			return true;
	}
	return false;
}

/* Calls fn once for each field of telemetry that a definition names, until it returns something else than 0. */
typedef int field_fn(const char *field, void *arg);

static int
each_field(const struct definition *d, field_fn *fn, void *arg)
{
	char name[FIELD_MAX];
	const json_t *metric, *field;
	size_t i, k;
	int r = 0;

	json_array_foreach (d->metrics, i, metric) {
		const char *source = json_string_value(json_object_get(metric, "source"));

		snprintf(name, sizeof(name), "%s_up", source);
		if (!is_named(d->metrics, i, source, NULL))
			r = fn(name, arg);
		json_array_foreach (json_object_get(metric, "fields"), k, field) {
			if (is_named(d->metrics, i, source, json_string_value(field)))
				continue;
			snprintf(name, sizeof(name), "%s_%s", source, json_string_value(field));
			r = r ?: fn(name, arg);
		}
		if (r != 0)
			return r;
	}
	for (i = 0; i < d->n_alerts && r == 0; i++) {
		snprintf(name, sizeof(name), "alert.%s.%s", d->name, d->alerts[i].name);
		r = fn(name, arg);
	}
	return r;
}

/* --- listing ------------------------------------------------------------------------------------------------- */
/* The operation in one line: what it runs. */
static json_t *
runs_text(const struct definition_operation *op)
{
	char line[512] = "";
	size_t n = 0;

	if (op->verb != DEFINITION_VERB_NONE)
		return json_string(definition_verb_text(op->verb));
	for (size_t i = 0; i < op->argv.n && n < sizeof(line); i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", i ? " " : "", op->argv.item[i]);
	return json_string(line);
}

static int
list_operation(json_t *list, const struct definition *d, const struct definition_operation *op,
	const struct accepted *a)
{
	uint8_t rights[32];
	json_t *row = json_object();
	int r;

	r = definition_rights_digest(d, op, rights);
	r = r ?: json_put_text(row, "name", op->name);
	r = r ?: json_put_text(row, "risk", definition_risk_text(op->risk));
	r = r ?: json_object_set_new(row, "runs", runs_text(op));
	r = r ?: json_object_set_new(row, "accepted",
			 json_boolean(accepted_operation(a, d->name, op->name, rights)));
	r = r ?: json_array_append(list, row);
	json_decref(row);
	return r;
}

struct listing {
	json_t *fields;
	const struct definition *d;
	const struct accepted *a;
};

static int
list_field(const char *field, void *arg)
{
	struct listing *l = arg;

	return json_array_append_new(l->fields,
		json_pack("{s:s, s:b}", "name", field, "accepted", accepted_field(l->a, l->d->name, field)));
}

static int
list_powers(json_t *list, const struct definition *d, const struct accepted *a)
{
	SCOPED_JSON *powers = NULL;
	const json_t *one;
	size_t i;
	int r = definition_powers(d, &powers);

	json_array_foreach(powers, i, one) {
		const char *name = json_string_value(one);
		bool in = definition_power_within(name, accepted_powers(a, d->name));

		r = r ?: json_array_append_new(list, json_pack("{s:s, s:b}", "name", name, "accepted", (int)in));
	}
	return r;
}

int
rights_missing_powers(json_t **ret, const struct definition *d, const struct accepted *a)
{
	SCOPED_JSON *powers = NULL, *missing = json_array();
	json_t *one;
	size_t i;
	int r = missing ? definition_powers(d, &powers) : -ENOMEM;

	json_array_foreach(powers, i, one)
		if (r == 0 && !definition_power_within(json_string_value(one), accepted_powers(a, d->name)))
			r = json_array_append(missing, one);
	if (r != 0)
		return FAULT(r < -1 ? r : -ENOMEM);
	*ret = STEAL(missing);
	return 0;
}

int
rights_list(json_t **ret, const struct definition *d, const struct accepted *a)
{
	SCOPED_JSON *doc = json_object();
	struct listing l = { .fields = json_array(), .d = d, .a = a };
	json_t *operations = json_array(), *powers = json_array();
	int r;

	r = json_object_set_new(doc, "operations", operations);
	r = json_object_set_new(doc, "fields", l.fields) ?: r;
	r = json_object_set_new(doc, "powers", powers) ?: r;
	r = r ?: list_powers(powers, d, a);
	for (size_t i = 0; i < d->n_operations && r == 0; i++)
		r = list_operation(operations, d, &d->operations[i], a);
	r = r ?: each_field(d, list_field, &l);
	if (r != 0)
		return r > 0 ? r : FAULT(-ENOMEM);
	*ret = STEAL(doc);
	return 0;
}

/* --- what is new ------------------------------------------------------------------------------------------------ */
static int
add_name(const char *field, void *arg)
{
	return json_array_append_new(arg, json_string(field));
}

static bool
has_name(const json_t *names, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(names, i, one)
		if (strcmp(json_string_value(one), name) == 0)
			return true;
	return false;
}

static int
new_operations(json_t *list, const struct definition *from, const struct definition *to)
{
	int r = 0;

	for (size_t i = 0; i < to->n_operations && r == 0; i++) {
		const struct definition_operation *is = &to->operations[i];
		const struct definition_operation *was = definition_operation(from, is->name);
		uint8_t now[32], before[32];

		r = definition_rights_digest(to, is, now);
		if (r == 0 && was)
			r = definition_rights_digest(from, was, before);
		if (r == 0 && (!was || memcmp(now, before, sizeof(now)) != 0))
			r = add_name(is->name, list);
	}
	return r;
}

int
rights_new(json_t **ret, const struct definition *from, const struct definition *to)
{
	SCOPED_JSON *doc = json_object(), *before = json_array(), *after = json_array();
	json_t *operations = json_array(), *fields = json_array();
	const json_t *one;
	size_t i;
	int r = json_object_set_new(doc, "operations", operations);

	r = json_object_set_new(doc, "fields", fields) ?: r;
	r = r ?: new_operations(operations, from, to);
	r = r ?: each_field(from, add_name, before);
	r = r ?: each_field(to, add_name, after);
	json_array_foreach(after, i, one)
		if (r == 0 && !has_name(before, json_string_value(one)))
			r = add_name(json_string_value(one), fields);
	if (r != 0)
		return FAULT(-ENOMEM);
	*ret = STEAL(doc);
	return 0;
}

/* --- accepting ------------------------------------------------------------------------------------------------ */
struct accepting {
	struct accepted *a;
	const struct definition *d;
	const char *item; /* only this one; NULL: all */
	bool found;
};

static int
accept_field(const char *field, void *arg)
{
	struct accepting *p = arg;

	if (p->item && strcmp(p->item, field) != 0)
		return 0;
	p->found = true;
	return accepted_add_field(p->a, p->d->name, field, ""); /* nobody has seen it yet */
}

static int
accept_operation(struct accepted *a, const struct definition *d, const struct definition_operation *op)
{
	uint8_t rights[32];
	int r;

	r = definition_rights_digest(d, op, rights);
	return r ?: accepted_add_operation(a, d->name, op->name, rights);
}

/* Only this one; NULL: all. */
static int
accept_powers(struct accepted *a, const struct definition *d, const char *item, bool *ret_found)
{
	SCOPED_JSON *powers = NULL;
	const json_t *one;
	size_t i;
	int r = definition_powers(d, &powers);

	json_array_foreach(powers, i, one) {
		const char *name = json_string_value(one);

		if (item && strcmp(item, name) != 0)
			continue;
		*ret_found = true;
		r = r ?: accepted_add_power(a, d->name, name);
	}
	return r;
}

int
rights_accept_all(struct accepted *a, const struct definition *d)
{
	struct accepting p = { .a = a, .d = d };
	bool found;
	int r = accept_powers(a, d, NULL, &found);

	for (size_t i = 0; i < d->n_operations && r == 0; i++)
		r = accept_operation(a, d, &d->operations[i]);
	r = r ?: each_field(d, accept_field, &p);
	return r < 0 ? FAULT(r) : r;
}

int
rights_accept(struct accepted *a, const struct definition *d, const char *kind, const char *item)
{
	struct accepting p = { .a = a, .d = d, .item = item };
	const struct definition_operation *op;
	int r;

	if (strcmp(kind, "operation") == 0) {
		op = definition_operation(d, item);
		if (!op)
			return REFUSE(REASON_NOT_FOUND, item, "service %s has no such operation", d->name);
		return accept_operation(a, d, op);
	}
	if (strcmp(kind, "power") == 0) {
		r = accept_powers(a, d, item, &p.found);
		if (r == 0 && !p.found)
			return REFUSE(REASON_NOT_FOUND, item, "release %s of %s asks for no such power", d->version,
				d->name);
		return r;
	}
	if (strcmp(kind, "collector") != 0)
		return REFUSE(REASON_USAGE, kind, "accept an \"operation\", a \"collector\" or a \"power\"");
	r = each_field(d, accept_field, &p);
	if (r == 0 && !p.found)
		return REFUSE(REASON_NOT_FOUND, item, "service %s has no such field", d->name);
	return r < 0 ? FAULT(r) : r;
}
