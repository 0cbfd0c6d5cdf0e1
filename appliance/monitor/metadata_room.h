/* The view of the vendor's repository from within; nobody else includes it.
 *
 *	metadata.c           one round: what it has, what it needs, the verb, the module
 *	metadata_incoming.c  what the courier or a command brought
 *	metadata_people.c    the people document, kept */
#pragma once

#include <jansson.h>

#include "appliance/base/buf.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/metadata.h"
#include "appliance/tuf/client.h"

struct monitor_call;

enum { METADATA_WANTS_MAX = 80 };

struct metadata {
	struct monitor *m;
	int incoming_fd;	    /* lib/incoming; -1 until the courier made it */
	struct tuf_client *current; /* of the last complete refresh */
	struct tuf_client *next;    /* the refresh under way */
	uint64_t begun_us;	    /* boot time */
	uint64_t current_begun_us;  /* of what is current */
	char *targets[METADATA_WANTS_MAX];   /* people first; owned */
	size_t n_targets;

	struct monitor_call *call; /* the call that is being worked on; held */
	json_t *names, *absent;	   /* of it, not yet used up */
	struct buf bytes;	   /* of the document that the judge has */
	struct tuf_want want;	   /* which it is */
	struct refusal refused;	   /* of the courier's last refresh; REASON_NONE: it was good */
	bool left;		   /* the site left while the judge had it */
	bool no_people;		   /* of this refresh: theirs has ended; releases go on without */
};

/* Read FILE, at most cap bytes: the body of a command, which names that one file, or incoming/tuf/FILE, which the courier
 * may have made anything.  Returns 0, REASON_NOT_FOUND, REASON_TOO_LARGE or another refusal (logged), or a fault. */
int metadata_incoming_take(struct metadata *d, const char *file, size_t cap, struct buf *out);
/* Is there an incoming/tuf/FILE, whatever it is? */
bool metadata_incoming_has(struct metadata *d, const char *file);

/* Take the document of this refresh into force, unless it is the one that is; it raises the floor of the clock.
 * Returns 0, the refusal (logged) or a fault; the former stays in force then. */
int metadata_people_take(struct metadata *d, const void *p, size_t len);
/* Bring back the one that was in force. */
void metadata_people_load(struct monitor *m);
