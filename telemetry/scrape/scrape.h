/* One scrape: a question in HTTP/1.1 over a connection that is given, and its answer.
 *
 * It opens no connection: the collector has no network.  All of it, connecting, answering, the last byte, is held to one
 * time. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "telemetry/scrape/exposition.h"

struct scrape;

struct scrape_end {
	int result; /* 0; a reason (logged); or -errno: it could not be asked, or did not answer in time */
	size_t samples; /* lines */
	size_t dropped; /* points of too many labels */
};

/* All borrowed while scrape_start() runs but for loop, what, sample, done and arg, which stay. */
struct scrape_ask {
	sd_event *loop;
	const char *what;	 /* names the exporter in refusals */
	const char *host, *path; /* "localhost:9121", "/metrics" */
	uint64_t timeout_ms;
	enum exposition_format
		fallback; /* where the answer names no format; EXPOSITION_MAX: refused */
	/* Samples as they are read: none counts before done() said 0. */
	exposition_fn *sample;
	/* It is over, once, from the loop; scrape_free() may be called from within. */
	void (*done)(const struct scrape_end *end, void *arg);
	void *arg;
};

/* take_fd: a stream socket that does not wait, connected or still connecting; closed on every path.
 * Returns 0 or a fault (done() does not run). */
int scrape_start(struct scrape **ret, const struct scrape_ask *ask, int take_fd);
/* Ends what is under way; done() does not run. */
struct scrape *scrape_free(struct scrape *s);
SCOPED_DESTRUCTOR(struct scrape, scrape_free)
