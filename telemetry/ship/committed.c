#include "telemetry/ship/committed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/bus/event.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier.h"
#include "telemetry/spool/missing.h"

enum { STREAMS_MAX = 8, AGAIN_S = 30 };

struct committed {
	struct event_publisher *bus;
	const char *const *streams;
	size_t n;
	struct {
		uint64_t sequence; /* last told */
		uint64_t at_us;    /* boot time */
		json_t *missing;   /* counts last told; owned */
		uint64_t missing_us;
	} told[STREAMS_MAX];
};

/* What of this stream never arrived, where it is more than was told. */
static void
tell_missing(struct committed *t, size_t i, const json_t *counts, uint64_t mono_us)
{
	SCOPED_JSON *none = counts ? NULL : json_object();
	SCOPED(scope_free) char *text = NULL;

	counts = counts ? counts : none; /* said, too: there may have been some before */
	if (!counts || (json_equal(counts, t->told[i].missing) &&
			       mono_us < t->told[i].missing_us + AGAIN_S * CLOCK_US_PER_S))
		return;
	text = missing_write(t->streams[i], counts);
	if (!text || event_publish(t->bus, "missing", text) < 0)
		return; /* the next tick tries again */
	json_decref(t->told[i].missing);
	t->told[i].missing = json_copy_whole(counts, JSON_DEEP);
	t->told[i].missing_us = mono_us;
}

static void
committed_tick(struct carrier *c, uint64_t mono_us, void *arg)
{
	struct committed *t = arg;
	char text[64];

	/* A place that a crash takes back must not be told: what the collector then lets go would be counted as lost here. */
	if (ack_flush(carrier_ack(c)) < 0)
		return; /* logged by the carrier's next tick */
	for (size_t i = 0; i < t->n; i++) {
		uint64_t sequence = ack_get(carrier_ack(c), t->streams[i]);

		tell_missing(t, i, json_object_get(ack_counts(carrier_ack(c)), t->streams[i]), mono_us);
		if (sequence == 0 || (sequence == t->told[i].sequence &&
			mono_us < t->told[i].at_us + AGAIN_S * CLOCK_US_PER_S))
			continue;
		(void)snprintf(text, sizeof(text), "%s %" PRIu64, t->streams[i], sequence);
		if (event_publish(t->bus, "committed", text) < 0)
			continue; /* the next tick tries again */
		t->told[i].sequence = sequence;
		t->told[i].at_us = mono_us;
	}
}

static void
committed_free(void *arg)
{
	struct committed *t = arg;

	event_publisher_close(t->bus);
	for (size_t i = 0; i < t->n; i++)
		json_decref(t->told[i].missing);
	free(t);
}

static const struct carrier_module module = {
	.name = "committed",
	.tick = committed_tick,
	.free = committed_free,
};

int
committed_init(struct carrier *c, const char *const *streams, size_t n)
{
	struct committed *t = calloc(1, sizeof(*t));
	char path[sizeof(carrier_paths(c)->run) + 8];
	int r;

	if (!t)
		return FAULT(-ENOMEM);
	t->streams = streams;
	t->n = n < STREAMS_MAX ? n : STREAMS_MAX;
	(void)snprintf(path, sizeof(path), "%s/bus", carrier_paths(c)->run);
	r = event_publisher_open(&t->bus, path, "courier");
	if (r < 0) { /* shipping goes on; the collector then counts with care */
		log_fault(r, "joining the event bus");
		committed_free(t);
		return 0;
	}
	return FAULT(carrier_add(c, &module, t));
}
