/* Control verb that erases records of the audit log, as the law may ask:
 *
 *	audit.erase  from to reason -> {"from","to","erased","entry"}: how many went, and the entry that says so */
#pragma once

struct monitor;

int erase_verb_init(struct monitor *m);
