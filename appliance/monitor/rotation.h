/* The site key gives its place to another (enrol/rotate.h):
 *
 *	rotate.begin   -> {"url","body","nonce","proxy","reply"}: what the command POSTs; lib/monitor/next.key is made
 *	rotate.finish  {status nonce signature_input signature content_digest}, body: the hub's reply
 *	               -> {"site","key"}: the next key is the site's
 *
 * Begun again, the same next key is offered again: power may fail anywhere, and the hub answers the same rotation the
 * same way.  What the command did not finish the courier finishes, as "rotation" of its configuration. */
#pragma once

#include <jansson.h>

struct monitor;

int rotation_init(struct monitor *m);
/* Put "rotation", where one is under way, into the courier's configuration. */
int rotation_config(struct monitor *m, json_t *doc);
