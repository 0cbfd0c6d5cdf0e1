/* An engineer takes a request back.  Part of the module of site_room.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/trust/envelope.h"
#include "remote/request/cancel.h"
#include "remote/request/site_room.h"

/* What it did to a request that is here.  Said once: what is over, or being stopped, is left as it is. */
static int
take_back(struct request_site *s, struct request_item *item, const struct cancel *c)
{
	const struct request *q = item->request;
	bool running = item->flow.state == FLOW_STATE_RUNNING;
	char text[REFUSE_TEXT_MAX];
	int r;

	if (item->flow.state == FLOW_STATE_DONE || item->flow.state == FLOW_STATE_REFUSED ||
		(running && item->reason != REASON_NONE))
		return 0;
	r = monitor_leaf(s->m, "cancel", c->engineer, q->id, q->digest, REASON_REVOKED);
	if (r)
		return r;
	(void)snprintf(text, sizeof(text), "taken back by %s: %s", c->engineer, c->reason);
	return request_site_event(s, item, FLOW_EVENT_DENY, REASON_REVOKED, text);
}

int
request_site_take_back(struct request_site *s, const struct envelope *e, struct request_item **ret_item,
	struct request_site_absent *ret_absent)
{
	SCOPED(cancel_freep) struct cancel *c = NULL;
	struct request_item *item;
	int r = request_check_canceller(&c, e, monitor_people(s->m), monitor_customer(s->m),
		monitor_date_us(s->m));

	if (r)
		return r;
	item = request_store_find(s->store, c->id);
	if (item && memcmp(item->request->digest, c->request, sizeof(c->request)) != 0)
		return REFUSE(REASON_ALTERED, c->id, "the request of this id is another one than it takes back");
	if (item) {
		*ret_item = item;
		return take_back(s, item, c);
	}
	/* It came before what it takes back, or that never comes: remembered as refused, it will not run. */
	(void)snprintf(ret_absent->id, sizeof(ret_absent->id), "%s", c->id);
	memcpy(ret_absent->digest, c->request, sizeof(ret_absent->digest));
	return REFUSE(REASON_REVOKED, c->id, "taken back by %s before it was here: %.200s", c->engineer, c->reason);
}
