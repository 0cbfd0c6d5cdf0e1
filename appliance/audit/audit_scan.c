#include "appliance/audit/audit_scan.h"

#include <string.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/base/clock.h"
#include "appliance/base/cursor.h"
#include "appliance/trust/sha256.h"

enum { WORD_MAX = 80, DIGITS_MAX = 15 }; /* so many digits are below 2^53 */

static void
literal(struct cursor *c, const char *text)
{
	size_t len = strlen(text);
	const uint8_t *p = cursor_bytes(c, len);

	if (p && memcmp(p, text, len))
		cursor_fail(c);
}

/* A text up to its closing quote, which is taken. */
static void
text(struct cursor *c, size_t max, size_t min, bool lines)
{
	const uint8_t *p = c->p;
	size_t len = 0;

	for (; p < c->end && *p != '"'; p++, len++) {
		bool line = *p == '\n' || *p == '\t' || *p == '\r';

		if (*p == '\\' && ++p < c->end && *p != '"' && *p != '\\')
			break;
		if (p == c->end || *p >= 0x7f || (*p < 0x20 && !(line && lines)))
			break;
	}
	if (p == c->end || *p != '"' || len < min || len > max)
		cursor_fail(c);
	else
		c->p = p + 1;
}

/* The same for one without escapes, copied. */
static void
word(struct cursor *c, char out[WORD_MAX])
{
	const uint8_t *p = c->p;
	size_t len = 0;

	out[0] = '\0';
	text(c, WORD_MAX - 1, 0, false);
	if (c->failed)
		return;
	len = (size_t)(c->p - p) - 1;
	if (len >= WORD_MAX || memchr(p, '\\', len)) {
		cursor_fail(c);
		return;
	}
	memcpy(out, p, len);
	out[len] = '\0';
}

static uint64_t
number(struct cursor *c)
{
	const uint8_t *p = c->p;
	uint64_t v = 0;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9' && c->p - p < DIGITS_MAX)
		v = 10 * v + (uint64_t)(*c->p++ - '0');
	if (c->p == p || (*p == '0' && c->p - p > 1))
		cursor_fail(c);
	return v;
}

bool
audit_scan(struct audit_scan *ret, const void *p, size_t len)
{
	char kind[WORD_MAX], digest[WORD_MAX], reason[WORD_MAX], time[WORD_MAX];
	struct cursor c = CURSOR(p, len);
	uint8_t parsed[SHA256_LEN];

	literal(&c, "{\"actor\":\"");
	text(&c, AUDIT_ACTOR_MAX, 0, true);
	literal(&c, ",\"digest\":\"");
	word(&c, digest);
	literal(&c, ",\"kind\":\"");
	word(&c, kind);
	literal(&c, ",\"n\":");
	ret->n = number(&c);
	literal(&c, ",\"object\":\"");
	text(&c, AUDIT_OBJECT_MAX, 0, true);
	literal(&c, ",\"reason\":\"");
	word(&c, reason);
	literal(&c, ",\"salt\":\"");
	text(&c, 2 * AUDIT_SALT_BYTES, 1, false);
	literal(&c, ",\"time\":\"");
	word(&c, time);
	literal(&c, "}");
	ret->kind = audit_kind_of(kind);
	return cursor_done(&c) && len <= AUDIT_ENTRY_MAX && ret->kind != AUDIT_KIND_MAX &&
		(!*digest || sha256_parse(parsed, digest)) &&
		(!*reason || refuse_reason(reason) != REASON_NONE) &&
		clock_parse(&ret->time_us, time) == 0;
}
