/* Files below lib/incoming as they come: each into NAME.part, which gets its name once it is whole.  Nothing is synced: what a
 * power cut spoils fails its hash and is fetched again. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "updater/fetch/fetch_name.h"

enum {
	INCOMING_NAME_MAX = FETCH_NAME_MAX + 32,
	INCOMING_TARGET_DAYS = 30, /* so long a whole target stays */
};

struct incoming {
	int dir_fd; /* lib/incoming; the opener's */
	int out_fd; /* the part that is written; -1: none */
	char name[INCOMING_NAME_MAX]; /* "objects/aa/HEX.zst" */
	/* Of a range: its members in their order. */
	json_t *members;
	size_t next;
	uint64_t left; /* of the present member */
};

/* Begin the file name (a path below incoming/).  resume: behind what came of it before, at most max bytes; *ret_at says where
 * that is.  Returns 0 or a fault. */
int incoming_begin(struct incoming *in, const char *name, bool resume, uint64_t max, uint64_t *ret_at);
int incoming_put(struct incoming *in, const void *p, size_t len);
/* It is whole. */
int incoming_keep(struct incoming *in);
/* It is not; the part stays for the next time, unless forget. */
void incoming_drop(struct incoming *in, bool forget);

/* Remove what nobody comes back to of the metadata below dir_fd, lib/incoming: files of roles, for each run has them anew, and
 * of targets what broke off or came long ago.  For a time when no file is under way.  Returns 0 or a fault, after which some
 * of it may be left. */
int incoming_sweep(int dir_fd);

/* Begin the members of a range ([[NAME, LENGTH]...], borrowed until it ended; *ret_len: all their bytes).  Returns 0;
 * -EBADMSG where it is no such list; or a fault. */
int incoming_range(struct incoming *in, json_t *members, uint64_t *ret_len);
/* Bytes of the range, as they come: each file gets its name as soon as it is whole. */
int incoming_split(struct incoming *in, const void *p, size_t len);
