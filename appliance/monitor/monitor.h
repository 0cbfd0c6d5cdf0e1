/* The monitor: the one process with power and without a network.
 *
 * It holds the site key and the audit key, keeps the switches, the policy, the epoch and the floor of
 * the clock, listens on three sockets whose path decides the caller's role, and gives the rooms that
 * register with it (operations, activation, alerts) what they need: verbs, signatures, leaves, the
 * outbox, the judge, the spawner.  Nothing here blocks longer than a disk write.
 *
 * A module is set up by cmd/mainstayd.c:
 *
 *	int request_site_init(struct monitor *m)
 *	{
 *		...
 *		r = monitor_add_module(m, &module, site);
 *		r = r ?: monitor_register_verb(m, "requests.list", CALL_ROLE_CONTROL, on_list, site);
 *	} */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/call_wire.h"
#include "appliance/policy/owner.h"
#include "appliance/policy/switch.h"
#include "appliance/trust/message.h"

struct floor;	 /* monitor/floor.h */
struct identity; /* service/identity.h */
struct monitor;
struct people;	/* tuf/people.h */
struct policy;	/* policy/policy.h */
struct spawner; /* service/spawn.h */

enum {
	MONITOR_EPOCH_SIZE = 16,
	MONITOR_MODULES_MAX = 24,
	MONITOR_VERBS_MAX = 128,
	MONITOR_DOUBT_MAX = 192,
};

/* --- life, for cmd/mainstayd.c and tests -------------------------------------------------------------- */
struct monitor_setup {
	const struct paths *paths;
	sd_event *loop; /* referenced */
	struct spawner *
		spawner; /* borrowed, outlives the monitor; NULL: jobs and services are refused busy */
	const struct identity *identity; /* which uid each role has; copied */
	unsigned judge_ms;		 /* how long one judge may take; 0: JUDGE_TIME_S */
};

/* Load all state (making keys' folders on a first start).  No socket is open yet.  Returns 0, a reason
 * where state on disk is refused (logged), or a fault. */
int monitor_open(struct monitor **ret, const struct monitor_setup *setup);
/* Run the modules' start hooks, bind the sockets and begin to answer. */
int monitor_start(struct monitor *m);
struct monitor *monitor_free(struct monitor *m);
SCOPED_DESTRUCTOR(struct monitor, monitor_free)

/* --- what everybody may ask ---------------------------------------------------------------------------- */
sd_event *monitor_loop(struct monitor *m);
const struct paths *monitor_paths(const struct monitor *m);
int monitor_dir(const struct monitor *m); /* lib/monitor, 0700; borrowed descriptor */

/* max(wall clock, floor): the time that a decision uses. */
uint64_t monitor_now_us(const struct monitor *m);
/* What the end of a signed document (people, TUF metadata, records, requests, certificates) is held against: the
 * same time; while the clock is doubtful, the floor, so that a clock at 1970 or 2099 strands nobody. */
uint64_t monitor_date_us(const struct monitor *m);
const struct floor *monitor_floor(const struct monitor *m); /* monitor/floor.h; borrowed */
/* Raise the floor; only for times that stand in threshold- or owner-signed documents (floor.h says which).  whose
 * says who signed it: "people 7", "owners".  Returns 0 or a fault. */
int monitor_raise_floor(struct monitor *m, uint64_t us, const char *whose);
/* The clock was never set, stands before the floor, or differs from the hub's by more than five minutes: windows
 * count as closed, requests need a permit, updates go by counters. */
bool monitor_clock_doubtful(const struct monitor *m);
/* Why, as half a sentence; NULL where it is not. */
const char *monitor_clock_doubt(const struct monitor *m, char out[MONITOR_DOUBT_MAX]);

bool monitor_enrolled(const struct monitor *m);	   /* site id and keys exist */
bool monitor_recorded(const struct monitor *m);	   /* and an engineer's site record has verified */
/* Two speak with this site's key, or did (clone.h): requests need a permit of the present epoch until the key is
 * rotated. */
bool monitor_cloned(const struct monitor *m);
const char *monitor_site(const struct monitor *m); /* "" before enrolment */
const char *monitor_customer(const struct monitor *m); /* "" before enrolment */
const char *
monitor_epoch(const struct monitor *m); /* 32 hex digits; another one after a clock jump */
struct spawner *monitor_spawner(struct monitor *m);
const struct identity *monitor_identity(const struct monitor *m);

/* The policy in force; never NULL. */
const struct policy *monitor_policy(const struct monitor *m);
/* Maintenance hours (POLICY_WINDOW_*) for people: {"open":true}, or {"open":false,"opens":TIME} ("opens" where it is
 * known); the caller's.  NULL where the policy names none of that name: always open. */
