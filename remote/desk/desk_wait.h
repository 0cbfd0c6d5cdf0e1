/* Waiting for what comes of one request: long polls at the hub, each answer verified, what is said meanwhile shown. */
#pragma once

#include <stdint.h>

struct command_call;
struct desk;
struct desk_answer;
struct desk_live;
struct desk_site;

struct desk_wait {
	struct desk *d;
	const struct desk_site *site; /* as verified when it was asked */
	struct desk_answer *answer;
	struct desk_live *live;
	uint64_t wait_us;
};

/* --wait of the command line, otherwise_s seconds where it was not given.  REASON_USAGE (logged). */
int desk_wait_span(struct command_call *call, uint64_t otherwise_s, uint64_t *ret_us);

/* Until it is over (desk_answer_over()) or the time is.  While it waits SIGINT and SIGTERM end the program with
 * "accepted, not finished", and a word on how to look and how to cancel.  Returns 0, what desk_answer_take() or the hub
 * refuses, or a fault. */
int desk_wait_for(struct desk_wait *w);
