/* This log and one that a witness saw are not the same: the disk was restored, or the site was copied.  The proof is a
 * checkpoint with our own signature that this log does not contain; lib/monitor/forked.json keeps it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct monitor;

/* Read the file.  What is about another audit key than the present one is over.  Returns 0, also where it is
 * damaged (logged), or a fault. */
int forked_load(struct monitor *m);
bool forked_is(const struct monitor *m);

/* Judge a checkpoint that somebody holds against us.  Where it is of this log and signed by our audit key, and
 * this log does not contain it: it is kept, the epoch is another one, and a leaf `clone` names it.  Returns 0, also
 * where it proves nothing because this log contains it; REASON_MALFORMED, REASON_UNSIGNED, REASON_TOO_LARGE,
 * REASON_WRONG_ADDRESSEE (another log), REASON_UNKNOWN_KEY or REASON_BAD_SIGNATURE (not ours; all logged, nothing
 * changed); or a fault. */
int forked_judge(struct monitor *m, const void *note, size_t len);

/* What the customer does about it, as a sentence. */
#define FORKED_REMEDY                                                                              \
	"mainstay audit head shows both heads; if a disk was restored: mainstay leave --export "   \
	"DIR, move "                                                                               \
	"lib/audit and lib/monitor/audit.key away, start again and enrol anew; if not, somebody "  \
	"else has "                                                                                \
	"this site's keys"

/* Add .audit.forked {"kind","size","root","checkpoint","text","remedy"} and a line to .pending. */
void forked_status(const struct monitor *m, json_t *status);
