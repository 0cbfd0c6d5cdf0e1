#include "appliance/monitor/cosign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/audit/witness.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/ledger.h"
#include "appliance/monitor/cosign_room.h"
#include "appliance/monitor/forked.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/outbox.h"
#include "appliance/monitor/witnesses.h"

enum {
	OTHERS_S = 15,	 /* for the customer's witnesses, before the hub is asked */
	PATIENCE_S = 60, /* for the hub's answer, which may wait in the courier */
};

#define HUB_PATH "/witness/add-checkpoint"
#define TYPE "text/plain; charset=utf-8"

/* --- a round ---------------------------------------------------------------------------------------- */
/* Into the outbox, from where the courier takes it. */
static int
post(struct cosigning *s, struct cosigner *c, uint64_t old, const struct merkle_proof *proof)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(COSIGN_BODY_MAX);
	char path[QUORUM_URL_MAX + 32];
	const char *stream = c->url[0] ? LEDGER_WITNESS : "audit";
	int r;

	(void)snprintf(path, sizeof(path), "%s%s", c->url,
		c->url[0] ? "/add-checkpoint" : HUB_PATH);
	witness_request(&body, old, proof, buf_text(&s->note), s->note.len);
	c->sequence = outbox_next(s->m->outbox, stream);
	r = buf_error(&body);
	r = r ?: monitor_outbox(s->m, stream, "audit", path, TYPE, body.data, body.len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	c->waiting = true;
	return 0;
}

/* Those that still owe an answer, from the one at first on. */
static void
give_up(struct cosigning *s, size_t first)
{
	for (size_t i = first; i < s->n; i++)
		if (s->who[i].waiting)
			cosigner_trouble(&s->who[i], "does not answer");
}

static void
end_round(struct cosigning *s)
{
	free(s->checkpoint);
	s->checkpoint = NULL;
	s->ended_us = clock_mono_us();
	give_up(s, 0);
}

static bool
anyone_waits(const struct cosigning *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->who[i].waiting)
			return true;
	return false;
}

/* The hub's turn, with the lines of the others; or the end, where there is nothing for it. */
static int
go_to_hub(struct cosigning *s)
{
	struct cosigner *hub = &s->who[0];
	int r;

	give_up(s, 1);
	if (!s->lines && (hub->cosigned >= s->size || clock_mono_us() < hub->due_us)) {
		end_round(s);
		return 0;
	}
	s->at_hub = true;
	s->since_us = clock_mono_us();
	r = post(s, hub, s->hub_old, &s->hub_proof);
	if (r)
		end_round(s);
	return r;
}

/* The note of the round begins as our checkpoint, or as what is kept of this very one. */
static int
begin_note(struct cosigning *s)
{
	const char *kept = audit_cosigned_note(s->m->audit), *head;
	int r = audit_commit(s->m->audit);
	size_t len;

	if (r)
		return FAULT(r);
	head = audit_checkpoint(s->m->audit);
	len = strlen(head);
	free(s->checkpoint);
	s->checkpoint = strdup(head);
	if (!s->checkpoint)
		return FAULT(-ENOMEM);
	if (kept && strncmp(kept, head, len) == 0)
		head = kept;
	buf_reset(&s->note);
	buf_puts(&s->note, head);
	s->size = audit_size(s->m->audit);
	return FAULT(buf_error(&s->note));
}

static int
begin_round(struct cosigning *s)
{
	int r = begin_note(s);

	s->lines = s->at_hub = false;
	s->since_us = clock_mono_us();
	s->hub_old = cosigner_old_size(&s->who[0]);
	r = r ?: audit_consistency(s->m->audit, s->hub_old, &s->hub_proof);
	for (size_t i = 1; r == 0 && i < s->n; i++) {
		struct cosigner *c = &s->who[i];
		struct merkle_proof proof = { 0 };

		if (!cosigner_is_due(s, c))
			continue;
		r = audit_consistency(s->m->audit, cosigner_old_size(c), &proof);
		r = r ?: post(s, c, cosigner_old_size(c), &proof);
	}
	if (r) {
		end_round(s);
		return r < 0 ? FAULT(r) : r;
	}
	return anyone_waits(s) ? 0 : go_to_hub(s);
}

int
cosign_advance(struct cosigning *s)
{
	uint64_t past = (clock_mono_us() - s->since_us) / CLOCK_US_PER_S;

	if (!s->checkpoint)
		return 0;
	if (anyone_waits(s) && past < (s->at_hub ? PATIENCE_S : OTHERS_S))
		return 0;
	if (!s->at_hub)
		return go_to_hub(s);
	end_round(s);
	return 0;
}

/* --- what the courier brings ------------------------------------------------------------------------ */
int
cosign_hub_answered(struct monitor *m, unsigned status, const void *body, size_t len)
{
	struct cosigning *s = m->cosigning;

	return s->n && s->at_hub ? cosign_answer(s, &s->who[0], status, body, len) : 0;
}

