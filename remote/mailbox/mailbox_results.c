#include "remote/mailbox/mailbox_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/batch.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "remote/mailbox/mailbox_hub.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/progress.h"
#include "remote/request/request.h"

struct result {
	uint64_t v;
	const char *kind, *request, *decision;
	json_t *envelope;
};

static const struct json_field result_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct result, v), 1 },
	{ "kind", JSON_KIND_TEXT, false, offsetof(struct result, kind), 16 },
	{ "request", JSON_KIND_TEXT, false, offsetof(struct result, request), MAILBOX_WIRE_ID_MAX },
	{ "decision", JSON_KIND_TEXT, true, offsetof(struct result, decision), 16 },
	{ "envelope", JSON_KIND_OBJECT, false, offsetof(struct result, envelope), 0 },
};

enum kind { KIND_PLAN, KIND_RESULT, KIND_PROGRESS, KIND_MAX };

static const struct {
	const char *word;
	enum message message;
} kinds[KIND_MAX] = {
	[KIND_PLAN] = { "plan", MESSAGE_PLAN },
	[KIND_RESULT] = { "result", MESSAGE_RESULT },
	[KIND_PROGRESS] = { "progress", MESSAGE_PROGRESS },
};

/* Is the envelope the site's own word on this request? */
static int
check_result(struct mailbox *h, const struct http_call *call, struct db *db, const struct result *in,
	const struct envelope *e, uint8_t digest[32])
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	uint8_t known[32];
	const char *named;
	int r;

	r = registry_site_get(serve_databases(h->serve), call->who.site, &site);
	if (r != 0)
		return r < 0 ? FAULT(r) : REFUSE(REASON_NOT_FOUND, call->who.site, "no such site");
	r = envelope_verify_daemon(e, site.key);
	if (r != 0)
		return r;
	named = json_string_value(json_object_get(e->payload, "request"));
	if (!named || !sha256_parse(digest, named))
		return REFUSE(REASON_MALFORMED, in->request, "its answer names no request");
	r = mailbox_store_digest(db, call->who.site, in->request, known);
	if (r == 0 && memcmp(known, digest, 32) != 0)
		return REFUSE(REASON_ALTERED, in->request,
			"its answer is about another request of that id");
	return r == REASON_NOT_FOUND ? 0 : r;
}

static int
check_members(const struct result *in, enum kind *ret)
{
	enum kind kind = KIND_PLAN;

	while (kind < KIND_MAX && strcmp(in->kind, kinds[kind].word) != 0)
		kind++;
	if (kind == KIND_MAX)
		return REFUSE(REASON_MALFORMED, in->request, "kind is none of plan, result, progress");
	if (!request_id_ok(in->request))
		return REFUSE(REASON_MALFORMED, "results", "request is no id");
	if (in->decision && strcmp(in->decision, "ask") != 0 &&
		strcmp(in->decision, "allow") != 0 && strcmp(in->decision, "deny") != 0)
		return REFUSE(REASON_MALFORMED, in->request,
			"decision is none of ask, allow, deny");
	*ret = kind;
	return 0;
}

/* What is left out is answered like the rest: it will not be taken however often it comes. */
static int
keep_progress(struct mailbox *h, const struct http_call *call, struct db *db, const struct result *in,
	const struct envelope *e, const char *text)
{
	SCOPED(progress_freep) struct progress *progress = NULL;
	bool kept = false;
	int r;

	r = progress_parse(&progress, e->payload);
	r = r ? r : mailbox_live_progress(db, call->who.site, in->request, progress->n, text, &kept);
	h->progress += r == 0;
	h->progress_left_out += r == 0 && !kept;
	return r;
}

static int
take_result(struct mailbox *h, const struct http_call *call, struct db *db, const struct result *in)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(scope_free) char *text = NULL;
	uint8_t digest[32];
	enum kind kind = KIND_MAX;
	int r;

	r = check_members(in, &kind);
	r = r ? r : envelope_open_json(&e, kinds[kind].message, in->envelope);
	r = r ? r : check_result(h, call, db, in, e, digest);
	if (r != 0)
		return r;
	text = json_dumps(in->envelope, JSON_COMPACT);
	if (!text)
		return FAULT(-ENOMEM);
	if (kind == KIND_PROGRESS)
		return keep_progress(h, call, db, in, e, text);
	return mailbox_store_answer(db, call->who.site, in->request, digest, kind == KIND_RESULT,
		in->decision ? in->decision : "", text, clock_now_us());
}

int
mailbox_results(struct http_call *call, void *state)
{
	static const char *const streams[] = { MAILBOX_WIRE_STREAM, NULL };
	SCOPED_JSON *doc = NULL;
	struct result in = { 0 };
	struct mailbox *h = state;
	struct batch batch;
	char customer[65], id[MAILBOX_WIRE_ID_MAX + 1];
	int r;

	r = json_read(&doc, call->body, call->body_len, MAILBOX_WIRE_RESULT_MAX, "results");
	r = r ? r : json_members(doc, result_fields, ARRAY_LEN(result_fields), &in, "results");
	r = r ? r : batch_begin(&batch, call, serve_databases(h->serve), streams);
	if (r != 0)
		return r;
	(void)snprintf(customer, sizeof(customer), "%s", call->who.customer);
	(void)snprintf(id, sizeof(id), "%s", in.request);
	if (!batch.seen)
		r = take_result(h, call, batch.db, &in);
	/* The call is gone after this where it returns 0. */
	r = batch_end(&batch, call, r, NULL, NULL, 0);
	if (r > 0) {
		/* Not 401 or 403: who sent it is in order, and it will never be taken however often it comes. */
		problem_reply(call, r,
			r == REASON_MALFORMED || r == REASON_UNKNOWN_FIELD ? 400 : 422);
		return 0;
	}
	if (r == 0 && !batch.seen)
		mailbox_wait_wake(&h->waiting, false, id, customer);
	return r;
}
