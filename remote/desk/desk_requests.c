#include "remote/desk/desk_actions.h"


#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_asked.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/desk/desk_waiting.h"
#include "remote/request/request.h"

enum { REQUEST_S = 20 };

static int
list(struct desk *d)
{
	static const char *const columns[] = { "id", "site", "service", "operation", "engineer", "state", "outcome",
		"since", "for", NULL };
	SCOPED_JSON *doc = NULL;
	int r = desk_client_get(d, "/v1/fleet/requests", REQUEST_S, &doc);

	if (r)
		return r;
	if (!json_is_array(json_object_get(doc, "items")))
		return REFUSE(REASON_MALFORMED, "requests", "the hub's answer has no items");
	r = desk_waiting_fill(d, json_object_get(doc, "items"));
	if (r)
		return r;
	r = command_print_items(d->call, "RequestList", json_incref(json_object_get(doc, "items")),
		columns);
	command_say(d->call, "(the hub says so; what was signed of one: mainstay-desk requests ID)");
	return r;
}

static int
show(struct desk *d, const char *id)
{
	SCOPED(desk_answer_done) struct desk_answer a = { 0 };
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	SCOPED(request_freep) struct request *q = NULL;
	SCOPED_JSON *doc = NULL;
	uint64_t since_us;
	int r = desk_trust_refresh(d);

	r = r ?: desk_asked_get(d, id, &doc, &q, &site, &a);
	if (r)
		return r;
	command_say(d->call, "%s %s at %s, asked by %s: %s", q->service, q->operation, q->site, q->engineer, q->reason);
	desk_waiting_read(&a, doc, &since_us);
	r = desk_answer_take(&a, doc);
	return r ?: desk_answer_finish(&a, json_pack("{s:s, s:s, s:s, s:s}", "site", q->site, "service", q->service,
					   "operation", q->operation, "engineer", q->engineer));
}

int
desk_requests(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	if (r)
		return r;
	return call->n_operands ? show(&d, call->operands[0]) : list(&d);
}
