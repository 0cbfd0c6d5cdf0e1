/* The profile, read: what a signature of a request or a reply says, and whether it holds. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/httpsig_profile.h"
#include "appliance/trust/sfield.h"
#include "appliance/trust/sha256.h"

struct parts {
	struct sfield *input, *signature;
	const struct sfield_item *covered; /* with the parameters */
	const uint8_t *sig;		   /* 64 bytes */
};

static void
parts_done(struct parts *p)
{
	sfield_free(p->input);
	sfield_free(p->signature);
}

static int
read_field(struct sfield **ret, const struct httpsig_message *m, const char *name)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(HTTPSIG_FIELD_MAX);
	size_t n = 0;
	int r;

	if (!httpsig_field(&text, m, name))
		return REFUSE(REASON_UNSIGNED, HTTPSIG_OPERAND, "no %s", name);
	if (buf_error(&text) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, HTTPSIG_OPERAND, "%s over %d bytes", name,
			HTTPSIG_FIELD_MAX);
	if (buf_error(&text))
		return FAULT(buf_error(&text));
	r = sfield_parse(ret, SFIELD_DICTIONARY, buf_text(&text), text.len,
		SFIELD_RFC8941 | SFIELD_UNIQUE, HTTPSIG_OPERAND);
	if (r)
		return FAULT(r);
	for (const struct sfield_item *i = (*ret)->items; i; i = i->next)
		n++;
	if (n > HTTPSIG_LABELS_MAX)
		return REFUSE(REASON_TOO_LARGE, HTTPSIG_OPERAND, "more than %d signatures",
			HTTPSIG_LABELS_MAX);
	return 0;
}

/* A text parameter; NULL where it is absent, no text, or not of 1..max-1 bytes. */
static const char *
text_param(const struct sfield_item *covered, const char *name, size_t max)
{
	const struct sfield_param *p = sfield_param(covered, name);

	if (!p || p->value.kind != SFIELD_STRING || !p->value.len || p->value.len >= max)
		return NULL;
	return p->value.text;
}

/* Labels are not covered by signatures and mean nothing: ours is the one with our tag.  NULL where there is none
 * from i on. */
static const struct sfield_item *
tagged(const struct sfield_item *i)
{
	for (; i; i = i->next) {
		const char *tag = text_param(i, "tag", sizeof(HTTPSIG_TAG));

		if (tag && !strcmp(tag, HTTPSIG_TAG))
			return i;
	}
	return NULL;
}

static int
read_parts(struct parts *ret, const struct httpsig_message *m)
{
	const struct sfield_item *sig;
	int r;

	r = read_field(&ret->input, m, "signature-input");
	if (r == 0)
		r = read_field(&ret->signature, m, "signature");
	if (r)
		return FAULT(r);
	ret->covered = tagged(ret->input->items);
	if (ret->covered && tagged(ret->covered->next))
		return REFUSE(REASON_MALFORMED, HTTPSIG_OPERAND,
			"two signatures with the tag " HTTPSIG_TAG);
	if (!ret->covered || ret->covered->value.kind != SFIELD_INNER)
		return REFUSE(REASON_UNSIGNED, HTTPSIG_OPERAND,
			"no signature with the tag " HTTPSIG_TAG);
	sig = sfield_get(ret->signature, ret->covered->key);
	if (!sig || sig->value.kind != SFIELD_BYTES || sig->value.len != ED25519_SIG_LEN)
		return REFUSE(REASON_MALFORMED, HTTPSIG_OPERAND,
			"no 64 bytes of signature for that tag");
	ret->sig = (const uint8_t *)sig->value.text;
	return 0;
}

static int
time_param(uint64_t *ret, const struct sfield_item *covered, const char *name)
{
	const struct sfield_param *p = sfield_param(covered, name);

	if (!p || p->value.kind != SFIELD_INTEGER || p->value.number < 0)
		return REFUSE(REASON_MALFORMED, HTTPSIG_OPERAND,
			"parameter \"%s\" is missing or no time", name);
	*ret = (uint64_t)p->value.number;
	return 0;
}

static int
check_alg(const struct sfield_item *covered)
{
	const struct sfield_param *alg = sfield_param(covered, "alg");

	if (alg && (alg->value.kind != SFIELD_STRING || strcmp(alg->value.text, HTTPSIG_ALG)))
		return REFUSE(REASON_BAD_SIGNATURE, HTTPSIG_OPERAND,
			"algorithm is not " HTTPSIG_ALG);
	return 0;
}

static int
read_params(struct httpsig_verified *v, const struct sfield_item *covered)
{
	const char *nonce = text_param(covered, "nonce", HTTPSIG_NONCE_MAX);
	const char *keyid = text_param(covered, "keyid", ED25519_KEYID_MAX);
	uint8_t id[SHA256_LEN];
	int r;

	if (!nonce || !keyid || !hex_decode(id, sizeof(id), keyid))
		return REFUSE(REASON_MALFORMED, HTTPSIG_OPERAND,
			"parameter \"nonce\" or \"keyid\" is missing or odd");
	memcpy(v->nonce, nonce, strlen(nonce) + 1);
	memcpy(v->keyid, keyid, sizeof(v->keyid));
	r = time_param(&v->created_s, covered, "created");
	if (r == 0)
		r = check_alg(covered);
	return FAULT(r);
}

