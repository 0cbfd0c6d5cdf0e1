#include "appliance/monitor/commands_hub.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/monitor/floor.h"
#include "appliance/trust/httpsig.h"

enum {
	ASK_MS = 30 * 1000,
	TRIES = 4, /* of a POST that something else than the hub answered */
	PAUSE_MS = 500,
	CA_BYTES_MAX = 64 * 1024,
};

int
commands_hub_ca(struct command_call *call, char kept[COMMANDS_HUB_CA_MAX], const char **ret_ca)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CA_BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	const char *file = command_option(call, "ca");
	int r;

	(void)snprintf(kept, COMMANDS_HUB_CA_MAX, "%s/ca.pem", call->paths.etc);
	r = fs_open_dir(&fd, AT_FDCWD, call->paths.etc, 0755);
	if (r < 0)
		return FAULT(r);
	if (file) {
		r = command_read_file(file, CA_BYTES_MAX, &b);
		r = r ?: fs_replace(fd, "ca.pem", b.data, b.len, 0644);
		if (r)
			return r < 0 ? FAULT(r) : r;
	}
	*ret_ca = faccessat(fd, "ca.pem", R_OK, 0) == 0 ? kept : NULL;
	return 0;
}

static const struct httpsig_header *
find_header(const struct httpsig_message *m, const char *name)
{
	for (size_t i = 0; i < m->n_headers; i++)
		if (strcasecmp(m->headers[i].name, name) == 0)
			return &m->headers[i];
	return NULL;
}

static void
param_header(struct call_request *req, const char *param, const struct httpsig_message *m,
	const char *name)
{
	const struct httpsig_header *h = find_header(m, name);

	call_param(req, param, h ? h->value : NULL);
}

const char *
commands_hub_offset(char out[COMMANDS_HUB_OFFSET_MAX], const struct commands_hub *h)
{
	(void)snprintf(out, COMMANDS_HUB_OFFSET_MAX, "%" PRId64, h->offset_ms);
	return out;
}

static int
finish(const struct commands_hub *h, const char *nonce, const struct httpsig_message *m,
	const void *body, size_t len, json_t **ret)
{
	char offset[COMMANDS_HUB_OFFSET_MAX];
	struct call_request *req;

	if (!h->verb)
		return 0; /* nobody is to be told */
	req = call_new(h->verb);

	call_param(req, "nonce", nonce);
	if (h->heard)
		call_param(req, "offset_ms", commands_hub_offset(offset, h));
	call_param_u64(req, "status", (uint64_t)m->status);
	param_header(req, "signature_input", m, "signature-input");
	param_header(req, "signature", m, "signature");
	param_header(req, "content_digest", m, "content-digest");
	call_body(req, body, len);
	return ask_monitor(h->call, req, ASK_MS, ret);
}

/* --- the hub ------------------------------------------------------------------------------------- */
/* A hub's refusal, whose signature was verified, passed on with its own words. */
static int
relay_problem(const struct httpsig_message *m, const void *body, size_t len)
{
	SCOPED_JSON *doc = NULL;
	enum reason reason = REASON_NONE;
	char text[64];

	(void)snprintf(text, sizeof(text), "the hub answered %d", m->status);
	if (len > 0 && json_read(&doc, body, len, ENROL_WIRE_REPLY_MAX, "enrolment") == 0)
		reason = refuse_reason(json_text(doc, "reason"));
	if (reason == REASON_NONE)
		return REFUSE(REASON_UNREACHABLE, "enrolment", "%s", text);
	return refuse_relay(reason, "enrolment", NULL,
		*json_text(doc, "detail") ? json_text(doc, "detail") : text);
}

/* One POST.  REASON_UNREACHABLE: no answer, or one that is not the hub's. */
static int
post_once(struct commands_hub *h, const json_t *begun, struct http_reply *reply,
	struct httpsig_message *m, struct httpsig_header *headers)
{
	const char *body = json_text(begun, "body"), *nonce = json_text(begun, "nonce");
	const char *proxy = json_text(begun, "proxy");
	uint64_t created_s = 0;
	char line[128];
	const char *const lines[] = { "Content-Type: application/json", line, NULL };
	int r;

	(void)snprintf(line, sizeof(line), "%s: %s", ENROL_WIRE_NONCE_HEADER, nonce);
	r = http_perform(NULL, &(struct http_request){ .method = "POST",
				 .url = json_text(begun, "url"),
				 .headers = lines,
				 .body = body,
				 .body_len = strlen(body),
				 .ca_file = h->ca,
				 .proxy = *proxy ? proxy : NULL,
				 .floor_us = FLOOR_LEAST_US,
				 .max_reply = ENROL_WIRE_REPLY_MAX },
		reply);
	if (r == REASON_UNREACHABLE || r == REASON_TOO_LARGE)
		return REFUSE(REASON_UNREACHABLE, json_text(begun, "url"), "%s; %s", reply->error,
			http_trouble_remedy(reply->trouble));
	if (r)
		return FAULT(r);
	for (size_t i = 0; i < reply->n_headers; i++)
		headers[i] =
			(struct httpsig_header){ reply->headers[i].name, reply->headers[i].value };
	*m = (struct httpsig_message){
		.status = (int)reply->status, .headers = headers, .n_headers = reply->n_headers
	};
	r = httpsig_verify_reply(m, reply->body.data, reply->body.len, nonce, h->reply, &created_s);
	if (r > 0)
		return REFUSE(REASON_UNREACHABLE, json_text(begun, "url"),
			"something answered %ld without the hub's signature (a proxy?)",
			reply->status);
	h->heard = r == 0 && created_s < INT64_MAX / 1000;
	if (h->heard)
		h->offset_ms =
			(int64_t)created_s * 1000 - (int64_t)(clock_now_us() / CLOCK_US_PER_MS);
	return FAULT(r);
}

