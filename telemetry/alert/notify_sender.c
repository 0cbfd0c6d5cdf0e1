#include "telemetry/alert/notify_sender.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/loop/loop.h"
#include "appliance/serve/databases.h"
#include "appliance/serve/serve.h"
#include "telemetry/alert/alert_inbox.h"
#include "telemetry/alert/notify_message.h"

enum { CONFIG_MAX = 16 * 1024 };

/* A message under way. */
struct flight {
	struct notify_sender *owner;
	struct curl_transfer *transfer;
	struct flight *next;
	struct notify_target target;
	struct notify_position at;
	char customer[65];
	int64_t last; /* of the notices it holds; 0: it repeats what fires */
	size_t n;
};

struct notify_sender {
	sd_event *loop;
	struct loop_timer *round;
	struct curl_loop *curl;
	struct databases *databases;
	struct flight *flights;
	size_t n_flights;
	char hub[SERVE_NAME_MAX];
};

/* --- flights ---------------------------------------------------------------------------------------------------- */
static void
end_flight(struct flight *f)
{
	struct flight **at = &f->owner->flights;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->owner->n_flights--;
	curl_loop_cancel(f->transfer);
	free(f);
}

static size_t
count_flights(const struct notify_sender *s, int64_t target, const char *customer)
{
	size_t n = 0;

	for (const struct flight *f = s->flights; f; f = f->next)
		n += f->target.id == target && (!customer || strcmp(f->customer, customer) == 0);
	return n;
}

/* Write down how a message went. */
static int
note(struct notify_sender *s, const struct flight *f, struct db *db, int result, const char *why)
{
	uint64_t now_us = clock_now_us();
	int r;

	(void)s;
	if (result == 0)
		r = f->last > 0 ? notify_queue_told(db, f->target.id, f->last, f->n)
				: notify_queue_repeated(db, f->target.id, now_us);
	else
		r = notify_queue_failed(db, f->target.id, &f->at, f->last, f->n, result == NOTIFY_NEVER, why, now_us);
	return FAULT(r);
}

static void
on_done(struct http_reply *reply, void *arg)
{
	struct flight *f = arg;
	struct notify_sender *s = f->owner;
	char why[NOTIFY_QUEUE_ERROR_MAX], shown[NOTIFY_QUEUE_ERROR_MAX];
	struct db *db;
	int result = notify_message_result(&f->target, reply, why);
	int r = databases_customer(s->databases, f->customer, &db);

	if (result != 0)
		log_warning("receiver %jd of notifications, customer %s: %s%s", (intmax_t)f->target.id, f->customer,
			log_escape(shown, sizeof(shown), why), result == NOTIFY_NEVER ? "; given up" : "");
	r = r ? r : note(s, f, db, result, why);
	if (r < 0)
		log_fault(r, "write down a notification");
	end_flight(f);
}

static int
launch(struct notify_sender *s, const struct notify_target *t, const char *customer, struct db *db,
	const struct notify_position *at, int64_t last, const json_t *items)
{
	const struct notify_form form = { t, s->hub, customer, items, clock_now_us() };
	SCOPED(notify_message_done) struct notify_message m = { 0 };
	struct flight *f = calloc(1, sizeof(*f));
	int r = f ? 0 : FAULT(-ENOMEM);

	if (r < 0)
		return r;
	*f = (struct flight){ .owner = s, .target = *t, .at = *at, .last = last, .n = json_array_size(items) };
	(void)snprintf(f->customer, sizeof(f->customer), "%s", customer);
	r = notify_message_make(&m, &form);
	r = r ? r : curl_loop_start(&f->transfer, s->curl, &m.request, on_done, f);
	if (r != 0) {
		/* Its secret cannot be read, say: that is written down, and tried again. */
		int w = r > 0 ? note(s, f, db, NOTIFY_AGAIN, refuse_last()->text) : r;

		free(f);
		return FAULT(w);
	}
	f->next = s->flights;
	s->flights = f;
	s->n_flights++;
	return 0;
}

/* --- what is to be said ------------------------------------------------------------------------------------------ */
/* A mail is of one group, site and service; or, where there is much to say, a digest.  Cuts items to those that go into
 * one; returns the last of them. */
static int64_t
cut_group(json_t *items, int64_t last)
{
	const json_t *first = json_array_get(items, 0);
	size_t n = json_array_size(items);

	if (n > NOTIFY_SENDER_GROUP_MAX)
		return last;
	for (size_t i = 1; i < n; i++) {
		const json_t *item = json_array_get(items, i);

		if (strcmp(json_text(item, "site"), json_text(first, "site")) == 0 &&
			strcmp(json_text(item, "service"), json_text(first, "service")) == 0)
			continue;
		while (json_array_size(items) > i)
			(void)json_array_remove(items, json_array_size(items) - 1);
		return json_integer_value(json_object_get(json_array_get(items, i - 1), "notice"));
	}
	return last;
}

