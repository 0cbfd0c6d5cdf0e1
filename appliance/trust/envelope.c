#include "appliance/trust/envelope.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshsig.h"

enum { SIG_TEXT_MAX = 8192 };

struct envelope *
envelope_free(struct envelope *e)
{
	if (!e)
		return NULL;
	json_decref(e->payload);
	json_decref(e->text);
	free(e->bytes);
	free(e);
	return NULL;
}

static int
read_payload(struct envelope *e, const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(message_payload_max(e->type));
	const char *word = message_word(e->type);
	size_t len = strlen(text);
	int r;

	if (!hex_unbase64(&b, text, len)) {
		if (buf_error(&b) == -EMSGSIZE)
			return REFUSE(REASON_TOO_LARGE, word, "payload over %zu bytes",
				message_payload_max(e->type));
		return buf_error(&b) ? FAULT(buf_error(&b))
				     : REFUSE(REASON_MALFORMED, word, "payload is not base64");
	}
	r = json_read_canonical(&e->payload, buf_text(&b), b.len, message_payload_max(e->type),
		word);
	if (r)
		return FAULT(r);
	if (!json_is_object(e->payload))
		return REFUSE(REASON_MALFORMED, word, "payload is no object");
	sha256_of(e->sha256, b.data, b.len);
	e->len = b.len;
	e->bytes = STEAL(b.data);
	b = BUF_MAX(0);
	return 0;
}

static int
read_sigs(struct envelope *e, const json_t *sigs)
{
	static const struct json_field fields[] = {
		{ "keyid", JSON_KIND_TEXT, false, 0, 64 },
		{ "sig", JSON_KIND_TEXT, false, sizeof(char *), SIG_TEXT_MAX },
	};
	const char *word = message_word(e->type);
	uint8_t id[32];
	json_t *item;
	size_t i;
	int r;

	if (json_array_size(sigs) > ENVELOPE_SIGS_MAX)
		return REFUSE(REASON_TOO_LARGE, word, "more than %d signatures", ENVELOPE_SIGS_MAX);
	if (!json_array_size(sigs))
		return REFUSE(REASON_UNSIGNED, word, "no signature");
	json_array_foreach(sigs, i, item) {
		struct {
			const char *keyid, *sig;
		} f = { 0 };

		r = json_members(item, fields, ARRAY_LEN(fields), &f, word);
		if (r)
			return FAULT(r);
		if (!hex_decode(id, sizeof(id), f.keyid))
			return REFUSE(REASON_MALFORMED, word, "keyid is not 64 hex digits");
		for (size_t j = 0; j < e->n_sigs; j++) {
			if (!strcmp(e->sigs[j].keyid, f.keyid))
				return REFUSE(REASON_MALFORMED, word, "two signatures by key %.16s",
					f.keyid);
		}
		memcpy(e->sigs[e->n_sigs].keyid, f.keyid, sizeof(e->sigs[0].keyid));
		e->sigs[e->n_sigs++].sig = f.sig;
	}
	return 0;
}

int
envelope_open_json(struct envelope **ret, enum message type, const json_t *obj)
{
	static const struct json_field fields[] = {
		{ "payload", JSON_KIND_ANY, false, 0, 0 },
		{ "sigs", JSON_KIND_ARRAY, false, sizeof(json_t *), ENVELOPE_SIGS_MAX + 1 },
	};
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct {
		json_t *payload, *sigs;
	} f = { 0 };
	int r;

	r = json_members(obj, fields, ARRAY_LEN(fields), &f, message_word(type));
	if (r)
		return FAULT(r);
	if (!json_is_string(f.payload))
		return REFUSE(REASON_MALFORMED, message_word(type), "payload is no text");
	e = calloc(1, sizeof(*e));
	if (!e)
		return FAULT(-ENOMEM);
	e->type = type;
	e->text = json_incref((json_t *)obj);
	r = read_payload(e, json_string_value(f.payload));
	if (r == 0)
		r = read_sigs(e, f.sigs);
	if (r)
		return FAULT(r);
	*ret = STEAL(e);
	return 0;
}

int
envelope_open(struct envelope **ret, enum message type, const void *p, size_t len)
{
	SCOPED_JSON *obj = NULL;
	int r;

	r = json_read(&obj, p, len, message_envelope_max(type), message_word(type));
	if (r)
		return FAULT(r);
	return envelope_open_json(ret, type, obj);
}

static const struct envelope_sig *
find_sig(const struct envelope *e, const char *keyid)
{
	for (size_t i = 0; i < e->n_sigs; i++) {
		if (!strcmp(e->sigs[i].keyid, keyid))
			return &e->sigs[i];
	}
	return NULL;
}

/* What a daemon signs: namespace NUL payload. */
static void
signed_bytes(struct buf *out, enum message type, const void *p, size_t len)
{
	buf_puts(out, message_namespace(type));
	buf_u8(out, 0);
	buf_put(out, p, len);
}

int
envelope_verify_daemon(const struct envelope *e, const uint8_t key[ED25519_KEY_LEN])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(message_payload_max(e->type) + 64);
	char keyid[ED25519_KEYID_MAX];
	uint8_t sig[ED25519_SIG_LEN];
	const struct envelope_sig *s;

	s = find_sig(e, ed25519_keyid_of(keyid, key));
	if (!s)
		return REFUSE(REASON_UNKNOWN_KEY, message_word(e->type), "not signed by key %.16s",
			keyid);
	signed_bytes(&b, e->type, e->bytes, e->len);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	errno = 0;
	if (!hex_decode(sig, sizeof(sig), s->sig) || !ed25519_verify(key, b.data, b.len, sig))
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_BAD_SIGNATURE, message_word(e->type),
			"signature by key %.16s is wrong", keyid);
	return 0;
}

