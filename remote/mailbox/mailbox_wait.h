/* Parked polls: a courier's, of its site's mailbox; a desk's, of one request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/serve/serve.h"

struct mailbox_waiter;

struct mailbox_wait {
	struct serve *serve;
	struct mailbox_waiter *first;
};

/* Keep a poll until there is something for it, at most wait_s seconds.  key is the site (courier; state NULL, after: its
 * number) or the request's id (state: that it is in, after: of its progress).  A courier's earlier poll is answered now.  Whoever may
 * not hear it any more when it ends (revoked, left, another key) is refused.  Returns 0, REASON_BUSY (logged) where too many wait for that request or too many polls are this login's, or a fault. */
int mailbox_wait_park(struct mailbox_wait *list, struct http_call *call, const char *state, const char *key,
	const char *customer, uint64_t after, uint64_t wait_s);

/* Something came for key: answer who waits for it.  NULL: requests of this customer changed, answer the desks whose request is
 * in another state now. */
void mailbox_wait_wake(struct mailbox_wait *list, bool courier, const char *key,
	const char *customer);

void mailbox_wait_end_all(struct mailbox_wait *list);	 /* answer all */
void mailbox_wait_forget_all(struct mailbox_wait *list); /* their calls are gone already */
size_t mailbox_wait_count(const struct mailbox_wait *list);
