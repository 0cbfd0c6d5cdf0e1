/* May this request run here?  Pure: no files, no clock; all that it depends on stands in the
 * facts. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/policy/policy.h"
#include "remote/request/request.h"

struct accepted;
struct cancel;
struct definition;
struct definition_operation;
struct envelope;
struct people;

#define CHECK_ROLE "support" /* what an engineer must be, for the site's customer */

/* Is it from somebody who may ask here?  The first part, before anything of it is kept, so that
 * nobody else can fill the disk: signature, members, people.  Returns 0 with *ret the caller's;
 * REASON_BAD_SIGNATURE, REASON_STALE_PEOPLE, REASON_UNKNOWN_KEY; REASON_UNKNOWN_FIELD or
 * REASON_MALFORMED; REASON_REVOKED, REASON_WRONG_ROLE, REASON_NOT_YET_VALID, REASON_EXPIRED (all
 * logged); or a fault. */
int request_check_sender(struct request **ret, const struct envelope *e,
	const struct people *people, const char *customer, uint64_t now_us);

/* The same of a message that takes a request back: any engineer who may ask here may do that.  Besides the above,
 * REASON_UNKNOWN_KEY where it is signed by another than it names. */
int request_check_canceller(struct cancel **ret, const struct envelope *e, const struct people *people,
	const char *customer, uint64_t now_us);

struct request_check_facts {
	const struct people *people; /* NULL: none yet */
	const char *site, *customer;
	uint8_t epoch[REQUEST_EPOCH_BYTES];
	bool nonce_used;             /* by another request */
	bool by_file;                /* brought by a person: it may live longer */
	uint64_t now_us;
	uint64_t date_us;            /* what ends are held against: now_us, or the clock's floor */
	bool clock_doubtful;
	bool cloned;                 /* two speak with the site's key: a person says which is meant */
	const struct definition *definition; /* of the release that is installed; NULL: none is */
	const struct accepted *accepted;
	bool remote_on;
	const struct policy *policy;
};

/* What was found on the way.  Borrows from facts. */
struct request_check_verdict {
	const struct definition_operation *operation;
	json_t *args;                /* checked, with defaults; owned */
	struct policy_answer answer; /* its decision is ask or allow where the check passed */
	bool stale_people;           /* the people document has ended */
	bool other_epoch;            /* made in another life of this site; it may have run then */
};
/* Why only a permit of the customer can let it run, whatever the ceiling allows: wrong-epoch before stale-people;
 * REASON_NONE: nothing. */
enum reason request_check_insists(const struct request_check_verdict *v);
void request_check_verdict_done(struct request_check_verdict *v);

/* The second part, in this order; e is verified again, for people change while a request waits.
 *
 *	signature     as above
 *	people        revoked unknown-key wrong-role not-yet-valid expired stale-people (newer ones needed)
 *	addressee     wrong-addressee
 *	nonce         replayed
 *	times         malformed not-yet-valid expired
 *	definition    not-found altered
 *	operation     not-found not-approved (not accepted by the customer) unknown-field malformed
 *	switch        switched-off
 *	ceiling       denied outside-window (no rule denies it, and at another hour one would not; or it
 *	              ends before the maintenance hours begin, and the policy names no approver)
 *	              not-approved (fewer stand on every list of the rules that ask than must approve)
 *	insists       wrong-epoch stale-people (nobody could permit it: the policy names no approver)
 *
 * Another epoch and a people document that has ended are no end where the customer has approvers: then the answer is
 * ask, and the permit is for a plan that names the present epoch.  While the clock is doubtful nothing begins later,
 * and what ends does so by date_us; then, too, a person decides.
 *
 * Returns 0 with *ret to be released, the reason (logged, operand is the request's id), or a
 * fault. */
int request_check(struct request_check_verdict *ret, const struct request *q,
	const struct envelope *e, const struct request_check_facts *f);
