#include "appliance/egress/lanes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ack.h"
#include "appliance/record/record.h"

enum {
	BURST = 64,	  /* records that are none, passed over in one turn */
	DAMAGED_END_S = 5, /* before it is looked again whether anything follows damage: each look is logged */
	FAST_MS = 250,	   /* records that follow each other as quickly share a write on the disk */
};

enum which { OLD, FRESH, N_LANES };

struct lanes {
	struct ack *ack;
	int dir_fd;
	char stream[LEDGER_STREAM_MAX + 1];
	char place[ACK_STREAM_BYTES];
	bool may_go_ahead, soon;
	uint64_t maybe;	  /* soon: up to here a former process may have sent in the first lane */
	uint64_t newest;  /* there was when it was last looked */
	uint64_t done_us; /* when the last record came to its end */
	unsigned run;	  /* how many did so, each soon after the one before */
	struct {
		struct record_reader *reader;
		uint64_t next;	 /* that it is to read */
		uint64_t time_us; /* of what it read last; 0: nothing yet */
		uint64_t wait_us; /* not read before */
	} lane[N_LANES];
	struct buf bytes;
	struct lanes_record now;
	bool busy;	    /* now is under way */
	uint64_t gap;	    /* records missing before it ... */
	uint64_t gap_us;    /* ... since the one before them */
	bool gap_damaged;   /* ... for they are damaged */
	bool settled;	    /* the second lane has said its first again, or has none */
	bool owes;	    /* there were two lanes, and the place of one could not be written */
	unsigned turn;
	uint64_t look_us; /* not looked before then how much is waiting: it reads a segment */
};

int
lanes_new(struct lanes **ret, struct ack *ack, int dir_fd, const char *stream, const char *place,
	bool may_go_ahead)
{
	struct lanes *l = calloc(1, sizeof(*l));

	if (!l)
		return FAULT(-ENOMEM);
	l->ack = ack;
	l->dir_fd = dir_fd;
	l->may_go_ahead = may_go_ahead;
	l->bytes = BUF_MAX(LEDGER_RECORD_MAX);
	(void)snprintf(l->stream, sizeof(l->stream), "%s", stream);
	(void)snprintf(l->place, sizeof(l->place), "%s", place);
	*ret = l;
	return 0;
}

void
lanes_soon(struct lanes *l)
{
	l->soon = true;
	l->maybe = ack_reserved(l->ack, l->place);
}

struct lanes *
lanes_free(struct lanes *l)
{
	if (!l)
		return NULL;
	lanes_reset(l, 0);
	buf_done(&l->bytes);
	free(l);
	return NULL;
}

void
lanes_reset(struct lanes *l, uint64_t from)
{
	for (size_t i = 0; i < N_LANES; i++) {
		l->lane[i].reader = record_reader_close(l->lane[i].reader);
		l->lane[i].next = l->lane[i].time_us = l->lane[i].wait_us = 0;
	}
	l->lane[OLD].next = from;
	l->busy = l->settled = l->gap_damaged = false;
	l->gap = l->turn = 0;
}

/* The range that goes on in the second lane. */
static bool
open_range(const struct lanes *l, struct ack_range *ret)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	size_t n = ack_ahead(l->ack, l->place, ranges);

	if (n > 0)
		*ret = ranges[n - 1];
	return n > 0;
}

/* --- reading ------------------------------------------------------------------------------------------------ */
static int
open_lane(struct lanes *l, enum which w, uint64_t from)
{
	int r = l->lane[w].reader ? 0 :
				    record_reader_open(&l->lane[w].reader, l->dir_fd, l->stream, from);

	if (r == 0 && l->lane[w].next != from) {
		r = record_reader_seek(l->lane[w].reader, from);
		l->lane[w].time_us = 0;
	}
	l->lane[w].next = from;
	return r;
}

