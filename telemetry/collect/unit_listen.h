/* Under systemd the collector's unit has no network.  Where telemetry.listen of mainstay.yaml asks for a port, a generator gives
 * the unit that one family of addresses, and of a loopback address nothing but loopback; where it asks for none, nothing.
 *
 * systemd runs it as NAME DIR DIR DIR, early at boot and at each `systemctl daemon-reload`, as root (systemd.generator(7)):
 * lib/systemd/system-generators/mainstay-listen is a link to mainstay-collectd. */
#pragma once

#include <stdbool.h>

struct buf;
struct config_listen;
struct paths;

#define UNIT_LISTEN_NAME "mainstay-listen"

/* What the unit is given, as the text of a drop-in; nothing where at->port is 0. */
void unit_listen_text(struct buf *out, const struct config_listen *at);
/* Write DIR/mainstay-collectd.service.d/listen.conf, where there is a port to give.  The file is read by a process that is
 * somebody else than root, the collector's user where there is one, and has no network.  Returns 0, also where the file cannot be read or
 * understood: the collector says so when it starts; or a fault. */
int unit_listen_generate(const char *dir, const struct paths *paths);
