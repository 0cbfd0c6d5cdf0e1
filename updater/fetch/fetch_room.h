/* A run of fetching from within; nobody else includes it.
 *
 *	fetch.c       the steps of a run: what the monitor is told and asked, when it ends, the module
 *	fetch_file.c  one file, or range of a pack, of a round */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/refuse.h"
#include "updater/fetch/incoming.h"

struct hub_call;

/* What is being asked for; each step ends with the monitor's answer to it. */
enum step { STEP_METADATA, STEP_ASSIGNMENT, STEP_METADATA_AGAIN, STEP_OBJECTS, STEP_IDLE };

struct fetch {
	struct carrier *carrier;
	struct incoming in;
	enum step step;
	bool again;              /* "fetch" came during a run */
	unsigned generation;
	unsigned rounds, tries;
	uint64_t not_before_us;

	json_t *need;            /* names of this round */
	size_t next;             /* the one being fetched */
	json_t *absent;          /* of this round: the hub has none */
	struct hub_call *call;
	const char *trouble;     /* why a run ended, for the monitor to tell; or NULL */
};

/* Tell the monitor what came and what did not, and hear what it wants next. */
void fetch_ask(struct fetch *f);
/* End the run.  why NULL: it went through; else it is tried again later, and who waits for it is told. */
void fetch_finish(struct fetch *f, enum reason reason, const char *why);

/* Fetch the rest of this round's files, one after another, then fetch_ask(); at the first that cannot be had
 * fetch_finish(). */
void fetch_file_next(struct fetch *f);