json_t *monitor_window_json(const struct monitor *m, const char *window);
/* Does the policy in force name owners (or did it, and they are lost)?  Then what they guard needs monitor_owners(). */
bool monitor_guarded(const struct monitor *m);
/* Do k of them say yes to digest?  kinds: 1 << enum owner_kind, those that would do.  A statement that counts is used
 * up, durably, before this returns, and its time raises the floor.  Returns 0 with its kind; REASON_NOT_APPROVED where
 * there is no statement (len 0) or nobody who could make one; what owner_verify() refuses; or a fault. */
int monitor_owners(struct monitor *m, unsigned kinds, const uint8_t digest[32], const void *envelope,
	size_t len, enum owner_kind *ret_kind);
/* The verified people document; NULL before the first.  Valid until the next loop turn. */
const struct people *monitor_people(const struct monitor *m);

/* Both the monitor's record and the absence of etc/off/NAME (looked at each time). */
bool monitor_switch_on(const struct monitor *m, enum switch_name which);

/* Is the courier to run?  Where all switches are off and PID 1 keeps it, it is not. */
bool monitor_courier_wanted(const struct monitor *m);

/* The site's facts as the card stated them: {"url","reply","witness":{"name","key"},"director"}; NULL
 * before enrolment.  Borrowed. */
const json_t *monitor_hub(const struct monitor *m);

/* --- saying things ------------------------------------------------------------------------------------- */
/* Make the envelope of payload, signed by the site key; the caller's.  Returns 0, REASON_NOT_FOUND before
 * enrolment (logged), what envelope_seal() refuses, or a fault. */
int monitor_sign(struct monitor *m, enum message type, const json_t *payload,
	json_t **ret_envelope);

/* Append a leaf to the audit log; it is on the disk when this returns.  kind is one of interfaces.md's;
 * object, digest (32 bytes) and actor may be NULL.  Returns 0 or a fault: then what it was about must not
 * happen. */
int monitor_leaf(struct monitor *m, const char *kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason);

/* The same with more to say: extra is an object, borrowed.  Of a request: {"ticket"}, by which an export finds it. */
int monitor_leaf_extra(struct monitor *m, const char *kind, const char *actor, const char *object,
	const uint8_t *digest, enum reason reason, const json_t *extra);

/* Whether there is such a leaf, of since_us or later: for who goes on after a crash and may have written it.  Walks the log from there;
 * where that cannot be read, false. */
bool monitor_leaf_stands(struct monitor *m, const char *kind, const char *object, const uint8_t *digest, uint64_t since_us);

/* The same for what a stranger, or whoever carries messages to us, can bring about: see tally.h.  A leaf at
 * once where there was none of that kind, about and reason in the last minute; else it is counted, on the
 * disk within a second, and a leaf within a minute.  about is of a small set of ours; "" where kind and
 * reason say enough.  Returns 0 or a fault. */
int monitor_leaf_tallied(struct monitor *m, const char *kind, const char *about,
	const char *actor, const char *object, const uint8_t *digest, enum reason reason);

/* Put a POST of body to path into the outbox, for the courier to carry, and record it in the ledger.
 * stream is "heartbeat", "results" or "audit"; class says which switch it hangs on: "heartbeat" (telemetry),
 * "result" (remote), "update" (updates), "audit" (any).  It is on the disk when this returns.  Returns 0,
 * REASON_NO_SPACE, REASON_SWITCHED_OFF (unlogged) where the class's switch is off or the policy does not send the class, or a
 * fault. */
int monitor_outbox(struct monitor *m, const char *stream, const char *class, const char *path,
	const char *content_type, const void *body, size_t len);

/* Push an event to the connected daemons of a role (CALL_ROLE_COURIER, CALL_ROLE_COLLECT) or to the
 * watching commands (CALL_ROLE_CONTROL).  json may be NULL; borrowed.  Whoever is not connected misses it:
 * daemons ask again when they come. */
void monitor_push(struct monitor *m, enum call_role role, const char *name, const json_t *json);

/* Is a peer of that role connected?  Whoever is has shown that it holds the role. */
bool monitor_connected(const struct monitor *m, enum call_role role);

/* Something a person should hear of, if policy.yaml's `notify` names the event (request, alert, update; refusal,
 * clone, switch and policy follow from their leaves): one log line, an event "notify" to watching commands, and the
 * customer's own programs in etc/notify.d (notify.h).  about is the request's id or the service; may be NULL. */
void monitor_notify(struct monitor *m, const char *event, const char *about, const char *text);

/* Which release of the core runs: hex of its index.json, "" (as at first) for the packaged one.  Copied. */
void monitor_set_core(struct monitor *m, const char *hex);

/* State changed that the site's statement carries: sign and send one soon. */
void monitor_statement_soon(struct monitor *m);

/* --- verbs ----------------------------------------------------------------------------------------------- */
struct monitor_call; /* one call of one peer */

