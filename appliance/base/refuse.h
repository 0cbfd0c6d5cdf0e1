/* Refusals: the one way to say no.
 *
 * A refusal is a decision about something from outside (a message, a file, a person's command).  It
 * carries a token from a closed list, the operand it is about, where in the operand (file:line:col)
 * and a sentence.  REFUSE() writes one log line, counts, remembers the details for the caller's
 * answer (exit text, HTTP body, audit leaf), and returns the reason, which is > 0.
 *
 *	if (now > req->expires)
 *		return REFUSE(REASON_EXPIRED, req->id, "expired %s", when);
 *
 * `make refusals` lists every site and the test that reaches it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

/* The tokens of the interface, in its order.  The same token stands in exit text, HTTP bodies, audit
 * leaves and the journal field MAINSTAY_REASON. */
enum reason {
	REASON_NONE = 0,
	REASON_MALFORMED,
	REASON_UNKNOWN_FIELD,
	REASON_TOO_LARGE,
	REASON_UNSIGNED,
	REASON_BAD_SIGNATURE,
	REASON_UNKNOWN_KEY,
	REASON_LOW_ORDER_KEY,
	REASON_USED_TOKEN,
	REASON_EXPIRED,
	REASON_NOT_YET_VALID,
	REASON_REPLAYED,
	REASON_WRONG_ADDRESSEE,
	REASON_WRONG_ROLE,
	REASON_REVOKED,
	REASON_DENIED,
	REASON_NOT_APPROVED,
	REASON_ALTERED,
	REASON_STATE_MOVED,
	REASON_SWITCHED_OFF,
	REASON_ROLLBACK,
	REASON_FREEZE,
	REASON_THRESHOLD,
	REASON_HASH_MISMATCH,
	REASON_NO_SPACE,
	REASON_NO_SANDBOX,
	REASON_STALE_PEOPLE,
	REASON_WRONG_EPOCH,
	REASON_INTERRUPTED,
	REASON_CONFLICT,
	REASON_NOT_FOUND,
	REASON_BUSY,
	REASON_UNSAFE_TREE,
	REASON_OUTSIDE_WINDOW,
	REASON_USAGE,
	REASON_UNREACHABLE,
	REASON_FAULT,
	REASON_MAX
};

enum {
	REFUSE_OPERAND_MAX = 128,
	REFUSE_PLACE_MAX = 256,
	REFUSE_TEXT_MAX = 512,
};

/* The last refusal of this thread, whole until the next one. */
struct refusal {
	enum reason reason;
	char operand[REFUSE_OPERAND_MAX];
	char place[REFUSE_PLACE_MAX]; /* "file:line:col", or "" */
	char text[REFUSE_TEXT_MAX];
	const char *site_file; /* where in our own code */
	int site_line;
};

/* Refuse: reason, what it is about (may be NULL), a sentence.  Returns reason. */
#define REFUSE(reason, operand, ...)                                                               \
	refuse_note((reason), __FILE__, __LINE__, (operand), NULL, __VA_ARGS__)

/* The same for text files: place is "file:line:col". */
#define REFUSE_AT(reason, operand, place, ...)                                                     \
	refuse_note((reason), __FILE__, __LINE__, (operand), (place), __VA_ARGS__)

int refuse_note(enum reason reason, const char *file, int line, const char *operand,
	const char *place, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Pass on a refusal that another process decided and already logged: remembered, not logged again. */
int refuse_relay(enum reason reason, const char *operand, const char *place, const char *text);

/* The last refusal; reason REASON_NONE where there was none. */
const struct refusal *refuse_last(void);

/* A fault that no mistake of ours is, as the refusal that people can do something about: a full disk is
 * REASON_NO_SPACE (logged).  Any other r as it is. */
int refuse_full(int r);
/* Make another thread's refusal this one's last: it was counted and logged there.  Returns its reason. */
int refuse_adopt(const struct refusal *of);

/* Refusals seen by this process, by reason. */
uint64_t refuse_count(enum reason reason);

/* "bad-signature"; never NULL. */
const char *refuse_token(enum reason reason);

/* The reason of a token; REASON_NONE where it is not one. */
enum reason refuse_reason(const char *token);

/* The HTTP status that interfaces.md gives a reason (403 where it names none). */
int refuse_http_status(enum reason reason);

/* The exit code of a command that ended with r: 0 for 0, 4 for a fault (r < 0), 2 usage,
 * 3 unreachable, 1 any other refusal. */
int refuse_exit_code(int r);
