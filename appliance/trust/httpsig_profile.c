#include "appliance/trust/httpsig.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sfield.h"
#include "appliance/trust/sha256.h"

#define OPERAND "signature"
#define LABEL "sig"
#define TAG "mainstay-v1"
#define ALG "ed25519"

enum { HEADERS_MAX = 128, NONCE_BYTES = 16 };

struct rule {
	const char *name;
	bool always; /* else: when the header is there */
};

static const struct rule request_rules[] = {
	{ "@method", true },
	{ "@authority", true },
	{ "@path", true },
	{ "@query", true },
	{ "content-type", false },
	{ "content-encoding", false },
	{ "content-digest", false },
	{ "mainstay-stream", false },
	{ "mainstay-sequence", false },
	{ NULL, false },
};

static const struct rule reply_rules[] = {
	{ "@status", true },
	{ "content-digest", true },
	{ "mainstay-committed", false },
	{ NULL, false },
};

void
httpsig_fields_done(struct httpsig_fields *f)
{
	free(f->input);
	free(f->signature);
	*f = (struct httpsig_fields){ 0 };
}

static bool
has_header(const struct httpsig_message *m, const char *name)
{
	for (size_t i = 0; i < m->n_headers; i++) {
		if (!strcasecmp(m->headers[i].name, name))
			return true;
	}
	return false;
}

/* --- signing ---------------------------------------------------------------------------------- */
static void
put_list(struct buf *out, const struct rule *rules, const struct httpsig_message *m)
{
	const char *space = "";

	buf_u8(out, '(');
	for (; rules->name; rules++) {
		if (!rules->always && !has_header(m, rules->name))
			continue;
		buf_printf(out, "%s\"%s\"", space, rules->name);
		space = " ";
	}
	buf_u8(out, ')');
}

/* Sign m, which holds all headers, over what rules name, with the parameters that stand in list. */
static int
sign_list(struct httpsig_fields *f, const struct httpsig_message *m, struct buf *list,
	const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf base = BUF_MAX(HTTPSIG_BASE_MAX);
	SCOPED(buf_done) struct buf text = BUF_MAX(HTTPSIG_FIELD_MAX);
	SCOPED(sfield_freep) struct sfield *parsed = NULL;
	uint8_t sig[ED25519_SIG_LEN];
	int r;

	if (buf_error(list))
		return FAULT(buf_error(list));
	r = sfield_parse(&parsed, SFIELD_LIST, buf_text(list), list->len, SFIELD_RFC8941, OPERAND);
	if (r == 0)
		r = httpsig_base(&base, m, parsed->items);
	if (r == 0)
		r = ed25519_sign(key, base.data, base.len, sig);
	if (r)
		return FAULT(r);
	buf_printf(&text, LABEL "=%s", buf_text(list));
	f->input = buf_take_text(&text);
	buf_puts(&text, LABEL "=:");
	hex_base64(&text, sig, sizeof(sig));
	buf_puts(&text, ":");
	f->signature = buf_take_text(&text);
	return f->input && f->signature ? 0 : FAULT(-ENOMEM);
}

/* m with Content-Digest added; headers is room for HEADERS_MAX. */
static int
with_digest(struct httpsig_message *all, struct httpsig_header *headers,
	const struct httpsig_message *m, const char *digest)
{
	if (m->n_headers + 1 > HEADERS_MAX)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "more than %d header fields",
			HEADERS_MAX - 1);
	if (m->n_headers)
		memcpy(headers, m->headers, m->n_headers * sizeof(*headers));
	*all = *m;
	all->headers = headers;
	if (*digest)
		headers[all->n_headers++] = (struct httpsig_header){ "content-digest", digest };
	return 0;
}

