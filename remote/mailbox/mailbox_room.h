/* The hub's side of the mailbox among its files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "remote/mailbox/mailbox_wait.h"

struct http_call;

struct mailbox {
	struct serve *serve;
	struct mailbox_wait waiting;
	uint64_t posted, busy, expired, polled; /* since start */
	uint64_t progress, progress_left_out;
	uint64_t permits_late;
	bool draining;
};

/* Handlers (serve/route.h); state is the struct mailbox. */
int mailbox_post(struct http_call *call, void *state);    /* mailbox_post.c: what engineers send */
int mailbox_results(struct http_call *call, void *state); /* mailbox_results.c: what sites answer */
