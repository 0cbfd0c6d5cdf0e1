#include "telemetry/collect/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/event.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/loop.h"
#include "appliance/policy/switch.h"
#include "appliance/service/identity.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/follow.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/sources.h"
#include "telemetry/rule/rule_own.h"
#include "telemetry/spool/spool.h"

enum { RULES_BYTES_MAX = 2 * 1024 * 1024, COMMITTED_TEXT_MAX = 128 };

struct collector {
	sd_event *loop;
	const struct paths *paths;
	const struct collector_ops *ops;
	void *arg;
	int dir_fd, spool_fd; /* lib/telemetry, lib/telemetry/spool */
	struct config_settings settings;
	struct config config;
	struct sources *sources;
	struct rule_set *rules;
	struct rule_own own;
	struct door *door;
	struct spool *metrics, *alerts, *logs;
	struct follow *follow;
	struct event_publisher *bus;         /* NULL: nobody can be told early, the courier looks by itself */
	struct event_subscriber *committed;
	struct loop_timer *timer;
	struct sample_set round;
	struct buf body;
	uint64_t started_us;                  /* of counters that begin with this process */
	uint64_t probe_at_us, batch_at_us;    /* boot time */
	bool was_on;                          /* telemetry, when it was last looked at */
};

/* "" before the monitor ever told anything. */
static const char *
site(const struct collector *c)
{
	return c->config.site ? c->config.site : "";
}

/* --- leaving ------------------------------------------------------------------------------------------------ */
/* Both the monitor's record and the absence of the off file; and before enrolment there is nobody to send to. */
static bool
is_on(const struct collector *c)
{
	return c->config.on && *site(c) && !switch_off_file(c->paths, SWITCH_TELEMETRY);
}

/* Only a hint: the courier finds the record without it, later. */
static void
tell_more(struct spool *spool, uint64_t sequence, void *arg)
{
	struct collector *c = arg;

	if (c->bus && event_publish(c->bus, "more", spool_stream(spool)) < 0)
		log_debug("nobody heard of %s %" PRIu64, spool_stream(spool), sequence);
}

static bool
may_follow(void *arg)
{
	return is_on(arg);
}

static const struct follow_ops follow_ops = { .on = may_follow, .written = tell_more };

static void
write_out(struct collector *c, struct spool *spool, enum class_name class, const char *path)
{
	uint64_t sequence;
	int r;

	door_before_write(c->door);
	r = spool_write(spool,
		&(struct spool_item){ .class = class,
			.path = path,
			.content_type = OUTGOING_TYPE,
			.body = c->body.data,
			.len = c->body.len },
		&sequence);
	if (r < 0)
		log_fault(r, "writing the spool");
	if (r != 0)
		return;
	tell_more(spool, sequence, c);
}

static void
send_alert(const struct rule_alert *alert, void *arg)
{
	struct collector *c = arg;
	size_t n = 0;
	int r;

	buf_reset(&c->body);
	r = outgoing_alert(door_outgoing(c->door), &c->body, alert, clock_now_us(), &n);
	if (r < 0)
		log_fault(r, "writing an alert");
	else if (n > 0)
		write_out(c, c->alerts, CLASS_ALERT, OUTGOING_LOGS_PATH);
}

/* Look at the switch; what fires while it comes on has not been sent. */
static bool
look_at_switch(struct collector *c)
{
	bool on = is_on(c);

	bool changed = on != c->was_on;

	if (on && changed)
		rule_each_firing(c->rules, send_alert, c);
	c->was_on = on;
	if (changed)
		follow_look(c->follow);
	return on;
}

static void
on_alert(const struct rule_alert *alert, void *arg)
{
	struct collector *c = arg;

	log_info("alert %s%s%s%s of %s is %s%s%s: %s", alert->rule->name, *alert->group ? "{" : "",
		alert->group, *alert->group ? "}" : "", alert->rule->service, rule_told_text(alert->told),
		*alert->muted_by ? " by " : "", alert->muted_by, alert->text);
	/* Not through look_at_switch(): it would send this very one twice. */
	if (c->was_on && is_on(c))
		send_alert(alert, c);
	c->ops->alert(alert, c->arg);
}

