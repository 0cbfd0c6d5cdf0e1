/* Standing permits, for people: shown, and taken back. */
#include "remote/request/site_room.h"

#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/permit.h"
#include "remote/request/standing.h"

static json_t *
view(const struct standing_permit *p)
{
	SCOPED_JSON *o = NULL;
	int r = request_site_told_item(&o, p);

	r = r ?: json_put_u64(o, "used", p->used);
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
	request_site_told_soon(s, false);
	if (r)
		return r;
	monitor_answer(call, json_pack("{s:s, s:b}", "id", id, "revoked", true));
	return 0;
}

int
request_site_standing_init(struct request_site *s)
{
	int r = monitor_register_verb(s->m, "requests.permits", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_permits, s);

	return r ?: monitor_register_verb(s->m, "requests.revoke", CALL_ROLE_CONTROL, on_revoke, s);
}
