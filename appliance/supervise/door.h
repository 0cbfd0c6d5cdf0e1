/* The one door to the network for those who have none: connections to the ports that the monitor names. */
#pragma once

struct frame;
struct paths;

/* DIAL of supervise_wire.h: connect, and hand what came of it to the frame's descriptor; that nobody listens is no mistake.
 * Returns 0, or REASON_MALFORMED (logged). */
int door_dial(const struct frame *f);

/* Serve DIAL alone on the socket that systemd listens on, to the monitor alone, until told to end.  Returns 0,
 * REASON_USAGE (logged) where no socket was handed over, or a fault. */
int door_serve(const struct paths *paths);
