/* How far the hub has answered a stream of the outbox whose records must all arrive, and which it would not take.
 *
 * Answers come in the order of the records.  A record that was taken is done with; one that was refused is held: after a
 * pause it is put behind the others, under a new sequence, and sent once more.  The pause doubles from ANSWERS_PAUSE_S
 * to ANSWERS_PAUSE_MAX_S; it never ends for good, and no record waits for another one's.
 *
 * No I/O and no clock here. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ANSWERS_HELD_MAX = 256,
	ANSWERS_PAUSE_S = 2,
	ANSWERS_PAUSE_MAX_S = 15 * 60,
	ANSWERS_BYTES_MAX = 64 * 1024, /* of answers_json() */
};

struct answers_held {
	uint64_t sequence; /* above seen: it was put behind and waits for its next answer */
	uint64_t status;   /* of the last answer */
	uint64_t tries;	   /* answers that were refusals */
	uint64_t since_us; /* wall clock: the first of them */
	uint64_t due_us;   /* boot clock: when to put it behind */
};

struct answers {
	uint64_t seen; /* answered up to here, in whatever way */
	size_t n;
	struct answers_held held[ANSWERS_HELD_MAX];
};

/* Is an answer to this record still awaited? */
bool answers_open(const struct answers *a, uint64_t sequence);

/* The hub has it. */
void answers_taken(struct answers *a, uint64_t sequence);

/* The hub would not take it, in an answer of this HTTP status.  Returns 0 (what is held already stays as it is), or
 * REASON_BUSY (unlogged, unchanged) where ANSWERS_HELD_MAX are held. */
int answers_refused(struct answers *a, uint64_t sequence, unsigned status, uint64_t wall_us,
	uint64_t mono_us);

/* One whose pause is over: borrowed until the next call; NULL where there is none. */
struct answers_held *answers_due(struct answers *a, uint64_t mono_us);
void answers_moved(struct answers_held *h,
	uint64_t sequence); /* it was put behind, under this sequence */
void answers_again(struct answers_held *h, uint64_t mono_us); /* it could not be: another pause */
void answers_lost(struct answers *a, struct answers_held *h); /* it is there no more */

/* All up to here are done with. */
uint64_t answers_upto(const struct answers *a);

/* For the disk; NULL where there is no memory.  Read back, each pause begins anew at mono_us.  answers_load() returns 0,
 * REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged; a is unchanged). */
json_t *answers_json(const struct answers *a);
int answers_load(struct answers *a, const json_t *doc, uint64_t mono_us);
