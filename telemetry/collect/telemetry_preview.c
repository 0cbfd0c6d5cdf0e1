#include "telemetry/collect/telemetry_preview.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/filter.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/dial.h"
#include "appliance/loop/loop.h"
#include "appliance/trust/sha256.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/collector.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/follow.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/source.h"
#include "telemetry/collect/sources.h"
#include "telemetry/collect/stock.h"
#include "telemetry/collect/telemetry_show.h"

enum { ROUND_MAX_MS = 5000 }; /* each source has a shorter time-out of its own */

struct round {
	sd_event *loop;
	const struct paths *paths;
	const struct config_settings *settings;
	struct sources *sources;
	struct loop_timer *timer;
	uint64_t until_us; /* boot time */
};

static void
on_samples(const struct sample_set *samples, void *arg)
{
	(void)samples; /* no rules here: they are read from the sources when all have answered */
	(void)arg;
}

/* Whoever may read the site's secrets may preview what they open. */
static void
on_want(const char *service, const char *secret, void *arg)
{
	struct round *round = arg;
	SCOPED(buf_wipe) struct buf value = BUF_MAX(SOURCE_SECRET_MAX);
	char path[sizeof(round->paths->lib) + 2 * CONFIG_NAME_MAX + 32];
	SCOPED(scope_close) int dir = -1;

	/* The collector wrote these names, and it may be broken into: they lead nowhere else. */
	if (strchr(service, '/') || service[0] == '.' || strchr(secret, '/') || secret[0] == '.')
		return;
	(void)snprintf(path, sizeof(path), "%s/services/%s/secrets", round->paths->lib, service);
	dir = open(path, O_DIRECTORY | O_PATH | O_CLOEXEC);
	if (dir >= 0 && fs_read(dir, secret, SOURCE_SECRET_MAX, &value) == 0)
		sources_secret(round->sources, service, secret, (const char *)value.data, value.len);
}

/* A command has a network. */
static void
on_dial(const char *service, unsigned port, void *arg)
{
	struct round *round = arg;
	const char *address = "";
	int fd = -1;

	for (size_t i = 0; i < round->settings->n_targets; i++)
		if (strcmp(round->settings->targets[i].name, service) == 0)
			address = round->settings->targets[i].address;
	/* Without a connection the source says so. */
	(void)(*address ? dial_address(&fd, address, port) : dial_loopback(&fd, port));
	sources_dialed(round->sources, service, port, fd);
}

static void
on_turn(void *arg)
{
	struct round *round = arg;

	if (!sources_busy(round->sources) || clock_mono_us() > round->until_us ||
		loop_after(&round->timer, round->loop, 10, on_turn, round) < 0)
		(void)sd_event_exit(round->loop, 0);
}

/* Probe everything once and wait for the answers. */
int
telemetry_preview_round(const struct paths *paths, const struct config *config, const struct config_settings *settings,
	struct sample_set *out)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(sources_freep) struct sources *sources = NULL;
	static const struct sources_ops ops = { .fed = on_samples, .want = on_want, .dial = on_dial };
	struct round round = { .paths = paths,
		.settings = settings,
		.until_us = clock_mono_us() + ROUND_MAX_MS * CLOCK_US_PER_MS };
	int r;

	r = loop_new(&loop, NULL, NULL);
	r = r ?: sources_new(&sources, loop, paths, &ops, &round);
	r = r ?: sources_set(sources, config, settings->targets, settings->n_targets);
	if (r != 0)
		return FAULT(r);
	round.loop = loop;
	round.sources = sources; /* before any probe may want something */
	sources_probe(sources, true);
	r = loop_after(&round.timer, loop, 0, on_turn, &round);
	if (r == 0)
		r = loop_run(loop);
	loop_cancel(round.timer);
	(void)signal(SIGPIPE, SIG_DFL); /* a command again: `| head` ends it quietly */
	if (r < 0)
		return FAULT(r);
	sources_collect(sources, out, clock_now_us());
	return 0;
}

/* --- what would leave ---------------------------------------------------------------------------------------- */
struct preview {
	struct door *door;
	const struct config *config;
	json_t *items, *bodies; /* decoded; {"class","path","bytes","digest"} each */
	struct buf body;
	int r;
};

