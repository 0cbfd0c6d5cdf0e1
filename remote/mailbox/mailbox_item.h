/* One item of the hub's mailbox, as the courier takes it apart before the monitor sees it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;

/* {"n","kind","body"}: the item's number, what it is, and its body's canonical bytes appended to body.  false for what
 * is no item: the hub made it up, and it is stepped over. */
bool mailbox_item_read(const json_t *item, uint64_t *ret_n, const char **ret_kind, struct buf *body);
