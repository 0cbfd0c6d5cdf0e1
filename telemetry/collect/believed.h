/* Which alerts the vendor takes for standing: those whose beginning went into the spool and whose end did not.
 *
 * An alert that ends while telemetry is off is not told then.  Nor is what fires then, and it stays on the site; but the end of
 * what was told before is owed: else it stands in the vendor's inbox for ever.  Kept in lib/telemetry/believed.json, written after
 * the spool: a kill in between costs a word that is said twice. */
#pragma once

#include "telemetry/rule/rule.h"

enum { BELIEVED_MAX = 1024 }; /* further ones are not remembered */

struct believed;

/* From the folder, which stays the caller's and open.  A file that is damaged is said and begins anew.  Returns 0 or a fault. */
int believed_open(struct believed **ret, int dir_fd);
struct believed *believed_free(struct believed *b);
SCOPED_DESTRUCTOR(struct believed, believed_free)

/* The alert is in the spool. */
void believed_told(struct believed *b, const struct rule_alert *alert);

/* Call each() with the end, at what was last believed, of all that do not stand in the set; it may call believed_told().
 * Nothing of the rule but service, name, severity and the group's labels is known then; its text is "". */
void believed_ends(struct believed *b, const struct rule_set *s, rule_fn *each, void *arg);
