/* Who must have cosigned a head before it counts: c2sp.org/tlog-policy.
 *
 *	log VKEY [URL]
 *	witness NAME VKEY [URL]
 *	group NAME all|any|K NAME...
 *	quorum NAME|none
 *
 * Lines end with LF, words are parted by spaces and tabs, "#" begins a comment line; a name is used
 * only behind its own line, and belongs to one group at most.  A log's key has type 0x01, a
 * witness's 0x04.  A witness's URL is its submission prefix (tlog-witness): heads are sent there. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/trust/note.h"

struct buf;
struct quorum;

enum {
	QUORUM_BYTES_MAX = 64 * 1024,
	QUORUM_LOGS_MAX = 32,
	QUORUM_WITNESSES_MAX =
		24, /* a note carries at most NOTE_SIGS_MAX lines, the log's among them */
	QUORUM_GROUPS_MAX = 32,
	QUORUM_URL_MAX = 200, /* with NUL; "/add-checkpoint" must fit behind it */
};

struct quorum_witness {
	char name[NOTE_NAME_MAX]; /* within the policy */
	struct note_key key;
	char url[QUORUM_URL_MAX]; /* https://..., without a slash at its end; "" where none is given */
};

/* Parse a policy.  operand is the file's name.  Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD (a
 * line of no known kind), REASON_TOO_LARGE, REASON_CONFLICT (a name or key twice), REASON_NOT_FOUND
 * (a name that no earlier line defines; all logged with file:line:col); or a fault. */
int quorum_parse(struct quorum **ret, const void *p, size_t len, const char *operand);
/* The policy where nobody wrote one: this witness. */
int quorum_single(struct quorum **ret, const char *name, const struct note_key *witness);
struct quorum *quorum_free(struct quorum *q);
SCOPED_DESTRUCTOR(struct quorum, quorum_free)

/* Append the policy in one canonical form: what quorum_parse() reads back as the same. */
void quorum_text(struct buf *out, const struct quorum *q);

size_t quorum_n_logs(const struct quorum *q); /* 0: the policy leaves the log to its context */
const struct note_key *quorum_log(const struct quorum *q, size_t i);
size_t quorum_n_witnesses(const struct quorum *q);
const struct quorum_witness *quorum_witness(const struct quorum *q, size_t i);

struct quorum_verdict {
	bool met;
	bool cosigned[QUORUM_WITNESSES_MAX];   /* by quorum_witness(i) */
	uint64_t time_s[QUORUM_WITNESSES_MAX]; /* the witness's own time, where it cosigned */
};

/* Which witnesses cosigned this note, and is that enough?  The log's own signature is the caller's to
 * check.  Returns 0, also where the quorum is not met; REASON_BAD_SIGNATURE where a witness's line is
 * wrong (logged: such a note counts for nothing). */
int quorum_check(const struct quorum *q, const struct note *note, struct quorum_verdict *ret);
/* {"met","quorum","witnesses":[{"name","key","url","cosigned","time"}]}; the caller's; NULL where there
 * is no memory. */
json_t *quorum_json(const struct quorum *q, const struct quorum_verdict *v);

/* Of quorum_json()'s object: append " NAME" for each witness that has not cosigned. */
void quorum_missing(struct buf *out, const json_t *quorum);
/* Where it is not met: REASON_THRESHOLD (logged with operand), naming them; else 0, also
 * for NULL: nobody asked. */
int quorum_require(const json_t *quorum, const char *operand);