static int
person_blob(struct buf *out, const struct envelope *e, const struct envelope_sig *s)
{
	if (!hex_unbase64(out, s->sig, strlen(s->sig)))
		return buf_error(out) == -ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, message_word(e->type),
			"signature by %.16s is not base64", s->keyid);
	return 0;
}

int
envelope_verify_person(const struct envelope *e, const struct sshkey_public *key)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);
	const struct envelope_sig *s = find_sig(e, key->keyid);
	int r;

	if (!s)
		return REFUSE(REASON_UNKNOWN_KEY, message_word(e->type), "not signed by key %.16s",
			key->keyid);
	r = person_blob(&b, e, s);
	if (r)
		return FAULT(r);
	return sshsig_verify(b.data, b.len, key, message_namespace(e->type), e->bytes, e->len,
		message_word(e->type));
}

int
envelope_claimed_key(const struct envelope *e, size_t i, struct sshkey_public *ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);
	struct sshsig sig;
	int r;

	r = person_blob(&b, e, &e->sigs[i]);
	if (r)
		return FAULT(r);
	r = sshsig_parse(&sig, b.data, b.len, message_word(e->type));
	if (r)
		return FAULT(r);
	if (strcmp(sig.key.keyid, e->sigs[i].keyid))
		return REFUSE(REASON_MALFORMED, message_word(e->type),
			"keyid %.16s is not its signature's key", e->sigs[i].keyid);
	*ret = sig.key;
	return 0;
}

int
envelope_claimed_message(const struct envelope *e, size_t i)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SSHSIG_BLOB_MAX);
	struct sshsig sig;
	enum message claimed;
	int r;

	if (i >= e->n_sigs)
		return (int)e->type;
	r = person_blob(&b, e, &e->sigs[i]);
	r = r ?: sshsig_parse(&sig, b.data, b.len, message_word(e->type));
	if (r < 0)
		return FAULT(r);
	claimed = r ? MESSAGE_MAX : message_of(sig.name_space);
	return (int)(claimed == MESSAGE_MAX ? e->type : claimed);
}

/* --- making ----------------------------------------------------------------------------------- */
static int
payload_bytes(struct buf *out, enum message type, const json_t *payload)
{
	int r = json_canonical(out, payload);

	if (buf_error(out) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, message_word(type), "payload over %zu bytes",
			out->max);
	return FAULT(r ? r : buf_error(out));
}

static int
assemble(json_t **ret, const struct buf *payload, const char *keyid, const char *sig)
{
	SCOPED(buf_done) struct buf b64 = BUF_MAX(payload->len * 2 + 8);
	json_t *obj;

	hex_base64(&b64, payload->data, payload->len);
	if (buf_error(&b64))
		return FAULT(buf_error(&b64));
	obj = json_pack("{s:s, s:[{s:s, s:s}]}", "payload", buf_text(&b64), "sigs", "keyid", keyid,
		"sig", sig);
	if (!obj)
		return FAULT(-ENOMEM);
	*ret = obj;
	return 0;
}

static int
sign_daemon(char hex[2 * ED25519_SIG_LEN + 1], struct buf *body, enum message type, const json_t *payload,
	const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(message_payload_max(type) + 64);
	uint8_t sig[ED25519_SIG_LEN];
	int r;

	r = payload_bytes(body, type, payload);
	if (r)
		return FAULT(r);
	signed_bytes(&b, type, body->data, body->len);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	r = ed25519_sign(key, b.data, b.len, sig);
	if (r < 0)
		return FAULT(r);
	(void)hex_encode(hex, sig, sizeof(sig));
	return 0;
}

int
envelope_seal(json_t **ret, enum message type, const json_t *payload, const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(message_payload_max(type));
	char hex[2 * ED25519_SIG_LEN + 1];
	int r = sign_daemon(hex, &body, type, payload, key);

	return r ? FAULT(r) : assemble(ret, &body, ed25519_keyid(key), hex);
}

int
envelope_cosign(json_t *envelope, enum message type, const json_t *payload, const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(message_payload_max(type));
	char hex[2 * ED25519_SIG_LEN + 1];
	json_t *sig;
	int r = sign_daemon(hex, &body, type, payload, key);

	if (r)
		return FAULT(r);
	sig = json_pack("{s:s, s:s}", "keyid", ed25519_keyid(key), "sig", hex);
	return json_array_append_new(json_object_get(envelope, "sigs"), sig) < 0 ? FAULT(-ENOMEM) : 0;
}

int
envelope_seal_person(json_t **ret, enum message type, const json_t *payload,
	const struct sshkey_signer *signer)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(message_payload_max(type));
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
	SCOPED(buf_done) struct buf b64 = BUF_MAX(2 * SSHSIG_BLOB_MAX);
	int r;

	r = payload_bytes(&body, type, payload);
	if (r)
		return FAULT(r);
	r = sshsig_sign(&blob, signer, message_namespace(type), body.data, body.len);
	if (r)
		return FAULT(r);
	hex_base64(&b64, blob.data, blob.len);
	if (buf_error(&b64))
		return FAULT(buf_error(&b64));
	return assemble(ret, &body, sshkey_signer_public(signer)->keyid, buf_text(&b64));
}

int
envelope_digest(uint8_t out[32], const json_t *payload)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(8 * 1024 * 1024);
	int r;

	r = json_canonical(&b, payload);
	if (r)
		return FAULT(r);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	sha256_of(out, b.data, b.len);
	return 0;
}
