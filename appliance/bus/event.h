/* The event bus of the unprivileged: samples, health, alerts, progress.  Nothing on it is obeyed, nothing
 * is promised to arrive: who needs certainty keeps a record and uses events only as a hint to look.
 *
 * nanomsg PUB/SUB on ipc:// inside a 0750 folder; this is the one place that knows nanomsg. */
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"

enum {
	EVENT_TOPIC_MAX = 64,
	EVENT_BYTES_MAX = 60 * 1024,
};

struct event_publisher;
struct event_subscriber;

/* Publish at dir/name.  dir must exist (0750).  Returns 0 or a fault. */
int event_publisher_open(struct event_publisher **ret, const char *dir, const char *name);
struct event_publisher *event_publisher_close(struct event_publisher *p);
SCOPED_DESTRUCTOR(struct event_publisher, event_publisher_close)

/* Publish; never blocks, slow subscribers lose events.  -EMSGSIZE where topic or text is too long. */
int event_publish(struct event_publisher *p, const char *topic, const char *text);

/* topic and text are NUL-terminated and lent. */
typedef void event_fn(const char *topic, const char *text, void *arg);

/* Subscribe to topics that begin with prefix ("" for all) of the publisher at dir/name, which need not be
 * there yet: it is connected as it comes and goes.  fn runs from the loop.  Returns 0 or a fault. */
int event_subscribe(struct event_subscriber **ret, sd_event *loop, const char *dir, const char *name,
	const char *prefix, event_fn *fn, void *arg);
struct event_subscriber *event_unsubscribe(struct event_subscriber *s);
SCOPED_DESTRUCTOR(struct event_subscriber, event_unsubscribe)
