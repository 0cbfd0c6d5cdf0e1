#include "remote/request/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"

/* What json_members() fills before the two values that have no kind of their own are decoded. */
struct members {
	uint64_t v;
	struct request r;
	const char *epoch, *nonce;
};

#define MEMBER(n, k, m)                                                                            \
	{                                                                                          \
		.name = #n, .kind = (k), .offset = offsetof(struct members, n), .max = (m)         \
	}
#define FIELD(n, k, m)                                                                             \
	{                                                                                          \
		.name = #n, .kind = (k), .offset = offsetof(struct members, r.n), .max = (m)       \
	}

static const struct json_field fields[] = {
	MEMBER(v, JSON_KIND_U64, 1),
	FIELD(id, JSON_KIND_TEXT, REQUEST_ID_MAX),
	FIELD(site, JSON_KIND_TEXT, REQUEST_NAME_MAX),
	FIELD(customer, JSON_KIND_TEXT, REQUEST_NAME_MAX),
	FIELD(service, JSON_KIND_TEXT, REQUEST_NAME_MAX),
	FIELD(instance, JSON_KIND_TEXT, REQUEST_NAME_MAX),
	FIELD(operation, JSON_KIND_TEXT, REQUEST_NAME_MAX),
	FIELD(args, JSON_KIND_OBJECT, REQUEST_ARGS_MAX),
	FIELD(definition, JSON_KIND_SHA256, 0),
	FIELD(reason, JSON_KIND_TEXT, REQUEST_TEXT_MAX),
	FIELD(ticket, JSON_KIND_TEXT, REQUEST_TEXT_MAX),
	FIELD(engineer, JSON_KIND_TEXT, REQUEST_NAME_MAX),
	FIELD(people_version, JSON_KIND_U64, 0),
	MEMBER(epoch, JSON_KIND_TEXT, 2 * REQUEST_EPOCH_BYTES),
	{ .name = "not_before",
		.kind = JSON_KIND_TIME,
		.offset = offsetof(struct members, r.not_before_us) },
	{ .name = "expires",
		.kind = JSON_KIND_TIME,
		.offset = offsetof(struct members, r.expires_us) },
	MEMBER(nonce, JSON_KIND_TEXT, 2 * REQUEST_NONCE_BYTES),
};

bool
request_id_ok(const char *text)
{
	size_t n = 0;

	if (!text || text[0] == '-')
		return false;
	for (; text[n]; n++)
		if (n == REQUEST_ID_MAX ||
			!((text[n] >= 'a' && text[n] <= 'z') ||
				(text[n] >= '0' && text[n] <= '9') || text[n] == '-'))
			return false;
	return n > 0;
}

const char *
request_peek_id(const json_t *payload)
{
	const char *id = json_string_value(json_object_get(payload, "id"));

	return request_id_ok(id) ? id : NULL;
}