int
commands_hub_post(struct commands_hub *h, const json_t *begun, json_t **ret)
{
	int r = REASON_UNREACHABLE;

	for (unsigned i = 0; r == REASON_UNREACHABLE && i < TRIES; i++) {
		SCOPED(http_reply_done) struct http_reply reply = { 0 };
		struct httpsig_header headers[HTTP_HEADERS_MAX];
		struct httpsig_message m;

		if (i > 0)
			(void)poll(NULL, 0, PAUSE_MS);
		r = post_once(h, begun, &reply, &m, headers);
		if (r == 0 && m.status != 200)
			return relay_problem(&m, reply.body.data, reply.body.len);
		if (r == 0)
			return finish(h, json_text(begun, "nonce"), &m, reply.body.data,
				reply.body.len, ret);
	}
	return r;
}

/* --- by file ------------------------------------------------------------------------------------- */
int
commands_hub_write(const struct commands_hub *h, const json_t *begun, const char *out)
{
	SCOPED(scope_close) int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const char *body = json_text(begun, "body");
	int r;

	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, out, "%s", strerror(errno));
	r = fs_write_all(fd, body, strlen(body));
	if (r < 0)
		return FAULT(r);
	command_say(h->call, "On a machine that reaches the hub:");
	command_say(h->call,
		"  curl -si -H 'Content-Type: application/json' -H '%s: %s' --data-binary @%s %s > "
		"answer",
		ENROL_WIRE_NONCE_HEADER, json_text(begun, "nonce"), out, json_text(begun, "url"));
	command_say(h->call,
		"or, by its operator: mainstay-hubd enrol --state D --request %s --answer answer",
		out);
	command_say(h->call, "then here: mainstay enrol%s --answer answer", h->again);
	if (!h->call->json)
		return 0;
	return command_print_json("EnrolmentRequest",
		json_pack("{s:s, s:s, s:s}", "file", out, "url", json_text(begun, "url"), "nonce",
			json_text(begun, "nonce")));
}

/* "HTTP/1.1 200 OK", header lines, an empty line; *ret_rest is what stands behind it. */
static int
parse_head(char *text, struct httpsig_message *m, struct httpsig_header *headers, char **ret_rest)
{
	char *at = strchr(text, '\n');
	const char *status = strchr(text, ' ');

	if (strncmp(text, "HTTP/", 5) != 0 || !at || !status || status > at)
		return REFUSE(REASON_MALFORMED, "--answer",
			"is not an answer as curl -i prints it");
	*m = (struct httpsig_message){ .status = (int)strtol(status + 1, NULL, 10),
		.headers = headers };
	for (at++; *at && *at != '\n' && strncmp(at, "\r\n", 2) != 0;) {
		char *end = strchr(at, '\n'), *colon = strchr(at, ':');

		if (!end || !colon || colon > end || m->n_headers == HTTP_HEADERS_MAX)
			return REFUSE(REASON_MALFORMED, "--answer", "a header line is broken");
		*colon = '\0';
		*end = '\0';
		if (end[-1] == '\r')
			end[-1] = '\0';
		headers[m->n_headers++] =
			(struct httpsig_header){ at, colon + 1 + strspn(colon + 1, " \t") };
		at = end + 1;
	}
	*ret_rest = strchr(at, '\n');
	if (!*ret_rest)
		return REFUSE(REASON_MALFORMED, "--answer", "ends before its body");
	(*ret_rest)++;
	return 0;
}

/* curl -i also prints the heads that come before: a proxy's "200 Connection established", "100 Continue". */
static int
parse_answer(char *text, struct httpsig_message *m, struct httpsig_header *headers, char **ret_body)
{
	int r;

	*ret_body = text;
	do
		r = parse_head(*ret_body, m, headers, ret_body);
	while (r == 0 && strncmp(*ret_body, "HTTP/", 5) == 0);
	return r;
}

int
commands_hub_answer(const struct commands_hub *h, const char *file, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * ENROL_WIRE_REPLY_MAX);
	struct httpsig_header headers[HTTP_HEADERS_MAX];
	struct httpsig_message m;
	char *body = NULL;
	int r = command_read_file(file, b.max, &b);

	if (r)
		return r;
	if (b.len == 0 || memchr(b.data, '\0', b.len))
		return REFUSE(REASON_MALFORMED, "--answer", "is no text");
	r = parse_answer((char *)b.data, &m, headers, &body);
	return r ?: finish(h, NULL, &m, body, strlen(body), ret);
}
