/* Connections for the collector, which has no network.
 *
 *	collect.dial  {service port} and a UNIX socket -> {}; a connection to this port is written to the socket
 *	              (loop/dial.h) where somebody listens there
 *
 * To ports of the host's loopback that the metrics of the service's active definition name, the knobs' values put in; and,
 * where there is no such service, to what telemetry.scrape of mainstay.yaml has under that name: the address is the
 * file's, never the caller's.  The judge reads the file, once for each of its states.  A few at once. */
#pragma once

struct monitor;

int dial_verb_init(struct monitor *m);
