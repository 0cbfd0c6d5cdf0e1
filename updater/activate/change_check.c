#include "updater/activate/change_check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/accepted.h"
#include "appliance/service/cluster.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "updater/activate/hook.h"
#include "updater/activate/rights.h"
#include "updater/activate/stage.h"

int
change_definition(struct monitor *m, const char *hex, struct definition **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	char path[sizeof(((struct paths *)0)->lib) + 128];
	int r;

	(void)snprintf(path, sizeof(path), "%s/store/%s.definition.json", monitor_paths(m)->lib, hex);
	r = fs_read(AT_FDCWD, path, DEFINITION_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, hex, "that release is not in the store");
	return r ?: definition_read(ret, b.data, b.len);
}

/* --- knobs ----------------------------------------------------------------------------------------------------- */
/* One line of cluster.yaml, as the new release takes it. */
static int
check_knob(const struct definition *d, const struct cluster_knob *k, json_t *given)
{
	const struct definition_param *param = definition_knob(d, k->name);
	json_t *value = NULL;
	struct refusal why;
	char place[64];
	int r;

	(void)cluster_place(place, sizeof(place), k);
	if (!param)
		return REFUSE_AT(REASON_UNKNOWN_FIELD, "cluster.yaml", place,
			"services.%s.knobs.%s: release %s has no such knob: mainstay service set %s %s=", d->name, k->name,
			d->version, d->name, k->name);
	r = definition_parse_value(param, k->value, &value);
	if (r > 0) {
		/* It was counted and logged; people are told where it stands. */
		why = *refuse_last();
		(void)snprintf(why.operand, sizeof(why.operand), "cluster.yaml");
		(void)snprintf(why.place, sizeof(why.place), "%s", place);
		(void)snprintf(why.text, sizeof(why.text),
			"services.%s.knobs.%s: %.200s, says release %s: mainstay service set %s %s=VALUE", d->name, k->name,
			refuse_last()->text, d->version, d->name, k->name);
		return refuse_adopt(&why);
	}
	if (r == 0 && json_object_set_new(given, k->name, value) < 0)
		r = -ENOMEM;
	return r < 0 ? FAULT(r) : r;
}

int
change_check_knobs(struct monitor *m, const struct definition *d, json_t **ret)
{
	const struct cluster_service *wanted = services_cluster(m, d->name);
	struct definition_values values = {
		.run = "/run/service", .data = "/data", .conf = "/conf", .log = "/log", .of = d
	};
	SCOPED_JSON *given = json_object(), *knobs = NULL;
	int r = given ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && wanted && i < wanted->n_knobs; i++)
		r = check_knob(d, &wanted->knobs[i], given);
	r = r ?: definition_check_knobs(d, given, &knobs);
	values.knobs = knobs;
	/* The files that it makes of them. */
	for (size_t i = 0; r == 0 && i < d->n_config; i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_CONFIG_MAX);

		r = definition_render(&d->config[i], &values, &text);
	}
	if (r == 0 && ret)
		*ret = STEAL(knobs);
	return r < 0 ? FAULT(r) : r;
}

/* --- what it needs ------------------------------------------------------------------------------------------------ */
/* Services that it requires run already, or go in before it. */
static int
check_services(struct monitor *m, const struct definition *d, const struct change *c, size_t at)
{
	const json_t *one;
	struct lock lock;
	size_t i;
	int r = lock_read(&lock, monitor_paths(m));

	if (r != 0)
		return r;
	json_array_foreach (d->requires_services, i, one) {
		const char *name = json_string_value(one);
		bool before = false;

		for (size_t k = 0; k < at; k++)
			before |= strcmp(c->items[k].service, name) == 0;
		if (!before && !lock_find(&lock, name))
			return REFUSE(REASON_CONFLICT, d->name, "it requires %s: mainstay service install %s", name,
				name);
	}
	return 0;
}

