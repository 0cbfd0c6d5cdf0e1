#include "appliance/monitor/erase_verb.h"

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/statement.h"

enum { WHY_MAX = 1024 };

static int
on_erase(struct monitor *m, struct monitor_call *call, void *arg)
{
	uint64_t from = 0, to = 0, erased = 0, entry = audit_size(m->audit);
	const char *from_text, *to_text, *why;
	int r;

	(void)arg;
	r = monitor_call_need(call, "from", &from_text);
	r = r ?: monitor_call_need(call, "to", &to_text);
	r = r ?: monitor_call_need(call, "reason", &why);
	r = r ?: monitor_call_u64(call, "from", INT64_MAX / 2, &from);
	r = r ?: monitor_call_u64(call, "to", INT64_MAX / 2, &to);
	if (r == 0 && strlen(why) > WHY_MAX)
		return REFUSE(REASON_TOO_LARGE, "reason", "over %d bytes", WHY_MAX);
	r = r ?: audit_erase(m->audit, monitor_call_actor(call), from, to, why, &erased);
	if (r)
		return FAULT(r);
	statement_audit_moved(m);
	monitor_answer(call,
		json_pack("{s:I, s:I, s:I, s:I}", "from", (json_int_t)from, "to", (json_int_t)to,
			"erased", (json_int_t)erased, "entry", (json_int_t)entry));
	return 0;
}

int
erase_verb_init(struct monitor *m)
{
	return monitor_register_verb(m, "audit.erase", CALL_ROLE_CONTROL, on_erase, NULL);
}