/* One request: as bytes with their digest, and decoded from these very bytes. */
static int
show_body(struct preview *p, enum class_name class, const char *path)
{
	SCOPED_JSON *about = json_pack("{s:s, s:s, s:I}", "class", class_text(class), "path", path, "bytes",
		(json_int_t)p->body.len);
	uint8_t digest[SHA256_LEN];
	int r;

	if (p->body.len == 0)
		return 0;
	sha256_of(digest, p->body.data, p->body.len);
	r = about ? json_put_sha256(about, "digest", digest) : -ENOMEM;
	r = r ?: json_array_append(p->bodies, about);
	r = r ?: telemetry_show(p->items, class_text(class), path, p->body.data, p->body.len);
	buf_reset(&p->body);
	return r < 0 ? FAULT(r) : r;
}

static void
on_alert(const struct rule_alert *alert, void *arg)
{
	struct preview *p = arg;
	size_t n;
	int r = p->r ?: outgoing_alert(door_outgoing(p->door), &p->body, alert, clock_now_us(), &n);

	p->r = r ?: show_body(p, CLASS_ALERT, OUTGOING_LOGS_PATH);
}

static void
on_told(const struct rule_alert *alert, void *arg)
{
	(void)alert; /* nothing moves here: no number is fed */
	(void)arg;
}

/* Alerts as they stand by the collector's own states. */
static int
preview_alerts(struct preview *p, int dir_fd)
{
	SCOPED(rule_freep) struct rule_set *rules = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(CONFIG_JSON_MAX);
	SCOPED_JSON *saved = NULL;
	uint64_t now_us = clock_now_us();
	int r;

	r = rule_new(&rules, on_told, NULL);
	r = r ?: rule_load(rules, p->config->rules, p->config->n_rules, now_us);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	r = fs_read(dir_fd, COLLECTOR_RULES_NAME, in.max, &in);
	r = r ?: json_read(&saved, in.data, in.len, in.max, COLLECTOR_RULES_NAME);
	r = r ?: rule_restore(rules, saved, now_us);
	if (r < 0)
		return FAULT(r);
	rule_each_firing(rules, on_alert, p); /* unreadable states: none fires, as in the collector */
	return p->r < 0 ? FAULT(p->r) : p->r;
}

/* Each group as it would leave the first time: one request each. */
static int
preview_inventory(struct preview *p, const struct config_settings *settings)
{
	const char *pointers[CONFIG_CERTIFICATES_MAX];
	struct inventory_ask ask;
	int r = 0;

	stock_ask(&ask, pointers, settings);
	for (enum inventory_group i = 0; i < INVENTORY_GROUPS && r == 0; i++) {
		SCOPED_JSON *body = NULL;
		size_t n;

		r = inventory_build(&body, i, &ask);
		r = r ?: outgoing_inventory(door_outgoing(p->door), &p->body, inventory_name(i), inventory_shape(i), body,
			clock_now_us(), &n);
		r = r ?: show_body(p, CLASS_INVENTORY, OUTGOING_LOGS_PATH);
	}
	return r < 0 ? FAULT(r) : r;
}

