#include "remote/desk/desk_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "remote/request/plan.h"
#include "remote/request/progress.h"
#include "remote/request/result.h"

void
desk_answer_done(struct desk_answer *a)
{
	a->plan = request_plan_free(a->plan);
	a->result = request_result_free(a->result);
}

/* The one of our keys that it says it is signed by; the site's present one where there is none. */
static const struct desk_pin_key *
key_of(const struct desk_answer *a, const struct envelope *e)
{
	char keyid[ED25519_KEYID_MAX];

	for (size_t k = 0; k < a->keys.n; k++) {
		ed25519_keyid_of(keyid, a->keys.keys[k].key);
		for (size_t i = 0; i < e->n_sigs; i++)
			if (strcmp(e->sigs[i].keyid, keyid) == 0)
				return &a->keys.keys[k];
	}
	return &a->keys.keys[0];
}

int
desk_answer_open(const struct desk_answer *a, enum message type, const json_t *envelope, struct envelope **ret,
	uint64_t *ret_until_us)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	const struct desk_pin_key *key;
	int r = envelope_open_json(&e, type, envelope);

	if (r)
		return r;
	key = key_of(a, e);
	r = envelope_verify_daemon(e, key->key);
	if (r)
		return r;
	*ret = STEAL(e);
	if (ret_until_us)
		*ret_until_us = key->until_us;
	return 0;
}

static bool
said_expired(const struct desk_answer *a)
{
	return strcmp(a->state, "expired") == 0;
}

bool
desk_answer_early(const struct desk_answer *a)
{
	return !a->result && said_expired(a) && clock_now_us() < a->expires_us;
}

bool
desk_answer_over(const struct desk_answer *a)
{
	return a->result || (a->plan_only && a->plan) || (said_expired(a) && !desk_answer_early(a));
}

static int
same_request(const struct desk_answer *a, const uint8_t digest[32], const char *what)
{
	return memcmp(digest, a->request, sizeof(a->request)) == 0
		? 0
		: REFUSE(REASON_ALTERED, a->id, "the hub shows the %s of another request", what);
}

static int
take_plan(struct desk_answer *a, const json_t *envelope)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_plan_freep) struct request_plan *plan = NULL;
	int r = desk_answer_open(a, MESSAGE_PLAN, envelope, &e, NULL);

	r = r ?: request_plan_parse(&plan, e->payload);
	r = r ?: same_request(a, plan->request, "plan");
	if (r)
		return r;
	if (!a->plan || strcmp(a->plan->text, plan->text) != 0) {
		a->news++;
		if (!a->quiet)
			command_say(a->call, "%s%s", a->plan ? "another plan, in the place of the one above:\n\n" : "", plan->text);
	}
	request_plan_free(a->plan);
	a->plan = STEAL(plan);
	return 0;
}

static int
take_result(struct desk_answer *a, const json_t *envelope)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_result_freep) struct request_result *result = NULL;
	uint64_t until_us = 0;
	int r = desk_answer_open(a, MESSAGE_RESULT, envelope, &e, &until_us);

	r = r ?: request_result_parse(&result, e->payload);
	r = r ?: same_request(a, result->request, "result");
	if (r)
		return r;
	a->news++;
	request_result_free(a->result);
	a->result = STEAL(result);
	a->until_us = until_us;
	return 0;
}

int
desk_answer_take(struct desk_answer *a, const json_t *doc)
{
	const char *state = json_string_value(json_object_get(doc, "state"));
	const char *decision = json_string_value(json_object_get(doc, "decision"));
	const json_t *plan = json_object_get(doc, "plan"), *result = json_object_get(doc, "result");
	int r = 0;

	/* It goes into the next URL. */
	if (!state || strspn(state, "abcdefghijklmnopqrstuvwxyz") != strlen(state))
		return REFUSE(REASON_MALFORMED, a->id, "the hub says no state");
	a->news += strcmp(a->state, state) != 0;
	(void)snprintf(a->state, sizeof(a->state), "%s", state);
	(void)snprintf(a->decision, sizeof(a->decision), "%s", decision ? decision : "");
	if (json_is_object(plan))
		r = take_plan(a, plan);
	if (!r && json_is_object(result))
		r = take_result(a, result);
	return r;
}

void
desk_answer_said(struct desk_answer *a, const struct progress *p)
{
	if (p->kind != PROGRESS_STATE || p->n <= a->said_n)
		return;
	(void)snprintf(a->said, sizeof(a->said), "%s", p->text);
	a->said_n = p->n;
	a->said_us = p->time_us;
}

