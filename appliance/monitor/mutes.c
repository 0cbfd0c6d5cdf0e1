#include "appliance/monitor/mutes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/nearest.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"

#define FILE_NAME "mutes.json"

enum { WORD_MAX = 64, WHY_MAX = 96, REASON_TEXT_MAX = 200, FILE_MAX = 64 * 1024, FOR_MIN_S = 60, FOR_MAX_S = 7 * 86400 };

struct held {
	char service[WORD_MAX + 1], why[WHY_MAX + 1];
	uint64_t until_us;
};

struct mutes {
	json_t *by_hand; /* [{"service","name","why","until","reason","by"}]; owned */
	struct held held[MUTES_HELD_MAX];
	size_t n_held;
};

static void
tell(struct monitor *m)
{
	monitor_changed(m, MONITOR_CHANGE_POLICY);
}

/* --- of a change ------------------------------------------------------------------------------------- */
static struct held *
find_held(struct mutes *all, const char *service, const char *why)
{
	for (size_t i = 0; i < all->n_held; i++)
		if (strcmp(all->held[i].service, service) == 0 && strcmp(all->held[i].why, why) == 0)
			return &all->held[i];
	return NULL;
}

void
mutes_hold(struct monitor *m, const char *service, const char *why, uint64_t max_s)
{
	struct mutes *all = m->mutes;
	struct held *h = find_held(all, service, why);

	if (!h && all->n_held == MUTES_HELD_MAX) {
		log_warning("the alerts of %s are heard during %s: %d mutes are held", service, why,
			(int)MUTES_HELD_MAX);
		return;
	}
	h = h ? h : &all->held[all->n_held++];
	(void)snprintf(h->service, sizeof(h->service), "%s", service);
	(void)snprintf(h->why, sizeof(h->why), "%s", why);
	h->until_us = clock_now_us() + max_s * CLOCK_US_PER_S;
	tell(m);
}

void
mutes_release(struct monitor *m, const char *service, const char *why)
{
	struct held *h = find_held(m->mutes, service, why);
	uint64_t until_us = clock_now_us() + MUTES_GRACE_S * CLOCK_US_PER_S;

	if (!h)
		return;
	if (until_us < h->until_us)
		h->until_us = until_us;
	tell(m);
}

/* --- lists --------------------------------------------------------------------------------------------- */
static json_t *
list(const struct monitor *m, bool people)
{
	json_t *items = json_copy_whole(m->mutes->by_hand, JSON_DEEP), *item;
	size_t i;

	json_array_foreach(items, i, item)
		if (!people) {
			(void)json_object_del(item, "reason");
			(void)json_object_del(item, "by");
		}
	for (i = 0; items && i < m->mutes->n_held; i++) {
		const struct held *h = &m->mutes->held[i];

		item = json_pack("{s:s, s:s}", "service", h->service, "why", h->why);
		if (!item || json_put_time(item, "until", h->until_us) < 0 ||
			json_array_append(items, item) < 0) {
			json_decref(items);
			items = NULL;
		}
		json_decref(item);
	}
	return items;
}

json_t *
mutes_for_collector(const struct monitor *m)
{
	return list(m, false);
}

json_t *
mutes_for_people(const struct monitor *m)
{
	return list(m, true);
}

/* --- by hand ---------------------------------------------------------------------------------------------- */
struct target {
	char service[WORD_MAX + 1], name[WORD_MAX + 1];
};

static bool
is_there(struct monitor *m, const char *service)
{
	struct services_state s;

	return strcmp(service, "host") == 0 || services_find(m, service, &s);
}

