/* Telling the collector how far the hub has its streams, so that it counts as lost only what is, and what never arrived
 * there, so that the counts leave as numbers.
 *
 * Events "committed" (text "STREAM SEQUENCE") and "missing" (telemetry/spool/missing.h) of the publisher run/bus/courier:
 * when they move, and again now and then, since events may be missed. */
#pragma once

#include <stddef.h>

struct carrier;

/* A module of the courier; streams are kept, not copied. */
int committed_init(struct carrier *c, const char *const *streams, size_t n);