static int
on_reply(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct cosigning *s = arg;
	uint64_t sequence = 0, status = 0;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = monitor_call_u64(call, "sequence", UINT64_MAX / 2, &sequence);

	r = r ?: monitor_call_u64(call, "status", 999, &status);
	/* The courier alone says that it was sent; what it lies about costs a cosignature, which it can
	 * withhold anyhow. */
	r = r ?: outbox_committed(m->outbox, LEDGER_WITNESS, sequence);
	if (r)
		return r < 0 ? FAULT(r) : r;
	for (size_t i = 1; i < s->n; i++)
		if (s->who[i].waiting && s->who[i].sequence == sequence)
			return cosign_answer(s, &s->who[i], (unsigned)status, body, len);
	return 0;
}

static int
on_evidence(struct monitor *m, struct monitor_call *call, void *arg)
{
	size_t len;
	const void *body = monitor_call_body(call, &len);

	(void)arg;
	return forked_judge(m, body, len);
}

/* --- module --------------------------------------------------------------------------------------------- */
json_t *
cosign_json(struct monitor *m)
{
	const struct cosigning *s = m->cosigning;
	json_t *list = json_array();
	char name[4 * NOTE_NAME_MAX];

	for (size_t i = 0; list && i < s->n; i++)
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:I, s:s}", "name",
				log_escape(name, sizeof(name), s->who[i].key.name), "url",
				s->who[i].url, "cosigned", (json_int_t)s->who[i].cosigned,
				"trouble", s->who[i].trouble));
	return list;
}

static bool
may_speak(struct monitor *m)
{
	if (!monitor_recorded(m) || forked_is(m))
		return false;
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if (monitor_switch_on(m, (enum switch_name)i))
			return true;
	return false;
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct cosigning *s = arg;
	bool due = false;
	int r = 0;

	(void)now_us;
	if (!may_speak(m))
		return;
	if (s->checkpoint) {
		r = cosign_advance(s);
	} else {
		if (s->stale || !s->n)
			cosigner_read_all(s);
		for (size_t i = 0; i < s->n; i++)
			due |= cosigner_is_due(s, &s->who[i]);
		if (due && clock_mono_us() - s->ended_us >= COSIGN_GAP_S * CLOCK_US_PER_S)
			r = begin_round(s);
	}
	if (r < 0)
		log_fault(r, "having the log's head cosigned");
}

void
cosign_witnesses_changed(struct monitor *m)
{
	struct cosigning *s = m->cosigning;

	end_round(s);
	s->ended_us = 0;
	s->stale = true;
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)arg;
	if (changes & MONITOR_CHANGE_RECORD)
		cosign_witnesses_changed(m);
}

/* Where the customer said who must have cosigned, it is theirs to know that somebody has not. */
static void
put_quorum(struct monitor *m, json_t *status)
{
	json_t *quorum = witnesses_json(m);
	SCOPED(buf_done) struct buf missing = BUF_MAX(QUORUM_BYTES_MAX);

	if (!quorum)
		return;
	(void)json_object_set_new(json_object_get(status, "audit"), "quorum", quorum);
	if (!m->quorum || json_is_true(json_object_get(quorum, "met")))
		return;
	quorum_missing(&missing, quorum);
	(void)json_array_append_new(json_object_get(status, "pending"),
		json_pack("{s:s, s:s, s:s++}", "kind", "witness", "id", "quorum", "text",
			"not met: not cosigned by", buf_text(&missing), "; mainstay audit head"));
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct cosigning *s = arg;
	json_t *audit = json_object_get(status, "audit"), *pending;

	(void)json_object_set_new(audit, "witnesses", cosign_json(m));
	put_quorum(m, status);
	pending = json_object_get(status, "pending");
	for (size_t i = 0; i < s->n; i++) {
		char text[COSIGNER_TROUBLE_MAX + NOTE_NAME_MAX], plain[4 * sizeof(text)];

		if (!s->who[i].trouble[0])
			continue;
		(void)snprintf(text, sizeof(text), "%s: %s", s->who[i].key.name, s->who[i].trouble);
		(void)json_array_append_new(pending,
			json_pack("{s:s, s:s, s:s}", "kind", "witness", "id", "trouble", "text",
				log_escape(plain, sizeof(plain), text)));
	}
	forked_status(m, status);
}

static void
cosign_free(void *arg)
{
	struct cosigning *s = arg;

	free(s->checkpoint);
	buf_done(&s->note);
	free(s);
}

static const struct monitor_module module = {
	.name = "cosign",
	.tick = on_tick,
	.changed = on_changed,
	.status = on_status,
	.free = cosign_free,
};

int
cosign_init(struct monitor *m)
{
	struct cosigning *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->m = m;
	s->note = BUF_MAX(NOTE_MAX);
	m->cosigning = s;
	r = forked_load(m);
	r = monitor_add_module(m, &module, s) ?: r;
	r = r ?: monitor_register_verb(m, "witness.reply", CALL_ROLE_COURIER, on_reply, s);
	return r ?: monitor_register_verb(m, "witness.evidence", CALL_ROLE_COURIER, on_evidence, s);
}
