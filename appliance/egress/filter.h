/* The filter: of everything collected, what may leave.
 *
 * It knows the accepted fields (shipped with the program, or accepted by the customer) and what the
 * policy does with each class.  What may not leave is remembered with an example of the customer's own
 * data, so that `mainstay telemetry review` can show it; nothing is dropped unseen. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/egress/class.h"

struct filter;

enum {
	FILTER_ACCEPTED_MAX = 4096,
	FILTER_WAITING_MAX = 512, /* fields remembered for review; more are only counted */
	FILTER_EXAMPLE_MAX = 96,
};

enum filter_verdict {
	FILTER_PASS,
	FILTER_WAITS, /* a field of it is not accepted */
	FILTER_KEPT,  /* the policy keeps its class on the site */
	FILTER_UNFIT, /* an attribute's value is not of the form that labels have */
};

struct filter_label {
	const char *name;
	const char *value;
};

int filter_new(struct filter **ret);
struct filter *filter_free(struct filter *f);
SCOPED_DESTRUCTOR(struct filter, filter_free)

/* Replace what the customer accepted: an array of fields, borrowed.  Returns 0; REASON_MALFORMED or
 * REASON_TOO_LARGE (logged, nothing changed); or a fault. */
int filter_set_accepted(struct filter *f, const json_t *fields);

void filter_set_fates(struct filter *f, const struct class_fates *fates);

/* May this thing leave?  name is its field, example its value as text for review. */
enum filter_verdict filter_check(struct filter *f, enum class_name class, const char *name,
	const struct filter_label *labels, size_t n_labels, const char *example);

/* Things held back since the start. */
uint64_t filter_held(const struct filter *f);

/* The fields that wait: [{"field","class","seen","example"}], sorted by field; the caller's to drop.
 * NULL only where there is no memory. */
json_t *filter_waiting(const struct filter *f);
