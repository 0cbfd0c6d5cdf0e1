#include "appliance/monitor/outbox_verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/ledger.h"
#include "appliance/monitor/answers.h"
#include "appliance/monitor/cosign.h"
#include "appliance/monitor/courier_verbs.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/outbox.h"
#include "appliance/monitor/outbox_ack.h"
#include "appliance/monitor/reseal.h"
#include "appliance/trust/sha256.h"

#define ANSWERS_FILE "answers.json"

enum { MOVES = 8 /* in one turn */ };

struct answering {
	struct monitor *m;
	struct answers kept; /* of LEDGER_KEPT */
	uint8_t key[32];     /* the site's, as what was put there last was signed; zero: it has none */
};

/* --- what is remembered -------------------------------------------------------------------------- */
/* On the disk, then in memory. */
static int
settle(struct answering *a, const struct answers *next)
{
	SCOPED_JSON *doc = answers_json(next);
	int r = doc ? monitor_save_json(a->m, ANSWERS_FILE, doc) : -ENOMEM;

	if (r)
		return FAULT(r);
	a->kept = *next;
	return 0;
}

/* What was meant for a hub that this site left stays here; and what was answered in a life whose file is gone is said
 * once more: the hub takes nothing twice. */
static int
begin_anew(struct answering *a, bool forget)
{
	struct answers next = { 0 };
	uint64_t first = outbox_next(a->m->outbox, LEDGER_KEPT);
	int r = forget ? 0 : outbox_first(a->m->outbox, LEDGER_KEPT, 1, &first);

	if (r < 0)
		return FAULT(r);
	next.seen = first - 1;
	if (next.seen == a->kept.seen && a->kept.n == 0)
		return 0;
	return settle(a, &next);
}

static int
load(struct answering *a)
{
	SCOPED_JSON *doc = NULL;
	int r = monitor_load_json(a->m, ANSWERS_FILE, ANSWERS_BYTES_MAX, &doc);

	r = r ?: answers_load(&a->kept, doc, clock_mono_us());
	if (r < 0)
		return FAULT(r);
	if (r || !a->m->site.key || a->kept.seen >= outbox_next(a->m->outbox, LEDGER_KEPT))
		return begin_anew(a, !a->m->site.key);
	return 0;
}

/* --- one answer ---------------------------------------------------------------------------------- */
/* Heartbeats replace one another: what the hub does not know of one of them says nothing. */
static int
take_replaced(struct monitor *m, const char *stream, uint64_t sequence, unsigned status,
	const void *body, size_t len)
{
	enum outbox_ack_verdict verdict = OUTBOX_ACK_GONE;
	int r = status / 100 == 2 ? outbox_ack_judge(m, stream, sequence, body, len, &verdict) : 0;

	if (r == 0 && verdict == OUTBOX_ACK_ANOTHER)
		r = outbox_ack_another(m, stream, sequence);
	if (r == 0 && verdict == OUTBOX_ACK_TAKEN)
		r = outbox_committed(m->outbox, stream, sequence);
	return r < 0 ? FAULT(r) : r;
}

/* --- what must arrive ----------------------------------------------------------------------------- */
static enum reason
reason_of(unsigned status)
{
	static const struct {
		unsigned status;
		enum reason reason;
	} rows[] = {
		{ 400, REASON_MALFORMED },
		{ 401, REASON_BAD_SIGNATURE },
		{ 403, REASON_DENIED },
		{ 404, REASON_NOT_FOUND },
		{ 409, REASON_CONFLICT },
		{ 413, REASON_TOO_LARGE },
		{ 429, REASON_BUSY },
		{ 503, REASON_BUSY },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].reason;
	return status / 100 == 2 ? REASON_NOT_FOUND : REASON_FAULT;
}

/* The first refusal of a record is written down; that of its copies is the same one. */
static int
leaf_of_refusal(struct monitor *m, uint64_t sequence, unsigned status)
{
	char object[sizeof(LEDGER_KEPT) + 24];
	uint8_t digest[SHA256_LEN];
	int r = outbox_digest(m->outbox, LEDGER_KEPT, sequence, digest);

	(void)snprintf(object, sizeof(object), LEDGER_KEPT " %llu", (unsigned long long)sequence);
	log_warning("%s: the hub answered %u; it is kept and tried again", object, status);
	if (r < 0)
		return FAULT(r);
	return FAULT(monitor_leaf_tallied(m, "refuse", "outbox", "hub", object,
		r == 0 ? digest : NULL, reason_of(status)));
}

static uint64_t
tries_of(const struct answers *a, uint64_t sequence)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->held[i].sequence == sequence)
			return a->held[i].tries;
	return 0;
}

