/* Telling the collector how far the hub has its streams, so that it counts as lost only what is.
 *
 * Event "committed" of the publisher run/bus/courier, text "STREAM SEQUENCE": when it moves, and again now and
 * then, since events may be missed. */
#pragma once

#include <stddef.h>

struct carrier;

/* A module of the courier; streams are kept, not copied. */
int committed_init(struct carrier *c, const char *const *streams, size_t n);