/* Read on to the next record that is one.  What is missing before it is kept in the gap. */
static int
read_lane(struct lanes *l, enum which w)
{
	bool damaged = false;
	int r = 0;

	if (clock_mono_us() < l->lane[w].wait_us)
		return RECORD_END;
	l->lane[w].wait_us = 0;
	for (unsigned n = 0; n < BURST; n++) {
		r = record_reader_next(l->lane[w].reader, &l->bytes, &l->now.sequence);
		if (r == REASON_ALTERED) { /* logged, with its place; what is behind it is good */
			damaged = true;
			r = record_reader_skip(l->lane[w].reader);
			if (r == 0)
				continue;
		}
		if (r != 0)
			break;
		/* A record that is no ledger entry (logged) counts as damage, too. */
		if (ledger_decode(&l->now.entry, l->bytes.data, l->bytes.len, l->stream) != 0) {
			damaged = true;
			continue;
		}
		l->gap = l->now.sequence - l->lane[w].next;
		l->gap_us = l->lane[w].time_us ? l->lane[w].time_us : l->now.entry.time_us;
		l->gap_damaged = damaged;
		l->lane[w].next = l->now.sequence + 1;
		l->lane[w].time_us = l->now.entry.time_us;
		l->now.fresh = w == FRESH;
		l->busy = true;
		return 0;
	}
	/* What was found out about the gap is found out again where something follows it. */
	if (damaged) {
		l->lane[w].reader = record_reader_close(l->lane[w].reader);
		l->lane[w].wait_us = clock_mono_us() + DAMAGED_END_S * CLOCK_US_PER_S;
	}
	return r == 0 || r == REASON_NOT_FOUND ? RECORD_END : r;
}

static int
read_fresh(struct lanes *l)
{
	struct ack_range range;
	int r;

	if (!open_range(l, &range))
		return RECORD_END;
	r = open_lane(l, FRESH, range.upto + 1);
	return r == 0 ? read_lane(l, FRESH) : r;
}

static int
read_old(struct lanes *l)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	uint64_t first = l->lane[OLD].next;
	int r;

	/* Where nothing goes ahead, the owner may have gone back; else what went ahead is behind us. */
	if (!first || (l->may_go_ahead && first <= ack_get(l->ack, l->place)))
		first = ack_get(l->ack, l->place) + 1;
	r = open_lane(l, OLD, first);
	r = r ?: read_lane(l, OLD);
	if (r != 0 || ack_ahead(l->ack, l->place, ranges) == 0 || l->now.sequence < ranges[0].from)
		return r;
	/* All that was left before what went ahead is no more: on behind that. */
	r = ack_count(l->ack, l->place, l->gap_damaged ? "damaged" : "lost", ranges[0].from - first, l->gap_us,
		l->now.entry.time_us);
	r = r ?: ack_set(l->ack, l->place, ranges[0].from - 1);
	l->busy = false;
	l->owes = r < 0;
	return r < 0 ? FAULT(r) : read_old(l);
}

/* --- the second lane ------------------------------------------------------------------------------------------ */
/* The reader's place is not touched, but the segment was: the next read finds it again. */
static int
look_for_newest(struct lanes *l)
{
	int r = record_reader_newest(l->lane[l->now.fresh ? FRESH : OLD].reader, &l->newest);

	return FAULT(r);
}

/* The record just read, if it is old and many wait behind it: the newest goes ahead.  Returns 1 where it does. */
static int
go_ahead(struct lanes *l)
{
	uint64_t next = l->lane[l->now.fresh ? FRESH : OLD].next;
	uint64_t now_us = clock_now_us();
	int r;

	if (!l->may_go_ahead || l->now.entry.time_us + LANES_BEHIND_S * CLOCK_US_PER_S > now_us)
		return 0;
	if (clock_mono_us() < l->look_us)
		return 0;
	if (l->now.fresh != open_range(l, &(struct ack_range){ 0 }))
		return 0; /* the second lane itself decides whether it is behind */
	l->look_us = clock_mono_us() + CLOCK_US_PER_S;
	r = look_for_newest(l);
	/* What may have gone in the first lane before a crash goes in it again. */
	if (r != 0 || l->newest < next + LANES_BEHIND || l->newest <= l->maybe)
		return r;
	r = ack_ahead_begin(l->ack, l->place, l->newest);
	return r < 0 ? r : r == 0;
}

/* --- one write for many -------------------------------------------------------------------------------------- */
/* Where records go fast, as many more as just went may go before the place is written again.  Of those that are there: what
 * comes later is above all that may have gone, and so may go ahead after a crash. */
static int
reserve(struct lanes *l)
{
	uint64_t at = l->now.sequence, upto = at + l->run;
	int r = 0;

	if (!l->soon || l->now.fresh || l->run == 0 || at <= ack_reserved(l->ack, l->place))
		return 0;
	if (l->newest <= at)
		r = look_for_newest(l);
	if (upto > l->newest)
		upto = l->newest;
	return r < 0 || upto <= at ? r : FAULT(ack_reserve(l->ack, l->place, upto));
}

static int
read_next(struct lanes *l)
{
	bool fresh_turn = !l->settled || l->turn % LANES_TURN == 0;
	int r;

	r = fresh_turn ? read_fresh(l) : read_old(l);
	if (r == RECORD_END && !fresh_turn)
		return read_fresh(l);
	if (r == RECORD_END) {
		l->settled = true;
		r = read_old(l);
	}
	return r;
}

