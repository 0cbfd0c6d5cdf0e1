/* What the files of the site's module share; nobody else includes it.
 *
 *	site.c         the module: verbs, hooks, delivery
 *	site_move.c    moves one request: events, and what follows from each
 *	site_decide.c  checks, plans, decides; and anew while one waits
 *	site_settle.c  the last answer: result and leaf; after a crash; strangers
 *	site_start.c   the last look, and the start
 *	site_try.c     dry runs: before the plan, and again before the run
 *	site_cancel.c  an engineer takes a request back
 *	site_narrow.c  a person lowers the limits of one that waits
 *	site_waits.c   for whom one waits, said to its engineer
 *	site_health.c  how its service does once it has ended
 *	site_progress.c what is said while it runs
 *	site_ground.c  what a request stands on here: definition, knobs, folders, plan
 *	site_approve.c what an approver signs, shown and taken
 *	site_permit.c  permits verified, gathered, used
 *	site_standing.c standing permits, shown and taken back
 *	site_told.c    the same, told to the vendor's engineers
 *	site_record.c  its recording
 *	site_view.c    a request as JSON for people
 *	site_export.c  plans and results as a file
 *	site_ticket.c  everything about one ticket, for an export */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "remote/request/check.h"
#include "remote/request/refused.h"
#include "remote/request/store.h"

struct definition;
struct loop_timer;
struct monitor;
struct monitor_call;
struct operate_job;
struct recording;
struct recordings;
struct request_result;
struct standing;

enum {
	REQUEST_SITE_WATCHERS_MAX = 16,
	REQUEST_SITE_HOLD_S = 60, /* for people under whom a request was made */
};

struct request_site {
	struct monitor *m;
	struct request_store *store;
	struct request_refused *refused; /* what was answered for good without a file */
	struct recordings *recordings; /* what operations wrote */
	struct standing *standing; /* permits that cover more than one request */
	struct loop_timer *soon; /* a turn of request_site_work() */
	struct monitor_call *watchers[REQUEST_SITE_WATCHERS_MAX]; /* held calls of requests.watch */
	unsigned strangers;      /* answered without a file since strangers_us */
	uint64_t strangers_us;
	uint8_t held[32];        /* digest of the delivery that waits for newer people */
	uint64_t held_us;        /* boot time since when; 0: none waits */
	bool window_open;        /* the maintenance hours, as last looked at */
	uint64_t progress_ms;    /* between two messages about one that runs */
	uint64_t retried_us;     /* when what is unsettled was last tried */
	struct {
		uint64_t counter; /* of the last message permits@ */
		bool any;         /* it may have named some */
		bool due;         /* they may be others than it said */
		uint8_t said[32]; /* digest of its list; 0: say it again in any case */
		uint64_t end_us;  /* when the first of them ends */
		uint64_t next_us; /* before which no other is said */
	} told;                  /* site_told.c */
};

/* --- ground ----------------------------------------------------------------------------------- */
/* A request's operation as it stands here and now. */
struct request_site_ground {
	struct definition *definition; /* owned */
	struct accepted *accepted;     /* owned */
	struct envelope *envelope;     /* owned */
	struct request_check_facts facts;
	struct request_check_verdict verdict;
	char release[65], version[65], state[16], health[16];
};
void request_site_ground_done(struct request_site_ground *g);

/* Gather the facts and check.  Returns request_check()'s. */
int request_site_ground(struct request_site *s, const struct request_item *item,
	struct request_site_ground *ret);

/* The plan on that ground: its message (the caller's) and its text. */
int request_site_plan(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, json_t **ret_payload);

/* Its limits: what the definition says, or what a person made of that. */
struct request_limits request_site_limits(const struct request_item *item,
	const struct definition_operation *op);

/* So long at most its service's health is watched once it has ended; 0: not (it only looks, is a verb, which has its own
 * wait, or the service has no health check). */
uint64_t request_site_health_us(const struct request_site_ground *g);
/* Watch it: done runs once, later, from the loop, as soon as it fails, as soon as two probes in a row that began after this
 * call passed, or after so long.  Returns 0 or a fault. */
struct request_health;
typedef void request_health_done_fn(bool passing, void *arg);
int request_site_health(struct request_health **ret, struct monitor *m, const char *service, uint64_t for_us,
	request_health_done_fn *done, void *arg);
struct request_health *request_site_health_free(struct request_health *h);

/* The job of its dry run: observes, whatever the operation does.  Free with operate_job_done(). */
int request_site_dry_job(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct operate_job *ret);

/* The worker's job of an operation with argv.  Free with operate_job_done(). */
int request_site_job(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct operate_job *ret);

