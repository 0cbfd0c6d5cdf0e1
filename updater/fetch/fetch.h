/* Metadata, assignment and objects for the monitor: a module of the courier (fetch_wire.h).
 *
 * Runs while the updates switch is on; the metadata part also for the remote switch alone, since people and
 * their revocations come with it.  Every run begins at the event "fetch", and by itself every now and then. */
#pragma once

struct carrier;

int fetch_init(struct carrier *c);
