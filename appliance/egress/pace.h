/* How fast, and when: the bandwidth cap, and who asks a receiver that is away whether it is back.
 *
 * Pure: time comes in.  The cap is a bucket of one second's bytes: a record goes where the bucket is not in debt, and is
 * then taken from it whole, so that over time no more leaves than the cap, and a record larger than the bucket still
 * goes.  Of all streams to a receiver that gives no answer one asks, after a wait that grows up to PACE_AWAY_S (so that
 * what is new arrives within ten seconds of its return), and the others wait for that answer.  They take turns: a record
 * that something on the way swallows each time must not keep the others from being asked with. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	PACE_AWAY_BASE_MS = 500,
	PACE_AWAY_S = 5,
	PACE_HEAR_MS = 600, /* longer than anybody's tick: who else wants to ask? */
	PACE_OVERHEAD = 1200, /* bytes of a request's head, signature and answer */
};

/* Zero: no cap, nothing went yet. */
struct pace {
	uint64_t rate;	 /* bytes a second; 0: no cap */
	int64_t debt_us; /* how long what went still takes; below zero: room */
	uint64_t at_us;	 /* when that was so */
};

/* May a record go now? */
bool pace_may(struct pace *p, uint64_t mono_us);
void pace_spend(struct pace *p, uint64_t bytes, uint64_t mono_us);

/* Of one receiver.  Zero: it is there. */
struct pace_peer {
	unsigned tries; /* asked in vain since it went away */
	uint64_t until_us;
	bool asking;	      /* somebody is */
	uint64_t questions;   /* of all streams, ever */
	const uint64_t *next; /* of those who want to, whoever asked longest ago; compared alone */
	uint64_t next_asked;
};

/* May this stream send?  Where the receiver is away and it may, it is the one who asks: pace_back() or pace_away() must
 * follow.  asked is the stream's own, zero at first and kept by it: the number of its last question. */
bool pace_ask(struct pace_peer *p, uint64_t *asked, uint64_t mono_us);
void pace_away(struct pace_peer *p, uint64_t mono_us); /* no answer */
void pace_back(struct pace_peer *p);		       /* an answer, whatever it says */
void pace_leave(struct pace_peer *p);		       /* whoever asked was called off */