/* Answer a call.  Return 0 after monitor_answer() or monitor_call_hold() (neither: an empty object is
 * answered); an enum reason, whose details are in refuse_last(); or a fault.  Parameters are borrowed from
 * the call and live as long as it. */
typedef int monitor_verb_fn(struct monitor *m, struct monitor_call *call, void *arg);

/* roles: CALL_ROLE_ bits.  verb is kept, not copied. */
int monitor_register_verb(struct monitor *m, const char *verb, unsigned roles, monitor_verb_fn *fn,
	void *arg);

/* The parameter; NULL where it is absent or not text without NUL. */
const char *monitor_call_text(const struct monitor_call *call, const char *name);
/* The same, refusing (REASON_USAGE) where it is absent. */
int monitor_call_need(const struct monitor_call *call, const char *name, const char **ret);
/* Absent: ret keeps its value.  Refuses what is no number or above max with REASON_USAGE. */
int monitor_call_u64(const struct monitor_call *call, const char *name, uint64_t max,
	uint64_t *ret);
/* The n-th parameter, for lists: false beyond the last. */
bool monitor_call_param(const struct monitor_call *call, size_t n, const char **ret_name,
	const char **ret_value);
/* The body, borrowed; len 0 where there is none.  A body that came as a descriptor was copied. */
const void *monitor_call_body(const struct monitor_call *call, size_t *ret_len);
/* The socket that came in place of a body, the caller's; -1: there is none. */
int monitor_call_take_socket(struct monitor_call *call);
enum call_role monitor_call_role(const struct monitor_call *call);
/* Who asks, for leaves: "uid:0", "courier", "collectd". */
const char *monitor_call_actor(const struct monitor_call *call);

/* Finish the call; it is gone afterwards, a held one too.  answer may be NULL (an empty object). */
void monitor_answer(struct monitor_call *call, json_t *take_answer);
/* The same with r: 0, an enum reason (details from refuse_last()) or a fault. */
void monitor_answer_result(struct monitor_call *call, int r, json_t *take_answer);
/* A line of progress before the answer; line is borrowed. */
void monitor_progress(struct monitor_call *call, const json_t *line);

/* Keep the call to answer it later; the verb then returns 0.  gone(call, arg), which may be NULL, runs once
 * if the peer leaves first: the call must still be finished with monitor_answer() (nothing is sent), in
 * gone() or later. */
typedef void monitor_gone_fn(struct monitor_call *call, void *arg);
void monitor_call_hold(struct monitor_call *call, monitor_gone_fn *gone, void *arg);

/* Run a verb from inside, as role: for modules and tests.  body may be NULL; params is an object of texts
 * or NULL, borrowed.  done runs exactly once, perhaps before this returns: r as monitor_answer_result's, answer
 * borrowed. */
typedef void monitor_done_fn(int r, const json_t *answer, void *arg);
void monitor_call_inside(struct monitor *m, enum call_role role, const char *verb,
	const json_t *params, const void *body, size_t len, monitor_done_fn *done, void *arg);

/* --- modules --------------------------------------------------------------------------------------------- */
enum monitor_change {
	MONITOR_CHANGE_SWITCH = 1 << 0, /* a switch went on or off (or its off file came or went) */
	MONITOR_CHANGE_POLICY = 1 << 1,
	MONITOR_CHANGE_PEOPLE = 1 << 2,
	MONITOR_CHANGE_RECORD = 1 << 3,	 /* enrolled, recorded or left */
	MONITOR_CHANGE_SERVICE = 1 << 4, /* a service's state or release; see services.h */
	MONITOR_CHANGE_METADATA = 1
		<< 5, /* the trusted repository metadata is current again; see metadata.h */
	MONITOR_CHANGE_CLOCK = 1 << 6, /* another epoch, or the clock became doubtful or believed again */
};

/* Hooks; each may be NULL. */
struct monitor_module {
	const char *name;
	int (*start)(struct monitor *m,
		void *arg); /* once, before the sockets open; a result != 0 ends the start */
	void (*changed)(struct monitor *m, unsigned changes,
		void *arg); /* MONITOR_CHANGE_ bits, from the loop */
	void (*tick)(struct monitor *m, uint64_t now_us, void *arg); /* about once a second */
	/* Add to the status object: append to .pending (always there), set members of your own; see
	 * interfaces.md for the pinned ones.  Borrowed. */
	void (*status)(struct monitor *m, json_t *status, void *arg);
	void (*free)(void *arg); /* when the monitor ends */
};

/* module is kept, not copied; take_arg belongs to module->free also where this fails. */
int monitor_add_module(struct monitor *m, const struct monitor_module *module, void *take_arg);

/* Tell the modules, from the next loop turn. */
void monitor_changed(struct monitor *m, unsigned changes);
