#include "updater/activate/update_found.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/policy/policy.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "appliance/tree/platform.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/people.h"
#include "updater/activate/plan.h"
#include "updater/activate/update.h"
#include "updater/fetch/fetch_wire.h"

enum {
	SOON_S = 7 * 86400,
	SOON_DAILY_S = 2 * 86400, /* the timestamp role's, which is renewed day by day */
	VERSION_MAX = 64,
};

/* --- what holds a release ---------------------------------------------------------------------------------------------- */
static int
put_hold(json_t *row, const char *reason, const char *text)
{
	return json_array_append_new(json_object_get(row, "holds"), json_pack("{s:s, s:s}", "reason", reason, "text", text));
}

static int
put_reason(json_t *row, enum reason reason, const char *text)
{
	return put_hold(row, refuse_token(reason), text);
}

static int
refused(json_t *row, int r)
{
	(void)json_put_text(row, "state", "refused");
	return r < 0 ? r : put_reason(row, (enum reason)r, refuse_last()->text);
}

static size_t
plan_find(const struct plan *p, const char *service)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(json_text(json_array_get(p->items, i), "service"), service) == 0)
			return i;
	return p->n;
}

/* One that lies there: what of the plan keeps it from going in, and whether it goes by itself. */
static int
put_plan(struct update *u, json_t *row, const struct plan *p, size_t at)
{
	const json_t *is = json_array_get(p->items, at), *one;
	bool automatic = json_is_true(json_object_get(is, "automatic"));
	int r = 0;
	size_t i;

	json_array_foreach (json_object_get(is, "problems"), i, one)
		r = r ?: put_hold(row, json_text(one, "reason"), json_text(one, "text"));
	if (r == 0 && automatic && strcmp(json_text(is, "data"), "one-way") == 0)
		r = put_reason(row, REASON_NOT_APPROVED,
			"data: one-way, which `update: auto` does not take: mainstay update plan, then mainstay update apply");
	if (r == 0)
		r = json_object_set_new(row, "automatic", json_boolean(!u->held && plan_automatic(p, at)));
	return r;
}

static int
put_holds(struct update *u, json_t *row, const struct update_release *rel, const struct plan *p)
{
	const char *service = json_text(row, "service");
	const struct cluster_service *wanted = services_cluster(u->m, service);
	size_t at = plan_find(p, service);
	char text[160];
	int r = 0;

	if (u->held)
		r = put_reason(row, REASON_DENIED, "all updates are held: mainstay update unhold");
	if (r == 0 && wanted && wanted->hold) {
		(void)snprintf(text, sizeof(text), "cluster.yaml holds it: mainstay update unhold %s", service);
		r = put_reason(row, REASON_DENIED, text);
	}
	if (r == 0 && update_went_back(u, service, rel->hex))
		r = put_reason(row, REASON_CONFLICT,
			"this site went back from it (mainstay update history): to try it once more, mainstay update apply --again");
	return r ?: at < p->n ? put_plan(u, row, p, at) : 0;
}

/* --- where a release is ------------------------------------------------------------------------------------------------- */
static int
put_missing(struct update *u, json_t *row, const struct update_release *rel)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *missing = json_array(), *ranges = json_array();
	bool core = strcmp(json_text(row, "service"), CORE_SERVICE) == 0;
	uint64_t bytes = 0;
	int r;

	if (!core && update_is_staged(u, rel->hex)) {
		(void)json_put_text(row, "state", "staged");
		r = update_release_definition(u, rel->hex, &d);
		return r == 0 ? 0 : refused(row, r);
	}
	r = update_missing(u, rel, missing, ranges, FETCH_WIRE_NEED_MAX, &bytes);
	if (r == 0 && core && json_array_size(missing) + json_array_size(ranges) == 0)
		(void)json_put_text(row, "state", "staged");
	return r ?: json_object_set_new(row, "bytes", json_integer((json_int_t)bytes));
}

static int
put_assigned(struct update *u, json_t *row, const struct assignment_release *a, const struct update_runs *runs,
	const struct plan *p, uint64_t *ret_counter)
{
	char hex[65];
	struct update_release rel;
	int r = update_release_load(u, a, &rel);

	hex_encode(hex, a->sha256, sizeof(a->sha256));
	(void)json_put_text(row, "release", hex);
	(void)json_put_text(row, "state", "coming");
	if (r == REASON_NOT_FOUND)
		return 0; /* its index has not come yet */
	if (r != 0)
		return refused(row, r);
	*ret_counter = rel.counter;
	(void)json_put_text(row, "assigned", rel.tree->version);
	if (strcmp(rel.hex, runs->release) == 0)
		(void)json_put_text(row, "state", "current");
	else
		r = put_missing(u, row, &rel);
	if (r == 0 && strcmp(json_text(row, "state"), "current") != 0)
		r = put_holds(u, row, &rel, p);
	update_release_done(&rel);
	return r;
}

