/* An exporter's answer in HTTP/1, read as it comes: head, body (by its length, in chunks, or to the end), gzip, exposition.
 *
 * Status 200 alone, no redirects; a head of 16 KiB, a body of 10 MiB before and after it is unpacked. */
#pragma once

#include <stddef.h>

#include "appliance/base/scope.h"
#include "telemetry/scrape/exposition.h"

struct scrape_reply;

enum {
	SCRAPE_REPLY_WHOLE = 1001,
	SCRAPE_REPLY_HEAD_MAX = 16 * 1024,
	SCRAPE_REPLY_BODY_MAX = 10 * 1024 * 1024,
};

/* what names the exporter in refusals, borrowed.  fallback: the format where the answer names none that is known;
 * EXPOSITION_MAX: then it is refused.  Returns 0 or a fault. */
int scrape_reply_new(struct scrape_reply **ret, const char *what, enum exposition_format fallback,
	exposition_fn *fn, void *arg);
struct scrape_reply *scrape_reply_free(struct scrape_reply *s);
SCOPED_DESTRUCTOR(struct scrape_reply, scrape_reply_free)

/* The next bytes; altered.  Returns 0: more must come; SCRAPE_REPLY_WHOLE: it is all there and was good; a reason
 * (logged); what fn said; or a fault.  Is not called again after anything but 0. */
int scrape_reply_feed(struct scrape_reply *s, char *p, size_t len);
/* The exporter says no more: SCRAPE_REPLY_WHOLE, or as above. */
int scrape_reply_close(struct scrape_reply *s);
/* Lines of samples so far, and points left out: exposition_samples(), exposition_dropped(). */
size_t scrape_reply_samples(const struct scrape_reply *s);
size_t scrape_reply_dropped(const struct scrape_reply *s);
