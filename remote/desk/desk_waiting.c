#include "remote/desk/desk_waiting.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_asked.h"
#include "remote/desk/desk_live.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/request/progress.h"
#include "remote/request/request.h"

enum { TEXT_MAX = 1024 };

struct waiting {
	bool proven;
	char since[CLOCK_TEXT_MAX];
	char who[TEXT_MAX];
};

void
desk_waiting_read(struct desk_answer *a, const json_t *doc, uint64_t *ret_since_us)
{
	const json_t *item;
	uint64_t first = UINT64_MAX;
	size_t i;

	*ret_since_us = 0;
	json_array_foreach(json_object_get(doc, "progress"), i, item) {
		SCOPED(progress_freep) struct progress *p = NULL;

		if (desk_live_read(a, item, &p) != 0 || p->kind != PROGRESS_STATE)
			continue;
		desk_answer_said(a, p);
		if (p->n < first) {
			first = p->n;
			*ret_since_us = p->time_us;
		}
	}
}

/* The last state that the site told of it. */
static void
take_state(struct waiting *w, struct desk_answer *a, const json_t *doc)
{
	uint64_t since_us;

	desk_waiting_read(a, doc, &since_us);
	if (!*a->said)
		return;
	w->proven = true;
	(void)clock_format(w->since, since_us);
	(void)snprintf(w->who, sizeof(w->who), "%s", a->said);
}

static int
look_up(struct desk *d, const char *id, struct waiting *w)
{
	SCOPED(desk_answer_done) struct desk_answer a = { 0 };
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	SCOPED(request_freep) struct request *q = NULL;
	SCOPED_JSON *doc = NULL;
	int r = desk_asked_get(d, id, &doc, &q, &site, &a);

	if (r > 0)
		(void)snprintf(w->who, sizeof(w->who), "nobody knows: what the hub shows is not signed as it should be [%s]",
			refuse_token((enum reason)r));
	if (r == 0)
		take_state(w, &a, doc);
	return r > 0 ? 0 : r;
}

static int
put(json_t *item, const struct waiting *w)
{
	int r = json_put_text(item, "since", w->since);

	r = r ?: json_put_text(item, "for", w->who);
	if (!r && json_object_set_new(item, "signed", json_boolean(w->proven)) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

int
desk_waiting_fill(struct desk *d, json_t *items)
{
	unsigned asked = 0;
	json_t *item;
	size_t i;
	int r = 0;

	json_array_foreach(items, i, item) {
		bool waits = strcmp(json_text(item, "state"), "waiting") == 0;
		struct waiting w = { 0 };

		(void)snprintf(w.since, sizeof(w.since), "%s", json_text(item, "changed"));
		if (waits)
			(void)snprintf(w.who, sizeof(w.who), "an approver of the customer (the hub says)");
		if (waits && asked++ == 0)
			r = desk_trust_refresh(d);
		if (!r && waits && asked <= DESK_WAITING_ASKED_MAX)
			r = look_up(d, json_text(item, "id"), &w);
		r = r ?: put(item, &w);
		if (r)
			return r;
	}
	return 0;
}
