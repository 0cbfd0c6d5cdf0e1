/* Inside the bus: what the two kinds of callers share. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct call_request;
struct frame;
struct frame_out;

/* Begin out as this call with this id.  A memory file it needs lives as long as the request. */
int call_request_frame(struct call_request *c, struct frame_out *out, uint32_t id);

/* What an answering frame (OK, REFUSED, FAULT) says: 0 with *ret_answer the caller's, the relayed reason, a
 * fault, or REASON_MALFORMED (logged). */
int call_request_answer(struct frame *f, json_t **ret_answer);

/* The JSON of a PROGRESS or EVENT frame, or of an OK one; *ret is NULL where it has none.  Returns 0 or
 * REASON_MALFORMED (logged). */
int call_request_json(struct frame *f, json_t **ret);