int
httpsig_sign_request(struct httpsig_fields *ret, const struct httpsig_message *m,
	const uint8_t *body_sha256, const struct ed25519 *key, uint64_t now_us)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	SCOPED(buf_done) struct buf list = BUF_MAX(HTTPSIG_FIELD_MAX);
	struct httpsig_header headers[HEADERS_MAX];
	uint64_t now_s = now_us / CLOCK_US_PER_S;
	struct httpsig_message all;
	uint8_t nonce[NONCE_BYTES];
	int r;

	fs_random(nonce, sizeof(nonce));
	hex_encode(f.nonce, nonce, sizeof(nonce));
	if (body_sha256)
		httpsig_digest(f.digest, body_sha256);
	r = with_digest(&all, headers, m, f.digest);
	if (r)
		return FAULT(r);
	put_list(&list, request_rules, &all);
	buf_printf(&list, ";created=%llu;expires=%llu;nonce=\"%s\";keyid=\"%s\";tag=\"" TAG "\"",
		(unsigned long long)now_s, (unsigned long long)now_s + HTTPSIG_LIFE_S, f.nonce,
		ed25519_keyid(key));
	r = sign_list(&f, &all, &list, key);
	if (r)
		return FAULT(r);
	*ret = f;
	f = (struct httpsig_fields){ 0 };
	return 0;
}

int
httpsig_sign_reply(struct httpsig_fields *ret, const struct httpsig_message *m,
	const uint8_t body_sha256[32], const char *nonce, const struct ed25519 *key,
	uint64_t now_us)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	SCOPED(buf_done) struct buf list = BUF_MAX(HTTPSIG_FIELD_MAX);
	struct sfield_value text = { .kind = SFIELD_STRING, .text = nonce, .len = strlen(nonce) };
	struct httpsig_header headers[HEADERS_MAX];
	struct httpsig_message all;
	int r;

	if (text.len >= sizeof(f.nonce))
		return REFUSE(REASON_TOO_LARGE, OPERAND, "nonce over %zu bytes",
			sizeof(f.nonce) - 1);
	memcpy(f.nonce, nonce, text.len);
	httpsig_digest(f.digest, body_sha256);
	r = with_digest(&all, headers, m, f.digest);
	if (r)
		return FAULT(r);
	put_list(&list, reply_rules, &all);
	buf_printf(&list, ";created=%llu;nonce=", (unsigned long long)(now_us / CLOCK_US_PER_S));
	r = sfield_write_value(&list, &text);
	if (r > 0)
		return REFUSE(r, OPERAND, "nonce is no printable ASCII");
	buf_printf(&list, ";keyid=\"%s\";tag=\"" TAG "\"", ed25519_keyid(key));
	r = sign_list(&f, &all, &list, key);
	if (r)
		return FAULT(r);
	*ret = f;
	f = (struct httpsig_fields){ 0 };
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */
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
		return REFUSE(REASON_UNSIGNED, OPERAND, "no %s", name);
	if (buf_error(&text) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "%s over %d bytes", name,
			HTTPSIG_FIELD_MAX);
	if (buf_error(&text))
		return FAULT(buf_error(&text));
	r = sfield_parse(ret, SFIELD_DICTIONARY, buf_text(&text), text.len,
		SFIELD_RFC8941 | SFIELD_UNIQUE, OPERAND);
	if (r)
		return FAULT(r);
	for (const struct sfield_item *i = (*ret)->items; i; i = i->next)
		n++;
	if (n > HTTPSIG_LABELS_MAX)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "more than %d signatures",
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

/* Labels are not covered by signatures and mean nothing: ours is the one with our tag. */
static int
read_parts(struct parts *ret, const struct httpsig_message *m)
{
	const struct sfield_item *sig;
	const char *tag;
	int r;

	r = read_field(&ret->input, m, "signature-input");
	if (r == 0)
		r = read_field(&ret->signature, m, "signature");
	if (r)
		return FAULT(r);
	for (const struct sfield_item *i = ret->input->items; i; i = i->next) {
		tag = text_param(i, "tag", sizeof(TAG));
		if (!tag || strcmp(tag, TAG))
			continue;
		if (ret->covered)
			return REFUSE(REASON_MALFORMED, OPERAND,
				"two signatures with the tag " TAG);
		ret->covered = i;
	}
	if (!ret->covered || ret->covered->value.kind != SFIELD_INNER)
		return REFUSE(REASON_UNSIGNED, OPERAND, "no signature with the tag " TAG);
	sig = sfield_get(ret->signature, ret->covered->key);
	if (!sig || sig->value.kind != SFIELD_BYTES || sig->value.len != ED25519_SIG_LEN)
		return REFUSE(REASON_MALFORMED, OPERAND, "no 64 bytes of signature for that tag");
	ret->sig = (const uint8_t *)sig->value.text;
	return 0;
}

