#include "remote/desk/desk_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"
#include "remote/desk/desk_session.h"

enum { HEADERS_MAX = 8, URL_MAX = CARD_URL_MAX + 1024, SLACK_S = 10, POST_S = 60 };

/* Header lines as curl wants them. */
struct head {
	char *lines[HEADERS_MAX + 1]; /* owned; ends with NULL */
	size_t n;
	int error;
};

static void
head_done(struct head *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->lines[i]);
}

static void
head_add(struct head *h, const char *name, const char *value)
{
	if (h->n == HEADERS_MAX || asprintf(&h->lines[h->n], "%s: %s", name, value) < 0)
		h->error = -ENOMEM;
	else
		h->n++;
}

/* "hub.example:8443" of the card's URL; RFC 9421 wants it in lower case and without the default
 * port. */
static void
authority(const struct desk *d, char out[CARD_URL_MAX])
{
	const char *p = strstr(d->card->hub.url, "://");
	size_t n;

	p = p ? p + 3 : d->card->hub.url;
	(void)snprintf(out, CARD_URL_MAX, "%.*s", (int)strcspn(p, "/"), p);
	for (char *c = out; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	n = strlen(out);
	if (n > 4 && strcmp(out + n - 4, ":443") == 0)
		out[n - 4] = '\0';
}

/* Sign where there is a login; before one a bare nonce asks for a signed reply. */
static int
sign(struct desk *d, const char *method, const char *path, const struct buf *body,
	struct head *head, char nonce[HTTPSIG_NONCE_MAX])
{
	static const struct httpsig_header json = { "Content-Type", "application/json" };
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	char name[CARD_URL_MAX];
	const struct httpsig_message m = {
		.method = method,
		.authority = name,
		.target = path,
		.headers = &json,
		.n_headers = body ? 1 : 0,
	};
	uint8_t digest[SHA256_LEN], bytes[16];
	int r;

	authority(d, name);
	if (body) {
		head_add(head, json.name, json.value);
		sha256_of(digest, body->data, body->len);
	}
	if (!d->http_key) {
		fs_random(bytes, sizeof(bytes));
		hex_encode(nonce, bytes, sizeof(bytes));
		head_add(head, ENROL_WIRE_NONCE_HEADER, nonce);
		return head->error;
	}
	r = httpsig_sign_request(&f, &m, body ? digest : NULL, d->http_key, clock_now_us());
	if (r)
		return r;
	(void)snprintf(nonce, HTTPSIG_NONCE_MAX, "%s", f.nonce);
	if (f.digest[0])
		head_add(head, "Content-Digest", f.digest);
	head_add(head, "Signature-Input", f.input);
	head_add(head, "Signature", f.signature);
	return head->error;
}

static int
check_reply(const struct desk *d, const struct http_reply *reply, const char *nonce)
{
	struct httpsig_header headers[HTTP_HEADERS_MAX];
	const struct httpsig_message m = {
		.status = (int)reply->status,
		.headers = headers,
		.n_headers = reply->n_headers,
	};

	for (size_t i = 0; i < reply->n_headers; i++)
		headers[i] = (struct httpsig_header){ reply->headers[i].name,
			reply->headers[i].value };
	if (httpsig_verify_reply(&m, reply->body.data, reply->body.len, nonce, d->card->hub.reply,
		    NULL))
		return REFUSE(REASON_UNREACHABLE, d->card->hub.url,
			"an answer (status %ld) that is not signed by the hub of this card",
			reply->status);
	return 0;
}

/* What the hub refused, as it said it. */
static int
relay(const struct desk *d, long status, const json_t *doc)
{
	const char *token = json_string_value(json_object_get(doc, "reason"));
	const char *operand = json_string_value(json_object_get(doc, "operand"));
	const char *text = json_string_value(json_object_get(doc, "detail"));
	enum reason reason = token ? refuse_reason(token) : REASON_NONE;

	if (reason == REASON_NONE || reason == REASON_FAULT)
		return REFUSE(REASON_UNREACHABLE, d->card->hub.url, "the hub answered %ld", status);
	return refuse_relay(reason, operand && *operand ? operand : "hub", NULL,
		text ? text : "refused by the hub");
}

static int
exchange(struct desk *d, const char *method, const char *path, const struct buf *body,
	unsigned timeout_s, json_t **ret)
{
	SCOPED(http_reply_done) struct http_reply reply = { 0 };
	SCOPED(head_done) struct head head = { 0 };
	SCOPED_JSON *doc = NULL;
	char url[URL_MAX], nonce[HTTPSIG_NONCE_MAX];
	struct http_request req = {
		.method = method,
		.url = url,
		.headers = (const char *const *)head.lines,
		.ca_file = d->ca,
		.max_reply = DESK_CLIENT_REPLY_MAX,
		.timeout_ms = (timeout_s + SLACK_S) * 1000,
	};
	int r = sign(d, method, path, body, &head, nonce);

	if (r)
		return r;
	if (snprintf(url, sizeof(url), "%s%s", d->card->hub.url, path) >= (int)sizeof(url))
		return FAULT(-ENAMETOOLONG);
	if (body) {
		req.body = body->data;
		req.body_len = body->len;
	}
	r = http_perform(d->line, &req, &reply);
	if (r > 0)
		return REFUSE((enum reason)r, d->card->hub.url, "%s", reply.error);
	r = r ?: check_reply(d, &reply, nonce);
	if (r)
		return r;
	if (reply.body.len == 0)
		doc = json_object();
	else
		r = json_read(&doc, reply.body.data, reply.body.len, DESK_CLIENT_REPLY_MAX, "hub");
	if (r == REASON_MALFORMED && reply.status >= 300)
		return relay(d, reply.status, NULL);
	if (r || !doc)
		return r ? r : FAULT(-ENOMEM);
	if (reply.status < 200 || reply.status > 299)
		return relay(d, reply.status, doc);
	if (ret)
		*ret = STEAL(doc);
	return 0;
}

int
desk_client_get(struct desk *d, const char *path, unsigned timeout_s, json_t **ret)
{
	return exchange(d, "GET", path, NULL, timeout_s, ret);
}

int
desk_client_post(struct desk *d, const char *path, const json_t *body, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DESK_CLIENT_REPLY_MAX);
	int r = json_canonical(&b, body);

	return r ?: exchange(d, "POST", path, &b, POST_S, ret);
}

int
desk_client_fetch(struct desk *d, const char *path, size_t max, struct buf *out)
{
	SCOPED(http_reply_done) struct http_reply reply = { 0 };
	char url[URL_MAX];
	const struct http_request req = {
		.method = "GET",
		.url = url,
		.ca_file = d->ca,
		.max_reply = max,
	};
	int r;

	if (snprintf(url, sizeof(url), "%s%s", d->card->hub.url, path) >= (int)sizeof(url))
		return FAULT(-ENAMETOOLONG);
	r = http_perform(d->line, &req, &reply);
	if (r > 0)
		return REFUSE((enum reason)r, path, "%s", reply.error);
	if (r)
		return r;
	if (reply.status == 404)
		return REASON_NOT_FOUND;
	if (reply.status != 200)
		return REFUSE(REASON_UNREACHABLE, path, "the hub answered %ld", reply.status);
	buf_put(out, reply.body.data, reply.body.len);
	return buf_error(out);
}