static int
hold(struct answering *a, uint64_t sequence, unsigned status, bool leaf)
{
	struct answers next = a->kept;
	int r = 0;

	if (sequence <= next.seen)
		return 0;
	if (answers_refused(&next, sequence, status, monitor_now_us(a->m), clock_mono_us()) != 0)
		return REFUSE(REASON_BUSY, LEDGER_KEPT,
			"the hub refused %d records, which wait to be tried again",
			ANSWERS_HELD_MAX);
	if (leaf && tries_of(&a->kept, sequence) == 0)
		r = leaf_of_refusal(a->m, sequence, status);
	r = r ?: settle(a, &next);
	return FAULT(r);
}

static int
let_go(struct answering *a, uint64_t sequence)
{
	struct answers next = a->kept;
	int r;

	answers_taken(&next, sequence);
	r = settle(a, &next);
	return FAULT(r ?: outbox_committed(a->m->outbox, LEDGER_KEPT, answers_upto(&next)));
}

/* The first record that the hub has not answered. */
static int
first_open(struct answering *a, uint64_t *ret)
{
	int r = outbox_first(a->m->outbox, LEDGER_KEPT, a->kept.seen + 1, ret);

	if (r == REASON_NOT_FOUND)
		*ret = outbox_next(a->m->outbox, LEDGER_KEPT);
	return r < 0 ? FAULT(r) : 0;
}

static int
take_kept(struct answering *a, uint64_t sequence, unsigned status, const void *body, size_t len)
{
	enum outbox_ack_verdict verdict = OUTBOX_ACK_UNKNOWN;
	uint64_t first = 0;
	int r = first_open(a, &first);

	if (r < 0)
		return FAULT(r);
	if (sequence > a->kept.seen && sequence != first)
		return REFUSE(REASON_CONFLICT, LEDGER_KEPT,
			"an answer to %llu, before there is one to %llu",
			(unsigned long long)sequence, (unsigned long long)first);
	if (sequence == outbox_next(a->m->outbox, LEDGER_KEPT))
		return REFUSE(REASON_MALFORMED, LEDGER_KEPT, "%llu was never sent",
			(unsigned long long)sequence);
	if (!answers_open(&a->kept, sequence))
		return 0; /* as it comes after a restart of the courier */
	r = status / 100 == 2 ? outbox_ack_judge(a->m, LEDGER_KEPT, sequence, body, len, &verdict) : 0;
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (verdict == OUTBOX_ACK_TAKEN || verdict == OUTBOX_ACK_GONE)
		return let_go(a, sequence);
	r = hold(a, sequence, status, verdict != OUTBOX_ACK_ANOTHER); /* that has a leaf of its own */
	if (r == 0 && verdict == OUTBOX_ACK_ANOTHER)
		r = outbox_ack_another(a->m, LEDGER_KEPT, sequence);
	return r < 0 ? FAULT(r) : r;
}

/* Behind all others, under a number that the hub has not seen, and signed by the present key.  Killed in between, the
 * hub gets it twice: what it says, it says once. */
static int
put_behind(struct answering *a)
{
	struct monitor *m = a->m;
	struct answers next = a->kept;
	struct answers_held *h = answers_due(&next, clock_mono_us());
	uint64_t before = h->sequence, sequence = 0;
	int r = outbox_behind(m->outbox, LEDGER_KEPT, before, reseal_answer, m->site.key, &sequence);

	if (r < 0)
		return FAULT(r);
	if (r == 0) {
		answers_moved(h, sequence);
	} else if (r == REASON_NO_SPACE) {
		answers_again(h, clock_mono_us());
	} else {
		char object[sizeof(LEDGER_KEPT) + 24];

		(void)snprintf(object, sizeof(object), LEDGER_KEPT " %llu",
			(unsigned long long)before);
		r = monitor_leaf_tallied(m, "refuse", "outbox", "disk", object, NULL,
			REASON_ALTERED);
		if (r < 0)
			return FAULT(r);
		answers_lost(&next, h);
	}
	r = settle(a, &next);
	return FAULT(r ?: outbox_committed(m->outbox, LEDGER_KEPT, answers_upto(&next)));
}

/* --- verbs ---------------------------------------------------------------------------------------- */
static int
answer_next(struct answering *a, struct monitor_call *call)
{
	json_t *out = json_object();
	uint64_t next = 0;
	int r = out ? first_open(a, &next) : -ENOMEM;

	r = r ?: json_put_u64(out, "next", next);
	if (r) {
		json_decref(out);
		return FAULT(r);
	}
	monitor_answer(call, out);
	return 0;
}

