#include "appliance/egress/hub_client.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/retry.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

enum {
	HEADERS_MAX = 12,
	PROBLEM_BYTES_MAX = 16 * 1024,
	OFFSET_LEAST_MS = HTTPSIG_EARLY_S * 1000 / 2, /* clocks nearer than this are left alone */
};

struct hub_client {
	struct hub_config config;
	const struct ed25519 *key;
	struct curl_loop *curl;
	char authority[HUB_URL_MAX];
	struct hub_call *calls; /* those under way */
	int64_t offset_ms;      /* the hub's clock less ours, as its last answer said */
	const char *trouble;
};

struct hub_call {
	struct hub_client *client;
	struct hub_call **slot;
	struct hub_call *next;
	struct curl_transfer *transfer;
	hub_done_fn *done;
	void *arg;
	char nonce[HTTPSIG_NONCE_MAX];
	bool unsigned_reply;
};

/* The authority of a URL, lower-cased, as RFC 9421 section 2.2.3 wants it (the default port dropped). */
static void
set_authority(struct hub_client *h)
{
	const char *p = strstr(h->config.url, "://");
	size_t n;

	p = p ? p + 3 : h->config.url;
	n = strcspn(p, "/");
	snprintf(h->authority, sizeof(h->authority), "%.*s", (int)n, p);
	for (char *c = h->authority; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 32);
	n = strlen(h->authority);
	if (n > 4 && strcmp(h->authority + n - 4, ":443") == 0)
		h->authority[n - 4] = '\0';
}

int
hub_client_new(struct hub_client **ret, sd_event *loop, const struct hub_config *config,
	const struct ed25519 *key)
{
	SCOPED(hub_client_freep) struct hub_client *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return FAULT(-ENOMEM);
	h->config = *config;
	h->key = key;
	h->trouble = "";
	set_authority(h);
	r = curl_loop_new(&h->curl, loop);
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(h);
	return 0;
}

void
hub_client_floor(struct hub_client *h, uint64_t floor_us)
{
	h->config.floor_us = floor_us;
}

const char *
hub_client_trouble(const struct hub_client *h)
{
	return h->trouble;
}

/* What time a signature is to name. */
static uint64_t
signing_us(const struct hub_client *h)
{
	int64_t now_ms = (int64_t)(clock_now_us() / CLOCK_US_PER_MS);

	if (h->offset_ms > -OFFSET_LEAST_MS && h->offset_ms < OFFSET_LEAST_MS)
		return clock_now_us();
	now_ms += h->offset_ms;
	return now_ms > 0 ? (uint64_t)now_ms * CLOCK_US_PER_MS : 0;
}

/* Take a call off its client's list and out of its slot, and free it. */
static struct hub_call *
call_drop(struct hub_call *call)
{
	struct hub_call **at = &call->client->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	if (call->slot)
		*call->slot = NULL;
	curl_loop_cancel(call->transfer);
	free(call);
	return NULL;
}

struct hub_call *
hub_client_cancel(struct hub_call *call)
{
	return call ? call_drop(call) : NULL;
}

struct hub_client *
hub_client_free(struct hub_client *h)
{
	if (!h)
		return NULL;
	while (h->calls)
		call_drop(h->calls);
	curl_loop_free(h->curl);
	free(h);
	return NULL;
}

/* --- the request ----------------------------------------------------------------------------------------- */
/* Header lines for curl, and those that are covered as pairs for the signature. */
struct head {
	char *lines[HEADERS_MAX + 1]; /* owned; ends with NULL */
	struct httpsig_header pairs[HEADERS_MAX];
	size_t n, n_pairs;
	int error;
};

static void
head_add(struct head *head, const char *name, const char *value, bool covered)
{
	char *line = NULL;

	if (head->n == HEADERS_MAX || asprintf(&line, "%s: %s", name, value) < 0) {
		head->error = -ENOMEM;
		return;
	}
	head->lines[head->n++] = line;
	if (covered)
		head->pairs[head->n_pairs++] = (struct httpsig_header){ name, line + strlen(name) + 2 };
}

static void
head_done(struct head *head)
{
	for (size_t i = 0; i < head->n; i++)
		free(head->lines[i]);
}

static int
sign(struct hub_call *call, const struct hub_request *req, struct head *head)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields fields = { 0 };
	uint8_t digest[SHA256_LEN];
	char sequence[24];
	int r;

	if (req->content_type)
		head_add(head, "Content-Type", req->content_type, true);
	if (req->coding)
		head_add(head, "Content-Encoding", req->coding, true);
	if (req->stream) {
		snprintf(sequence, sizeof(sequence), "%llu", (unsigned long long)req->sequence);
		head_add(head, "Mainstay-Stream", req->stream, true);
		head_add(head, "Mainstay-Sequence", sequence, true);
	}
	const struct httpsig_message m = {
		.method = req->method,
		.authority = call->client->authority,
		.target = req->path,
		.headers = head->pairs,
		.n_headers = head->n_pairs,
	};
	sha256_of(digest, req->body, req->len);
	r = httpsig_sign_request(&fields, &m, req->body ? digest : NULL, call->client->key, signing_us(call->client));
	if (r != 0)
		return r;
	snprintf(call->nonce, sizeof(call->nonce), "%s", fields.nonce);
	if (fields.digest[0])
		head_add(head, "Content-Digest", fields.digest, false);
	head_add(head, "Signature-Input", fields.input, false);
	head_add(head, "Signature", fields.signature, false);
	head_add(head, "Cache-Control", "no-transform", false);
	return head->error;
}