int
lanes_next(struct lanes *l, const struct lanes_record **ret)
{
	int r = ack_settle(l->ack);

	/* After a crash lanes are divided as the file says: a record that went on where they had met, or after one in the second
	 * lane that the file has not, would then go in the other as well. */
	if (r == 0 && l->owes)
		r = ack_flush(l->ack);
	if (r < 0)
		return FAULT(r);
	l->owes = false;
	if (!l->busy) {
		bool again = !l->settled;

		r = read_next(l);
		/* A record that may have gone already is said again before anything else is decided. */
		if (r == 0 && !(again && l->now.fresh))
			r = go_ahead(l);
		if (r == 1) {
			lanes_reset(l, 0);
			l->settled = true; /* nothing of the new range ever went */
			r = read_next(l);
		}
		if (r == 0)
			r = reserve(l);
	}
	if (r == RECORD_END && l->soon) { /* it has run dry */
		int w = ack_flush(l->ack);

		r = w < 0 ? w : r;
	}
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = &l->now;
	return 0;
}

bool
lanes_waits(const struct lanes *l)
{
	return l->lane[OLD].wait_us > 0 || l->lane[FRESH].wait_us > 0;
}

/* Those of the first lane that arrived whole and soon after the one before, among what is reserved. */
static bool
may_be_soon(const struct lanes *l, const char *what, uint64_t rejected)
{
	return l->soon && l->run > 0 && !l->now.fresh && !what && rejected == 0 && l->gap == 0 &&
		l->now.sequence <= ack_reserved(l->ack, l->place);
}

static int
set_place(struct lanes *l, bool soon)
{
	if (l->now.fresh)
		return ack_ahead_set(l->ack, l->place, l->now.sequence);
	return soon ? ack_set_soon(l->ack, l->place, l->now.sequence) :
		      ack_set(l->ack, l->place, l->now.sequence);
}

static void
count_run(struct lanes *l)
{
	uint64_t now_us = clock_mono_us();

	if (now_us - l->done_us > FAST_MS * CLOCK_US_PER_MS)
		l->run = 0;
	else if (l->run < LANES_SOON_MAX - 1)
		l->run++;
	l->done_us = now_us;
}

int
lanes_done(struct lanes *l, const char *what, uint64_t rejected)
{
	bool soon, two = open_range(l, &(struct ack_range){ 0 });
	uint64_t time_us = l->now.entry.time_us;
	int r;

	count_run(l);
	soon = may_be_soon(l, what, rejected);
	r = ack_count(l->ack, l->place, l->gap_damaged ? "damaged" : "lost", l->gap, l->gap_us, time_us);
	if (what)
		r = r ?: ack_count(l->ack, l->place, what, 1, time_us, time_us);
	r = r ?: ack_count(l->ack, l->place, "rejected", rejected, time_us, time_us);
	r = r ?: set_place(l, soon);
	l->settled = true;
	l->turn++;
	l->busy = false;
	l->owes = two && r < 0;
	return FAULT(r);
}

int
lanes_pass(struct lanes *l)
{
	int r = ack_pass(l->ack, l->place, l->now.sequence, l->now.sequence);

	return r < 0 ? FAULT(r) : lanes_done(l, NULL, 0);
}

/* What neither went nor went ahead, up to the newest. */
static int
pass_rest(struct lanes *l, uint64_t newest)
{
	struct ack_range ranges[ACK_AHEAD_MAX];
	size_t n = ack_ahead(l->ack, l->place, ranges);
	uint64_t at = ack_get(l->ack, l->place) + 1;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; at = ranges[i++].upto + 1)
		if (ranges[i].from > at)
			r = ack_pass(l->ack, l->place, at, ranges[i].from - 1);
	if (r == 0 && at <= newest)
		r = ack_pass(l->ack, l->place, at, newest);
	return FAULT(r);
}

int
lanes_part(struct lanes *l)
{
	SCOPED(record_reader_closep) struct record_reader *reader = NULL;
	uint64_t newest = 0;
	int r;

	lanes_reset(l, 0);
	r = record_reader_open(&reader, l->dir_fd, l->stream, 1);
	r = r ?: record_reader_newest(reader, &newest);
	if (r == REASON_NOT_FOUND || newest == 0)
		return 0;
	r = r ?: pass_rest(l, newest);
	r = r ?: ack_set(l->ack, l->place, newest);
	l->owes = r < 0;
	return FAULT(r);
}
