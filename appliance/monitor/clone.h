/* A second life of this site: its state folder was copied and runs elsewhere, or a backup was restored, so that
 * two speak with one key, or one says again what it said before.
 *
 * Three notice it: the site itself (the folder has another inode than the one it kept in lib/monitor/place.json),
 * its hub (two statements of one counter, an epoch that comes back, one sequence with two bodies: said in the
 * signed answer to a heartbeat) and its witness (statement.c).  What was noticed stands in lib/monitor/clone.json
 * until the key is rotated or the site leaves; so long every request needs a permit of the present epoch. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/refuse.h"

struct monitor;

enum { CLONE_TEXT_MAX = 256 };

struct clone {
	bool noticed;
	char by[16]; /* "site", "hub", "witness" */
	char text[CLONE_TEXT_MAX];
	uint64_t since_us;
};

int clone_init(struct monitor *m);

/* Once and for all: a leaf, the file, the status.  What was noticed before is not written again.  Returns 0
 * or a fault. */
int clone_notice(struct monitor *m, const char *by, const char *text, enum reason reason);

/* "clone" of the hub's signed acknowledgement of a heartbeat: {"key","kind","epochs"}.  One about a key that is
 * not ours any more says nothing.  Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD (logged); or a fault. */
int clone_hub_says(struct monitor *m, const json_t *notice);

/* The key is another one, or gone. */
int clone_over(struct monitor *m);
