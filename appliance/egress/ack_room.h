/* What the two files of the acknowledgements share.
 *
 *	ack.c        places, ranges, counts
 *	ack_file.c   acks.json */
#pragma once

#include "appliance/egress/ack.h"

enum { ACK_WHATS_MAX = 64 }; /* beside "other", "from" and "to" */

struct ack {
	int dir_fd;
	json_t *streams;  /* name -> sequence */
	json_t *reserved; /* the same */
	json_t *ahead;	  /* name -> [from, upto, …] */
	json_t *passed;	  /* the same */
	json_t *counts;	  /* name -> {what: number} */
	bool late;	  /* a place is in memory alone */
	bool doubt;	  /* a write failed, and yet acks.json is, or may be, the new one */
};

/* --- ack.c ------------------------------------------------------------------------------------------------------ */
uint64_t ack_whole(const json_t *v); /* 0 of what is no number above it */
size_t ack_whats(const json_t *counts); /* how many that ACK_WHATS_MAX is for */

/* --- ack_file.c ---------------------------------------------------------------------------------------------------- */
/* Fill a with what acks.json says; no file: nothing.  Returns 0, a reason (logged) or a fault. */
int ack_file_read(struct ack *a);
/* Replace acks.json.  Returns 0 or a fault; a->late tells which. */
int ack_file_write(struct ack *a);
