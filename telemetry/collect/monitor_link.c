#include "telemetry/collect/monitor_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call.h"
#include "appliance/loop/dial.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/collector.h"
#include "telemetry/collect/config.h"

enum { RETRY_MS = 1000 };

/* An alert as it is to be told. */
struct waiting {
	struct waiting *next;
	json_t *params; /* owned: the call's, all texts */
};

/* A secret that a source wants, and the monitor was asked for. */
struct wanted {
	struct wanted *next;
	struct monitor_link *link;
	char service[CONFIG_NAME_MAX + 1], secret[CONFIG_NAME_MAX + 1];
};

/* A connection that a source wants, and the monitor was asked for. */
struct dialing {
	struct dialing *next;
	struct monitor_link *link;
	char service[CONFIG_NAME_MAX + 1];
	unsigned port;
	int fd; /* our end: the connection comes over it */
};

struct monitor_link {
	sd_event *loop;
	char path[sizeof(((struct paths *)0)->run) + 32];
	struct call_link *link;
	struct collector *collector;
	struct loop_timer *retry;   /* hello or an alert failed while the link stayed up */
	struct waiting *first;      /* owned; oldest first */
	size_t n_waiting;
	struct wanted *wanted;      /* owned; their calls are under way */
	struct dialing *dialing;    /* the same */
	bool greeted;               /* this connection's hello was answered */
	bool calling;               /* an alert's call is under way: it is the first one's unless replaced */
	bool replaced;              /* the first one changed while it was */
};

int
monitor_link_new(struct monitor_link **ret, sd_event *loop, const struct paths *paths)
{
	struct monitor_link *l = calloc(1, sizeof(*l));

	if (!l)
		return FAULT(-ENOMEM);
	l->loop = sd_event_ref(loop);
	(void)snprintf(l->path, sizeof(l->path), "%s/collect.sock", paths->run);
	*ret = l;
	return 0;
}

static void
drop_first(struct monitor_link *l)
{
	struct waiting *w = l->first;

	l->first = w->next;
	l->n_waiting--;
	json_decref(w->params);
	free(w);
}

