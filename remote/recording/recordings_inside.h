/* What recordings.c and recording.c share; nobody else includes it. */
#pragma once

#include "appliance/base/buf.h"
#include "remote/recording/cast.h"
#include "remote/recording/recording_text.h"
#include "remote/recording/recordings.h"

enum { RECORDINGS_NAME_MAX = CAST_ID_MAX + 16, RECORDINGS_TITLE_MAX = 2 * 64 + 1 };

#define RECORDINGS_END ".cast"
#define RECORDINGS_PART ".cast.part"
#define RECORDINGS_BAD	".bad"

struct loop_timer;

/* One file that is there. */
struct recordings_entry {
	char id[CAST_ID_MAX + 1];
	char title[RECORDINGS_TITLE_MAX + 1];
	uint64_t n, bytes, timestamp;
	bool running;
	bool hashed; /* digest is known */
	uint8_t digest[32];
};

struct recordings {
	int dir_fd;
	sd_event *loop; /* referenced */
	uint64_t last;	/* number given */
	size_t n_entries;
	struct recordings_entry *entries; /* by number; owned */
	size_t n_bad;	    /* files that were set aside, and how large they are: as they were at the start */
	uint64_t bad_bytes;
};

struct recording {
	struct recordings *all; /* outlives it */
	char id[CAST_ID_MAX + 1];
	int fd;
	uint64_t begun_us;	/* boot time */
	uint64_t event_us;	/* of what waits in text, since the beginning */
	struct recording_text streams[RECORDING_STREAMS];
	struct buf text;	/* an event that is still being joined, between its quotes */
	struct loop_timer *join;
	bool broken;		/* nothing is written any more */
};

struct recordings_entry *recordings_find(const struct recordings *all, const char *id, bool running);
/* Add an entry of this header.  NULL without memory. */
struct recordings_entry *recordings_add(struct recordings *all, const struct cast_header *head);
void recordings_drop(struct recordings *all, struct recordings_entry *e);
/* ID.cast or ID.cast.part. */
const char *recordings_name(char out[RECORDINGS_NAME_MAX], const char *id, bool running);
/* Sync the open file and give it its name for good. */
int recordings_settle(struct recordings *all, int fd, const char *id);
