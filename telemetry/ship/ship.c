#include "telemetry/ship/ship.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/base/stamp.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/destination.h"
#include "appliance/egress/shipper.h"
#include "telemetry/ship/committed.h"
#include "telemetry/ship/partial.h"
#include "telemetry/ship/ship_settings.h"

#define SPOOL_FOLDER "telemetry/spool"

enum { LOOK_S = 5 };

/* Of alerts and inventory the order is part of what they say. */
static const struct {
	const char *name;
	bool ahead;
} streams[] = { { "alerts", false }, { "metrics", true }, { "logs", true }, { "inventory", false } };

static const char *const names[] = { "alerts", "metrics", "logs", "inventory" };

struct ship {
	struct ship_settings settings;
	struct stamp stamp; /* of mainstay.yaml, as it was read */
	uint64_t look_us;
	struct shipper_stream specs[ARRAY_LEN(streams)];
	struct shipper_peer peers[DESTINATIONS_MAX];
};

static void
ship_free(void *arg)
{
	struct ship *s = arg;

	for (size_t i = 0; i < DESTINATIONS_MAX; i++)
		destination_free(s->peers[i].destination);
	free(s);
}

static struct stamp
stamp_now(struct carrier *c)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/mainstay.yaml", carrier_paths(c)->etc);
	return stamp_of(path);
}

/* Where mainstay.yaml was changed, and is understood, the loop ends with 0: supervise starts the courier with what it says
 * now.  Where it is not, what was read before goes on. */
static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	struct ship *s = arg;
	struct ship_settings settings;
	struct stamp stamp;
	int r;

	if (now < s->look_us)
		return;
	s->look_us = now + LOOK_S * CLOCK_US_PER_S;
	stamp = stamp_now(c);
	if (stamp_same(&stamp, &s->stamp))
		return;
	r = ship_settings_read(&settings, carrier_paths(c));
	if (r < 0) { /* which says nothing of the file: the next look may read it */
		log_fault(r, "reading mainstay.yaml, which was changed");
		return;
	}
	s->stamp = stamp;
	if (r) {
		log_warning("mainstay.yaml was changed, and what it said before goes on");
		return;
	}
	log_info("mainstay.yaml was changed: beginning anew with it");
	(void)sd_event_exit(carrier_loop(c), 0);
}

static const struct carrier_module module = { .name = "ship", .tick = on_tick, .free = ship_free };

/* All streams to one receiver. */
static int
add_streams(struct carrier *c, struct ship *s, struct shipper_peer *peer)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(streams) && r == 0; i++)
		r = shipper_add(c, &s->specs[i], peer);
	return r;
}

int
ship_init(struct carrier *c)
{
	struct ship *s = calloc(1, sizeof(*s));
	int r, refused;

	if (!s)
		return FAULT(-ENOMEM);
	s->stamp = stamp_now(c);
	refused = ship_settings_read(&s->settings, carrier_paths(c));
	r = carrier_add(c, &module, s);
	if (r != 0)
		return FAULT(r);
	if (refused) {
		/* What was meant for elsewhere must not go to the hub: so nothing of it goes until this is mended.  Requests
		 * and updates do not depend on it. */
		log_warning("telemetry stays here: the telemetry section of etc/mainstay.yaml is not understood");
		return refused < 0 ? FAULT(refused) : 0;
	}
	carrier_pace(c)->rate = s->settings.bandwidth;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		s->specs[i] = (struct shipper_stream){
			.folder = SPOOL_FOLDER,
			.stream = streams[i].name,
			.compress = true,
			.ahead = streams[i].ahead,
			.rejected = partial_rejected,
			.rules = &s->settings.rules,
		};
	r = add_streams(c, s, NULL);
	for (size_t i = 0; i < s->settings.n_destinations && r == 0; i++) {
		r = destination_new(&s->peers[i].destination, carrier_loop(c), &s->settings.destinations[i]);
		r = r ?: add_streams(c, s, &s->peers[i]);
	}
	return FAULT(r ?: committed_init(c, names, ARRAY_LEN(names)));
}
