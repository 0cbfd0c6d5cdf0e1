#include "appliance/enrol/enrol_site.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/enrol_wire.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"

#define OPERAND "hub's answer"

int
enrol_site_daemon(json_t **ret, const char *site, const uint8_t key[32], uint64_t not_after_us,
	const struct ed25519 *site_key)
{
	SCOPED_JSON *p = json_object();
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	r = json_put_u64(p, "v", 1);
	r = r ?: json_put_text(p, "site", site);
	r = r ?: json_put_text(p, "role", ENROL_WIRE_ROLE);
	r = r ?: json_put_hex(p, "key", key, 32);
	r = r ?: json_put_time(p, "not_after", not_after_us);
	return FAULT(r ?: envelope_seal(ret, MESSAGE_DAEMON, p, site_key));
}

int
enrol_site_request(struct buf *out, const struct token *token, const struct ed25519 *site_key,
	const uint8_t audit_key[32], const json_t *daemon, const char *platform, uint64_t now_us)
{
	SCOPED_JSON *p = json_object(), *envelope = NULL;
	uint8_t hmac[32];
	int r;

	if (!p || json_object_set(p, "daemon", (json_t *)daemon) < 0)
		return FAULT(-ENOMEM);
	token_hmac(hmac, token->secret, token->site, ed25519_public(site_key), audit_key);
	r = json_put_u64(p, "v", 1);
	r = r ?: json_put_text(p, "site", token->site);
	r = r ?: json_put_text(p, "key", ed25519_public_hex(site_key));
	r = r ?: json_put_hex(p, "audit_key", audit_key, 32);
	r = r ?: json_put_hex(p, "hmac", hmac, sizeof(hmac));
	r = r ?: json_put_text(p, "platform", platform);
	r = r ?: json_put_time(p, "time", now_us);
	r = r ?: envelope_seal(&envelope, MESSAGE_ENROL, p, site_key);
	return FAULT(r ?: json_canonical(out, envelope));
}

char *
enrol_site_nonce(char out[ENROL_SITE_NONCE_MAX], const void *body, size_t len)
{
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, body, len);
	return hex_encode(out, digest, ENROL_SITE_NONCE_MAX / 2);
}

void
enrol_site_answer_done(struct enrol_site_answer *a)
{
	json_decref(a->record);
	a->record = NULL;
}

struct fields {
	uint64_t v;
	const char *site, *customer, *status;
	json_t *record;
};

static const struct json_field table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct fields, site), TOKEN_NAME_MAX - 1 },
	{ "customer", JSON_KIND_TEXT, false, offsetof(struct fields, customer),
		TOKEN_NAME_MAX - 1 },
	{ "status", JSON_KIND_TEXT, false, offsetof(struct fields, status), 16 },
	{ "record", JSON_KIND_OBJECT, true, offsetof(struct fields, record), 0 },
};

int
enrol_site_answer(struct enrol_site_answer *ret, const void *p, size_t len, const char *site,
	const char *customer)
{
	SCOPED_JSON *obj = NULL;
	struct fields f = { 0 };
	bool accepted;
	int r;

	r = json_read(&obj, p, len, ENROL_WIRE_REPLY_MAX, OPERAND);
	r = r ?: json_members(obj, table, ARRAY_LEN(table), &f, OPERAND);
	if (r)
		return FAULT(r);
	accepted = !strcmp(f.status, ENROL_WIRE_ACCEPTED);
	if (f.v != 1 || (!accepted && strcmp(f.status, ENROL_WIRE_PENDING)) ||
		accepted != (f.record != NULL))
		return REFUSE(REASON_MALFORMED, OPERAND,
			"neither pending nor accepted with its record");
	if (strcmp(f.site, site) || strcmp(f.customer, customer))
		return REFUSE(REASON_WRONG_ADDRESSEE, OPERAND, "is about site %s of %s", f.site,
			f.customer);
	*ret = (struct enrol_site_answer){ .accepted = accepted, .record = json_incref(f.record) };
	memcpy(ret->customer, f.customer, strlen(f.customer));
	return 0;
}
