/* A service's definition: what it runs, how it is judged, what may be asked of it.
 *
 * People write service.yaml; the release compiles it (definition_compile) into definition.json,
 * the only form a site reads (definition_read).  Shapes, in both forms (span: "10s"; size:
 * "64mb" in YAML, bytes in JSON; T: a template):
 *
 *	name, version  text [a-z0-9.+~-]
 *	class       service (default) | core
 *	notes       [line...] for people, at most 20
 *	payload     {programs: [/usr/bin/X...], packages: [{name, include: [PATTERN...],
 *	            exclude}], files: [{from | lines: [...], to, mode}], tree: FOLDER};
 *	            only release build reads it
 *	exec        [T...]; the first is an absolute path in the tree
 *	user        "service": the service's own unprivileged user
 *	heal        exit | health | never: what makes the service be started again
 *	stop        {signal: TERM|INT|QUIT, grace: span}
 *	reload      {signal: HUP|USR1|USR2, argv: [T...]}, one of them or both: how changed configuration is
 *	            taken up. argv's exit status says whether it was; of both the signal goes first, and argv
 *	            finds out what came of it
 *	prepare     {argv, creates: NAME, timeout}: run before exec while data/NAME is not there,
 *	            with {prepare}, an empty folder that then becomes data/NAME
 *	network     none (default: UNIX sockets only) | loopback | host
 *	limits      {memory: size, cpu: "1.5" cores or "150%", processes, files, nice}
 *	requires    {services: [NAME...], memory: size, disk: size}
 *	config      [{path, template: FILE, format}] in YAML, [{path, lines: [...], format}] in JSON,
 *	            for canonical JSON has no newlines in texts; below the conf folder; format:
 *	            plain (default) | conf | ini | yaml | json | pg | nginx | nats
 *	knobs       {NAME: {type: int|size|span|bool|text, min, max, enum, pattern, default, unit,
 *	            apply: reload|restart|next-start, help}}
 *	secrets     {NAME: {bytes: 16..64, template: "requirepass {value}", help}}
 *	health      {type: tcp|unix|http|resp|postgres|exec, socket: {run}/T | port: T (only with a
 *	            network other than none), path, expect, user,
 *	            database, argv, secrets, period, timeout, failures, within, soak: span}
 *	hooks       {snapshot|check|restore: {argv, timeout, memory, output, secrets: [NAME...]}}
 *	metrics     [{source: redis|postgres|nginx|nats|prometheus, socket | port as in health, path, user,
 *	            database, secret: NAME, fields: [NAME...]}] gives SOURCE_FIELD and SOURCE_up;
 *	            secret: the user's password, which the collector is then given (postgres)
 *	logs        [{name, file, format}]; without file: what the service writes to stdout and stderr; format of its
 *	            lines, for their times and severities: plain|json|syslog|nginx|postgresql|redis|nats
 *	alerts      [{name, metric, where: {LABEL: VALUE}, by: [LABEL...],
 *	            op: below|above|equal|not-equal, value, clear, rate: {per, over} | absent: SPAN | change: true,
 *	            for, severity: critical|warning|info, text, inhibited_by: [NAME...], operation: NAME}];
 *	            value and clear are whole numbers or decimal ones as text; text may hold {value} and
 *	            {label.NAME} of by and where; what all this means says telemetry/rule/rule.h
 *	operations  {NAME: {argv | verb: start|stop|restart|reload, risk: observe|change|destroy,
 *	            args: {NAME: {type, min, max, enum, pattern, default, help}},
 *	            timeout, memory, output, secrets: [NAME...], dry_run: [T...], downtime, undo: OPERATION | none,
 *	            help}}
 *	            (secrets: of argv, and not of observe; dry_run: of argv, runs as one that observes, without secrets,
 *	            and prints what argv would touch, a line each, the same while that is the same; downtime: a
 *	            sentence or a span, of argv; undo none: it cannot be taken back)
 *	data        {folders: [...], format: NAME, accepts: [NAME...]}, or the folders alone: they
 *	            are below the data folder, there before the first start; format is that of what
 *	            is written there, accepts are the older ones that this release can go on with
 *
 * Templates: {arg} an argument of the operation, {knob.NAME} a knob's value, {secret.NAME} the path
 * of a file with the secret (never its value), {run} {data} {conf} {log} folders as the process
 * sees them, {prepare} in prepare, {snapshot} in the hooks snapshot and restore, "{{" a brace.  A
 * value never holds control characters or newlines and is never split: one template is one argument.
 *
 * Templates of configuration: {{knob.NAME}}, {{secret.NAME}} {{run}} {{data}} {{conf}} {{log}};
 * {{#knob.NAME}} ... {{/knob.NAME}} is there where the knob is true, not empty or not 0, {{^...}}
 * where not, {{#knob.NAME=VALUE}} ... {{/knob.NAME}} where it is that; a tag alone on its line leaves
 * no line.  A knob of text is written as one value of the file's format, with the quotes it needs:
 * the template gives none.  What a format cannot say is refused (plain: anything but letters,
 * digits and ./:@%+,=_- ). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;
struct refusal;

enum {
	DEFINITION_BYTES_MAX = 256 * 1024,
	DEFINITION_NAME_MAX = 64,    /* of services, operations, arguments, knobs, alerts */
	DEFINITION_VALUE_MAX = 1024, /* bytes of one argument or knob */
	DEFINITION_ARGV_MAX = 64,
	DEFINITION_LIST_MAX = 128,	   /* knobs, operations, arguments, alerts, fields, ... */
	DEFINITION_CONFIG_MAX = 64 * 1024, /* bytes of one rendered configuration file */
	DEFINITION_NOTES_MAX = 20,
	DEFINITION_SECRETS_MAX = 8,
	DEFINITION_METRIC_MAX = 128,
	DEFINITION_ALERT_TEXT_MAX = 400,
	DEFINITION_WHERE_MAX = 8, /* of an alert */
	DEFINITION_BY_MAX = 4,
	DEFINITION_INHIBITORS_MAX = 8,
	DEFINITION_LABEL_VALUE_MAX = 128,
};

