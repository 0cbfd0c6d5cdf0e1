/* Refusals and faults as HTTP: application/problem+json with "reason", or google.rpc.Status on the OTLP
 * routes.  Mainstay-Reason carries the token on both. */
#pragma once

struct http_call;

/* Answer with the last refusal (r > 0) or a fault (r < 0: 503, the text is not shown).  status 0: what
 * interfaces.md gives the reason. */
void problem_reply(struct http_call *call, int r, int status);