/* --- kept over restarts --------------------------------------------------------------------------------------- */
static int
save_json(const struct collector *c, const char *name, json_t *take_doc)
{
	SCOPED_JSON *doc = take_doc;
	SCOPED(buf_done) struct buf out = BUF_MAX(RULES_BYTES_MAX);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = json_canonical(&out, doc);
	r = r ?: fs_replace(c->dir_fd, name, out.data, out.len, 0640);
	return FAULT(r);
}

static void
save_rules(struct collector *c)
{
	int r;

	if (!rule_changed(c->rules))
		return;
	r = save_json(c, COLLECTOR_RULES_NAME, rule_save(c->rules));
	if (r < 0)
		log_fault(r, "keeping the alerts' states");
}

static int
load_rules(struct collector *c)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(RULES_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	int r;

	r = fs_read(c->dir_fd, COLLECTOR_RULES_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read(&doc, in.data, in.len, in.max, COLLECTOR_RULES_NAME);
	r = r ?: rule_restore(c->rules, doc, clock_now_us());
	/* Damage costs the states only: what is bad fires anew. */
	return r < 0 ? FAULT(r) : 0;
}

/* --- rules -------------------------------------------------------------------------------------------------- */
/* host: only its numbers, which come once a period; those of services came as they answered. */
static void
feed_rules(struct collector *c, const struct sample_set *samples, bool host)
{
	for (size_t i = 0; i < samples->n; i++) {
		const struct otlp_sample *s = &samples->items[i];
		struct rule_label labels[OTLP_LABELS_MAX];
		size_t n = 0;

		if (s->no_value || s->distribution || (host && s->service))
			continue; /* no one number, or one that was seen */
		for (; n < s->n_labels; n++)
			labels[n] = (struct rule_label){ s->labels[n].name, s->labels[n].value };
		rule_feed(c->rules, s->service ? s->service : COLLECTOR_HOST, s->name, labels, n, s->real,
			s->time_us);
	}
}

/* What the definitions say and what the customer does. */
static int
take_rules(struct collector *c)
{
	size_t n = c->config.n_rules + c->own.n;
	SCOPED(scope_free) struct rule **all = calloc(n + 1, sizeof(struct rule *));

	if (!all)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++)
		all[i] = i < c->config.n_rules ? c->config.rules[i] : c->own.rules[i - c->config.n_rules];
	return rule_load(c->rules, all, n, clock_now_us());
}

/* --- a period --------------------------------------------------------------------------------------------------- */
static void
batch(struct collector *c, uint64_t mono_us)
{
	uint64_t now_us = clock_now_us();
	size_t n = 0;
	int r;

	sample_reset(&c->round);
	sources_collect(c->sources, &c->round, now_us);
	follow_look(c->follow);
	follow_own(c->follow, &c->round, c->started_us, now_us);
	outgoing_own(&c->round, c->spool_fd, door_outgoing(c->door)->filter, c->started_us, now_us);
	feed_rules(c, &c->round, true);
	save_rules(c);
	if (c->round.refused > 0)
		log_warning("%zu samples did not fit one round", c->round.refused);
	buf_reset(&c->body);
	/* The filter also runs while telemetry is off: what would wait can be reviewed before the first upload. */
	r = outgoing_metrics(door_outgoing(c->door), &c->body, &c->round, now_us, &n);
	if (r < 0)
		log_fault(r, "encoding samples");
	else if (n > 0 && look_at_switch(c))
		write_out(c, c->metrics, CLASS_METRIC, OUTGOING_METRICS_PATH);
	door_keep(c->door, mono_us);
}

static void
on_samples(const struct sample_set *samples, void *arg)
{
	struct collector *c = arg;

	feed_rules(c, samples, false);
	save_rules(c);
}

static void
on_want(const char *service, const char *secret, void *arg)
{
	struct collector *c = arg;

	if (c->ops->want)
		c->ops->want(service, secret, c->arg);
}