/* "redis", "redis.RedisDown"; a service's name may hold dots itself. */
static int
read_target(struct monitor *m, const char *text, struct target *ret)
{
	const char *dot = strrchr(text, '.');
	size_t len = strlen(text);

	*ret = (struct target){ 0 };
	if (len == 0 || len > 2 * WORD_MAX + 1)
		return REFUSE(REASON_USAGE, text, "is neither SERVICE nor SERVICE.NAME");
	if (len <= WORD_MAX && is_there(m, text)) {
		(void)snprintf(ret->service, sizeof(ret->service), "%s", text);
		return 0;
	}
	if (!dot || dot - text > WORD_MAX || strlen(dot + 1) > WORD_MAX)
		return REFUSE(REASON_NOT_FOUND, text, "no service of that name is installed");
	(void)snprintf(ret->service, sizeof(ret->service), "%.*s", (int)(dot - text), text);
	(void)snprintf(ret->name, sizeof(ret->name), "%s", dot + 1);
	if (!*ret->name || !is_there(m, ret->service))
		return REFUSE(REASON_NOT_FOUND, text, "no service \"%s\" is installed", ret->service);
	return 0;
}

/* A name that is mistyped would mute nothing.  own: the caller has found it in the customer's own rules. */
static int
check_name(struct monitor *m, const struct target *t, bool own)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	const char *names[DEFINITION_LIST_MAX], *near;
	size_t n = 0;
	int r;

	if (!*t->name || own)
		return 0;
	r = strcmp(t->service, "host") != 0 ? services_definition(m, t->service, &d) : 0;
	if (r < 0)
		return FAULT(r);
	for (; d && n < d->n_alerts; n++) {
		names[n] = d->alerts[n].name;
		if (strcmp(names[n], t->name) == 0)
			return 0;
	}
	near = nearest_word(t->name, names, n);
	return REFUSE(REASON_NOT_FOUND, t->name, "%s has no alert of that name%s%s%s", t->service,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static size_t
find_by_hand(const struct mutes *all, const struct target *t)
{
	size_t i = 0;

	for (; i < json_array_size(all->by_hand); i++) {
		const json_t *item = json_array_get(all->by_hand, i);

		if (strcmp(json_text(item, "service"), t->service) == 0 &&
			strcmp(json_text(item, "name"), t->name) == 0)
			break;
	}
	return i;
}

static int
keep(struct monitor *m)
{
	int r = monitor_save_json(m, FILE_NAME, m->mutes->by_hand);

	tell(m);
	return r < 0 ? FAULT(r) : r;
}

static json_t *
make_mute(const struct target *t, uint64_t until_us, const char *reason, const char *by)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "service", t->service, "why", "by hand", "reason", reason,
		"by", by);

	if (item && (json_put_time(item, "until", until_us) < 0 ||
			    json_put_text(item, "name", *t->name ? t->name : NULL) < 0)) {
		json_decref(item);
		item = NULL;
	}
	return item;
}

/* It stands in the log and on terminals. */
static bool
is_line(const char *text)
{
	char shown[4 * REASON_TEXT_MAX + 1];

	return strcmp(log_escape(shown, sizeof(shown), text), text) == 0;
}

static int
on_mute(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct mutes *all = m->mutes;
	const char *target, *reason;
	char object[2 * WORD_MAX + REASON_TEXT_MAX + 64], until[CLOCK_TEXT_MAX];
	uint64_t for_s = 0, until_us;
	struct target t;
	json_t *item;
	size_t at;
	int r = monitor_call_need(call, "target", &target);

	(void)arg;
	r = r ?: monitor_call_need(call, "reason", &reason);
	r = r ?: monitor_call_u64(call, "for_s", UINT32_MAX, &for_s);
	if (r == 0 && (for_s < FOR_MIN_S || for_s > FOR_MAX_S))
		return REFUSE(REASON_USAGE, "for", "must be a time from 1m to 7d");
	if (r == 0 && (!*reason || strlen(reason) > REASON_TEXT_MAX || !is_line(reason)))
		return REFUSE(REASON_USAGE, "reason", "must be a line of 1 to %d bytes", (int)REASON_TEXT_MAX);
	r = r ?: read_target(m, target, &t);
	r = r ?: check_name(m, &t, monitor_call_text(call, "own") != NULL);
	if (r)
		return r < 0 ? FAULT(r) : r;
	at = find_by_hand(all, &t);
	if (at == MUTES_HAND_MAX)
		return REFUSE(REASON_BUSY, target, "%d mutes stand already: unmute one", (int)MUTES_HAND_MAX);
	until_us = clock_now_us() + for_s * CLOCK_US_PER_S;
	(void)snprintf(object, sizeof(object), "mute %s until %s: %s", target, clock_format(until, until_us),
		reason);
	r = monitor_leaf(m, "alert", monitor_call_actor(call), object, NULL, REASON_NONE);
	if (r < 0)
		return FAULT(r);
	item = make_mute(&t, until_us, reason, monitor_call_actor(call));
	if (!item || (at < json_array_size(all->by_hand) ? json_array_set(all->by_hand, at, item)
							 : json_array_append(all->by_hand, item)) < 0) {
		json_decref(item);
		return FAULT(-ENOMEM);
	}
	r = keep(m);
	if (r) {
		json_decref(item);
		return r;
	}
	monitor_answer(call, item);
	return 0;
}

