/* The customer's witness policy (audit/quorum.h): who must have cosigned this log's heads.
 *
 * `mainstay audit policy FILE` hands the text to the judge; what comes back, in canonical form, is a leaf
 * `policy` (object "audit.policy") and then lib/monitor/audit.policy.  Where policy.yaml names owners, k of them must
 * have signed its digest (kind policy: the SHA-256 of the canonical text, which `--check` prints).  Where none was
 * applied, it is the hub's witness of the trust card. */
#pragma once

#include <jansson.h>

#include "appliance/audit/quorum.h"

struct monitor;

#define WITNESSES_FILE "audit.policy"

/* Read what was applied, and register the verb audit.policy: without a body it answers {"policy","applied"};
 * with one, {"policy": TEXT, "owner": envelope or absent} in canonical form, TEXT is applied, unless it is in force
 * already.  Returns 0; what quorum_parse() refuses where the file is damaged (the monitor does
 * not start on a policy that is not the customer's); or a fault. */
int witnesses_init(struct monitor *m);
void witnesses_done(struct monitor *m);

/* The policy in force; NULL where none was applied and the site is not enrolled.  Borrowed until the next turn
 * of the loop. */
const struct quorum *witnesses_quorum(struct monitor *m);

/* What the policy says of a note of this log: quorum_check()'s answers; not met where there is no policy. */
int witnesses_judge(struct monitor *m, const char *note, struct quorum_verdict *ret);

/* Of the kept cosigned head: quorum_json() with "size" (0: nobody cosigned yet).  The caller's; NULL where there
 * is no policy or no memory. */
json_t *witnesses_json(struct monitor *m);
