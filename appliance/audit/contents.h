/* What an audit folder holds, held against its signed heads; read, never changed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/audit/audit_load.h"
#include "appliance/audit/edge.h"

/* Entries [from, to], erased at time_us; of an erasing leaf n is its own number. */
struct contents_range {
	uint64_t from, to, n, time_us;
};
struct contents_ranges {
	struct contents_range *range;
	size_t n, cap;
};

struct contents {
	struct edge edge; /* of the entries that were read and are good */
	bool bad;	  /* entry bad_n is damaged, out of place or missing */
	uint64_t bad_n;
	uint64_t erased;    /* records that are tombstones */
	size_t records_end; /* bytes of the last bundle's records that head covers */
	struct contents_ranges tombstones, erasings;
};
struct contents *contents_free(struct contents *c);
SCOPED_DESTRUCTOR(struct contents, contents_free)

/* Recompute the tree of head from the tiles of level 0 and compare it with head and with cosigned
 * (which may be absent).  whole: besides that each entry, each record with its number, each tile of
 * each level, that no file is missing or too many, and that each erased record is covered by an
 * entry that says so; else only the last bundle's entries and records, which appending goes on
 * from.  *ret is filled as far as it went, also on refusal; the caller frees it always.  Returns 0;
 * REASON_ROLLBACK where the log is smaller than a head; REASON_ALTERED; REASON_INTERRUPTED (whole
 * only) where an erasure is not finished (all logged, naming the entry or the file); or a fault. */
int contents_read(struct contents **ret, int dir_fd, const struct audit_head *head,
	const struct audit_head *cosigned, bool whole);

/* Is this entry one that says that records were erased, and which?  false where it is another. */
bool contents_erasing(const struct audit_entry *e, struct contents_range *ret);
