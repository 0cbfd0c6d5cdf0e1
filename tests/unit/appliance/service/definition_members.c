/* What a definition may say beside its operations: each member read, and each refused with its place. */
#include "appliance/service/definition.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "tests/fakes/scratch.h"

#define HEAD "name: demo\nversion: \"1\"\nexec: [/bin/x]\n"

static const char whole[] =
	"name: demo\n"
	"version: \"2\"\n"
	"class: core\n"
	"notes: [faster, \"two lines\"]\n"
	"exec: [/bin/x, \"{secret.word}\", \"{knob.wait}\", \"{knob.room}\"]\n"
	"stop: {signal: INT, grace: 30s}\n"
	"reload: {argv: [/bin/ctl, reload]}\n"
	"prepare: {argv: [/bin/init, \"{prepare}\"], creates: base, timeout: 2m}\n"
	"network: host\n"
	"limits: {memory: 2gb, cpu: \"1.5\", processes: 300, files: 5000, nice: 5}\n"
	"requires: {services: [etcd, redis], memory: 1gb, disk: 10gb}\n"
	"knobs:\n"
	"  wait: {type: span, min: 1s, max: 1h, default: 60s}\n"
	"  level: {type: int, default: 1, apply: reload}\n"
	"  room: {type: size, default: 64mb, unit: mb}\n"
	"secrets:\n"
	"  word: {bytes: 48, template: \"pass {value}\", help: clients}\n"
	"  eye: {bytes: 16}\n"
	"health: {type: http, port: \"8080\", path: /healthz, expect: \"204\", within: 5m, soak: 20s}\n"
	"hooks:\n"
	"  snapshot: {argv: [/bin/dump, \"{snapshot}\", \"{secret.word}\"], secrets: [word], memory: 128mb}\n"
	"  check: {argv: [/bin/check]}\n"
	"metrics:\n"
	"  - {source: postgres, socket: \"{run}/s\", user: watch, database: d, secret: eye}\n"
	"  - {source: prometheus, port: \"9000\", path: /metrics, fields: [a], period: 60s, timeout: 10s, fallback: text}\n"
	"operations:\n"
	"  dump: {argv: [/bin/x, \"{secret.word}\"], risk: change, secrets: [word]}\n"
	"  take-up: {verb: reload, risk: change}\n"
	"data: {folders: [db], format: v2, accepts: [v1]}\n";

struct fixture {
	struct scratch s;
	struct definition *d;
};

static int
begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->s);
	assert_int_equal(
		definition_compile(&f->d, whole, sizeof(whole) - 1, "service.yaml", f->s.fd), 0);
	*state = f;
	return 0;
}

