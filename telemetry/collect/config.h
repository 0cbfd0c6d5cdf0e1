/* What the collector is told: by the monitor (collect.hello and the event "config", the same JSON) and by the
 * operator (the telemetry section of etc/mainstay.yaml).
 *
 *	{"site","switch":bool,"fields":{FIELD: SHAPE | "" | false},"classes":{CLASS: send|review|keep},
 *	 "services":[{"name","release","dir","metrics":[a definition's blocks with the knobs' values],
 *	              "alerts":[...],"logs":[{"name","dir","file" (beneath it),"format"}]}],
 *	 "mutes":[{"service","name" (absent: all of it),"why","until"}]}
 *
 *	telemetry:
 *	  period: 15s     # how often samples are batched, 1s to 1h
 *	  spool: 64mb     # room on disk for the stream of each class, 1mb to 1gb
 *	  quotas: {log: 256mb}   # other room for a class
 *	  rules: alerts.yaml        # the customer's own alert rules, beside mainstay.yaml
 *	  pseudonyms: [ip, email]   # of ip, email, user, hostname: what leaves under a token in free text
 *	  certificates: [/etc/ssl/site.pem]   # whose days the inventory tells
 *	  logs: [{name: auth, file: /var/log/auth.log, format: syslog}]   # field log.host.auth
 *	  journal: {units: [ssh.service], level: warning}   # fields log.journal.ssh.service
 *	  listen: 127.0.0.1:9190    # our own numbers at /metrics; a port alone is of 127.0.0.1, another address is named
 *	  scrape: [{name: node, url: "http://127.0.0.1:9100/metrics"}]   # appliance/service/target.h */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/egress/class.h"
#include "appliance/service/target.h"
#include "telemetry/logs/log_format.h"
#include "telemetry/rule/rule.h"

struct paths;

enum {
	CONFIG_SERVICES_MAX = 64,
	CONFIG_JSON_MAX = 1024 * 1024,
	CONFIG_NAME_MAX = 64,
	CONFIG_LOGS_MAX = 32,
	CONFIG_CERTIFICATES_MAX = 32,
	CONFIG_PATH_MAX = 255,
	CONFIG_UNITS_MAX = 32,
	CONFIG_UNIT_MAX = 128,
};

struct config_service {
	const char *name;
	const char *release;   /* "" where none is active */
	const char *dir;       /* run/services/NAME */
	const json_t *metrics; /* array of sources, or NULL */
	const json_t *logs;    /* array of {name, dir, file, format}, or NULL */
};

/* A file of the host whose lines the operator wants to leave. */
struct config_log {
	char name[CONFIG_NAME_MAX + 1];
	char file[256]; /* absolute */
	enum log_format format;
};

/* Everything points into json. */
struct config {
	json_t *json; /* owned; NULL: nothing was ever told */
	const char *site; /* "" before enrolment */
	bool on;          /* the monitor's record of the telemetry switch */
	const json_t *fields;
	struct class_fates fates;
	struct config_service services[CONFIG_SERVICES_MAX];
	size_t n_services;
	struct rule **rules; /* of all services; owned, a reference each */
	size_t n_rules;
	struct rule_mute mutes[RULE_MUTES_MAX];
	size_t n_mutes;
};

/* Read; doc is referenced.  *ret must be empty or hold an earlier one, which is replaced only on success.
 * Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged, *ret unchanged); or a
 * fault. */
int config_read(struct config *ret, json_t *doc);
void config_done(struct config *c);

/* The last config that was told, over restarts: dir_fd/config.json.  config_load() returns
 * REASON_NOT_FOUND (unlogged) where there is none, else as config_read(). */
int config_save(const struct config *c, int dir_fd);
int config_load(struct config *ret, int dir_fd);

/* Where our own numbers are shown to others. */
struct config_listen {
	char address[46];
	unsigned port; /* 0: nowhere */
	bool local;    /* the address is of loopback */
};

struct config_settings {
	uint64_t period_us;
	uint64_t spool_bytes;		 /* of each class's stream ... */
	uint64_t quota_bytes[CLASS_MAX]; /* ... but of these, where not 0 */
	struct config_log logs[CONFIG_LOGS_MAX];
	size_t n_logs;
	char units[CONFIG_UNITS_MAX][CONFIG_UNIT_MAX + 1]; /* whose journal is followed */
	size_t n_units;
	unsigned journal_level; /* of syslog: entries up to this one */
	char journal_dir[256];  /* absolute; "": the host's own */
	char certificates[CONFIG_CERTIFICATES_MAX][CONFIG_PATH_MAX + 1];
	size_t n_certificates;
	unsigned pseudonyms; /* bits 1 << PSEUDONYM_... */
	struct target targets[TARGETS_MAX]; /* exporters of the customer's own */
	size_t n_targets;
	struct config_listen listen;
	char rules[CONFIG_NAME_MAX + 1]; /* the customer's own, a file of etc; "": none */
};

/* Read etc/mainstay.yaml; no file and no telemetry section give the defaults.  Other sections are other
 * readers'.  Returns 0; REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged with file:line:col); or a fault. */
int config_settings(struct config_settings *ret, const struct paths *paths);

/* Room on disk for the stream of this class. */
uint64_t config_quota(const struct config_settings *s, enum class_name class);
