/* One item of the hub's mailbox, as the courier takes it apart before the monitor sees it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct buf;

/* {"n","kind","body"}: the item's number, what it is, and its body's canonical bytes appended to body.  0, and what
 * *ret_n and *ret_kind held stays where it is no item: the hub made it up, and it is stepped over.  Or a fault, after which
 * nobody knows what it is. */
int mailbox_item_read(const json_t *item, uint64_t *ret_n, const char **ret_kind, struct buf *body);
