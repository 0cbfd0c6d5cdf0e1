#include "appliance/trust/httpsig.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sfield.h"
#include "appliance/trust/sha256.h"

#define OPERAND "signature"

/* --- fields ----------------------------------------------------------------------------------- */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Trimmed, a folded line's break and indent become one space. */
static void
put_trimmed(struct buf *out, const char *value)
{
	size_t len;

	while (is_blank(*value))
		value++;
	len = strlen(value);
	while (len && is_blank(value[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++) {
		if (value[i] != '\r' && value[i] != '\n') {
			buf_u8(out, (uint8_t)value[i]);
			continue;
		}
		while (i + 1 < len && is_blank(value[i + 1]))
			i++;
		buf_u8(out, ' ');
	}
}

bool
httpsig_field(struct buf *out, const struct httpsig_message *m, const char *name)
{
	bool found = false;

	for (size_t i = 0; i < m->n_headers; i++) {
		if (strcasecmp(m->headers[i].name, name))
			continue;
		if (found)
			buf_puts(out, ", ");
		put_trimmed(out, m->headers[i].value);
		found = true;
	}
	return found;
}

char *
httpsig_digest(char out[HTTPSIG_DIGEST_MAX], const uint8_t sha256[32])
{
	char text[HEX_BASE64_MAX(SHA256_LEN)];

	snprintf(out, HTTPSIG_DIGEST_MAX, "sha-256=:%s:", hex_base64_into(text, sha256, SHA256_LEN));
	return out;
}

/* --- the signature base ----------------------------------------------------------------------- */
static void
put_authority(struct buf *out, const struct httpsig_message *m)
{
	const char *scheme = m->scheme ? m->scheme : "https";
	const char *port = !strcasecmp(scheme, "http") ? ":80" : ":443";
	size_t len = strlen(m->authority), n = strlen(port);

	if (len > n && !strcmp(m->authority + len - n, port))
		len -= n;
	for (size_t i = 0; i < len; i++) {
		char c = m->authority[i];

		buf_u8(out, (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
	}
}

/* false where m has no such component. */
static bool
put_derived(struct buf *out, const struct httpsig_message *m, const char *name)
{
	size_t path;

	if (!strcmp(name, "@status")) {
		if (m->status < 100 || m->status > 999)
			return false;
		buf_printf(out, "%d", m->status);
		return true;
	}
	if (!m->method || !m->authority || !m->target)
		return false;
	path = strcspn(m->target, "?");
	if (!strcmp(name, "@method")) {
		buf_puts(out, m->method);
	} else if (!strcmp(name, "@authority")) {
		put_authority(out, m);
	} else if (!strcmp(name, "@path")) {
		if (path)
			buf_put(out, m->target, path);
		else
			buf_u8(out, '/');
	} else if (!strcmp(name, "@query")) {
		buf_puts(out, m->target[path] ? m->target + path : "?");
	} else if (!strcmp(name, "@request-target")) {
		buf_puts(out, m->target);
	} else if (!strcmp(name, "@scheme")) {
		buf_puts(out, m->scheme ? m->scheme : "https");
	} else if (!strcmp(name, "@target-uri")) {
		buf_printf(out, "%s://", m->scheme ? m->scheme : "https");
		put_authority(out, m);
		buf_puts(out, m->target);
	} else {
		return false;
	}
	return true;
}

static bool
is_field_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');

		if (!letter && !strchr("!#$%&'*+-.^_`|~", *c))
			return false;
	}
	return *name;
}

static int
put_component(struct buf *out, const struct httpsig_message *m, const struct sfield_item *all,
	const struct sfield_item *c)
{
	const char *name = c->value.text;
	size_t from;
	bool there;

	if (c->value.kind != SFIELD_STRING || c->params || (name[0] != '@' && !is_field_name(name)))
		return REFUSE(REASON_MALFORMED, OPERAND,
			"covers a component in a form we do not take");
	for (const struct sfield_item *i = all; i != c; i = i->next) {
		if (!strcmp(i->value.text, name))
			return REFUSE(REASON_MALFORMED, OPERAND, "covers \"%s\" twice", name);
	}
	buf_printf(out, "\"%s\": ", name);
	from = out->len;
	/* A header that is really called "@method" is never looked at: derived names go their own
	 * way. */
	there = name[0] == '@' ? put_derived(out, m, name) : httpsig_field(out, m, name);
	if (!there)
		return REFUSE(REASON_MALFORMED, OPERAND, "covers \"%s\", which is not there", name);
	for (size_t i = from; i < out->len; i++) {
		if (out->data[i] < 0x20 || out->data[i] > 0x7e)
			return REFUSE(REASON_MALFORMED, OPERAND, "\"%s\" is not ASCII", name);
	}
	buf_u8(out, '\n');
	return 0;
}

int
httpsig_base(struct buf *out, const struct httpsig_message *m, const struct sfield_item *covered)
{
	size_t n = 0;
	int r;

	if (covered->value.kind != SFIELD_INNER)
		return REFUSE(REASON_MALFORMED, OPERAND, "covered components are no list");
	for (const struct sfield_item *c = covered->items; c; c = c->next) {
		if (++n > HTTPSIG_COMPONENTS_MAX)
			return REFUSE(REASON_TOO_LARGE, OPERAND, "covers more than %d components",
				HTTPSIG_COMPONENTS_MAX);
		r = put_component(out, m, covered->items, c);
		if (r)
			return FAULT(r);
	}
	buf_puts(out, "\"@signature-params\": ");
	r = sfield_write_item(out, covered);
	if (buf_error(out) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "signature base over %zu bytes", out->max);
	return FAULT(r ? r : buf_error(out));
}

/* --- Content-Digest --------------------------------------------------------------------------- */
int
httpsig_check_body(const struct httpsig_message *m, const void *body, size_t len)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(HTTPSIG_FIELD_MAX);
	SCOPED(sfield_freep) struct sfield *f = NULL;
	uint8_t digest[SHA512_LEN];
	bool known = false;
	int r;

	if (!httpsig_field(&text, m, "content-digest"))
		return REFUSE(REASON_MALFORMED, "content-digest", "missing");
	if (buf_error(&text) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (buf_error(&text))
		return REFUSE(REASON_TOO_LARGE, "content-digest", "over %d bytes",
			HTTPSIG_FIELD_MAX);
	r = sfield_parse(&f, SFIELD_DICTIONARY, buf_text(&text), text.len,
		SFIELD_RFC8941 | SFIELD_UNIQUE, "content-digest");
	if (r)
		return FAULT(r);
	for (const struct sfield_item *i = f->items; i; i = i->next) {
		bool is512 = !strcmp(i->key, "sha-512");
		size_t n = is512 ? SHA512_LEN : SHA256_LEN;

		if (!is512 && strcmp(i->key, "sha-256"))
			continue;
		if (is512)
			sha256_sha512_of(digest, body, len);
		else
			sha256_of(digest, body, len);
		if (i->value.kind != SFIELD_BYTES || i->value.len != n ||
			memcmp(i->value.text, digest, n))
			return REFUSE(REASON_HASH_MISMATCH, "content-digest",
				"%s does not fit the content", i->key);
		known = true;
	}
	if (!known)
		return REFUSE(REASON_MALFORMED, "content-digest", "neither sha-256 nor sha-512");
	return 0;
}
