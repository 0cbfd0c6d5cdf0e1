#include "appliance/trust/sshsig.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/armour.h"
#include "appliance/trust/sha256.h"

#define MAGIC "SSHSIG"
#define LABEL "SSH SIGNATURE"
#define SHA512 "sha512"

enum { VERSION = 1, MAGIC_LEN = sizeof(MAGIC) - 1, SIGNED_MAX = 256 };

static void
put_string(struct buf *out, const void *p, size_t len)
{
	buf_u32(out, (uint32_t)len);
	buf_put(out, p, len);
}

/* A short text without NUL; false where it is empty or does not fit. */
static bool
get_text(char *out, size_t size, struct cursor *c)
{
	struct cursor s = cursor_string(c);
	size_t len = cursor_left(&s);

	if (!len || len >= size || memchr(s.p, 0, len))
		return false;
	memcpy(out, s.p, len);
	out[len] = 0;
	return true;
}

int
sshsig_parse(struct sshsig *ret, const void *blob, size_t len, const char *operand)
{
	struct cursor c = CURSOR(blob, len);
	struct cursor key, reserved, sig;
	struct sshsig s = { 0 };
	const uint8_t *magic;
	uint32_t version;
	bool texts;
	int r;

	if (len > SSHSIG_BLOB_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "SSH signature over %d bytes",
			SSHSIG_BLOB_MAX);
	magic = cursor_bytes(&c, MAGIC_LEN);
	version = cursor_u32(&c);
	if (!magic || memcmp(magic, MAGIC, MAGIC_LEN))
		return REFUSE(REASON_MALFORMED, operand, "no SSH signature");
	if (version != VERSION)
		return REFUSE(REASON_MALFORMED, operand, "SSH signature of version %u", version);
	key = cursor_string(&c);
	texts = get_text(s.name_space, sizeof(s.name_space), &c);
	reserved = cursor_string(&c);
	texts = get_text(s.hash, sizeof(s.hash), &c) && texts;
	sig = cursor_string(&c);
	if (!cursor_done(&c))
		return REFUSE(REASON_MALFORMED, operand,
			"SSH signature is cut short or has bytes left over");
	if (!texts || cursor_left(&reserved))
		return REFUSE(REASON_MALFORMED, operand,
			"SSH signature with an odd namespace, hash or reserved field");
	if (strcmp(s.hash, "sha256") && strcmp(s.hash, SHA512))
		return REFUSE(REASON_MALFORMED, operand,
			"SSH signature over neither sha256 nor sha512");
	r = sshkey_parse_blob(&s.key, key.p, cursor_left(&key), operand);
	if (r)
		return FAULT(r);
	s.sig = sig.p;
	s.sig_len = cursor_left(&sig);
	*ret = s;
	return 0;
}

static void
signed_bytes(struct buf *out, const char *name_space, const char *hash, const void *p, size_t len)
{
	uint8_t digest[SHA512_LEN];
	bool is512 = !strcmp(hash, SHA512);

	if (is512)
		sha256_sha512_of(digest, p, len);
	else
		sha256_of(digest, p, len);
	buf_put(out, MAGIC, MAGIC_LEN);
	put_string(out, name_space, strlen(name_space));
	put_string(out, "", 0);
	put_string(out, hash, strlen(hash));
	put_string(out, digest, is512 ? SHA512_LEN : SHA256_LEN);
}

int
sshsig_verify(const void *blob, size_t blob_len, const struct sshkey_public *key,
	const char *name_space, const void *p, size_t len, const char *operand)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SIGNED_MAX);
	struct sshsig s;
	int r;

	r = sshsig_parse(&s, blob, blob_len, operand);
	if (r)
		return FAULT(r);
	if (!sshkey_same(&s.key, key))
		return REFUSE(REASON_UNKNOWN_KEY, operand, "signed by key %.16s, not by %.16s",
			s.key.keyid, key->keyid);
	if (strcmp(s.name_space, name_space))
		return REFUSE(REASON_BAD_SIGNATURE, operand,
			"signature is for \"%s\", not for \"%s\"", s.name_space, name_space);
	signed_bytes(&b, s.name_space, s.hash, p, len);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	return sshkey_verify(key, s.sig, s.sig_len, b.data, b.len, operand);
}

int
sshsig_sign(struct buf *out, const struct sshkey_signer *signer, const char *name_space,
	const void *p, size_t len)
{
	const struct sshkey_public *key = sshkey_signer_public(signer);
	SCOPED(buf_done) struct buf b = BUF_MAX(SIGNED_MAX);
	SCOPED(buf_done) struct buf sig = BUF_MAX(SSHKEY_SIG_MAX);
	int r;

	signed_bytes(&b, name_space, SHA512, p, len);
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	r = sshkey_signer_sign(signer, b.data, b.len, &sig);
	if (r)
		return FAULT(r);
	buf_put(out, MAGIC, MAGIC_LEN);
	buf_u32(out, VERSION);
	put_string(out, key->blob, key->blob_len);
	put_string(out, name_space, strlen(name_space));
	put_string(out, "", 0);
	put_string(out, SHA512, strlen(SHA512));
	put_string(out, sig.data, sig.len);
	return FAULT(buf_error(out));
}

void
sshsig_armour(struct buf *out, const void *blob, size_t len)
{
	armour_write(out, LABEL, blob, len);
}

int
sshsig_dearmour(struct buf *out, const void *text, size_t len, const char *operand)
{
	if (len > SSHSIG_ARMOUR_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "SSH signature over %d bytes",
			SSHSIG_ARMOUR_MAX);
	errno = 0;
	if (!armour_read(out, LABEL, text, len))
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_MALFORMED, operand, "no armoured SSH signature");
	return 0;
}
