/* Threshold rules: is this number below or above its bound, and for how long already?
 *
 *	             bad           held            good            calm
 *	inactive     pending       firing !        -               -
 *	pending      -             firing !        inactive        inactive
 *	firing       -             -               clearing        inactive, resolved !
 *	clearing     firing        firing          -               inactive, resolved !
 *
 * bad: the condition holds; held: it holds for at least `for` now; good: it does not; calm: it does not for
 * at least `for`/2 (30 s at most), so that a number that flutters about its bound gives one alert.  An empty
 * cell changes nothing; "!" tells the caller.
 *
 * No clock and no I/O: time comes in, transitions go out.  Only numbers move a rule: while none come, it
 * stays as it is. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum {
	RULE_NAME_MAX = 64,
	RULE_METRIC_MAX = 128,
	RULE_TEXT_MAX = 512,
	RULE_MAX = 1024, /* rules of one set */
};

enum rule_state { RULE_INACTIVE, RULE_PENDING, RULE_FIRING, RULE_CLEARING, RULE_STATE_MAX };

struct rule {
	char service[RULE_NAME_MAX + 1];
	char name[RULE_NAME_MAX + 1];
	char metric[RULE_METRIC_MAX + 1];
	bool above; /* else below */
	int64_t bound;
	uint64_t for_us;
	char severity[16]; /* critical, warning, info */
	char text[RULE_TEXT_MAX + 1];
};

struct rule_alert {
	const struct rule *rule;
	bool firing;       /* else resolved */
	uint64_t since_us; /* when it began to fire */
	double value;      /* the number that made the transition */
};

struct rule_set;

/* Runs from rule_feed() and rule_load(); must not change the set. */
typedef void rule_fn(const struct rule_alert *alert, void *arg);

int rule_new(struct rule_set **ret, rule_fn *tell, void *arg);
struct rule_set *rule_free(struct rule_set *s);
SCOPED_DESTRUCTOR(struct rule_set, rule_free)

/* Read one alert of a definition ({"name","metric","op","value","for","severity","text"}).  Returns 0,
 * REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged). */
int rule_read(struct rule *ret, const char *service, const json_t *alert);

/* Replace the rules; copied.  A rule that was there before (same service, name and condition) keeps its
 * state; an alert that fires and whose rule is gone is told as resolved.  Returns 0; REASON_TOO_LARGE
 * (logged, nothing changed); or a fault. */
int rule_load(struct rule_set *s, const struct rule *rules, size_t n, uint64_t now_us);

/* A number came: moves the rules that watch it. */
void rule_feed(struct rule_set *s, const char *service, const char *metric, double value,
	uint64_t now_us);

/* Every alert that fires now; every rule as it stands, firing or not. */
void rule_each_firing(const struct rule_set *s, rule_fn *each, void *arg);
void rule_each(const struct rule_set *s, rule_fn *each, void *arg);

/* Did a state change since rule_saved() last gave true? */
bool rule_changed(struct rule_set *s);

/* The states as JSON, to be kept over a restart; NULL where there is no memory.  The caller's. */
json_t *rule_save(const struct rule_set *s);
/* Give the present rules their saved states back; saved ones without a rule are forgotten.  Nothing is
 * told: what fires was told before.  Returns 0; REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged; what was
 * read before the bad one stands); or a fault. */
int rule_restore(struct rule_set *s, const json_t *saved);
