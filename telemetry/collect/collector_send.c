#include "telemetry/collect/collector_room.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/policy/switch.h"
#include "appliance/service/identity.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/spool/missing.h"

/* "" before the monitor ever told anything. */
static const char *
site(const struct collector *c)
{
	return c->config.site ? c->config.site : "";
}

bool
collector_is_on(const struct collector *c)
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
	return collector_is_on(arg);
}

const struct follow_ops collector_follow_ops = { .on = may_follow, .written = tell_more };

bool
collector_write(struct collector *c, struct spool *spool, enum class_name class, const char *path)
{
	uint64_t sequence;
	int r = door_before_write(c->door);

	r = r ?: spool_write(spool,
		&(struct spool_item){ .class = class,
			.path = path,
			.content_type = OUTGOING_TYPE,
			.body = c->body.data,
			.len = c->body.len },
		&sequence);
	if (r < 0)
		log_fault(r, "writing the spool");
	if (r != 0)
		return false;
	if (spool == c->alerts)
		c->alerts_end = sequence;
	tell_more(spool, sequence, c);
	return true;
}

void
collector_send_alert(const struct rule_alert *alert, void *arg)
{
	struct collector *c = arg;
	size_t n = 0;
	int r;

	buf_reset(&c->body);
	r = outgoing_alert(door_outgoing(c->door), &c->body, alert, clock_now_us(), &n);
	if (r < 0)
		log_fault(r, "writing an alert");
	else if (n > 0 && collector_write(c, c->alerts, CLASS_ALERT, OUTGOING_LOGS_PATH))
		believed_told(c->believed, alert);
}

void
collector_send_ends(struct collector *c)
{
	believed_ends(c->believed, c->rules, collector_send_alert, c);
}

void
collector_alerts_committed(struct collector *c, uint64_t sequence)
{
	uint64_t since_us, lost = spool_lost(c->alerts, &since_us);

	if (lost == c->alerts_lost || sequence < c->alerts_end || !collector_is_on(c))
		return;
	c->alerts_lost = lost;
	rule_each_firing(c->rules, collector_send_alert, c);
	collector_send_ends(c);
}

bool
collector_look_at_switch(struct collector *c)
{
	bool on = collector_is_on(c);

	bool changed = on != c->was_on;

	if (on && changed) {
		rule_each_firing(c->rules, collector_send_alert, c);
		collector_send_ends(c);
	}
	c->was_on = on;
	if (changed) {
		stock_again(&c->stock);
		follow_look(c->follow);
	}
	return on;
}

/* --- the streams ---------------------------------------------------------------------------------------------- */
int
collector_open_spools(struct collector *c)
{
	const struct {
		struct spool **spool;
		const char *stream;
		enum class_name class;
	} streams[] = {
		{ &c->metrics, "metrics", CLASS_METRIC },
		{ &c->alerts, "alerts", CLASS_ALERT },
		{ &c->logs, "logs", CLASS_LOG },
		{ &c->inventory, "inventory", CLASS_INVENTORY },
	};
	struct spool_limits limits = { 0 };
	struct identity id;
	char path[sizeof(c->paths->lib) + 32];
	int r;

	if (identity_load(&id, c->paths) == 0 && id.separate)
		limits.reader_gid = id.readers;
	(void)snprintf(path, sizeof(path), "%s/telemetry", c->paths->lib);
	r = fs_open_dir(&c->dir_fd, AT_FDCWD, path, 0750);
	r = r ?: fs_sweep(c->dir_fd, 0);
	r = r ?: fs_open_dir(&c->spool_fd, c->dir_fd, "spool", 0750);
	for (size_t i = 0; i < ARRAY_LEN(streams) && r == 0; i++) {
		limits.total_max = config_quota(&c->settings, streams[i].class);
		r = spool_open(streams[i].spool, c->spool_fd, streams[i].stream, &limits);
	}
	r = r ?: believed_open(&c->believed, c->dir_fd);
	return r < 0 ? FAULT(r) : r;
}

/* "metrics 17": how far the hub has it.  Whoever lies here can only make a loss look like none. */
static void
on_committed(const char *topic, const char *text, void *arg)
{
	struct collector *c = arg;
	struct spool *const spools[] = { c->metrics, c->alerts, c->logs, c->inventory };
	const char *space = strchr(text, ' ');
	uint64_t sequence;
	size_t i;

	(void)topic;
	if (!space || number_u64(&sequence, space + 1, UINT64_MAX) != 0)
		return;
	for (i = 0; i < ARRAY_LEN(spools); i++)
		if (strlen(spool_stream(spools[i])) == (size_t)(space - text) &&
			strncmp(spool_stream(spools[i]), text, (size_t)(space - text)) == 0)
			break;
	if (i == ARRAY_LEN(spools))
		return;
	spool_committed(spools[i], sequence);
	if (spools[i] == c->alerts)
		collector_alerts_committed(c, sequence);
}

static void
on_missing(const char *topic, const char *text, void *arg)
{
	struct collector *c = arg;
	int r = missing_take(c->spool_fd, text);

	(void)topic;
	if (r < 0)
		log_fault(r, "keeping what never arrived");
}

/* Without the bus everything works, a little later. */
void
collector_open_bus(struct collector *c)
{
	char path[sizeof(c->paths->run) + 32];
	int r;

	(void)snprintf(path, sizeof(path), "%s/bus", c->paths->run);
	r = event_publisher_open(&c->bus, path, "collectd");
	if (r == 0)
		r = event_subscribe(&c->committed, c->loop, path, "courier", "committed",
			on_committed, c);
	if (r == 0)
		r = event_subscribe(&c->missing, c->loop, path, "courier", "missing", on_missing, c);
	if (r < 0)
		log_fault(r, "joining the event bus");
}

void
collector_close_streams(struct collector *c)
{
	event_unsubscribe(c->committed);
	event_unsubscribe(c->missing);
	event_publisher_close(c->bus);
	believed_free(c->believed);
	spool_close(c->metrics);
	spool_close(c->alerts);
	spool_close(c->logs);
	spool_close(c->inventory);
	scope_close(&c->spool_fd);
	scope_close(&c->dir_fd);
}
