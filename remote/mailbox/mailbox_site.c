#include "remote/mailbox/mailbox_site.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ack.h"
#include "appliance/egress/carrier.h"
#include "remote/mailbox/mailbox_item.h"
#include "remote/mailbox/mailbox_wire.h"

#define ACK_KEY "mailbox" /* beside the streams: the last item that the monitor has */

enum {
	WAIT_S = 25,
	RETRY_BASE_MS = 250,
	RETRY_CAP_S = 20,
	NO_MAILBOX_YET_S = 2, /* the hub does not take us before it has the site record */
};

struct mailbox {
	struct carrier *carrier;
	struct hub_call *poll;
	json_t *items;          /* of the last reply, not yet all handed over */
	size_t next;
	uint64_t handing;       /* n of the item that the monitor is looking at; 0: none */
	unsigned handed;        /* items that the monitor took since the last tick */
	uint64_t asked_us;      /* when the poll left */
	unsigned generation;    /* answers to calls of before a reset are not ours any more */
	struct handing *calls;  /* all that are under way */
	uint64_t not_before_us;
	unsigned tries;
};

/* What a call to the monitor carries along: the mailbox may have been reset meanwhile. */
struct handing {
	struct mailbox *mailbox;
	unsigned generation;
	struct handing *next;
};

static void hand_over(struct mailbox *m);
static void ask(struct mailbox *m);

static void
handing_free(struct handing *h)
{
	struct handing **at = &h->mailbox->calls;

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	free(h);
}

static void
drop_items(struct mailbox *m)
{
	json_decref(m->items);
	m->items = NULL;
}

static void
try_later(struct mailbox *m)
{
	m->not_before_us = clock_mono_us() + clock_backoff_us(m->tries++, RETRY_BASE_MS * CLOCK_US_PER_MS,
						     RETRY_CAP_S * CLOCK_US_PER_S);
}

/* --- handing over ------------------------------------------------------------------------------------------ */
static void
on_handed(int r, const json_t *answer, void *arg)
{
	struct handing *h = arg;
	struct mailbox *m = h->mailbox;
	bool ours = h->generation == m->generation;

	(void)answer;
	handing_free(h);
	if (!ours)
		return;
	/* A refusal is an answer, too: it was logged and has its leaf.  A fault, or a monitor that has no room
	 * just now, keeps the item. */
	if (r == REASON_BUSY)
		r = -EAGAIN;
	else if (r >= 0)
		r = ack_set(carrier_ack(m->carrier), ACK_KEY, m->handing);
	m->handing = 0;
	if (r < 0) {
		log_fault(r, "handing a request to the monitor");
		drop_items(m);
		try_later(m);
		return;
	}
	m->next++;
	m->handed++;
	hand_over(m);
	/* Who asks for one thing after the other is not to wait for our tick each time; who floods is. */
	if (!m->items && m->handed < MAILBOX_WIRE_ITEMS_MAX)
		ask(m);
}

static void
hand_over(struct mailbox *m)
{
	while (m->items && m->next < json_array_size(m->items)) {
		SCOPED(buf_done) struct buf body = BUF_MAX(MAILBOX_WIRE_BODY_MAX);
		struct call_request *call;
		const char *kind = NULL;
		struct handing *h;
		uint64_t n = 0; /* what is no item has none */
		int r = mailbox_item_read(json_array_get(m->items, m->next), &n, &kind, &body);

		if (r < 0) {
			log_fault(r, "taking an item of the mailbox apart");
			try_later(m);
			break;
		}
		if (n <= ack_get(carrier_ack(m->carrier), ACK_KEY)) {
			m->next++;
			continue;
		}
		h = malloc(sizeof(*h));
		if (!h)
			break;
		*h = (struct handing){ m, m->generation, m->calls };
		m->calls = h;
		call = call_new("mailbox.deliver");
		call_param_u64(call, "n", n);
		call_param(call, "kind", kind);
		call_body(call, body.data, body.len);
		if (carrier_call(m->carrier, call, on_handed, h) < 0) {
			handing_free(h);
			break; /* asked anew once the link is back */
		}
		m->handing = n;
		return;
	}
	drop_items(m);
}

/* --- polling ------------------------------------------------------------------------------------------------ */
struct reply_body {
	uint64_t v;
	json_t *items;
};

