/* The mailbox between hub and site (data only).
 *
 *	courier                                      hub
 *	  GET /v1/mailbox?after=N&wait=S   --->        <= N are acknowledged and never given again
 *	                                   <---  200 {"v":1,"items":[{"n","kind":"request|dry-run|cancel","body":ENVELOPE}...]}
 *	                                              at once where something waits, else after S seconds, empty
 *	  POST /v1/results                 --->        Mainstay-Stream: results, Mainstay-Sequence
 *	     {"v":1,"kind":"plan|result|progress","request":ID,"decision":"ask|allow|deny","envelope":ENVELOPE}
 *	     {"v":1,"kind":"permits","envelope":ENVELOPE}      which standing permits the site has: the last one is kept
 *	                                   <---  200   Mainstay-Committed, and serve/batch.h's acknowledgement as body
 *
 *	desk                                         hub
 *	  POST /v1/fleet/requests[?kind=dry-run|cancel] ENVELOPE
 *	                                   --->  202 {"id"}    429 with Retry-After where too many are on their way
 *	  GET  /v1/fleet/requests/ID?wait=S[&state=X][&progress=N] -->
 *	                                   <---  {"id","site","kind","state":"queued|delivered|waiting|done|expired","request",
 *	                                          "plan","decision","result","progress":[ENVELOPE...]}
 *	                                         after S seconds, or once it changes, or at once where it is done or is not
 *	                                         in the state X that the caller knows already, or says more than the first N
 *
 * n rises by one for each item of a site, from 1; it is the site's own count, so a gap would be seen.  A cancel comes
 * behind the request that it ends.  What a request says while it runs is given up once its result is there. */
#pragma once

enum {
	MAILBOX_WIRE_WAIT_MAX_S = 55,
	MAILBOX_WIRE_ITEMS_MAX = 16,            /* in one reply */
	MAILBOX_WIRE_REPLY_MAX = 2 * 1024 * 1024,
	MAILBOX_WIRE_BODY_MAX = 64 * 1024,      /* one item's envelope */
	MAILBOX_WIRE_RESULT_MAX = 6 * 1024 * 1024,/* one result's body */
	MAILBOX_WIRE_ID_MAX = 64,
	MAILBOX_WIRE_PROGRESS_MAX = 256 * 1024, /* of one request, as stored; what comes after is left out */
	MAILBOX_WIRE_PROGRESS_ROWS = 1024,
};
#define MAILBOX_WIRE_PATH         "/v1/mailbox"
#define MAILBOX_WIRE_RESULTS_PATH "/v1/results"
#define MAILBOX_WIRE_STREAM       "results"

/* What an item is; its word on the way. */
enum mailbox_kind { MAILBOX_KIND_REQUEST, MAILBOX_KIND_DRY_RUN, MAILBOX_KIND_CANCEL, MAILBOX_KIND_MAX };
#define MAILBOX_WIRE_KINDS { "request", "dry-run", "cancel" }
