#include "appliance/tuf/repo.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/metadata.h"

/* A key's id in TUF is that of its key object, not of its raw bytes. */
static int
key_id(char out[65], const struct ed25519 *key)
{
	SCOPED_JSON *obj = tuf_key_ed25519(ed25519_public(key));

	return obj ? tuf_key_id(out, obj) : FAULT(-ENOMEM);
}

static int
by_keyid(const void *a, const void *b)
{
	const struct tuf_sig *x = a, *y = b;

	return strcmp(x->keyid, y->keyid);
}

/* Put the signer's signature into s, which has room for it. */
static int
add_sig(struct tuf_split *s, const struct ed25519 *signer)
{
	uint8_t sig[ED25519_SIG_LEN];
	char hex[2 * ED25519_SIG_LEN + 1], id[65];
	struct tuf_sig *into = NULL;
	int r;

	r = key_id(id, signer);
	r = r ?: ed25519_sign(signer, s->canonical.data, s->canonical.len, sig);
	if (r)
		return FAULT(r);
	hex_encode(hex, sig, sizeof(sig));
	for (size_t i = 0; i < s->n_sigs; i++) {
		if (!strcmp(s->sigs[i].keyid, id))
			into = &s->sigs[i];
	}
	if (into) {
		free(into->sig);
	} else {
		into = &s->sigs[s->n_sigs++];
		into->keyid = strdup(id);
	}
	into->sig = strdup(hex);
	return into->keyid && into->sig ? 0 : FAULT(-ENOMEM);
}

static int
add_sigs(struct tuf_split *s, const struct ed25519 *const *signers, size_t n, struct buf *out)
{
	struct tuf_sig *more = reallocarray(s->sigs, s->n_sigs + n + 1, sizeof(*more));

	if (!more)
		return FAULT(-ENOMEM);
	s->sigs = more;
	memset(more + s->n_sigs, 0, (n + 1) * sizeof(*more));
	for (size_t i = 0; i < n; i++) {
		int r = add_sig(s, signers[i]);

		if (r)
			return r;
	}
	qsort(s->sigs, s->n_sigs, sizeof(*s->sigs), by_keyid);
	return tuf_split_document(s, out);
}

int
tuf_repo_sign(struct buf *out, const json_t *signed_, const struct ed25519 *const *signers,
	size_t n_signers)
{
	SCOPED(tuf_split_done) struct tuf_split s = { .canonical = BUF_MAX(TUF_TARGETS_MAX) };
	int r;

	r = json_canonical(&s.canonical, signed_);
	r = r ?: buf_error(&s.canonical);
	if (r)
		return r < 0 ? FAULT(r) : r;
	return add_sigs(&s, signers, n_signers, out);
}

int
tuf_repo_cosign(struct buf *out, const void *document, size_t len, const struct ed25519 *signer)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	int r;

	r = tuf_split(&s, document, len, TUF_TARGETS_MAX, "document");
	return r ?: add_sigs(&s, &signer, 1, out);
}

json_t *
tuf_repo_role(json_t *keys, const uint8_t (*raw)[32], size_t n, unsigned threshold)
{
	SCOPED_JSON *ids = json_array();
	json_t *role;

	for (size_t i = 0; i < n; i++) {
		SCOPED_JSON *key = tuf_key_ed25519(raw[i]);
		char id[65];

		if (!key || tuf_key_id(id, key) != 0 || json_object_set(keys, id, key) < 0 ||
			json_array_append_new(ids, json_string(id)) < 0)
			return NULL;
	}
	role = json_pack("{s:O, s:i}", "keyids", ids, "threshold", (int)threshold);
	return role;
}

json_t *
tuf_repo_new(const char *type, uint64_t version, uint64_t expires_us)
{
	char text[CLOCK_TEXT_MAX];

	return json_pack("{s:s, s:s, s:I, s:s}", "_type", type, "spec_version", "1.0.34", "version",
		(json_int_t)version, "expires", clock_format_s(text, expires_us));
}

json_t *
tuf_repo_meta(const void *p, size_t len, uint64_t version)
{
	uint8_t digest[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];
	json_t *meta;

	sha256_of(digest, p, len);
	meta = json_pack("{s:I, s:{s:s}}", "length", (json_int_t)len, "hashes", "sha256",
		hex_encode(hex, digest, sizeof(digest)));
	if (meta && version && json_put_u64(meta, "version", version) < 0) {
		json_decref(meta);
		return NULL;
	}
	return meta;
}
