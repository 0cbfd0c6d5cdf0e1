/* Asking one PostgreSQL for its statistics, over a session that is kept: a probe is one query.  A server that does not
 * answer in time gives postgres_up 0 and nothing else; the next probe connects anew. */
#include "telemetry/collect/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/exchange.h"
#include "telemetry/collect/postgres_fields.h"
#include "telemetry/collect/postgres_talk.h"
#include "telemetry/collect/sample.h"

enum {
	NAME_MAX_BYTES = 64,
	IN_MAX = 64 * 1024,
	QUERY_MAX = 12 * 1024,
	DEAR_EVERY_S = 60,
};

struct value {
	bool known, is_int;
	int64_t whole;
	double real;
};

struct postgres {
	sd_event *loop;
	char *service, *dir, *name, *user, *database;
	const struct postgres_field *fields[POSTGRES_FIELDS_MAX];
	struct value values[POSTGRES_FIELDS_MAX]; /* of dear fields the last that came */
	size_t n_fields;
	void (*done)(void *arg), (*want)(void *arg);
	void *arg;

	struct buf password; /* empty: none was given yet */
	int fd;		     /* -1: no connection */
	struct loop_watch *watch;
	struct loop_timer *timer; /* runs from a probe's begin to its end */
	struct postgres_talk talk;
	struct buf in;
	uint64_t dear_us;  /* when the dear fields were asked for last; boot time */
	uint64_t since_us; /* when the statistics began */
	struct sample_set samples;
};

/* --- ending ---------------------------------------------------------------------------------------------------- */
static void
hang_up(struct postgres *g)
{
	g->watch = loop_unwatch(g->watch);
	scope_close(&g->fd);
	g->fd = -1;
	buf_reset(&g->in);
	g->dear_us = 0;
}

static void
put_values(struct postgres *g, uint64_t now_us)
{
	for (size_t i = 0; i < g->n_fields; i++) {
		const struct postgres_field *f = g->fields[i];
		const struct value *v = &g->values[i];
		struct otlp_sample *p;

		if (!v->known)
			continue;
		p = sample_gauge(&g->samples, g->service, f->metric, f->unit, now_us, v->real);
		if (p && f->counter)
			sample_count(p, g->since_us < now_us ? g->since_us : now_us, v->real);
		if (p && v->is_int) {
			p->is_int = true;
			p->whole = v->whole;
		}
	}
}

/* The probe has ended. */
static void
finish(struct postgres *g, bool up, bool values)
{
	uint64_t now_us = clock_now_us();

	g->timer = loop_cancel(g->timer);
	sample_reset(&g->samples);
	sample_gauge_int(&g->samples, g->service, "postgres_up", "1", now_us, up);
	if (values)
		put_values(g, now_us);
	g->done(g->arg);
}

static void
fail(struct postgres *g, bool up)
{
	hang_up(g);
	if (g->timer)
		finish(g, up, false);
}

static void
on_timeout(void *arg)
{
	struct postgres *g = arg;

	hang_up(g);
	finish(g, false, false);
}

/* All sessions are taken: it answers, and this one number is known. */
static void
on_full(struct postgres *g)
{
	for (size_t i = 0; i < g->n_fields; i++)
		g->values[i] = strcmp(g->fields[i]->name, "connections_percent") == 0
			? (struct value){ .known = true, .is_int = true, .whole = 100, .real = 100 }
			: (struct value){ 0 };
	hang_up(g);
	finish(g, true, true);
}

/* --- talking --------------------------------------------------------------------------------------------------- */
static int
say(struct postgres *g, const struct buf *out)
{
	if (out->len == 0)
		return 0;
	/* A few hundred bytes to a server that has read all before: less than all is a server in trouble. */
	return send(g->fd, out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)out->len
		? 0
		: -EPIPE;
}

