#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call.h"
#include "appliance/bus/call_request.h"
#include "appliance/bus/frame.h"

enum {
	CALLS_MAX = 64,
	RETRY_BASE_US = 50000,
	RETRY_CAP_US = 2000000,
};

struct pending {
	uint32_t id;
	call_done_fn *done;
	void *arg;
};

struct call_link {
	sd_event *loop;
	char *path;
	struct call_link_ops ops;
	void *arg;
	struct frame_conn *conn; /* NULL while down */
	sd_event_source *timer;	 /* the next attempt */
	unsigned tries;
	uint32_t last_id;
	struct pending calls[CALLS_MAX];
	size_t n_calls;
	unsigned depth; /* callbacks under way */
	bool closed;	/* by one of them */
};

static void retry_later(struct call_link *l);

/* A callback may close the link: its memory then waits until the stack no longer stands on it. */
static void
enter(struct call_link *l)
{
	l->depth++;
}

/* false where the link is gone. */
static bool
leave(struct call_link *l)
{
	if (--l->depth > 0 || !l->closed)
		return !l->closed;
	free(l);
	return false;
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct call_link *l = arg;

	(void)conn;
	(void)why; /* whatever it was, the way on is to connect again */
	l->conn = frame_conn_close(l->conn);
	enter(l);
	while (!l->closed && l->n_calls > 0) {
		struct pending p = l->calls[--l->n_calls];

		p.done(-ECONNRESET, NULL, p.arg);
	}
	if (!l->closed && l->ops.down)
		l->ops.down(l->arg);
	if (leave(l))
		retry_later(l);
}

static void
take_event(struct call_link *l, struct frame *f)
{
	SCOPED_JSON *json = NULL;
	const char *name = frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX);

	if (name && call_request_json(f, &json) == 0 && l->ops.event)
		l->ops.event(name, json, l->arg);
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct call_link *l = arg;
	SCOPED_JSON *answer = NULL;
	struct pending p;
	size_t i;
	int r;

	(void)conn;
	if (f->type == CALL_TYPE_EVENT) {
		take_event(l, f);
		return;
	}
	for (i = 0; i < l->n_calls && l->calls[i].id != f->id; i++)
		;
	if (i == l->n_calls || f->type == CALL_TYPE_PROGRESS)
		return;
	p = l->calls[i];
	l->calls[i] = l->calls[--l->n_calls];
	r = call_request_answer(f, &answer);
	p.done(r, answer, p.arg);
}

static const struct frame_conn_ops conn_ops = { .frame = on_frame, .closed = on_closed };

static int
on_retry(sd_event_source *src, uint64_t usec, void *arg)
{
	struct call_link *l = arg;
	int fd = -1, r;

	(void)src;
	(void)usec;
	r = frame_connect(&fd, l->path);
	if (r == 0)
		r = frame_conn_open(&l->conn, l->loop, fd, &conn_ops, l);
	if (r) {
		retry_later(l);
		return 0;
	}
	l->tries = 0;
	if (l->ops.up)
		l->ops.up(l->arg);
	return 0;
}

static void
retry_later(struct call_link *l)
{
	uint64_t wait = l->tries == 0 ? 1 : clock_backoff_us(l->tries, RETRY_BASE_US, RETRY_CAP_US);

	l->tries++;
	/* Only a loop that has ended refuses that. */
	(void)sd_event_source_set_time_relative(l->timer, wait);
	(void)sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

int
call_link_open(struct call_link **ret, sd_event *loop, const char *path,
	const struct call_link_ops *ops, void *arg)
{
	struct call_link *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	if (!l)
		return FAULT(-ENOMEM);
	l->loop = sd_event_ref(loop);
	l->path = strdup(path);
	l->ops = *ops;
	l->arg = arg;
	/* One timer for good: to wait again takes no memory, without which the link would stay down for ever. */
	if (l->path)
		r = sd_event_add_time_relative(l->loop, &l->timer, CLOCK_MONOTONIC, 1, RETRY_BASE_US / 2,
			on_retry, l);
	if (r < 0) {
		call_link_close(l);
		return FAULT(r);
	}
	l->tries = 1;
	*ret = l;
	return 0;
}

struct call_link *
call_link_close(struct call_link *l)
{
	if (!l)
		return NULL;
	l->conn = frame_conn_close(l->conn);
	l->timer = sd_event_source_disable_unref(l->timer);
	l->loop = sd_event_unref(l->loop);
	free(l->path);
	l->path = NULL;
	l->closed = true;
	if (l->depth == 0)
		free(l);
	return NULL;
}

int
call_link_call(struct call_link *l, struct call_request *take_c, call_done_fn *done, void *arg)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	struct call_request *c = take_c;
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	if (!l->conn || l->n_calls == CALLS_MAX) {
		call_free(c);
		return -ENOTCONN;
	}
	r = call_request_frame(c, &out, ++l->last_id);
	if (r == -ENOMEM) {
		call_free(c);
		return FAULT(r);
	}
	if (r == 0)
		r = frame_conn_send(l->conn, &out);
	call_free(c);
	/* A connection that cannot take it ends through on_closed(). */
	if (r < 0)
		return -ENOTCONN;
	l->calls[l->n_calls++] = (struct pending){ .id = l->last_id, .done = done, .arg = arg };
	return 0;
}
