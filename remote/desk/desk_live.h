/* What a running request says meanwhile, on stderr as it comes and marked "live": it helps whoever waits, the result is
 * what counts. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/base/buf.h"

struct desk_answer;
struct progress;

enum { DESK_LIVE_SHOWN_MAX = 512 * 1024 };

struct desk_live {
	uint64_t seen;	  /* number of the last piece that was shown */
	unsigned dropped; /* pieces that the site did not sign about this request, or that came before */
	bool mid_line;	  /* what was shown last does not end its line */
	struct buf out;	  /* what was shown of its stdout, as long as nothing is missing */
	bool holes;	  /* something is */
};
#define DESK_LIVE_NONE { .out = BUF_MAX(DESK_LIVE_SHOWN_MAX) }
void desk_live_done(struct desk_live *l);

/* One piece, where a key of a's signed it about a's request.  *ret is the caller's.  Returns 0; REASON_ALTERED where it is
 * another request's (logged); what desk_answer_open() and progress_parse() refuse; or a fault. */
int desk_live_read(struct desk_answer *a, const json_t *envelope, struct progress **ret);

/* Take the member "progress" of the hub's answer: what is by a key of a's, about a's request and newer than what was shown
 * is shown (not with --json); all else is dropped, the first of it with a word on stderr.  Returns how many were new. */
unsigned desk_live_take(struct desk_live *l, struct desk_answer *a, const json_t *doc);

/* End the line, and say how much was dropped. */
void desk_live_end(struct desk_live *l, const struct desk_answer *a);

/* Did a person see exactly this on the terminal already? */
bool desk_live_showed(const struct desk_live *l, const char *out);
