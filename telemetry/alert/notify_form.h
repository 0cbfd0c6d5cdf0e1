/* What receivers of notifications are sent: Alertmanager's API v2, our own JSON, or a mail.
 *
 * The items are those of notify_queue.h, all of one customer.  Their texts come from sites and are hostile: labels are made
 * legal, in a mail everything is base64, so no text makes a header, a command or a second part.
 *
 * Webhook body, as long as it says "v":1:
 *
 *	{"v":1,"hub":NAME,"customer":C,"time":T,"notices":[ITEM...]}
 *
 * with the header Mainstay-Signature: t=SECONDS,v1=HEX where the target has a key: HMAC-SHA256 over SECONDS "." BODY.
 * An item may come twice (hub and "notice" tell), never not at all. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "telemetry/alert/notify_target.h"

enum { NOTIFY_FORM_BODY_MAX = 2 * 1024 * 1024, NOTIFY_FORM_HEADER_MAX = NOTIFY_TARGET_SECRET_MAX + 64, NOTIFY_FORM_ACTIVE_S = 300 };

struct notify_form {
	const struct notify_target *target;
	const char *hub, *customer;
	const json_t *items;
	uint64_t now_us;
};

/* Append the body.  Returns 0 or a fault. */
int notify_form_body(const struct notify_form *f, struct buf *out);

/* Where an Alertmanager takes alerts, a webhook what it is: the URL to post to. */
void notify_form_url(const struct notify_target *t, char out[NOTIFY_TARGET_URL_MAX + 16]);

/* The header that the secret makes, whole: "Authorization: …", "Mainstay-Signature: …".  Wipe out.  REASON_MALFORMED
 * (logged) where the secret holds what no header may. */
int notify_form_header(const struct notify_form *f, const struct buf *secret, const struct buf *body,
	char out[NOTIFY_FORM_HEADER_MAX]);
