/* The mailbox between hub and site (data only).
 *
 *	courier                                      hub
 *	  GET /v1/mailbox?after=N&wait=S   --->        <= N are acknowledged and never given again
 *	                                   <---  200 {"v":1,"items":[{"n","kind":"request","body":ENVELOPE}...]}
 *	                                              at once where something waits, else after S seconds, empty
 *	  POST /v1/results                 --->        Mainstay-Stream: results, Mainstay-Sequence
 *	     {"v":1,"kind":"plan|result","request":ID,"decision":"ask|allow|deny","envelope":ENVELOPE}
 *	                                   <---  200   Mainstay-Committed, and serve/batch.h's acknowledgement as body
 *
 *	desk                                         hub
 *	  POST /v1/fleet/requests ENVELOPE --->  202 {"id"}
 *	  GET  /v1/fleet/requests/ID?wait=S[&state=X] -->
 *	                                   <---  {"id","site","state":"queued|delivered|waiting|done","request","plan","decision",
 *	                                          "result"}
 *	                                         after S seconds, or once it changes, or at once where it is done or is not
 *	                                         in the state X that the caller knows already
 *
 * n rises by one for each item of a site, from 1; it is the site's own count, so a gap would be seen. */
#pragma once

enum {
	MAILBOX_WIRE_WAIT_MAX_S = 55,
	MAILBOX_WIRE_ITEMS_MAX = 16,            /* in one reply */
	MAILBOX_WIRE_REPLY_MAX = 2 * 1024 * 1024,
	MAILBOX_WIRE_BODY_MAX = 64 * 1024,      /* one item's envelope */
	MAILBOX_WIRE_RESULT_MAX = 6 * 1024 * 1024,/* one result's body */
	MAILBOX_WIRE_ID_MAX = 64,
};
#define MAILBOX_WIRE_PATH         "/v1/mailbox"
#define MAILBOX_WIRE_RESULTS_PATH "/v1/results"
#define MAILBOX_WIRE_STREAM       "results"