static void
drop_wanted(struct wanted *w)
{
	struct wanted **at = &w->link->wanted;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

static void
drop_dialing(struct dialing *d)
{
	struct dialing **at = &d->link->dialing;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	scope_close(&d->fd);
	free(d);
}

struct monitor_link *
monitor_link_free(struct monitor_link *l)
{
	if (!l)
		return NULL;
	loop_cancel(l->retry);
	call_link_close(l->link);
	while (l->first)
		drop_first(l);
	while (l->wanted)
		drop_wanted(l->wanted);
	while (l->dialing)
		drop_dialing(l->dialing);
	sd_event_unref(l->loop);
	free(l);
	return NULL;
}

/* --- alerts -------------------------------------------------------------------------------------------------- */
static void flush(struct monitor_link *l);
static void say_hello(struct monitor_link *l);

static void
on_retry(void *arg)
{
	struct monitor_link *l = arg;

	if (l->greeted)
		flush(l);
	else
		say_hello(l);
}

static void
retry(struct monitor_link *l)
{
	int r = loop_after(&l->retry, l->loop, RETRY_MS, on_retry, l);

	if (r < 0)
		log_fault(r, "waiting to tell the monitor");
}

static void
on_told(int r, const json_t *answer, void *arg)
{
	struct monitor_link *l = arg;

	(void)answer; /* that there is one suffices */
	l->calling = false;
	if (r < 0) { /* the link is gone, or the monitor is in trouble: the alert waits */
		retry(l);
		return;
	}
	/* A refusal is final: the same words would be refused again. */
	if (!l->replaced)
		drop_first(l);
	l->replaced = false;
	flush(l);
}

static void
flush(struct monitor_link *l)
{
	const struct waiting *w = l->first;
	struct call_request *call;
	const char *name;
	json_t *value;

	if (!w || l->calling || !l->greeted)
		return;
	call = call_new("alert");
	if (!call) {
		retry(l);
		return;
	}
	json_object_foreach(w->params, name, value)
		call_param(call, name, json_string_value(value));
	l->calling = call_link_call(l->link, call, on_told, l) == 0;
	l->replaced = false;
	if (!l->calling)
		retry(l);
}

static bool
same_alert(const json_t *a, const json_t *b)
{
	static const char *const names[] = { "service", "name", "group" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(json_text(a, names[i]), json_text(b, names[i])) != 0)
			return false;
	return true;
}

/* Of one alert only the newest state waits. */
static void
put_waiting(struct monitor_link *l, json_t *take_params)
{
	SCOPED_JSON *params = take_params;
	struct waiting **at, *w;

	for (at = &l->first; *at; at = &(*at)->next)
		if (same_alert((*at)->params, params))
			break;
	w = *at;
	if (!w && l->n_waiting == MONITOR_LINK_WAITING_MAX) {
		log_warning("alert %s is not told to the monitor: too many wait", json_text(params, "name"));
		return;
	}
	if (!w) {
		w = calloc(1, sizeof(*w));
		if (!w) {
			log_fault(FAULT(-ENOMEM), "keeping an alert");
			return;
		}
		*at = w;
		l->n_waiting++;
	} else if (w == l->first && l->calling) {
		l->replaced = true;
	}
	json_decref(w->params);
	w->params = STEAL(params);
	flush(l);
}

void
monitor_link_alert(const struct rule_alert *alert, void *link)
{
	const struct rule *rule = alert->rule;
	char since[CLOCK_TEXT_MAX], value[32];
	json_t *params;

	(void)snprintf(value, sizeof(value), "%.17g", alert->value);
	params = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "service", rule->service, "name", rule->name,
		"group", alert->group, "state", rule_told_text(alert->told), "since",
		clock_format(since, alert->since_us), "severity", rule->severity, "value", value);
	if (!params || json_put_text(params, "text", *alert->text ? alert->text : NULL) < 0 ||
		json_put_text(params, "muted_by", *alert->muted_by ? alert->muted_by : NULL) < 0 ||
		json_put_text(params, "operation", *rule->operation ? rule->operation : NULL) < 0) {
		json_decref(params);
		log_fault(FAULT(-ENOMEM), "keeping an alert");
		return;
	}
	put_waiting(link, params);
}

/* What the monitor holds for firing and fires no more: its end was not heard, or the state that knew it is lost. */
static void
end_standing(struct monitor_link *l, const json_t *standing)
{
	const json_t *item;
	size_t i;

	json_array_foreach(standing, i, item) {
		const struct waiting *w = l->first;
		json_t *params;

		while (w && !same_alert(w->params, item))
			w = w->next;
		if (w)
			continue;
		params = json_pack("{s:s, s:s, s:s, s:s, s:s}", "service", json_text(item, "service"), "name",
			json_text(item, "name"), "group", json_text(item, "group"), "state", "resolved", "since",
			json_text(item, "since"));
		if (params)
			put_waiting(l, params);
	}
}

/* --- secrets ------------------------------------------------------------------------------------------------- */
static void
on_secret(int r, const json_t *answer, void *arg)
{
	struct wanted *w = arg;
	const json_t *value = json_object_get(answer, "value");

	/* Without one the source asks again. */
	if (r == 0 && json_is_string(value))
		collector_secret(w->link->collector, w->service, w->secret, json_string_value(value),
			json_string_length(value));
	drop_wanted(w);
}

void
monitor_link_want(const char *service, const char *secret, void *link)
{
	struct monitor_link *l = link;
	struct call_request *call;
	struct wanted *w;

	for (w = l->wanted; w; w = w->next)
		if (strcmp(w->service, service) == 0 && strcmp(w->secret, secret) == 0)
			return;
	w = l->greeted ? calloc(1, sizeof(*w)) : NULL;
	call = w ? call_new("collect.secret") : NULL;
	if (!call) {
		free(w);
		return;
	}
	w->link = l;
	(void)snprintf(w->service, sizeof(w->service), "%s", service);
	(void)snprintf(w->secret, sizeof(w->secret), "%s", secret);
	w->next = l->wanted;
	l->wanted = w;
	call_param(call, "service", service);
	call_param(call, "secret", secret);
	if (call_link_call(l->link, call, on_secret, w) != 0)
		drop_wanted(w);
}

