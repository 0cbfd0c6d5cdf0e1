/* The collector's line to the monitor: says hello, takes the config, and hands over alerts.
 *
 *	up -> collect.hello -> config
 *	      collect.secret -> the value, for a source whose definition names it
 *	      alert, one at a time, each until it is answered; of one alert only the newest state waits
 *
 * While the monitor is away everything else goes on; what fires then is told when it is back. */
#pragma once

#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "telemetry/rule/rule.h"

struct collector;
struct monitor_link;

enum { MONITOR_LINK_WAITING_MAX = 1024 };

int monitor_link_new(struct monitor_link **ret, sd_event *loop, const struct paths *paths);
struct monitor_link *monitor_link_free(struct monitor_link *l);
SCOPED_DESTRUCTOR(struct monitor_link, monitor_link_free)

/* Connect, and keep connected; what the monitor tells goes to c, borrowed.  Returns 0 or a fault. */
int monitor_link_start(struct monitor_link *l, struct collector *c);

/* An alert changed: tell the monitor, now or when it is back.  A rule_fn. */
void monitor_link_alert(const struct rule_alert *alert, void *link);

/* A source wants a secret of its service: ask the monitor, and hand it to the collector. */
void monitor_link_want(const char *service, const char *secret, void *link);
/* A source wants a connection: ask the monitor, and hand it to the collector. */
void monitor_link_dial(const char *service, unsigned port, void *link);
