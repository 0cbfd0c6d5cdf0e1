/* Connections for the collector, which has no network.
 *
 *	collect.dial  {service port} and a UNIX socket -> {}; a connection to this port of the host's loopback is written to
 *	              the socket (loop/dial.h) where somebody listens there
 *
 * Only to ports that the metrics of the service's active definition name, the knobs' values put in; a few at once. */
#pragma once

struct monitor;

int dial_verb_init(struct monitor *m);
