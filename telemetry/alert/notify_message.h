/* One message to one receiver, from items to the request that carries it, and what its answer means. */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/loop/curl_loop.h"
#include "telemetry/alert/notify_form.h"
#include "telemetry/alert/notify_queue.h"

enum { NOTIFY_MESSAGE_TIMEOUT_MS = 15000, NOTIFY_MESSAGE_CONNECT_MS = 5000, NOTIFY_MESSAGE_REPLY_MAX = 16 * 1024 };

/* A message, whole: what holds its texts is the request's own as long as this lives. */
struct notify_message {
	struct http_request request;
	struct http_mail mail;
	char url[NOTIFY_TARGET_URL_MAX + 16];
	char header[NOTIFY_FORM_HEADER_MAX];
	const char *headers[4];
	struct buf body, secret;
	char to_text[NOTIFY_TARGET_TO_MAX * NOTIFY_TARGET_ADDRESS_MAX];
	const char *to[NOTIFY_TARGET_TO_MAX + 1];
};
/* Returns 0; what notify_target_secret() and notify_form_header() refuse; or a fault.  notify_message_done() on every path. */
int notify_message_make(struct notify_message *m, const struct notify_form *f);
void notify_message_done(struct notify_message *m);

/* How it went, from the answer: 0; NOTIFY_AGAIN; or NOTIFY_NEVER, both with why. */
enum { NOTIFY_AGAIN = 1, NOTIFY_NEVER };
int notify_message_result(const struct notify_target *t, const struct http_reply *reply, char why[NOTIFY_QUEUE_ERROR_MAX]);
