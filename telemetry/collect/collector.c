#include "telemetry/collect/collector.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "telemetry/collect/collector_room.h"

/* --- what others tell --------------------------------------------------------------------------------------------- */
static int
apply(struct collector *c)
{
	int r;

	r = door_set(c->door, &c->config);
	r = r ?: sources_set(c->sources, &c->config, c->settings.targets, c->settings.n_targets);
	if (r == 0) {
		r = collector_take_rules(c);
		rule_mute(c->rules, c->config.mutes, c->config.n_mutes, clock_now_us());
	}
	r = r ?: follow_set(c->follow, &c->config);
	if (r == 0) {
		collector_save_rules(c);
		door_keep(c->door, clock_mono_us()); /* what was accepted waits no more for who looks now */
	}
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
	(void)collector_look_at_switch(c);
	stock_again(&c->stock);
	if (c->timer)
		sources_probe(c->sources, true); /* a new service is looked at now */
	return 0;
}

void
collector_each(struct collector *c, rule_fn *each, void *arg)
{
	rule_each_firing(c->rules, each, arg);
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

/* --- life --------------------------------------------------------------------------------------------------------- */
static void
on_dial(const char *service, unsigned port, void *arg)
{
	struct collector *c = arg;

	if (c->ops->dial)
		c->ops->dial(service, port, c->arg);
	else
		sources_dialed(c->sources, service, port, -1);
}

void
collector_dialed(struct collector *c, const char *service, unsigned port, int take_fd)
{
	sources_dialed(c->sources, service, port, take_fd);
}

static const struct sources_ops sources_ops = { .fed = collector_on_samples, .want = on_want, .dial = on_dial };

int
collector_new(struct collector **ret, sd_event *loop, const struct paths *paths,
	const struct collector_ops *ops, void *arg)
{
	SCOPED(collector_freep) struct collector *c = calloc(1, sizeof(*c));
	uint64_t since_us;
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
	r = collector_read_settings(c);
	r = r ?: collector_open_spools(c);
	r = r ?: door_open(&c->door, c->dir_fd, c->settings.pseudonyms, true);
	r = r ?: follow_new(&c->follow, loop, c->dir_fd, c->logs, c->door, &c->settings, &collector_follow_ops, c);
	r = r ?: rule_new(&c->rules, collector_on_alert, c);
	r = r ?: sources_new(&c->sources, loop, paths, &sources_ops, c);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	stock_open(&c->stock, c->dir_fd);
	c->stock_lost = spool_lost(c->inventory, &since_us);
	collector_open_bus(c);
	r = config_load(&c->config, c->dir_fd);
	if (r == 0)
		r = apply(c);
	if (r == 0)
		r = collector_load_rules(c);
	if (r < 0)
		return FAULT(r);
	/* What fires already was sent while it was on; a refused config waits for the monitor's. */
	c->was_on = collector_is_on(c);
	if (c->was_on)
		collector_send_ends(c); /* of what a damaged state forgot */
	*ret = STEAL(c);
	return 0;
}

struct collector *
collector_free(struct collector *c)
{
	if (!c)
		return NULL;
	loop_cancel(c->timer);
	sources_free(c->sources);
	rule_free(c->rules);
	follow_free(c->follow);
	rule_own_done(&c->own);
	door_free(c->door);
	collector_close_streams(c);
	config_done(&c->config);
	sample_done(&c->round);
	buf_done(&c->body);
	sd_event_unref(c->loop);
	free(c);
	return NULL;
}
