#include "remote/desk/desk_actions.h"

#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_live.h"
#include "remote/desk/desk_order.h"
#include "remote/desk/desk_wait.h"
#include "remote/desk/desk_words.h"
#include "remote/request/result.h"

enum {
	LIFE_S = 3600, /* of a request, or as long as somebody waits */
	WAIT_S = 600,
	PLAN_S = 60, /* a dry run asks nobody */
};

/* How long a request is good: as long as somebody waits, within what a site takes. */
static uint64_t
life_us(uint64_t wait_us)
{
	const uint64_t most = (REQUEST_LIFE_S - REQUEST_EARLY_S) * CLOCK_US_PER_S, least = LIFE_S * CLOCK_US_PER_S;

	return wait_us > most ? most : wait_us > least ? wait_us : least;
}

static int
send(struct desk_order *o, bool plan)
{
	SCOPED_JSON *envelope = NULL, *reply = NULL;
	const char *id;
	int r = desk_order_seal(o, plan ? MESSAGE_DRY_RUN : MESSAGE_REQUEST, &envelope);

	r = r ?: desk_client_post(&o->d, plan ? "/v1/fleet/requests?kind=dry-run" : "/v1/fleet/requests", envelope, &reply);
	if (r)
		return r;
	id = json_string_value(json_object_get(reply, "id"));
	if (!id || strcmp(id, o->id) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, o->id,
			"the hub answered for another request");
	return 0;
}

static int
send_and_wait(struct desk_order *o, bool plan, uint64_t wait_us)
{
	struct command_call *call = o->d.call;
	SCOPED(desk_answer_done)
	struct desk_answer a = { .call = call, .id = o->id, .state = "queued", .plan_only = plan };
	SCOPED(desk_live_done) struct desk_live live = DESK_LIVE_NONE;
	struct desk_wait w = { &o->d, &o->site, &a, &live, wait_us };
	int r = send(o, plan);

	if (r)
		return r;
	command_say(call, "asked      %s\n", o->id);
	desk_pin_answering(&a.keys, &o->site, 0, o->site.key);
	memcpy(a.request, o->request.digest, sizeof(a.request));
	a.expires_us = o->request.expires_us;
	r = desk_wait_for(&w);
	a.shown = a.result && desk_live_showed(&live, a.result->out);
	return r ?: desk_answer_finish(&a, desk_order_json(o));
}

int
desk_run(struct command_call *call)
{
	SCOPED(desk_order_done) struct desk_order o = DESK_ORDER_NONE;
	bool plan = command_option(call, "plan"), offline = command_option(call, "offline");
	uint64_t wait_us;
	int r = desk_wait_span(call, plan ? PLAN_S : WAIT_S, &wait_us);

	if (!r && plan && offline)
		r = REFUSE(REASON_USAGE, "--offline", "the site makes the plan of --plan: give one of them");
	r = r ?: desk_order_make(&o, call, life_us(wait_us));
	if (r)
		return r;
	desk_words_definition(&o.d, &o.site, o.request.service, o.definition);
	desk_order_say(&o);
	if (offline)
		return call->json ? command_print_json("Preview", desk_order_json(&o)) : 0;
	return send_and_wait(&o, plan, wait_us);
}
