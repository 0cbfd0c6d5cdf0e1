/* Running a change (change.h) step by step on the monitor's loop: the journal is written before each step, so
 * that a crash at any instant leaves a step that can be taken again. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "updater/activate/change.h"

struct buf;
struct monitor;
struct change_run;

struct change_run_ops {
	void (*stepped)(const struct change *c, size_t item, void *arg); /* a new step of this item begins */
	/* It has ended: keep what must outlive the journal, which goes as soon as this returns 0.  After a crash between the
	 * two it runs again, as it does again_ms after it returned a fault or REASON_NO_SPACE. */
	int (*ended)(const struct change *c, void *arg);
	/* The disk takes what must stand now (going back, the end) for this reason, or fault, not: it is tried again until it
	 * does.  Once. */
	void (*stuck)(const struct change *c, int r, void *arg);
	unsigned again_ms;
	void (*over)(const struct change *c, void *arg); /* the journal is gone; the run is gone afterwards */
};

/* Begin (or, after a crash, go on with) the change.  journal_fd is borrowed; index (copied): for each item the
 * verified index of its new release, needed until it is staged; NULL where that is past.  *slot is NULL again before
 * over() runs.  Returns 0 or a fault (no callback runs). */
int change_run_start(struct change_run **slot, struct monitor *m, int journal_fd, const struct change *c,
	const struct buf *index, const struct change_run_ops *ops, void *arg);
/* Forget it without a word, for the monitor's end: the journal stays and the next start goes on. */
struct change_run *change_run_cancel(struct change_run *run);
const struct change *change_run_state(const struct change_run *run);
