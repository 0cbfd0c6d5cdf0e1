#include "telemetry/ship/ship.h"

#include "appliance/egress/shipper.h"
#include "telemetry/ship/committed.h"

#define SPOOL_FOLDER "telemetry/spool"

static const struct shipper_stream streams[] = {
	{ .folder = SPOOL_FOLDER, .stream = "alerts", .compress = true },
	{ .folder = SPOOL_FOLDER, .stream = "metrics", .compress = true, .ahead = true },
	{ .folder = SPOOL_FOLDER, .stream = "logs", .compress = true, .ahead = true },
};

static const char *const names[] = { "alerts", "metrics", "logs" };

int
ship_init(struct carrier *c)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]) && r == 0; i++)
		r = shipper_add(c, &streams[i], NULL);
	return r != 0 ? r : committed_init(c, names, sizeof(names) / sizeof(names[0]));
}
