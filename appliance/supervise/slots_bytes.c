#include "appliance/supervise/slots.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { MAGIC_LEN = 8 };

static const char magic[MAGIC_LEN + 1] = "mscore1\n";

static void
get_text(struct cursor *c, char out[SLOTS_VERSION_MAX + 1])
{
	size_t n = cursor_u8(c);
	const uint8_t *p = n <= SLOTS_VERSION_MAX ? cursor_bytes(c, n) : NULL;

	for (size_t i = 0; p && i < n; i++)
		if (p[i] <= ' ' || p[i] > '~')
			p = NULL;
	if (!p)
		cursor_fail(c);
	else
		memcpy(out, p, n);
}

static void
get_tree(struct cursor *c, struct slots_tree *t)
{
	unsigned present = cursor_u8(c);
	const uint8_t *digest = cursor_bytes(c, sizeof(t->digest));

	if (present > 1 || !digest) {
		cursor_fail(c);
		return;
	}
	t->present = present;
	memcpy(t->digest, digest, sizeof(t->digest));
	t->counter = cursor_u64(c);
	get_text(c, t->version);
}

static bool
is_there(const struct slots *s, enum slots_slot slot)
{
	return slot == SLOTS_PACKAGED || slots_tree(s, slot);
}

static bool
is_none_or_there(const struct slots *s, enum slots_slot slot)
{
	return slot == SLOTS_NONE || is_there(s, slot);
}

bool
slots_sound(const struct slots *s)
{
	return is_there(s, s->active) && is_none_or_there(s, s->previous) &&
		is_none_or_there(s, s->trial) && is_none_or_there(s, s->failed) &&
		s->trial != s->active && s->why < SLOTS_WHY_MAX && s->tries <= SLOTS_TRIES_MAX &&
		(s->trial || s->tries == 0) && s->trial_ms <= SLOTS_TIME_MAX_MS &&
		(s->soak_ms < s->trial_ms || !s->trial) && (s->trial || s->begun_ms == 0) &&
		(s->begun_ms == 0) == (s->boot[0] == '\0');
}

int
slots_parse(struct slots *ret, const void *p, size_t len)
{
	struct cursor c = CURSOR(p, len);
	struct slots s = { 0 };
	const uint8_t *head, *sum;
	uint8_t digest[SHA256_LEN];

	if (len < SHA256_LEN)
		return REASON_MALFORMED;
	sha256_of(digest, p, len - SHA256_LEN);
	head = cursor_bytes(&c, MAGIC_LEN);
	s.generation = cursor_u64(&c);
	s.active = cursor_u8(&c);
	s.previous = cursor_u8(&c);
	s.trial = cursor_u8(&c);
	s.failed = cursor_u8(&c);
	s.why = cursor_u8(&c);
	s.tries = cursor_u8(&c);
	s.trial_ms = cursor_u32(&c);
	s.soak_ms = cursor_u32(&c);
	get_tree(&c, &s.tree[0]);
	get_tree(&c, &s.tree[1]);
	get_text(&c, s.packaged);
	s.begun_ms = cursor_u64(&c);
	get_text(&c, s.boot);
	get_text(&c, s.format);
	get_text(&c, s.accepts);
	sum = cursor_bytes(&c, SHA256_LEN);
	if (!cursor_done(&c) || memcmp(head, magic, MAGIC_LEN) != 0 ||
		memcmp(sum, digest, SHA256_LEN) != 0 || !slots_sound(&s))
		return REASON_MALFORMED;
	*ret = s;
	return 0;
}

static void
put_text(struct buf *out, const char *text)
{
	size_t n = strlen(text);

	buf_u8(out, (uint8_t)n);
	buf_put(out, text, n);
}

int
slots_write(struct buf *out, const struct slots *s)
{
	size_t start = out->len;
	uint8_t digest[SHA256_LEN];

	buf_put(out, magic, MAGIC_LEN);
	buf_u64(out, s->generation);
	buf_u8(out, (uint8_t)s->active);
	buf_u8(out, (uint8_t)s->previous);
	buf_u8(out, (uint8_t)s->trial);
	buf_u8(out, (uint8_t)s->failed);
	buf_u8(out, (uint8_t)s->why);
	buf_u8(out, (uint8_t)s->tries);
	buf_u32(out, s->trial_ms);
	buf_u32(out, s->soak_ms);
	for (size_t i = 0; i < 2; i++) {
		buf_u8(out, s->tree[i].present);
		buf_put(out, s->tree[i].digest, sizeof(s->tree[i].digest));
		buf_u64(out, s->tree[i].counter);
		put_text(out, s->tree[i].version);
	}
	put_text(out, s->packaged);
	buf_u64(out, s->begun_ms);
	put_text(out, s->boot);
	put_text(out, s->format);
	put_text(out, s->accepts);
	if (buf_error(out))
		return FAULT(buf_error(out));
	sha256_of(digest, out->data + start, out->len - start);
	buf_put(out, digest, sizeof(digest));
	return FAULT(buf_error(out));
}
