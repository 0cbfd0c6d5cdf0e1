#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/card_show.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/enrol/token.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/monitor/commands.h"
#include "appliance/monitor/proxy.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

enum {
	ASK_MS = 30 * 1000,
	CA_MAX = 64 * 1024,
	TRIES = 4, /* of a POST that something else than the hub answered */
	PAUSE_MS = 500,
	BUSY_TRIES = 40,  /* while the courier comes up */
	ROUNDS_MAX = 300, /* of metadata: root rotations are one each */
	METADATA_MAX = 5 * 1000 * 1000,
};

const struct command_option commands_enrol_options[] = {
	{ .name = "card", .value = "FILE", .help = "the vendor's card" },
	{ .name = "token-file", .value = "F", .help = "the enrolment token; - is stdin" },
	{ .name = "show", .help = "print what would be agreed to; nothing is sent" },
	{ .name = "accept",
		.value = "sha256:HEX",
		.help = "agree to the card with this fingerprint" },
	{ .name = "proxy",
		.value = "URL",
		.help = "the way out, http://[NAME:PASSWORD@]HOST:PORT, kept in etc/proxy; - is stdin" },
	{ .name = "ca",
		.value = "FILE",
		.help = "the CA of the hub or of a TLS-opening proxy (PEM), kept for later" },
	{ .name = "file", .value = "OUT", .help = "write the request instead of sending it" },
	{ .name = "answer",
		.value = "IN",
		.help = "the hub's answer to such a request, as curl -i prints it" },
	{ 0 },
};

struct enrolling {
	struct command_call *call;
	struct card *card;
	struct token token;
	char accept[SHA256_TEXT_MAX]; /* the fingerprint, in its one form */
	char proxy[PROXY_MAX];
	const char *ca; /* path, or NULL for the system's */
	char ca_kept[512];
};

/* --- reading what the person gives --------------------------------------------------------------- */
static int
read_card(struct enrolling *e, struct buf *bytes)
{
	const char *file = command_option(e->call, "card");
	int r;

	if (!file)
		return REFUSE(REASON_USAGE, "--card", "is needed");
	r = command_read_file(file, CARD_MAX, bytes);
	return r ?: card_read(&e->card, bytes->data, bytes->len);
}

static int
read_token(struct enrolling *e, bool needed)
{
	const char *file = command_option(e->call, "token-file");
	SCOPED(buf_wipe) struct buf b = BUF_MAX(TOKEN_FILE_MAX);
	int r;

	if (!file)
		return needed ? REFUSE(REASON_USAGE, "--token-file", "is needed") : 0;
	r = command_read_file(file, TOKEN_FILE_MAX, &b);
	return r ?: token_parse(&e->token, b.data, b.len);
}

static int
show(struct enrolling *e)
{
	const struct token *token = command_option(e->call, "token-file") ? &e->token : NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(64 * 1024);
	json_t *doc = NULL;
	int r;

	if (e->call->json) {
		r = card_show_json(&doc, e->card, token);
		return r ? FAULT(r) : command_print_json("Card", doc);
	}
	r = card_show_text(&text, e->card, token, command_option(e->call, "card"),
		command_option(e->call, "token-file"));
	if (r)
		return FAULT(r);
	command_say(e->call, "%s", buf_text(&text));
	return 0;
}

/* The CA is kept in etc, where the monitor finds it for the courier. */
static int
keep_ca(struct enrolling *e)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CA_MAX);
	SCOPED(scope_close) int fd = -1;
	const char *file = command_option(e->call, "ca");
	int r;

	(void)snprintf(e->ca_kept, sizeof(e->ca_kept), "%s/ca.pem", e->call->paths.etc);
	r = fs_open_dir(&fd, AT_FDCWD, e->call->paths.etc, 0755);
	if (r < 0)
		return FAULT(r);
	if (file) {
		r = command_read_file(file, CA_MAX, &b);
		r = r ?: fs_replace(fd, "ca.pem", b.data, b.len, 0644);
		if (r)
			return r < 0 ? FAULT(r) : r;
	}
	e->ca = faccessat(fd, "ca.pem", R_OK, 0) == 0 ? e->ca_kept : NULL;
	return 0;
}

/* --- the monitor --------------------------------------------------------------------------------- */
static int
begin_once(struct enrolling *e, const struct buf *card, json_t **ret)
{
	struct call_request *req = call_new("enrol.begin");
	char secret[2 * TOKEN_SECRET + 1], expires[CLOCK_TEXT_MAX];

	call_param(req, "site", e->token.site);
	call_param(req, "customer", e->token.customer);
	call_param(req, "secret", hex_encode(secret, e->token.secret, TOKEN_SECRET));
	call_param(req, "expires", clock_format(expires, e->token.expires_us));
	call_param(req, "accept", e->accept);
	call_param(req, "proxy", e->proxy);
	call_body(req, card->data, card->len);
	return ask_monitor(e->call, req, ASK_MS, ret);
}