static int
ask(struct postgres *g)
{
	SCOPED(buf_done) struct buf sql = BUF_MAX(QUERY_MAX);
	SCOPED(buf_done) struct buf out = BUF_MAX(QUERY_MAX + 64);
	uint64_t now_us = clock_mono_us();
	bool dear = g->dear_us == 0 || now_us - g->dear_us > DEAR_EVERY_S * CLOCK_US_PER_S;
	int r;

	postgres_fields_query(&sql, g->fields, g->n_fields, dear);
	r = buf_error(&sql);
	r = r ?: postgres_talk_query(&g->talk, &out, buf_text(&sql));
	r = r ?: say(g, &out);
	if (r == 0 && dear)
		g->dear_us = now_us;
	return r;
}

static void
take_row(struct postgres *g)
{
	struct value since = { 0 };

	if (g->talk.n_columns != g->n_fields + 1)
		return;
	if (postgres_fields_number(g->talk.column[0].p, g->talk.column[0].len, &since.is_int,
		    &since.whole, &since.real) &&
		since.is_int && since.whole > 0)
		g->since_us = (uint64_t)since.whole;
	for (size_t i = 0; i < g->n_fields; i++) {
		struct value v = { 0 };

		v.known = postgres_fields_number(g->talk.column[i + 1].p, g->talk.column[i + 1].len,
			&v.is_int, &v.whole, &v.real);
		if (v.known || !g->fields[i]->dear)
			g->values[i] = v;
	}
}

/* true: go on with the next message. */
static bool
on_message(struct postgres *g, int what)
{
	switch (what) {
	case POSTGRES_TALK_GO_ON:
		return true;
	case POSTGRES_TALK_ROW:
		take_row(g);
		return true;
	case POSTGRES_TALK_READY:
		if (g->talk.n_columns > 0) {
			if (g->timer)
				finish(g, true, true);
		} else if (g->timer && ask(g) != 0) {
			fail(g, false);
			return false;
		}
		return true;
	case POSTGRES_TALK_DENIED: /* it was rotated, perhaps */
		postgres_talk_forget(&g->talk);
		buf_wipe(&g->password);
		fail(g, true);
		return false;
	case POSTGRES_TALK_FULL:
		if (g->timer)
			on_full(g);
		else
			hang_up(g);
		return false;
	default: /* starting up, shutting down, a query that failed; nonsense, which was logged */
		fail(g, false);
		return false;
	}
}

/* Take whole messages.  A callback of ours may end with the connection gone. */
static void
take_all(struct postgres *g)
{
	for (;;) {
		SCOPED(buf_wipe) struct buf out = BUF_MAX(2048);
		size_t used = 0;
		int r = postgres_talk_take(&g->talk, g->in.data, g->in.len,
			(const char *)g->password.data, g->password.len, &used, &out);

		if (r == POSTGRES_TALK_MORE)
			return;
		if (say(g, &out) < 0) {
			fail(g, false);
			return;
		}
		if (!on_message(g, r))
			return;
		buf_consume(&g->in, used);
	}
}

static void
on_readable(uint32_t revents, void *arg)
{
	struct postgres *g = arg;
	uint8_t *at = g->in.len < IN_MAX / 2 ? buf_reserve(&g->in, IN_MAX / 2) : NULL;
	ssize_t n;

	(void)revents; /* an error or the end shows itself in recv() */
	if (!at) {
		fail(g, false);
		return;
	}
	n = recv(g->fd, at, IN_MAX / 2, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(g, false);
		return;
	}
	buf_advance(&g->in, (size_t)n);
	take_all(g);
}

static int
dial(struct postgres *g)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(1024);
	uint8_t nonce[POSTGRES_TALK_NONCE];
	int r = exchange_connect(&g->fd, g->dir, g->name);

	if (r < 0)
		return r;
	fs_random(nonce, sizeof(nonce));
	r = postgres_talk_begin(
		&g->talk, &out, g->user, g->database, SOURCE_TIMEOUT_MS, nonce);
	r = r ?: say(g, &out);
	return r ?: loop_watch(&g->watch, g->loop, g->fd, EPOLLIN, on_readable, g);
}

