/* A question to a UNIX socket in a service's run folder and its answer, without ever waiting: one connection each time.
 *
 * The service owns that folder and may be broken into: the socket is reached beneath the folder, no link is followed,
 * and an answer is held to its time and its size. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

struct exchange;

enum { EXCHANGE_NAME_MAX = 64, EXCHANGE_MORE = 1001 };

struct exchange_ops {
	/* Look at what has come: EXCHANGE_MORE where the answer is not whole, else anything, and end() is told it. */
	int (*frame)(const uint8_t *p, size_t len, void *arg);
	/* The peer has ended what it says; NULL: then there is no answer (r is -ECONNRESET). */
	int (*last)(const uint8_t *p, size_t len, void *arg);
	/* It is over, from the loop: what frame() or last() said, with all that came, or -errno: there was no answer
	 * in time, or it did not fit.  The connection is closed, the next exchange may begin. */
	void (*end)(int r, const uint8_t *p, size_t len, void *arg);
};

/* The socket's name of a template "{run}/NAME".  Returns 0 or REASON_MALFORMED (logged, naming service). */
int exchange_socket(const char **ret, const char *template, const char *service);
/* Connect to socket name in folder dir, not waiting.  Returns 0 with *ret_fd, the caller's, or -errno, not traced: a
 * service that is away is no fault. */
int exchange_connect(int *ret_fd, const char *dir, const char *name);

/* dir, name and question are copied; ops is borrowed for good. */
int exchange_new(struct exchange **ret, sd_event *loop, const char *dir, const char *name,
	const char *question, size_t answer_max, const struct exchange_ops *ops, void *arg);
struct exchange *exchange_free(struct exchange *x); /* end() does not run */
SCOPED_DESTRUCTOR(struct exchange, exchange_free)

/* Begin; while one is under way this does nothing. */
void exchange_begin(struct exchange *x);
