/* What is asked of the page of numbers (telemetry.listen): HTTP/1 as far as a scraper speaks it.
 *
 * One question a connection, answered by a status of HTTP's: there is nothing to refuse but an answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { PAGE_REQUEST_MAX = 8 * 1024 };

struct page_request {
	bool head;	  /* the answer has no body */
	bool openmetrics; /* what it likes best */
};

/* Read what has come so far; altered where it is whole.  local: whoever asks must name the host by an address or as
 * localhost, so that no page of the web gets at it by a name of its own.
 * Returns 0: more must come; 200 with *ret; or 400, 404, 405, 413, 421, 431, 505 with ret->head. */
int page_request_read(struct page_request *ret, char *text, size_t len, bool local);
