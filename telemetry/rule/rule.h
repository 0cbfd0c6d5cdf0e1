/* Rules: from numbers to alerts.
 *
 *	threshold   is a number above, below, equal or not equal to its bound?
 *	rate        the same of how fast a counter grows: increase in the last `over`, per `per`
 *	absent      has no number come for so long?
 *	change      is it another number than the one before?
 *
 * A rule watches the series of one metric whose labels are those of `where`; `by` makes one alert for each
 * combination of these labels' values (a group), without it all series are one.  The condition holds for a
 * group while it holds for any of its series.
 *
 *	             bad           held            good            calm
 *	inactive     pending       firing !        -               -
 *	pending      -             firing !        inactive        inactive
 *	firing       -             -               clearing        inactive, resolved !
 *	clearing     firing        firing          -               inactive, resolved !
 *
 * bad: the condition holds; held: it holds for at least `for` now; good: it does not; calm: it does not for
 * at least `for`/2 (30 s at most; of a change: `for`), so that a number that flutters about its bound gives one
 * alert.  While an alert fires its condition ends only beyond `clear`.  An empty cell changes nothing; "!" tells
 * the caller.  A firing alert that is muted by hand, or inhibited by another alert that fires, is told as muted,
 * and as firing again when that ends.  Alerts that inhibit each other in a circle are not silenced by it.
 *
 * No clock and no I/O: time comes in, transitions go out.  A threshold is moved by numbers alone: while none come
 * it stays as it is; but a group of `by` whose series have not come for RULE_GONE_US is forgotten.  An absence
 * that has lasted less than RULE_STILL_US, or half of its span, is counted anew after a restart. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum {
	RULE_NAME_MAX = 64,
	RULE_METRIC_MAX = 128,
	RULE_TEXT_MAX = 512,    /* of an alert, with its values put in */
	RULE_VALUE_MAX = 128,   /* bytes of a label's value in a group */
	RULE_WHERE_MAX = 8,     /* labels of `where` */
	RULE_BY_MAX = 4,        /* labels of `by` */
	RULE_GROUP_MAX = 512,   /* bytes of a group as text */
	RULE_WHY_MAX = 256,     /* bytes of why an alert is muted */
	RULE_MAX = 1024,        /* rules of one set */
	RULE_GROUPS_MAX = 64,   /* groups of one rule; more are not watched, which is an alert of its own */
	RULE_SERIES_MAX = 256,  /* series of one rule; likewise */
	RULE_ALL_SERIES_MAX = 1024, /* series of the set; likewise */
	RULE_MUTES_MAX = 64,
};

#define RULE_GONE_US	 (UINT64_C(600) * 1000000)
#define RULE_STILL_US	 (UINT64_C(60) * 1000000)
#define RULE_MUTE_MAX_US (UINT64_C(7) * 86400 * 1000000)
/* The alert of a rule with more groups or series than are watched; its group is alert="NAME". */
#define RULE_OVERFLOW_NAME "AlertGroupsFull"

enum rule_kind { RULE_THRESHOLD, RULE_RATE, RULE_ABSENT, RULE_CHANGE, RULE_KIND_MAX };
enum rule_op { RULE_BELOW, RULE_ABOVE, RULE_EQUAL, RULE_NOT_EQUAL, RULE_OP_MAX };
enum rule_state { RULE_INACTIVE, RULE_PENDING, RULE_FIRING, RULE_CLEARING, RULE_STATE_MAX };
enum rule_told { RULE_TOLD_FIRING, RULE_TOLD_MUTED, RULE_TOLD_RESOLVED };

struct rule_label {
	const char *name, *value;
};

/* Shared by reference, never changed once read.  Texts live as long as it does. */
struct rule {
	unsigned refs;
	json_t *doc; /* owned: the texts below stand in it */
	char service[RULE_NAME_MAX + 1];
	const char *name, *metric, *severity; /* critical, warning, info */
	const char *text;      /* as written: with {value} and {label.NAME} */
	const char *operation; /* that is proposed, of the same service; "" for none */
	enum rule_kind kind;
	enum rule_op op;       /* THRESHOLD, RATE */
	double bound, clear;   /* clear: the bound where none is given */
	uint64_t hold_us, calm_us; /* how long until held, until calm */
	uint64_t per_us, over_us;  /* RATE */
	struct rule_label where[RULE_WHERE_MAX];
	size_t n_where;
	const char *by[RULE_BY_MAX];
	size_t n_by;
	const json_t *inhibited_by; /* array of names of the same service, or NULL */
	char *condition; /* owned: "rate(m{a="b"}) by (c) over 5m0s per 1m above 5", what makes it the same rule */
};

