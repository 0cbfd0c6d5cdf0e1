/* What the files of cosigning share (cosign.h): one round that goes around, and each witness's place in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/audit/merkle.h"
#include "appliance/audit/quorum.h"
#include "appliance/base/buf.h"
#include "appliance/trust/note.h"

struct monitor;

enum {
	COSIGN_GAP_S = 2, /* between two rounds, and before a witness is tried again */
	COSIGN_BODY_MAX = 64 * 1024,
	COSIGNER_TROUBLE_MAX = 192,
	COSIGNERS_MAX = 1 + QUORUM_WITNESSES_MAX,
};

struct cosigner {
	struct note_key key;
	char url[QUORUM_URL_MAX]; /* "": the hub */
	uint64_t cosigned;	  /* size of the last tree of ours that it cosigned */
	bool told;		  /* old is where it said that it stands */
	uint64_t old;
	unsigned tries;	 /* without success */
	uint64_t due_us; /* boot clock: not before */
	bool waiting;	 /* for its answer to this round's checkpoint */
	uint64_t sequence;
	char trouble[COSIGNER_TROUBLE_MAX]; /* what status says; "" */
};

struct cosigning {
	struct monitor *m;
	struct cosigner who[COSIGNERS_MAX]; /* the hub's is the first */
	size_t n;
	bool stale; /* the witnesses are to be read anew before the next round */
	/* The round. */
	char *checkpoint; /* owned; NULL: none is under way */
	uint64_t size;
	uint64_t since_us; /* boot clock: of this step of it */
	bool lines;	   /* the others gave some */
	bool at_hub;
	uint64_t
		hub_old; /* from where the hub is to believe it: the log may grow during the round */
	struct merkle_proof hub_proof;
	struct buf note; /* the checkpoint and the lines so far */
	uint64_t ended_us;
};

/* --- cosigner.c ------------------------------------------------------------------------------------ */
/* Read the witnesses of the policy anew; those that stay keep what is known of them. */
void cosigner_read_all(struct cosigning *s);
/* From where it is to believe the next head. */
uint64_t cosigner_old_size(const struct cosigner *c);
/* Is there something that it has not cosigned, and is it time to try? */
bool cosigner_is_due(const struct cosigning *s, const struct cosigner *c);
/* It did not cosign: said once in the log and in status, and tried again, ever more seldom. */
void cosigner_trouble(struct cosigner *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* It cosigned the head of this round. */
void cosigner_done(struct cosigner *c, uint64_t size);

/* --- cosign.c --------------------------------------------------------------------------------------- */
/* Go on with the round where an answer came or time went by.  Returns 0 or a fault. */
int cosign_advance(struct cosigning *s);

/* --- cosign_answer.c -------------------------------------------------------------------------------- */
/* What c says to this round's head (status 0: it was not reached).  Returns 0, also for an answer to a head of a
 * former round; a refusal (logged, and c's trouble); or a fault. */
int cosign_answer(struct cosigning *s, struct cosigner *c, unsigned status, const void *body,
	size_t len);
