/* A record that is written to, from within; nobody else includes it.
 *
 *	record.c          opening, what it holds
 *	record_recover.c  what a crash left, at opening
 *	record_write.c    appending, syncing, room
 *	record_reader.c   reading, also from another process: shares nothing of this
 *	record_doubt.c    what readers heard of failed syncs */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/record/record.h"
#include "appliance/record/segment.h"

enum { RECORD_PENDING_MAX = 4 * 1024 * 1024 /* unsynced bytes kept in memory before a sync is made */ };

struct record {
	char name[64];
	int dir_fd; /* locked */
	struct record_limits limits;
	struct segment_name *segments; /* in order; the last is the active one where fd >= 0 */
	size_t n_segments;
	int fd; /* the active segment, or -1: the next append makes one */
	uint32_t salt;
	uint64_t end;	    /* bytes of it that are good */
	uint64_t next;	    /* sequence of the next append */
	uint64_t durable;   /* all up to here are on disk; pending holds durable + 1 .. next - 1 */
	struct buf pending; /* len(u32) payload, for each record that is not durable yet */
	bool lost;	    /* the active segment failed: pending must be written anew */
	uint64_t bytes;
};

/* Read the last segment, of which there is one: cut what was not durable, and go on behind its last good record; where it
 * is damaged, in a segment of its own.  Returns 0, REASON_ALTERED (logged) at damage unless the limits keep it, or a
 * fault. */
int record_recover(struct record *r);
/* All of it, at a place.  Returns 0 or a fault. */
int record_write_at(int fd, const uint8_t *p, size_t len, uint64_t at);
