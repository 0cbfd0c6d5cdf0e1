/* One request moves: an event, its state, and what follows from that. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "remote/request/site_say.h"

/* A fault on the way of one request ends that request, not the monitor. */
static void
give_up(struct request_site *s, struct request_item *item, int r, const char *doing)
{
	log_fault(r, doing);
	(void)request_site_event(s, item, FLOW_EVENT_REFUSE, REASON_FAULT, doing);
}

void
request_site_refuse_last(struct request_site *s, struct request_item *item, int r, const char *doing)
{
	char text[REFUSE_TEXT_MAX];

	if (r < 0) {
		give_up(s, item, r, doing);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s", refuse_last()->text);
	(void)request_site_event(s, item, FLOW_EVENT_REFUSE, (enum reason)r, text);
}

void
request_site_save(struct request_site *s, struct request_item *item)
{
	int r = request_store_save(s->store, item);

	/* Only for states from which nothing worse than a second check can follow. */
	if (r)
		log_fault(r, "keeping a request");
	request_site_tell(s, item);
}

/* --- events ----------------------------------------------------------------------------------- */
static void
announce(struct request_site *s, struct request_item *item)
{
	const struct request *q = item->request;
	char text[512], when[CLOCK_TEXT_MAX];
	bool opens = item->opens_us > 0;

	request_site_save(s, item);
	(void)request_site_post(s->m, item, "plan");
	(void)snprintf(text, sizeof(text), "request %s of %s waits for an approver%s%s: %s %s", q->id,
		q->engineer, opens ? ", or until the maintenance hours begin " : "",
		opens ? clock_format(when, item->opens_us) : "", q->service, q->operation);
	/* What standing permits cover, or what is allowed by now, waits for nobody. */
	if (strcmp(item->decision, "ask") == 0 && json_array_size(item->permits) < item->need)
		monitor_notify(s->m, "request", q->id, text);
}

static void
act(struct request_site *s, struct request_item *item, enum flow_action action)
{
	switch (action) {
	case FLOW_ACTION_NONE:
	case FLOW_ACTION_RUN: /* request_site_begin() runs it itself */
		request_site_save(s, item);
		break;
	case FLOW_ACTION_CHECK:
		request_site_save(s, item);
		request_site_work_soon(s);
		break;
	case FLOW_ACTION_ANNOUNCE:
		announce(s, item);
		break;
	case FLOW_ACTION_START: /* what comes of it is saved: that it runs, waits for a dry run, or is refused */
		request_site_begin(s, item);
		break;
	case FLOW_ACTION_KILL:
		request_site_save(s, item);
		request_site_cancel(item);
		break;
	case FLOW_ACTION_FINISH:
	case FLOW_ACTION_REFUSE:
		request_site_stop_trial(item);
		request_site_settle(s, item);
		break;
	case FLOW_ACTION_INTERRUPT:
		request_site_interrupt(s, item);
		break;
	}
}

int
request_site_event(struct request_site *s, struct request_item *item, enum flow_event event,
	enum reason reason, const char *detail)
{
	enum flow_action action;
	enum flow_state before = item->flow.state;
	int r = request_flow_step(&item->flow, event, monitor_now_us(s->m), &action,
		item->request->id);

	if (r)
		return r;
	if (action == FLOW_ACTION_NONE && item->flow.state == before)
		return 0;
	if (reason != REASON_NONE) {
		item->reason = reason;
		free(item->detail);
		item->detail = detail ? strdup(detail) : NULL;
		/* The reason stands without its sentence; holding the end back for that would be worse. */
		if (detail && !item->detail)
			log_fault(FAULT(-ENOMEM), "keeping why a request ended");
	}
	act(s, item, action);
	return 0;
}
