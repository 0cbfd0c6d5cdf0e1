/* What the files of the collector share: its core is split by theme.
 *
 *	collector.c         life, and what others tell
 *	collector_send.c    the switch, the streams, the bus
 *	collector_watch.c   rules: fed, told, kept over restarts
 *	collector_inventory.c   what the host is made of: whole, then changes
 *	collector_round.c   one timer for both speeds
 *	collector_settings.c    mainstay.yaml, and what to do where it changes */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/base/stamp.h"
#include "appliance/bus/event.h"
#include "appliance/egress/class.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/believed.h"
#include "telemetry/collect/collector.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/follow.h"
#include "telemetry/collect/rounds.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/sources.h"
#include "telemetry/collect/stock.h"
#include "telemetry/rule/rule_own.h"
#include "telemetry/spool/spool.h"

struct collector {
	sd_event *loop;
	const struct paths *paths;
	const struct collector_ops *ops;
	void *arg;
	int dir_fd, spool_fd; /* lib/telemetry, lib/telemetry/spool */
	struct config_settings settings;
	struct stamp settings_stamp, rules_stamp; /* of mainstay.yaml and the customer's rules, as they were read */
	struct config config;
	struct sources *sources;
	struct rule_set *rules;
	struct rule_own own;
	struct door *door;
	struct spool *metrics, *alerts, *logs, *inventory;
	struct stock stock;
	uint64_t stock_lost; /* records of that stream, when they were last looked at */
	uint64_t alerts_end;  /* the newest record of the alerts */
	uint64_t alerts_lost; /* of them, when what fires was last said again; after a start 0, so that it is said once more */
	struct believed *believed;
	struct follow *follow;
	struct event_publisher *bus;         /* NULL: nobody can be told early, the courier looks by itself */
	struct event_subscriber *committed, *missing;
	struct loop_timer *timer;
	struct page *page;                   /* NULL: none is shown */
	struct sample_set round;
	struct buf body;
	uint64_t started_us;                  /* of counters that begin with this process */
	struct rounds rounds;
	bool was_on;                          /* telemetry, when it was last looked at */
};

/* --- collector_send.c ----------------------------------------------------------------------------------------- */
extern const struct follow_ops collector_follow_ops; /* arg: the collector */

/* lib/telemetry, its spool and the streams.  Returns 0, a refusal (logged), or a fault. */
int collector_open_spools(struct collector *c);
void collector_open_bus(struct collector *c);
void collector_close_streams(struct collector *c);

/* May anything leave now?  The monitor's record and the absence of the off file; before enrolment there is nobody to
 * send to. */
bool collector_is_on(const struct collector *c);
/* The same; what fires while it comes on has not been sent, and is sent now, as are ends that are owed. */
bool collector_look_at_switch(struct collector *c);

/* Write c->body into a stream: is it there now?  Faults are logged. */
bool collector_write(struct collector *c, struct spool *spool, enum class_name class, const char *path);
/* The hub has the alerts up to sequence.  Were some lost to the cap, and is all of what is left there by now, what fires is
 * said again: else the vendor would not know of it until it ends. */
void collector_alerts_committed(struct collector *c, uint64_t sequence);
void collector_send_alert(const struct rule_alert *alert, void *arg);
/* Tell the ends of what the vendor takes for standing and stands no more. */
void collector_send_ends(struct collector *c);

/* --- collector_watch.c ------------------------------------------------------------------------------------------ */
void collector_on_alert(const struct rule_alert *alert, void *arg);
void collector_on_samples(const struct sample_set *samples, void *arg);
/* host: only its numbers, which come once a period; those of services came as they answered. */
void collector_feed(struct collector *c, const struct sample_set *samples, bool host);
/* Watch what the definitions and the customer say.  Returns as rule_load(). */
int collector_take_rules(struct collector *c);
void collector_save_rules(struct collector *c); /* where they changed */
int collector_load_rules(struct collector *c);

/* --- collector_inventory.c -------------------------------------------------------------------------------------------- */
/* Once a period: write the groups that changed and may leave.  Faults are logged. */
void collector_inventory(struct collector *c, uint64_t mono_us);

/* --- collector_settings.c ---------------------------------------------------------------------------------------------- */
/* What mainstay.yaml says, and the rules file that it names.  Returns as config_settings(). */
int collector_read_settings(struct collector *c);
/* Where either was changed since, and is understood, the loop ends with 0: supervise starts the collector with what they
 * say now.  What is not understood is logged, once, and what was read before goes on. */
void collector_look_at_settings(struct collector *c);
