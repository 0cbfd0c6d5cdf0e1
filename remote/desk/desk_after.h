/* What may have come of an operation: an alert of its service that began within a minute of its end.  The site itself watches
 * a service for as long as it takes to fail its health check; what falls over later is an alert, and nothing signed says of
 * which operation.  So this is no more than the hub's word for both, put beside each other. */
#pragma once

#include <jansson.h>

enum { DESK_AFTER_S = 60 };

/* Put "after": {"seconds","what"} into each alert of a site's page that began at most DESK_AFTER_S after an operation on its
 * service had ended ("changes" of the page, of the mailbox); by the hub's clock.  Returns 0 or a fault. */
int desk_after_mark(json_t *alerts, const json_t *changes);
