/* What the two files of the carrier share.
 *
 *	carrier.c          what modules ask, ticks, life
 *	carrier_ground.c   what the monitor says: configuration, key, vendor */
#pragma once

#include "appliance/egress/carrier.h"

#include "appliance/trust/ed25519.h"

struct loop_timer;

#define CARRIER_KEY_NAME "courier.key"

struct carrier {
	sd_event *loop;
	struct paths paths;
	int dir_fd;
	struct ed25519 *key;
	struct ack *ack;
	struct pace pace;
	struct pace_peer hub_peer;
	struct notice *notice;
	struct call_link *link;
	bool linked;
	json_t *config;            /* of hello or the last "config" event */
	struct hub_client *hub;
	char proxy[HUB_URL_MAX], ca_file[HUB_URL_MAX]; /* as the hub's client has them */
	struct loop_timer *tick;
	struct loop_timer *apply;  /* a new config waits for the loop's next turn, or a hub to be built again */
	unsigned unbuilt;	   /* so often that failed */
	bool leaving;		   /* the vendor's, and not done with it */
	json_t *next_config;
	uint64_t contact_us;
	const char *trouble;       /* that the monitor was told last */
	struct {
		const struct carrier_module *module;
		void *arg;
	} modules[CARRIER_MODULES_MAX];
	size_t n_modules;
};

/* --- carrier_ground.c ---------------------------------------------------------------------------------------------- */
/* As call_link_ops has them; arg: the carrier. */
void carrier_ground_up(void *arg);
void carrier_ground_down(void *arg);
/* Take this configuration where it is another: from a turn of its own. */
void carrier_ground_take(struct carrier *c, const json_t *config);
/* Left before any hub answered: no configuration tells, but a request with our key may be on a stick. */
void carrier_ground_left(struct carrier *c);
void carrier_ground_reset(struct carrier *c); /* every module */
uint64_t carrier_ground_floor_us(const json_t *config);
