#include "appliance/serve/auth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/httpsig.h"

static const char *const fleet_steps[] = {
	"CREATE TABLE nonces("
	"  keyid TEXT NOT NULL, nonce TEXT NOT NULL, expires INTEGER NOT NULL,"
	"  PRIMARY KEY(keyid, nonce)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX nonces_by_expiry ON nonces(expires);",
	"CREATE TABLE nonces_swept(one INTEGER PRIMARY KEY CHECK(one = 1), until INTEGER NOT NULL) STRICT;",
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
	const struct httpsig_message m = { .headers = call->headers, .n_headers = call->n_headers };
	const char *plain = http_call_get(call, "mainstay-nonce");
	char nonce[HTTPSIG_NONCE_MAX];

	if (http_call_get(call, "signature-input"))
		plain = httpsig_claimed_nonce(nonce, &m);
	if (plain && is_nonce(plain, strlen(plain)))
		(void)snprintf(call->nonce, sizeof(call->nonce), "%s", plain);
}

/* --- the clock of signatures ----------------------------------------------------------------------------- */
/* Where the wall clock went back behind what was forgotten, time goes on from there by the clock that cannot. */
static struct {
	uint64_t until_us; /* 0: it did not */
	uint64_t mono_us;
} held;

int
auth_now_us(struct databases *d, uint64_t *ret_us)
{
	uint64_t now_us = clock_now_us(), mono_us = clock_mono_us(), held_us;
	int64_t until = 0;
	int r = db_number(databases_fleet(d), &until, 0, "SELECT until FROM nonces_swept", "");

	if (r < 0)
		return FAULT(r);
	if ((uint64_t)until <= now_us) {
		held.until_us = 0;
		*ret_us = now_us;
		return 0;
	}
	held_us = held.until_us ? held.until_us + (mono_us - held.mono_us) : 0;
	if (held_us < (uint64_t)until) {
		log_warning("the clock went back behind signatures already taken: they are judged by %llu ms later",
			(unsigned long long)(((uint64_t)until - now_us) / CLOCK_US_PER_MS));
		held.until_us = held_us = (uint64_t)until;
		held.mono_us = mono_us;
	}
	*ret_us = held_us > now_us ? held_us : now_us;
	return 0;
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

/* authority is without the default port, which a client may name all the same. */
static bool
is_authority(const char *host, const char *authority)
{
	const char *port = strrchr(authority, ':');
	bool bare = !port || strchr(port, ']');
	size_t len = strlen(authority);

	return strncasecmp(host, authority, len) == 0 &&
		(host[len] == '\0' || (bare && strcmp(host + len, ":443") == 0));
}

int
auth_check(struct http_call *call, struct databases *d, const char *authority)
{
	const char *host = http_call_get(call, "host");
	uint64_t now_us = clock_now_us(), sig_us;
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
	int r = auth_now_us(d, &sig_us);

	r = r ?: httpsig_verify_request(&v, &m, call->body_len > 0, sig_us, find_key, &l);
	if (r != 0)
		return FAULT(r);
	if (!host || !is_authority(host, authority))
		return REFUSE(REASON_WRONG_ADDRESSEE, v.keyid, "the request is signed for another host");
	/* By the time that never goes back: a clock that is set back prolongs no login. */
	if (l.not_after_us <= sig_us)
		return REFUSE(REASON_EXPIRED, v.keyid, "the key's time is over");
	l.who.clock_offset_ms = (int64_t)(v.created_s * 1000) - (int64_t)(sig_us / CLOCK_US_PER_MS);
	r = note_use(d, &v, &l.who, now_us);
	if (r == 0 && call->body_len > 0)
		r = httpsig_check_body(&m, call->body, call->body_len);
	if (r != 0)
		return FAULT(r);
	call->who = l.who;
	return 0;
}

int
auth_still(const struct http_call *call, struct databases *d)
{
	struct auth_identity who;
	uint64_t not_after_us, now_us;
	int r = registry_key_get(d, call->who.keyid, &who, &not_after_us);

	if (r < 0)
		return FAULT(r);
	if (r > 0 || who.kind != call->who.kind || strcmp(who.site, call->who.site) != 0 ||
		strcmp(who.engineer, call->who.engineer) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, call->who.keyid, "signs no requests here any more");
	r = auth_now_us(d, &now_us);
	if (r < 0)
		return FAULT(r);
	if (not_after_us <= now_us)
		return REFUSE(REASON_EXPIRED, call->who.keyid, "the key's time ran out while it waited");
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

/* What is forgotten and until when stands in one transaction: there is no moment at which a nonce is gone and its
 * signature could still be taken. */
int
auth_nonce_sweep(struct databases *d, uint64_t now_us)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	struct db *db = databases_fleet(d);
	int64_t until = 0;
	int r;

	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	r = db_number(db, &until, 0, "SELECT coalesce(max(expires), 0) FROM nonces WHERE expires < ?1", "i",
		(int64_t)now_us);
	if (r == 0 && until == 0)
		return 0; /* nothing is old */
	if (r == 0)
		r = db_exec(db, "DELETE FROM nonces WHERE expires < ?1", "i", (int64_t)now_us);
	if (r == 0)
		r = db_exec(db,
			"INSERT INTO nonces_swept(one, until) VALUES(1, ?1)"
			" ON CONFLICT(one) DO UPDATE SET until = max(until, excluded.until)",
			"i", until);
	if (r < 0)
		return FAULT(r);
	return db_commit(STEAL(tx));
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