static int
end(void **state)
{
	struct fixture *f = *state;

	definition_free(f->d);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

static struct definition *
compile(const struct fixture *f, const char *text)
{
	struct definition *d = NULL;

	assert_int_equal(definition_compile(&d, text, strlen(text), "service.yaml", f->s.fd), 0);
	return d;
}

static void
is_whole(const struct definition *d)
{
	assert_int_equal(d->class, DEFINITION_CLASS_CORE);
	assert_int_equal(json_array_size(d->notes), 2);
	assert_int_equal(d->stop_signal, SIGINT);
	assert_int_equal(d->stop_grace_us, 30 * CLOCK_US_PER_S);
	assert_int_equal(d->reload.signal, 0);
	assert_string_equal(d->reload.argv.item[1], "reload");
	assert_string_equal(d->prepare.creates, "base");
	assert_int_equal(d->prepare.timeout_us, 120 * CLOCK_US_PER_S);
	assert_int_equal(d->network, DEFINITION_NETWORK_HOST);
	assert_int_equal(d->limits.memory, UINT64_C(2) << 30);
	assert_int_equal(d->limits.cpu_milli, 1500);
	assert_int_equal(d->limits.processes, 300);
	assert_int_equal(d->limits.files, 5000);
	assert_int_equal(d->limits.nice, 5);
	assert_int_equal(json_array_size(d->requires_services), 2);
	assert_int_equal(d->requires_memory, 1 << 30);
	assert_int_equal(d->requires_disk, UINT64_C(10) << 30);
	assert_int_equal(definition_knob(d, "level")->apply, DEFINITION_APPLY_RELOAD);
	assert_int_equal(definition_knob(d, "wait")->max, 3600 * (int64_t)CLOCK_US_PER_S);
	assert_string_equal(json_string_value(definition_knob(d, "wait")->fallback), "1m");
	assert_int_equal(definition_knob(d, "room")->unit, 1 << 20);
	assert_int_equal(definition_secret(d, "word")->bytes, 48);
	assert_null(definition_secret(d, "none"));
	assert_int_equal(d->health.type, DEFINITION_PROBE_HTTP);
	assert_string_equal(d->health.port, "8080");
	assert_string_equal(d->health.path, "/healthz");
	assert_int_equal(d->health.within_us, 300 * CLOCK_US_PER_S);
	assert_int_equal(d->health.soak_us, 20 * CLOCK_US_PER_S);
	assert_true(d->hooks[DEFINITION_HOOK_SNAPSHOT].present);
	assert_int_equal(d->hooks[DEFINITION_HOOK_SNAPSHOT].memory, 128 << 20);
	assert_int_equal(json_array_size(d->hooks[DEFINITION_HOOK_SNAPSHOT].secrets), 1);
	assert_true(d->hooks[DEFINITION_HOOK_CHECK].present);
	assert_false(d->hooks[DEFINITION_HOOK_RESTORE].present);
	assert_int_equal(json_array_size(definition_operation(d, "dump")->secrets), 1);
	assert_int_equal(definition_operation(d, "take-up")->verb, DEFINITION_VERB_RELOAD);
	assert_string_equal(definition_verb_text(DEFINITION_VERB_RELOAD), "reload");
	assert_int_equal(json_array_size(d->data_folders), 1);
	assert_string_equal(d->data_format, "v2");
	assert_int_equal(json_array_size(d->data_accepts), 1);
}

static void
all_of_it_is_read_in_both_forms(void **state)
{
	const struct fixture *f = *state;
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(65536);

	is_whole(f->d);
	assert_int_equal(definition_write(f->d, &b), 0);
	assert_int_equal(definition_read(&d, b.data, b.len), 0);
	is_whole(d);
	assert_memory_equal(d->digest, f->d->digest, 32);
}

static void
what_is_not_said_has_a_default(void **state)
{
	SCOPED(definition_freep) struct definition *d = compile(*state, HEAD "health: {type: unix, socket: x}\n");

	assert_int_equal(d->class, DEFINITION_CLASS_SERVICE);
	assert_int_equal(d->network, DEFINITION_NETWORK_NONE);
	assert_int_equal(d->stop_signal, SIGTERM);
	assert_int_equal(d->limits.memory, DEFINITION_MEMORY_DEFAULT);
	assert_int_equal(d->limits.processes, DEFINITION_PROCESSES_DEFAULT);
	assert_int_equal(d->limits.files, DEFINITION_FILES_DEFAULT);
	assert_int_equal(d->limits.cpu_milli, 0);
	assert_int_equal(d->health.within_us, 60 * CLOCK_US_PER_S);
	assert_int_equal(d->health.soak_us, 10 * CLOCK_US_PER_S);
	assert_false(d->prepare.present);
}

/* What a request gives is a value, also for a program that takes options where it stands. */
static void
an_argument_is_no_option(void **state)
{
	static const struct {
		const char *name, *argv, *arg, *value;
		bool refused;
	} rows[] = {
		{ "an option alone", "\"{a}\"", "type: text", "-rf", true },
		{ "an option's beginning", "\"{a}.txt\"", "type: text", "--help", true },
		{ "a value", "\"{a}\"", "type: text", "rf-", false },
		{ "behind --", "--, \"{a}\"", "type: text", "-rf", false },
		{ "before --", "\"{a}\", --", "type: text", "-rf", true },
		{ "within an argument", "\"key={a}\"", "type: text", "-rf", false },
		{ "another argument stands there", "\"{ab}\", \"key={a}\"", "type: text", "-rf", false },
		{ "one that the definition names", "\"{a}\"", "type: text, enum: [-l, -a]", "-l", false },
		{ "its default", "\"{a}\"", "type: text, default: -l", "-l", false },
		{ "not its default", "\"{a}\"", "type: text, default: -l", "-x", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(definition_freep) struct definition *d = NULL;
		SCOPED_JSON *args = json_pack("{s:s, s:s}", "a", rows[i].value, "ab", "x"), *all = NULL;
		uint64_t before = refuse_count(REASON_MALFORMED);
		char text[512];
		int r;

		(void)snprintf(text, sizeof(text),
			HEAD "operations: {o: {argv: [/bin/x, %s], risk: change, args: {a: {%s}, ab: {type: text}}}}\n",
			rows[i].argv, rows[i].arg);
		d = compile(*state, text);
		r = definition_check_args(&d->operations[0], args, &all);
		if (r != (rows[i].refused ? REASON_MALFORMED : 0))
			fail_msg("%s: %d", rows[i].name, r);
		if (rows[i].refused) {
			assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
			assert_non_null(strstr(refuse_last()->text, "take it for an option"));
			assert_string_equal(refuse_last()->operand, "a");
			assert_null(all);
		}
	}
}

static void
a_dry_run_has_no_options_either(void **state)
{
	SCOPED(definition_freep) struct definition *d = compile(*state,
		HEAD "operations: {o: {argv: [/bin/x, --, \"{a}\"], dry_run: [/bin/x, \"{a}\"], risk: change, "
		     "args: {a: {type: text}}}}\n");
	SCOPED_JSON *args = json_pack("{s:s}", "a", "-x"), *all = NULL;

	assert_int_equal(definition_check_args(&d->operations[0], args, &all), REASON_MALFORMED);
}

static void
templates_of_arguments(void **state)
{
	const struct fixture *f = *state;
	struct definition_values v = { .of = f->d, .prepare = "/data/.prepare.base" };
	SCOPED(definition_argv_freep) char **exec = NULL, **prepare = NULL;
	SCOPED_JSON *knobs = NULL;

	assert_int_equal(definition_check_knobs(f->d, NULL, &knobs), 0);
	v.knobs = knobs;
	assert_int_equal(definition_expand_argv(&f->d->exec, &v, &exec), 0);
	assert_string_equal(exec[1], "/run/secrets/word"); /* never the value */
	assert_string_equal(exec[2], "60");
	assert_string_equal(exec[3], "64");
	assert_int_equal(definition_expand_argv(&f->d->prepare.argv, &v, &prepare), 0);
	assert_string_equal(prepare[1], "/data/.prepare.base");
}

/* --- refused ------------------------------------------------------------------------------------- */
#define KNOB(text) HEAD "knobs:\n  a: {" text "}\n"
#define HEALTH(text) HEAD "health: {" text "}\n"

static const struct {
	const char *name, *text, *operand, *why;
	enum reason reason;
} bad[] = {
	{ "a class", HEAD "class: kernel\n", "class", "one of service, core", 0 },
	{ "a note that is no text", HEAD "notes: [1]\n", "notes.0", "must be text", 0 },
	{ "notes of 21 lines", HEAD "notes: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]\n", "notes", "at most 20", 0 },
	{ "a signal to stop", HEAD "stop: {signal: KILL}\n", "stop.signal", "one of TERM, INT, QUIT", 0 },
	{ "an unknown key of stop", HEAD "stop: {signals: INT}\n", "stop.signals", "did you mean \"signal\"?",
		REASON_UNKNOWN_FIELD },
	{ "stop that is no mapping", HEAD "stop: [INT]\n", "stop", "must be a mapping", 0 },
	{ "no grace", HEAD "stop: {grace: 0s}\n", "stop.grace", "must be a time", 0 },
	{ "no way to reload", HEAD "reload: {}\n", "reload", "signal, argv, or both", 0 },
	{ "a program to reload that is no list", HEAD "reload: {signal: HUP, argv: /x}\n", "reload.argv", "must be a list", 0 },
	{ "a signal to reload", HEAD "reload: {signal: KILL}\n", "reload.signal", "one of HUP", 0 },
	{ "a knob that needs a reload there is no way to", KNOB("type: int, default: 1, apply: reload"),
		"knobs.a.apply", "does not say how to reload", 0 },
	{ "a reload of what exec names", "name: demo\nversion: \"1\"\nexec: [/x, \"-p{knob.a}\"]\nreload: {signal: HUP}\n"
		"knobs: {a: {type: int, default: 1, apply: reload}}\n", "knobs.a.apply", "exec names the knob", 0 },
	{ "prepare without what it makes", HEAD "prepare: {argv: [/x]}\n", "prepare.creates", "is missing", 0 },
	{ "prepare that makes something elsewhere", HEAD "prepare: {argv: [/x], creates: ../y}\n",
		"prepare.creates", "one name", 0 },
	{ "{prepare} where nothing prepares", HEAD "operations: {o: {argv: [/x, \"{prepare}\"], risk: change}}\n",
		"operations.o.argv.1", "no knob, argument or folder", 0 },
	{ "a hook that is none", HEAD "hooks: {before: {argv: [/x]}}\n", "hooks.before", "unknown key",
		REASON_UNKNOWN_FIELD },
	{ "a hook without a program", HEAD "hooks: {check: {timeout: 1s}}\n", "hooks.check.argv", "must be a list", 0 },
	{ "{snapshot} in the check", HEAD "hooks: {check: {argv: [/x, \"{snapshot}\"]}}\n", "hooks.check.argv.1",
		"names \"snapshot\"", 0 },
	{ "a network", HEAD "network: lan\n", "network", "one of none, loopback, host", 0 },
	{ "too little memory", HEAD "limits: {memory: 1kb}\n", "limits.memory", "at least 1mb", 0 },
	{ "half a core in words", HEAD "limits: {cpu: half}\n", "limits.cpu", "must be cores", 0 },
	{ "no core", HEAD "limits: {cpu: 0}\n", "limits.cpu", "must be cores", 0 },
	{ "a list of cores", HEAD "limits: {cpu: [1]}\n", "limits.cpu", "must be cores", 0 },
	{ "part of a percent", HEAD "limits: {cpu: \"1.5%\"}\n", "limits.cpu", "must be cores", 0 },
	{ "four places", HEAD "limits: {cpu: \"1.0005\"}\n", "limits.cpu", "must be cores", 0 },
	{ "no place behind the point", HEAD "limits: {cpu: \"1.\"}\n", "limits.cpu", "must be cores", 0 },
	{ "too many cores", HEAD "limits: {cpu: \"2000\"}\n", "limits.cpu", "must be cores", 0 },
	{ "no process", HEAD "limits: {processes: 0}\n", "limits.processes", "whole number", 0 },
	{ "few files", HEAD "limits: {files: 3}\n", "limits.files", "whole number", 0 },
	{ "more than others' share", HEAD "limits: {nice: -5}\n", "limits.nice", "from 0 to 19", 0 },
	{ "a service's name with a slash", HEAD "requires: {services: [a/b]}\n", "requires.services.0",
		"no service's name", 0 },
	{ "itself", HEAD "requires: {services: [demo]}\n", "requires.services.0", "none requires itself", 0 },
	{ "a size of nothing", KNOB("type: size, default: 1mb, unit: tb"), "knobs.a.unit", "one of b, kb", 0 },
	{ "a default that is no whole unit", KNOB("type: size, default: 1000000, unit: mb"), "knobs.a.default",
		"multiple of 1048576", 0 },
	{ "a span of no whole unit", KNOB("type: span, default: 1500ms"), "knobs.a.default", "multiple of 1s", 0 },
	{ "a span that is none", KNOB("type: span, default: soon"), "knobs.a.default", "must be a time", 0 },
	{ "a number for a span", KNOB("type: span, default: 5"), "knobs.a.default", "must be a time", 0 },
	{ "a size out of bounds", KNOB("type: size, min: 1mb, max: 1gb, default: 3gb"), "knobs.a.default",
		"3gb is not from 1mb to 1gb", 0 },
	{ "a size in bytes out of bounds", KNOB("type: size, max: 1537kb, default: 2097152"), "knobs.a.default",
		"2mb is not from 0 to 1537kb", 0 },
	{ "a span out of bounds", KNOB("type: span, min: 2s, max: 4s, default: 5s"), "knobs.a.default",
		"5s is not from 2s to 4s", 0 },
	{ "a unit of a number", KNOB("type: int, default: 1, unit: s"), "knobs.a.unit", "only a size or a span", 0 },
	{ "bounds the wrong way round", KNOB("type: int, min: 3, max: 2, default: 3"), "knobs.a", "min is above max", 0 },
	{ "a pattern of a number", KNOB("type: int, default: 1, pattern: a"), "knobs.a.pattern", "only text", 0 },
	{ "a secret's name", HEAD "secrets: {../x: {}}\n", "secrets.../x", "a name must have letters", 0 },
	{ "a secret too short", HEAD "secrets: {a: {bytes: 8}}\n", "secrets.a.bytes", "16 to 64", 0 },
	{ "a secret's file without it", HEAD "secrets: {a: {template: x}}\n", "secrets.a.template", "{value} once", 0 },
	{ "a secret's file with it twice", HEAD "secrets: {a: {template: \"{value}{value}\"}}\n",
		"secrets.a.template", "{value} once", 0 },
	{ "nine secrets", HEAD "secrets: {a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}, i: {}}\n",
		"secrets", "at most 8", 0 },
	{ "a secret that an operation was not given", HEAD "secrets: {a: {}}\noperations: {o: {argv: [/x, \"{secret.a}\"], "
		"risk: change}}\n", "operations.o.argv.1", "no secret that is given", 0 },
	{ "a verb for which there is no way", HEAD "operations: {o: {verb: reload, risk: change}}\n",
		"operations.o.verb", "does not say how to reload", 0 },
	{ "a secret given twice", HEAD "secrets: {a: {}}\noperations: {o: {argv: [/x], risk: change, secrets: [a, a]}}\n",
		"operations.o.secrets.1", "a stands twice", 0 },
	{ "a secret for what only observes", HEAD "secrets: {a: {}}\noperations: {o: {argv: [/x], risk: observe, secrets: [a]}}\n",
		"operations.o.secrets", "its risk must be change or destroy", 0 },
	{ "a secret for a verb", HEAD "secrets: {a: {}}\noperations: {o: {verb: stop, risk: change, secrets: [a]}}\n",
		"operations.o.secrets", "a verb runs nothing", 0 },
	{ "a secret there is none of", HEAD "operations: {o: {argv: [/x], risk: change, secrets: [a]}}\n",
		"operations.o.secrets.0", "there is no secret a", 0 },
	{ "a secret as socket", HEAD "secrets: {a: {}}\nhealth: {type: unix, socket: \"{secret.a}\"}\n", "health.socket",
		"no secret that is given", 0 },
	{ "health without a kind", HEALTH("socket: x"), "health.type", "is missing", 0 },
	{ "tcp without a port", HEALTH("type: tcp"), "health.port", "is missing", 0 },
	{ "tcp over a socket", HEALTH("type: tcp, socket: x, port: \"1\""), "health.socket", "means nothing", 0 },
	{ "http over both", HEALTH("type: http, socket: x, port: \"1\""), "health.port", "not both", 0 },
	{ "http over neither", HEALTH("type: http"), "health.socket", "is missing", 0 },
	{ "http with a program", HEALTH("type: http, port: \"1\", argv: [/x]"), "health.argv", "means nothing", 0 },
	{ "a path that is a line", HEALTH("type: http, socket: x, path: \"/a HTTP/1.0\""), "health.path",
		"a path like", 0 },
	{ "a relative path", HEALTH("type: http, socket: x, path: a"), "health.path", "a path like", 0 },
	{ "postgres without a user", HEALTH("type: postgres, socket: x"), "health.user", "is missing", 0 },
	{ "resp with what to expect", HEALTH("type: resp, socket: x, expect: PONG"), "health.expect", "means nothing", 0 },
	{ "a source of metrics", HEAD "metrics: [{source: mysql, socket: x}]\n", "metrics.0.source", "one of redis", 0 },
	{ "metrics of nowhere", HEAD "metrics: [{source: nats}]\n", "metrics.0.socket", "is missing", 0 },
	{ "metrics of both", HEAD "metrics: [{source: nats, socket: x, port: \"1\"}]\n", "metrics.0.port", "not both", 0 },
	{ "redis with a path", HEAD "metrics: [{source: redis, socket: x, path: /a}]\n", "metrics.0.path",
		"means nothing for redis", 0 },
	{ "nginx with a user", HEAD "metrics: [{source: nginx, socket: x, user: a}]\n", "metrics.0.user",
		"means nothing for nginx", 0 },
	{ "nginx with a database", HEAD "metrics: [{source: nginx, socket: x, database: a}]\n", "metrics.0.database",
		"means nothing for nginx", 0 },
	{ "nats with a period", HEAD "metrics: [{source: nats, socket: x, period: 60s}]\n", "metrics.0.period",
		"means nothing for nats", 0 },
	{ "redis with a fallback", HEAD "metrics: [{source: redis, socket: x, fallback: text}]\n", "metrics.0.fallback",
		"means nothing for redis", 0 },
	{ "an exporter of another format", HEAD "metrics: [{source: prometheus, socket: x, fallback: json}]\n",
		"metrics.0.fallback", "one of text", 0 },
	{ "redis with a timeout", HEAD "metrics: [{source: redis, socket: x, timeout: 1s}]\n", "metrics.0.timeout",
		"means nothing for redis", 0 },
	{ "an exporter with a day's period", HEAD "metrics: [{source: prometheus, socket: x, period: 1d}]\n",
		"metrics.0.period", "at most 3600 s", 0 },
	{ "nginx with half a path", HEAD "metrics: [{source: nginx, socket: x, path: a}]\n", "metrics.0.path",
		"a path like", 0 },
	{ "postgres' metrics without a password", HEAD "metrics: [{source: postgres, socket: x, user: a}]\n",
		"metrics.0.secret", "is missing", 0 },
	{ "postgres' metrics by a secret that is none", HEAD "metrics: [{source: postgres, socket: x, user: a, secret: b}]\n",
		"metrics.0.secret", "is none of the secrets", 0 },
	{ "postgres' metrics by a secret with text around it",
		HEAD "secrets: {b: {bytes: 16, template: \"x {value}\"}}\n"
		     "metrics: [{source: postgres, socket: x, user: a, secret: b}]\n",
		"metrics.0.secret", "has a template", 0 },
	{ "redis' metrics with a secret",
		HEAD "secrets: {b: {bytes: 16}}\nmetrics: [{source: redis, socket: x, secret: b}]\n",
		"metrics.0.secret", "means nothing", 0 },
	{ "postgres' metrics as nobody", HEAD "metrics: [{source: postgres, socket: x, secret: a}]\n", "metrics.0.user",
		"is missing", 0 },
	{ "help that clears the screen", KNOB("type: int, default: 1, help: \"\\e[2J\""), "knobs.a.help", "control character",
		0 },
	{ "help that runs backwards", KNOB("type: int, default: 1, help: \"a\\u202Eb\""), "knobs.a.help", "hide or turn",
		0 },
	{ "a note with a C1 control", HEAD "notes: [\"a\\x9b2J\"]\n", "notes.0", "control character", 0 },
	{ "a value that hides a mark", KNOB("type: text, enum: [\"a\\u200Bb\", a], default: a"), "knobs.a.enum.0",
		"hide or turn", 0 },
	{ "a log whose lines have a form that nobody knows", HEAD "logs: [{name: a, format: xml}]\n",
		"logs.0.format", "plain", 0 },
	{ "a log whose name would not do in a field's", HEAD "logs: [{name: a.b}]\n", "logs.0", "no name", 0 },
	{ "an alert's text that turns", HEAD "alerts: [{name: a, metric: b, op: above, value: 1, for: 1s, text: \"\\u2066x\"}]\n",
		"alerts.0.text", "hide or turn", 0 },
	{ "an operation that turns", HEAD "operations: {o: {argv: [/x, \"\\u202Ecod.x\"], risk: change}}\n", "operations.o.argv.1",
		"hide or turn", 0 },
	{ "a configuration file twice", HEAD "config: [{path: a, template: t}, {path: a, template: t}]\n", "config.1",
		"cannot be beside a", 0 },
	{ "a configuration file in another", HEAD "config: [{path: a/b, template: t}, {path: a, template: t}]\n", "config.1",
		"cannot be beside a/b", 0 },
	{ "a configuration file that another is in", HEAD "config: [{path: a, template: t}, {path: a/b, template: t}]\n", "config.1",
		"cannot be beside a", 0 },
	{ "a pattern that would match all", KNOB("type: text, default: a, pattern: \"a)|(.*\""), "knobs.a.pattern",
		"closes nothing", 0 },
	{ "a port where it has no network", HEALTH("type: http, port: \"22\""), "health.port",
		"would be another's", 0 },
	{ "numbers from a port where it has no network",
		HEAD "metrics: [{source: prometheus, port: \"22\", path: /x}]\n", "metrics.0.port",
		"would be another's", 0 },
	{ "another's socket for health", HEALTH("type: unix, socket: /run/mainstay/control.sock"), "health.socket",
		"only its own sockets", 0 },
	{ "a socket in another's folder", HEALTH("type: unix, socket: \"{run}/../nginx/nginx.sock\""),
		"health.socket", "only its own sockets", 0 },
	{ "a socket one above", HEALTH("type: unix, socket: \"{run}/..\""), "health.socket", "only its own sockets", 0 },
	{ "no socket at all", HEALTH("type: unix, socket: \"{run}/\""), "health.socket", "only its own sockets", 0 },
	{ "numbers from another's socket", HEAD "metrics: [{source: redis, socket: \"{data}/s\"}]\n",
		"metrics.0.socket", "only its own sockets", 0 },
	{ "data in a folder above", HEAD "data: {folders: [../x]}\n", "data.folders.0", "below the data folder", 0 },
	{ "a format with blanks", HEAD "data: {format: a b}\n", "data.format", "small letters", 0 },
	{ "what is accepted by no format", HEAD "data: {accepts: [a]}\n", "data.accepts", "needs a format", 0 },
	{ "an accepted format that is none", HEAD "data: {format: a, accepts: [B]}\n", "data.accepts.0",
		"no format's name", 0 },
	{ "a format of configuration", HEAD "config: [{path: a, template: t, format: toml}]\n", "config.0.format",
		"one of plain", 0 },
};

static void
refusals_name_member_and_place(void **state)
{
	const struct fixture *f = *state;

	scratch_write(&f->s, "t", "x\n", 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		enum reason reason = bad[i].reason ?: REASON_MALFORMED;
		struct definition *d = NULL;
		uint64_t before = refuse_count(reason);
		int r = definition_compile(&d, bad[i].text, strlen(bad[i].text), "service.yaml", f->s.fd);

		if (r != (int)reason)
			fail_msg("%s: %s", bad[i].name, refuse_token((enum reason)r));
		assert_null(d);
		/* A default is refused as a value and then told with its place. */
		if (refuse_count(reason) != before + 1 + !strcmp(bad[i].operand, "knobs.a.default"))
			fail_msg("%s: %d refusals", bad[i].name, (int)(refuse_count(reason) - before));
		if (strcmp(refuse_last()->operand, bad[i].operand) != 0 ||
			!strstr(refuse_last()->text, bad[i].why) ||
			strncmp(refuse_last()->place, "service.yaml:", 13) != 0)
			fail_msg("%s: %s %s: %s", bad[i].name, refuse_last()->place,
				refuse_last()->operand, refuse_last()->text);
	}
}

/* A knob's span may be nothing at all; a time that something takes may not. */
static void
spans_bounded_by_none(void **state)
{
	static const struct {
		const char *name, *text, *operand;
	} rows[] = {
		{ "a least of none, and none by default", HEAD "knobs: {a: {type: span, min: 0s, max: 1m, default: 0s}}\n", NULL },
		{ "a most of none", HEAD "knobs: {a: {type: span, max: 0s, default: 0s}}\n", NULL },
		{ "more than a most of none", HEAD "knobs: {a: {type: span, max: 0s, default: 1s}}\n", "knobs.a.default" },
		{ "a least above a most of none", HEAD "knobs: {a: {type: span, min: 1s, max: 0s, default: 1s}}\n", "knobs.a" },
		{ "a grace of none", HEAD "stop: {grace: 0s}\n", "stop.grace" },
		{ "a soak of none", HEAD "health: {type: unix, socket: \"{run}/s\", soak: 0s}\n", "health.soak" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(definition_freep) struct definition *d = NULL;
		const struct fixture *f = *state;
		uint64_t before = refuse_count(REASON_MALFORMED);
		int r = definition_compile(&d, rows[i].text, strlen(rows[i].text), "service.yaml", f->s.fd);

		if (r != (rows[i].operand ? REASON_MALFORMED : 0))
			fail_msg("%s: %d", rows[i].name, r);
		if (rows[i].operand && (refuse_count(REASON_MALFORMED) == before ||
					       strcmp(refuse_last()->operand, rows[i].operand) != 0))
			fail_msg("%s: %s", rows[i].name, refuse_last()->operand);
		if (!rows[i].operand) {
			assert_true(definition_knob(d, "a")->has_min || definition_knob(d, "a")->has_max);
			assert_int_equal(definition_knob(d, "a")->min, 0);
		}
	}
}

/* --- all faults at once ---------------------------------------------------------------------------- */
struct faults {
	char operand[24][64];
	size_t n;
};

static void
hear(const struct refusal *why, void *arg)
{
	struct faults *f = arg;

	if (f->n < 24)
		(void)snprintf(f->operand[f->n], 64, "%s", why->operand);
	f->n++;
}

static void
every_fault_is_told(void **state)
{
	static const char text[] = "name: Demo\n"
				   "exec: [x, \"{knob.none}\"]\n"
				   "colour: red\n"
				   "knobs: {a: {type: int}, b: {type: text, default: 3}}\n"
				   "health: {type: http, period: soon}\n"
				   "config: [{path: ../x, template: none}]\n"
				   "operations: {o: {risk: change}, p: {argv: [/x], risk: mad, undo: q}}\n"
				   "alerts: [{name: a b}]\n";
	static const char *const want[] = { "colour", "name", "version", "knobs.a.default",
		"knobs.b.default", "exec.0", "exec.1", "config.0.template", "config.0.lines",
		"config.0.path", "health.period", "health.socket", "alerts.0.name", "alerts.0.metric",
		"alerts.0.op", "alerts.0.value", "alerts.0.text" };
	const struct fixture *f = *state;
	struct definition *d = NULL;
	struct faults faults = { .n = 0 };

	assert_int_equal(definition_compile_all(&d, text, sizeof(text) - 1, "service.yaml", f->s.fd, hear,
				 &faults),
		REASON_UNKNOWN_FIELD); /* the first */
	assert_null(d);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		if (strcmp(faults.operand[i], want[i]) != 0)
			fail_msg("%zu: %s is not %s", i, faults.operand[i], want[i]);
	}
	assert_int_equal(faults.n, 20); /* and three of the operations */
	/* What YAML refuses is told, too; and what is right is told by nothing. */
	faults.n = 0;
	assert_int_equal(definition_compile_all(&d, "a: &b c\n", 8, "service.yaml", f->s.fd, hear, &faults),
		REASON_MALFORMED);
	assert_int_equal(faults.n, 1);
	faults.n = 0;
	assert_int_equal(definition_compile_all(&d, whole, sizeof(whole) - 1, "service.yaml", f->s.fd, hear,
				 &faults),
		0);
	assert_int_equal(faults.n, 0);
	definition_free(d);
}

/* --- powers and data ------------------------------------------------------------------------------- */
static void
powers_are_what_goes_beyond(void **state)
{
	static const char *const want[] = { "hook.check=sha256:", "hook.snapshot=sha256:", "limit.files=5000",
		"limit.memory=2147483648", "limit.processes=300", "network=host", "prepare=sha256:",
		"require.memory=1073741824", "secret.eye", "secret.word" };
	const struct fixture *f = *state;
	SCOPED(definition_freep) struct definition *none = compile(f, HEAD "limits: {cpu: 4, nice: 3}\n");
	SCOPED_JSON *powers = NULL, *empty = NULL;

	assert_int_equal(definition_powers(f->d, &powers), 0);
	assert_int_equal(json_array_size(powers), sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < json_array_size(powers); i++) {
		const char *is = json_string_value(json_array_get(powers, i));

		if (strncmp(is, want[i], strlen(want[i])) != 0)
			fail_msg("%s is not %s", is, want[i]);
		if (strchr(want[i], ':'))
			assert_int_equal(strlen(is), strlen(want[i]) + 64);
	}
	assert_int_equal(definition_powers(none, &empty), 0);
	assert_int_equal(json_array_size(empty), 0);
}

static void
less_is_always_fine(void **state)
{
	static const struct {
		const char *power, *accepted;
		bool within;
	} rows[] = {
		{ "secret.a", "secret.a", true },
		{ "secret.b", "secret.a", false },
		{ "secret.a", "secret.ab", false },
		{ "limit.memory=5", "limit.memory=5", true },
		{ "limit.memory=4", "limit.memory=5", true },
		{ "limit.memory=6", "limit.memory=5", false },
		{ "limit.memory=4", "limit.files=5", false },
		{ "network=loopback", "network=host", true },
		{ "network=host", "network=loopback", false },
		{ "network=host", "network=wan", false },
		{ "hook.check=sha256:aa", "hook.check=sha256:aa", true },
		{ "hook.check=sha256:aa", "hook.check=sha256:ab", false },
		{ "hook.check=1", "hook.check=sha256:ab", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *accepted = json_pack("[s, s]", "secret.z", rows[i].accepted);

		if (definition_power_within(rows[i].power, accepted) != rows[i].within)
			fail_msg("%s by %s", rows[i].power, rows[i].accepted);
	}
}

static void
data_goes_one_way_or_both(void **state)
{
	static const struct {
		const char *name, *from, *to;
		int r;
		bool one_way;
	} rows[] = {
		{ "nothing said", "", "", 0, false },
		{ "the same", "data: {format: a}\n", "data: {format: a}\n", 0, false },
		{ "both read both", "data: {format: a, accepts: [b]}\n", "data: {format: b, accepts: [a]}\n", 0, false },
		{ "a new format", "data: {format: a}\n", "data: {format: b, accepts: [a]}\n", 0, true },
		{ "one that is not read", "data: {format: a}\n", "data: {format: b}\n", REASON_CONFLICT, false },
		{ "a first format", "data: [x]\n", "data: {format: b}\n", REASON_CONFLICT, false },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[2][512];
		bool one_way = false;
		uint64_t before = refuse_count(REASON_CONFLICT);
		struct definition *from, *to;

		(void)snprintf(text[0], 512, HEAD "%s", rows[i].from);
		(void)snprintf(text[1], 512, HEAD "%s", rows[i].to);
		from = compile(f, text[0]);
		to = compile(f, text[1]);
		if (definition_data_step(from, to, &one_way) != rows[i].r || one_way != rows[i].one_way)
			fail_msg("%s", rows[i].name);
		assert_int_equal(refuse_count(REASON_CONFLICT), before + (rows[i].r != 0));
		if (rows[i].r)
			assert_string_equal(refuse_last()->operand, "demo");
		definition_free(from);
		definition_free(to);
	}
}

#define MEMBERS_TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		MEMBERS_TEST(all_of_it_is_read_in_both_forms),
		MEMBERS_TEST(what_is_not_said_has_a_default),
		MEMBERS_TEST(an_argument_is_no_option),
		MEMBERS_TEST(a_dry_run_has_no_options_either),
		MEMBERS_TEST(templates_of_arguments),
		MEMBERS_TEST(refusals_name_member_and_place),
		MEMBERS_TEST(spans_bounded_by_none),
		MEMBERS_TEST(every_fault_is_told),
		MEMBERS_TEST(powers_are_what_goes_beyond),
		cmocka_unit_test(less_is_always_fine),
		MEMBERS_TEST(data_goes_one_way_or_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
