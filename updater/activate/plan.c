#include "updater/activate/plan.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/json_wanting.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/definition.h"
#include "updater/activate/change_check.h"
#include "updater/activate/order.h"
#include "updater/activate/plan_row.h"

enum { PLAN_BYTES_MAX = 1024 * 1024 };

/* What the making of a plan gathers: releases and rows as assigned, and the order in which they go. */
struct making {
	struct update_release rels[CHANGE_ITEMS_MAX];
	struct definition *definitions[CHANGE_ITEMS_MAX];
	struct update_runs runs[CHANGE_ITEMS_MAX];
	size_t n;
};

void
plan_done(struct plan *p)
{
	json_decref(p->items);
	for (size_t i = 0; i < p->n; i++)
		update_release_done(&p->rels[i]);
	*p = (struct plan){ 0 };
}

static void
making_done(struct making *k)
{
	for (size_t i = 0; i < k->n; i++) {
		update_release_done(&k->rels[i]);
		definition_free(k->definitions[i]);
	}
	k->n = 0;
}

/* --- services ------------------------------------------------------------------------------------------------------ */
/* Installed services whose assigned release lies in the store and is not the one that runs. */
static int
gather(struct update *u, struct making *k)
{
	int r = 0;

	for (size_t i = 0; u->has_assignment && i < u->assignment.n && k->n < CHANGE_ITEMS_MAX && r == 0; i++) {
		const struct assignment_release *a = &u->assignment.releases[i];
		struct update_release *rel = &k->rels[k->n];

		if (!update_runs(u, a->service, &k->runs[k->n]) || k->runs[k->n].core || !k->runs[k->n].release[0])
			continue;
		r = update_release_load(u, a, rel);
		if (r < 0)
			return r;
		if (r > 0) { /* said when the assignment came */
			r = 0;
			continue;
		}
		if (!update_is_staged(u, rel->hex) || strcmp(rel->hex, k->runs[k->n].release) == 0) {
			update_release_done(rel);
			continue;
		}
		k->definitions[k->n] = NULL;
		r = change_definition(u->m, rel->hex, &k->definitions[k->n]);
		if (r > 0) { /* said when it was staged; the others do not wait for it */
			update_release_done(rel);
			r = 0;
			continue;
		}
		k->n++;
	}
	return r;
}

/* Why a row could not go in now; nothing is changed by asking. */
static int
put_problems(struct update *u, const struct plan *p, size_t i)
{
	struct change c = { .kind = CHANGE_APPLY, .n = p->n };
	json_t *list = json_array();
	int r;

	for (size_t k = 0; k < p->n; k++) {
		const json_t *row = json_array_get(p->items, k);

		(void)snprintf(c.items[k].service, sizeof(c.items[k].service), "%s", json_text(row, "service"));
		(void)snprintf(c.items[k].from, sizeof(c.items[k].from), "%s", json_text(row, "from"));
		(void)snprintf(c.items[k].to, sizeof(c.items[k].to), "%s", json_text(row, "to"));
		(void)snprintf(c.items[k].to_version, sizeof(c.items[k].to_version), "%s", json_text(row, "version"));
	}
	r = change_check(u->m, &c, i);
	if (r > 0)
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:s}", "reason", refuse_token((enum reason)r), "operand",
				refuse_last()->operand, "where", refuse_last()->place, "text", refuse_last()->text));
	if (json_object_set_new(json_array_get(p->items, i), "problems", list) < 0)
		return FAULT(-ENOMEM);
	return r < 0 ? r : 0;
}

/* What is in a circle is the vendor's to mend; it keeps nothing else from going in. */
static int
put_ring(struct plan *p, size_t i, const char *ring)
{
	json_t *row = json_array_get(p->items, i);
	SCOPED(buf_done) struct buf text = BUF_MAX(REFUSE_TEXT_MAX);

	buf_printf(&text, "%s: none of them can go first, and they are left out; only newer releases of them can mend that", ring);
	if (buf_error(&text) == -ENOMEM ||
		json_object_set_new(row, "problems",
			json_pack("[{s:s, s:s, s:s, s:s}]", "reason", refuse_token(REASON_CONFLICT), "operand",
				json_text(row, "service"), "where", "", "text", buf_text(&text))) < 0)
		return FAULT(-ENOMEM);
	return 0;
}

static int
add_services(struct update *u, struct plan *p, struct making *k)
{
	struct order_item items[CHANGE_ITEMS_MAX];
	size_t order[CHANGE_ITEMS_MAX], placed;
	char ring[ORDER_RING_MAX];
	int r = 0;

	for (size_t i = 0; i < k->n; i++)
		items[i] = (struct order_item){ k->rels[i].tree->service, k->definitions[i]->requires_services };
	placed = order_sort(items, k->n, order, ring);
	for (size_t i = 0; i < k->n && r == 0; i++) {
		size_t at = order[i];
		json_t *row = NULL;

		r = plan_row(u, &k->rels[at], k->runs[at].release, k->runs[at].version, k->definitions[at], &row);
		if (r != 0)
			break;
		if (json_array_append_new(p->items, row) < 0 ||
			json_object_set_new(row, "ring", json_boolean(i >= placed)) < 0) {
			r = FAULT(-ENOMEM);
			break;
		}
		p->rels[p->n++] = k->rels[at];
		k->rels[at] = (struct update_release){ 0 };
	}
	for (size_t i = 0; i < p->n && r == 0; i++)
		r = i < placed ? put_problems(u, p, i) : put_ring(p, i, ring);
	return r;
}

