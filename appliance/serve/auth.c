#include "appliance/serve/auth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sfield.h"

static const char *const fleet_steps[] = {
	"CREATE TABLE nonces("
	"  keyid TEXT NOT NULL, nonce TEXT NOT NULL, expires INTEGER NOT NULL,"
	"  PRIMARY KEY(keyid, nonce)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX nonces_by_expiry ON nonces(expires);",
};
const struct db_migration auth_fleet_migration = { "serve/auth", fleet_steps, ARRAY_LEN(fleet_steps) };

/* What a reply's parameter may repeat: visible ASCII without quotes, not empty, not too long. */
static bool
is_nonce(const char *text, size_t len)
{
	if (len == 0 || len >= HTTPSIG_NONCE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f || text[i] == '"' || text[i] == '\\')
			return false;
	return true;
}

void
auth_claim_nonce(struct http_call *call)
{
	const char *input = http_call_get(call, "signature-input");
	const char *plain = http_call_get(call, "mainstay-nonce");
	SCOPED(sfield_freep) struct sfield *field = NULL;
	const struct sfield_item *label;
	const struct sfield_param *nonce;

	if (!input) {
		if (plain && is_nonce(plain, strlen(plain)))
			(void)snprintf(call->nonce, sizeof(call->nonce), "%s", plain);
		return;
	}
	if (strlen(input) > HTTPSIG_FIELD_MAX ||
		sfield_parse(&field, SFIELD_DICTIONARY, input, strlen(input), SFIELD_RFC8941 | SFIELD_UNIQUE,
			"Signature-Input") != 0)
		return;
	label = sfield_get(field, "sig");
	nonce = label ? sfield_param(label, "nonce") : NULL;
	if (nonce && nonce->value.kind == SFIELD_STRING && is_nonce(nonce->value.text, nonce->value.len))
		(void)snprintf(call->nonce, sizeof(call->nonce), "%s", nonce->value.text);
}

struct lookup {
	struct databases *databases;
	struct auth_identity who;
	uint64_t not_after_us;
};

static int
find_key(const char *keyid, uint8_t ret_key[ED25519_KEY_LEN], void *arg)
{
	struct lookup *l = arg;
	int r = registry_key_get(l->databases, keyid, &l->who, &l->not_after_us);

	if (r == REASON_UNKNOWN_KEY)
		return REFUSE(REASON_UNKNOWN_KEY, keyid, "signs no requests here");
	if (r < 0)
		return FAULT(r);
	memcpy(ret_key, l->who.key, ED25519_KEY_LEN);
	return 0;
}

/* Remember the nonce and that the site spoke, in one transaction: one wait for the disk a request. */
static int
note_use(struct databases *d, const struct httpsig_verified *v, const struct auth_identity *who,
	uint64_t now_us)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r;

	r = db_begin(databases_fleet(d));
	if (r < 0)
		return FAULT(r);
	tx = databases_fleet(d);
	r = auth_nonce_use(d, v->keyid, v->nonce, (v->expires_s + HTTPSIG_EARLY_S) * CLOCK_US_PER_S);
	if (r == 0 && who->kind == AUTH_SITE)
		r = registry_site_seen(d, who->site, now_us, who->clock_offset_ms);
	if (r != 0)
		return FAULT(r);
	return db_commit(STEAL(tx));
}

int
auth_check(struct http_call *call, struct databases *d, const char *authority)
{
	const char *host = http_call_get(call, "host");
	uint64_t now_us = clock_now_us();
	struct lookup l = { .databases = d };
	struct httpsig_verified v;
	struct httpsig_message m = {
		.method = call->method,
		.scheme = "https",
		.authority = host,
		.target = call->target,
		.headers = call->headers,
		.n_headers = call->n_headers,
	};
	int r;

	r = httpsig_verify_request(&v, &m, call->body_len > 0, now_us, find_key, &l);
	if (r != 0)
		return FAULT(r);
	if (!host || strcasecmp(host, authority) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, v.keyid, "the request is signed for another host");
	if (l.not_after_us <= now_us)
		return REFUSE(REASON_EXPIRED, v.keyid, "the key's time is over");
	l.who.clock_offset_ms = (int64_t)(v.created_s * 1000) - (int64_t)(now_us / CLOCK_US_PER_MS);
	r = note_use(d, &v, &l.who, now_us);
	if (r == 0 && call->body_len > 0)
		r = httpsig_check_body(&m, call->body, call->body_len);
	if (r != 0)
		return FAULT(r);
	call->who = l.who;
	return 0;
}

int
auth_http_status(int reason)
{
	switch (reason) {
	case REASON_REPLAYED:
		return 409;
	case REASON_TOO_LARGE:
		return 400;
	default:
		return 401;
	}
}

int
auth_nonce_use(struct databases *d, const char *keyid, const char *nonce, uint64_t expires_us)
{
	struct db *db = databases_fleet(d);
	int r;

	r = db_exec(db, "INSERT OR IGNORE INTO nonces(keyid, nonce, expires) VALUES(?1, ?2, ?3)", "tti", keyid,
		nonce, (int64_t)expires_us);
	if (r < 0)
		return FAULT(r);
	if (db_changes(db) == 0)
		return REFUSE(REASON_REPLAYED, keyid, "this nonce was used before");
	return 0;
}

int
auth_nonce_sweep(struct databases *d, uint64_t now_us)
{
	int r = db_exec(databases_fleet(d), "DELETE FROM nonces WHERE expires < ?1", "i", (int64_t)now_us);

	return r < 0 ? FAULT(r) : 0;
}

bool
auth_covers(const struct auth_identity *who, const char *customer)
{
	char want[72];

	if (who->kind != AUTH_ENGINEER)
		return false;
	(void)snprintf(want, sizeof(want), ",%s,", customer);
	return strstr(who->customers, ",*,") != NULL || strstr(who->customers, want) != NULL;
}