static int
time_param(uint64_t *ret, const struct sfield_item *covered, const char *name)
{
	const struct sfield_param *p = sfield_param(covered, name);

	if (!p || p->value.kind != SFIELD_INTEGER || p->value.number < 0)
		return REFUSE(REASON_MALFORMED, OPERAND, "parameter \"%s\" is missing or no time",
			name);
	*ret = (uint64_t)p->value.number;
	return 0;
}

static int
check_alg(const struct sfield_item *covered)
{
	const struct sfield_param *alg = sfield_param(covered, "alg");

	if (alg && (alg->value.kind != SFIELD_STRING || strcmp(alg->value.text, ALG)))
		return REFUSE(REASON_BAD_SIGNATURE, OPERAND, "algorithm is not " ALG);
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
		return REFUSE(REASON_MALFORMED, OPERAND,
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
		return REFUSE(REASON_MALFORMED, OPERAND, "lives longer than %d s", HTTPSIG_LIFE_S);
	if (v->created_s > now_s + HTTPSIG_EARLY_S)
		return REFUSE(REASON_NOT_YET_VALID, OPERAND, "made %llu s from now by our clock",
			(unsigned long long)(v->created_s - now_s));
	if (v->expires_s <= now_s)
		return REFUSE(REASON_EXPIRED, OPERAND, "expired %llu s ago by our clock",
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
check_covered(const struct sfield_item *covered, const struct rule *rules,
	const struct httpsig_message *m, bool has_body)
{
	for (; rules->name; rules++) {
		bool needed = rules->always || has_header(m, rules->name) ||
			(has_body && !strcmp(rules->name, "content-digest"));

		if (needed && !covers(covered, rules->name))
			return REFUSE(REASON_UNSIGNED, OPERAND, "does not cover \"%s\"",
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
	if (!ed25519_verify(key, base.data, base.len, p->sig))
		return REFUSE(REASON_BAD_SIGNATURE, OPERAND, "is wrong");
	return 0;
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
		r = check_covered(p.covered, request_rules, m, has_body);
	if (r == 0)
		r = find(v.keyid, v.key, arg);
	if (r)
		return FAULT(r);
	if (strcmp(ed25519_keyid_of(keyid, v.key), v.keyid))
		return REFUSE(REASON_UNKNOWN_KEY, OPERAND, "key %.16s is not the one it names",
			keyid);
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
		r = check_covered(p.covered, reply_rules, m, true);
	if (r)
		return FAULT(r);
	if (strcmp(v.keyid, ed25519_keyid_of(keyid, key)))
		return REFUSE(REASON_BAD_SIGNATURE, OPERAND,
			"reply is by key %.16s, not by the pinned one", v.keyid);
	r = check_signature(&p, m, key);
	if (r)
		return FAULT(r);
	if (strcmp(v.nonce, nonce))
		return REFUSE(REASON_REPLAYED, OPERAND, "reply is to another request");
	r = httpsig_check_body(m, body, len);
	if (r)
		return FAULT(r);
	if (ret_created_s)
		*ret_created_s = v.created_s;
	return 0;
}

const char *
httpsig_claimed_keyid(char out[ED25519_KEYID_MAX], const struct httpsig_message *m)
{
	SCOPED(parts_done) struct parts p = { 0 };
	const char *keyid;

	out[0] = 0;
	if (read_parts(&p, m))
		return out;
	keyid = text_param(p.covered, "keyid", ED25519_KEYID_MAX);
	if (keyid)
		memcpy(out, keyid, strlen(keyid) + 1);
	return out;
}