/* --- taking back, narrowing -------------------------------------------------------------------- */
/* A request that is not here, and was taken back. */
struct request_site_absent {
	char id[REQUEST_ID_MAX + 1]; /* "": none */
	uint8_t digest[32];
	bool fresh; /* it is refused for good from now on, and was not before */
};
/* A message cancel@.  Returns 0 with *ret_item the request it ended, stopped, or found over; REASON_REVOKED (logged)
 * with *ret_absent where that has not come and will not be taken; what request_check_canceller() says; REASON_ALTERED
 * where another request has that id; REASON_BUSY where that has not come and could not be remembered (both logged); or a
 * fault. */
int request_site_take_back(struct request_site *s, const struct envelope *e, struct request_item **ret_item,
	struct request_site_absent *ret_absent);
int request_site_narrow_init(struct request_site *s); /* the verb */

/* --- dry runs ---------------------------------------------------------------------------------- */
/* Does its plan, or its run, wait for a dry run first? */
bool request_site_needs_trial(const struct request_item *item, const struct request_site_ground *g);
/* May one begin now?  A few at a time, and one of each engineer, so that nobody's keep others waiting. */
bool request_site_may_try(const struct request_site *s, const struct request_item *item);
/* Begin one: item->trial until it ended; then, later, from the loop, request_site_planned() where before_run is false,
 * else request_site_begin(), or the request is refused.  Returns 0, a reason (logged) or a fault. */
int request_site_try(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g, bool before_run);
/* Forget it; what runs is killed. */
void request_site_stop_trial(struct request_item *item);
/* Its dry run has ended well: plan it and decide. */
void request_site_planned(struct request_site *s, struct request_item *item);
/* PERMITTED: look once more and run it.  Refuses it where that may not be. */
void request_site_begin(struct request_site *s, struct request_item *item);
/* The last refusal or this fault ends the request. */
void request_site_refuse_last(struct request_site *s, struct request_item *item, int r, const char *doing);
/* Save it, and tell those who watch; a fault is logged. */
void request_site_save(struct request_site *s, struct request_item *item);

/* --- progress --------------------------------------------------------------------------------- */
struct progress;
struct request_progress;
/* Say, from one period on, what this request does, while both are there: to the hub, as messages progress@, and to who
 * watches here.  Of what it writes 64 KiB of each stream wait, and 128 KiB are said in all; what is not is counted, and
 * that is said.  Where the outbox takes no more, nothing is.  Returns 0 or a fault. */
int request_site_progress(struct request_progress **ret, struct request_site *s, const struct request_item *item);
/* state is static.  NULL for p is fine in these three. */
void request_site_progress_state(struct request_progress *p, const char *state);
void request_site_progress_output(struct request_progress *p, int stream, const void *bytes, size_t len);
/* It has ended: who was told of it while it ran is told the rest of what it wrote, a piece of each stream, before the
 * result.  Of what ended before its first turn the result says all. */
void request_site_progress_end(struct request_progress *p);
struct request_progress *request_site_progress_free(struct request_progress *p);

/* --- moving ----------------------------------------------------------------------------------- */
/* Take an event; what follows from it is done before it returns.  reason (REASON_NONE: none) and
 * detail say why.  Returns 0, or REASON_CONFLICT (logged) where the state does not take it.  Faults
 * on the way end the request and are logged. */
int request_site_event(struct request_site *s, struct request_item *item, enum flow_event event,
	enum reason reason, const char *detail);

/* Check every request that has only been received and is not held. */
void request_site_work(struct request_site *s);
/* New people came: nothing is held any longer. */
void request_site_release(struct request_site *s);
/* Have the courier fetch metadata: somebody knows newer people than we. */
void request_site_fetch_people(struct request_site *s);
/* The same, at the loop's next turn. */
void request_site_work_soon(struct request_site *s);
/* What a crash left: once, at the start. */
void request_site_recover(struct request_site *s);
/* Forget what runs: the monitor ends. */
void request_site_forget_runs(struct request_site *s);
/* Decide anew on what waits: the ceiling, the people or a switch changed. */
void request_site_decide_again(struct request_site *s);
/* It is over: its result, its leaf, and both handed over, as far as that goes now; a fault is logged. */
void request_site_settle(struct request_site *s, struct request_item *item);
/* The same of one that was running when we ended: nobody knows how far it came. */
void request_site_interrupt(struct request_site *s, struct request_item *item);
/* Hand over what could not be handed over yet. */
void request_site_settle_all(struct request_site *s);
/* Where the ground moved since the plan was made: make it anew.  Returns 0 where the plan still
 * holds, REASON_STATE_MOVED (logged) where there is a new one, what the check says, or a fault. */
int request_site_refresh(struct request_site *s, struct request_item *item,
	struct request_site_ground *ret_ground);
/* Answer a request that gets no file: a leaf (from_hub: tallied, monitor.h), and a refused result where
 * it names an id of its own and not too many came through the hub this minute.  remembered: it was just now put among
 * what is refused for good, by this very message; else it is where it is answered.  Returns 0 or a fault; refuse_last()
 * still says why. */
