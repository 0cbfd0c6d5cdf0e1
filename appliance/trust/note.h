/* Signed notes (c2sp.org/signed-note), tree checkpoints (tlog-checkpoint) and witnesses'
 * timestamped cosignatures (tlog-cosignature, "cosignature/v1"), Ed25519. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/trust/ed25519.h"

struct buf;

enum {
	NOTE_MAX = 64 * 1024,
	NOTE_SIGS_MAX = 32,
	NOTE_NAME_MAX = 256, /* with NUL */
	NOTE_TYPE_ED25519 = 0x01,
	NOTE_TYPE_COSIGNATURE = 0x04,
};

/* Whose signature we know. */
struct note_key {
	char name[NOTE_NAME_MAX];
	uint8_t type;
	uint8_t id[4];
	uint8_t key[ED25519_KEY_LEN];
};

/* Returns 0 or REASON_MALFORMED (logged) where name cannot be one (empty, a space, "+", a
 * control). */
int note_key_make(struct note_key *ret, const char *name, uint8_t type,
	const uint8_t key[ED25519_KEY_LEN]);
/* NAME+HEX8+BASE64.  Returns 0 or REASON_MALFORMED (logged). */
int note_key_parse(struct note_key *ret, const char *vkey);
/* The same for callers that name the place themselves: NULL, or what is wrong with it (unlogged). */
const char *note_key_scan(struct note_key *ret, const char *vkey);
void note_key_text(struct buf *out, const struct note_key *k);

struct note {
	const char *text; /* text_len bytes, ends with LF; not NUL-terminated */
	size_t text_len;
	struct note_sig {
		const char *name; /* NUL-terminated */
		uint8_t id[4];
		const uint8_t *sig; /* what stands after the id */
		size_t len;
	} sigs[NOTE_SIGS_MAX];
	size_t n_sigs;
	char *data; /* what the others point into; owned */
	uint8_t *bytes;
};

/* Take a note apart; verifies nothing.  Returns 0, REASON_MALFORMED, REASON_TOO_LARGE or
 * REASON_UNSIGNED (logged with operand), or a fault. */
int note_open(struct note **ret, const void *p, size_t len, const char *operand);
struct note *note_free(struct note *n);
SCOPED_DESTRUCTOR(struct note, note_free)

/* Is there a line that claims to be k's?  Verifies nothing. */
bool note_has(const struct note *n, const struct note_key *k);
/* Signed by k?  Unknown lines are ignored, a line of k that is wrong refuses the note.  For
 * cosignatures *ret_time_s (may be NULL) is the witness's time.  Returns 0, REASON_UNKNOWN_KEY
 * where k has no line, or REASON_BAD_SIGNATURE (both logged). */
int note_verify(const struct note *n, const struct note_key *k, uint64_t *ret_time_s);

/* Append text (which ends with LF), the blank line and one signature line. */
int note_sign(struct buf *out, const char *text, size_t len, const char *name,
	const struct ed25519 *key);
/* Append one cosignature line over a checkpoint's text. */
int note_cosign(struct buf *out, const char *text, size_t len, const char *name,
	const struct ed25519 *key, uint64_t time_s);

/* Append k's lines of a note, as they would be written anew.  Verifies nothing. */
int note_copy_lines(struct buf *out, const struct note *n, const struct note_key *k);

/* --- checkpoints ------------------------------------------------------------------------------ */
struct note_checkpoint {
	char origin[NOTE_NAME_MAX];
	uint64_t size;
	uint8_t root[32];
};

/* Parse a note's text; extension lines are taken and ignored.  Returns 0 or REASON_MALFORMED
 * (logged). */
int note_checkpoint_parse(struct note_checkpoint *ret, const char *text, size_t len,
	const char *operand);
void note_checkpoint_text(struct buf *out, const struct note_checkpoint *c);
