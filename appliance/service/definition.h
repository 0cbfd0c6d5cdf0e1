/* A service's definition: what it runs, how it is judged, what may be asked of it.
 *
 * People write service.yaml; the release compiles it (definition_compile) into definition.json,
 * the only form a site reads (definition_read).  Shapes, in both forms (span: "10s"; size:
 * "64mb" in YAML, bytes in JSON):
 *
 *	name, version  text [a-z0-9.+~-]
 *	payload     {programs: [/usr/bin/X...], packages: [{name, include: [PATTERN...],
 *	            exclude}], files: [{from | lines: [...], to, mode}], tree: FOLDER};
 *	            only release build reads it
 *	exec        [argv template...]; the first is an absolute path in the tree
 *	user        "service": the service's own unprivileged user
 *	heal        exit | health | never: what makes the service be started again
 *	config      [{path, template: FILE}] in YAML, [{path, lines: [...]}] in JSON, for
 *	            canonical JSON has no newlines in texts; below the conf folder
 *	knobs       {NAME: {type: int|size|bool|text, min, max, enum, pattern, default,
 *	            apply: restart|next-start, help}}
 *	health      {type: resp|exec, socket, argv, expect, period, timeout, failures}
 *	metrics     [{source: redis, socket, fields: [INFO field...]}] gives redis_FIELD and redis_up
 *	logs        [{name, file}]; without file: what the service writes to stdout and stderr
 *	alerts      [{name, metric, op: below|above, value, for,
 *	            severity: critical|warning|info, text}]
 *	operations  {NAME: {argv | verb: start|stop|restart, risk: observe|change|destroy,
 *	            args: {NAME: {type, min, max, enum, pattern, default, help}},
 *	            timeout, memory, output, dry_run: [argv...], undo: OPERATION, help}}
 *	data        [folder...] below the data folder, there before the first start
 *
 * Templates: {arg} an argument of the operation, {knob.NAME} a knob's value, {run} {data} {conf}
 * {log} folders as the process sees them, "{{" a brace.  In config texts: {{knob.NAME}} {{run}}
 * {{data}} {{conf}} {{log}}.  A value never holds control characters or newlines and is never
 * split: one template is one argument. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

enum {
	DEFINITION_BYTES_MAX = 256 * 1024,
	DEFINITION_NAME_MAX = 64,    /* of services, operations, arguments, knobs, alerts */
	DEFINITION_VALUE_MAX = 1024, /* bytes of one argument or knob */
	DEFINITION_ARGV_MAX = 64,
	DEFINITION_LIST_MAX = 128,	   /* knobs, operations, arguments, alerts, fields, ... */
	DEFINITION_CONFIG_MAX = 64 * 1024, /* bytes of one rendered configuration file */
};

enum definition_heal { DEFINITION_HEAL_EXIT, DEFINITION_HEAL_HEALTH, DEFINITION_HEAL_NEVER };
enum definition_type { DEFINITION_INT, DEFINITION_SIZE, DEFINITION_BOOL, DEFINITION_TEXT };
enum definition_apply { DEFINITION_APPLY_RESTART, DEFINITION_APPLY_NEXT_START };
enum definition_probe { DEFINITION_PROBE_RESP, DEFINITION_PROBE_EXEC };
enum definition_op { DEFINITION_BELOW, DEFINITION_ABOVE };
enum definition_risk { DEFINITION_OBSERVE, DEFINITION_CHANGE, DEFINITION_DESTROY };
enum definition_verb {
	DEFINITION_VERB_NONE, /* an argv operation */
	DEFINITION_VERB_START,
	DEFINITION_VERB_STOP,
	DEFINITION_VERB_RESTART,
};

/* A typed value that somebody else gives: a knob, or an argument of an operation. */
struct definition_param {
	const char *name;
	const char *help; /* "" where there is none */
	enum definition_type type;
	bool has_min, has_max;
	int64_t min, max;	     /* of the number; of a text: its length in bytes */
	const json_t *allowed;	     /* "enum": array of the values; NULL: any */
	const char *pattern;	     /* POSIX extended, whole value, without {}; NULL: any */
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
	struct definition_argv dry_run; /* n 0: there is none */
	const char *undo;		/* an operation's name, or NULL */
	const json_t *json;		/* as it stands in the definition */
};

struct definition_health {
	bool present;
	enum definition_probe type;
	const char *socket;	     /* resp: template */
	struct definition_argv argv; /* exec */
	const char *expect; /* exec: text that stdout must contain; NULL: exit 0 suffices */
	uint64_t period_us, timeout_us;
	unsigned failures; /* in a row until "failing" */
};

struct definition_config {
	const char *path;
	char *text; /* all lines, each with its newline; owned */
};

struct definition_alert {
	const char *name, *metric;
	enum definition_op op;
	int64_t value;
	uint64_t for_us;
	const char *severity, *text;
};

struct definition {
	const char *name, *version, *user;
	struct definition_argv exec;
	enum definition_heal heal;
	struct definition_config *config;
	size_t n_config;
	struct definition_param *knobs;
	size_t n_knobs;
	struct definition_health health;
	struct definition_alert *alerts;
	size_t n_alerts;
	struct definition_operation *operations;
	size_t n_operations;
	const json_t *payload, *metrics, *logs, *data; /* shapes checked; NULL where absent */
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

struct definition *definition_free(struct definition *d);
SCOPED_DESTRUCTOR(struct definition, definition_free)

/* Append the canonical bytes. */
int definition_write(const struct definition *d, struct buf *out);

/* By name; NULL where there is none. */
const struct definition_operation *definition_operation(
	const struct definition *d, const char *name);
const struct definition_param *definition_knob(const struct definition *d, const char *name);
/* The same, refusing with REASON_UNKNOWN_FIELD (logged, naming the nearest knob) where there is none. */
int definition_need_knob(
	const struct definition *d, const char *name, const struct definition_param **ret);

/* "observe", "restart", ...; never NULL. */
const char *definition_risk_text(enum definition_risk risk);
const char *definition_verb_text(enum definition_verb verb); /* "" for NONE */

/* The digest of an operation's rights block, to which the customer's acceptance is keyed: the
 * service's name and all of the operation but its help texts. */
int definition_rights_digest(
	const struct definition *d, const struct definition_operation *op, uint8_t ret[32]);

/* Check the arguments of a request (an object; NULL: none) and fill in defaults.  *ret is a new
 * object of checked values.  Returns 0; REASON_UNKNOWN_FIELD for an argument the operation does
 * not have; REASON_MALFORMED for one that is missing, of another type, out of bounds, not in the
 * enum or not matching the pattern (logged; operand is the argument's name); or a fault. */
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
};

/* Expand a template, or a whole argv (NULL-terminated; free with definition_argv_free()).  An
 * unknown name is REASON_MALFORMED (logged): definition_read() already refuses those that can
 * never be known. */
int definition_expand(const char *template, const struct definition_values *v, char **ret);
int definition_expand_argv(
	const struct definition_argv *argv, const struct definition_values *v, char ***ret);
char **definition_argv_free(char **argv);
SCOPED_DESTRUCTOR(char *, definition_argv_free)

/* Append a configuration file with its values put in. */
int definition_render(
	const struct definition_config *config, const struct definition_values *v, struct buf *out);
