#include "appliance/trust/httpsig_profile.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sfield.h"
#include "appliance/trust/sha256.h"

enum { HEADERS_MAX = 128, NONCE_BYTES = 16 };

const struct httpsig_rule httpsig_profile_request[] = {
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

const struct httpsig_rule httpsig_profile_reply[] = {
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

bool
httpsig_profile_has(const struct httpsig_message *m, const char *name)
{
	for (size_t i = 0; i < m->n_headers; i++) {
		if (!strcasecmp(m->headers[i].name, name))
			return true;
	}
	return false;
}

/* --- signing ---------------------------------------------------------------------------------- */
static void
put_list(struct buf *out, const struct httpsig_rule *rules, const struct httpsig_message *m)
{
	const char *space = "";

	buf_u8(out, '(');
	for (; rules->name; rules++) {
		if (!rules->always && !httpsig_profile_has(m, rules->name))
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
	r = sfield_parse(&parsed, SFIELD_LIST, buf_text(list), list->len, SFIELD_RFC8941,
		HTTPSIG_OPERAND);
	if (r == 0)
		r = httpsig_base(&base, m, parsed->items);
	if (r == 0)
		r = ed25519_sign(key, base.data, base.len, sig);
	if (r)
		return FAULT(r);
	buf_printf(&text, HTTPSIG_LABEL "=%s", buf_text(list));
	f->input = buf_take_text(&text);
	buf_puts(&text, HTTPSIG_LABEL "=:");
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
		return REFUSE(REASON_TOO_LARGE, HTTPSIG_OPERAND, "more than %d header fields",
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
	put_list(&list, httpsig_profile_request, &all);
	buf_printf(&list,
		";created=%llu;expires=%llu;nonce=\"%s\";keyid=\"%s\";tag=\"" HTTPSIG_TAG "\"",
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
		return REFUSE(REASON_TOO_LARGE, HTTPSIG_OPERAND, "nonce over %zu bytes",
			sizeof(f.nonce) - 1);
	memcpy(f.nonce, nonce, text.len);
	httpsig_digest(f.digest, body_sha256);
	r = with_digest(&all, headers, m, f.digest);
	if (r)
		return FAULT(r);
	put_list(&list, httpsig_profile_reply, &all);
	buf_printf(&list, ";created=%llu;nonce=", (unsigned long long)(now_us / CLOCK_US_PER_S));
	r = sfield_write_value(&list, &text);
	if (r > 0)
		return REFUSE(r, HTTPSIG_OPERAND, "nonce is no printable ASCII");
	buf_printf(&list, ";keyid=\"%s\";tag=\"" HTTPSIG_TAG "\"", ed25519_keyid(key));
	r = sign_list(&f, &all, &list, key);
	if (r)
		return FAULT(r);
	*ret = f;
	f = (struct httpsig_fields){ 0 };
	return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */
void
httpsig_accept(struct buf *out, const struct httpsig_message *m, bool has_body)
{
	struct httpsig_header headers[HEADERS_MAX];
	struct httpsig_message all = *m;

	/* What should have had a digest is asked for one. */
	if (has_body && !httpsig_profile_has(m, "content-digest") && m->n_headers < HEADERS_MAX) {
		if (m->n_headers)
			memcpy(headers, m->headers, m->n_headers * sizeof(*headers));
		headers[all.n_headers++] = (struct httpsig_header){ "content-digest", "" };
		all.headers = headers;
	}
	buf_puts(out, HTTPSIG_LABEL "=");
	put_list(out, httpsig_profile_request, &all);
	buf_puts(out, ";created;expires;alg=\"" HTTPSIG_ALG "\";tag=\"" HTTPSIG_TAG "\"");
}
