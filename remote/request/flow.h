/* The way of one request, as a table: no I/O, no clock.  An event comes in with the time, the next
 * state and one action come out; an event that a state does not know is refused and changes
 * nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum flow_state {
	FLOW_STATE_RECEIVED,  /* on disk, not yet checked */
	FLOW_STATE_PLANNED,   /* checked, plan made, not yet decided */
	FLOW_STATE_WAITING,   /* for an approver of the customer */
	FLOW_STATE_PERMITTED, /* may run; nothing has run */
	FLOW_STATE_RUNNING,   /* may have begun: never goes back */
	FLOW_STATE_DONE,      /* has an outcome */
	FLOW_STATE_REFUSED,   /* nothing has run and nothing will */
	FLOW_STATE_MAX,
};

enum flow_event {
	FLOW_EVENT_PLAN,       /* the checks passed and a plan was made */
	FLOW_EVENT_ALLOW,      /* the ceiling allows it without asking */
	FLOW_EVENT_ASK,        /* the ceiling wants a permit */
	FLOW_EVENT_REFUSE,     /* a check, the ceiling or the ground to run on said no */
	FLOW_EVENT_PERMIT,     /* a valid permit arrived */
	FLOW_EVENT_DENY,       /* the customer said no */
	FLOW_EVENT_START,      /* the start is recorded */
	FLOW_EVENT_END,        /* the worker or the verb ended, or there was no more to do than to plan */
	FLOW_EVENT_TICK,       /* time passed: expiry is judged by now_us */
	FLOW_EVENT_SWITCH_OFF, /* remote operations were switched off */
	FLOW_EVENT_RECOVER,    /* the monitor started and found this request on disk */
	FLOW_EVENT_MAX,
};

enum flow_action {
	FLOW_ACTION_NONE,
	FLOW_ACTION_CHECK,     /* check and plan it (again) */
	FLOW_ACTION_ANNOUNCE,  /* tell the hub: plan, decision */
	FLOW_ACTION_START,     /* record the start, then run */
	FLOW_ACTION_RUN,       /* the start is on record: run now */
	FLOW_ACTION_KILL,      /* end the worker; its end will arrive as FLOW_EVENT_END */
	FLOW_ACTION_FINISH,    /* record the end, tell the hub */
	FLOW_ACTION_REFUSE,    /* record the refusal, tell the hub */
	FLOW_ACTION_INTERRUPT, /* record an end whose outcome nobody knows, tell the hub */
};

struct flow {
	enum flow_state state;
	uint64_t expires_us;  /* of the request, or of the permit where that is sooner */
};

/* Step.  A run keeps its own time limit, so that a clock that jumps does not end it.  Returns 0
 * with f changed and *ret_action set (FLOW_ACTION_NONE where a tick finds nothing due), or
 * REASON_CONFLICT (logged, naming id, state and event) with f unchanged. */
int request_flow_step(struct flow *f, enum flow_event event, uint64_t now_us,
	enum flow_action *ret_action, const char *id);

/* When a FLOW_EVENT_TICK will next do something; UINT64_MAX: never. */
uint64_t request_flow_due_us(const struct flow *f);

const char *request_flow_state_name(enum flow_state s);
const char *request_flow_event_name(enum flow_event e);
/* The state of a name; FLOW_STATE_MAX where it is none. */
enum flow_state request_flow_state_of(const char *name);