static const struct json_field reply_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct reply_body, v), 1 },
	{ "items", JSON_KIND_ARRAY, false, offsetof(struct reply_body, items), MAILBOX_WIRE_ITEMS_MAX },
};

/* The hub never gave us the number that we acknowledge: its file is an old one, or somebody who had the hub once counted
 * up for good.  We begin again with it; what comes a second time by that the monitor knows. */
static bool
count_anew(struct mailbox *m, const struct hub_reply *reply)
{
	struct ack *ack = carrier_ack(m->carrier);
	int r;

	if (reply->status != 409 || strcmp(reply->reason, refuse_token(REASON_CONFLICT)) != 0 || ack_get(ack, ACK_KEY) == 0)
		return false;
	log_warning("the hub does not know item %llu of the mailbox, which it gave us: counting anew",
		(unsigned long long)ack_get(ack, ACK_KEY));
	r = ack_forget(ack, ACK_KEY);
	if (r < 0)
		log_fault(r, "mailbox");
	return r == 0;
}

static void
on_poll(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct mailbox *m = arg;
	SCOPED_JSON *doc = NULL;
	struct reply_body body = { 0 };

	if (r != 0) {
		log_debug("mailbox: %s", why);
		try_later(m);
		return;
	}
	carrier_contact(m->carrier, reply);
	if (reply->status != 200) {
		log_debug("mailbox: status %d %s", reply->status, reply->reason);
		if (count_anew(m, reply))
			try_later(m);
		else
			m->not_before_us = clock_mono_us() + NO_MAILBOX_YET_S * CLOCK_US_PER_S;
		return;
	}
	r = json_read(&doc, reply->body, reply->len, MAILBOX_WIRE_REPLY_MAX, "mailbox");
	r = r ?: json_members(doc, reply_fields, ARRAY_LEN(reply_fields), &body, "mailbox");
	if (r != 0) {
		try_later(m);
		return;
	}
	m->tries = 0;
	m->items = json_incref(body.items);
	m->next = 0;
	hand_over(m);
	/* A poll that was parked to its end is followed by the next one; a hub that parks none is asked at the tick. */
	if (!m->items && clock_mono_us() - m->asked_us > CARRIER_TICK_MS * CLOCK_US_PER_MS)
		ask(m);
}

static void
ask(struct mailbox *m)
{
	struct carrier *c = m->carrier;
	uint64_t now = clock_mono_us();
	char path[96];
	int r;

	if (m->poll || m->items || m->handing || now < m->not_before_us || !carrier_is_up(c) || !carrier_recorded(c) ||
		!carrier_switch_on(c, SWITCH_REMOTE))
		return;
	m->asked_us = now;
	snprintf(path, sizeof(path), MAILBOX_WIRE_PATH "?after=%llu&wait=%d",
		(unsigned long long)ack_get(carrier_ack(c), ACK_KEY), WAIT_S);
	r = hub_client_send(&m->poll, carrier_hub(c),
		&(struct hub_request){
			.method = "GET",
			.path = path,
			.max_reply = MAILBOX_WIRE_REPLY_MAX,
			.timeout_ms = (WAIT_S + 15) * 1000,
		},
		on_poll, m);
	if (r < 0) {
		log_fault(r, "mailbox");
		try_later(m);
	}
}

static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	struct mailbox *m = arg;

	(void)now;
	m->handed = 0;
	/* Off means off: the parked poll ends at once, too. */
	if (!carrier_switch_on(c, SWITCH_REMOTE))
		hub_client_cancel(m->poll);
	ask(m);
}

static void
on_reset(struct carrier *c, void *arg)
{
	struct mailbox *m = arg;

	(void)c;
	hub_client_cancel(m->poll);
	drop_items(m);
	m->handing = 0;
	m->generation++;
	m->not_before_us = 0;
	m->tries = 0;
}

/* The link closes with the carrier: what is under way gets no answer. */
static void
mailbox_free(void *arg)
{
	struct mailbox *m = arg;

	while (m->calls)
		handing_free(m->calls);
	free(m);
}

static const struct carrier_module module = {
	.name = "mailbox",
	.reset = on_reset,
	.tick = on_tick,
	.free = mailbox_free,
};

int
mailbox_site_init(struct carrier *c)
{
	struct mailbox *m = calloc(1, sizeof(*m));

	if (!m)
		return FAULT(-ENOMEM);
	m->carrier = c;
	return carrier_add(c, &module, m);
}