/* A table's cell holds no thousand packages. */
static int
shorten(json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item) {
		const json_t *value = json_object_get(item, "value");

		if (json_is_object(value) &&
			json_put_text(item, "value", "a tree: --json shows it, or `mainstay telemetry inventory GROUP`") < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

/* What the policy does with each class: {"metric": "send", ...}. */
static json_t *
fates(const struct config *config)
{
	json_t *out = json_object();
	size_t i;

	for (i = 0; i < CLASS_MAX; i++)
		if (json_object_set_new(out, class_text((enum class_name)i), json_string(class_fate_text(config->fates.of[i]))) < 0)
			break;
	if (i == CLASS_MAX)
		return out;
	json_decref(out);
	return NULL;
}

static void
say_classes(struct command_call *call, json_t *classes)
{
	SCOPED(buf_done) struct buf held = BUF_MAX(1024);
	const char *name;
	json_t *fate;

	json_object_foreach(classes, name, fate)
		if (strcmp(json_string_value(fate), "send") != 0)
			buf_printf(&held, "%s %s (%s)", held.len ? "," : "; the policy holds back:", name, json_string_value(fate));
	command_say(call, "heartbeats, results of requests and heads of the audit log are the monitor's: `mainstay telemetry sent "
		"--class heartbeat` shows them as they left%s", buf_text(&held));
}

static int
show(struct command_call *call, struct preview *p, size_t samples, size_t lines, bool on)
{
	static const char *const columns[] = { "class", "service", "name", "attributes", "value", "unit", NULL };
	SCOPED_JSON *waiting = filter_waiting(door_outgoing(p->door)->filter), *classes = fates(p->config);
	const json_t *body;
	size_t i;
	int r;

	if (!waiting || !classes)
		return FAULT(-ENOMEM);
	if (call->json)
		return command_print_json("TelemetryPreview", json_pack("{s:O, s:O, s:O, s:i, s:b}", "items", p->items,
			"bodies", p->bodies, "classes", classes, "waiting", (int)json_array_size(waiting), "on", (int)on));
	r = shorten(p->items);
	r = r ?: command_print_items(call, "TelemetryPreview", json_incref(p->items), columns);
	json_array_foreach(p->bodies, i, body)
		command_say(call, "%s: %lld bytes, %s", json_text(body, "class"),
			json_integer_value(json_object_get(body, "bytes")), json_text(body, "digest"));
	say_classes(call, classes);
	command_say(call, "%zu samples, %zu lines of logs (the last of each); %zu %s not leave before `mainstay telemetry "
		"accept` (see review); telemetry is %s",
		samples, lines, json_array_size(waiting), json_array_size(waiting) == 1 ? "field may" : "fields may", on ? "on" : "off: nothing leaves");
	return r;
}

static int
open_dir(int *ret_fd, const struct paths *paths, const char *name)
{
	char path[sizeof(paths->lib) + 32];

	(void)snprintf(path, sizeof(path), "%s/%s", paths->lib, name);
	*ret_fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0 && errno == ENOENT)
		return REFUSE(REASON_UNREACHABLE, "collector", "has never run here (no %s)", path);
	return *ret_fd < 0 ? FAULT(-errno) : 0;
}

static void
preview_done(struct preview *p)
{
	json_decref(p->items);
	json_decref(p->bodies);
	buf_done(&p->body);
}

int
telemetry_preview_run(struct command_call *call)
{
	SCOPED(door_freep) struct door *door = NULL;
	struct config_settings settings;
	SCOPED(config_done) struct config config = { 0 };
	SCOPED(sample_done) struct sample_set round = { 0 };
	SCOPED(preview_done) struct preview p = { .config = &config, .items = json_array(), .bodies = json_array(),
		.body = BUF_MAX(LEDGER_BODY_MAX) };
	SCOPED(scope_close) int dir_fd = -1;
	SCOPED(scope_close) int spool_fd = -1;
	uint64_t now_us = clock_now_us();
	size_t n = 0, lines = 0;
	int r;

	if (!p.items || !p.bodies)
		return FAULT(-ENOMEM);
	r = open_dir(&dir_fd, &call->paths, "telemetry");
	r = r ?: open_dir(&spool_fd, &call->paths, "telemetry/spool");
	r = r ?: config_settings(&settings, &call->paths);
	r = r ?: door_open(&door, dir_fd, settings.pseudonyms, false);
	if (r == 0)
		r = config_load(&config, dir_fd);
	if (r == REASON_NOT_FOUND) /* the monitor has not told the collector anything yet: the host alone */
		r = 0;
	if (r == 0 && config.json)
		r = door_set(door, &config);
	r = r ?: telemetry_preview_round(&call->paths, &config, &settings, &round);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	outgoing_own(&round, spool_fd, door_outgoing(door)->filter, now_us, now_us);
	p.door = door;
	r = outgoing_metrics(door_outgoing(door), &p.body, &round, now_us, &n);
	r = r ?: show_body(&p, CLASS_METRIC, OUTGOING_METRICS_PATH);
	r = r ?: preview_alerts(&p, dir_fd);
	r = r ?: follow_preview(door, &config, &settings, &p.body, &lines);
	r = r ?: show_body(&p, CLASS_LOG, OUTGOING_LOGS_PATH);
	r = r ?: preview_inventory(&p, &settings);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return show(call, &p, n, lines, config.on && !switch_off_file(&call->paths, SWITCH_TELEMETRY));
}