/* What fires, told again: an Alertmanager forgets what it does not hear of. */
static int
repeat(struct notify_sender *s, const struct notify_target *t, const char *customer, struct db *db,
	const struct notify_position *at, uint64_t now_us)
{
	SCOPED_JSON *items = json_array();
	int r;

	if (t->kind != NOTIFY_ALERTMANAGER || now_us < at->repeated_us + NOTIFY_SENDER_REPEAT_S * CLOCK_US_PER_S)
		return 0;
	r = items ? notify_queue_active(db, customer, items) : -ENOMEM;
	if (r == 0 && json_array_size(items) == 0)
		r = notify_queue_repeated(db, t->id, now_us);
	else if (r == 0)
		r = launch(s, t, customer, db, at, 0, items);
	return FAULT(r);
}

struct visit {
	struct notify_sender *sender;
	const struct notify_target *target;
};

static bool
is_wanted(const char *customer, void *arg)
{
	const struct visit *v = arg;
	const struct notify_target *t = v->target;

	return (t->customer[0] == '\0' || strcmp(t->customer, customer) == 0) &&
		v->sender->n_flights < NOTIFY_SENDER_MAX && count_flights(v->sender, t->id, NULL) < NOTIFY_SENDER_EACH_MAX &&
		count_flights(v->sender, t->id, customer) == 0;
}

static int
consider(const char *customer, struct db *db, void *arg)
{
	const struct visit *v = arg;
	const struct notify_target *t = v->target;
	SCOPED_JSON *items = json_array();
	uint64_t now_us = clock_now_us();
	struct notify_position at;
	int64_t last;
	int r = notify_queue_position(db, t->id, t->created_us, &at);

	if (r < 0 || at.next_us > now_us)
		return FAULT(r);
	r = items ? notify_queue_take(db, customer, &at, items, &last) : -ENOMEM;
	if (r < 0)
		return FAULT(r);
	if (last == 0)
		return repeat(v->sender, t, customer, db, &at, now_us);
	if (json_array_size(items) == 0)
		return FAULT(notify_queue_told(db, t->id, last, 0));
	if (t->kind == NOTIFY_SMTP)
		last = cut_group(items, last);
	return launch(v->sender, t, customer, db, &at, last, items);
}

static int
visit_target(const struct notify_target *t, void *arg)
{
	struct visit v = { arg, t };

	return FAULT(databases_each(v.sender->databases, is_wanted, consider, &v));
}

static void
on_round(void *arg)
{
	struct notify_sender *s = arg;
	int r = notify_target_each(databases_fleet(s->databases), visit_target, s);

	if (r < 0)
		log_fault(r, "look for notifications");
	r = loop_after(&s->round, s->loop, NOTIFY_SENDER_ROUND_MS, on_round, s);
	if (r < 0)
		(void)sd_event_exit(s->loop, 4); /* without it nothing is ever told: the hub starts us again */
}

/* --- life --------------------------------------------------------------------------------------------------------- */
/* The hub's name stands in what is told. */
static int
read_name(struct notify_sender *s, const char *dir)
{
	SCOPED(scope_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(buf_done) struct buf text = BUF_MAX(CONFIG_MAX);
	SCOPED_JSON *doc = NULL;
	int r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, "hub.json", CONFIG_MAX, &text);

	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, dir, "is no hub's folder");
	r = r ? r : json_read(&doc, text.data, text.len, CONFIG_MAX, "hub.json");
	if (r == 0)
		(void)snprintf(s->hub, sizeof(s->hub), "%s", json_text(doc, "name"));
	return FAULT(r);
}

int
notify_sender_new(struct notify_sender **ret, sd_event *loop, const char *dir)
{
	static const struct serve_module *const modules[] = { &alert_inbox_module, NULL };
	SCOPED(notify_sender_freep) struct notify_sender *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->loop = sd_event_ref(loop);
	r = read_name(s, dir);
	r = r ? r : serve_open_databases(&s->databases, dir, modules);
	r = r ? r : curl_loop_new(&s->curl, loop);
	if (r != 0)
		return FAULT(r);
	*ret = STEAL(s);
	return 0;
}

struct notify_sender *
notify_sender_free(struct notify_sender *s)
{
	if (!s)
		return NULL;
	loop_cancel(s->round);
	while (s->flights)
		end_flight(s->flights);
	curl_loop_free(s->curl);
	databases_close(s->databases);
	sd_event_unref(s->loop);
	free(s);
	return NULL;
}

int
notify_sender_start(struct notify_sender *s)
{
	return FAULT(loop_after(&s->round, s->loop, 0, on_round, s));
}