static int
check_room(struct monitor *m, const struct definition *d)
{
	struct statvfs vfs;
	struct sysinfo info;
	char need[NUMBER_SIZE_MAX], have[NUMBER_SIZE_MAX], reserve[NUMBER_SIZE_MAX];
	uint64_t free_bytes, memory;

	if (statvfs(monitor_paths(m)->lib, &vfs) < 0 || sysinfo(&info) < 0)
		return FAULT(-errno);
	free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	memory = (uint64_t)info.totalram * info.mem_unit;
	if (free_bytes < STAGE_RESERVE || free_bytes - STAGE_RESERVE < d->requires_disk)
		return REFUSE(REASON_NO_SPACE, d->name, "it requires %s of disk beside a reserve of %s; %s are free",
			number_size_text(need, d->requires_disk), number_size_text(reserve, STAGE_RESERVE),
			number_size_text(have, free_bytes));
	if (memory < d->requires_memory)
		return REFUSE(REASON_CONFLICT, d->name, "it requires %s of memory; this machine has %s",
			number_size_text(need, d->requires_memory), number_size_text(have, memory));
	return 0;
}

/* --- powers --------------------------------------------------------------------------------------------------------- */
static int
check_powers(struct monitor *m, const struct definition *d)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	SCOPED(buf_done) struct buf list = BUF_MAX(REFUSE_TEXT_MAX);
	SCOPED_JSON *missing = NULL;
	const json_t *one;
	size_t i;
	int r = accepted_load(&a, monitor_dir(m));

	r = r ?: rights_missing_powers(&missing, d, a);
	if (r != 0 || json_array_size(missing) == 0)
		return r;
	json_array_foreach (missing, i, one)
		buf_printf(&list, " %s", json_string_value(one));
	return REFUSE(REASON_NOT_APPROVED, d->name,
		"release %s asks for more than was accepted: mainstay service accept %s power%s", d->version, d->name,
		buf_error(&list) ? " ..." : buf_text(&list));
}

/* --- data ----------------------------------------------------------------------------------------------------------- */
/* The data is replaced by what a snapshot holds: from then on only a snapshot of what runs now leads back. */
static int
check_restore(struct monitor *m, const struct definition *to, struct change_item *item)
{
	item->one_way = true;
	if (!to->hooks[DEFINITION_HOOK_RESTORE].present)
		return REFUSE(REASON_CONFLICT, item->service, "release %s has no hook that restores a snapshot", to->version);
	return hook_has_snapshot(m, item->service, item->restore)
		? 0
		: REFUSE(REASON_NOT_FOUND, item->service, "snapshot %s is not kept any more", item->restore);
}

static int
check_data(struct monitor *m, const struct definition *to, struct change_item *item)
{
	SCOPED(definition_freep) struct definition *from = NULL;
	uint8_t id[16];
	int r;

	item->one_way = item->restores = false;
	if (!item->from[0])
		return 0;
	r = change_definition(m, item->from, &from);
	if (r == REASON_NOT_FOUND)
		return 0; /* a store that lost it: a release that is whole is the way out */
	r = r ?: item->restore[0] ? check_restore(m, to, item) : definition_data_step(from, to, &item->one_way);
	if (r != 0)
		return r;
	/* The name stands in the journal before anything is written under it. */
	if (from->hooks[DEFINITION_HOOK_SNAPSHOT].present && !item->snapshot[0]) {
		fs_random(id, sizeof(id));
		hex_encode(item->snapshot, id, sizeof(id));
	}
	item->restores = item->snapshot[0] && from->hooks[DEFINITION_HOOK_RESTORE].present;
	return 0;
}

int
change_check(struct monitor *m, struct change *c, size_t at)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	struct change_item *item = &c->items[at];
	int r = change_definition(m, item->to, &d);

	if (r != 0)
		return r;
	if (strcmp(d->name, item->service) != 0)
		return REFUSE(REASON_ALTERED, item->service, "the release defines service \"%s\"", d->name);
	if (item->to_version[0] && strcmp(d->version, item->to_version) != 0)
		return REFUSE(REASON_ALTERED, item->service, "the release is of version %s, and defines version \"%s\"",
			item->to_version, d->version);
	if (d->class != DEFINITION_CLASS_SERVICE)
		return REFUSE(REASON_CONFLICT, item->service, "release %s is one of the core, not of a service", d->version);
	r = check_services(m, d, c, at);
	r = r ?: check_room(m, d);
	r = r ?: change_check_knobs(m, d, NULL);
	r = r ?: check_data(m, d, item);
	/* Whoever installs accepts with it what the release asks for. */
	if (r == 0 && c->kind != CHANGE_INSTALL)
		r = check_powers(m, d);
	return r;
}
