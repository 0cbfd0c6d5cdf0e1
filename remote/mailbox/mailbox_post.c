#include "remote/mailbox/mailbox_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/people.h"
#include "remote/mailbox/mailbox_hub.h"
#include "remote/mailbox/mailbox_live.h"
#include "remote/mailbox/mailbox_store.h"
#include "remote/request/cancel.h"
#include "remote/request/request.h"

/* Signed by an engineer who may ask this of that customer? */
static int
check_engineer(struct mailbox *h, const struct envelope *e, const char *id, const char *claimed, const char *customer)
{
	const struct people_engineer *engineer;
	const struct people *people;
	struct sshkey_public key;
	uint64_t now_us = clock_now_us();
	int r;

	r = envelope_claimed_key(e, 0, &key);
	r = r ? r : envelope_verify_person(e, &key);
	r = r ? r : tuf_local_people(serve_config(h->serve)->repo, now_us, &people);
	r = r ? r
	      : people_engineer_by_key(people, &key, "support", customer, now_us, &engineer);
	if (r == 0 && strcmp(engineer->name, claimed) != 0)
		return REFUSE(REASON_WRONG_ROLE, id, "is signed by %s, not by %s", engineer->name, claimed);
	return r;
}

static int
check_site(struct mailbox *h, const struct http_call *call, const struct request *request)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	int r;

	/* Whose customer it is not learns nothing of its sites. */
	r = serve_engineer(h->serve, &call->who, "support", request->customer, request->customer);
	if (r != 0)
		return FAULT(r);
	r = registry_site_get(serve_databases(h->serve), request->site, &site);
	if (r == REASON_NOT_FOUND || (r == 0 && strcmp(site.customer, request->customer) != 0))
		return REFUSE(REASON_WRONG_ADDRESSEE, request->id, "%s is no site of %s",
			request->site, request->customer);
	if (request->expires_us <= clock_now_us())
		return REFUSE(REASON_EXPIRED, request->id, "its time is over");
	return FAULT(r);
}

/* --- a request, or a dry run ------------------------------------------------------------------------------ */
static int
post_request(struct mailbox *h, struct http_call *call, enum mailbox_kind kind)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *request = NULL;
	SCOPED(scope_free) char *text = NULL;
	struct db *db;
	uint64_t n;
	int r;

	r = envelope_open(&e, kind == MAILBOX_KIND_DRY_RUN ? MESSAGE_DRY_RUN : MESSAGE_REQUEST, call->body,
		call->body_len);
	r = r ? r : request_from_envelope(&request, e);
	r = r ? r : check_site(h, call, request);
	r = r ? r : check_engineer(h, e, request->id, request->engineer, request->customer);
	if (r != 0)
		return r;
	text = json_dumps(e->text, JSON_COMPACT);
	if (!text)
		return FAULT(-ENOMEM);
	r = databases_customer(serve_databases(h->serve), request->customer, &db);
	r = r ? r : mailbox_store_add(db, kind, request, text, clock_now_us(), &n);
	h->busy += r == REASON_BUSY;
	if (r != 0)
		return r;
	h->posted++;
	r = serve_reply_json(call, 202, json_pack("{s:s}", "id", request->id));
	mailbox_wait_wake(&h->waiting, true, request->site, request->customer);
	return r;
}

/* --- a cancel --------------------------------------------------------------------------------------------- */
/* The customer's file that holds the request, and whose it is. */
struct owner {
	const char *id;
	const uint8_t *digest;
	char customer[65];
};

static int
find_owner(const char *name, struct db *db, void *arg)
{
	struct owner *o = arg;
	int64_t n;
	int r;

	r = db_number(db, &n, 0, "SELECT count(*) FROM requests WHERE id = ?1 AND digest = ?2", "tb", o->id, o->digest,
		(size_t)32);
	if (r == 0 && n > 0)
		(void)snprintf(o->customer, sizeof(o->customer), "%s", name);
	return FAULT(r);
}

static int
put_cancel(struct mailbox *h, const struct envelope *e, const struct cancel *cancel, const char *customer)
{
	SCOPED(scope_free) char *text = json_dumps(e->text, JSON_COMPACT);
	char site[65];
	struct db *db;
	int r = text ? 0 : FAULT(-ENOMEM);

	r = r ? r : databases_customer(serve_databases(h->serve), customer, &db);
	r = r ? r
	      : mailbox_live_cancel(db, cancel->id, cancel->engineer, text, clock_now_us(), site);
	if (r == 0)
		mailbox_wait_wake(&h->waiting, true, site, customer);
	return r;
}

static int
post_cancel(struct mailbox *h, struct http_call *call)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(cancel_freep) struct cancel *cancel = NULL;
	SCOPED_JSON *unavailable = json_array();
	struct owner o = { 0 };
	int r;

	r = envelope_open(&e, MESSAGE_CANCEL, call->body, call->body_len);
	r = r ? r : cancel_parse(&cancel, e->payload);
	if (r != 0)
		return r;
	o.id = cancel->id;
	o.digest = cancel->request;
	r = serve_each_customer(h->serve, &call->who, find_owner, &o, unavailable);
	if (r < 0)
		return FAULT(r);
	/* Of another customer's request nothing is learnt here. */
	if (o.customer[0] == '\0')
		return serve_not_yours(cancel->id);
	r = check_engineer(h, e, cancel->id, cancel->engineer, o.customer);
	r = r ? r : put_cancel(h, e, cancel, o.customer);
	if (r != 0)
		return r;
	h->posted++;
	return serve_reply_json(call, 202, json_pack("{s:s}", "id", cancel->id));
}

int
mailbox_post(struct http_call *call, void *state)
{
	static const char *const known[] = { "kind", NULL };
	static const char *const kinds[MAILBOX_KIND_MAX] = MAILBOX_WIRE_KINDS;
	const char *word = query_get(&call->params, "kind");
	enum mailbox_kind kind = MAILBOX_KIND_REQUEST;
	int r;

	r = query_only(&call->params, known);
	while (word && kind < MAILBOX_KIND_MAX && strcmp(word, kinds[kind]) != 0)
		kind++;
	if (r == 0 && kind == MAILBOX_KIND_MAX)
		return REFUSE(REASON_MALFORMED, "kind", "is none of request, dry-run, cancel");
	if (r != 0)
		return r;
	return kind == MAILBOX_KIND_CANCEL ? post_cancel(state, call) : post_request(state, call, kind);
}
