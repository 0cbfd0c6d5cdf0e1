#include "appliance/enrol/enrol_hub.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"

#define DAY_US (UINT64_C(86400) * CLOCK_US_PER_S)

void
enrol_hub_request_done(struct enrol_hub_request *r)
{
	json_decref(r->daemon);
	r->daemon = NULL;
}

/* --- daemon keys ------------------------------------------------------------------------------ */
struct daemon_fields {
	uint64_t v, not_after_us;
	const char *site, *role;
	uint8_t key[32];
};

static const struct json_field daemon_table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct daemon_fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct daemon_fields, site), TOKEN_NAME_MAX - 1 },
	{ "role", JSON_KIND_TEXT, false, offsetof(struct daemon_fields, role), 32 },
	{ "key", JSON_KIND_KEY, false, offsetof(struct daemon_fields, key), 0 },
	{ "not_after", JSON_KIND_TIME, false, offsetof(struct daemon_fields, not_after_us), 0 },
};

int
enrol_hub_daemon(uint8_t ret_key[32], uint64_t *ret_not_after_us, const json_t *envelope,
	const char *site, const uint8_t site_key[32], uint64_t now_us)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct daemon_fields f = { 0 };
	int r;

	r = envelope_open_json(&e, MESSAGE_DAEMON, envelope);
	r = r ?: envelope_verify_daemon(e, site_key);
	r = r ?: json_members(e->payload, daemon_table, ARRAY_LEN(daemon_table), &f, "daemon");
	if (r)
		return FAULT(r);
	if (f.v != 1)
		return REFUSE(REASON_MALFORMED, "daemon", "not of version 1");
	if (strcmp(f.site, site))
		return REFUSE(REASON_WRONG_ADDRESSEE, "daemon", "key is for site %s", f.site);
	if (strcmp(f.role, ENROL_WIRE_ROLE))
		return REFUSE(REASON_WRONG_ROLE, "daemon", "key is for role %s", f.role);
	r = ed25519_check_public(f.key, "daemon");
	if (r)
		return r;
	if (f.not_after_us <= now_us)
		return REFUSE(REASON_EXPIRED, "daemon", "key has expired");
	if (f.not_after_us > now_us + (ENROL_WIRE_DAEMON_DAYS + 1) * DAY_US)
		return REFUSE(REASON_MALFORMED, "daemon", "key lives longer than %d days",
			ENROL_WIRE_DAEMON_DAYS);
	memcpy(ret_key, f.key, sizeof(f.key));
	*ret_not_after_us = f.not_after_us;
	return 0;
}

/* --- requests --------------------------------------------------------------------------------- */
struct fields {
	uint64_t v, time_us;
	const char *site, *hmac, *platform;
	uint8_t key[32], audit_key[32];
	json_t *daemon;
};

static const struct json_field table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct fields, site), TOKEN_NAME_MAX - 1 },
	{ "key", JSON_KIND_KEY, false, offsetof(struct fields, key), 0 },
	{ "audit_key", JSON_KIND_KEY, false, offsetof(struct fields, audit_key), 0 },
	{ "hmac", JSON_KIND_TEXT, false, offsetof(struct fields, hmac), 64 },
	{ "daemon", JSON_KIND_OBJECT, false, offsetof(struct fields, daemon), 0 },
	{ "platform", JSON_KIND_TEXT, false, offsetof(struct fields, platform),
		ENROL_WIRE_PLATFORM_MAX - 1 },
	{ "time", JSON_KIND_TIME, false, offsetof(struct fields, time_us), 0 },
};

int
enrol_hub_read(struct enrol_hub_request *ret, const void *p, size_t len, uint64_t now_us)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct enrol_hub_request q = { 0 };
	struct fields f = { 0 };
	int r;

	if (len > ENROL_WIRE_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, "enrol", "over %d bytes", ENROL_WIRE_BODY_MAX);
	r = envelope_open(&e, MESSAGE_ENROL, p, len);
	r = r ?: json_members(e->payload, table, ARRAY_LEN(table), &f, "enrol");
	if (r)
		return FAULT(r);
	if (f.v != 1 || !token_name_ok(f.site) || !hex_decode(q.hmac, sizeof(q.hmac), f.hmac))
		return REFUSE(REASON_MALFORMED, "enrol", "no request of version 1");
	r = ed25519_check_public(f.key, "enrol");
	r = r ?: ed25519_check_public(f.audit_key, "enrol");
	r = r ?: envelope_verify_daemon(e, f.key);
	r = r
		?: enrol_hub_daemon(q.courier_key, &q.courier_not_after_us, f.daemon, f.site, f.key,
			   now_us);
	if (r)
		return FAULT(r);
	memcpy(q.site, f.site, strlen(f.site));
	memcpy(q.platform, f.platform, strlen(f.platform));
	memcpy(q.key, f.key, sizeof(q.key));
	memcpy(q.audit_key, f.audit_key, sizeof(q.audit_key));
	q.time_us = f.time_us;
	q.daemon = json_incref(f.daemon);
	*ret = q;
	return 0;
}

int
enrol_hub_decide(bool *ret_first, const struct enrol_hub_row *row,
	const struct enrol_hub_request *q, uint64_t now_us)
{
	uint8_t hmac[32];

	if (strcmp(row->token.site, q->site))
		return REFUSE(REASON_WRONG_ADDRESSEE, "enrol", "token is for another site");
	token_hmac(hmac, row->token.secret, q->site, q->key, q->audit_key);
	if (!sha256_same(hmac, q->hmac, sizeof(hmac)))
		return REFUSE(REASON_BAD_SIGNATURE, "enrol",
			"was not made with the token of site %s", q->site);
	if (row->used && memcmp(row->key, q->key, sizeof(q->key)))
		return REFUSE(REASON_USED_TOKEN, "enrol", "token of site %s became another key's",
			q->site);
	if (row->token.expires_us <= now_us)
		return REFUSE(REASON_EXPIRED, "enrol", "token of site %s has expired", q->site);
	*ret_first = !row->used;
	return 0;
}

int
enrol_hub_answer(json_t **ret, const char *site, const char *customer, const json_t *record)
{
	SCOPED_JSON *obj = json_object();
	int r;

	if (!obj || (record && json_object_set(obj, "record", (json_t *)record) < 0))
		return FAULT(-ENOMEM);
	r = json_put_u64(obj, "v", 1);
	r = r ?: json_put_text(obj, "site", site);
	r = r ?: json_put_text(obj, "customer", customer);
	r = r ?: json_put_text(obj, "status", record ? ENROL_WIRE_ACCEPTED : ENROL_WIRE_PENDING);
	if (r)
		return FAULT(r);
	*ret = STEAL(obj);
	return 0;
}
