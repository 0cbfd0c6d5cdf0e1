/* What the monitor says to others: signed, put out, pushed, told to people. */
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/calls.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/notify.h"
#include "appliance/monitor/outbox.h"
#include "appliance/policy/policy.h"
#include "appliance/trust/envelope.h"

int
monitor_sign(struct monitor *m, enum message type, const json_t *payload, json_t **ret_envelope)
{
	if (!m->site.key)
		return REFUSE(REASON_NOT_FOUND, message_word(type),
			"the site has no key: it is not enrolled");
	return envelope_seal(ret_envelope, type, payload, m->site.key);
}

static bool
class_is_on(const struct monitor *m, const char *class)
{
	if (strcmp(class, "audit") == 0)
		return monitor_switch_on(m, SWITCH_TELEMETRY) ||
			monitor_switch_on(m, SWITCH_UPDATES) || monitor_switch_on(m, SWITCH_REMOTE);
	if (strcmp(class, "result") == 0)
		return monitor_switch_on(m, SWITCH_REMOTE);
	if (strcmp(class, "update") == 0)
		return monitor_switch_on(m, SWITCH_UPDATES);
	return monitor_switch_on(m, SWITCH_TELEMETRY);
}

int
monitor_outbox(struct monitor *m, const char *stream, const char *class, const char *path,
	const char *content_type, const void *body, size_t len)
{
	SCOPED_JSON *line = NULL;
	uint64_t sequence = 0;
	int r;

	/* Asked every few seconds: nothing to log.  Under review, too: these have no fields to accept. */
	if (!class_is_on(m, class) || policy_class_of(m->policy, class) != POLICY_SEND)
		return REASON_SWITCHED_OFF;
	r = outbox_put(m->outbox, stream, class, path, content_type, body, len, monitor_now_us(m),
		&sequence);
	if (r)
		return r < 0 ? FAULT(r) : r;
	line = json_pack("{s:s}", "stream", stream);
	monitor_push(m, CALL_ROLE_COURIER, "outbox", line);
	return 0;
}

void
monitor_push(struct monitor *m, enum call_role role, const char *name, const json_t *json)
{
	calls_push(m->calls, role, name, json);
}

bool
monitor_connected(const struct monitor *m, enum call_role role)
{
	return m->calls && calls_has(m->calls, role);
}

void
monitor_notify(struct monitor *m, const char *event, const char *about, const char *text)
{
	SCOPED_JSON *line = NULL;
	char one[512];

	if (!policy_notifies(m->policy, event))
		return;
	log_warning("%s: %s", event, log_escape(one, sizeof(one), text));
	line = json_pack("{s:s, s:s}", "event", event, "text", one);
	monitor_push(m, CALL_ROLE_CONTROL, "notify", line);
	notify_event(m->notify, event, about, one);
}
