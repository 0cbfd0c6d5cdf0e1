#include "remote/fleet/login.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/people.h"
#include "remote/fleet/engineer.h"

enum {
	NONCE_BYTES = 8 + 16, /* seconds, then a tag */
	CUSTOMERS_MAX = 32,
	SKEW_S = 60,
};

/* --- nonces ------------------------------------------------------------------------------------------- */
static void
nonce_make(const struct login *l, const char *engineer, uint64_t now_s, uint8_t out[NONCE_BYTES])
{
	uint8_t text[8 + PEOPLE_NAME_MAX], tag[SHA256_LEN];
	size_t len = strnlen(engineer, PEOPLE_NAME_MAX); /* both callers refuse a longer one */

	for (size_t i = 0; i < 8; i++)
		text[i] = (uint8_t)(now_s >> (56 - 8 * i));
	memcpy(text + 8, engineer, len);
	sha256_hmac(tag, l->secret, sizeof(l->secret), text, 8 + len);
	memcpy(out, text, 8);
	memcpy(out + 8, tag, NONCE_BYTES - 8);
}

static int
nonce_check(const struct login *l, const char *engineer, const char *text, uint64_t now_s)
{
	uint8_t given[NONCE_BYTES], made[NONCE_BYTES];
	struct cursor c = CURSOR(given, 8);
	uint64_t then_s;

	if (!hex_decode(given, sizeof(given), text))
		return REFUSE(REASON_MALFORMED, engineer, "the login's nonce is none of ours");
	then_s = cursor_u64(&c);
	nonce_make(l, engineer, then_s, made);
	if (!sha256_same(given, made, sizeof(given)))
		return REFUSE(REASON_REPLAYED, engineer, "the login's nonce was not given by this hub; ask for another");
	if (now_s > then_s + LOGIN_NONCE_S)
		return REFUSE(REASON_EXPIRED, engineer, "the login's nonce is older than %d s", LOGIN_NONCE_S);
	return 0;
}

int
login_begin(struct login *l, struct http_call *call)
{
	static const char *const known[] = { "engineer", NULL };
	const char *engineer = query_get(&call->params, "engineer");
	uint8_t nonce[NONCE_BYTES];
	char text[2 * NONCE_BYTES + 1];
	int r;

	r = query_only(&call->params, known);
	if (r != 0)
		return r;
	if (!engineer || engineer[0] == '\0' || strlen(engineer) > PEOPLE_NAME_MAX)
		return REFUSE(REASON_MALFORMED, "engineer", "says who logs in; it is missing or too long");
	nonce_make(l, engineer, clock_now_us() / CLOCK_US_PER_S, nonce);
	return serve_reply_json(call, 200, json_pack("{s:s, s:s}", "hub", serve_config(l->serve)->name, "nonce",
		hex_encode(text, nonce, sizeof(nonce))));
}

/* --- the login itself --------------------------------------------------------------------------------- */
struct form {
	uint64_t v, not_after_us;
	const char *hub, *engineer, *nonce;
	uint8_t key[32];
	json_t *customers;
};

static const struct json_field fields[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct form, v), 1 },
	{ "hub", JSON_KIND_TEXT, false, offsetof(struct form, hub), SERVE_NAME_MAX },
	{ "engineer", JSON_KIND_TEXT, false, offsetof(struct form, engineer), PEOPLE_NAME_MAX },
	{ "key", JSON_KIND_KEY, false, offsetof(struct form, key), 0 },
	{ "customers", JSON_KIND_ARRAY, false, offsetof(struct form, customers), CUSTOMERS_MAX },
	{ "nonce", JSON_KIND_TEXT, false, offsetof(struct form, nonce), 2 * NONCE_BYTES },
	{ "not_after", JSON_KIND_TIME, false, offsetof(struct form, not_after_us), 0 },
};

static int
check_form(const struct login *l, const struct form *f, uint64_t now_us)
{
	int r;

	if (strcmp(f->hub, serve_config(l->serve)->name) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, f->engineer, "the login is for another hub");
	if (f->not_after_us <= now_us)
		return REFUSE(REASON_EXPIRED, f->engineer, "the login is over before it begins");
	if (f->not_after_us > now_us + (LOGIN_LIFE_S + SKEW_S) * CLOCK_US_PER_S)
		return REFUSE(REASON_MALFORMED, f->engineer, "a login lasts at most %d hours", LOGIN_LIFE_S / 3600);
	r = ed25519_check_public(f->key, "login");
	return r ? r : nonce_check(l, f->engineer, f->nonce, now_us / CLOCK_US_PER_S);
}

/* Each customer that the login names must be one of the engineer's; who->customers gets ",a,b,". */
static int
check_customers(const struct login *l, const struct form *f, const struct sshkey_public *key, uint64_t now_us,
	struct auth_identity *who)
{
	const struct people_engineer *engineer;
	size_t len = 1;
	json_t *item;
	size_t i;
	int r;

	if (json_array_size(f->customers) == 0)
		return REFUSE(REASON_MALFORMED, f->engineer, "the login names no customers");
	who->customers[0] = ',';
	json_array_foreach(f->customers, i, item) {
		const char *customer = json_string_value(item);

		if (!customer || (strcmp(customer, "*") != 0 && !databases_is_name(customer)))
			return REFUSE(REASON_MALFORMED, f->engineer, "customer %zu is no name", i + 1);
		r = engineer_check(serve_config(l->serve)->repo, key, NULL, customer, now_us, &engineer);
		if (r != 0)
			return r;
		if (strcmp(engineer->name, f->engineer) != 0)
			return REFUSE(REASON_UNKNOWN_KEY, f->engineer, "the key is another engineer's");
		if (len + strlen(customer) + 2 > sizeof(who->customers))
			return REFUSE(REASON_TOO_LARGE, f->engineer, "the login names too many customers");
		len += (size_t)snprintf(who->customers + len, sizeof(who->customers) - len, "%s,", customer);
	}
	return 0;
}

int
login_finish(struct login *l, struct http_call *call)
{
	struct databases *d = serve_databases(l->serve);
	struct auth_identity who = { .kind = AUTH_ENGINEER };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	uint64_t now_us = clock_now_us();
	struct sshkey_public key;
	struct form f = { 0 };
	char until[CLOCK_TEXT_MAX];
	int r;

	r = envelope_open(&e, MESSAGE_LOGIN, call->body, call->body_len);
	r = r ? r : json_members(e->payload, fields, ARRAY_LEN(fields), &f, "login");
	r = r ? r : check_form(l, &f, now_us);
	r = r ? r : envelope_claimed_key(e, 0, &key);
	r = r ? r : envelope_verify_person(e, &key);
	r = r ? r : check_customers(l, &f, &key, now_us, &who);
	/* Only now is the nonce worth remembering: strangers cannot fill the table. */
	r = r ? r : auth_nonce_use(d, "login", f.nonce, now_us + 2 * LOGIN_NONCE_S * CLOCK_US_PER_S);
	if (r != 0)
		return r;
	memcpy(who.key, f.key, sizeof(who.key));
	ed25519_keyid_of(who.keyid, f.key);
	(void)snprintf(who.engineer, sizeof(who.engineer), "%s", f.engineer);
	sshkey_line(who.ssh_key, &key);
	r = registry_key_put(d, &who, f.not_after_us);
	if (r != 0)
		return FAULT(r);
	log_info("engineer %s logged in until %s", who.engineer, clock_format(until, f.not_after_us));
	return serve_reply_json(call, 200, json_pack("{s:s, s:s, s:s}", "keyid", who.keyid, "engineer", who.engineer,
		"not_after", clock_format(until, f.not_after_us)));
}