int request_site_turn_away(struct request_site *s, const char *id, const uint8_t digest[32],
	enum reason reason, bool from_hub, bool remembered);

/* --- recording -------------------------------------------------------------------------------- */
/* Begin the recording of what runs now.  Returns recordings_begin()'s. */
int request_site_record(struct request_site *s, const struct request_item *item, struct recording **ret);
/* Close it (NULL: there is none), before the leaf that names it. refuse_last() stays. */
void request_site_record_end(struct recording *take_recording, const struct request_result *result);
/* The leaf "end", with {"recording": DIGEST, "recording_n": N} where there is a recording. */
int request_site_leaf_end(struct request_site *s, const struct request_item *item);
/* Make room, where there are too many. */
void request_site_trim_recordings(struct request_site *s);

/* --- permits ---------------------------------------------------------------------------------- */
int request_site_approve_init(struct request_site *s);  /* the verbs show, approve */
int request_site_standing_init(struct request_site *s); /* the verbs permits, revoke */
/* A permit for this very request, over its plan as it is now.  Returns permit_verify()'s, or a fault. */
struct permit;
int request_site_permit_verify(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct permit *ret, const char *text, size_t len, const char *sig);
/* Has this approver said yes already? */
bool request_site_permit_given(const struct request_item *item, const char *approver);
/* It counts from now on, once the request is saved.  Returns 0 or a fault. */
int request_site_permit_append(struct request_item *item, const struct permit *permit, const char *text, size_t len,
	const char *sig, bool standing);
/* How many approvers have said yes to what this ground asks about: permits that hold no longer are dropped, and where
 * standing ones make up what is missing they are used up and added.  item->need says how many it takes.  Returns 0, or
 * a fault: what nobody could look at stays among the permits, and *ret_have says nothing of whether it holds. */
int request_site_gather(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g, size_t *ret_have);
/* They are enough: FLOW_EVENT_PERMIT, until the first of them expires. */
int request_site_permitted(struct request_site *s, struct request_item *item);

/* Say, signed, for whom it waits, which plan it is, and who lowered its limits: where it waits, and that was not said before.
 * A fault is logged; refuse_last() stays. */
void request_site_say_waits(struct request_site *s, struct request_item *item);
/* Say, the same way, which standing permit covers it, with the uses it has left now and its end. */
struct standing_permit;
void request_site_say_covered(struct request_site *s, struct request_item *item, const struct standing_permit *p);

/* --- standing permits, told ------------------------------------------------------------------- */
/* Read what was said last.  Returns 0 or a fault. */
int request_site_told_open(struct request_site *s);
/* Say it at a next tick, where they are others than were said; again: in any case (another key signs now). */
void request_site_told_soon(struct request_site *s, bool again);
/* Say it where it is due, and remote operations and what results say may leave.  A fault is logged. */
void request_site_told_tick(struct request_site *s, uint64_t now_us);
/* The message for somebody who carries it by hand: its counter is the next.  *ret is the caller's; NULL: there never was
 * one.  Returns 0 or a fault. */
int request_site_told_make(struct request_site *s, json_t **ret);
/* One of them as it is told (permits.h).  *ret is the caller's. */
int request_site_told_item(json_t **ret, const struct standing_permit *p);

/* --- shared by verbs -------------------------------------------------------------------------- */
/* The request that parameter "id" names.  REASON_USAGE or REASON_NOT_FOUND (logged). */
int request_site_find(struct request_site *s, struct monitor_call *call, struct request_item **ret);
/* Answer {"item": take_item}. */
int request_site_answer(struct monitor_call *call, json_t *take_item);
/* The customer says no; what runs is ended. */
int request_site_deny(struct request_site *s, struct request_item *item, const char *actor,
	const char *why);

/* SHA-256 of the plan's payload. */
int request_site_plan_digest(const struct request_item *item, uint8_t ret[32]);

/* --- ticket -----------------------------------------------------------------------------------
 * The verb requests.ticket {ticket}: {"ids": {ID: true}, "files": {"requests/ID.json": TEXT, ...}}. */
int request_site_ticket(struct monitor *m, struct monitor_call *call, void *arg);
/* The verb results.export: {"file": results_file.h} of "ids" ("ID,ID"), of "ticket", or of all that came as files. */
int request_site_export(struct monitor *m, struct monitor_call *call, void *arg);

/* --- view ------------------------------------------------------------------------------------- */
json_t *request_site_brief(const struct request_item *item); /* new reference, or NULL */
json_t *request_site_full(const struct request_item *item);
void request_site_tell(struct request_site *s, const struct request_item *item); /* the watchers */
void request_site_tell_progress(struct request_site *s, const struct request_item *item,
	const struct progress *p); /* {"id","kind","text"} */
