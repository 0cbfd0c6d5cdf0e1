/* Control verbs over the policy:
 *
 *	policy.apply   path [body: an envelope owner@ over the digest] -> {"digest","changes":[...]}
 *	policy.diff    [path] -> {"digest","changes":[...]}  what the file would change, nothing is applied
 *	policy.explain service operation [risk] [role] [engineer] -> {"decision","rules":[n],"text","approvers":[...]}
 *	policy.show    -> {"policy","digest"}
 *
 * The file is opened here: it must belong to root or to the site's user and be writable by nobody else.  It is
 * compiled in the judge.  Where the policy in force names owners, k of them must have signed the new one's
 * digest. */
#pragma once

struct monitor;

int policy_verbs_init(struct monitor *m);
