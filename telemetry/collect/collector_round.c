#include "telemetry/collect/collector_room.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "telemetry/collect/metric_help.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/collect/page.h"
#include "telemetry/scrape/exposition_print.h"

/* Samples as one record, or, where a few exporters show more than one holds, as several. */
static void
send_round(struct collector *c, struct otlp_sample *items, size_t n, uint64_t now_us)
{
	const struct sample_set part = { .items = items, .n = n };
	size_t left = 0;
	int r;

	buf_reset(&c->body);
	/* The filter also runs while telemetry is off: what would wait can be reviewed before the first upload. */
	r = outgoing_metrics(door_outgoing(c->door), &c->body, &part, now_us, &left);
	if (r == -EMSGSIZE && n > 1) {
		send_round(c, items, n / 2, now_us);
		send_round(c, items + n / 2, n - n / 2, now_us);
	} else if (r < 0) {
		log_fault(r, "encoding samples");
	} else if (left > 0 && collector_look_at_switch(c)) {
		collector_write(c, c->metrics, CLASS_METRIC, OUTGOING_METRICS_PATH);
	}
}

static void
batch(struct collector *c, uint64_t mono_us)
{
	uint64_t now_us = clock_now_us();

	sample_reset(&c->round);
	sources_collect(c->sources, &c->round, now_us);
	follow_look(c->follow);
	follow_own(c->follow, &c->round, c->started_us, now_us);
	outgoing_own(&c->round, c->spool_fd, door_outgoing(c->door)->filter, c->started_us, now_us);
	collector_feed(c, &c->round, true);
	collector_save_rules(c);
	if (c->round.refused > 0)
		log_warning("%zu samples did not fit one round", c->round.refused);
	send_round(c, c->round.items, c->round.n, now_us);
	page_round(c->page);
	collector_inventory(c, mono_us);
	door_keep(c->door, mono_us);
}

/* The whole round, as `mainstay metrics` shows it: what the customer sees of their own host is not filtered. */
static int
print_round(struct buf *out, enum exposition_format format, void *arg)
{
	const struct collector *c = arg;
	int r = exposition_print(out, format, c->round.items, c->round.n, false, metric_help);

	return r < 0 ? FAULT(r) : 0;
}

int
collector_show(struct collector *c, struct page *p)
{
	c->page = p;
	return p ? page_open(p, c->loop, print_round, c) : 0;
}

static void on_timer(void *arg);

static int
arm(struct collector *c, uint64_t mono_us)
{
	return FAULT(loop_after(&c->timer, c->loop, rounds_wait_ms(&c->rounds, mono_us), on_timer, c));
}

static void
on_timer(void *arg)
{
	struct collector *c = arg;
	uint64_t mono_us = clock_mono_us();
	bool all;
	int r;

	(void)collector_look_at_switch(c);
	if (rounds_probe(&c->rounds, mono_us, &all)) {
		sources_probe(c->sources, all);
		rule_tick(c->rules, clock_now_us());
		collector_save_rules(c);
	}
	if (rounds_batch(&c->rounds, mono_us)) {
		batch(c, mono_us);
		collector_look_at_settings(c);
	}
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

	rounds_start(&c->rounds, c->settings.period_us, c->config.site ? c->config.site : "", mono_us);
	return arm(c, mono_us);
}
