/* Which policy is in force, and what guards the next one.
 *
 * lib/monitor/policy.json is the compiled policy; guard.json beside it says what was applied (digest), whose consent
 * the next change needs (owners), which of their statements have counted, and which bytes of policy.yaml that was.
 * A policy that is lost or is not what was applied is never replaced by a wider one: everything is denied then, and
 * the owners that guard.json names still guard.  Where guard.json is lost, too, the audit log's last leaf `policy` about
 * policy.yaml says that one was applied, and which: that very one may be applied again by whoever may write it, any other by nobody. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/policy/owner.h"

struct monitor;
struct policy;

#define CEILING_OBJECT "policy.yaml" /* of the leaf; the witnesses' policy has one of the same kind */

enum ceiling_state {
	CEILING_DEFAULT, /* none was ever applied, as files and audit log say */
	CEILING_APPLIED,
	CEILING_MISSING, /* one was applied and is gone: everything is denied */
	CEILING_DAMAGED, /* it is not what was applied: everything is denied */
};

struct ceiling {
	enum ceiling_state state;
	bool owners_lost; /* neither file says who the owners are: nobody can apply */
	uint8_t digest[32]; /* of the policy that was applied; all zero: none was, or nothing says which */
	uint64_t used[OWNER_KINDS];
	bool has_source;
	uint8_t source[32]; /* SHA-256 of the bytes that were applied */
};

/* Read both files into m->policy and m->ceiling.  Returns 0 also where they are damaged (logged), or a fault. */
int ceiling_open(struct monitor *m);

/* Put take_next in force: guard.json, policy.json, guard.json, so that a crash between leaves one of the two policies
 * and its guard.  Returns 0; on a fault the former one stays in force (take_next is consumed on every path). */
int ceiling_apply(struct monitor *m, struct policy *take_next, const uint8_t source[32]);

/* "default" "applied" "missing" "damaged" */
const char *ceiling_state_text(enum ceiling_state state);

/* Does etc/policy.yaml say something else than what was applied?  Read anew each time; false where it is not there
 * or nothing was applied and it is the default's text. */
bool ceiling_edited(const struct monitor *m);