static int
on_unmute(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct mutes *all = m->mutes;
	char object[2 * WORD_MAX + 32];
	const char *target;
	struct target t;
	size_t at;
	int r = monitor_call_need(call, "target", &target);

	(void)arg;
	r = r ?: read_target(m, target, &t);
	if (r)
		return r < 0 ? FAULT(r) : r;
	at = find_by_hand(all, &t);
	if (at == json_array_size(all->by_hand))
		return REFUSE(REASON_NOT_FOUND, target, "is not muted by hand; `mainstay alert list` shows what is");
	(void)snprintf(object, sizeof(object), "unmute %s", target);
	r = monitor_leaf(m, "alert", monitor_call_actor(call), object, NULL, REASON_NONE);
	if (r < 0)
		return FAULT(r);
	(void)json_array_remove(all->by_hand, at);
	return keep(m);
}

/* --- module ---------------------------------------------------------------------------------------------- */
/* Past, or so far off that a clock must have been set back. */
static bool
has_ended(uint64_t until_us, uint64_t now_us)
{
	return until_us <= now_us || until_us - now_us > FOR_MAX_S * CLOCK_US_PER_S;
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct mutes *all = arg;
	size_t n = 0, before = json_array_size(all->by_hand);

	(void)now_us;
	for (size_t i = 0; i < all->n_held; i++)
		if (!has_ended(all->held[i].until_us, clock_now_us()))
			all->held[n++] = all->held[i];
	for (size_t i = before; i > 0; i--) {
		uint64_t until_us = 0;

		if (clock_parse(&until_us, json_text(json_array_get(all->by_hand, i - 1), "until")) != 0 ||
			has_ended(until_us, clock_now_us()))
			(void)json_array_remove(all->by_hand, i - 1);
	}
	if (n != all->n_held)
		tell(m);
	all->n_held = n;
	if (json_array_size(all->by_hand) != before && keep(m) < 0)
		log_warning("mutes that ended are still in " FILE_NAME);
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	json_t *mutes = mutes_for_people(m);

	(void)arg;
	if (json_array_size(mutes) > 0)
		(void)json_object_set(status, "mutes", mutes);
	json_decref(mutes);
}

static void
mutes_free(void *arg)
{
	struct mutes *all = arg;

	json_decref(all->by_hand);
	free(all);
}

static const struct monitor_module module = {
	.name = "mutes",
	.tick = on_tick,
	.status = on_status,
	.free = mutes_free,
};

int
mutes_init(struct monitor *m)
{
	struct mutes *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return FAULT(-ENOMEM);
	m->mutes = all;
	r = monitor_load_json(m, FILE_NAME, FILE_MAX, &all->by_hand);
	if (r != 0 || !json_is_array(all->by_hand)) { /* without it alerts are heard */
		json_decref(all->by_hand);
		all->by_hand = json_array();
	}
	r = monitor_add_module(m, &module, all);
	r = r ?: monitor_register_verb(m, "alert.mute", CALL_ROLE_CONTROL, on_mute, NULL);
	return r ?: monitor_register_verb(m, "alert.unmute", CALL_ROLE_CONTROL, on_unmute, NULL);
}
