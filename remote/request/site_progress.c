/* What a request says while it runs, for those who wait: a signed message now and then, never more than one in
 * REQUEST_PROGRESS_MS.  Part of the module of site_room.h. */
#include "remote/request/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/monitor.h"
#include "remote/request/result.h"
#include "remote/request/site_room.h"
#include "remote/request/site_say.h"

enum { WAITING_MAX = 64 * 1024, STREAMS = 2, ESCAPED = 4 /* "\\x1b" */ };

struct request_progress {
	struct request_site *s;
	const struct request_item *item;
	struct loop_timer *timer;
	uint64_t n, first; /* of the last message; of the one before those that are ours */
	struct buf waiting[STREAMS]; /* not said yet, as it came: stdout, stderr */
	unsigned turn;		     /* the stream that goes first */
	size_t room;		     /* bytes of text that may still be said */
	uint64_t left_out;	     /* bytes that were not, since that was last said */
	const char *state;	     /* to be said; static; NULL: none */
	bool silent;		     /* nothing more is said: there is no room, or it may not leave */
};

static void
say(struct request_progress *p, enum progress_kind kind, const char *text)
{
	struct progress message = { .n = p->n + 1, .time_us = monitor_now_us(p->s->m), .kind = kind, .text = text };
	int r;

	request_site_tell_progress(p->s, p->item, &message);
	memcpy(message.request, p->item->request->digest, sizeof(message.request));
	r = request_site_post_progress(p->s->m, p->item, &message);
	if (r < 0)
		log_fault(r, "saying what a request does");
	if (r == 0)
		p->n++;
	else
		p->silent = true;
}

/* Bytes at the end that are the beginning of a character whose rest is still to come. */
static size_t
cut_short(const uint8_t *b, size_t len)
{
	for (size_t back = 1; back <= 3 && back <= len; back++) {
		uint8_t c = b[len - back];
		size_t need = c > 0xf4 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if ((c & 0xc0) != 0x80)
			return need > back ? back : 0;
	}
	return 0;
}

/* The next piece of a stream, in so many bytes of text as there may be; how much of it that was. */
static size_t
take(struct request_progress *p, struct buf *from, struct buf *text)
{
	size_t max = p->room < REQUEST_PROGRESS_MAX ? p->room : REQUEST_PROGRESS_MAX;
	size_t len = from->len < max ? from->len : max;

	for (; len > 0; len /= 2) {
		size_t whole = len - cut_short(from->data, len);

		buf_reset(text);
		if (whole == 0)
			break;
		if (!request_result_text(text, from->data, whole, max))
			return whole;
	}
	return 0;
}

static bool
say_output(struct request_progress *p, unsigned stream)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(REQUEST_PROGRESS_MAX);
	struct buf *from = &p->waiting[stream];
	size_t n = from->len > 0 && p->room >= ESCAPED ? take(p, from, &text) : 0;

	if (p->room < ESCAPED) { /* not one byte more for certain */
		p->left_out += from->len;
		buf_reset(from);
	}
	if (n == 0)
		return false;
	buf_consume(from, n);
	p->room -= text.len;
	p->turn = !stream;
	say(p, stream == 0 ? PROGRESS_OUT : PROGRESS_ERR, buf_text(&text));
	return true;
}

static void
say_left_out(struct request_progress *p)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "%llu bytes and more of its output are left out here; the result has what counts",
		(unsigned long long)p->left_out);
	p->left_out = 0;
	say(p, PROGRESS_STATE, text);
}

/* One message.  false: there is nothing to say. */
static bool
say_next(struct request_progress *p)
{
	const char *state = p->state;

	if (say_output(p, p->turn) || say_output(p, !p->turn))
		return true;
	if (p->left_out > 0) {
		say_left_out(p);
		return true;
	}
	p->state = NULL;
	if (state)
		say(p, PROGRESS_STATE, state);
	return state != NULL;
}

static void on_turn(void *arg);

static void
wait_for_turn(struct request_progress *p)
{
	int r = p->timer || p->silent
		? 0
		: loop_after(&p->timer, monitor_loop(p->s->m), p->s->progress_ms, on_turn, p);

	if (r < 0) {
		log_fault(r, "planning to say what a request does");
		p->silent = true;
	}
}

static void
on_turn(void *arg)
{
	struct request_progress *p = arg;

	p->timer = loop_cancel(p->timer);
	if (say_next(p))
		wait_for_turn(p);
}

int
request_site_progress(struct request_progress **ret, struct request_site *s, const struct request_item *item)
{
	struct request_progress *p = calloc(1, sizeof(*p));

	if (!p)
		return FAULT(-ENOMEM);
	/* What a result has room for, of one stream: who wants all of it waits for that. */
	*p = (struct request_progress){ .s = s, .item = item, .room = REQUEST_OUTPUT_MAX,
		.n = item->said, .first = item->said };
	for (unsigned i = 0; i < STREAMS; i++)
		p->waiting[i] = BUF_MAX(WAITING_MAX);
	*ret = p;
	request_site_progress_state(p, "running");
	return 0;
}

void
request_site_progress_state(struct request_progress *p, const char *state)
{
	if (!p)
		return;
	p->state = state;
	wait_for_turn(p);
}

void
request_site_progress_output(struct request_progress *p, int stream, const void *bytes, size_t len)
{
	struct buf *to = p ? &p->waiting[stream == 2] : NULL;
	size_t space;

	if (!p || p->silent)
		return;
	space = p->room >= ESCAPED ? WAITING_MAX - to->len : 0;
	if (space > len)
		space = len;
	buf_put(to, bytes, space);
	p->left_out += len - space;
	wait_for_turn(p);
}

void
request_site_progress_end(struct request_progress *p)
{
	if (!p || p->n == p->first)
		return;
	for (unsigned i = 0; i < STREAMS && !p->silent; i++)
		(void)say_output(p, i);
	for (unsigned i = 0; i < STREAMS; i++) {
		p->left_out += p->waiting[i].len;
		buf_reset(&p->waiting[i]);
	}
	if (p->left_out > 0 && !p->silent)
		say_left_out(p);
	p->timer = loop_cancel(p->timer);
	p->silent = true;
}

struct request_progress *
request_site_progress_free(struct request_progress *p)
{
	if (p) {
		loop_cancel(p->timer);
		for (unsigned i = 0; i < STREAMS; i++)
			buf_done(&p->waiting[i]);
		free(p);
	}
	return NULL;
}
