#include "appliance/base/refuse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/base/scope.h"

static const struct {
	const char *token;
	int http;
} reasons[REASON_MAX] = {
	[REASON_NONE] = { "none", 403 },
	[REASON_MALFORMED] = { "malformed", 400 },
	[REASON_UNKNOWN_FIELD] = { "unknown-field", 400 },
	[REASON_TOO_LARGE] = { "too-large", 413 },
	[REASON_UNSIGNED] = { "unsigned", 401 },
	[REASON_BAD_SIGNATURE] = { "bad-signature", 401 },
	[REASON_UNKNOWN_KEY] = { "unknown-key", 401 },
	[REASON_LOW_ORDER_KEY] = { "low-order-key", 403 },
	[REASON_USED_TOKEN] = { "used-token", 410 },
	[REASON_EXPIRED] = { "expired", 403 },
	[REASON_NOT_YET_VALID] = { "not-yet-valid", 403 },
	[REASON_REPLAYED] = { "replayed", 409 },
	[REASON_WRONG_ADDRESSEE] = { "wrong-addressee", 403 },
	[REASON_WRONG_ROLE] = { "wrong-role", 403 },
	[REASON_REVOKED] = { "revoked", 403 },
	[REASON_DENIED] = { "denied", 403 },
	[REASON_NOT_APPROVED] = { "not-approved", 403 },
	[REASON_ALTERED] = { "altered", 403 },
	[REASON_STATE_MOVED] = { "state-moved", 409 },
	[REASON_SWITCHED_OFF] = { "switched-off", 403 },
	[REASON_ROLLBACK] = { "rollback", 403 },
	[REASON_FREEZE] = { "freeze", 403 },
	[REASON_THRESHOLD] = { "threshold", 403 },
	[REASON_HASH_MISMATCH] = { "hash-mismatch", 422 },
	[REASON_NO_SPACE] = { "no-space", 503 },
	[REASON_NO_SANDBOX] = { "no-sandbox", 403 },
	[REASON_STALE_PEOPLE] = { "stale-people", 403 },
	[REASON_WRONG_EPOCH] = { "wrong-epoch", 403 },
	[REASON_INTERRUPTED] = { "interrupted", 403 },
	[REASON_CONFLICT] = { "conflict", 409 },
	[REASON_NOT_FOUND] = { "not-found", 404 },
	[REASON_BUSY] = { "busy", 429 },
	[REASON_UNSAFE_TREE] = { "unsafe-tree", 403 },
	[REASON_OUTSIDE_WINDOW] = { "outside-window", 403 },
	[REASON_USAGE] = { "usage", 400 },
	[REASON_UNREACHABLE] = { "unreachable", 503 },
	[REASON_FAULT] = { "fault", 503 },
};

static _Thread_local struct refusal last;
static _Atomic uint64_t counts[REASON_MAX];

/* Remember all but the text. */
static void
remember(enum reason reason, const char *file, int line, const char *operand, const char *place)
{
	last = (struct refusal){ .reason = reason, .site_file = file, .site_line = line };
	(void)snprintf(last.operand, sizeof(last.operand), "%s", operand ? operand : "");
	(void)snprintf(last.place, sizeof(last.place), "%s", place ? place : "");
	atomic_fetch_add_explicit(&counts[reason], 1, memory_order_relaxed);
}

int
refuse_note(enum reason reason, const char *file, int line, const char *operand, const char *place,
	const char *fmt, ...)
{
	char text[REFUSE_TEXT_MAX];
	char what[REFUSE_OPERAND_MAX];
	va_list ap;

	if (reason <= REASON_NONE || reason >= REASON_MAX)
		reason = REASON_FAULT;
	/* Operand and arguments may be parts of the last refusal: copy before overwriting it. */
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	(void)snprintf(what, sizeof(what), "%s", operand ? operand : "");
	remember(reason, file, line, what, place);
	(void)snprintf(last.text, sizeof(last.text), "%s", text);
	log_refusal(reasons[reason].token, last.operand, last.place, last.text, file, line);
	return (int)reason;
}

int
refuse_relay(enum reason reason, const char *operand, const char *place, const char *text)
{
	if (reason <= REASON_NONE || reason >= REASON_MAX)
		reason = REASON_FAULT;
	remember(reason, "", 0, operand, place);
	(void)snprintf(last.text, sizeof(last.text), "%s", text ? text : "");
	return (int)reason;
}

int
refuse_adopt(const struct refusal *of)
{
	last = *of;
	return (int)last.reason;
}

const struct refusal *
refuse_last(void)
{
	return &last;
}

uint64_t
refuse_count(enum reason reason)
{
	if (reason <= REASON_NONE || reason >= REASON_MAX)
		return 0;
	return atomic_load_explicit(&counts[reason], memory_order_relaxed);
}

const char *
refuse_token(enum reason reason)
{
	if (reason < REASON_NONE || reason >= REASON_MAX)
		reason = REASON_FAULT;
	return reasons[reason].token;
}

enum reason
refuse_reason(const char *token)
{
	if (!token)
		return REASON_NONE;
	for (size_t i = REASON_NONE + 1; i < ARRAY_LEN(reasons); i++)
		if (strcmp(reasons[i].token, token) == 0)
			return (enum reason)i;
	return REASON_NONE;
}

int
refuse_http_status(enum reason reason)
{
	if (reason < REASON_NONE || reason >= REASON_MAX)
		return 403;
	return reasons[reason].http;
}

int
refuse_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT
		? REFUSE(REASON_NO_SPACE, "disk",
			  "no room is left, or no more is allowed: make some, then do it again")
		: r;
}

int
refuse_exit_code(int r)
{
	if (r == 0)
		return 0;
	if (r < 0 || r == REASON_FAULT)
		return 4;
	if (r == REASON_USAGE)
		return 2;
	if (r == REASON_UNREACHABLE)
		return 3;
	return 1;
}
