/* One request as its file says it: lib/monitor/requests/ID.json. */
#pragma once

#include "appliance/base/scope.h"
#include "remote/request/store.h"

enum { ITEM_FILE_NAME_BYTES = REQUEST_ID_MAX + 16 };

/* "ID.json". */
void item_file_name(char out[ITEM_FILE_NAME_BYTES], const char *id);

/* Read name below dir_fd.  Returns 0 with *ret the caller's; a reason (logged) where it does not parse, or holds a
 * request of another id; or a fault. */
int item_file_read(struct request_item **ret, int dir_fd, const char *name);

/* Replace the item's file below dir_fd, durably.  On a fault the file still says what it said before. */
int item_file_write(int dir_fd, const struct request_item *item);

/* What the item owns, and the item; NULL is fine. */
struct request_item *item_file_free(struct request_item *item);
SCOPED_DESTRUCTOR(struct request_item, item_file_free)