static int
on_reply(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct answering *a = arg;
	uint64_t committed = 0, sequence = 0;
	const char *stream, *nonce;
	unsigned status = 0;
	const void *body;
	size_t len;
	int r = monitor_call_need(call, "stream", &stream);

	r = r ?: monitor_call_need(call, "nonce", &nonce);
	r = r ?: courier_verbs_check_reply(m, call, nonce, &status);
	r = r ?: monitor_call_u64(call, "committed", UINT64_MAX / 2, &committed);
	r = r ?: monitor_call_u64(call, "sequence", UINT64_MAX / 2, &sequence);
	if (r)
		return r;
	body = monitor_call_body(call, &len);
	if (strcmp(stream, LEDGER_KEPT) == 0) {
		r = take_kept(a, sequence, status, body, len);
		return r ?: answer_next(a, call);
	}
	if (strcmp(stream, "audit") != 0)
		return take_replaced(m, stream, sequence, status, body, len);
	/* A head binds itself: the witness's cosignature, or the size that it knows.  Heads replace one another, so
	 * nothing is lost with one that went too early. */
	r = cosign_hub_answered(m, status, body, len);
	if (r == 0 && committed > 0)
		r = outbox_committed(m->outbox, stream, committed);
	return r < 0 ? FAULT(r) : r;
}

static int
on_next(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *stream;
	int r = monitor_call_need(call, "stream", &stream);

	(void)m;
	if (r)
		return r;
	if (strcmp(stream, LEDGER_KEPT) != 0)
		return REFUSE(REASON_NOT_FOUND, stream,
			"is no stream whose records must all arrive");
	return answer_next(arg, call);
}

/* --- module ---------------------------------------------------------------------------------------- */
static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	SCOPED_JSON *line = json_pack("{s:s}", "stream", LEDGER_KEPT);
	struct answering *a = arg;
	unsigned n = 0;
	int r = 0;

	(void)now_us;
	while (r == 0 && n < MOVES && answers_due(&a->kept, clock_mono_us())) {
		r = put_behind(a);
		n++;
	}
	if (r < 0)
		log_fault(r, "trying again what the hub refused");
	else if (n > 0)
		monitor_push(m, CALL_ROLE_COURIER, "outbox", line);
}

/* again is absent where it was put behind already and waits for its turn. */
static json_t *
stuck(const struct answers *a, const struct answers_held *h)
{
	json_t *out = json_pack("{s:s}", "stream", LEDGER_KEPT);
	uint64_t mono = clock_mono_us();

	(void)json_put_u64(out, "sequence", h->sequence);
	(void)json_put_u64(out, "status", h->status);
	(void)json_put_u64(out, "tries", h->tries);
	(void)json_put_time(out, "since", h->since_us);
	if (h->sequence <= a->seen)
		(void)json_put_time(out, "again",
			clock_now_us() + (h->due_us > mono ? h->due_us - mono : 0));
	return out;
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct answering *a = arg;
	json_t *outbox = json_object(), *list = json_array();

	for (size_t i = 0; i < a->kept.n; i++)
		(void)json_array_append_new(list, stuck(&a->kept, &a->kept.held[i]));
	(void)json_put_u64(outbox, "waiting",
		outbox_next(m->outbox, LEDGER_KEPT) - 1 - a->kept.seen);
	(void)json_object_set_new(outbox, "stuck", list);
	(void)json_object_set_new(status, "outbox", outbox);
}

/* The hub takes nothing more that the former key alone signed: what has no answer yet is put behind, signed anew.  What
 * is too much to be held, or was cut off here, its refusals bring about one by one. */
static int
sign_anew(struct answering *a)
{
	struct answers next = a->kept;
	uint64_t last = outbox_next(a->m->outbox, LEDGER_KEPT) - 1;
	int r = 0;

	while (r == 0 && next.seen < last)
		r = answers_refused(&next, next.seen + 1, 0, monitor_now_us(a->m), clock_mono_us());
	return next.seen == a->kept.seen ? 0 : settle(a, &next);
}

static void
keep_key(struct answering *a)
{
	memset(a->key, 0, sizeof(a->key));
	if (a->m->site.key)
		memcpy(a->key, ed25519_public(a->m->site.key), sizeof(a->key));
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	static const uint8_t none[32];
	struct answering *a = arg;
	int r = 0;

	if (!(changes & MONITOR_CHANGE_RECORD))
		return;
	if (!m->site.key)
		r = begin_anew(a, true);
	else if (memcmp(a->key, none, sizeof(none)) != 0 &&
		memcmp(a->key, ed25519_public(m->site.key), sizeof(a->key)) != 0)
		r = sign_anew(a);
	keep_key(a);
	if (r < 0)
		log_fault(r, "what the outbox holds for another hub or by another key");
}

static const struct monitor_module module = {
	.name = "outbox",
	.changed = on_changed,
	.tick = on_tick,
	.status = on_status,
	.free = free,
};

int
outbox_verbs_init(struct monitor *m)
{
	struct answering *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	a->m = m;
	keep_key(a);
	r = monitor_add_module(m, &module, a);
	r = r ?: load(a);
	r = r ?: monitor_register_verb(m, "outbox.reply", CALL_ROLE_COURIER, on_reply, a);
	return r ?: monitor_register_verb(m, "outbox.next", CALL_ROLE_COURIER, on_next, a);
}
