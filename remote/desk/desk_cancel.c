#include "remote/desk/desk_actions.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/people.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_asked.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_live.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/desk/desk_wait.h"
#include "remote/request/cancel.h"
#include "remote/request/request.h"
#include "remote/request/result.h"

enum { WAIT_S = 30 };

static int
seal(struct desk *d, const struct request *q, json_t **ret)
{
	struct cancel c = {
		.id = q->id,
		.engineer = d->me->name,
		.reason = command_option(d->call, "reason"),
		.time_us = clock_now_us(),
	};
	SCOPED_JSON *payload = NULL;
	int r;

	memcpy(c.request, q->digest, sizeof(c.request));
	r = cancel_json(&payload, &c);
	return r ?: envelope_seal_person(ret, MESSAGE_CANCEL, payload, d->signer);
}

static int
send(struct desk *d, const struct request *q)
{
	SCOPED_JSON *envelope = NULL, *reply = NULL;
	int r = seal(d, q, &envelope);

	r = r ?: desk_client_post(d, "/v1/fleet/requests?kind=cancel", envelope, &reply);
	if (!r && strcmp(json_text(reply, "id"), q->id) != 0)
		r = REFUSE(REASON_WRONG_ADDRESSEE, q->id, "the hub answered for another request");
	return r;
}

/* What the site signed decides whether anything was cancelled. */
static int
finish(const struct desk_answer *a)
{
	const struct request_result *result = a->result;
	struct command_call *call = a->call;
	const char *outcome;

	if (!result) {
		command_say(call, "%s: the site has not answered yet; ask again with: mainstay-desk requests %s", a->id, a->id);
		return command_later();
	}
	outcome = request_outcome_name(result->outcome);
	if (result->outcome != REQUEST_OUTCOME_CANCELLED && result->outcome != REQUEST_OUTCOME_REFUSED)
		return REFUSE(REASON_CONFLICT, a->id, "it was over before: %s", outcome);
	if (call->json)
		return command_print_json("Result", json_incref(result->doc));
	command_say(call, "%s: %s", a->id,
		result->outcome == REQUEST_OUTCOME_REFUSED ? "ended at the site before it ran" : "stopped at the site");
	desk_answer_put(stderr, result->err);
	return 0;
}

static int
cancel_one(struct desk *d, const char *id, uint64_t wait_us)
{
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	SCOPED(desk_live_done) struct desk_live live = DESK_LIVE_NONE;
	SCOPED(desk_answer_done) struct desk_answer a = { 0 };
	SCOPED(request_freep) struct request *q = NULL;
	SCOPED_JSON *doc = NULL;
	struct desk_wait w = { d, &site, &a, &live, wait_us };
	int r = desk_trust_refresh(d);

	r = r ?: desk_asked_get(d, id, &doc, &q, &site, &a);
	r = r ?: send(d, q);
	if (r)
		return r;
	command_say(d->call, "%s %s at %s: the site is asked to end it", q->service, q->operation, q->site);
	a.plan_only = false; /* it is not over with a plan, and whoever cancels knows what it is */
	a.quiet = true;
	r = desk_wait_for(&w);
	return r ?: finish(&a);
}

/* --- by file -------------------------------------------------------------------------------------- */
/* What is to be ended: as its own file has it, or the hub. */
static int
find(struct desk *d, const char *id, struct request **ret)
{
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	SCOPED(desk_answer_done) struct desk_answer a = { 0 };
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_BYTES_MAX + 1);
	const char *of = command_option(d->call, "of");
	SCOPED_JSON *doc = NULL;
	int r;

	if (!of)
		return desk_asked_get(d, id, &doc, ret, &site, &a);
	r = command_read_file(of, REQUEST_BYTES_MAX, &b);
	r = r ?: json_read(&doc, b.data, b.len, REQUEST_BYTES_MAX, of);
	return r ?: desk_asked_open(d, id, doc, false, ret);
}

static int
write_one(struct desk *d, const char *id, const char *file)
{
	SCOPED(request_freep) struct request *q = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_BYTES_MAX);
	SCOPED_JSON *envelope = NULL;
	int r = desk_trust_refresh(d);

	r = r ?: find(d, id, &q);
	r = r ?: seal(d, q, &envelope);
	r = r ?: json_canonical(&b, envelope);
	r = r ?: fs_replace_path(file, b.data, b.len, 0600);
	if (r)
		return r;
	if (d->call->json)
		return command_print_json("CancelFile", json_pack("{s:s, s:s, s:s}", "id", id, "site", q->site, "file", file));
	command_say(d->call,
		"written    %s: ends %s %s at %s\n"
		"at the site:    mainstay requests import %s\n"
		"how it ended:   mainstay results export %s --out results.json, and here: mainstay-desk import results.json",
		file, q->service, q->operation, q->site, file, id);
	return 0;
}

int
desk_cancel(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	const char *file = command_option(call, "file");
	uint64_t wait_us = 0;
	int r = desk_session_open(&d, call);

	r = r ?: desk_wait_span(call, WAIT_S, &wait_us);
	if (!r && (file ? command_option(call, "wait") : command_option(call, "of")))
		r = REFUSE(REASON_USAGE, file ? "--wait" : "--of",
			file ? "nothing answers a file: give --file or --wait" : "is for --file: the hub has what it was sent");
	r = r ?: desk_session_load(&d);
	if (r)
		return r;
	return file ? write_one(&d, call->operands[0], file) : cancel_one(&d, call->operands[0], wait_us);
}