/* --- the core -------------------------------------------------------------------------------------------------------- */
static int
add_core(struct update *u, struct plan *p)
{
	const struct assignment_release *a = u->has_assignment ? assignment_find(&u->assignment, CORE_SERVICE) : NULL;
	SCOPED_JSON *missing = json_array();
	struct update_release *rel = &p->rels[0];
	struct update_runs runs;
	int r;

	if (!a || !update_runs(u, CORE_SERVICE, &runs))
		return 0;
	r = update_release_load(u, a, rel);
	if (r != 0)
		return r < 0 ? r : 0;
	r = update_missing(u, rel, missing, NULL, 1, NULL);
	if (r != 0 || json_array_size(missing) > 0 || strcmp(rel->hex, runs.release) == 0) {
		update_release_done(rel);
		return r;
	}
	p->n = 1;
	p->core = true;
	r = json_array_append_new(p->items,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:o}", "service", CORE_SERVICE, "class", "core", "from",
			runs.release, "from_version", runs.version, "to", rel->hex, "version", rel->tree->version,
			"held", (int)u->held, "went_back", (int)update_went_back(u, CORE_SERVICE, rel->hex), "automatic",
			0, "back", update_core_back(u, rel->hex)));
	return r < 0 ? FAULT(-ENOMEM) : 0;
}

/* --- all of it ------------------------------------------------------------------------------------------------------- */
int
plan_make(struct update *u, struct plan *ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PLAN_BYTES_MAX);
	SCOPED(making_done) struct making k = { 0 };
	uint8_t digest[SHA256_LEN];
	uint64_t wanting = json_wanting();
	int r;

	*ret = (struct plan){ .items = json_array() };
	r = gather(u, &k);
	r = r ?: add_services(u, ret, &k);
	if (r == 0 && ret->n == 0)
		r = add_core(u, ret);
	r = r ?: json_canonical(&b, ret->items);
	if (r == 0 && json_wanting() != wanting)
		r = -ENOMEM; /* it is agreed to as it stands: what is missing would not be asked for */
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	sha256_of(digest, b.data, b.len);
	sha256_text(ret->digest, digest);
	return 0;
}

bool
plan_held(const struct plan *p, size_t i)
{
	return json_is_true(json_object_get(json_array_get(p->items, i), "held"));
}

bool
plan_ring(const struct plan *p, size_t i)
{
	return json_is_true(json_object_get(json_array_get(p->items, i), "ring"));
}

int
plan_problem(const struct plan *p, size_t i)
{
	const json_t *one = json_array_get(json_object_get(json_array_get(p->items, i), "problems"), 0);
	struct refusal why = { .reason = refuse_reason(json_text(one, "reason")) };

	if (!one)
		return 0;
	(void)snprintf(why.operand, sizeof(why.operand), "%s", json_text(one, "operand"));
	(void)snprintf(why.place, sizeof(why.place), "%s", json_text(one, "where"));
	(void)snprintf(why.text, sizeof(why.text), "%s", json_text(one, "text"));
	return refuse_adopt(&why);
}

bool
plan_went_back(const struct plan *p, size_t i)
{
	return json_is_true(json_object_get(json_array_get(p->items, i), "went_back"));
}

bool
plan_automatic(const struct plan *p, size_t i)
{
	const json_t *row = json_array_get(p->items, i);

	/* A release that asks for more has a problem, so has one that cannot read the data. */
	return !p->core && json_is_true(json_object_get(row, "automatic")) && !plan_held(p, i) &&
		json_array_size(json_object_get(row, "problems")) == 0 && strcmp(json_text(row, "data"), "same") == 0 &&
		!plan_went_back(p, i);
}

/* --- what moved -------------------------------------------------------------------------------------------------------- */
static const json_t *
row_of(const json_t *items, const char *service)
{
	const json_t *row;
	size_t i;

	json_array_foreach (items, i, row)
		if (strcmp(json_text(row, "service"), service) == 0)
			return row;
	return NULL;
}

static void
put_value(struct buf *out, const json_t *v)
{
	if (json_is_string(v))
		buf_printf(out, " %.64s", json_string_value(v));
	else if (json_is_boolean(v))
		buf_puts(out, json_is_true(v) ? " yes" : " no");
}

static void
row_difference(const json_t *before, const json_t *after, const char *service, struct buf *out)
{
	const char *name;
	json_t *value, *row;

	memcpy(&row, &after, sizeof(row)); /* jansson's iterator takes no const object */
	json_object_foreach (row, name, value) {
		const json_t *was = json_object_get(before, name);

		if (was && json_equal(was, value))
			continue;
		buf_printf(out, "%s%s: %s", out->len ? "; " : "", service, name);
		put_value(out, was);
		buf_puts(out, " is now");
		put_value(out, value);
		if (!json_is_string(value) && !json_is_boolean(value))
			buf_puts(out, " otherwise");
	}
}

void
plan_difference(const json_t *before, const json_t *after, struct buf *out)
{
	const json_t *row;
	size_t i;

	json_array_foreach (before, i, row)
		if (!row_of(after, json_text(row, "service")))
			buf_printf(out, "%s%s: gone", out->len ? "; " : "", json_text(row, "service"));
	json_array_foreach (after, i, row) {
		const char *service = json_text(row, "service");
		const json_t *was = row_of(before, service);

		if (!was)
			buf_printf(out, "%s%s: came", out->len ? "; " : "", service);
		else
			row_difference(was, row, service, out);
	}
}
