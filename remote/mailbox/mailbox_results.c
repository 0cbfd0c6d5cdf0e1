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
#include "remote/mailbox/mailbox_permits.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/permits.h"
#include "remote/request/progress.h"
#include "remote/request/request.h"
#include "remote/request/result.h"

struct result {
	uint64_t v;
	const char *kind, *request, *decision;
	json_t *envelope;
};

static const struct json_field result_fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct result, v), 1 },
	{ "kind", JSON_KIND_TEXT, false, offsetof(struct result, kind), 16 },
	{ "request", JSON_KIND_TEXT, true, offsetof(struct result, request), MAILBOX_WIRE_ID_MAX },
	{ "decision", JSON_KIND_TEXT, true, offsetof(struct result, decision), 16 },
	{ "envelope", JSON_KIND_OBJECT, false, offsetof(struct result, envelope), 0 },
};

enum kind { KIND_PLAN, KIND_RESULT, KIND_PROGRESS, KIND_PERMITS, KIND_MAX };

static const struct {
	const char *word;
	enum message message;
} kinds[KIND_MAX] = {
	[KIND_PLAN] = { "plan", MESSAGE_PLAN },
	[KIND_RESULT] = { "result", MESSAGE_RESULT },
	[KIND_PROGRESS] = { "progress", MESSAGE_PROGRESS },
	[KIND_PERMITS] = { "permits", MESSAGE_PERMITS },
};

/* Is the envelope the site's own word? */
static int
check_site(struct mailbox *h, const struct http_call *call, const struct envelope *e, uint8_t ret_key[32])
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	int r;

	r = registry_site_get(serve_databases(h->serve), call->who.site, &site);
	if (r != 0)
		return r < 0 ? FAULT(r) : REFUSE(REASON_NOT_FOUND, call->who.site, "no such site");
	memcpy(ret_key, site.key, sizeof(site.key));
	return envelope_verify_daemon(e, site.key);
}

/* On this request? */
static int
check_result(const struct http_call *call, struct db *db, const struct result *in, const struct envelope *e,
	uint8_t digest[32])
{
	uint8_t known[32];
	const char *named;
	int r;

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
		return REFUSE(REASON_MALFORMED, "results", "kind is none of plan, result, progress, permits");
	if (kind == KIND_PERMITS ? in->request != NULL : !request_id_ok(in->request))
		return REFUSE(REASON_MALFORMED, "results", "request is no id, or the kind is about none");
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

/* What is older than what is here is dropped, but answered like the rest: after a change of its key a site brings what was
 * refused behind what is newer. */
static int
keep_permits(struct mailbox *h, const struct http_call *call, struct db *db, const struct envelope *e,
	const uint8_t key[32], const char *text)
{
	SCOPED(permits_freep) struct permits *permits = NULL;
	bool kept = false;
	int r = permits_parse(&permits, e->payload);

	if (r == 0 && strcmp(permits->site, call->who.site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, call->who.site, "the permits are another site's");
	r = r ? r : mailbox_permits_put(db, permits, key, text, clock_now_us(), &kept);
	h->permits_late += r == 0 && !kept;
	return r;
}

/* The word for it in lists; "" where it is none that there is. */
static const char *
outcome_of(const json_t *payload)
{
	const char *word = json_text(payload, "outcome");

	for (unsigned i = 0; i < REQUEST_OUTCOME_MAX; i++)
		if (strcmp(request_outcome_name((enum request_outcome)i), word) == 0)
			return request_outcome_name((enum request_outcome)i);
	return "";
}

static int
take_result(struct mailbox *h, const struct http_call *call, struct db *db, const struct result *in)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(scope_free) char *text = NULL;
	uint8_t digest[32], key[32];
	enum kind kind = KIND_MAX;
	int r;

	r = check_members(in, &kind);
	r = r ? r : envelope_open_json(&e, kinds[kind].message, in->envelope);
	r = r ? r : check_site(h, call, e, key);
	if (r == 0 && kind != KIND_PERMITS)
		r = check_result(call, db, in, e, digest);
	if (r != 0)
		return r;
	text = json_dumps(in->envelope, JSON_COMPACT);
	if (!text)
		return FAULT(-ENOMEM);
	if (kind == KIND_PERMITS)
		return keep_permits(h, call, db, e, key, text);
	if (kind == KIND_PROGRESS)
		return keep_progress(h, call, db, in, e, text);
	return mailbox_store_answer(db, call->who.site, in->request, digest, kind == KIND_RESULT ? outcome_of(e->payload) : NULL,
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
	(void)snprintf(id, sizeof(id), "%s", in.request ? in.request : "");
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
	if (r == 0 && !batch.seen && id[0])
		mailbox_wait_wake(&h->waiting, false, id, customer);
	return r;
}
