#include "telemetry/collect/accept_site.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/field.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/accepted.h"

/* Check every field before the first is accepted: all or none. */
static int
read_fields(const struct monitor_call *call, json_t *ret_fields)
{
	const char *name, *value;
	size_t i;

	for (i = 0; monitor_call_param(call, i, &name, &value); i++) {
		if (strcmp(name, "field") != 0)
			return REFUSE(REASON_USAGE, name, "is no parameter of telemetry.accept");
		if (!value || !field_valid(value))
			return REFUSE(REASON_USAGE, value ? value : "field", "is no field");
		if (json_array_append_new(ret_fields, json_string(value)) < 0)
			return FAULT(-ENOMEM);
	}
	return i > 0 ? 0 : REFUSE(REASON_USAGE, "field", "is missing");
}

static int
on_accept(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(accepted_freep) struct accepted *accepted = NULL;
	SCOPED_JSON *fields = json_array(), *answer = NULL;
	const json_t *item;
	size_t i;
	int r;

	(void)arg;
	if (!fields)
		return FAULT(-ENOMEM);
	r = read_fields(call, fields);
	r = r ?: accepted_load(&accepted, monitor_dir(m));
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	json_array_foreach (fields, i, item) {
		const char *field = json_string_value(item);

		r = accepted_add_field(accepted, ACCEPT_SITE_OWNER, field);
		r = r ?: monitor_leaf(m, "accept", monitor_call_actor(call), field, NULL, REASON_NONE);
		if (r != 0)
			return FAULT(r);
	}
	r = accepted_save(accepted, monitor_dir(m));
	if (r != 0)
		return FAULT(r);
	monitor_changed(m, MONITOR_CHANGE_SERVICE); /* the collector hears the new list */
	answer = json_pack("{s:O}", "accepted", fields);
	if (!answer)
		return FAULT(-ENOMEM);
	monitor_answer(call, STEAL(answer));
	return 0;
}

int
accept_site_init(struct monitor *m)
{
	return FAULT(monitor_register_verb(m, "telemetry.accept", CALL_ROLE_CONTROL, on_accept, NULL));
}
