/* What of the inventory the vendor has: which state of each group was written last, kept over restarts, so that a group
 * leaves once whole and again when it has changed.
 *
 * Kept in lib/telemetry/inventory.json: {"site", "groups": {NAME: "sha256:HEX"}}.  Another site id (the customer enrolled
 * anew), or no such file (`mainstay telemetry inventory --resend`): all groups leave again. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "appliance/trust/sha256.h"
#include "telemetry/collect/config.h"
#include "telemetry/inventory/inventory.h"

struct buf;

#define STOCK_NAME "inventory.json"

enum { STOCK_EVERY_S = 3600 /* what has no file whose change can be seen is looked at so often */ };

struct stock {
	int dir_fd; /* lib/telemetry, borrowed */
	char site[CONFIG_NAME_MAX + 1]; /* whose the digests are */
	char digests[INVENTORY_GROUPS][SHA256_TEXT_MAX]; /* ""  : never written */
	uint64_t look_at_us; /* boot time; 0: now */
	struct timespec packages; /* when dpkg's status was last changed, as it was last read */
};

/* What was kept; damage counts as nothing. */
void stock_open(struct stock *s, int dir_fd);

/* Is a group to be looked at now?  Asked once a period; sets when it is next.  ret_groups: INVENTORY_GROUPS truths.  root
 * as inventory_ask has it. */
bool stock_due(struct stock *s, const char *root, const char *site, uint64_t mono_us, bool *ret_groups);
/* Something else changed (what may leave, where to): look at all with the next period. */
void stock_again(struct stock *s);
/* What was written did not arrive: all leave again. */
void stock_forget(struct stock *s);

/* Has this state of the group been written?  digest of the canonical form of body.  Returns 0 or a fault. */
int stock_same(const struct stock *s, enum inventory_group group, const json_t *body, char digest[SHA256_TEXT_MAX],
	bool *ret_same);
/* It has now; kept.  Returns 0 or a fault. */
int stock_written(struct stock *s, enum inventory_group group, const char *digest);

/* What inventory_build() needs of the settings; pointers is room for them, borrowed as long as ask. */
void stock_ask(struct inventory_ask *ask, const char *pointers[CONFIG_CERTIFICATES_MAX],
	const struct config_settings *settings);
