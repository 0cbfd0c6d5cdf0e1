#include "appliance/monitor/cosign_room.h"

#include <stdio.h>
#include <string.h>

#include "appliance/audit/witness.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/witnesses.h"
#include "appliance/trust/sha256.h"

/* --- 200 --------------------------------------------------------------------------------------------- */
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
	SCOPED(buf_done) struct buf whole = BUF_MAX(COSIGN_BODY_MAX);
	SCOPED(note_freep) struct note *note = NULL, *have = NULL;
	int r = witness_accept(&whole, s->checkpoint, strlen(s->checkpoint), body, len, &c->key);

	r = r ?: note_open(&note, whole.data, whole.len, c->key.name);
	r = r ?: note_open(&have, s->note.data, s->note.len, c->key.name);
	/* Only its own lines: what else it sends is nobody's word.  One that it gave before stands already. */
	if (r == 0 && !note_has(have, &c->key))
		r = note_copy_lines(&s->note, note, &c->key);
	if (r)
		return r;
	cosigner_done(c, s->size);
	s->lines |= c->url[0] != 0;
	if (!is_better(s))
		return 0;
	return audit_keep_cosigned(s->m->audit, s->note.data, s->note.len, &c->key);
}

/* --- anything else ----------------------------------------------------------------------------------- */
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
	char error[32];

	switch (status) {
	case 200:
		return take_cosignature(s, c, body, len);
	case 409:
		return take_conflict(s, c, body, len);
	case 422:
		fetch_evidence(s, c);
		return REFUSE(REASON_ALTERED, c->key.name,
			"does not find this log to continue the one it cosigned");
	default:
		(void)snprintf(error, sizeof(error), "it answered %u", status);
		return REFUSE(REASON_UNREACHABLE, c->key.name, "%s",
			status ? error : "cannot be reached");
	}
}

int
cosign_answer(struct cosigning *s, struct cosigner *c, unsigned status, const void *body,
	size_t len)
{
	struct refusal why;
	int r;

	if (!c->waiting || !s->checkpoint)
		return 0; /* an answer to a head of a former life */
	c->waiting = false;
	r = take_answer(s, c, status, body, len);
	if (r > 0) {
		why = *refuse_last();
		cosigner_trouble(c, "%s", why.text);
		(void)cosign_advance(s);
		return refuse_relay(why.reason, why.operand, why.place, why.text);
	}
	if (r == 0)
		r = cosign_advance(s);
	return r < 0 ? FAULT(r) : r;
}