/* Read one alert of a definition or of the customer's own file, in the form that the definition's reader leaves
 * (definition.h); referenced.  *ret is the caller's, one reference.  Returns 0, REASON_MALFORMED or
 * REASON_UNKNOWN_FIELD (logged), or a fault. */
int rule_read(struct rule **ret, const char *service, json_t *alert);
struct rule *rule_ref(const struct rule *r);
struct rule *rule_unref(struct rule *r);
SCOPED_DESTRUCTOR(struct rule, rule_unref)

const char *rule_told_text(enum rule_told told); /* "firing", "muted", "resolved" */

/* --- the set ------------------------------------------------------------------------------------------ */
/* One alert as it is told; texts are lent for the call. */
struct rule_alert {
	const struct rule *rule; /* of an overflow: a rule of that name, kept by the set */
	enum rule_told told;
	uint64_t since_us; /* when it began to fire */
	double value;      /* the last number; NaN: nobody knows it any more */
	const char *text;  /* with value and labels put in */
	const struct rule_label *labels; /* the group's, in the order of `by` */
	size_t n_labels;
	const char *group;    /* the same as text: device="sda",mode="rw"; "" where there is none */
	const char *muted_by; /* MUTED: "alert NAME" or the mute's why; else "" */
};

struct rule_set;

/* Runs from rule_load(), rule_feed(), rule_tick() and rule_mute(); must not change the set. */
typedef void rule_fn(const struct rule_alert *alert, void *arg);

int rule_new(struct rule_set **ret, rule_fn *tell, void *arg);
struct rule_set *rule_free(struct rule_set *s);
SCOPED_DESTRUCTOR(struct rule_set, rule_free)

/* Replace the rules; referenced.  A rule that was there before (same service, name and condition) keeps its
 * state; an alert that fires and whose rule is gone is told as resolved.  Returns 0; REASON_TOO_LARGE
 * (logged, nothing changed); or a fault. */
int rule_load(struct rule_set *s, struct rule *const *rules, size_t n, uint64_t now_us);

/* A number came: moves the rules that watch it.  NaN is no number: it changes nothing; a counter
 * that is infinite is none either.  labels may be NULL
 * where n is 0. */
void rule_feed(struct rule_set *s, const char *service, const char *metric,
	const struct rule_label *labels, size_t n_labels, double value, uint64_t now_us);

/* Time passed: what moves without numbers (absent, change, ends of mutes, groups that are gone).  To be called every
 * few seconds: more than RULE_STILL_US after the last was a pause of our own, or a clock that was set, and counts as
 * nobody's absence. */
void rule_tick(struct rule_set *s, uint64_t now_us);

/* What is not to be told as firing for now. */
struct rule_mute {
	char service[RULE_NAME_MAX + 1];
	char name[RULE_NAME_MAX + 1]; /* "": all of the service */
	char why[RULE_WHY_MAX + 1];
	uint64_t until_us; /* further off than RULE_MUTE_MAX_US (a clock was set back): it has ended */
};

/* Replace the mutes; copied, RULE_MUTES_MAX at most (further ones are left out).  They are not saved. */
void rule_mute(struct rule_set *s, const struct rule_mute *mutes, size_t n, uint64_t now_us);

/* Every alert that fires or is muted now. */
void rule_each_firing(const struct rule_set *s, rule_fn *each, void *arg);

/* Must something be kept that rule_save() has not given yet?  Asked after feeds and ticks; windows of
 * rates change every 15 s at most. */
bool rule_changed(struct rule_set *s);

/* The states as JSON, to be kept over a restart; NULL where there is no memory.  The caller's. */
json_t *rule_save(const struct rule_set *s);
/* Give the present rules their saved states back; saved ones without a rule are forgotten.  Nothing is
 * told: what fires was told before.  Returns 0; REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged; what was
 * read before the bad one stands); or a fault. */
int rule_restore(struct rule_set *s, const json_t *saved, uint64_t now_us);
