#include "appliance/serve/problem.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/http_server.h"
#include "appliance/serve/route.h"

/* What google.rpc.Code fits an HTTP status. */
static uint8_t
rpc_code(int status)
{
	switch (status) {
	case 401:
		return 16; /* UNAUTHENTICATED */
	case 403:
		return 7; /* PERMISSION_DENIED */
	case 404:
		return 5; /* NOT_FOUND */
	case 409:
		return 6; /* ALREADY_EXISTS */
	case 413:
	case 429:
		return 8; /* RESOURCE_EXHAUSTED */
	case 503:
		return 14; /* UNAVAILABLE */
	default:
		return 3; /* INVALID_ARGUMENT */
	}
}

/* google.rpc.Status by hand: code = 1, message = 2. */
static void
reply_status(struct http_call *call, int status, const char *text)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1024);
	size_t len = strlen(text);

	if (len > 127)
		len = 127;
	buf_u8(&body, 1 << 3 | 0);
	buf_u8(&body, rpc_code(status));
	buf_u8(&body, 2 << 3 | 2);
	buf_u8(&body, (uint8_t)len);
	buf_put(&body, text, len);
	http_call_reply(call, status, "application/x-protobuf", body.data, body.len);
}

static void
reply_json(struct http_call *call, int status, const char *token, const char *operand, const char *text)
{
	SCOPED_JSON *body = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "type", "about:blank", "title", token,
		"status", status, "reason", token, "operand", operand, "detail", text);
	char *dump;

	if (body)
		(void)json_put_time(body, "time", clock_now_us());
	dump = body ? json_dumps(body, JSON_COMPACT) : NULL;
	http_call_reply(call, status, "application/problem+json", dump ? dump : "{}", dump ? strlen(dump) : 2);
	free(dump);
}

void
problem_reply(struct http_call *call, int r, int status)
{
	char operand[REFUSE_OPERAND_MAX] = "", text[REFUSE_TEXT_MAX];
	enum reason reason = r > 0 ? (enum reason)r : REASON_FAULT;

	if (r < 0) {
		log_fault(r, call->path);
		(void)snprintf(text, sizeof(text), "the hub failed; try again later");
	} else if (refuse_last()->reason == reason) {
		/* Escaped, since what a peer sent may stand in both and they go to terminals. */
		log_escape(operand, sizeof(operand), refuse_last()->operand);
		log_escape(text, sizeof(text), refuse_last()->text);
	} else {
		(void)snprintf(text, sizeof(text), "refused");
	}
	if (status == 0)
		status = refuse_http_status(reason);
	http_call_header(call, "Mainstay-Reason", refuse_token(reason));
	if (status == 429 || status == 503)
		http_call_header(call, "Retry-After", "5");
	if (call->route && (call->route->flags & ROUTE_OTLP))
		reply_status(call, status, text);
	else
		reply_json(call, status, refuse_token(reason), operand, text);
}