#define DEFINITION_SECRETS_FOLDER "/run/secrets" /* as the process sees it: one file each */

/* What limits are where a definition names none; a release that asks for more shows it as a power. */
#define DEFINITION_MEMORY_DEFAULT (UINT64_C(1) << 30)
enum { DEFINITION_PROCESSES_DEFAULT = 256, DEFINITION_FILES_DEFAULT = 4096 };

enum definition_heal { DEFINITION_HEAL_EXIT, DEFINITION_HEAL_HEALTH, DEFINITION_HEAL_NEVER };
enum definition_class { DEFINITION_CLASS_SERVICE, DEFINITION_CLASS_CORE };
enum definition_network { DEFINITION_NETWORK_NONE, DEFINITION_NETWORK_LOOPBACK, DEFINITION_NETWORK_HOST };
enum definition_type {
	DEFINITION_INT,
	DEFINITION_SIZE,
	DEFINITION_BOOL,
	DEFINITION_TEXT,
	DEFINITION_SPAN
};
enum definition_apply { /* what a change needs, in order of growing patience */
	DEFINITION_APPLY_RELOAD,
	DEFINITION_APPLY_RESTART,
	DEFINITION_APPLY_NEXT_START,
};
enum definition_probe {
	DEFINITION_PROBE_TCP,
	DEFINITION_PROBE_UNIX,
	DEFINITION_PROBE_HTTP,
	DEFINITION_PROBE_RESP,
	DEFINITION_PROBE_POSTGRES,
	DEFINITION_PROBE_EXEC,
};
enum definition_format {
	DEFINITION_FORMAT_PLAIN,
	DEFINITION_FORMAT_CONF,
	DEFINITION_FORMAT_INI,
	DEFINITION_FORMAT_YAML,
	DEFINITION_FORMAT_JSON,
	DEFINITION_FORMAT_PG,
	DEFINITION_FORMAT_NGINX,
	DEFINITION_FORMAT_NATS,
};
enum definition_hooks {
	DEFINITION_HOOK_SNAPSHOT, /* the old release's, while it runs; writes below {snapshot} */
	DEFINITION_HOOK_CHECK,	  /* the new release's tree on the old data, which it may only read */
	DEFINITION_HOOK_RESTORE,  /* the old release's, while nothing runs; from {snapshot} */
	DEFINITION_HOOK_MAX
};
enum definition_risk { DEFINITION_OBSERVE, DEFINITION_CHANGE, DEFINITION_DESTROY };
enum definition_verb {
	DEFINITION_VERB_NONE, /* an argv operation */
	DEFINITION_VERB_START,
	DEFINITION_VERB_STOP,
	DEFINITION_VERB_RESTART,
	DEFINITION_VERB_RELOAD, /* as "reload" says */
};

/* A typed value that somebody else gives: a knob, or an argument of an operation. */
struct definition_param {
	const char *name;
	const char *help; /* "" where there is none */
	enum definition_type type;
	bool has_min, has_max;
	int64_t min, max;	     /* of the number; of a text its bytes; of a span microseconds */
	int64_t unit;		     /* a size or span is written as so many of these; 1: bytes, us */
	const json_t *allowed;	     /* "enum": array of the values; NULL: any */
	const char *pattern;	     /* of the whole value (definition_pattern.h); NULL: any */
	const json_t *fallback;	     /* "default"; NULL: the value must be given */
	enum definition_apply apply; /* knobs */
};

