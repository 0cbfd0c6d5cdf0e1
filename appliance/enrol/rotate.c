#include "appliance/enrol/rotate.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"

#define OPERAND "rotation"

enum { ANSWER_MAX = 1024 };

/* --- the message --------------------------------------------------------------------------------------- */
int
rotate_seal(json_t **ret, const char *site, const struct ed25519 *old_key, const struct ed25519 *new_key,
	uint64_t now_us)
{
	SCOPED_JSON *p = json_object(), *envelope = NULL;
	int r = p ? 0 : -ENOMEM;

	r = r ?: json_put_u64(p, "v", 1);
	r = r ?: json_put_text(p, "site", site);
	r = r ?: json_put_text(p, "old", ed25519_public_hex(old_key));
	r = r ?: json_put_text(p, "new", ed25519_public_hex(new_key));
	r = r ?: json_put_time(p, "time", now_us);
	r = r ?: envelope_seal(&envelope, MESSAGE_ROTATE, p, old_key);
	r = r ?: envelope_cosign(envelope, MESSAGE_ROTATE, p, new_key);
	if (r)
		return FAULT(r);
	*ret = STEAL(envelope);
	return 0;
}

struct fields {
	uint64_t v, time_us;
	const char *site;
	uint8_t old_key[32], new_key[32];
};

static const struct json_field table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct fields, site), TOKEN_NAME_MAX - 1 },
	{ "old", JSON_KIND_KEY, false, offsetof(struct fields, old_key), 0 },
	{ "new", JSON_KIND_KEY, false, offsetof(struct fields, new_key), 0 },
	{ "time", JSON_KIND_TIME, false, offsetof(struct fields, time_us), 0 },
};

int
rotate_open(struct rotate *ret, const json_t *envelope)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct fields f = { 0 };
	int r;

	r = envelope_open_json(&e, MESSAGE_ROTATE, envelope);
	r = r ?: json_members(e->payload, table, ARRAY_LEN(table), &f, OPERAND);
	if (r)
		return FAULT(r);
	if (f.v != 1 || e->n_sigs != 2 || !token_name_ok(f.site) || !memcmp(f.old_key, f.new_key, 32))
		return REFUSE(REASON_MALFORMED, OPERAND, "not of version 1, from one key to another, signed by both");
	r = ed25519_check_public(f.new_key, OPERAND);
	r = r ?: envelope_verify_daemon(e, f.old_key);
	r = r ?: envelope_verify_daemon(e, f.new_key);
	if (r)
		return FAULT(r);
	*ret = (struct rotate){ .time_us = f.time_us };
	memcpy(ret->site, f.site, strlen(f.site));
	memcpy(ret->old_key, f.old_key, sizeof(ret->old_key));
	memcpy(ret->new_key, f.new_key, sizeof(ret->new_key));
	return 0;
}

/* --- request and answer -------------------------------------------------------------------------------- */
struct request_fields {
	uint64_t v;
	json_t *rotation, *daemon;
};

static const struct json_field request_table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct request_fields, v), 1 },
	{ "rotation", JSON_KIND_OBJECT, false, offsetof(struct request_fields, rotation), 0 },
	{ "daemon", JSON_KIND_OBJECT, false, offsetof(struct request_fields, daemon), 0 },
};

int
rotate_request(struct buf *out, const json_t *rotation, const json_t *daemon)
{
	SCOPED_JSON *obj = json_pack("{s:i, s:O, s:O}", "v", 1, "rotation", rotation, "daemon", daemon);

	return obj ? FAULT(json_canonical(out, obj)) : FAULT(-ENOMEM);
}

int
rotate_request_read(json_t **ret_rotation, json_t **ret_daemon, const void *p, size_t len)
{
	SCOPED_JSON *obj = NULL;
	struct request_fields f = { 0 };
	int r;

	r = json_read(&obj, p, len, ROTATE_BODY_MAX, OPERAND);
	r = r ?: json_members(obj, request_table, ARRAY_LEN(request_table), &f, OPERAND);
	if (r)
		return FAULT(r);
	if (f.v != 1)
		return REFUSE(REASON_MALFORMED, OPERAND, "not of version 1");
	*ret_rotation = json_incref(f.rotation);
	*ret_daemon = json_incref(f.daemon);
	return 0;
}

struct answer_fields {
	uint64_t v;
	const char *site;
	uint8_t key[32];
};

static const struct json_field answer_table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct answer_fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct answer_fields, site), TOKEN_NAME_MAX - 1 },
	{ "key", JSON_KIND_KEY, false, offsetof(struct answer_fields, key), 0 },
};

int
rotate_answer(json_t **ret, const char *site, const uint8_t key[32])
{
	SCOPED_JSON *obj = json_object();
	int r = obj ? 0 : -ENOMEM;

	r = r ?: json_put_u64(obj, "v", 1);
	r = r ?: json_put_text(obj, "site", site);
	r = r ?: json_put_hex(obj, "key", key, 32);
	if (r)
		return FAULT(r);
	*ret = STEAL(obj);
	return 0;
}

int
rotate_answer_check(const void *p, size_t len, const char *site, const uint8_t key[32])
{
	SCOPED_JSON *obj = NULL;
	struct answer_fields f = { 0 };
	int r;

	r = json_read(&obj, p, len, ANSWER_MAX, "hub's answer");
	r = r ?: json_members(obj, answer_table, ARRAY_LEN(answer_table), &f, "hub's answer");
	if (r)
		return FAULT(r);
	if (f.v != 1 || strcmp(f.site, site) || memcmp(f.key, key, 32))
		return REFUSE(REASON_WRONG_ADDRESSEE, "hub's answer", "is about another key, or site %s", f.site);
	return 0;
}
