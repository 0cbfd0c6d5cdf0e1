/* What the two files of the shipper share.
 *
 *	shipper.c          what goes next, and when
 *	shipper_answer.c   what an answer means for it */
#pragma once

#include "appliance/egress/shipper.h"

#include "appliance/base/buf.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/hub_client.h"
#include "appliance/egress/lanes.h"
#include "appliance/egress/notice.h"
#include "appliance/egress/pack.h"

struct destination_reply;

struct shipper {
	const struct shipper_stream *spec;
	struct carrier *carrier;
	struct shipper_peer *peer; /* NULL: the hub */
	struct pace_peer *pace;
	uint64_t asked; /* its last turn */
	int dir_fd;
	char place[ACK_STREAM_BYTES]; /* in acks.json */
	struct lanes *lanes;
	const struct lanes_record *record; /* under way, NULL: none; owned by lanes */
	struct hub_call *call;
	struct destination_call *other;
	enum pack_coding coding; /* what the receiver takes */
	enum pack_coding sent;	 /* what the request under way is in */
	struct buf packed;
	struct notice_ear ear;
	uint64_t dry_us;   /* there was nothing: not looked again before, unless something is heard */
	uint64_t first_us; /* what is not urgent does not go before */
	uint64_t not_before_us;
	unsigned tries, conflicts;
	/* Of a stream that is kept: */
	bool placed; /* next is the monitor's word */
	uint64_t next;
	bool asking;	   /* an answer of the monitor is awaited */
	unsigned unplaced; /* answers of the hub that it refused */
	unsigned again;	   /* the hub's answers to this record that mean "again" */
};

/* --- shipper.c ----------------------------------------------------------------------------------------------------- */
/* Send the next record, if there is one that may go now. */
void shipper_ship(struct shipper *s);
/* Returns 0, a reason or a fault. */
int shipper_open_lanes(struct shipper *s);

/* --- shipper_answer.c ---------------------------------------------------------------------------------------------- */
/* From hub_client_send() and destination_send(); arg: the shipper. */
void shipper_answer_hub(int r, const struct hub_reply *reply, const char *why, void *arg);
void shipper_answer_other(int r, const struct destination_reply *reply, const char *why, void *arg);
/* The record under way has come to its end, as lanes_done(); on to the next. */
void shipper_answer_finish(struct shipper *s, const char *what, uint64_t rejected);
/* It goes again after so many seconds; 0: after a backoff. */
void shipper_answer_later(struct shipper *s, uint64_t after_s);
/* Ask the monitor where a stream that is kept goes on. */
void shipper_answer_ask_place(struct shipper *s);
