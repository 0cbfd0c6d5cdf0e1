#include "updater/activate/plan_row.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/accepted.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "updater/activate/rights.h"
#include "updater/activate/update.h"

/* --- files ------------------------------------------------------------------------------------------------------- */
static bool
same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == TREE_TYPE_LINK)
		return strcmp(a->target, b->target) == 0;
	return a->mode == b->mode &&
		(a->type == TREE_TYPE_DIR || memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0);
}

static void
put_files(json_t *row, const struct tree_index *from, const struct tree_index *to)
{
	uint64_t added = 0, changed = 0, same = 0, bytes = 0;

	for (size_t i = 0; i < to->n_entries; i++) {
		const struct tree_entry *e = &to->entries[i], *was = tree_index_find(from, e->path);

		if (!was)
			added++;
		else if (!same_entry(was, e))
			changed++;
		else
			same++;
		if (e->type == TREE_TYPE_FILE && (!was || !same_entry(was, e)))
			bytes += e->size;
	}
	(void)json_object_set_new(row, "files",
		json_pack("{s:I, s:I, s:I}", "added", (json_int_t)added, "changed", (json_int_t)changed, "removed",
			(json_int_t)(from->n_entries - same - changed)));
	(void)json_put_u64(row, "bytes", bytes);
}

/* --- knobs --------------------------------------------------------------------------------------------------------- */
/* Defaults that are others now and apply, for the customer has not set the knob; those of new knobs came from null. */
static void
put_defaults(json_t *row, struct monitor *m, const struct definition *from, const struct definition *to)
{
	const struct cluster_service *wanted = services_cluster(m, to->name);
	json_t *list = json_array();

	for (size_t i = 0; i < to->n_knobs; i++) {
		const struct definition_param *is = &to->knobs[i], *was = definition_knob(from, is->name);

		if ((wanted && cluster_knob(wanted, is->name)) || (was && json_equal(is->fallback, was->fallback)))
			continue;
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s*, s:O?, s:O}", "knob", is->name, "unit",
				is->type == DEFINITION_SIZE ? "bytes" : NULL, "from", was ? was->fallback : NULL, "to",
				is->fallback));
	}
	(void)json_object_set_new(row, "defaults", list);
}

/* --- rights, data ---------------------------------------------------------------------------------------------------- */
static int
put_new(json_t *row, struct monitor *m, const struct definition *from, const struct definition *to)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	json_t *news = NULL, *powers = NULL;
	int r = accepted_load(&a, monitor_dir(m));

	r = r ?: rights_new(&news, from, to);
	r = r ?: rights_missing_powers(&powers, to, a);
	if (r != 0) {
		json_decref(news);
		return r;
	}
	(void)json_object_set_new(news, "powers", powers);
	return json_object_set_new(row, "new", news) < 0 ? -ENOMEM : 0;
}

static void
put_data(json_t *row, const struct definition *from, const struct definition *to)
{
	const struct definition_hook *hooks = from->hooks;
	bool one_way = false;
	int r = definition_data_step(from, to, &one_way);

	(void)json_put_text(row, "data", r != 0 ? "not-readable" : one_way ? "one-way" : "same");
	(void)json_object_set_new(row, "snapshot", json_boolean(hooks[DEFINITION_HOOK_SNAPSHOT].present));
	(void)json_object_set_new(row, "restores",
		json_boolean(hooks[DEFINITION_HOOK_SNAPSHOT].present && hooks[DEFINITION_HOOK_RESTORE].present));
}

int
plan_row(struct update *u, const struct update_release *to, const char *from_hex, const char *from_version,
	const struct definition *d, json_t **ret)
{
	const struct cluster_service *wanted = services_cluster(u->m, to->tree->service);
	SCOPED(definition_freep) struct definition *stored = NULL;
	const struct definition *was = d;
	SCOPED_JSON *row = NULL;
	struct update_release from;
	int r = update_release_stored(u, from_hex, &from);
	bool lost = r == REASON_NOT_FOUND;

	if (r != 0 && !lost)
		return r;
	r = lost ? 0 : update_release_definition(u, from_hex, &stored);
	if (r != 0)
		goto out;
	was = stored ?: d; /* a store that lost what runs: nothing can be compared */
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:b, s:s}", "service", to->tree->service, "class",
		"service", "from", from_hex, "from_version", from_version, "to", to->hex, "version", to->tree->version,
		"counter", (json_int_t)to->counter, "held", (int)(u->held || (wanted && wanted->hold)), "went_back",
		(int)update_went_back(u, to->tree->service, to->hex), "automatic", (int)(wanted && wanted->automatic), "downtime", "restart");
	if (!row)
		r = -ENOMEM;
	if (r == 0) {
		put_files(row, lost ? to->tree : from.tree, to->tree);
		put_defaults(row, u->m, was, d);
		put_data(row, was, d);
		(void)json_object_set_new(row, "requires",
			d->requires_services ? json_copy_whole(d->requires_services, JSON_DEEP) : json_array());
		(void)json_object_set_new(row, "notes", d->notes ? json_copy_whole(d->notes, JSON_DEEP) : json_array());
		r = put_new(row, u->m, was, d);
	}
out:
	if (!lost)
		update_release_done(&from);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(row);
	return 0;
}
