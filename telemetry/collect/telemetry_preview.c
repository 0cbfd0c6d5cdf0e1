#include "telemetry/collect/telemetry_preview.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
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
#include "appliance/loop/loop.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/source.h"
#include "telemetry/collect/sources.h"
#include "telemetry/otlp/otlp_decode.h"

enum { ROUND_MAX_MS = 5000 }; /* each source has a shorter time-out of its own */

struct round {
	sd_event *loop;
	const struct paths *paths;
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

static void
on_turn(void *arg)
{
	struct round *round = arg;

	if (!sources_busy(round->sources) || clock_mono_us() > round->until_us ||
		loop_after(&round->timer, round->loop, 10, on_turn, round) < 0)
		(void)sd_event_exit(round->loop, 0);
}

/* Probe everything once and wait for the answers. */
static int
collect(const struct paths *paths, const struct config *config, struct sample_set *out)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(sources_freep) struct sources *sources = NULL;
	static const struct sources_ops ops = { .fed = on_samples, .want = on_want };
	struct round round = { .paths = paths,
		.until_us = clock_mono_us() + ROUND_MAX_MS * CLOCK_US_PER_MS };
	int r;

	r = loop_new(&loop, NULL, NULL);
	r = r ?: sources_new(&sources, loop, paths, &ops, &round);
	r = r ?: sources_set(sources, config);
	if (r != 0)
		return FAULT(r);
	round.loop = loop;
	round.sources = sources; /* before any probe may want something */
	sources_probe(sources);
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

/* --- showing: from the encoded bytes, so that what is seen is what would leave ------------------------------- */
static int
put_attributes(json_t *item, const struct otlp_point *p)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(64 * 1024);
	json_t *attributes = NULL;
	int r;

	otlp_decode_json_map(&text, p->attributes, p->n_attributes);
	r = buf_error(&text);
	r = r ?: json_read(&attributes, text.data, text.len, text.max, "attributes");
	if (r != 0)
		return FAULT(r < 0 ? r : -EPROTO);
	return json_object_set_new(item, "attributes", attributes) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
show_point(const struct otlp_point *p, void *arg)
{
	json_t *items = arg;
	const struct otlp_value *service = otlp_decode_find(p->origin.resource, p->origin.n_resource,
		"service.name");
	SCOPED_JSON *item = json_pack("{s:s%, s:s%, s:s%, s:s, s:o}", "name", p->name.p, p->name.len,
		"service", service ? service->text.p : "", service ? service->text.len : (size_t)0,
		"unit", p->unit.p ? p->unit.p : "", p->unit.len, "class", "metric", "value",
		p->is_int ? json_integer(p->whole) :
		isfinite(p->real) ? json_real(p->real) : json_null());
	int r;

	if (!item)
		return FAULT(-ENOMEM);
	r = put_attributes(item, p);
	r = r ?: json_put_time(item, "time", p->time_ns / 1000);
	if (r != 0 || json_array_append(items, item) < 0)
		return FAULT(r ?: -ENOMEM);
	return 0;
}

static int
show(struct command_call *call, const struct buf *body, const struct filter *filter, bool on)
{
	static const char *const columns[] = { "service", "name", "attributes", "value", "unit", NULL };
	static const struct otlp_decode_ops ops = { .point = show_point };
	SCOPED_JSON *items = json_array(), *waiting = filter_waiting(filter);
	struct otlp_tally tally;
	int r;

	if (!items || !waiting)
		return FAULT(-ENOMEM);
	r = otlp_decode_metrics(body->data, body->len, &ops, items, &tally);
	if (r != 0)
		return FAULT(r < 0 ? r : -EPROTO);
	r = command_print_items(call, "TelemetryPreview", STEAL(items), columns);
	command_say(call, "%llu samples, %zu bytes before compression; %zu fields wait for "
		"`mainstay telemetry accept` (see review); telemetry is %s",
		(unsigned long long)tally.taken, body->len, json_array_size(waiting),
		on ? "on" : "off: nothing leaves");
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

int
telemetry_preview_run(struct command_call *call)
{
	SCOPED(door_freep) struct door *door = NULL;
	struct config_settings settings;
	SCOPED(config_done) struct config config = { 0 };
	SCOPED(sample_done) struct sample_set round = { 0 };
	SCOPED(buf_done) struct buf body = BUF_MAX(LEDGER_BODY_MAX);
	SCOPED(scope_close) int dir_fd = -1;
	SCOPED(scope_close) int spool_fd = -1;
	uint64_t now_us = clock_now_us();
	size_t n;
	int r;

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
	r = r ?: collect(&call->paths, &config, &round);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	outgoing_own(&round, spool_fd, door_outgoing(door)->filter, now_us, now_us);
	r = outgoing_metrics(door_outgoing(door), &body, &round, now_us, &n);
	if (r < 0)
		return FAULT(r);
	return show(call, &body, door_outgoing(door)->filter,
		config.on && !switch_off_file(&call->paths, SWITCH_TELEMETRY));
}
