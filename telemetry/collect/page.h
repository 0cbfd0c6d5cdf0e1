/* The page of numbers that telemetry.listen asks for, from the collector's side: it begins the process that shows it
 * (page_server.h), and prints a page where that one is asked for it. */
#pragma once

#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "telemetry/collect/config.h"
#include "telemetry/scrape/exposition.h"

struct buf;
struct page;

/* Append all numbers of the last round in this format.  Returns 0 or a fault. */
typedef int page_print_fn(struct buf *out, enum exposition_format format, void *arg);

/* Begin the process: before this one confines itself, opens anything that is not strangers', or has a second thread.
 * *ret is NULL where nobody is to be listened for.  Returns 0 or a fault. */
int page_start(struct page **ret, const struct config_listen *listen);
/* Ends the process, and waits for that: its address is free again. */
struct page *page_free(struct page *p);
SCOPED_DESTRUCTOR(struct page, page_free)

/* Answer it from the loop.  Where it ends by itself the page is gone; where that was not soon after it began, the loop ends
 * with 0, so that both begin anew.  Returns 0 or a fault. */
int page_open(struct page *p, sd_event *loop, page_print_fn *print, void *arg);
/* A round is over: what was printed is old.  p may be NULL. */
void page_round(struct page *p);
