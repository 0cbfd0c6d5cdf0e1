#include "remote/mailbox/mailbox_wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/reactor.h"
#include "remote/mailbox/mailbox_hub.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_store.h"

struct mailbox_waiter {
	struct mailbox_wait *list;
	struct http_call *call;
	struct reactor_source *timer;
	bool courier;
	char key[65]; /* site, or request id */
	char customer[65];
	char state[16]; /* of the request when the desk began to wait */
	uint64_t after;
	struct mailbox_waiter *next;
};

static void
waiter_forget(struct mailbox_waiter *w)
{
	struct mailbox_waiter **at = &w->list->first;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	reactor_cancel(w->timer);
	free(w);
}

/* Answer a poll with what there is now. */
static int
answer(struct mailbox_wait *list, struct http_call *call, bool courier, const char *key,
	const char *customer, uint64_t after)
{
	SCOPED_JSON *items = json_array();
	SCOPED_JSON *request = NULL;
	struct db *db;
	int r;

	r = databases_customer(serve_databases(list->serve), customer, &db);
	if (r == 0 && courier) {
		r = mailbox_store_waiting(db, key, after, clock_now_us(), items);
		return r ? r
			 : serve_reply_json(call, 200,
				   json_pack("{s:i, s:O}", "v", 1, "items", items));
	}
	r = r ? r : mailbox_live_get(db, key, after, &request);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, key, "no such request");
	return r ? r : serve_reply_json(call, 200, STEAL(request));
}

static void
waiter_end(struct mailbox_waiter *w)
{
	struct http_call *call = w->call;
	int r, status = 0;

	http_call_on_gone(call, NULL, NULL);
	/* Who was let in a minute ago may be revoked, or have left, by now. */
	r = serve_still(w->list->serve, call, &status);
	if (r == 0 && !w->courier)
		r = serve_engineer(w->list->serve, &call->who, NULL, w->customer, w->key);
	r = r ? r : answer(w->list, call, w->courier, w->key, w->customer, w->after);
	if (r != 0)
		problem_reply(call, r, status);
	waiter_forget(w);
}

static void
on_timeout(void *arg)
{
	waiter_end(arg);
}

static void
on_gone(void *arg)
{
	waiter_forget(arg);
}

/* Has its request not moved?  Where that cannot be said the answer will tell why. */
static bool
stands(const struct mailbox_waiter *w)
{
	SCOPED_JSON *request = NULL;
	struct db *db;
	int r = databases_customer(serve_databases(w->list->serve), w->customer, &db);

	r = r ? r : mailbox_live_get(db, w->key, MAILBOX_LIVE_NONE, &request);
	return r == 0 && strcmp(json_text(request, "state"), w->state) == 0;
}

void
mailbox_wait_wake(struct mailbox_wait *list, bool courier, const char *key, const char *customer)
{
	for (struct mailbox_waiter *w = list->first, *next; w; w = next) {
		next = w->next;
		if (w->courier == courier && strcmp(w->customer, customer) == 0 &&
			(key ? strcmp(w->key, key) == 0 : !stands(w)))
			waiter_end(w);
	}
}

/* A desk's poll: is there room for one more of this request, and of this login? */
static int
check_desk(const struct mailbox_wait *list, const struct http_call *call, const char *key)
{
	size_t same = 0, login = 0;

	for (const struct mailbox_waiter *w = list->first; w; w = w->next) {
		if (w->courier)
			continue;
		same += strcmp(w->key, key) == 0;
		login += strcmp(w->call->who.keyid, call->who.keyid) == 0;
	}
	if (same >= MAILBOX_HUB_WAITERS_MAX)
		return REFUSE(REASON_BUSY, key, "%d others wait for it", MAILBOX_HUB_WAITERS_MAX);
	return login < MAILBOX_HUB_WAITERS_LOGIN_MAX
		? 0
		: REFUSE(REASON_BUSY, call->who.engineer, "waits in %d places already", MAILBOX_HUB_WAITERS_LOGIN_MAX);
}

int
mailbox_wait_park(struct mailbox_wait *list, struct http_call *call, const char *state, const char *key,
	const char *customer, uint64_t after, uint64_t wait_s)
{
	bool courier = !state;
	struct mailbox_waiter *w;
	int r = 0;

	/* A courier polls once at a time: an older poll of its is one whose end it did not see. */
	if (courier)
		mailbox_wait_wake(list, true, key, customer);
	else
		r = check_desk(list, call, key);
	if (r != 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return FAULT(-ENOMEM);
	*w = (struct mailbox_waiter){
		.list = list, .call = call, .courier = courier, .after = after
	};
	(void)snprintf(w->key, sizeof(w->key), "%s", key);
	(void)snprintf(w->customer, sizeof(w->customer), "%s", customer);
	(void)snprintf(w->state, sizeof(w->state), "%s", courier ? "" : state);
	r = reactor_after(&w->timer, serve_reactor(list->serve), wait_s * CLOCK_US_PER_S,
		on_timeout, w);
	if (r < 0) {
		free(w);
		return FAULT(r);
	}
	w->next = list->first;
	list->first = w;
	http_call_on_gone(call, on_gone, w);
	return 0;
}

void
mailbox_wait_end_all(struct mailbox_wait *list)
{
	while (list->first)
		waiter_end(list->first);
}

void
mailbox_wait_forget_all(struct mailbox_wait *list)
{
	while (list->first)
		waiter_forget(list->first);
}

size_t
mailbox_wait_count(const struct mailbox_wait *list)
{
	size_t n = 0;

	for (const struct mailbox_waiter *w = list->first; w; w = w->next)
		n++;
	return n;
}
