/* For whom a request waits, as this site itself says it to its engineer: signed, numbered like all that is said of it before
 * its result.  Part of the module of site_room.h. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/monitor/monitor.h"
#include "appliance/policy/policy.h"
#include "remote/request/progress.h"
#include "remote/request/site_say.h"
#include "remote/request/standing.h"

enum { TEXT_MAX = 2048, NAMED_MAX = 8 };

/* Which plan it is, where it is not the first, and who made it less. */
static void
put_plan(struct buf *b, const struct request_item *item)
{
	const struct request_limits *l = &item->limits;
	char memory[NUMBER_SIZE_MAX], output[NUMBER_SIZE_MAX];

	if (item->plans < 2)
		return;
	buf_printf(b, "plan %u: ", item->plans);
	if (item->narrowed_by)
		buf_printf(b, "%s lowered its limits to %" PRIu64 ".%03" PRIu64 " s, %s of memory, %s of output; ", item->narrowed_by,
			l->timeout_ms / 1000, l->timeout_ms % 1000, number_size_text(memory, l->memory),
			number_size_text(output, l->output));
}

static size_t
n_who(const struct policy *p, const struct policy_answer *a)
{
	return a->limited ? a->n_approvers : policy_n_approvers(p);
}

static const char *
who(const struct policy *p, const struct policy_answer *a, size_t i)
{
	return a->limited ? a->approvers[i] : policy_approver(p, i)->name;
}

static void
put_who(struct buf *b, const struct request_site *s, const struct request_item *item, const struct policy_answer *a)
{
	const struct policy *p = monitor_policy(s->m);
	size_t n = n_who(p, a), yes = json_array_size(item->permits);

	if (n == 0)
		buf_puts(b, "waits: nobody may approve it");
	else if (a->need > 1)
		buf_printf(b, "waits for %u of: ", a->need);
	else
		buf_puts(b, "waits for one of: ");
	for (size_t i = 0; i < n && i < NAMED_MAX; i++)
		buf_printf(b, "%s%s", i ? ", " : "", who(p, a, i));
	if (n > NAMED_MAX)
		buf_printf(b, " and %zu more", n - NAMED_MAX);
	for (size_t i = 0; i < yes; i++)
		buf_printf(b, "%s%s", i ? ", " : "; yes said ", json_text(json_array_get(item->permits, i), "approver"));
}

static int
make_text(struct buf *b, const struct request_site *s, const struct request_item *item, const struct request_site_ground *g)
{
	char when[CLOCK_TEXT_MAX];

	put_plan(b, item);
	put_who(b, s, item, &g->verdict.answer);
	if (item->opens_us)
		buf_printf(b, "; or until the maintenance hours begin %s", clock_format(when, item->opens_us));
	buf_printf(b, "; since %s", clock_format(when, item->received_us));
	buf_printf(b, "; expires %s", clock_format(when, item->flow.expires_us));
	return FAULT(buf_error(b));
}

/* The number is used up on disk before it is said: no two are the same, whatever happens. */
static int
say(struct request_site *s, struct request_item *item, const char *text)
{
	struct progress p = { .n = item->said + 1, .time_us = monitor_now_us(s->m), .kind = PROGRESS_STATE, .text = text };
	char *copy = strdup(text);
	int r;

	if (!copy)
		return FAULT(-ENOMEM);
	free(item->waits);
	item->waits = copy;
	item->said++;
	r = request_store_save(s->store, item);
	memcpy(p.request, item->request->digest, sizeof(p.request));
	/* Switched off, or no room for it: the hub's word is all that its engineer has then. */
	return r < 0 ? FAULT(r) : request_site_post_progress(s->m, item, &p);
}

void
request_site_say_covered(struct request_site *s, struct request_item *item, const struct standing_permit *p)
{
	char text[256], when[CLOCK_TEXT_MAX];
	int r;

	(void)snprintf(text, sizeof(text), "covered by the standing permit %.8s of %s: %u of %u uses left, until %s", p->permit.id,
		p->permit.approver, p->permit.uses - p->used, p->permit.uses, clock_format(when, p->permit.expires));
	r = say(s, item, text);
	if (r < 0)
		log_fault(r, "saying what covers a request");
}

void
request_site_say_waits(struct request_site *s, struct request_item *item)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	SCOPED(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	struct refusal why = *refuse_last();
	int r;

	if (item->flow.state != FLOW_STATE_WAITING)
		return;
	r = request_site_ground(s, item, &g);
	r = r ?: make_text(&text, s, item, &g);
	if (!r && (!item->waits || strcmp(item->waits, buf_text(&text)) != 0))
		r = say(s, item, buf_text(&text));
	if (r < 0)
		log_fault(r, "saying for whom a request waits");
	if (r > 0 && why.reason != REASON_NONE)
		refuse_relay(why.reason, why.operand, why.place, why.text);
}
