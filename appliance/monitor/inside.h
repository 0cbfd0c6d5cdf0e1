/* The monitor from within: what its own files share.  Nobody outside this room includes it. */
#pragma once

#include "appliance/audit/audit.h"
#include "appliance/monitor/ceiling.h"
#include "appliance/monitor/clone.h"
#include "appliance/monitor/copies.h"
#include "appliance/monitor/epoch.h"
#include "appliance/monitor/floor.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/site.h"
#include "appliance/monitor/syslog_file.h"
#include "appliance/monitor/tally.h"
#include "appliance/service/identity.h"

struct alarms;
struct calls;
struct cosigning;
struct courier;
struct courier_need;
struct judge_queue;
struct loop_timer;
struct metadata;
struct mutes;
struct freshness;
struct notify;
struct outbox;
struct services;
struct quorum;
struct statements;

struct monitor_verb {
	const char *verb;
	unsigned roles;
	monitor_verb_fn *fn;
	void *arg;
};

struct monitor {
	sd_event *loop;
	struct paths paths;
	struct spawner *spawner; /* borrowed; may be NULL */
	struct identity id;
	unsigned judge_ms;
	int lib_fd, dir_fd, run_fd; /* lib, lib/monitor, run */

	struct site site;
	struct clone clone;
	struct epoch epoch;
	struct floor floor;
	bool seen_doubtful;    /* as the modules were last told */
	uint64_t offset_at_us; /* when the courier last had contact; 0: never */
	int64_t offset_ms;     /* the hub's clock minus ours, a hint */
	char trouble[32];      /* what the courier says stands between it and the hub; "" */
	struct switch_record switches;
	bool seen_on[SWITCH_MAX]; /* as the modules were last told */
	struct policy *policy;
	struct ceiling ceiling; /* where the policy came from, what guards the next */
	struct people *people;
	struct audit *audit;
	uint64_t audit_again_us; /* one that failed is not opened again before */
	struct cosigning *cosigning;
	struct quorum *quorum, *hub_quorum; /* applied; the hub alone: see witnesses.h */
	json_t *forked; /* the proof that this log is not what a witness saw; NULL */
	struct tally tally;
	struct copies copies;
	struct syslog_file syslog;

	struct outbox *outbox;
	struct judge_queue *judge;
	struct calls *calls;
	char core_release[65]; /* monitor_set_core() */
	struct courier *courier;
	struct courier_need *courier_need;
	struct metadata *metadata;
	struct freshness *freshness; /* NULL until its module is there */
	struct statements *statements;
	struct services *services;
	struct alarms *alarms;
	struct mutes *mutes;
	struct notify *notify;

	struct monitor_verb verbs[MONITOR_VERBS_MAX];
	size_t n_verbs;
	struct {
		const struct monitor_module *module;
		void *arg;
	} modules[MONITOR_MODULES_MAX];
	size_t n_modules;

	unsigned changes; /* not yet told */
	struct loop_timer *tell, *tick, *commit; /* commit: runs while leaves wait for a checkpoint */
};

/* Replace lib/monitor/NAME by the canonical form of doc. */
int monitor_save_json(const struct monitor *m, const char *name, const json_t *doc);
/* Read it.  REASON_NOT_FOUND (unlogged) where there is none. */
int monitor_load_json(const struct monitor *m, const char *name, size_t max, json_t **ret);

/* The people document changed hands; take_people may be NULL. */
void monitor_set_people(struct monitor *m, struct people *take_people);

/* Tell the modules where the clock became doubtful, or is no longer. */
void monitor_look_at_doubt(struct monitor *m);