/* Right after a start the courier may not have told its key yet. */
static int
begin(struct enrolling *e, const struct buf *card, json_t **ret)
{
	int r = begin_once(e, card, ret);

	for (unsigned i = 0; r == REASON_BUSY && i < BUSY_TRIES; i++) {
		(void)poll(NULL, 0, PAUSE_MS);
		r = begin_once(e, card, ret);
	}
	return r;
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

static int
finish(struct enrolling *e, const char *nonce, const struct httpsig_message *m, const void *body,
	size_t len, json_t **ret)
{
	struct call_request *req = call_new("enrol.finish");

	call_param(req, "nonce", nonce);
	call_param_u64(req, "status", (uint64_t)m->status);
	param_header(req, "signature_input", m, "signature-input");
	param_header(req, "signature", m, "signature");
	param_header(req, "content_digest", m, "content-digest");
	call_body(req, body, len);
	return ask_monitor(e->call, req, ASK_MS, ret);
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
post_once(struct enrolling *e, const json_t *begun, struct http_reply *reply,
	struct httpsig_message *m, struct httpsig_header *headers)
{
	const char *body = json_text(begun, "body"), *nonce = json_text(begun, "nonce");
	const char *proxy = json_text(begun, "proxy");
	char line[128];
	const char *const lines[] = { "Content-Type: application/json", line, NULL };
	int r;

	(void)snprintf(line, sizeof(line), "%s: %s", ENROL_WIRE_NONCE_HEADER, nonce);
	r = http_perform(&(struct http_request){ .method = "POST",
				 .url = json_text(begun, "url"),
				 .headers = lines,
				 .body = body,
				 .body_len = strlen(body),
				 .ca_file = e->ca,
				 .proxy = *proxy ? proxy : NULL,
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
	r = httpsig_verify_reply(m, reply->body.data, reply->body.len, nonce, e->card->hub.reply,
		NULL);
	if (r > 0)
		return REFUSE(REASON_UNREACHABLE, json_text(begun, "url"),
			"something answered %ld without the hub's signature (a proxy?)",
			reply->status);
	return FAULT(r);
}

static int
post(struct enrolling *e, const json_t *begun, json_t **ret)
{
	int r = REASON_UNREACHABLE;

	for (unsigned i = 0; r == REASON_UNREACHABLE && i < TRIES; i++) {
		SCOPED(http_reply_done) struct http_reply reply = { 0 };
		struct httpsig_header headers[HTTP_HEADERS_MAX];
		struct httpsig_message m;

		if (i > 0)
			(void)poll(NULL, 0, PAUSE_MS);
		r = post_once(e, begun, &reply, &m, headers);
		if (r == 0 && m.status != 200)
			return relay_problem(&m, reply.body.data, reply.body.len);
		if (r == 0)
			return finish(e, json_text(begun, "nonce"), &m, reply.body.data,
				reply.body.len, ret);
	}
	return r;
}

/* --- metadata: so that the site record can be believed at once ----------------------------------- */
static int
get_file(struct enrolling *e, const char *proxy, const char *file, struct http_reply *reply)
{
	char url[1024];
	int r;

	(void)snprintf(url, sizeof(url), "%s/tuf/%s", e->card->hub.url, file);
	r = http_perform(&(struct http_request){ .method = "GET",
				 .url = url,
				 .ca_file = e->ca,
				 .proxy = *proxy ? proxy : NULL,
				 .max_reply = METADATA_MAX },
		reply);
	if (r == 0 && reply->status != 200 && reply->status != 404)
		r = REFUSE(REASON_UNREACHABLE, url, "answered %ld", reply->status);
	return r;
}

static int
feed_metadata(struct enrolling *e, const char *proxy)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(e->call, call_new("update.metadata"), ASK_MS, &answer);

	for (unsigned i = 0;
		r == 0 && i < ROUNDS_MAX && !json_is_true(json_object_get(answer, "current"));
		i++) {
		SCOPED(http_reply_done) struct http_reply reply = { 0 };
		struct call_request *req;
		const char *file =
			json_string_value(json_array_get(json_object_get(answer, "need"), 0));
		json_t *next = NULL;

		if (!file)
			break;
		r = get_file(e, proxy, file, &reply);
		if (r)
			break;
		req = call_new("update.metadata");
		call_param(req, reply.status == 404 ? "absent" : "name", file);
		if (reply.status == 200)
			call_body(req, reply.body.data, reply.body.len);
		r = ask_monitor(e->call, req, ASK_MS, &next);
		json_decref(answer);
		answer = next;
	}
	return r;
}

static bool
is_recorded(struct enrolling *e)
{
	SCOPED_JSON *status = NULL;

	return ask_monitor(e->call, call_new("status"), ASK_MS, &status) == 0 &&
		json_is_true(json_object_get(json_object_get(status, "hub"), "recorded"));
}

static int
print_outcome(struct enrolling *e, json_t *take_answer, const char *proxy)
{
	SCOPED_JSON *answer = take_answer;
	bool accepted = strcmp(json_text(answer, "status"), "accepted") == 0;
	bool recorded = json_is_true(json_object_get(answer, "recorded"));

	/* Without it the courier brings the metadata later; nothing is lost but time. */
	if (accepted && !recorded && proxy && feed_metadata(e, proxy) == 0)
		recorded = is_recorded(e);
	(void)json_object_set_new(answer, "recorded", json_boolean(recorded));
	if (e->call->json)
		return command_print_json("Enrolment", STEAL(answer));
	command_say(e->call, "%s of %s: %s", json_text(answer, "site"),
		json_text(answer, "customer"),
		recorded	   ? "enrolled, and an engineer of the vendor vouches for it"
			: accepted ? "accepted; the site record will be checked once the vendor's "
				     "metadata is here"
				   : "enrolled; an engineer of the vendor has to accept it now");
	command_say(e->call, "All three switches are as they were; see mainstay status.");
	return 0;
}

/* --- by file ------------------------------------------------------------------------------------- */
static int
write_request(struct enrolling *e, const json_t *begun, const char *out)
{
	SCOPED(scope_close) int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const char *body = json_text(begun, "body");
	int r;

	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, out, "%s", strerror(errno));
	r = fs_write_all(fd, body, strlen(body));
	if (r < 0)
		return FAULT(r);
	command_say(e->call, "On a machine that reaches the hub:");
	command_say(e->call,
		"  curl -si -H 'Content-Type: application/json' -H '%s: %s' --data-binary @%s %s > "
		"answer",
		ENROL_WIRE_NONCE_HEADER, json_text(begun, "nonce"), out, json_text(begun, "url"));
	command_say(e->call, "then here: mainstay enrol --answer answer");
	if (!e->call->json)
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

static int
take_answer_file(struct enrolling *e, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * ENROL_WIRE_REPLY_MAX);
	struct httpsig_header headers[HTTP_HEADERS_MAX];
	struct httpsig_message m;
	json_t *answer = NULL;
	char *body = NULL;
	int r = command_read_file(file, b.max, &b);

	if (r)
		return r;
	if (b.len == 0 || memchr(b.data, '\0', b.len))
		return REFUSE(REASON_MALFORMED, "--answer", "is no text");
	r = parse_answer((char *)b.data, &m, headers, &body);
	r = r ?: finish(e, NULL, &m, body, strlen(body), &answer);
	return r ?: print_outcome(e, answer, NULL);
}

/* --- the command --------------------------------------------------------------------------------- */
static int
accept_card(struct enrolling *e, const struct buf *card)
{
	const char *out = command_option(e->call, "file");
	SCOPED_JSON *begun = NULL;
	json_t *answer = NULL;
	uint8_t fingerprint[SHA256_LEN];
	char text[SHA256_TEXT_MAX];
	int r;

	if (!command_option(e->call, "accept"))
		return REFUSE(REASON_USAGE, "--accept",
			"is needed: look with --show, compare the fingerprint, then accept it");
	r = card_fingerprint_parse(fingerprint, command_option(e->call, "accept"), "--accept");
	if (r)
		return r;
	(void)sha256_text(e->accept, fingerprint);
	/* The monitor compares again: this is for whoever mistyped, before anything is touched. */
	if (!sha256_same(fingerprint, e->card->fingerprint, sizeof(fingerprint)))
		return REFUSE(REASON_ALTERED, "--accept", "is not this card's fingerprint; it has %s",
			sha256_text(text, e->card->fingerprint));
	r = keep_ca(e);
	r = r ?: proxy_option(e->proxy, e->call->paths.etc, command_option(e->call, "proxy"));
	r = r ?: begin(e, card, &begun);
	if (r)
		return r;
	if (out)
		return write_request(e, begun, out);
	r = post(e, begun, &answer);
	return r ?: print_outcome(e, answer, json_text(begun, "proxy"));
}

int
commands_enrol(struct command_call *call)
{
	SCOPED(buf_done) struct buf card = BUF_MAX(CARD_MAX);
	const char *answer = command_option(call, "answer");
	struct enrolling e = { .call = call };
	bool is_show = command_option(call, "show") != NULL;
	int r;

	if (answer)
		return take_answer_file(&e, answer);
	r = read_card(&e, &card);
	r = r ?: read_token(&e, !is_show);
	if (r == 0)
		r = is_show ? show(&e) : accept_card(&e, &card);
	token_wipe(&e.token);
	card_free(e.card);
	return r;
}
