/* The order in which one stream leaves: oldest first, with a share for what is new.
 *
 * After a long outage what lies in the stream takes a while to leave, and what is new would wait behind it.  So where the
 * next record is LANES_BEHIND_S old or older and LANES_BEHIND records or more wait behind it, the newest one and what
 * follows it go ahead in a second lane, one of every LANES_TURN records; the rest drains in order.  Each lane is a
 * stream of its own to the hub, STREAM and STREAM-fresh, and in each of them sequences only rise: order per stream and
 * "exactly once by (site, stream, sequence)" hold with nothing new at the hub.  Both count the same records, so a record's
 * sequence says where it belongs among all.
 *
 * Which lane a record takes is decided once and written (ack.h, "ahead") before it goes for the first time; after a
 * restart the second lane speaks first, so that a record whose answer was lost is said again in the lane it went.  Where
 * the first lane reaches what went ahead, it goes on behind it.
 *
 * In the first lane records may go before their place is on the disk (lanes_soon()); how far, is: up to a number that was
 * there already when that was written (ack_reserve()).  After a crash nothing up to it goes ahead.
 *
 * What is not there when its turn comes (pushed out by the cap, damaged on disk) is counted, with the time before and
 * after it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/egress/ledger.h"

struct ack;
struct buf;
struct lanes;

enum {
	LANES_BEHIND = 8,
	LANES_BEHIND_S = 10,
	LANES_TURN = 4,
	LANES_SOON_MAX = 64, /* records for which one write on the disk may do */
};

/* The record under way. */
struct lanes_record {
	uint64_t sequence;
	bool fresh; /* of the second lane */
	struct ledger_entry entry; /* points into the lanes' own memory, until the next call */
};

/* dir_fd/stream is read; place is its name in ack.h.  All are borrowed, dir_fd and ack outlive it.  may_go_ahead: false
 * where records mean something only in order (alerts, results).  Opens nothing yet. */
int lanes_new(struct lanes **ret, struct ack *ack, int dir_fd, const char *stream, const char *place,
	bool may_go_ahead);
/* The receiver knows by itself what it has in each lane (our hub does): while records of the first lane go fast, their place is
 * written once for as many as just went, at most LANES_SOON_MAX, and where nothing is left.  What may have gone so before a
 * crash goes again, in the same lane. */
void lanes_soon(struct lanes *l);
struct lanes *lanes_free(struct lanes *l);
SCOPED_DESTRUCTOR(struct lanes, lanes_free)

/* The next record.  Until lanes_done(), always the same.  Returns 0 (borrowed, until then); RECORD_END where there is none
 * yet; or a fault. */
int lanes_next(struct lanes *l, const struct lanes_record **ret);

/* Whether lanes_next(), where it found nothing, is to be asked again soon: there was damage, and something may follow it. */
bool lanes_waits(const struct lanes *l);

/* The record under way has come to its end: what is NULL where it arrived, else why it did not ("400"), which is
 * counted.  rejected: points or lines of it that were not taken.  Durable on return, but for lanes_soon().  On a fault it is done with all the same, and
 * written with the next step; where there are two lanes, that is before anything more goes. */
int lanes_done(struct lanes *l, const char *what, uint64_t rejected);

/* The record under way is not this receiver's: as lanes_done(), and remembered as never sent there (ack_pass()). */
int lanes_pass(struct lanes *l);

/* Begin anew: at the place (from 0), or from this sequence on.  The record under way is forgotten. */
void lanes_reset(struct lanes *l, uint64_t from);

/* Everything that is there now counts as done with, and what of it did not go there as passed over. */
int lanes_part(struct lanes *l);
