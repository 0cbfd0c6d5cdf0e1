/* Calling the monitor: build a call, send it, read the answer.
 *
 * Two ways: call_wait() for commands (blocks, prints progress through a callback) and struct
 * call_link for daemons (one connection kept on the loop, reconnected with backoff). */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/bus/call_wire.h"

struct call_request; /* a call being built; opaque */

/* Begin a call of verb.  NULL only where there is no memory. */
struct call_request *call_new(const char *verb);
struct call_request *call_free(struct call_request *c);
void call_param(struct call_request *c, const char *name,
	const char *value); /* NULL value: left out */
void call_param_u64(struct call_request *c, const char *name, uint64_t value);
/* A body; over CALL_BODY_MAX it travels as a sealed memory file. */
void call_body(struct call_request *c, const void *p, size_t len);
/* A socket for the answerer to write to, in place of a body; closed on every path. */
void call_socket(struct call_request *c, int take_fd);

typedef void call_progress_fn(const json_t *line, void *arg);

/* Send on the socket at path and wait for the answer, at most timeout_ms (0: for ever).  progress may be
 * NULL.  Returns 0 with *ret_answer (may be an empty object; caller decrefs); the monitor's refusal,
 * relayed (refuse_last() has its details); REASON_UNREACHABLE (logged) where nobody answers; REASON_WRONG_ROLE (logged)
 * where this user may not even connect; or a fault. */
int call_wait(const char *path, struct call_request *take_c, unsigned timeout_ms,
	call_progress_fn *progress, void *progress_arg, json_t **ret_answer);

/* --- a daemon's kept connection ---------------------------------------------------------------------- */
struct call_link;

struct call_link_ops {
	void (*up)(void *arg);	 /* connected (again): say hello */
	void (*down)(void *arg); /* lost; calls in flight have ended with -ECONNRESET */
	void (*event)(const char *name, const json_t *json, void *arg);
};

/* Keep a connection to path.  Runs ops from the loop. */
int call_link_open(struct call_link **ret, sd_event *loop, const char *path,
	const struct call_link_ops *ops, void *arg);
struct call_link *call_link_close(struct call_link *l);

/* r: 0 with answer (borrowed), an enum reason (details in refuse_last()), or a fault. */
typedef void call_done_fn(int r, const json_t *answer, void *arg);

/* Call; done runs exactly once, later, from the loop, unless the link is closed first.
 * Returns 0, or, and done does not run: -ENOTCONN, the link is down, goes down now, or has too much under way; -ENOMEM, it
 * stays up. */
int call_link_call(struct call_link *l, struct call_request *take_c, call_done_fn *done, void *arg);
