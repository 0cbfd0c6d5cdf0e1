/* One way to ask a service for numbers: Redis by INFO, PostgreSQL by its statistics, nginx by its status page, NATS by its
 * monitoring pages, anything that shows Prometheus's text.  Each is a file with a table of its own; sources.c lists them. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <systemd/sd-event.h>

struct sample_set;

enum {
	SOURCE_TIMEOUT_MS = 1000, /* no source waits longer for its service */
	SOURCE_FIELDS_MAX = 128,
	SOURCE_FIELD_MAX = 64, /* bytes of one */
	SOURCE_SECRET_MAX = 1024,
};

/* What a source is made of; all borrowed while make() runs but for loop, done and want. */
struct source_ask {
	sd_event *loop;
	const char *service, *dir; /* dir: run/services/NAME */
	const json_t *spec; /* the definition's block of metrics, the knobs' values put in; or what a target makes of it */
	void (*done)(void *arg);   /* a probe has ended, one way or the other: samples() is new */
	/* It needs the secret of its service that the block names, and is given it by secret(), now or later.  From
	 * within probe(). */
	void (*want)(void *arg);
	/* It needs a connection to this port of its service, and is given it by dialed(), once, now or later.  From within
	 * probe(). */
	void (*dial)(unsigned port, void *arg);
	void *arg;
};

struct source_kind {
	const char *name; /* as definitions say it, and the beginning of each metric's name */
	/* Returns 0; REASON_MALFORMED (logged) where the block has another form; or a fault. */
	int (*make)(void **ret, const struct source_ask *ask);
	void (*free)(void *source); /* ends what is under way; done does not run */
	/* Begin a probe; done runs once, later, from the loop.  While one is under way, or where it has a period of its own
	 * that is not over, this does nothing. */
	void (*probe)(void *source);
	/* What the last probe gave; empty before the first.  Borrowed, until the next probe ends. */
	const struct sample_set *(*samples)(const void *source);
	void (*secret)(void *source, const char *value, size_t len); /* copied; NULL: it wants none */
	/* What samples() gave has been collected, and is not to be given again; NULL: it may be. */
	void (*taken)(void *source);
	/* The connection, closed on every path, or -1: nobody listens there.  NULL: it asks for none. */
	void (*dialed)(void *source, unsigned port, int take_fd);
};

extern const struct source_kind redis_source, postgres_source, nginx_source, nats_source, prometheus_source;
