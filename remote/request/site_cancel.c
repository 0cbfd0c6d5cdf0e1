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

/* It came before what it takes back, or that never comes: among what is refused for good, it will not run, whatever else
 * is brought meanwhile and whichever way it comes itself. */
static int
take_back_absent(struct request_site *s, const struct cancel *c, struct request_site_absent *ret)
{
	int r = 0;

	ret->fresh = !request_refused_has(s->refused, c->request);
	if (ret->fresh)
		r = request_refused_add(s->refused, c->request, monitor_now_us(s->m), REQUEST_FILE_LIFE_S,
			REQUEST_REFUSED_MAX);
	if (r < 0)
		return r;
	if (r > 0)
		return REFUSE(REASON_BUSY, c->id, "%d are remembered that may not run, and what it takes back is not here",
			REQUEST_REFUSED_MAX);
	(void)snprintf(ret->id, sizeof(ret->id), "%s", c->id);
	memcpy(ret->digest, c->request, sizeof(ret->digest));
	return REFUSE(REASON_REVOKED, c->id, "taken back by %s before it was here: %.200s", c->engineer, c->reason);
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
	return take_back_absent(s, c, ret_absent);
}
