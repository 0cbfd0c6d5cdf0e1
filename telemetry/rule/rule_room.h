/* What the files of rule share.  Not for other rooms. */
#pragma once

#include "telemetry/rule/rule.h"

struct buf;

enum { RULE_SPOTS = 20 }; /* of a rate's window */

/* How a counter grew: its increase since the window's beginning, looked at every `spacing`. */
struct rule_window {
	struct {
		uint64_t at_us;
		double total;
	} spots[RULE_SPOTS];
	size_t n;
	double total;
};

/* One series of a group. */
struct rule_series {
	struct rule_series *next;
	uint64_t seen_us; /* the last number */
	double last;      /* that number; of RATE: the counter itself */
	bool bad;
	struct rule_window *window; /* RATE; owned */
	char key[];		    /* its labels, sorted, as text */
};

/* One alert: the series whose `by` labels are the same. */
struct rule_group {
	struct rule_group *next;
	enum rule_state state;
	bool bad;          /* of the last look */
	enum rule_told told; /* the last word; RESOLVED: none yet */
	uint64_t turn_us;  /* since when it is so */
	uint64_t fired_us; /* FIRING, CLEARING: when the alert began */
	uint64_t seen_us;  /* the last number of any series */
	double value;      /* the last number that decided */
	size_t n_series, n_bad;
	struct rule_series *series;
	char *muted_by; /* told MUTED: why; owned */
	struct rule_label labels[RULE_BY_MAX]; /* values owned by the group */
	char text[];			       /* of the labels: a="b",c="d" */
};

struct rule_watched {
	struct rule *rule; /* referenced */
	struct rule *overflow; /* a rule of RULE_OVERFLOW_NAME, made when it is needed */
	struct rule_group *groups, *full; /* full: of the overflow; NULL: there was none */
	size_t n_groups, n_series;
	uint64_t refused_us; /* when a series was last not taken; 0: never */
};

struct rule_set {
	struct rule_watched *rules; /* sorted by service and metric; owned */
	size_t n, n_series;
	struct rule_mute mutes[RULE_MUTES_MAX];
	size_t n_mutes;
	uint64_t ticked_us; /* 0: not yet */
	bool changed; /* something that rule_save() gives */
	rule_fn *tell;
	void *arg;
};

/* Where a metric of a service stands beside a rule, as strcmp() says it. */
int rule_order(const char *service, const char *metric, const struct rule *rule);

/* Tell fn how an alert stands: in told. */
void rule_tell_one(const struct rule *rule, const struct rule_group *g, enum rule_told told, rule_fn *fn, void *arg);
/* Tell that it is over. */
void rule_tell_end(struct rule_set *s, const struct rule *rule, struct rule_group *g);
/* Tell of every alert what has not been told: what inhibits before what it silences. */
void rule_tell_all(struct rule_set *s);

/* Does what inhibits the rule under this name of its service stand under its own inhibition, by others perhaps?  A definition
 * and the customer's own rules can go round in a circle that neither shows alone: it silences nobody. */
bool rule_in_circle(const struct rule_set *s, const struct rule *rule, const char *by);

bool rule_group_fires(const struct rule_group *g);
/* Keep why it is muted; NULL or "": it is not.  false where there is no memory. */
bool rule_group_mute(struct rule_group *g, const char *why);
struct rule_group *rule_group_free(struct rule_group *g);
/* Free it, taken out of its list already, and count it out. */
void rule_group_drop(struct rule_set *s, struct rule_watched *w, struct rule_group *g);
/* The group of these values of the rule's `by`, made where there is none; NULL where it does not fit,
 * with errno ENOMEM where that is for want of memory. */
struct rule_group *rule_group_take(
	struct rule_watched *w, const char *const *values, size_t n, uint64_t now_us);

/* A new series of g; NULL where there are too many, or (errno is ENOMEM) no memory. */
struct rule_series *rule_series_new(
	struct rule_set *s, struct rule_watched *w, struct rule_group *g, const char *key);
/* The series of these labels and its group, made where there is none.  NULL where it does not fit: then the rule's
 * overflow fires, and is to be told. */
struct rule_series *rule_series_take(struct rule_set *s, struct rule_watched *w,
	const struct rule_label *labels, size_t n, uint64_t now_us, struct rule_group **ret_group,
	bool *ret_fresh);
/* Forget series that have not come for RULE_GONE_US while others of the group have. */
void rule_series_age(
	struct rule_set *s, struct rule_watched *w, struct rule_group *g, uint64_t now_us);

/* Put a counter into the window of x; *v becomes how fast it grows.  false: that is not known yet. */
bool rule_window_add(
	struct rule_set *s, const struct rule *rule, struct rule_series *x, double *v, uint64_t now_us);

/* Append an alert's text with its values put in. */
void rule_words(struct buf *out, const struct rule *rule, const struct rule_label *labels, size_t n,
	double value);