/* --- connections --------------------------------------------------------------------------------------------- */
static void
on_dialed(int r, const json_t *answer, void *arg)
{
	struct dialing *d = arg;
	int fd = -1;

	(void)answer;
	if (r == 0)
		(void)dial_take(&fd, d->fd); /* -1: nobody listens there */
	collector_dialed(d->link->collector, d->service, d->port, fd);
	drop_dialing(d);
}

static bool
dial(struct monitor_link *l, const char *service, unsigned port)
{
	struct dialing *d = l->greeted ? calloc(1, sizeof(*d)) : NULL;
	struct call_request *call = d ? call_new("collect.dial") : NULL;
	int pair[2] = { -1, -1 };

	if (call && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
		*d = (struct dialing){ .next = l->dialing, .link = l, .port = port, .fd = pair[0] };
		l->dialing = d;
		(void)snprintf(d->service, sizeof(d->service), "%s", service);
		call_param(call, "service", service);
		call_param_u64(call, "port", port);
		call_socket(call, pair[1]);
		if (call_link_call(l->link, STEAL(call), on_dialed, d) == 0)
			return true;
		drop_dialing(d);
		return false;
	}
	call_free(call);
	free(d);
	return false;
}

void
monitor_link_dial(const char *service, unsigned port, void *link)
{
	struct monitor_link *l = link;

	if (!dial(l, service, port))
		collector_dialed(l->collector, service, port, -1);
}

/* --- config ---------------------------------------------------------------------------------------------------- */
static void
take_config(struct monitor_link *l, const json_t *json)
{
	json_t *doc = json_copy_whole(json, JSON_DEEP);
	int r = doc ? collector_config(l->collector, doc) : FAULT(-ENOMEM);

	json_decref(doc);
	if (r < 0)
		log_fault(r, "taking the monitor's config");
}

static void
on_hello(int r, const json_t *answer, void *arg)
{
	struct monitor_link *l = arg;
	SCOPED_JSON *config = NULL, *standing = NULL;

	if (r != 0) { /* before the monitor knows us, or as it goes: try again */
		if (r > 0)
			log_debug("the monitor refuses hello: %s", refuse_token((enum reason)r));
		retry(l);
		return;
	}
	config = json_copy_whole(answer, JSON_SHALLOW);
	if (!config) { /* without it everything would be over */
		log_fault(FAULT(-ENOMEM), "taking the monitor's answer");
		retry(l);
		return;
	}
	l->greeted = true;
	standing = json_incref(json_object_get(config, "standing"));
	(void)json_object_del(config, "standing");
	take_config(l, config);
	/* A monitor that was away, or we, may have missed some: telling one twice changes nothing there. */
	collector_each(l->collector, monitor_link_alert, l);
	end_standing(l, standing);
	flush(l);
}

static void
say_hello(struct monitor_link *l)
{
	struct call_request *call = call_new("collect.hello");

	if (!call || call_link_call(l->link, call, on_hello, l) < 0)
		retry(l);
}

static void
on_up(void *arg)
{
	struct monitor_link *l = arg;

	l->greeted = false;
	say_hello(l);
}

static void
on_down(void *arg)
{
	struct monitor_link *l = arg;

	l->greeted = false;
	l->retry = loop_cancel(l->retry);
}

static void
on_event(const char *name, const json_t *json, void *arg)
{
	struct monitor_link *l = arg;

	if (strcmp(name, "config") == 0 && json)
		take_config(l, json);
}

int
monitor_link_start(struct monitor_link *l, struct collector *c)
{
	static const struct call_link_ops ops = { .up = on_up, .down = on_down, .event = on_event };

	l->collector = c;
	return FAULT(call_link_open(&l->link, l->loop, l->path, &ops, l));
}