void
collector_secret(
	struct collector *c, const char *service, const char *secret, const char *value, size_t len)
{
	sources_secret(c->sources, service, secret, value, len);
}

static void on_timer(void *arg);

static int
arm(struct collector *c, uint64_t mono_us)
{
	uint64_t at = c->probe_at_us < c->batch_at_us ? c->probe_at_us : c->batch_at_us;
	uint64_t ms = at > mono_us ? (at - mono_us) / CLOCK_US_PER_MS + 1 : 0;

	return FAULT(loop_after(&c->timer, c->loop, ms, on_timer, c));
}

/* The next time after now on the grid that begins at *at: a late turn is skipped, not made up. */
static bool
due(uint64_t *at, uint64_t every_us, uint64_t mono_us)
{
	if (mono_us < *at)
		return false;
	*at += every_us * ((mono_us - *at) / every_us + 1);
	return true;
}

static void
on_timer(void *arg)
{
	struct collector *c = arg;
	uint64_t mono_us = clock_mono_us();
	int r;

	(void)look_at_switch(c);
	if (due(&c->probe_at_us, COLLECTOR_PROBE_MS * CLOCK_US_PER_MS, mono_us)) {
		sources_probe(c->sources);
		rule_tick(c->rules, clock_now_us());
		save_rules(c);
	}
	if (due(&c->batch_at_us, c->settings.period_us, mono_us))
		batch(c, mono_us);
	r = arm(c, clock_mono_us());
	if (r < 0) {
		log_fault(r, "arming the timer");
		(void)sd_event_exit(c->loop, 1); /* supervise starts us again */
	}
}

int
collector_start(struct collector *c)
{
	uint64_t mono_us = clock_mono_us();

	c->probe_at_us = mono_us;
	/* The first batch waits for the first answers. */
	c->batch_at_us = mono_us +
		(c->settings.period_us < COLLECTOR_PROBE_MS * CLOCK_US_PER_MS ? c->settings.period_us :
			COLLECTOR_PROBE_MS * CLOCK_US_PER_MS);
	return arm(c, mono_us);
}

/* --- what others tell --------------------------------------------------------------------------------------------- */
static int
apply(struct collector *c)
{
	int r;

	r = door_set(c->door, &c->config);
	if (r == 0) {
		r = take_rules(c);
		rule_mute(c->rules, c->config.mutes, c->config.n_mutes, clock_now_us());
	}
	r = r ?: sources_set(c->sources, &c->config);
	r = r ?: follow_set(c->follow, &c->config);
	if (r == 0)
		save_rules(c);
	return r < 0 ? FAULT(r) : r;
}

int
collector_config(struct collector *c, json_t *doc)
{
	int r;

	if (c->config.json && json_equal(c->config.json, doc))
		return 0;
	r = config_read(&c->config, doc);
	r = r ?: config_save(&c->config, c->dir_fd);
	r = r ?: apply(c);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	(void)look_at_switch(c);
	if (c->timer)
		sources_probe(c->sources); /* a new service is looked at now */
	return 0;
}

void
collector_each(struct collector *c, rule_fn *each, void *arg)
{
	rule_each_firing(c->rules, each, arg);
}

/* "metrics 17": how far the hub has it.  Whoever lies here can only make a loss look like none. */
static void
on_committed(const char *topic, const char *text, void *arg)
{
	struct collector *c = arg;
	struct spool *const spools[] = { c->metrics, c->alerts, c->logs };
	const char *space = strchr(text, ' ');
	uint64_t sequence;
	size_t i;

	(void)topic;
	if (!space || number_u64(&sequence, space + 1, UINT64_MAX) != 0)
		return;
	for (i = 0; i < ARRAY_LEN(spools); i++)
		if (strlen(spool_stream(spools[i])) == (size_t)(space - text) &&
			strncmp(spool_stream(spools[i]), text, (size_t)(space - text)) == 0)
			spool_committed(spools[i], sequence);
}

