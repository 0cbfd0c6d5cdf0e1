/* Rules tried against numbers: what `mainstay alert test FILE` runs.
 *
 *	definition: service.yaml          # whose alerts, or
 *	rules: alerts.yaml                # the customer's own; beside this file
 *	interval: 15s                     # between two values; 15s
 *	tests:
 *	  - name: a server that goes down
 *	    series:
 *	      - {metric: redis_up, values: "1x4 0x8"}      # of the definition's service, or service: NAME
 *	      - {metric: disk_free, labels: {device: sda}, values: "9+1x20 _x3"}
 *	    expect:                        # all that fires or is muted then, nothing else
 *	      - {at: 60s}
 *	      - {at: 2m, firing: [RedisNotAnswering], muted: ['DiskFull{device="sda"}']}
 *
 * values: rule_values.h.  The n-th value comes at n times the interval, and time passes as in the collector. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rule_difference {
	const char *test; /* lent */
	uint64_t at_us;
	const char *expected, *got; /* "A firing; B{c="d"} muted", or "nothing"; lent */
};

typedef void rule_test_fn(const struct rule_difference *d, void *arg);

/* Run the file; each difference goes to fn.  Returns 0 with how many expectations there were, also where some
 * differ; REASON_NOT_FOUND, REASON_MALFORMED, REASON_UNKNOWN_FIELD or REASON_TOO_LARGE (logged, with the place where
 * there is one); or a fault. */
int rule_test_file(const char *path, rule_test_fn *fn, void *arg, size_t *ret_expectations);
