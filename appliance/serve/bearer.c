#include "appliance/serve/bearer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { ID = 8, SECRET = 32 };

static const char prefix[] = "otlp_";

static const char *const fleet_steps[] = {
	"CREATE TABLE bearers("
	"  id TEXT PRIMARY KEY, digest BLOB NOT NULL, customer TEXT NOT NULL, site TEXT NOT NULL,"
	"  created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0) "
	"STRICT;",
};
const struct db_migration bearer_fleet_migration = { "serve/bearer", fleet_steps,
	ARRAY_LEN(fleet_steps) };

/* --- the vendor's side ---------------------------------------------------------------------------------- */
int
bearer_mint(struct db *fleet, const char *customer, const char *site, uint64_t now_us,
	uint64_t expires_us, char out[BEARER_TEXT_MAX])
{
	uint8_t id[ID], secret[SECRET], digest[SHA256_LEN];
	char id_text[2 * ID + 1], secret_text[2 * SECRET + 1];
	int64_t n = 0;
	int r;

	r = db_number(fleet, &n, 0, "SELECT count(*) FROM sites WHERE site = ?1 AND customer = ?2",
		"tt", site, customer);
	if (r == 0 && n == 0)
		return REFUSE(REASON_NOT_FOUND, site, "no such site of %s has enrolled", customer);
	fs_random(id, sizeof(id));
	fs_random(secret, sizeof(secret));
	sha256_of(digest, secret, sizeof(secret));
	hex_encode(id_text, id, sizeof(id));
	if (r == 0)
		r = db_exec(fleet,
			"INSERT INTO bearers(id, digest, customer, site, created, expires) "
			"VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
			"tbttii", id_text, digest, sizeof(digest), customer, site, (int64_t)now_us,
			(int64_t)expires_us);
	if (r == 0)
		(void)snprintf(out, BEARER_TEXT_MAX, "%s%s_%s", prefix, id_text,
			hex_encode(secret_text, secret, sizeof(secret)));
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(secret_text, sizeof(secret_text));
	return r < 0 ? FAULT(r) : 0;
}

int
bearer_revoke(struct db *fleet, const char *id, uint64_t now_us)
{
	int r = db_exec(fleet,
		"UPDATE bearers SET revoked = CASE WHEN revoked = 0 THEN ?2 ELSE revoked END WHERE "
		"id = ?1",
		"ti", id, (int64_t)now_us);

	if (r < 0)
		return FAULT(r);
	return db_changes(fleet) == 0 ? REFUSE(REASON_NOT_FOUND, id, "there is no such token") : 0;
}

int
bearer_each(struct db *fleet, int (*each)(const struct bearer *b, void *arg), void *arg)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, fleet,
		"SELECT id, customer, site, created, expires, revoked FROM bearers ORDER BY "
		"created, id",
		"");
	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		const struct bearer b = { db_text(q, 0), db_text(q, 1), db_text(q, 2),
			(uint64_t)db_i64(q, 3), (uint64_t)db_i64(q, 4), (uint64_t)db_i64(q, 5) };

		r = each(&b, arg);
	}
	return r < 0 ? FAULT(r) : r;
}

/* --- a request ------------------------------------------------------------------------------------------ */
bool
bearer_offered(const struct http_call *call)
{
	return http_call_get(call, "authorization") != NULL;
}

/* "Bearer otlp_ID_SECRET": strict, in lower-case hex. */
static bool
parse(const char *header, char id[BEARER_ID_MAX], uint8_t digest[SHA256_LEN])
{
	uint8_t id_bytes[ID], secret[SECRET];
	const char *at = header;
	bool good;

	if (strncasecmp(at, "Bearer ", 7) != 0)
		return false;
	at += 7;
	if (strlen(at) != BEARER_TEXT_MAX - 1 || strncmp(at, prefix, sizeof(prefix) - 1) != 0)
		return false;
	at += sizeof(prefix) - 1;
	(void)snprintf(id, BEARER_ID_MAX, "%s", at);
	at += 2 * ID;
	good = hex_decode(id_bytes, sizeof(id_bytes), id) && *at == '_' &&
		hex_decode(secret, sizeof(secret), at + 1);
	if (good)
		sha256_of(digest, secret, sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	return good;
}

int
bearer_check(struct http_call *call, struct databases *d, uint64_t now_us)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	struct auth_identity who = { .kind = AUTH_SENDER };
	uint8_t digest[SHA256_LEN];
	char id[BEARER_ID_MAX];
	const void *known;
	size_t len;
	int r;

	if (!parse(http_call_get(call, "authorization"), id, digest))
		return REFUSE(REASON_MALFORMED, "Authorization", "is no Bearer token of this hub");
	r = db_query(&q, databases_fleet(d),
		"SELECT digest, customer, site, expires, revoked FROM bearers WHERE id = ?1", "t",
		id);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	known = r == DB_ROW ? db_blob(q, 0, &len) : NULL;
	/* One answer for both, so that nobody learns which ids there are. */
	if (!known || len != sizeof(digest) || !sha256_same(known, digest, sizeof(digest)))
		return REFUSE(REASON_UNKNOWN_KEY, id, "this hub gave no such token");
	if (db_i64(q, 4) != 0)
		return REFUSE(REASON_REVOKED, id, "the token was revoked");
	if ((uint64_t)db_i64(q, 3) <= now_us)
		return REFUSE(REASON_EXPIRED, id, "the token's time is over");
	(void)snprintf(who.keyid, sizeof(who.keyid), "%s", id);
	(void)snprintf(who.customer, sizeof(who.customer), "%s", db_text(q, 1));
	(void)snprintf(who.site, sizeof(who.site), "%s", db_text(q, 2));
	call->who = who;
	return 0;
}

int
bearer_sweep(struct databases *d, uint64_t now_us)
{
	int r = db_exec(databases_fleet(d), "DELETE FROM bearers WHERE expires < ?1", "i",
		(int64_t)(now_us - BEARER_KEEP_S * CLOCK_US_PER_S));

	return r < 0 ? FAULT(r) : 0;
}
