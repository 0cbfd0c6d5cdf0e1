#include "appliance/audit/audit.h"

#include <errno.h>

#include "appliance/audit/audit_inside.h"
#include "appliance/audit/audit_scan.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/base/fault.h"
#include "appliance/trust/sha256.h"

enum { EXTRA_MAX = 64 };

static const char *const kinds[AUDIT_KIND_MAX + 1] = {
	[AUDIT_ENROL] = "enrol",
	[AUDIT_SWITCH] = "switch",
	[AUDIT_POLICY] = "policy",
	[AUDIT_REQUEST] = "request",
	[AUDIT_REFUSE] = "refuse",
	[AUDIT_PERMIT] = "permit",
	[AUDIT_DENY] = "deny",
	[AUDIT_START] = "start",
	[AUDIT_END] = "end",
	[AUDIT_UPDATE] = "update",
	[AUDIT_ACTIVATE] = "activate",
	[AUDIT_ROLLBACK] = "rollback",
	[AUDIT_SERVICE] = "service",
	[AUDIT_ALERT] = "alert",
	[AUDIT_LEAVE] = "leave",
	[AUDIT_ACCEPT] = "accept",
	[AUDIT_CANCEL] = "cancel",
	[AUDIT_ROTATE] = "rotate",
	[AUDIT_CLONE] = "clone",
	[AUDIT_KIND_MAX] = "erased",
};

const char *
audit_kind_name(enum audit_kind kind)
{
	return kinds[kind];
}

enum audit_kind
audit_kind_of(const char *name)
{
	size_t i = 0;

	while (i < AUDIT_KIND_MAX && strcmp(kinds[i], name))
		i++;
	return (enum audit_kind)i;
}

struct fields {
	uint64_t n, time_us;
	const char *kind, *actor, *object, *digest, *reason, *salt;
	json_t *extra;
};

static const struct json_field table[] = {
	{ "n", JSON_KIND_U64, false, offsetof(struct fields, n), 0 },
	{ "time", JSON_KIND_TIME, false, offsetof(struct fields, time_us), 0 },
	{ "kind", JSON_KIND_TEXT, false, offsetof(struct fields, kind), 32 },
	{ "actor", JSON_KIND_TEXT0, false, offsetof(struct fields, actor), AUDIT_ACTOR_MAX },
	{ "object", JSON_KIND_TEXT0, false, offsetof(struct fields, object), AUDIT_OBJECT_MAX },
	{ "digest", JSON_KIND_TEXT0, false, offsetof(struct fields, digest), SHA256_TEXT_MAX },
	{ "reason", JSON_KIND_TEXT0, false, offsetof(struct fields, reason), 32 },
	{ "salt", JSON_KIND_TEXT, false, offsetof(struct fields, salt), 2 * AUDIT_SALT_BYTES },
	{ "extra", JSON_KIND_OBJECT, true, offsetof(struct fields, extra), EXTRA_MAX },
};

int
audit_entry_parse(struct audit_entry *ret, json_t **ret_doc, const void *p, size_t len)
{
	SCOPED_JSON *doc = NULL;
	struct fields f = { 0 };
	uint8_t digest[32];
	int r;

	r = json_read_canonical(&doc, p, len, AUDIT_ENTRY_MAX, "audit entry");
	if (r == 0)
		r = json_members(doc, table, ARRAY_LEN(table), &f, "audit entry");
	if (r)
		return FAULT(r);
	if (audit_kind_of(f.kind) == AUDIT_KIND_MAX)
		return REFUSE(REASON_MALFORMED, "audit entry", "unknown kind \"%s\"", f.kind);
	if (*f.digest && !sha256_parse(digest, f.digest))
		return REFUSE(REASON_MALFORMED, "audit entry", "digest is not sha256:HEX");
	if (*f.reason && refuse_reason(f.reason) == REASON_NONE)
		return REFUSE(REASON_MALFORMED, "audit entry", "unknown reason \"%s\"", f.reason);
	*ret = (struct audit_entry){
		.n = f.n,
		.time_us = f.time_us,
		.kind = audit_kind_of(f.kind),
		.actor = f.actor,
		.object = f.object,
		.digest = f.digest,
		.reason = f.reason,
		.json = doc,
		.bytes = p,
		.len = len,
	};
	*ret_doc = STEAL(doc);
	return 0;
}

/* --- making ----------------------------------------------------------------------------------- */
static int
put_members(json_t *e, uint64_t n, const struct audit_leaf *l)
{
	char digest_text[SHA256_TEXT_MAX] = "";
	uint8_t salt[AUDIT_SALT_BYTES];
	int r;

	fs_random(salt, sizeof(salt));
	if (l->digest)
		sha256_text(digest_text, l->digest);
	r = json_put_u64(e, "n", n);
	r = r ?: json_put_time(e, "time", clock_now_us());
	r = r ?: json_put_text(e, "kind", audit_kind_name(l->kind));
	r = r ?: json_put_text(e, "actor", l->actor ? l->actor : "");
	r = r ?: json_put_text(e, "object", l->object ? l->object : "");
	r = r ?: json_put_text(e, "digest", digest_text);
	r = r
		?: json_put_text(e, "reason",
			   l->reason == REASON_NONE ? "" : refuse_token(l->reason));
	return FAULT(r ?: json_put_hex(e, "salt", salt, sizeof(salt)));
}

int
audit_entry_make(struct buf *out, uint64_t n, const struct audit_leaf *l)
{
	SCOPED_JSON *e = json_object(), *doc = NULL;
	struct audit_entry parsed;
	struct audit_scan seen;
	int r = e ? put_members(e, n, l) : -ENOMEM;

	if (r == -EINVAL)
		return REFUSE(REASON_MALFORMED, "audit entry", "actor or object is not UTF-8");
	if (r)
		return FAULT(r);
	if (l->extra && json_object_set(e, "extra", (json_t *)l->extra) < 0)
		return FAULT(-ENOMEM);
	r = json_canonical(out, e);
	if (buf_error(out) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, "audit entry", "over %d bytes", AUDIT_ENTRY_MAX);
	/* What we could not read back must not be written. */
	if (r == 0 && audit_scan(&seen, out->data, out->len))
		return 0;
	return FAULT(r ?: audit_entry_parse(&parsed, &doc, out->data, out->len));
}
