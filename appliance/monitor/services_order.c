/* Which service starts after which: what a definition requires is there first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"

enum item_is { ITEM_WAITS, ITEM_STARTS, ITEM_OVER };

struct item {
	struct services_order *order;
	char name[SERVICES_NAME_MAX + 1];
	json_t *requires; /* names; NULL: none, or nobody knows */
	enum item_is is;
};

struct services_order {
	struct monitor *m;
	struct services_order *next; /* another order that is under way */
	size_t n;
	struct item items[];
};

/* *ret, the caller's, may be NULL: it requires none. */
static int
requires(struct monitor *m, const char *name, json_t **ret)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	int r = lock_find(&m->services->lock, name) ? services_definition(m, name, &d) : REASON_NOT_FOUND;

	if (r == -ENOMEM) /* the next time it can be read, and would not have waited */
		return FAULT(r);
	/* One that cannot be read cannot be started either, and says why there. */
	if (r != 0 || !d->requires_services)
		return 0;
	*ret = json_copy_whole(d->requires_services, JSON_DEEP);
	return *ret ? 0 : FAULT(-ENOMEM);
}

static bool
is_in(const json_t *names, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(names, i, one) {
		if (!strcmp(json_string_value(one), name))
			return true;
	}
	return false;
}

static struct services_order *
order_free(struct services_order *o)
{
	for (size_t i = 0; o && i < o->n; i++)
		json_decref(o->items[i].requires);
	free(o);
	return NULL;
}

void
services_order_free(struct services *s)
{
	while (s->order) {
		struct services_order *o = s->order;

		s->order = o->next;
		order_free(o);
	}
}

static void
leave(struct services_order *o)
{
	struct services_order **at = &o->m->services->order;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	order_free(o);
}

static bool
must_wait(const struct services_order *o, const struct item *item)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->items[i].is != ITEM_OVER && is_in(item->requires, o->items[i].name))
			return true;
	}
	return false;
}

static void advance(struct services_order *o);

static void
on_started(int r, void *arg)
{
	struct item *item = arg;

	if (r < 0)
		log_fault(r, item->name);
	item->is = ITEM_OVER;
	advance(item->order);
}

static size_t
count(const struct services_order *o, enum item_is is)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n; i++)
		n += o->items[i].is == is;
	return n;
}

static void
advance(struct services_order *o)
{
	/* A ring waits for itself: none of it starts unless all do. */
	for (bool ring = false; count(o, ITEM_WAITS) > 0; ring = true) {
		for (size_t i = 0; i < o->n; i++) {
			struct item *item = &o->items[i];
			int r;

			if (item->is != ITEM_WAITS || (!ring && must_wait(o, item)))
				continue;
			item->is = ITEM_STARTS;
			r = services_step_yielding(o->m, item->name, DEFINITION_VERB_START, on_started, item);
			if (r == 0)
				continue;
			log_fault(r, item->name);
			item->is = ITEM_OVER;
		}
		if (count(o, ITEM_STARTS) > 0)
			return;
	}
	if (count(o, ITEM_STARTS) == 0)
		leave(o);
}

int
services_order_start(struct monitor *m, const char *const *names, size_t n)
{
	struct services_order *o = calloc(1, sizeof(*o) + n * sizeof(o->items[0]));
	int r = 0;

	if (!o)
		return FAULT(-ENOMEM);
	o->m = m;
	o->n = n;
	for (size_t i = 0; r == 0 && i < n; i++) {
		o->items[i].order = o;
		(void)snprintf(o->items[i].name, sizeof(o->items[i].name), "%s", names[i]);
		r = requires(m, names[i], &o->items[i].requires);
	}
	if (r < 0) {
		order_free(o);
		return FAULT(r);
	}
	o->next = m->services->order;
	m->services->order = o;
	advance(o);
	return 0;
}

/* 1, 0, or a fault: what could not be looked at neither runs nor does not. */
static int
runs(struct monitor *m, const char *name)
{
	struct services_state state = { 0 };
	bool known = services_find(m, name, &state);

	if (state.fault < 0)
		return FAULT(state.fault);
	return known && strcmp(state.state, "stopped") != 0 && strcmp(state.state, "failed") != 0;
}

int
services_order_missing(struct monitor *m, const char *name, char ret[SERVICES_NAME_MAX + 1])
{
	SCOPED_JSON *names = NULL;
	const json_t *one;
	size_t i;
	int r = requires(m, name, &names);

	if (r < 0)
		return FAULT(r);
	json_array_foreach(names, i, one) {
		(void)snprintf(ret, SERVICES_NAME_MAX + 1, "%s", json_string_value(one));
		r = runs(m, ret);
		if (r <= 0)
			return r < 0 ? FAULT(r) : 1;
	}
	return 0;
}

int
services_order_user(struct monitor *m, const char *name, char ret[SERVICES_NAME_MAX + 1])
{
	for (size_t i = 0; i < m->services->lock.n; i++) {
		SCOPED_JSON *names = NULL;
		int r;

		(void)snprintf(ret, SERVICES_NAME_MAX + 1, "%s", m->services->lock.entries[i].service);
		r = requires(m, ret, &names);
		if (r < 0)
			return FAULT(r);
		r = is_in(names, name) ? runs(m, ret) : 0;
		if (r != 0)
			return FAULT(r);
	}
	return 0;
}