static int
check_times(struct httpsig_verified *v, const struct sfield_item *covered, uint64_t now_us)
{
	uint64_t now_s = now_us / CLOCK_US_PER_S;
	int r;

	r = time_param(&v->expires_s, covered, "expires");
	if (r)
		return FAULT(r);
	if (v->expires_s < v->created_s || v->expires_s - v->created_s > HTTPSIG_LIFE_S)
		return REFUSE(REASON_MALFORMED, HTTPSIG_OPERAND, "lives longer than %d s",
			HTTPSIG_LIFE_S);
	if (v->created_s > now_s + HTTPSIG_EARLY_S)
		return REFUSE(REASON_NOT_YET_VALID, HTTPSIG_OPERAND,
			"made %llu s from now by our clock",
			(unsigned long long)(v->created_s - now_s));
	if (v->expires_s <= now_s)
		return REFUSE(REASON_EXPIRED, HTTPSIG_OPERAND, "expired %llu s ago by our clock",
			(unsigned long long)(now_s - v->expires_s));
	return 0;
}

static bool
covers(const struct sfield_item *covered, const char *name)
{
	for (const struct sfield_item *i = covered->items; i; i = i->next) {
		if (i->value.kind == SFIELD_STRING && !i->params && !strcmp(i->value.text, name))
			return true;
	}
	return false;
}

static int
check_covered(const struct sfield_item *covered, const struct httpsig_rule *rules,
	const struct httpsig_message *m, bool has_body)
{
	for (; rules->name; rules++) {
		bool needed = rules->always || httpsig_profile_has(m, rules->name) ||
			(has_body && !strcmp(rules->name, "content-digest"));

		if (needed && !covers(covered, rules->name))
			return REFUSE(REASON_UNSIGNED, HTTPSIG_OPERAND, "does not cover \"%s\"",
				rules->name);
	}
	return 0;
}

static int
check_signature(const struct parts *p, const struct httpsig_message *m,
	const uint8_t key[ED25519_KEY_LEN])
{
	SCOPED(buf_done) struct buf base = BUF_MAX(HTTPSIG_BASE_MAX);
	int r;

	r = httpsig_base(&base, m, p->covered);
	if (r)
		return FAULT(r);
	if (ed25519_verify(key, base.data, base.len, p->sig))
		return 0;
	return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_BAD_SIGNATURE, HTTPSIG_OPERAND, "is wrong");
}

int
httpsig_verify_request(struct httpsig_verified *ret, const struct httpsig_message *m, bool has_body,
	uint64_t now_us, httpsig_key_fn *find, void *arg)
{
	SCOPED(parts_done) struct parts p = { 0 };
	struct httpsig_verified v = { 0 };
	char keyid[ED25519_KEYID_MAX];
	int r;

	r = read_parts(&p, m);
	if (r == 0)
		r = read_params(&v, p.covered);
	if (r == 0)
		r = check_times(&v, p.covered, now_us);
	if (r == 0)
		r = check_covered(p.covered, httpsig_profile_request, m, has_body);
	if (r == 0)
		r = find(v.keyid, v.key, arg);
	if (r)
		return FAULT(r);
	if (strcmp(ed25519_keyid_of(keyid, v.key), v.keyid))
		return REFUSE(REASON_UNKNOWN_KEY, HTTPSIG_OPERAND,
			"key %.16s is not the one it names", keyid);
	r = check_signature(&p, m, v.key);
	if (r)
		return FAULT(r);
	*ret = v;
	return 0;
}

int
httpsig_verify_reply(const struct httpsig_message *m, const void *body, size_t len,
	const char *nonce, const uint8_t key[ED25519_KEY_LEN], uint64_t *ret_created_s)
{
	SCOPED(parts_done) struct parts p = { 0 };
	struct httpsig_verified v = { 0 };
	char keyid[ED25519_KEYID_MAX];
	int r;

	r = read_parts(&p, m);
	if (r == 0)
		r = read_params(&v, p.covered);
	if (r == 0)
		r = check_covered(p.covered, httpsig_profile_reply, m, true);
	if (r)
		return FAULT(r);
	if (strcmp(v.keyid, ed25519_keyid_of(keyid, key)))
		return REFUSE(REASON_BAD_SIGNATURE, HTTPSIG_OPERAND,
			"reply is by key %.16s, not by the pinned one", v.keyid);
	r = check_signature(&p, m, key);
	if (r)
		return FAULT(r);
	if (strcmp(v.nonce, nonce))
		return REFUSE(REASON_REPLAYED, HTTPSIG_OPERAND, "reply is to another request");
	r = httpsig_check_body(m, body, len);
	if (r)
		return FAULT(r);
	if (ret_created_s)
		*ret_created_s = v.created_s;
	return 0;
}

const char *
httpsig_claimed_nonce(char *out, const struct httpsig_message *m)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(HTTPSIG_FIELD_MAX);
	SCOPED(sfield_freep) struct sfield *input = NULL;
	const struct sfield_item *ours;
	const char *nonce;

	out[0] = 0;
	if (!httpsig_field(&text, m, "signature-input") || buf_error(&text) ||
		sfield_parse(&input, SFIELD_DICTIONARY, buf_text(&text), text.len,
			SFIELD_RFC8941 | SFIELD_UNIQUE | SFIELD_QUIET, HTTPSIG_OPERAND))
		return out;
	ours = tagged(input->items);
	nonce = ours ? text_param(ours, "nonce", HTTPSIG_NONCE_MAX) : NULL;
	if (nonce)
		memcpy(out, nonce, strlen(nonce) + 1);
	return out;
}
