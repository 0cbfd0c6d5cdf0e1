/* One request as libcurl has it.  Inside of this room only. */
#pragma once

#include <curl/curl.h>

#include "appliance/loop/curl_loop.h"

struct curl_transfer {
	struct curl_loop *owner; /* NULL: blocking */
	struct curl_transfer **slot;
	struct curl_transfer *next, *prev;
	bool given_up; /* as all that was under way */
	CURL *easy;
	struct curl_slist *headers, *recipients;
	uint8_t *body;
	size_t body_len, body_at; /* of a mail: what was read of it */
	bool is_mail;
	char **want; /* ends with NULL; NULL: all */
	size_t header_bytes;
	size_t received;
	size_t max_reply;
	uint64_t floor_us;
	bool through_proxy;
	int (*sink)(const void *p, size_t len, void *arg);
	void *sink_arg;
	bool ranged, begun, whole; /* a part was asked for; comes; has come */
	uint64_t range_at, range_len, skip, left; /* of it: to be passed over, still to come */
	curl_done_fn *done;
	void *arg;
	char error[CURL_ERROR_SIZE];
	struct http_reply reply;
};

/* Everything of req is copied.  Returns 0 or a fault. */
int curl_transfer_new(struct curl_transfer **ret, const struct http_request *req);
struct curl_transfer *curl_transfer_free(struct curl_transfer *t);
SCOPED_DESTRUCTOR(struct curl_transfer, curl_transfer_free)

/* --- curl_reply.c ------------------------------------------------------------------------------------------ */
/* For libcurl: a line of the headers, bytes of the body; arg is the transfer.  Less than all is returned where the reply
 * may not go on, and its result says why. */
size_t curl_reply_header(char *line, size_t size, size_t n, void *arg);
size_t curl_reply_body(char *p, size_t size, size_t n, void *arg);

/* Fill its reply with how it ended. */
void curl_reply_finish(struct curl_transfer *t, CURLcode code);
