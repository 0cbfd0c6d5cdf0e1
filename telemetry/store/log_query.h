/* Reading the hub's logs.
 *
 *	GET /v1/fleet/sites/{}/logs?service=&from=&to=&severity=&match=&limit=&after=        by time, the oldest first
 *	GET /v1/fleet/sites/{}/logs?…&last=N                                                 the newest N
 *	GET /v1/fleet/sites/{}/logs?…&since=CURSOR                                           what came in after a page
 *
 * Answer: {"items":[{time, service, severity, severity_text?, source?, body, attributes?}], "cursor", "next"?}.  next is the value of
 * `after` for the next page and absent at the end; cursor is for `since`, whose answer has "cut" where a batch held more than
 * limit.  A record's text is as the site sent it:
 * redacted there, hostile here. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "telemetry/otlp/otlp.h"

struct db;
struct http_call;

enum {
	LOG_QUERY_LIMIT = 200,		/* records of a page where nobody says */
	LOG_QUERY_LIMIT_MAX = 2000,
	LOG_QUERY_TEXT_MAX = 64 * 1024, /* of one body that is shown; the rest is cut */
};
#define LOG_QUERY_READ_MAX (UINT64_C(128) << 20) /* bytes, unpacked, that one answer may look at */

/* A place between two records in the order of time. */
struct log_place {
	uint64_t time_us;
	int64_t batch;
	uint32_t index; /* in the batch */
};

struct log_query {
	const char *service; /* exactly; NULL: all */
	const char *match;   /* in the body, letters of ASCII alike in either case; NULL: all */
	uint64_t from_us, to_us; /* from <= time < to */
	unsigned severity;   /* at least */
	unsigned limit;
	bool newest;	     /* the last ones of the range */
	bool by_arrival;     /* of batches beyond since */
	int64_t since;
	struct log_place after; /* all 0: from the start */
};

/* Neither an alert nor inventory. */
bool log_query_is_log(const struct otlp_record *record);

/* Append the records to items in the order of time.  *ret_next has time_us 0 where there are no more; *ret_cursor is the
 * newest batch of the site.  Returns 0; REASON_TOO_LARGE (logged) where more than LOG_QUERY_READ_MAX would have to be read to
 * say anything; or a fault. */
int log_query_run(struct db *customer, const char *site, const struct log_query *q, json_t *items,
	struct log_place *ret_next, int64_t *ret_cursor);

/* The route. */
int log_query_answer(struct http_call *call, void *serve);
