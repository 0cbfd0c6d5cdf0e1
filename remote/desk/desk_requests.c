#include "remote/desk/desk_actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/people.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/request/request.h"

enum { REQUEST_S = 20 };

static int
list(struct desk *d)
{
	static const char *const columns[] = { "id", "site", "state", "decision", NULL };
	SCOPED_JSON *doc = NULL;
	int r = desk_client_get(d, "/v1/fleet/requests", REQUEST_S, &doc);

	if (r)
		return r;
	if (!json_is_array(json_object_get(doc, "items")))
		return REFUSE(REASON_MALFORMED, "requests", "the hub's answer has no items");
	r = command_print_items(d->call, "RequestList", json_incref(json_object_get(doc, "items")),
		columns);
	command_say(d->call, "(the hub says so; what was signed of one: mainstay-desk requests ID)");
	return r;
}

/* What was asked, by whom and when: from the engineer's own signature, which a site's answer is bound to. */
static int
open_request(struct desk *d, const char *id, const json_t *doc, struct request **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *request = NULL;
	const struct people_engineer *engineer;
	struct sshkey_public key;
	int r;

	if (!json_is_object(json_object_get(doc, "request")))
		return REFUSE(REASON_NOT_FOUND, id, "crossed by file: the hub never had what was asked");
	r = envelope_open_json(&e, MESSAGE_REQUEST, json_object_get(doc, "request"));
	r = r ?: envelope_claimed_key(e, 0, &key);
	r = r ?: envelope_verify_person(e, &key);
	r = r ?: request_from_envelope(&request, e);
	r = r ?: people_engineer_by_key(d->people, &key, "support", request->customer, clock_now_us(), &engineer);
	if (r)
		return r;
	if (strcmp(request->id, id) != 0 || strcmp(engineer->name, request->engineer) != 0)
		return REFUSE(REASON_ALTERED, id, "the hub shows request %s of %s", request->id, engineer->name);
	*ret = STEAL(request);
	return 0;
}

static int
show(struct desk *d, const char *id)
{
	SCOPED(desk_answer_done) struct desk_answer a = { .call = d->call, .id = id };
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	SCOPED(request_freep) struct request *request = NULL;
	SCOPED_JSON *doc = NULL;
	char path[160];
	int r;

	if (!request_id_ok(id))
		return REFUSE(REASON_USAGE, id, "is no id of a request");
	(void)snprintf(path, sizeof(path), "/v1/fleet/requests/%s", id);
	r = desk_trust_refresh(d);
	r = r ?: desk_client_get(d, path, REQUEST_S, &doc);
	r = r ?: open_request(d, id, doc, &request);
	r = r ?: desk_trust_site(d, request->site, false, &site);
	if (r)
		return r;
	memcpy(a.request, request->digest, sizeof(a.request));
	desk_pin_answering(&a.keys, &site, request->not_before_us + REQUEST_EARLY_S * CLOCK_US_PER_S, NULL);
	command_say(d->call, "%s %s at %s, asked by %s: %s", request->service, request->operation, request->site,
		request->engineer, request->reason);
	r = desk_answer_take(&a, doc);
	return r ?: desk_answer_finish(&a, json_pack("{s:s, s:s, s:s, s:s}", "site", request->site, "service",
					   request->service, "operation", request->operation, "engineer",
					   request->engineer));
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