/* --- what the vendor has signed ------------------------------------------------------------------------------------------ */
/* "services/redis/7.0.15/index.json" */
static bool
version_of(char out[VERSION_MAX + 1], const char *path, const char *head)
{
	size_t at = strlen(head), len = strcspn(path + (strncmp(path, head, at) == 0 ? at : 0), "/");

	if (strncmp(path, head, at) != 0 || len == 0 || len > VERSION_MAX || strcmp(path + at + len, "/index.json") != 0)
		return false;
	(void)snprintf(out, VERSION_MAX + 1, "%.*s", (int)len, path + at);
	return true;
}

/* The newest above that counter, vouched for by who may. */
static void
put_signed(struct update *u, json_t *row, uint64_t counter)
{
	const struct cluster_service *wanted = services_cluster(u->m, json_text(row, "service"));
	struct tuf_client *c = monitor_tuf(u->m);
	char head[SERVICES_NAME_MAX + 16], version[VERSION_MAX + 1];
	const char *role, *path;
	struct tuf_target t;
	json_t *one;

	(void)snprintf(head, sizeof(head), "services/%s/", json_text(row, "service"));
	for (size_t i = 0; c && wanted && (role = tuf_client_role(c, i)); i++) {
		json_t *targets = json_object_get(tuf_client_signed(c, role), "targets");

		json_object_foreach (targets, path, one) {
			const json_t *custom = json_object_get(one, "custom");
			json_int_t is = json_integer_value(json_object_get(custom, "counter"));

			if (is <= 0 || (uint64_t)is <= counter || !version_of(version, path, head) ||
				strcmp(json_text(custom, "channel"), wanted->channel) != 0 ||
				strcmp(json_text(custom, "platform"), platform_text()) != 0 ||
				tuf_client_target(c, path, &t) != 0 || strcmp(t.role, role) != 0)
				continue;
			counter = (uint64_t)is;
			(void)json_put_text(row, "signed", version);
		}
	}
}

/* --- rows ----------------------------------------------------------------------------------------------------------------- */
static int
add_row(struct update *u, json_t *items, const char *service, const struct plan *p)
{
	const struct assignment_release *a = u->has_assignment ? assignment_find(&u->assignment, service) : NULL;
	struct update_runs runs;
	uint64_t counter = 0;
	json_t *row;
	int r = 0;

	if (!update_runs(u, service, &runs))
		return 0;
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:[], s:b, s:s}", "service", service, "runs", runs.version, "assigned", "",
		"release", "", "state", "unassigned", "bytes", 0, "holds", "automatic", 0, "signed", "");
	if (json_array_append_new(items, row) < 0)
		return -ENOMEM;
	if (a)
		r = put_assigned(u, row, a, &runs, p, &counter);
	put_signed(u, row, counter);
	return r;
}

static int
add_rows(struct update *u, json_t *items)
{
	SCOPED(plan_done) struct plan p = { 0 };
	struct services_state state;
	int r = plan_make(u, &p);

	for (size_t i = 0; r == 0 && i < services_count(u->m); i++)
		if (services_at(u->m, i, &state))
			r = add_row(u, items, state.name, &p);
	if (r == 0 && u->has_assignment && assignment_find(&u->assignment, CORE_SERVICE))
		r = add_row(u, items, CORE_SERVICE, &p);
	return r;
}

/* --- what ends soon --------------------------------------------------------------------------------------------------------- */
static int
add_end(struct update *u, json_t *ends, const char *role, uint64_t us)
{
	uint64_t soon_s = strcmp(role, "timestamp") == 0 ? SOON_DAILY_S : SOON_S;
	bool soon = !monitor_clock_doubtful(u->m) && us < monitor_now_us(u->m) + soon_s * CLOCK_US_PER_S;
	json_t *row = json_pack("{s:s, s:b}", "role", role, "soon", (int)soon);
	int r = row ? json_put_time(row, "expires", us) : -ENOMEM;

	if (json_array_append_new(ends, row) < 0)
		r = -ENOMEM;
	return r;
}

static int
add_ends(struct update *u, json_t *ends)
{
	struct tuf_client *c = monitor_tuf(u->m);
	const struct people *people = monitor_people(u->m);
	const char *role;
	int r = 0;

	for (size_t i = 0; c && r == 0 && (role = tuf_client_role(c, i)); i++)
		r = add_end(u, ends, role, tuf_expires_us(tuf_client_signed(c, role)));
	if (r == 0 && people)
		r = add_end(u, ends, PEOPLE_TARGET, people_expires_us(people));
	return r;
}

int
update_found(struct update *u, json_t **ret)
{
	SCOPED_JSON *found = json_pack("{s:[], s:[], s:o*}", "items", "expires", "window",
		monitor_window_json(u->m, POLICY_WINDOW_UPDATES));
	int r = found ? json_put_time(found, "time", monitor_now_us(u->m)) : -ENOMEM;

	r = r ?: add_rows(u, json_object_get(found, "items"));
	r = r ?: add_ends(u, json_object_get(found, "expires"));
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(found);
	return 0;
}