/* --- life --------------------------------------------------------------------------------------------------------- */
static int
open_spools(struct collector *c)
{
	const struct {
		struct spool **spool;
		const char *stream;
		enum class_name class;
	} streams[] = {
		{ &c->metrics, "metrics", CLASS_METRIC },
		{ &c->alerts, "alerts", CLASS_ALERT },
		{ &c->logs, "logs", CLASS_LOG },
	};
	struct spool_limits limits = { 0 };
	struct identity id;
	char path[sizeof(c->paths->lib) + 32];
	int r;

	if (identity_load(&id, c->paths) == 0 && id.separate)
		limits.reader_gid = id.readers;
	(void)snprintf(path, sizeof(path), "%s/telemetry", c->paths->lib);
	r = fs_open_dir(&c->dir_fd, AT_FDCWD, path, 0750);
	r = r ?: fs_open_dir(&c->spool_fd, c->dir_fd, "spool", 0750);
	for (size_t i = 0; i < ARRAY_LEN(streams) && r == 0; i++) {
		limits.total_max = config_quota(&c->settings, streams[i].class);
		r = spool_open(streams[i].spool, c->spool_fd, streams[i].stream, &limits);
	}
	return r < 0 ? FAULT(r) : r;
}

/* Without the bus everything works, a little later. */
static void
open_bus(struct collector *c)
{
	char path[sizeof(c->paths->run) + 32];
	int r;

	(void)snprintf(path, sizeof(path), "%s/bus", c->paths->run);
	r = event_publisher_open(&c->bus, path, "collectd");
	if (r == 0)
		r = event_subscribe(&c->committed, c->loop, path, "courier", "committed",
			on_committed, c);
	if (r < 0)
		log_fault(r, "joining the event bus");
}

static const struct sources_ops sources_ops = { .fed = on_samples, .want = on_want };

int
collector_new(struct collector **ret, sd_event *loop, const struct paths *paths,
	const struct collector_ops *ops, void *arg)
{
	SCOPED(collector_freep) struct collector *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	c->dir_fd = c->spool_fd = -1;
	c->loop = sd_event_ref(loop);
	c->paths = paths;
	c->ops = ops;
	c->arg = arg;
	c->body = BUF_MAX(LEDGER_BODY_MAX);
	c->started_us = clock_now_us();
	r = config_settings(&c->settings, paths);
	/* Without them what the definitions say is watched all the same; the refusal is in the journal. */
	if (r == 0 && *c->settings.rules && rule_own_load(&c->own, paths->etc, c->settings.rules) < 0)
		log_warning("%s could not be read: its rules watch nothing", c->settings.rules);
	r = r ?: open_spools(c);
	r = r ?: door_open(&c->door, c->dir_fd, c->settings.pseudonyms, true);
	r = r ?: follow_new(&c->follow, loop, c->dir_fd, c->logs, c->door, &c->settings, &follow_ops, c);
	r = r ?: rule_new(&c->rules, on_alert, c);
	r = r ?: sources_new(&c->sources, loop, paths, &sources_ops, c);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	open_bus(c);
	r = config_load(&c->config, c->dir_fd);
	if (r == 0)
		r = apply(c);
	if (r == 0)
		r = load_rules(c);
	if (r < 0)
		return FAULT(r);
	/* What fires already was sent while it was on; a refused config waits for the monitor's. */
	c->was_on = is_on(c);
	*ret = STEAL(c);
	return 0;
}

struct collector *
collector_free(struct collector *c)
{
	if (!c)
		return NULL;
	loop_cancel(c->timer);
	event_unsubscribe(c->committed);
	event_publisher_close(c->bus);
	sources_free(c->sources);
	rule_free(c->rules);
	follow_free(c->follow);
	rule_own_done(&c->own);
	door_free(c->door);
	spool_close(c->metrics);
	spool_close(c->alerts);
	spool_close(c->logs);
	scope_close(&c->spool_fd);
	scope_close(&c->dir_fd);
	config_done(&c->config);
	sample_done(&c->round);
	buf_done(&c->body);
	sd_event_unref(c->loop);
	free(c);
	return NULL;
}