/* --- the reply ------------------------------------------------------------------------------------------- */
static void
read_problem(struct hub_reply *reply)
{
	SCOPED_JSON *doc = NULL;
	const char *reason;

	if (reply->status < 400 || reply->len == 0 || reply->len > PROBLEM_BYTES_MAX)
		return;
	/* Errors may come as google.rpc.Status, too: no reason then. */
	doc = json_load_whole(reply->body, reply->len, JSON_REJECT_DUPLICATES, NULL);
	reason = json_string_value(json_object_get(doc, "reason"));
	if (reason && refuse_reason(reason) != REASON_NONE)
		snprintf(reply->reason, sizeof(reply->reason), "%s", reason);
}

/* true where the hub's key signed this answer to this very request. */
static bool
check_signature(const struct hub_call *call, const struct http_reply *http)
{
	struct httpsig_header pairs[HTTP_HEADERS_MAX];
	uint64_t created_s = 0;

	for (size_t i = 0; i < http->n_headers; i++)
		pairs[i] = (struct httpsig_header){ http->headers[i].name, http->headers[i].value };
	const struct httpsig_message m = {
		.status = (int)http->status,
		.headers = pairs,
		.n_headers = http->n_headers,
	};
	if (httpsig_verify_reply(&m, http->body.data, http->body.len, call->nonce,
		    call->client->config.reply_key, &created_s) != 0)
		return false;
	/* created counts whole seconds: its middle is the best guess. */
	if (created_s < INT64_MAX / 1000)
		call->client->offset_ms =
			(int64_t)created_s * 1000 + 500 - (int64_t)(clock_now_us() / CLOCK_US_PER_MS);
	return true;
}

static void
on_reply(struct http_reply *http, void *arg)
{
	struct hub_call *call = arg;
	hub_done_fn *done = call->done;
	void *done_arg = call->arg;
	struct hub_reply reply = { .status = (int)http->status, .body = http->body.data, .len = http->body.len };
	struct hub_client *client = call->client;
	const char *why = http->error;
	int r = http->result;

	client->trouble = http_trouble_text(http->trouble);

	if (r == 0 && !call->unsigned_reply && !check_signature(call, http)) {
		r = REASON_UNREACHABLE;
		why = "an answer that the hub did not sign";
		client->trouble = "unsigned";
	}
	if (r == 0) {
		reply.committed_text = http_header(http, "mainstay-committed");
		reply.has_committed = reply.committed_text &&
			number_u64(&reply.committed, reply.committed_text, UINT64_MAX) == 0;
		reply.retry_after_s = retry_after_s(http_header(http, "retry-after"), clock_now_us());
		reply.accept_encoding = http_header(http, "accept-encoding");
		reply.signature_input = http_header(http, "signature-input");
		reply.signature = http_header(http, "signature");
		reply.content_digest = http_header(http, "content-digest");
		snprintf(reply.nonce, sizeof(reply.nonce), "%s", call->nonce);
		read_problem(&reply);
	}
	call->transfer = NULL;
	call_drop(call);
	done(r, r == 0 ? &reply : NULL, why, done_arg);
}

int
hub_client_send(struct hub_call **slot, struct hub_client *h, const struct hub_request *req,
	hub_done_fn *done, void *arg)
{
	struct hub_call *call = calloc(1, sizeof(*call));
	SCOPED(head_done) struct head head = { 0 };
	char url[2 * HUB_URL_MAX];
	int r;

	if (!call)
		return FAULT(-ENOMEM);
	call->client = h;
	call->done = done;
	call->arg = arg;
	call->unsigned_reply = req->unsigned_reply;
	call->next = h->calls;
	h->calls = call;

	r = sign(call, req, &head);
	if (r == 0 && snprintf(url, sizeof(url), "%s%s", h->config.url, req->path) >= (int)sizeof(url))
		r = -ENAMETOOLONG;
	if (r == 0)
		r = curl_loop_start(&call->transfer, h->curl,
			&(struct http_request){
				.method = req->method,
				.url = url,
				.headers = (const char *const *)head.lines,
				.body = req->body,
				.body_len = req->len,
				.ca_file = h->config.ca_file[0] ? h->config.ca_file : NULL,
				.proxy = h->config.proxy[0] ? h->config.proxy : NULL,
				.floor_us = h->config.floor_us,
				.max_reply = req->max_reply ? req->max_reply : HUB_REPLY_MAX,
				.timeout_ms = req->timeout_ms,
				.sink = req->sink,
				.sink_arg = req->sink_arg,
				.range_at = req->range_at,
				.range_len = req->range_len,
				.min_rate = req->min_rate,
				.min_rate_s = req->min_rate_s,
				.gzip = req->gzip,
			},
			on_reply, call);
	if (r != 0) {
		call_drop(call);
		return r < 0 ? FAULT(r) : FAULT(-EINVAL);
	}
	call->slot = slot;
	*slot = call;
	return 0;
}
