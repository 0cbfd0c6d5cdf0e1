#include "telemetry/ship/ship.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/destination.h"
#include "appliance/egress/shipper.h"
#include "telemetry/ship/committed.h"
#include "telemetry/ship/partial.h"
#include "telemetry/ship/ship_settings.h"

#define SPOOL_FOLDER "telemetry/spool"

/* Of alerts and inventory the order is part of what they say. */
static const struct {
	const char *name;
	bool ahead;
} streams[] = { { "alerts", false }, { "metrics", true }, { "logs", true }, { "inventory", false } };

static const char *const names[] = { "alerts", "metrics", "logs", "inventory" };

struct ship {
	struct ship_settings settings;
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

static const struct carrier_module module = { .name = "ship", .free = ship_free };

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
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	r = ship_settings_read(&s->settings, carrier_paths(c));
	if (r != 0) {
		/* What was meant for elsewhere must not go to the hub: so nothing of it goes until this is mended.  Requests
		 * and updates do not depend on it. */
		log_warning("telemetry stays here: the telemetry section of etc/mainstay.yaml is not understood");
		free(s);
		return r < 0 ? FAULT(r) : 0;
	}
	r = carrier_add(c, &module, s);
	if (r != 0)
		return FAULT(r);
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
