/* What an update would do: for people, for `apply --plan`, and for what goes in by itself.
 *
 * Canonical JSON, one row for each service whose assigned release lies in the store and does not run, in the order in
 * which they would change.  All of it is here by then: nothing more is fetched.
 *
 *	{"service","class","from","from_version","to","version","counter","held","went_back","automatic",
 *	 "files":{"added","changed","removed"},"bytes",
 *	 "defaults":[{"knob","from","to"}],		those that cluster.yaml does not set
 *	 "new":{"operations":[],"fields":[],"powers":[]}, the first two arrive off, the last must be accepted before
 *	 "data":"same|one-way|not-readable","snapshot","restores","downtime":"restart","requires":[],"notes":[],
 *	 "ring",					it, or what it requires, requires itself in the end: it is left out
 *	 "problems":[{"reason","operand","where","text"}]}	why it could not go in now
 *
 * Its digest is over these rows; neither time nor windows are in them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "appliance/trust/sha256.h"
#include "updater/activate/change.h"
#include "updater/activate/update.h"

struct plan {
	json_t *items;
	struct update_release rels[CHANGE_ITEMS_MAX]; /* of the rows, in their order */
	size_t n;
	bool core; /* its one row is of the core, which never changes together with services */
	char digest[SHA256_TEXT_MAX];
};

/* Make it.  plan_done() in every case.  Returns 0 or a fault. */
int plan_make(struct update *u, struct plan *ret);
void plan_done(struct plan *p);

/* Is the row held: by `update hold`, or by cluster.yaml? */
bool plan_held(const struct plan *p, size_t i);
/* Is it one of services that require each other in a circle, so that none can go first? */
bool plan_ring(const struct plan *p, size_t i);
/* Why the row could not go in: the reason of its first problem, which was counted and logged when the plan was made and
 * is refuse_last() now; 0: it has none. */
int plan_problem(const struct plan *p, size_t i);
/* Did the site go back from it (update_went_back())?  Then it goes in only where somebody says `--again`. */
bool plan_went_back(const struct plan *p, size_t i);
/* May it go in without a person's word: `update: auto`, not held, no problems, no more powers, data that can go back, no
 * core; and the site did not go back from it? */
bool plan_automatic(const struct plan *p, size_t i);

/* In words, what is otherwise in the rows `after` than in `before`: "redis: version 8 is now 9; nginx: gone". */
void plan_difference(const json_t *before, const json_t *after, struct buf *out);
