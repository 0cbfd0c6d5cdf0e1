#include "remote/request/flow.h"

#include <stddef.h>
#include <string.h>

#include "appliance/base/refuse.h"

static const char *const state_names[FLOW_STATE_MAX] = {
	[FLOW_STATE_RECEIVED] = "received",
	[FLOW_STATE_PLANNED] = "planned",
	[FLOW_STATE_WAITING] = "waiting",
	[FLOW_STATE_PERMITTED] = "permitted",
	[FLOW_STATE_RUNNING] = "running",
	[FLOW_STATE_DONE] = "done",
	[FLOW_STATE_REFUSED] = "refused",
};

static const char *const event_names[FLOW_EVENT_MAX] = {
	[FLOW_EVENT_PLAN] = "plan",
	[FLOW_EVENT_ALLOW] = "allow",
	[FLOW_EVENT_ASK] = "ask",
	[FLOW_EVENT_REFUSE] = "refuse",
	[FLOW_EVENT_PERMIT] = "permit",
	[FLOW_EVENT_DENY] = "deny",
	[FLOW_EVENT_START] = "start",
	[FLOW_EVENT_END] = "end",
	[FLOW_EVENT_TICK] = "tick",
	[FLOW_EVENT_SWITCH_OFF] = "switch-off",
	[FLOW_EVENT_RECOVER] = "recover",
};

struct edge {
	bool known; /* an empty cell is a refused event */
	enum flow_state next;
	enum flow_action action;
};

#define GO(next_, action_) { true, FLOW_STATE_##next_, FLOW_ACTION_##action_ }

/* A tick's cell says what happens once it is due; before that it changes nothing. */
static const struct edge edges[FLOW_STATE_MAX][FLOW_EVENT_MAX] = {
	[FLOW_STATE_RECEIVED] = {
		[FLOW_EVENT_PLAN] = GO(PLANNED, NONE),
		[FLOW_EVENT_REFUSE] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_DENY] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_TICK] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_SWITCH_OFF] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_RECOVER] = GO(RECEIVED, CHECK),
	},
	[FLOW_STATE_PLANNED] = {
		[FLOW_EVENT_ALLOW] = GO(PERMITTED, START),
		[FLOW_EVENT_ASK] = GO(WAITING, ANNOUNCE),
		[FLOW_EVENT_END] = GO(DONE, FINISH), /* the plan was all that was asked for */
		[FLOW_EVENT_REFUSE] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_DENY] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_TICK] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_SWITCH_OFF] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_RECOVER] = GO(RECEIVED, CHECK),
	},
	[FLOW_STATE_WAITING] = {
		[FLOW_EVENT_PLAN] = GO(WAITING, ANNOUNCE), /* another plan to read */
		[FLOW_EVENT_ALLOW] = GO(PERMITTED, START), /* the ceiling changed meanwhile */
		[FLOW_EVENT_ASK] = GO(WAITING, NONE),
		[FLOW_EVENT_REFUSE] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_PERMIT] = GO(PERMITTED, START),
		[FLOW_EVENT_DENY] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_TICK] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_SWITCH_OFF] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_RECOVER] = GO(WAITING, CHECK),
	},
	[FLOW_STATE_PERMITTED] = {
		[FLOW_EVENT_START] = GO(RUNNING, RUN),
		[FLOW_EVENT_REFUSE] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_DENY] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_TICK] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_SWITCH_OFF] = GO(REFUSED, REFUSE),
		[FLOW_EVENT_RECOVER] = GO(PERMITTED, START), /* nothing has run */
	},
	[FLOW_STATE_RUNNING] = {
		[FLOW_EVENT_END] = GO(DONE, FINISH),
		[FLOW_EVENT_DENY] = GO(RUNNING, KILL),
		[FLOW_EVENT_TICK] = GO(RUNNING, NONE),
		[FLOW_EVENT_SWITCH_OFF] = GO(RUNNING, KILL),
		[FLOW_EVENT_RECOVER] = GO(DONE, INTERRUPT), /* at most once: never a rerun */
	},
	[FLOW_STATE_DONE] = {
		[FLOW_EVENT_TICK] = GO(DONE, NONE),
		[FLOW_EVENT_SWITCH_OFF] = GO(DONE, NONE),
		[FLOW_EVENT_RECOVER] = GO(DONE, NONE),
	},
	[FLOW_STATE_REFUSED] = {
		[FLOW_EVENT_TICK] = GO(REFUSED, NONE),
		[FLOW_EVENT_SWITCH_OFF] = GO(REFUSED, NONE),
		[FLOW_EVENT_RECOVER] = GO(REFUSED, NONE),
	},
};

uint64_t
request_flow_due_us(const struct flow *f)
{
	switch (f->state) {
	case FLOW_STATE_RECEIVED:
	case FLOW_STATE_PLANNED:
	case FLOW_STATE_WAITING:
	case FLOW_STATE_PERMITTED:
		return f->expires_us;
	case FLOW_STATE_RUNNING:
	case FLOW_STATE_DONE:
	case FLOW_STATE_REFUSED:
	case FLOW_STATE_MAX:
		break;
	}
	return UINT64_MAX;
}

int
request_flow_step(struct flow *f, enum flow_event event, uint64_t now_us,
	enum flow_action *ret_action, const char *id)
{
	const struct edge *e = &edges[f->state][event];

	if (!e->known)
		return REFUSE(REASON_CONFLICT, id, "%s: a request that is %s takes no %s", id,
			request_flow_state_name(f->state), request_flow_event_name(event));
	if (event == FLOW_EVENT_TICK && now_us <= request_flow_due_us(f)) {
		*ret_action = FLOW_ACTION_NONE;
		return 0;
	}
	f->state = e->next;
	*ret_action = e->action;
	return 0;
}

const char *
request_flow_state_name(enum flow_state s)
{
	return (unsigned)s < FLOW_STATE_MAX ? state_names[s] : "unknown";
}

const char *
request_flow_event_name(enum flow_event e)
{
	return (unsigned)e < FLOW_EVENT_MAX ? event_names[e] : "unknown";
}

enum flow_state
request_flow_state_of(const char *name)
{
	for (unsigned s = 0; name && s < FLOW_STATE_MAX; s++)
		if (strcmp(state_names[s], name) == 0)
			return (enum flow_state)s;
	return FLOW_STATE_MAX;
}