static void
postgres_probe(void *source)
{
	struct postgres *g = source;
	int r = 0;

	if (g->timer)
		return;
	if (g->password.len == 0)
		g->want(g->arg);
	if (g->password.len == 0)
		r = -ENOKEY;
	else if (g->fd >= 0 && g->talk.state == POSTGRES_TALK_IDLE)
		r = ask(g);
	else if (g->fd < 0)
		r = dial(g);
	if (r < 0) {
		log_debug("%s: %s", g->service, strerror(-r));
		hang_up(g);
	}
	/* Without a connection the end is told from the loop all the same. */
	r = loop_after(&g->timer, g->loop, r < 0 ? 0 : SOURCE_TIMEOUT_MS, on_timeout, g);
	if (r < 0) {
		hang_up(g);
		finish(g, false, false);
	}
}

/* --- the source ------------------------------------------------------------------------------------------------ */
static void
postgres_free(void *source)
{
	struct postgres *g = source;

	loop_unwatch(g->watch);
	loop_cancel(g->timer);
	scope_close(&g->fd);
	postgres_talk_forget(&g->talk);
	buf_wipe(&g->password);
	buf_done(&g->in);
	sample_done(&g->samples);
	free(g->service);
	free(g->dir);
	free(g->name);
	free(g->user);
	free(g->database);
	sd_event_unref(g->loop);
	free(g);
}

static int
take_fields(struct postgres *g, const json_t *list)
{
	const json_t *item;
	size_t i;

	if (json_array_size(list) > POSTGRES_FIELDS_MAX)
		return REFUSE(REASON_TOO_LARGE, g->service, "more than %d fields",
			(int)POSTGRES_FIELDS_MAX);
	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item);
		const struct postgres_field *f = text ? postgres_fields_find(text) : NULL;

		if (!f)
			return REFUSE(REASON_MALFORMED, g->service,
				"\"%s\" is no number that PostgreSQL is asked for", text ? text : "");
		g->fields[g->n_fields++] = f;
	}
	return 0;
}

static const char *
text_of(const json_t *spec, const char *member, const char *fallback)
{
	const char *text = json_string_value(json_object_get(spec, member));

	return text ? text : fallback;
}

static int
set_up(struct postgres *g, const struct source_ask *ask)
{
	const char *name = NULL;
	int r;

	g->fd = -1;
	g->in = BUF_MAX(IN_MAX);
	g->password = BUF_MAX(POSTGRES_TALK_PASSWORD_MAX);
	g->loop = sd_event_ref(ask->loop);
	g->done = ask->done;
	g->want = ask->want;
	g->arg = ask->arg;
	g->service = strdup(ask->service);
	if (!g->service)
		return FAULT(-ENOMEM);
	r = exchange_socket(&name, text_of(ask->spec, "socket", NULL), ask->service);
	r = r ?: take_fields(g, json_object_get(ask->spec, "fields"));
	if (r)
		return r;
	g->dir = strdup(ask->dir);
	g->name = strdup(name);
	g->user = strndup(text_of(ask->spec, "user", "postgres"), NAME_MAX_BYTES);
	g->database = strndup(text_of(ask->spec, "database", "postgres"), NAME_MAX_BYTES);
	return g->dir && g->name && g->user && g->database ? 0 : FAULT(-ENOMEM);
}

static int
postgres_make(void **ret, const struct source_ask *ask)
{
	struct postgres *g = calloc(1, sizeof(*g));
	int r = g ? set_up(g, ask) : -ENOMEM;

	if (r == 0)
		*ret = g;
	else if (g)
		postgres_free(g);
	return r < 0 ? FAULT(r) : r;
}

static const struct sample_set *
postgres_samples(const void *source)
{
	return &((const struct postgres *)source)->samples;
}

static void
postgres_secret(void *source, const char *value, size_t len)
{
	struct postgres *g = source;

	postgres_talk_forget(&g->talk);
	buf_wipe(&g->password);
	if (buf_reserve(&g->password, POSTGRES_TALK_PASSWORD_MAX)) /* once: growing would leave copies behind */
		buf_put(&g->password, value, len);
	if (buf_error(&g->password))
		buf_wipe(&g->password);
}

const struct source_kind postgres_source = { .name = "postgres",
	.make = postgres_make,
	.free = postgres_free,
	.probe = postgres_probe,
	.samples = postgres_samples,
	.secret = postgres_secret };
