#include "appliance/monitor/cosign.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/ledger.h"
#include "appliance/monitor/forked.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/outbox.h"
#include "appliance/monitor/witnesses.h"
#include "appliance/trust/sha256.h"

enum {
	GAP_S = 2,	 /* between two rounds, and before a witness is tried again */
	OTHERS_S = 15,	 /* for the customer's witnesses, before the hub is asked */
	PATIENCE_S = 60, /* for the hub's answer, which may wait in the courier */
	BACKOFF_CAP_S = 600,
	BODY_MAX = 64 * 1024,
	TROUBLE_MAX = 192,
	COSIGNERS_MAX = 1 + QUORUM_WITNESSES_MAX,
};

#define HUB_PATH "/witness/add-checkpoint"
#define TYPE "text/plain; charset=utf-8"

struct cosigner {
	struct note_key key;
	char url[QUORUM_URL_MAX]; /* "": the hub */
	uint64_t cosigned;	  /* size of the last tree of ours that it cosigned */
	bool told;		  /* old is where it said that it stands */
	uint64_t old;
	unsigned tries;	 /* without success */
	uint64_t due_us; /* boot clock: not before */
	bool waiting;	 /* for its answer to this round's checkpoint */
	uint64_t sequence;
	char trouble[TROUBLE_MAX]; /* what status says; "" */
};

struct cosigning {
	struct monitor *m;
	struct cosigner who[COSIGNERS_MAX]; /* the hub's is the first */
	size_t n;
	bool stale; /* the witnesses are to be read anew before the next round */
	/* The round. */
	char *checkpoint; /* owned; NULL: none is under way */
	uint64_t size;
	uint64_t since_us; /* boot clock: of this step of it */
	bool lines;	   /* the others gave some */
	bool at_hub;
	uint64_t
		hub_old; /* from where the hub is to believe it: the log may grow during the round */
	struct merkle_proof hub_proof;
	struct buf note; /* the checkpoint and the lines so far */
	uint64_t ended_us;
};

