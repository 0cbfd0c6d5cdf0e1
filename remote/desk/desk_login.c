#include "remote/desk/desk_actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/people.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"

enum { REQUEST_S = 20 };

/* A name as a query's value: whatever is no letter, digit, '-', '.' or '_' is percent-encoded. */
static void
put_value(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (strchr("-._", *text) || (*text >= '0' && *text <= '9')
			|| (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z'))
			buf_u8(out, (uint8_t)*text);
		else
			buf_printf(out, "%%%02X", (unsigned char)*text);
}

/* The hub's challenge, which must be for the hub that the card names. */
static int
challenge(struct desk *d, json_t **ret)
{
	SCOPED(buf_done) struct buf path = BUF_MAX(1024);
	SCOPED_JSON *doc = NULL;
	const char *hub, *nonce;
	int r;

	buf_puts(&path, "/v1/login?engineer=");
	put_value(&path, d->me->name);
	r = buf_error(&path) ?: desk_client_get(d, buf_text(&path), REQUEST_S, &doc);
	if (r)
		return r;
	hub = json_string_value(json_object_get(doc, "hub"));
	nonce = json_string_value(json_object_get(doc, "nonce"));
	if (!hub || !nonce || strcmp(hub, d->card->hub.name) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, hub ? hub : "hub",
			"the card's hub is %s", d->card->hub.name);
	*ret = STEAL(doc);
	return 0;
}

static int
login_payload(struct desk *d, const json_t *asked, const struct ed25519 *key, uint64_t not_after_us,
	json_t **ret)
{
	SCOPED_JSON *doc = json_object();
	json_t *customers;
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "hub", json_string_value(json_object_get(asked, "hub")));
	r = r ?: json_put_text(doc, "nonce", json_string_value(json_object_get(asked, "nonce")));
	r = r ?: json_put_text(doc, "engineer", d->me->name);
	r = r ?: json_put_text(doc, "key", ed25519_public_hex(key));
	r = r ?: json_put_time(doc, "not_after", not_after_us);
	if (r)
		return r;
	customers = json_copy_whole(d->me->customers, JSON_DEEP);
	if (json_object_set_new(doc, "customers", customers) < 0)
		return FAULT(-ENOMEM);
	*ret = STEAL(doc);
	return 0;
}

int
desk_login(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	SCOPED_JSON *asked = NULL, *payload = NULL, *envelope = NULL, *out = NULL;
	uint64_t end_us = clock_now_us() + DESK_SESSION_LIFE_S * CLOCK_US_PER_S;
	char until[CLOCK_TEXT_MAX];
	int r = desk_session_open(&d, call);

	r = r ?: desk_trust_refresh(&d);
	r = r ?: challenge(&d, &asked);
	r = r ?: ed25519_generate(&key);
	r = r ?: login_payload(&d, asked, key, end_us, &payload);
	r = r ?: envelope_seal_person(&envelope, MESSAGE_LOGIN, payload, d.signer);
	r = r ?: desk_client_post(&d, "/v1/login", envelope, NULL);
	r = r ?: desk_session_keep(&d, STEAL(key), end_us);
	if (r)
		return r;
	if (call->json) {
		out = json_pack("{s:s, s:s, s:s}", "engineer", d.me->name, "hub", d.card->hub.name,
			"not_after", clock_format(until, end_us));
		return command_print_json("Login", STEAL(out));
	}
	command_say(call, "logged in at %s as %s until %s", d.card->hub.name, d.me->name,
		clock_format(until, end_us));
	return 0;
}
