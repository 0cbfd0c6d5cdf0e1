/* Standing permits, for people: shown, and taken back. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "remote/request/standing.h"

/* The plan's lines that a person looks for; the text itself stands beside them. */
static const char *
line_of(const char *text, const char *label, char *out, size_t size)
{
	size_t n = strlen(label);

	out[0] = '\0';
	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
		if (strncmp(at, label, n) != 0 || at[n] != ' ')
			continue;
		at += n + strspn(at + n, " ");
		(void)snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
		break;
	}
	return out;
}

static json_t *
view(const struct standing_permit *p)
{
	SCOPED_JSON *o = json_pack("{s:s, s:s, s:i, s:i}", "id", p->permit.id, "approver",
		p->permit.approver, "used", (int)p->used, "uses", (int)p->permit.uses);
	char service[128], operation[128], engineer[128];
	int r = o ? 0 : -1;

	(void)line_of(p->text, "service", service, sizeof(service));
	service[strcspn(service, " ")] = '\0';
	r = r ?: json_put_text(o, "service", service);
	r = r
		?: json_put_text(o, "operation",
			   line_of(p->text, "operation", operation, sizeof(operation)));
	r = r
		?: json_put_text(o, "engineer",
			   line_of(p->text, "engineer", engineer, sizeof(engineer)));
	r = r ?: json_put_time(o, "not_before", p->permit.not_before);
	r = r ?: json_put_time(o, "expires", p->permit.expires);
	r = r ?: json_put_text(o, "text", p->text);
	return r ? NULL : STEAL(o);
}

static int
on_permits(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED_JSON *items = json_array();

	(void)m;
	for (size_t i = 0; i < standing_count(s->standing); i++)
		if (json_array_append_new(items, view(standing_at(s->standing, i))) < 0)
			return FAULT(-ENOMEM);
	monitor_answer(call, json_pack("{s:O}", "items", items));
	return 0;
}

static int
on_revoke(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	struct standing_permit *p;
	const char *id;
	int r = monitor_call_need(call, "id", &id);

	if (r)
		return r;
	p = standing_find(s->standing, id);
	if (!p)
		return REFUSE(REASON_NOT_FOUND, id, "no such standing permit here");
	r = monitor_leaf(m, "cancel", monitor_call_actor(call), p->permit.id, p->permit.request,
		REASON_REVOKED);
	r = r ?: standing_remove(s->standing, p);
	if (r)
		return r;
	monitor_answer(call, json_pack("{s:s, s:b}", "id", id, "revoked", true));
	return 0;
}

int
request_site_standing_init(struct request_site *s)
{
	int r = monitor_register_verb(s->m, "requests.permits", CALL_ROLE_CONTROL, on_permits, s);

	return r ?: monitor_register_verb(s->m, "requests.revoke", CALL_ROLE_CONTROL, on_revoke, s);
}