/* --- who -------------------------------------------------------------------------------------------- */
static bool
same_key(const struct note_key *a, const struct note_key *b)
{
	return memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

/* The size of the kept cosigned head where this witness has cosigned that one. */
static uint64_t
kept_size(struct monitor *m, const struct note_key *key)
{
	const char *text = audit_cosigned_note(m->audit);
	SCOPED(note_freep) struct note *note = NULL;

	if (!text || note_open(&note, text, strlen(text), "cosigned") != 0)
		return 0;
	return note_has(note, key) && note_verify(note, key, NULL) == 0 ? audit_cosigned(m->audit)
									: 0;
}

static void
add_cosigner(struct cosigning *s, const struct cosigning *before, const struct note_key *key,
	const char *url)
{
	struct cosigner *c = &s->who[s->n++];

	for (size_t i = 0; i < before->n; i++)
		if (same_key(&before->who[i].key, key) && strcmp(before->who[i].url, url) == 0) {
			*c = before->who[i];
			return;
		}
	*c = (struct cosigner){ .key = *key, .cosigned = kept_size(s->m, key) };
	(void)snprintf(c->url, sizeof(c->url), "%s", url);
}

static void
read_witnesses(struct cosigning *s)
{
	const struct quorum *q = witnesses_quorum(s->m);
	struct cosigning *before = malloc(sizeof(*before));

	if (!before)
		return; /* next second */
	*before = *s;
	s->n = 0;
	add_cosigner(s, before, &s->m->site.witness, "");
	for (size_t i = 0; q && i < quorum_n_witnesses(q); i++) {
		const struct quorum_witness *w = quorum_witness(q, i);

		if (w->url[0] && !same_key(&w->key, &s->m->site.witness))
			add_cosigner(s, before, &w->key, w->url);
	}
	free(before);
	s->stale = false;
}

__attribute__((format(printf, 2, 3))) static void
trouble(struct cosigner *c, const char *fmt, ...)
{
	char text[TROUBLE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->waiting = false;
	c->due_us = clock_mono_us() +
		clock_backoff_us(c->tries++, GAP_S * CLOCK_US_PER_S,
			BACKOFF_CAP_S * CLOCK_US_PER_S);
	if (strcmp(text, c->trouble) != 0)
		log_warning("witness %s: %s", c->key.name, text);
	(void)snprintf(c->trouble, sizeof(c->trouble), "%s", text);
}

/* --- a round ---------------------------------------------------------------------------------------- */
static uint64_t
old_size(const struct cosigner *c)
{
	return c->told ? c->old : c->cosigned;
}

/* Into the outbox, from where the courier takes it. */
static int
post(struct cosigning *s, struct cosigner *c, uint64_t old, const struct merkle_proof *proof)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(BODY_MAX);
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

static void
end_round(struct cosigning *s)
{
	free(s->checkpoint);
	s->checkpoint = NULL;
	s->ended_us = clock_mono_us();
	for (size_t i = 0; i < s->n; i++)
		if (s->who[i].waiting)
			trouble(&s->who[i], "does not answer");
}

static bool
is_due(const struct cosigning *s, const struct cosigner *c)
{
	return c->cosigned < audit_size(s->m->audit) && clock_mono_us() >= c->due_us;
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

	for (size_t i = 1; i < s->n; i++)
		if (s->who[i].waiting)
			trouble(&s->who[i], "does not answer");
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
	const char *head = audit_checkpoint(s->m->audit);
	const char *kept = audit_cosigned_note(s->m->audit);
	size_t len = strlen(head);

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
	s->hub_old = old_size(&s->who[0]);
	r = r ?: audit_consistency(s->m->audit, s->hub_old, &s->hub_proof);
	for (size_t i = 1; r == 0 && i < s->n; i++) {
		struct cosigner *c = &s->who[i];
		struct merkle_proof proof = { 0 };

		if (!is_due(s, c))
			continue;
		r = audit_consistency(s->m->audit, old_size(c), &proof);
		r = r ?: post(s, c, old_size(c), &proof);
	}
	if (r) {
		end_round(s);
		return r < 0 ? FAULT(r) : r;
	}
	return anyone_waits(s) ? 0 : go_to_hub(s);
}

/* Go on where an answer came or time went by. */
static int
advance(struct cosigning *s)
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

/* --- answers ---------------------------------------------------------------------------------------- */
/* Does the note of the round say no less than what is kept? */
static bool
is_better(struct cosigning *s)
{
	const char *kept = audit_cosigned_note(s->m->audit);
	struct quorum_verdict now, before;

	if (!kept || witnesses_judge(s->m, kept, &before) != 0 || !before.met)
		return true;
	return witnesses_judge(s->m, buf_text(&s->note), &now) == 0 && now.met;
}

static int
take_cosignature(struct cosigning *s, struct cosigner *c, const void *body, size_t len)
{
	SCOPED(buf_done) struct buf whole = BUF_MAX(BODY_MAX);
	SCOPED(note_freep) struct note *note = NULL, *have = NULL;
	int r = witness_accept(&whole, s->checkpoint, strlen(s->checkpoint), body, len, &c->key);

	r = r ?: note_open(&note, whole.data, whole.len, c->key.name);
	r = r ?: note_open(&have, s->note.data, s->note.len, c->key.name);
	/* Only its own lines: what else it sends is nobody's word.  One that it gave before stands already. */
	if (r == 0 && !note_has(have, &c->key))
		r = note_copy_lines(&s->note, note, &c->key);
	if (r)
		return r;
	c->cosigned = s->size;
	c->told = false;
	c->tries = 0;
	c->trouble[0] = 0;
	c->due_us = 0;
	s->lines |= c->url[0] != 0;
	if (!is_better(s))
		return 0;
	return audit_keep_cosigned(s->m->audit, s->note.data, s->note.len, &c->key);
}

static void
fetch_evidence(struct cosigning *s, const struct cosigner *c)
{
	SCOPED_JSON *event = NULL;
	uint8_t digest[SHA256_LEN];
	char hex[65];
	const char *origin = audit_origin(s->m->audit);

	sha256_of(digest, origin, strlen(origin));
	event = json_pack("{s:s, s:s}", "url", c->url, "log", hex_encode(hex, digest, 32));
	monitor_push(s->m, CALL_ROLE_COURIER, "evidence", event);
}

static int
take_conflict(struct cosigning *s, struct cosigner *c, const void *body, size_t len)
{
	uint64_t size = 0, ours = audit_size(s->m->audit);
	int r = witness_conflict(&size, body, len);

	if (r)
		return r;
	if (size > ours) {
		fetch_evidence(s, c);
		return REFUSE(REASON_ROLLBACK, c->key.name,
			"says it cosigned %llu entries, this log has %llu; without our signature "
			"under it "
			"that proves nothing",
			(unsigned long long)size, (unsigned long long)ours);
	}
	if (c->told && size == c->old)
		return REFUSE(REASON_CONFLICT, c->key.name,
			"says it stands at %llu, and takes nothing from there",
			(unsigned long long)size);
	/* The next round begins where it stands, without waiting. */
	c->told = true;
	c->old = size;
	c->due_us = 0;
	return 0;
}

static int
take_answer(struct cosigning *s, struct cosigner *c, unsigned status, const void *body, size_t len)
{
	switch (status) {
	case 200:
		return take_cosignature(s, c, body, len);
	case 409:
		return take_conflict(s, c, body, len);
	case 422:
		fetch_evidence(s, c);
		return REFUSE(REASON_ALTERED, c->key.name,
			"does not find this log to continue the one it cosigned");
	case 0:
		return REFUSE(REASON_UNREACHABLE, c->key.name, "cannot be reached");
	default:
		return REFUSE(REASON_UNREACHABLE, c->key.name, "it answered %u", status);
	}
}

static int
answered(struct cosigning *s, struct cosigner *c, unsigned status, const void *body, size_t len)
{
	struct refusal why;
	int r;

	if (!c->waiting || !s->checkpoint)
		return 0; /* an answer to a head of a former life */
	c->waiting = false;
	r = take_answer(s, c, status, body, len);
	if (r > 0) {
		why = *refuse_last();
		trouble(c, "%s", why.text);
		(void)advance(s);
		return refuse_relay(why.reason, why.operand, why.place, why.text);
	}
	if (r == 0)
		r = advance(s);
	return r < 0 ? FAULT(r) : r;
}

int
cosign_hub_answered(struct monitor *m, unsigned status, const void *body, size_t len)
{
	struct cosigning *s = m->cosigning;

	return s->n && s->at_hub ? answered(s, &s->who[0], status, body, len) : 0;
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
			return answered(s, &s->who[i], (unsigned)status, body, len);
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

/* --- by file ------------------------------------------------------------------------------------------ */
int
cosign_import(struct monitor *m, const void *p, size_t len)
{
	const struct quorum *q = witnesses_quorum(m);
	const char *kept = audit_cosigned_note(m->audit);
	SCOPED(buf_done) struct buf merged = BUF_MAX(BODY_MAX);
	SCOPED(note_freep) struct note *note = NULL, *have = NULL;
	const struct note_key *by = NULL;
	int r = note_open(&note, p, len, "cosigned checkpoint");

	if (r)
		return r;
	if (kept && strlen(kept) >= note->text_len && memcmp(kept, note->text, note->text_len) == 0)
		r = note_open(&have, kept, strlen(kept), "cosigned checkpoint");
	buf_puts(&merged, have ? kept : "");
	if (!have)
		buf_put(&merged, p, len);
	for (size_t i = 0; r == 0 && q && i < quorum_n_witnesses(q); i++) {
		const struct note_key *key = &quorum_witness(q, i)->key;

		if (!note_has(note, key))
			continue;
		by = key;
		r = note_verify(note, key, NULL);
		if (r == 0 && have && !note_has(have, key))
			r = note_copy_lines(&merged, note, key);
	}
	if (r == 0 && !by)
		return REFUSE(REASON_UNKNOWN_KEY, "cosigned checkpoint",
			"no witness of the policy has signed it");
	r = r ?: audit_keep_cosigned(m->audit, merged.data, merged.len, by);
	return r < 0 ? FAULT(r) : r;
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
		r = advance(s);
	} else {
		if (s->stale || !s->n)
			read_witnesses(s);
		for (size_t i = 0; i < s->n; i++)
			due |= is_due(s, &s->who[i]);
		if (due && clock_mono_us() - s->ended_us >= GAP_S * CLOCK_US_PER_S)
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

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	struct cosigning *s = arg;
	json_t *audit = json_object_get(status, "audit"), *pending;

	(void)json_object_set_new(audit, "witnesses", cosign_json(m));
	pending = json_object_get(status, "pending");
	for (size_t i = 0; i < s->n; i++) {
		char text[TROUBLE_MAX + NOTE_NAME_MAX], plain[4 * sizeof(text)];

		if (!s->who[i].trouble[0])
			continue;
		(void)snprintf(text, sizeof(text), "%s: %s", s->who[i].key.name, s->who[i].trouble);
		(void)json_array_append_new(pending,
			json_pack("{s:s, s:s}", "kind", "witness", "text",
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
