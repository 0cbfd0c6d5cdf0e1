/* Documents into canonical bytes and signatures, and back: the half of metadata.h that knows no keys. */
#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/metadata.h"

/* Control characters of a string take six bytes once escaped. */
enum { ESCAPED_MAX = 6 * TUF_TARGETS_MAX };

void
tuf_split_done(struct tuf_split *s)
{
	for (size_t i = 0; i < s->n_sigs; i++) {
		free(s->sigs[i].keyid);
		free(s->sigs[i].sig);
	}
	free(s->sigs);
	buf_done(&s->canonical);
	*s = (struct tuf_split){ 0 };
}

static int
read_sig(struct tuf_split *s, const json_t *one, const char *operand)
{
	const json_t *keyid = json_object_get(one, "keyid"), *sig = json_object_get(one, "sig");
	struct tuf_sig *into = &s->sigs[s->n_sigs];
	size_t len = json_string_length(keyid);

	if (!len || len > TUF_KEYID_MAX || !json_is_string(sig) ||
		json_string_length(sig) > TUF_SIG_HEX_MAX)
		return REFUSE(REASON_MALFORMED, operand, "a signature needs keyid and sig");
	for (size_t i = 0; i < s->n_sigs; i++) {
		if (!strcmp(s->sigs[i].keyid, json_string_value(keyid)))
			return REFUSE(REASON_MALFORMED, operand, "two signatures by one keyid");
	}
	into->keyid = strdup(json_string_value(keyid));
	into->sig = strdup(json_string_value(sig));
	s->n_sigs++; /* tuf_split_done() takes a half-built one */
	return into->keyid && into->sig ? 0 : FAULT(-ENOMEM);
}

static int
read_sigs(struct tuf_split *s, const json_t *sigs, const char *operand)
{
	size_t n = json_array_size(sigs);

	if (!json_is_array(sigs) || n > TUF_SIGS_MAX)
		return REFUSE(REASON_MALFORMED, operand, "signatures is no list of at most %d",
			TUF_SIGS_MAX);
	s->sigs = calloc(n + 1, sizeof(*s->sigs));
	if (!s->sigs)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++) {
		int r = read_sig(s, json_array_get(sigs, i), operand);

		if (r)
			return r;
	}
	return 0;
}

int
tuf_split(struct tuf_split *ret, const void *p, size_t len, size_t max, const char *operand)
{
	SCOPED(tuf_split_done) struct tuf_split s = { .canonical = BUF_MAX(len) };
	SCOPED_JSON *doc = NULL;
	const json_t *signed_;
	int r;

	r = json_read(&doc, p, len, max, operand);
	if (r)
		return r;
	signed_ = json_object_get(doc, "signed");
	if (!json_is_object(signed_))
		return REFUSE(REASON_MALFORMED, operand, "there is no \"signed\" object");
	r = read_sigs(&s, json_object_get(doc, "signatures"), operand);
	r = r ?: json_canonical(&s.canonical, signed_);
	r = r ?: buf_error(&s.canonical);
	r = r ?: tuf_split_measure(&s, p, len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = s;
	s = (struct tuf_split){ 0 };
	return 0;
}

int
tuf_split_measure(struct tuf_split *s, const void *p, size_t len)
{
	s->length = len;
	sha256_of(s->sha256, p, len);
	sha256_sha512_of(s->sha512, p, len);
	return 0;
}

json_t *
tuf_split_sigs(const struct tuf_split *s)
{
	json_t *sigs = json_array();

	for (size_t i = 0; sigs && i < s->n_sigs; i++) {
		json_t *one =
			json_pack("{s:s, s:s}", "keyid", s->sigs[i].keyid, "sig", s->sigs[i].sig);

		if (json_array_append_new(sigs, one) < 0) {
			json_decref(sigs);
			sigs = NULL;
		}
	}
	return sigs;
}

int
tuf_split_join(struct tuf_split *ret, const void *canonical, size_t len, const json_t *sigs,
	const char *operand)
{
	SCOPED(tuf_split_done) struct tuf_split s = { .canonical = BUF_MAX(len) };
	int r;

	if (len > TUF_TARGETS_MAX)
		return REFUSE(REASON_TOO_LARGE, operand, "%zu bytes", len);
	buf_put(&s.canonical, canonical, len);
	r = buf_error(&s.canonical);
	r = r ?: read_sigs(&s, sigs, operand);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = s;
	s = (struct tuf_split){ 0 };
	return 0;
}

/* Canonical bytes as JSON: they hold no white space, so a control character stands in a string. */
static void
put_escaped(struct buf *out, const struct buf *canonical)
{
	for (size_t i = 0; i < canonical->len; i++) {
		uint8_t c = canonical->data[i];

		if (c < 0x20)
			buf_printf(out, "\\u%04x", c);
		else
			buf_u8(out, c);
	}
}

int
tuf_split_document(const struct tuf_split *s, struct buf *out)
{
	SCOPED(buf_done) struct buf names = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED_JSON *sigs = tuf_split_sigs(s);
	int r;

	if (!sigs)
		return FAULT(-ENOMEM);
	r = json_canonical(&names, sigs);
	buf_puts(out, "{\"signatures\":");
	put_escaped(out, &names);
	buf_puts(out, ",\"signed\":");
	put_escaped(out, &s->canonical);
	buf_puts(out, "}");
	r = r ?: buf_error(out);
	return r < 0 ? FAULT(r) : r;
}

int
tuf_parse(json_t **ret, const struct buf *canonical, const char *operand)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(ESCAPED_MAX);
	int r;

	put_escaped(&b, canonical);
	r = buf_error(&b);
	if (r)
		return FAULT(r);
	return json_read(ret, b.data, b.len, ESCAPED_MAX, operand);
}