struct definition_argv {
	const char **item; /* templates; item[n] is NULL */
	size_t n;
};

struct definition_operation {
	const char *name;
	const char *help;
	enum definition_verb verb;
	struct definition_argv argv; /* verb NONE */
	struct definition_param *args;
	size_t n_args;
	enum definition_risk risk;
	uint64_t timeout_us;
	uint64_t memory;		/* bytes */
	uint64_t output;		/* bytes kept of stdout and of stderr */
	const json_t *secrets;		/* array of the names it is given; NULL: none */
	struct definition_argv dry_run; /* n 0: there is none */
	const char *downtime;		/* as the definition says it; NULL: it says nothing */
	const char *undo;		/* an operation's name, or NULL */
	bool for_good;			/* it says that nothing takes it back */
	const json_t *json;		/* as it stands in the definition */
};

struct definition_health {
	bool present;
	enum definition_probe type;
	const char *socket;	     /* template; exactly one of socket and port but for exec */
	const char *port;	     /* template; on loopback */
	const char *path;	     /* http: "/healthz" */
	const char *user, *database; /* postgres; database may be NULL */
	struct definition_argv argv; /* exec */
	const char *expect; /* exec: text that stdout must contain; http: three digits, the status, or
			       text in the first 4 KiB; NULL: exit 0, a status from 200 to 299 */
	const json_t *secrets;	      /* exec: array of names; NULL: none */
	uint64_t period_us, timeout_us;
	uint64_t within_us; /* after a start health must pass at the latest then */
	uint64_t soak_us;  /* after a start health must pass so long without a break */
	unsigned failures; /* in a row until "failing" */
};

struct definition_secret {
	const char *name, *help;
	unsigned bytes;	      /* of randomness; written as hex digits */
	const char *template; /* the file's text around {value}; NULL: the value alone */
};

/* What a release runs on its own account beside exec. */
struct definition_hook {
	bool present;
	struct definition_argv argv;
	uint64_t timeout_us, memory, output;
	const json_t *secrets; /* as in operations */
	const json_t *json;    /* its block */
};

struct definition_prepare {
	bool present;
	struct definition_argv argv;
	const char *creates; /* one name below the data folder */
	uint64_t timeout_us;
	const json_t *json;
};

struct definition_limits {
	uint64_t memory;    /* bytes */
	unsigned cpu_milli; /* thousandths of a core; 0: as the host gives */
	unsigned processes, files;
	int nice; /* 0..19 */
};

struct definition_reload {
	int signal;		     /* 0: none; neither: there is no way to reload */
	struct definition_argv argv; /* n 0: none */
};

struct definition_config {
	const char *path;
	enum definition_format format;
	char *text; /* all lines, each with its newline; owned */
};

struct definition_alert {
	const char *name, *metric;
	const char *operation; /* that is proposed; NULL: none */
	const json_t *json;
};

struct definition {
	const char *name, *version, *user;
	enum definition_class class;
	struct definition_argv exec;
	enum definition_heal heal;
	int stop_signal; /* SIGTERM... */
	uint64_t stop_grace_us;
	struct definition_reload reload;
	struct definition_prepare prepare;
	struct definition_hook hooks[DEFINITION_HOOK_MAX];
	enum definition_network network;
	struct definition_limits limits;
	const json_t *requires_services; /* array of names; NULL: none */
	uint64_t requires_memory, requires_disk;
	struct definition_secret *secrets;
	size_t n_secrets;
	struct definition_config *config;
	size_t n_config;
	struct definition_param *knobs;
	size_t n_knobs;
	struct definition_health health;
	struct definition_alert *alerts;
	size_t n_alerts;
	struct definition_operation *operations;
	size_t n_operations;
	const json_t *payload, *metrics, *logs; /* shapes checked; NULL where absent */
	const json_t *notes;		     /* array of lines; NULL */
	const json_t *data_folders;	     /* array of paths; NULL */
	const char *data_format;	     /* NULL: it names none */
	const json_t *data_accepts;	     /* array of formats; NULL */
	const json_t *json; /* the whole document; owned, everything above borrows from it */
	uint8_t digest[32]; /* SHA-256 of its canonical bytes */
};

/* Parse definition.json strictly.  Returns 0, REASON_MALFORMED, REASON_UNKNOWN_FIELD or
 * REASON_TOO_LARGE (logged, operand is the member: "knobs.maxmemory.min"), or a fault. */
int definition_read(struct definition **ret, const void *p, size_t len);

/* Compile service.yaml.  file is its name for messages, which carry the place
 * ("service.yaml:12:5"); dir_fd is its folder, where config templates are read.
 * definition_write() then gives definition.json. */
int definition_compile(
	struct definition **ret, const void *p, size_t len, const char *file, int dir_fd);

