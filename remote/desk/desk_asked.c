#include "remote/desk/desk_asked.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
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

int
desk_asked_open(struct desk *d, const char *id, const json_t *envelope, bool dry_run, struct request **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *request = NULL;
	const struct people_engineer *engineer;
	struct sshkey_public key;
	int r;

	if (!json_is_object(envelope))
		return REFUSE(REASON_NOT_FOUND, id, "crossed by file: the hub never had what was asked");
	r = envelope_open_json(&e, dry_run ? MESSAGE_DRY_RUN : MESSAGE_REQUEST, envelope);
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

void
desk_asked_ready(struct desk_answer *a, const struct request *q, const struct desk_site *site)
{
	memcpy(a->request, q->digest, sizeof(a->request));
	a->expires_us = q->expires_us;
	desk_pin_answering(&a->keys, site, q->not_before_us + REQUEST_EARLY_S * CLOCK_US_PER_S, NULL);
}

int
desk_asked_get(struct desk *d, const char *id, json_t **ret_doc, struct request **ret, struct desk_site *ret_site,
	struct desk_answer *a)
{
	SCOPED(request_freep) struct request *request = NULL;
	SCOPED_JSON *doc = NULL;
	char path[160];
	bool dry_run;
	int r;

	if (!request_id_ok(id))
		return REFUSE(REASON_USAGE, id, "is no id of a request");
	(void)snprintf(path, sizeof(path), "/v1/fleet/requests/%s?progress=0", id);
	r = desk_client_get(d, path, REQUEST_S, &doc);
	if (r)
		return r;
	dry_run = strcmp(json_text(doc, "kind"), "dry-run") == 0;
	r = desk_asked_open(d, id, json_object_get(doc, "request"), dry_run, &request);
	r = r ?: desk_trust_site(d, request->site, false, ret_site);
	if (r)
		return r;
	*a = (struct desk_answer){ .call = d->call, .id = id, .plan_only = dry_run };
	desk_asked_ready(a, request, ret_site);
	*ret_doc = STEAL(doc);
	*ret = STEAL(request);
	return 0;
}
