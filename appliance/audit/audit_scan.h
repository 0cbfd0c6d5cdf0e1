/* The quick look at a record: form and number of the plain ones, without allocation.
 *
 * A log of a million entries is read whole when it is opened and verified.  This reads a record's
 * canonical form straight through and says yes only to what audit_entry_parse() accepts, with the same
 * values (a fuzz target holds them against each other); whatever it does not know (members of "extra",
 * text beyond ASCII, anything that is wrong) it leaves to that one, which alone refuses. */
#pragma once

#include "appliance/audit/audit.h"

struct audit_scan {
	uint64_t n;
	uint64_t time_us;
	enum audit_kind kind;
};

/* false where audit_entry_parse() has to be asked. */
bool audit_scan(struct audit_scan *ret, const void *p, size_t len);
