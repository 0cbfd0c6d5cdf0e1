/* The collector's core: when to probe, when to batch, and what becomes of the numbers.
 *
 *	sources -> rules (always, also with telemetry off) -> the monitor hears of every alert
 *	        -> filter -> one durable record in the spool (only while telemetry is on) -> "more" on the bus
 *
 * One timer for everything. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "telemetry/rule/rule.h"

struct collector;
struct page;

/* The host's numbers, as rules name whose they are. */
#define COLLECTOR_HOST "host"

/* What of lib/telemetry preview reads: the rules' states. */
#define COLLECTOR_RULES_NAME "rules.json"

struct collector_ops {
	/* An alert changed.  Runs from the loop. */
	void (*alert)(const struct rule_alert *alert, void *arg);
	/* A source needs a secret of its service: collector_secret(), later.  It asks again with each probe.  May be
	 * NULL. */
	void (*want)(const char *service, const char *secret, void *arg);
	/* A source needs a connection to this port of its service: collector_dialed(), later, once; NULL: there is none. */
	void (*dial)(const char *service, unsigned port, void *arg);
};

/* Open everything below lib/telemetry and take up the last config that was told.  paths and ops are borrowed
 * and outlive it.  Nothing is collected before collector_start().  Returns 0, a reason (logged) where settings
 * or the spool are refused, or a fault. */
int collector_new(struct collector **ret, sd_event *loop, const struct paths *paths,
	const struct collector_ops *ops, void *arg);
struct collector *collector_free(struct collector *c);
SCOPED_DESTRUCTOR(struct collector, collector_free)

/* Show each round's numbers on p too, borrowed, which may be NULL.  Before collector_start().  Returns 0 or a fault. */
int collector_show(struct collector *c, struct page *p);

int collector_start(struct collector *c);

/* The monitor told this; borrowed.  Returns 0, config_read()'s refusals (everything as before), or a fault. */
int collector_config(struct collector *c, json_t *doc);

/* A connection that was asked for; take_fd is closed on every path, -1: nobody listens. */
void collector_dialed(struct collector *c, const char *service, unsigned port, int take_fd);

/* A secret that was wanted; copied, and kept in memory alone. */
void collector_secret(
	struct collector *c, const char *service, const char *secret, const char *value, size_t len);

/* Every alert that fires or is muted now: for a monitor that came back. */
void collector_each(struct collector *c, rule_fn *each, void *arg);