/* The same, going on after a refusal: fn hears each one, in order of reading, and is called from
 * within.  *ret only where there was none; else the first refusal comes back. */
typedef void definition_fault_fn(const struct refusal *why, void *arg);
int definition_compile_all(struct definition **ret, const void *p, size_t len, const char *file,
	int dir_fd, definition_fault_fn *fn, void *arg);

/* The customer's own rules: a YAML mapping with the one member rules, a list of alerts as above, each with service
 * beside it, the name of a service or "host".  *ret is that list, a new array.  Returns as definition_read() does,
 * with the place ("rules.yaml:12:5"). */
int definition_compile_alerts(json_t **ret, const void *p, size_t len, const char *file);

struct definition *definition_free(struct definition *d);
SCOPED_DESTRUCTOR(struct definition, definition_free)

/* Append the canonical bytes. */
int definition_write(const struct definition *d, struct buf *out);

/* By name; NULL where there is none. */
const struct definition_operation *definition_operation(
	const struct definition *d, const char *name);
const struct definition_secret *definition_secret(const struct definition *d, const char *name);
const struct definition_param *definition_knob(const struct definition *d, const char *name);
/* The same, refusing with REASON_UNKNOWN_FIELD (logged, naming the nearest knob) where there is none. */
int definition_need_knob(
	const struct definition *d, const char *name, const struct definition_param **ret);

/* "observe", "restart", ...; never NULL. */
const char *definition_risk_text(enum definition_risk risk);
const char *definition_verb_text(enum definition_verb verb); /* "" for NONE */

const char *definition_hook_text(enum definition_hooks hook);	     /* "snapshot" */
const char *definition_network_text(enum definition_network network); /* "none" */

/* What this release may do beyond running its exec in the standard sandbox: a new array of texts,
 * sorted, each once: "hook.snapshot=sha256:HEX", "limit.memory=2147483648", "network=host",
 * "prepare=sha256:HEX", "require.memory=...", "secret.NAME".  Returns 0 or a fault. */
int definition_powers(const struct definition *d, json_t **ret);
/* May somebody who accepted these texts (array) let this power be?  Exactly the text, or a number or
 * a network that is no more than an accepted one. */
bool definition_power_within(const char *power, const json_t *accepted);

/* Can this release go on with data of the older one (REASON_CONFLICT, logged, where not), and is there
 * no way back for the data once it has run (*ret_one_way)? */
int definition_data_step(
	const struct definition *from, const struct definition *to, bool *ret_one_way);

/* The digest of an operation's rights block, to which the customer's acceptance is keyed: the
 * service's name and all of the operation but its help texts. */
int definition_rights_digest(
	const struct definition *d, const struct definition_operation *op, uint8_t ret[32]);

/* Check the arguments of a request (an object; NULL: none) and fill in defaults.  *ret is a new
 * object of checked values.  Returns 0; REASON_UNKNOWN_FIELD for an argument the operation does
 * not have; REASON_MALFORMED for one that is missing, of another type, out of bounds, not in the
 * enum, not matching the pattern, or beginning with "-" where a program would take it for an option (logged;
 * operand is the argument's name); or a fault. */
int definition_check_args(const struct definition_operation *op, const json_t *args, json_t **ret);

/* The same for knobs: given over defaults.  Unknown knobs: REASON_UNKNOWN_FIELD. */
int definition_check_knobs(const struct definition *d, const json_t *given, json_t **ret);

/* One value as a person typed it (KNOB=V, ARG=V): typed and checked. */
int definition_parse_value(const struct definition_param *param, const char *text, json_t **ret);

/* What templates may name.  args and knobs are objects that the checks above returned; either
 * may be NULL. */
struct definition_values {
	const json_t *args, *knobs;
	const char *run, *data, *conf, *log; /* as the process sees them */
	const char *prepare, *snapshot;	     /* NULL where they mean nothing */
	const struct definition *of;	     /* whose knobs' units are used; NULL: bytes, spans as text */
};

/* Expand a template, or a whole argv (NULL-terminated; free with definition_argv_free()).  An
 * unknown name is REASON_MALFORMED (logged): definition_read() already refuses those that can
 * never be known. */
int definition_expand(const char *template, const struct definition_values *v, char **ret);
int definition_expand_argv(
	const struct definition_argv *argv, const struct definition_values *v, char ***ret);
char **definition_argv_free(char **argv);
SCOPED_DESTRUCTOR(char *, definition_argv_free)

/* Append a configuration file with its values put in: see above.  Without v->of: -EINVAL.
 * Returns 0; REASON_MALFORMED (logged) where a value is missing or cannot be written in the file's
 * format; REASON_TOO_LARGE (logged); or a fault. */
int definition_render(
	const struct definition_config *config, const struct definition_values *v, struct buf *out);
