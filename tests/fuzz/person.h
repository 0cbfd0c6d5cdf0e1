/* A person whose SSH key a target has: what they sign is signed rightly, whatever it says. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/message.h"
#include "appliance/trust/sha256.h"
#include "appliance/trust/sshkey.h"

struct person {
	struct ed25519 *key;
	struct sshkey_public public;
	char line[SSHKEY_LINE_MAX]; /* "ssh-ed25519 AAAA..." */
};

static inline void
person_put_string(struct buf *out, const void *p, size_t len)
{
	buf_u32(out, (uint32_t)len);
	buf_put(out, p, len);
}

/* The one of this number; the same in every run. */
static inline void
person_make(struct person *ret, uint8_t number)
{
	uint8_t seed[32] = { number };
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHKEY_BLOB_MAX);

	if (ed25519_from_seed(&ret->key, seed) != 0)
		abort();
	person_put_string(&blob, "ssh-ed25519", 11);
	person_put_string(&blob, ed25519_public(ret->key), 32);
	if (sshkey_parse_blob(&ret->public, blob.data, blob.len, "person") != 0)
		abort();
	(void)sshkey_line(ret->line, &ret->public);
}

/* Append the SSHSIG blob that ssh-keygen -Y sign -n name makes over p. */
static inline void
person_sign(const struct person *who, const char *name, const void *p, size_t len, struct buf *out)
{
	SCOPED(buf_done) struct buf base = BUF_MAX(512), sig = BUF_MAX(128);
	uint8_t digest[SHA512_LEN], raw[ED25519_SIG_LEN];

	sha256_sha512_of(digest, p, len);
	buf_puts(&base, "SSHSIG");
	person_put_string(&base, name, strlen(name));
	person_put_string(&base, "", 0);
	person_put_string(&base, "sha512", 6);
	person_put_string(&base, digest, sizeof(digest));
	if (ed25519_sign(who->key, base.data, base.len, raw) != 0)
		abort();
	person_put_string(&sig, "ssh-ed25519", 11);
	person_put_string(&sig, raw, sizeof(raw));
	buf_puts(out, "SSHSIG");
	buf_u32(out, 1);
	person_put_string(out, who->public.blob, who->public.blob_len);
	person_put_string(out, name, strlen(name));
	person_put_string(out, "", 0);
	person_put_string(out, "sha512", 6);
	person_put_string(out, sig.data, sig.len);
}

/* Append the envelope of payload as they sign it. */
static inline void
person_seal(const struct person *who, enum message type, const json_t *payload, struct buf *out)
{
	SCOPED(buf_done) struct buf canonical = BUF_MAX(1 << 16), blob = BUF_MAX(1 << 12);

	if (json_canonical(&canonical, payload) != 0)
		abort();
	person_sign(who, message_namespace(type), canonical.data, canonical.len, &blob);
	buf_puts(out, "{\"payload\":\"");
	hex_base64(out, canonical.data, canonical.len);
	buf_printf(out, "\",\"sigs\":[{\"keyid\":\"%s\",\"sig\":\"", who->public.keyid);
	hex_base64(out, blob.data, blob.len);
	buf_puts(out, "\"}]}");
}
