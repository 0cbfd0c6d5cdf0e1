#include "remote/request/site_say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/trust/sha256.h"
#include "remote/mailbox/mailbox_wire.h"
#include "remote/request/progress.h"
#include "remote/request/result.h"

int
request_site_set_result(struct monitor *m, struct request_item *item, struct request_result *result)
{
	SCOPED_JSON *payload = NULL, *envelope = NULL;
	char *outcome = NULL;
	int r;

	memcpy(result->request, item->request->digest, sizeof(result->request));
	r = request_result_json(&payload, result);
	r = r ?: monitor_sign(m, MESSAGE_RESULT, payload, &envelope);
	if (r)
		return r;
	outcome = strdup(request_outcome_name(result->outcome));
	if (!outcome)
		return FAULT(-ENOMEM);
	free(item->outcome);
	item->outcome = outcome;
	json_decref(item->result);
	item->result = STEAL(envelope);
	return 0;
}

/* id and decision are NULL where it is about no request. */
static int
post(struct monitor *m, const char *kind, const char *id, const char *decision, json_t *envelope)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(MAILBOX_WIRE_RESULT_MAX);
	SCOPED_JSON *body = json_pack("{s:i, s:s, s:s*, s:s*, s:O}", "v", 1, "kind", kind, "request",
		id, "decision", decision, "envelope", envelope);
	int r;

	if (!body)
		return FAULT(-ENOMEM);
	r = json_canonical(&b, body);
	return r ?: monitor_outbox(m, MAILBOX_WIRE_STREAM, "result", MAILBOX_WIRE_RESULTS_PATH,
		"application/json", b.data, b.len);
}

int
request_site_post(struct monitor *m, const struct request_item *item, const char *kind)
{
	bool plan = strcmp(kind, "plan") == 0;
	int r = post(m, kind, item->request->id, item->decision ? item->decision : "deny",
		plan ? item->plan : item->result);

	if (r < 0 && plan)
		log_fault(r, "handing over a plan");
	return r;
}

int
request_site_post_progress(struct monitor *m, const struct request_item *item, const struct progress *p)
{
	SCOPED_JSON *payload = NULL, *envelope = NULL;
	int r = progress_json(&payload, p);

	r = r ?: monitor_sign(m, MESSAGE_PROGRESS, payload, &envelope);
	return r ?: post(m, "progress", item->request->id, item->decision ? item->decision : "deny", envelope);
}

int
request_site_post_permits(struct monitor *m, json_t *envelope)
{
	return post(m, "permits", NULL, NULL, envelope);
}

int
request_site_post_refusal(struct monitor *m, const char *id, const uint8_t digest[32],
	enum reason reason, const char *text)
{
	struct request_result result = {
		.outcome = REQUEST_OUTCOME_REFUSED,
		.reason = reason,
		.exit_status = -1,
		.err = text,
	};
	SCOPED_JSON *payload = NULL, *envelope = NULL;
	int r;

	memcpy(result.request, digest, sizeof(result.request));
	r = request_result_json(&payload, &result);
	r = r ?: monitor_sign(m, MESSAGE_RESULT, payload, &envelope);
	return r ?: post(m, "result", id, "deny", envelope);
}

struct search {
	char digest[SHA256_TEXT_MAX];
	bool found;
};

static void
on_log(int r, const json_t *answer, void *arg)
{
	struct search *search = arg;
	size_t i;
	json_t *item;

	if (r)
		return;
	json_array_foreach(json_object_get(answer, "items"), i, item) {
		const char *digest = json_string_value(json_object_get(item, "digest"));

		if (digest && strcmp(digest, search->digest) == 0)
			search->found = true;
	}
}

bool
request_site_has_leaf(struct monitor *m, const char *kind, const uint8_t digest[32])
{
	/* Static, since the answer may come later: then the leaf counts as missing, and a second
	 * one of the same digest says nothing false. */
	static struct search search;
	SCOPED_JSON *params = json_pack("{s:s}", "kind", kind);

	search = (struct search){ 0 };
	sha256_text(search.digest, digest);
	if (params)
		monitor_call_inside(m, CALL_ROLE_CONTROL, "audit.log", params, NULL, 0, on_log,
			&search);
	else
		log_fault(FAULT(-ENOMEM), "looking for a leaf");
	return search.found;
}