/* Why the command does not end well. */
static int
verdict(const struct desk_answer *a)
{
	const struct request_result *result = a->result;
	enum reason reason = result->reason;
	char text[256];

	switch (result->outcome) {
	case REQUEST_OUTCOME_OK:
		return 0;
	case REQUEST_OUTCOME_REFUSED:
		return refuse_relay(reason == REASON_NONE ? REASON_DENIED : reason, a->id, NULL,
			*result->err ? result->err : "refused by the site");
	case REQUEST_OUTCOME_TIMEOUT:
		return refuse_relay(REASON_EXPIRED, a->id, NULL, "it ran into its time limit");
	case REQUEST_OUTCOME_CANCELLED:
		return refuse_relay(reason == REASON_NONE ? REASON_INTERRUPTED : reason, a->id,
			NULL, "it was stopped at the site");
	case REQUEST_OUTCOME_INTERRUPTED:
		return refuse_relay(REASON_INTERRUPTED, a->id, NULL,
			"nobody knows how far it came; it is not run again");
	case REQUEST_OUTCOME_FAILED:
	case REQUEST_OUTCOME_MAX:
		break;
	}
	if (result->signal)
		(void)snprintf(text, sizeof(text), "it failed: ended by signal %d", result->signal);
	else
		(void)snprintf(text, sizeof(text), "it failed: exit status %d",
			result->exit_status);
	return refuse_relay(reason == REASON_NONE ? REASON_FAULT : reason, a->id, NULL, text);
}

/* What the site itself signed of one that has no result. */
static int
put_said(json_t *out, const struct desk_answer *a)
{
	json_t *said = json_object();
	int r = said && json_object_set_new(out, "said", said) == 0 ? 0 : FAULT(-ENOMEM);

	r = r ?: json_put_text(said, "text", a->said);
	return r ?: json_put_time(said, "time", a->said_us);
}

static int
print_json(const struct desk_answer *a, json_t *take_preview)
{
	SCOPED_JSON *out = take_preview;
	int r = out ? 0 : FAULT(-ENOMEM);

	r = r ?: json_put_text(out, "id", a->id);
	r = r ?: json_put_text(out, "state", a->state);
	r = r ?: json_put_text(out, "decision", a->decision);
	if (!r && *a->said && !a->result)
		r = put_said(out, a);
	if (!r && a->until_us)
		r = json_put_time(out, "key_until", a->until_us);
	if (!r && a->plan && json_object_set(out, "plan", a->plan->doc) < 0)
		r = FAULT(-ENOMEM);
	/* The result's members stand at the top, where scripts look for them. */
	if (!r && a->result
		&& (json_object_update(out, a->result->doc) < 0
			|| json_object_set(out, "result", a->result->doc) < 0))
		r = FAULT(-ENOMEM);
	return r ?: command_print_json(a->plan_only ? "Plan" : a->result ? "Result" : "Request", STEAL(out));
}

static void
say_key(const struct desk_answer *a)
{
	char text[CLOCK_TEXT_MAX];

	if (a->until_us)
		command_say(a->call, "signed by the key that was the site's until %s, as it says itself",
			clock_format(text, a->until_us));
}

void
desk_answer_put(FILE *to, const char *text)
{
	size_t len = strlen(text);

	command_put(to, text);
	if (len > 0 && text[len - 1] != '\n')
		(void)fputc('\n', to);
}

static void
say_result(const struct desk_answer *a)
{
	const struct request_result *result = a->result;

	if (!a->shown)
		desk_answer_put(stdout, result->out);
	if (result->outcome != REQUEST_OUTCOME_REFUSED)
		desk_answer_put(stderr, result->err);
	command_say(a->call, "%s in %llu ms%s%s", request_outcome_name(result->outcome),
		(unsigned long long)result->wall_ms, result->truncated ? ", output cut" : "",
		a->shown ? "; what stands above is what the site signed" : "");
	say_key(a);
}

static void
say_pending(const struct desk_answer *a)
{
	char text[CLOCK_TEXT_MAX];

	if (desk_answer_early(a)) {
		command_say(a->call,
			"%s: the hub says that it expired, but it ends %s: the site may run it until then; ask again with: "
			"mainstay-desk requests %s",
			a->id, clock_format(text, a->expires_us), a->id);
		return;
	}
	if (*a->said) {
		command_say(a->call, "%s: %s (the site signed that %s); ask again with: mainstay-desk requests %s", a->id, a->said,
			clock_format(text, a->said_us), a->id);
		return;
	}
	command_say(a->call, "%s: %s (the hub says); ask again with: mainstay-desk requests %s", a->id,
		strcmp(a->decision, "ask") == 0 ? "waits for the customer's approval" : a->state, a->id);
}

int
desk_answer_finish(struct desk_answer *a, json_t *take_preview)
{
	bool plan = a->plan_only && a->plan && (!a->result || a->result->outcome == REQUEST_OUTCOME_OK);
	int r = 0;

	if (a->call->json)
		r = print_json(a, take_preview);
	else
		json_decref(take_preview);
	if (r)
		return r;
	if (!a->call->json && plan)
		command_say(a->call, "%s: the plan that the site signed; nothing was run, nothing waits", a->id);
	else if (!a->call->json && a->result)
		say_result(a);
	else if (!a->call->json)
		say_pending(a);
	if (plan)
		return 0;
	if (!a->result && desk_answer_over(a))
		return REFUSE(REASON_EXPIRED, a->id,
			"it ended and is not begun any more; the site did not fetch it before (the hub says)");
	return a->result ? verdict(a) : command_later();
}
