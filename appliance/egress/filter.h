/* The filter: of everything collected, what may leave.
 *
 * It knows the accepted fields with the shapes they were accepted in (schema.h), those the customer refused, and what
 * the policy does with each class.  What may not leave is remembered with an example of the customer's own data, so
 * that `mainstay telemetry review` can show it; nothing is dropped unseen.
 *
 * A field that was accepted before anybody had seen it (with its service) takes the shape in which it first comes:
 * from then on that is the accepted one. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/egress/class.h"

struct filter;

enum {
	FILTER_ACCEPTED_MAX = 4096,
	FILTER_WAITING_MAX = 1024, /* fields remembered for review; more are only counted */
	FILTER_EXAMPLE_MAX = 96,
};

enum filter_verdict {
	FILTER_PASS,
	FILTER_WAITS, /* a field of it is not accepted, not in this shape, or refused */
	FILTER_KEPT,  /* the policy keeps its class on the site */
	FILTER_UNFIT, /* an attribute's value is not of the form that labels have */
};

struct filter_label {
	const char *name;
	const char *value;
};

/* One thing that would leave; all borrowed. */
struct filter_item {
	enum class_name class;
	const char *field;   /* field.h */
	const char *shape;   /* schema.h */
	const char *service; /* whose it is; NULL: the host's */
	const char *example; /* its value as text, for review */
	const struct filter_label *labels;
	size_t n_labels;
	uint64_t now_us;
};

/* As where the customer has decided nothing yet.  Returns 0 or a fault. */
int filter_new(struct filter **ret);
struct filter *filter_free(struct filter *f);
SCOPED_DESTRUCTOR(struct filter, filter_free)

/* Replace what the customer decided: {FIELD: SHAPE | "" | false}, borrowed; "" any shape, false refused.  Returns 0;
 * REASON_MALFORMED or REASON_TOO_LARGE (logged, nothing changed); or a fault. */
int filter_set_accepted(struct filter *f, const json_t *fields);

/* What becomes of each class, as the customer's configuration says; copied.  It holds for what is checked from now on,
 * also where it was decided otherwise before. */
void filter_set_fates(struct filter *f, const struct class_fates *fates);

/* Which release each service runs, {SERVICE: RELEASE}, for review; referenced. */
void filter_set_releases(struct filter *f, json_t *releases);

/* May this thing leave?  In class log and inventory ask once a batch. */
enum filter_verdict filter_check(struct filter *f, const struct filter_item *item);

/* Things held back since the start. */
uint64_t filter_held(const struct filter *f);

/* The fields that may not leave, [{"field","class","state","shape","was","service","release","seen","since",
 * "example"}], sorted by field; the caller's to drop.  state: new | changed (was: the accepted shape) | unfit (a value
 * has not the form of labels) | refused.  NULL only where there is no memory. */
json_t *filter_waiting(const struct filter *f);
/* Since when and how often, from a list that filter_waiting() gave before a restart; what does not fit is left out. */
void filter_remember(struct filter *f, const json_t *waiting);

/* The shapes that accepted fields took when they first came, {FIELD: SHAPE}: kept over restarts by the caller.
 * filter_pins() is borrowed; filter_pinned() says whether it changed since it last gave true. */
const json_t *filter_pins(const struct filter *f);
bool filter_pinned(struct filter *f);
/* Returns 0 or REASON_MALFORMED (logged, nothing changed), or a fault. */
int filter_set_pins(struct filter *f, const json_t *pins);