static int
check_text(const char *name, const json_t *value, const char *id)
{
	if (json_string_length(value) > REQUEST_ARG_MAX)
		return REFUSE(REASON_MALFORMED, id, "args: \"%s\": more than %d bytes", name,
			(int)REQUEST_ARG_MAX);
	for (const char *p = json_string_value(value); *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return REFUSE(REASON_MALFORMED, id,
				"args: \"%s\" holds a control character", name);
	return 0;
}

static int
check_args(const json_t *args, const char *id)
{
	const char *name;
	json_t *value, *obj;
	int r;

	memcpy(&obj, &args, sizeof(obj)); /* jansson's iterator takes no const object */
	json_object_foreach(obj, name, value) {
		if (!*name || strlen(name) > REQUEST_NAME_MAX)
			return REFUSE(REASON_MALFORMED, id, "args: a name of no or too many bytes");
		if (json_is_integer(value) || json_is_boolean(value))
			continue;
		if (!json_is_string(value))
			return REFUSE(REASON_MALFORMED, id,
				"args: \"%s\" must be text, a whole number, true or false", name);
		r = check_text(name, value, id);
		if (r)
			return r;
	}
	return 0;
}

static int
fill(struct request *r, const json_t *payload)
{
	struct members m = { 0 };
	int res = json_members(payload, fields, ARRAY_LEN(fields), &m, "request");

	if (res)
		return res;
	if (m.v != 1)
		return REFUSE(REASON_MALFORMED, "request", "version %llu is not 1",
			(unsigned long long)m.v);
	if (!request_id_ok(m.r.id))
		return REFUSE(REASON_MALFORMED, "request",
			"member \"id\": must be of a-z, 0-9 and '-'");
	if (!hex_decode(m.r.epoch, sizeof(m.r.epoch), m.epoch))
		return REFUSE(REASON_MALFORMED, m.r.id, "member \"epoch\": must be 32 hex digits");
	if (!hex_decode(m.r.nonce, sizeof(m.r.nonce), m.nonce))
		return REFUSE(REASON_MALFORMED, m.r.id, "member \"nonce\": must be 32 hex digits");
	res = check_args(m.r.args, m.r.id);
	if (res)
		return res;
	*r = m.r;
	return 0;
}

static int
from_json(struct request **ret, const json_t *payload, const uint8_t digest[32])
{
	SCOPED(request_freep) struct request *r = calloc(1, sizeof(*r));
	json_t *doc;
	int res;

	if (!r)
		return FAULT(-ENOMEM);
	memcpy(&doc, &payload, sizeof(doc));
	res = fill(r, payload);
	if (res)
		return res;
	r->doc = json_incref(doc);
	memcpy(r->digest, digest, sizeof(r->digest));
	*ret = STEAL(r);
	return 0;
}

int
request_parse(struct request **ret, const void *payload, size_t len)
{
	SCOPED_JSON *doc = NULL;
	uint8_t digest[SHA256_LEN];
	int r = json_read_canonical(&doc, payload, len, message_payload_max(MESSAGE_REQUEST),
		"request");

	if (r)
		return r;
	sha256_of(digest, payload, len);
	return from_json(ret, doc, digest);
}

int
request_from_envelope(struct request **ret, const struct envelope *e)
{
	return from_json(ret, e->payload, e->sha256);
}

struct request *
request_free(struct request *r)
{
	if (r) {
		json_decref(r->doc);
		free(r);
	}
	return NULL;
}

int
request_json(json_t **ret, const struct request *r)
{
	SCOPED_JSON *doc = json_object();
	json_t *args;
	int res;

	if (!doc)
		return FAULT(-ENOMEM);
	res = json_put_u64(doc, "v", 1);
	res = res ?: json_put_text(doc, "id", r->id);
	res = res ?: json_put_text(doc, "site", r->site);
	res = res ?: json_put_text(doc, "customer", r->customer);
	res = res ?: json_put_text(doc, "service", r->service);
	res = res ?: json_put_text(doc, "instance", r->instance);
	res = res ?: json_put_text(doc, "operation", r->operation);
	res = res ?: json_put_sha256(doc, "definition", r->definition);
	res = res ?: json_put_text(doc, "reason", r->reason);
	res = res ?: json_put_text(doc, "ticket", r->ticket);
	res = res ?: json_put_text(doc, "engineer", r->engineer);
	res = res ?: json_put_u64(doc, "people_version", r->people_version);
	res = res ?: json_put_hex(doc, "epoch", r->epoch, sizeof(r->epoch));
	res = res ?: json_put_time(doc, "not_before", r->not_before_us);
	res = res ?: json_put_time(doc, "expires", r->expires_us);
	res = res ?: json_put_hex(doc, "nonce", r->nonce, sizeof(r->nonce));
	if (res)
		return res;
	args = r->args ? json_copy_whole(r->args, JSON_DEEP) : json_object();
	if (json_object_set_new(doc, "args", args) < 0)
		return FAULT(-ENOMEM);
	*ret = STEAL(doc);
	return 0;
}
