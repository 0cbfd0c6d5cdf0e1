#include "appliance/trust/httpsig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sfield.h"
#include "appliance/trust/sha256.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/vectors.h"

enum { HEADERS = 16 };
#define NOW (UINT64_C(1800000000) * CLOCK_US_PER_S)
#define BODY "{\"v\":1}"

/* --- RFC 9421, B.2.6 and B.4 ------------------------------------------------------------------ */
static void
vector(const json_t *c, const uint8_t key[32], const struct ed25519 *secret)
{
	SCOPED(buf_done) struct buf base = BUF_MAX(HTTPSIG_BASE_MAX);
	SCOPED(sfield_freep) struct sfield *input = NULL, *signature = NULL;
	const json_t *q = json_object_get(c, "request"),
		     *want = json_object_get(c, "signature_base");
	const char *in = json_string_value(json_object_get(c, "signature_input"));
	const char *sig = json_string_value(json_object_get(c, "signature"));
	struct httpsig_header headers[HEADERS];
	struct httpsig_message m = {
		.method = json_string_value(json_object_get(q, "method")),
		.scheme = json_string_value(json_object_get(q, "scheme")),
		.target = json_string_value(json_object_get(q, "target")),
		.headers = headers,
	};
	uint8_t made[64];
	json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(q, "headers"), i, pair) {
		headers[m.n_headers++] =
			(struct httpsig_header){ json_string_value(json_array_get(pair, 0)),
				json_string_value(json_array_get(pair, 1)) };
		if (!strcasecmp(headers[i].name, "host"))
			m.authority = headers[i].value;
	}
	assert_int_equal(sfield_parse(&input, SFIELD_DICTIONARY, in, strlen(in), 0, "input"), 0);
	assert_int_equal(sfield_parse(&signature, SFIELD_DICTIONARY, sig, strlen(sig), 0,
				 "signature"),
		0);
	assert_int_equal(httpsig_base(&base, &m, input->items), 0);
	if (json_is_string(want))
		assert_string_equal(buf_text(&base), json_string_value(want));
	assert_int_equal(ed25519_verify(key, base.data, base.len,
				 (const uint8_t *)signature->items->value.text),
		json_is_true(json_object_get(c, "valid")));
	if (json_is_true(json_object_get(c, "valid"))) {
		assert_int_equal(ed25519_sign(secret, base.data, base.len, made), 0);
		assert_memory_equal(made, signature->items->value.text, sizeof(made));
	}
}

static void
unbase64url(uint8_t out[32], const char *text)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64);
	char std[64];

	snprintf(std, sizeof(std), "%s=", text);
	for (char *p = std; *p; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	assert_true(hex_unbase64(&b, std, strlen(std)));
	assert_int_equal(b.len, 32);
	memcpy(out, b.data, 32);
}

static void
rfc9421_vectors(void **state)
{
	json_t *v = vectors_load("rfc9421/ed25519.json"), *c;
	SCOPED(ed25519_freep) struct ed25519 *secret = NULL;
	uint8_t key[32], seed[32];
	size_t i;

	(void)state;
	unbase64url(key, json_string_value(json_object_get(json_object_get(v, "key"), "x")));
	unbase64url(seed, json_string_value(json_object_get(json_object_get(v, "key"), "d")));
	assert_int_equal(ed25519_from_seed(&secret, seed), 0);
	assert_memory_equal(ed25519_public(secret), key, 32);
	json_array_foreach(json_object_get(v, "cases"), i, c)
		vector(c, key, secret);
	vectors_ran("rfc9421", i, 0);
	assert_int_equal(i, 7);
	json_decref(v);
}

/* --- the signature base ----------------------------------------------------------------------- */
static void
bases(void **state)
{
	static const struct httpsig_header headers[] = {
		{ "X-Two", " a " },
		{ "x-two", "b\r\n  c" },
		{ "X-Empty", "" },
		{ "@method", "DELETE" },
		{ "X-Umlaut", "\xc3\xbc" },
	};
	static const struct httpsig_message m = { .method = "get",
		.scheme = "https",
		.authority = "Hub.Example:443",
		.target = "/a?b=c",
		.headers = headers,
		.n_headers = 5 };
	static const struct {
		const char *covered;
		const char *base; /* NULL: refused */
	} rows[] = {
		{ "(\"@method\" \"@authority\")",
			"\"@method\": get\n\"@authority\": hub.example\n"
			"\"@signature-params\": (\"@method\" \"@authority\")" },
		{ "(\"@path\" \"@query\" \"@request-target\");created=1",
			"\"@path\": /a\n\"@query\": ?b=c\n\"@request-target\": /a?b=c\n"
			"\"@signature-params\": (\"@path\" \"@query\" "
			"\"@request-target\");created=1" },
		{ "(\"@target-uri\" \"@scheme\")",
			"\"@target-uri\": https://hub.example/a?b=c\n\"@scheme\": https\n"
			"\"@signature-params\": (\"@target-uri\" \"@scheme\")" },
		{ "(\"x-two\" \"x-empty\")",
			"\"x-two\": a, b c\n\"x-empty\": \n\"@signature-params\": (\"x-two\" "
			"\"x-empty\")" },
		{ "()", "\"@signature-params\": ()" },
		{ "(\"x-two\" \"x-two\")", NULL },
		{ "(\"X-Two\")", NULL },
		{ "(\"x-absent\")", NULL },
		{ "(\"@status\")", NULL },
		{ "(\"@unknown\")", NULL },
		{ "(\"x-two\";sf)", NULL },
		{ "(\"x-umlaut\")", NULL },
		{ "(\"\")", NULL },
		{ "(x-two)", NULL },
		{ "(1 1)", NULL },
		{ "1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf base = BUF_MAX(HTTPSIG_BASE_MAX);
		SCOPED(sfield_freep) struct sfield *f = NULL;
		int r;

		assert_int_equal(sfield_parse(&f, SFIELD_LIST, rows[i].covered,
					 strlen(rows[i].covered), 0, "row"),
			0);
		r = httpsig_base(&base, &m, f->items);
		if (r != (rows[i].base ? 0 : (int)REASON_MALFORMED))
			fail_msg("%s: %d", rows[i].covered, r);
		if (rows[i].base)
			assert_string_equal(buf_text(&base), rows[i].base);
	}
}

/* --- the profile ------------------------------------------------------------------------------ */
struct fixture {
	struct ed25519 *key;
	bool unknown;
	struct httpsig_fields fields;
	struct httpsig_header headers[HEADERS];
	struct httpsig_message m;
	char input[HTTPSIG_FIELD_MAX + 64];
};

static int
find(const char *keyid, uint8_t ret_key[32], void *arg)
{
	struct fixture *f = arg;

	if (f->unknown)
		return REFUSE(REASON_UNKNOWN_KEY, keyid, "nobody's");
	memcpy(ret_key, ed25519_public(f->key), 32);
	return 0;
}

static void
begin(struct fixture *f)
{
	uint8_t digest[32];

	memset(f, 0, sizeof(*f));
	assert_int_equal(ed25519_generate(&f->key), 0);
	f->headers[0] = (struct httpsig_header){ "Content-Type", "application/json" };
	f->headers[1] = (struct httpsig_header){ "Mainstay-Stream", "metrics" };
	f->headers[2] = (struct httpsig_header){ "Mainstay-Sequence", "7" };
	f->headers[3] = (struct httpsig_header){ "User-Agent", "x" };
	f->m = (struct httpsig_message){ .method = "POST",
		.authority = "hub.example",
		.target = "/v1/metrics?a=b",
		.headers = f->headers,
		.n_headers = 4 };
	sha256_of(digest, BODY, strlen(BODY));
	assert_int_equal(httpsig_sign_request(&f->fields, &f->m, digest, f->key, NOW), 0);
	snprintf(f->input, sizeof(f->input), "%s", f->fields.input);
	f->headers[4] = (struct httpsig_header){ "Signature-Input", f->input };
	f->headers[5] = (struct httpsig_header){ "Signature", f->fields.signature };
	f->headers[6] = (struct httpsig_header){ "Content-Digest", f->fields.digest };
	f->m.n_headers = 7;
}

static void
end(struct fixture *f)
{
	ed25519_free(f->key);
	httpsig_fields_done(&f->fields);
}

static int
verify(struct fixture *f, uint64_t now_us)
{
	struct httpsig_verified v = { 0 };
	int r = httpsig_verify_request(&v, &f->m, true, now_us, find, f);

	assert_int_equal(v.keyid[0] != 0, r == 0); /* written only on success */
	return r;
}

static void
a_request_verifies(void **state)
{
	struct httpsig_verified v;
	char nonce[HTTPSIG_NONCE_MAX];
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(httpsig_verify_request(&v, &f.m, true, NOW, find, &f), 0);
	assert_string_equal(v.keyid, ed25519_keyid(f.key));
	assert_string_equal(v.nonce, f.fields.nonce);
	assert_int_equal(v.expires_s - v.created_s, 300);
	assert_int_equal(httpsig_check_body(&f.m, BODY, strlen(BODY)), 0);
	assert_string_equal(httpsig_claimed_nonce(nonce, &f.m), v.nonce);
	/* times: from a minute before to the last second of its life */
	assert_int_equal(verify(&f, NOW - 60 * CLOCK_US_PER_S), 0);
	assert_int_equal(verify(&f, NOW - 61 * CLOCK_US_PER_S), REASON_NOT_YET_VALID);
	assert_int_equal(verify(&f, NOW + 299 * CLOCK_US_PER_S), 0);
	assert_int_equal(verify(&f, NOW + 300 * CLOCK_US_PER_S), REASON_EXPIRED);
	f.unknown = true;
	assert_int_equal(verify(&f, NOW), REASON_UNKNOWN_KEY);
	end(&f);
}

/* Every part that is covered, changed. */
static void
nothing_covered_may_change(void **state)
{
	struct fixture f;
	uint64_t before = refuse_count(REASON_BAD_SIGNATURE);

	(void)state;
	begin(&f);
#define CHANGED(member, value)                                                                     \
	do {                                                                                       \
		const char *was_ = f.member;                                                       \
		f.member = (value);                                                                \
		assert_int_equal(verify(&f, NOW), REASON_BAD_SIGNATURE);                           \
		f.member = was_;                                                                   \
	} while (0)
	CHANGED(m.method, "PUT");
	CHANGED(m.authority, "other.example");
	CHANGED(m.target, "/v1/logs?a=b");
	CHANGED(m.target, "/v1/metrics?a=c");
	CHANGED(m.target, "/v1/metrics");
	CHANGED(headers[0].value, "text/plain");
	CHANGED(headers[1].value, "alerts");
	CHANGED(headers[2].value, "8");
	CHANGED(headers[6].value, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
	assert_int_equal(refuse_count(REASON_BAD_SIGNATURE) - before, 9);
	f.headers[3].value = "not covered";
	assert_int_equal(verify(&f, NOW), 0);
	end(&f);
}

/* What stands in Signature-Input, edited: from, to, and what is said of it. */
static void
edited_inputs(void **state)
{
	static const struct {
		const char *from, *to;
		enum reason reason;
	} rows[] = {
		{ "tag=\"mainstay-v1\"", "tag=\"mainstay-v2\"", REASON_UNSIGNED },
		{ ";tag=\"mainstay-v1\"", "", REASON_UNSIGNED },
		{ "\"@method\" ", "", REASON_UNSIGNED },
		{ "\"@query\" ", "", REASON_UNSIGNED },
		{ "\"mainstay-sequence\"", "\"user-agent\"", REASON_UNSIGNED },
		{ " \"content-digest\"", "", REASON_UNSIGNED },
		{ "created=", "x=", REASON_MALFORMED },
		{ "expires=", "x=", REASON_MALFORMED },
		{ "nonce=", "x=", REASON_MALFORMED },
		{ "keyid=\"", "keyid=\"x", REASON_MALFORMED },
		{ ";tag=", ";alg=\"rsa-pss-sha512\";tag=", REASON_BAD_SIGNATURE },
		{ ";tag=", ";alg=\"ed25519\";tag=", REASON_BAD_SIGNATURE },
		{ "created=1", "created=-1", REASON_MALFORMED },
		{ "expires=1800000300", "expires=1800000301", REASON_MALFORMED },
		{ "sig=", "sig=(\"@method\");tag=\"mainstay-v1\", b=", REASON_MALFORMED },
		{ "sig=", "other=", REASON_MALFORMED },
		{ "sig=", "a=(), b=(), c=(), d=(), sig=", REASON_TOO_LARGE },
		{ "sig=", "a=(), sig=", REASON_NONE },
		{ "(", "((", REASON_MALFORMED },
		{ "sig=(", "sig=(\"@method\" ", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;
		const char *at;
		int r;

		begin(&f);
		at = strstr(f.fields.input, rows[i].from);
		assert_non_null(at);
		snprintf(f.input, sizeof(f.input), "%.*s%s%s", (int)(at - f.fields.input),
			f.fields.input, rows[i].to, at + strlen(rows[i].from));
		r = verify(&f, NOW);
		if (r != (int)rows[i].reason)
			fail_msg("%s -> %s: %s", rows[i].from, rows[i].to,
				refuse_token((enum reason)r));
		if (strstr(rows[i].to, "tag=\"mainstay-v1\", b="))
			assert_non_null(strstr(refuse_last()->text, "two signatures with the tag"));
		end(&f);
	}
}

/* Another implementation of the profile: it writes its own list in its own order, under its own label. */
static void
sign_by_hand(struct fixture *f, const char *label, const char *list)
{
	SCOPED(buf_done) struct buf base = BUF_MAX(HTTPSIG_BASE_MAX), text = BUF_MAX(HTTPSIG_FIELD_MAX);
	SCOPED(sfield_freep) struct sfield *parsed = NULL;
	static char signature[256];
	uint8_t sig[64];

	f->m.n_headers = 7;
	assert_int_equal(sfield_parse(&parsed, SFIELD_LIST, list, strlen(list), 0, "list"), 0);
	assert_int_equal(httpsig_base(&base, &f->m, parsed->items), 0);
	assert_int_equal(ed25519_sign(f->key, base.data, base.len, sig), 0);
	hex_base64(&text, sig, sizeof(sig));
	snprintf(f->input, sizeof(f->input), "%s=%s", label, list);
	snprintf(signature, sizeof(signature), "%s=:%s:", label, buf_text(&text));
	f->headers[5].value = signature;
}

#define ALL                                                                                        \
	"\"@method\" \"@authority\" \"@path\" \"@query\" \"content-type\" \"content-digest\" "            \
	"\"mainstay-stream\" \"mainstay-sequence\""
#define TIMES "created=1800000000;expires=1800000300"

static void
other_signers_may_order_and_add_what_they_like(void **state)
{
	static const struct {
		const char *label, *covered, *params;
		enum reason reason;
	} rows[] = {
		{ "sig", ALL, TIMES, REASON_NONE },
		{ "sig1", ALL, TIMES, REASON_NONE },
		{ "sig",
			"\"mainstay-sequence\" \"content-digest\" \"@query\" \"@path\" \"mainstay-stream\" "
			"\"@method\" \"content-type\" \"@authority\"",
			TIMES, REASON_NONE },
		{ "sig", ALL " \"user-agent\" \"@scheme\" \"@target-uri\" \"@request-target\"", TIMES,
			REASON_NONE },
		{ "sig", ALL, TIMES ";alg=\"ed25519\"", REASON_NONE },
		{ "sig", ALL, TIMES ";alg=\"rsa-v1_5-sha256\"", REASON_BAD_SIGNATURE },
		{ "sig", ALL, TIMES ";alg=ed25519", REASON_BAD_SIGNATURE },
		{ "sig", ALL, TIMES ";other=1;more", REASON_NONE },
		{ "sig", ALL, "created=1800000000;expires=1800000000", REASON_EXPIRED },
		{ "sig", ALL, "created=1800000000;expires=1800000001", REASON_NONE },
		{ "sig", ALL, "created=1800000000;expires=1799999999", REASON_MALFORMED },
		{ "sig", ALL, "created=1799999701;expires=1800000001", REASON_NONE },
		{ "sig", ALL, "created=1800000060;expires=1800000061", REASON_NONE },
		{ "sig", ALL, "created=1800000061;expires=1800000062", REASON_NOT_YET_VALID },
		{ "sig", ALL, "created=1800000000;expires=999999999999999", REASON_MALFORMED },
		{ "sig", ALL, "created=1800000000.0;expires=1800000300", REASON_MALFORMED },
		{ "sig", ALL, "created=\"1800000000\";expires=1800000300", REASON_MALFORMED },
		{ "sig", ALL, "created;expires", REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;
		char list[1024];
		int r;

		begin(&f);
		snprintf(list, sizeof(list), "(%s);%s;nonce=\"n-%zu\";keyid=\"%s\";tag=\"mainstay-v1\"",
			rows[i].covered, rows[i].params, i, ed25519_keyid(f.key));
		sign_by_hand(&f, rows[i].label, list);
		r = verify(&f, NOW);
		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", list, refuse_token((enum reason)r));
		end(&f);
	}
}

static void
an_authority_is_the_same_in_any_case_and_with_its_own_port(void **state)
{
	static const struct {
		const char *authority;
		bool same;
	} rows[] = {
		{ "HUB.example", true },
		{ "hub.example:443", true },
		{ "hub.example:8443", false },
		{ "hub.example:80", false },
		{ "hub.example.", false },
		{ "hub.example:0443", false },
		{ "user@hub.example", false },
		{ " hub.example", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture f;

		begin(&f);
		f.m.authority = rows[i].authority;
		if (verify(&f, NOW) != (rows[i].same ? 0 : REASON_BAD_SIGNATURE))
			fail_msg("%s", rows[i].authority);
		end(&f);
	}
}

/* A covered header that came twice is one value of two parts, and a folded one is unfolded: neither is what was
 * signed. */
static void
a_second_line_of_a_covered_header_breaks_the_signature(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	f.headers[7] = (struct httpsig_header){ "mainstay-stream", "alerts" };
	f.m.n_headers = 8;
	assert_int_equal(verify(&f, NOW), REASON_BAD_SIGNATURE);
	f.headers[7] = (struct httpsig_header){ "mainstay-stream", "" };
	assert_int_equal(verify(&f, NOW), REASON_BAD_SIGNATURE);
	f.m.n_headers = 7;
	f.headers[1].value = "metr\r\n ics";
	assert_int_equal(verify(&f, NOW), REASON_BAD_SIGNATURE);
	f.headers[1].value = " metrics\t";
	assert_int_equal(verify(&f, NOW), 0);
	end(&f);
}

static void
the_nonce_of_a_claim_is_read_without_a_word(void **state)
{
	static const struct {
		const char *input, *nonce;
	} rows[] = {
		{ "sig=();nonce=\"a\";tag=\"mainstay-v1\"", "a" },
		{ "x=();nonce=\"b\", sig=();nonce=\"a\";tag=\"mainstay-v1\"", "a" },
		{ "sig=();nonce=\"a\";tag=\"other\"", "" },
		{ "sig=();nonce=a;tag=\"mainstay-v1\"", "" },
		{ "sig=();tag=\"mainstay-v1\"", "" },
		{ "((", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct httpsig_header h = { "Signature-Input", rows[i].input };
		struct httpsig_message m = { .headers = &h, .n_headers = 1 };
		uint64_t before = refuse_count(REASON_MALFORMED) + refuse_count(REASON_UNSIGNED);
		char nonce[HTTPSIG_NONCE_MAX];

		assert_string_equal(httpsig_claimed_nonce(nonce, &m), rows[i].nonce);
		assert_int_equal(refuse_count(REASON_MALFORMED) + refuse_count(REASON_UNSIGNED), before);
	}
}

static void
what_is_asked_for_is_what_is_taken(void **state)
{
	struct httpsig_header h = { "Content-Type", "text/plain" };
	struct httpsig_message m = { .method = "POST", .headers = &h, .n_headers = 1 };
	SCOPED(buf_done) struct buf get = BUF_MAX(1024), post = BUF_MAX(1024);
	SCOPED(sfield_freep) struct sfield *f = NULL;

	(void)state;
	httpsig_accept(&post, &m, true);
	assert_string_equal(buf_text(&post),
		"sig=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-type\" \"content-digest\")"
		";created;expires;alg=\"ed25519\";tag=\"mainstay-v1\"");
	assert_int_equal(sfield_parse(&f, SFIELD_DICTIONARY, buf_text(&post), post.len, 0, "x"), 0);
	m.n_headers = 0;
	httpsig_accept(&get, &m, false);
	assert_string_equal(buf_text(&get),
		"sig=(\"@method\" \"@authority\" \"@path\" \"@query\");created;expires;alg=\"ed25519\";"
		"tag=\"mainstay-v1\"");
}

static void
fields_absent_or_huge(void **state)
{
	static char huge[HTTPSIG_FIELD_MAX + 2];
	struct fixture f;

	(void)state;
	begin(&f);
	f.headers[5].name = "X";
	assert_int_equal(verify(&f, NOW), REASON_UNSIGNED);
	f.headers[5].name = "Signature";
	f.headers[5].value = "sig=:AAAA:";
	assert_int_equal(verify(&f, NOW), REASON_MALFORMED);
	memset(huge, 'a', sizeof(huge) - 1);
	f.headers[5].value = huge;
	assert_int_equal(verify(&f, NOW), REASON_TOO_LARGE);
	f.m.n_headers = 4;
	assert_int_equal(verify(&f, NOW), REASON_UNSIGNED);
	end(&f);
}

/* More components, larger values, more headers than are taken. */
static void
too_much(void **state)
{
	static struct httpsig_header many[140];
	static char huge[HTTPSIG_BASE_MAX], text[2000] = "(";
	struct httpsig_header h[2] = { { "x-huge", huge }, { "content-digest", huge } };
	struct httpsig_message m = {
		.method = "GET", .authority = "a", .target = "/", .headers = h, .n_headers = 2
	};
	SCOPED(buf_done) struct buf base = BUF_MAX(HTTPSIG_BASE_MAX), b = BUF_MAX(HTTPSIG_BASE_MAX);
	SCOPED(sfield_freep) struct sfield *f = NULL, *g = NULL;
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	struct httpsig_fields fields = { 0 };
	uint8_t digest[32] = { 0 };
	size_t n = 1;

	(void)state;
	memset(huge, 'a', sizeof(huge) - 1);
	assert_int_equal(sfield_parse(&f, SFIELD_LIST, "(\"x-huge\")", 10, 0, "x"), 0);
	assert_int_equal(httpsig_base(&base, &m, f->items), REASON_TOO_LARGE);
	for (int i = 0; i <= HTTPSIG_COMPONENTS_MAX; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\"x-%d\" ", i);
		many[i] = (struct httpsig_header){ "x", "y" };
	}
	snprintf(text + n, sizeof(text) - n, ")");
	assert_int_equal(sfield_parse(&g, SFIELD_LIST, text, strlen(text), 0, "x"), 0);
	{
		static char names[HTTPSIG_COMPONENTS_MAX + 1][8];

		for (int i = 0; i <= HTTPSIG_COMPONENTS_MAX; i++) {
			snprintf(names[i], sizeof(names[i]), "x-%d", i);
			many[i] = (struct httpsig_header){ names[i], "y" };
		}
	}
	m.headers = many;
	m.n_headers = HTTPSIG_COMPONENTS_MAX + 1;
	assert_int_equal(httpsig_base(&b, &m, g->items), REASON_TOO_LARGE);
	m.headers = h;
	m.n_headers = 2;
	assert_int_equal(httpsig_check_body(&m, "", 0), REASON_TOO_LARGE);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct httpsig_header){ "x", "y" };
	m.headers = many;
	m.n_headers = ARRAY_LEN(many);
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(httpsig_sign_request(&fields, &m, digest, key, NOW), REASON_TOO_LARGE);
	assert_null(fields.input);
}

static void
a_key_that_is_not_the_named_one(void **state)
{
	struct ed25519 *was;
	struct fixture f;

	(void)state;
	begin(&f);
	was = f.key;
	assert_int_equal(ed25519_generate(&f.key), 0);
	assert_int_equal(verify(&f, NOW), REASON_UNKNOWN_KEY);
	ed25519_free(was);
	end(&f);
}

static void
bodies(void **state)
{
	static const struct {
		const char *digest;
		enum reason reason;
	} rows[] = {
		{ "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
			REASON_NONE }, /* {"hello": "world"}\n */
		{ "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", REASON_HASH_MISMATCH },
		{ "md5=:X48E9qOokqqrvdts8nOJRA==:", REASON_MALFORMED },
		{ "sha-256=:X48E:", REASON_HASH_MISMATCH },
		{ "sha-256", REASON_HASH_MISMATCH },
		{ "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, sha-512=:AAAA:",
			REASON_HASH_MISMATCH },
		{ "", REASON_MALFORMED },
		{ "(((", REASON_MALFORMED },
	};
	static const char body[] = "{\"hello\": \"world\"}\n";
	struct httpsig_message none = { .method = "POST" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct httpsig_header h = { "content-digest", rows[i].digest };
		struct httpsig_message m = { .headers = &h, .n_headers = 1 };
		int r = httpsig_check_body(&m, body, strlen(body));

		if (r != (int)rows[i].reason)
			fail_msg("%s: %s", rows[i].digest, refuse_token((enum reason)r));
	}
	assert_refused(httpsig_check_body(&none, body, strlen(body)), REASON_MALFORMED, "missing");
}

static void
replies(void **state)
{
	struct httpsig_header headers[5] = { { "Mainstay-Committed", "12" } };
	struct httpsig_message m = { .status = 200, .headers = headers, .n_headers = 1 };
	SCOPED(ed25519_freep) struct ed25519 *key = NULL, *other = NULL;
	struct httpsig_fields fields;
	uint8_t digest[32];
	uint64_t created = 0;

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	assert_int_equal(ed25519_generate(&other), 0);
	sha256_of(digest, BODY, strlen(BODY));
	assert_int_equal(httpsig_sign_reply(&fields, &m, digest, "n\"once", key, NOW), 0);
	headers[1] = (struct httpsig_header){ "content-digest", fields.digest };
	headers[2] = (struct httpsig_header){ "signature-input", fields.input };
	headers[3] = (struct httpsig_header){ "signature", fields.signature };
	m.n_headers = 4;
#define VERIFY(nonce, k)                                                                           \
	httpsig_verify_reply(&m, BODY, strlen(BODY), nonce, ed25519_public(k), &created)
	assert_int_equal(VERIFY("n\"once", key), 0);
	assert_int_equal(created, NOW / CLOCK_US_PER_S);
	assert_int_equal(VERIFY("another", key), REASON_REPLAYED);
	assert_refused(VERIFY("n\"once", other), REASON_BAD_SIGNATURE, "not by the pinned one");
	assert_int_equal(httpsig_verify_reply(&m, BODY, 3, "n\"once", ed25519_public(key), NULL),
		REASON_HASH_MISMATCH);
	m.status = 409;
	assert_int_equal(VERIFY("n\"once", key), REASON_BAD_SIGNATURE);
	m.status = 200;
	headers[0].value = "13";
	assert_int_equal(VERIFY("n\"once", key), REASON_BAD_SIGNATURE);
	headers[0].name = "X"; /* covered, but gone */
	assert_int_equal(VERIFY("n\"once", key), REASON_MALFORMED);
	httpsig_fields_done(&fields);

	/* a Mainstay-Committed that nobody signed */
	m.n_headers = 0;
	assert_int_equal(httpsig_sign_reply(&fields, &m, digest, "n", key, NOW), 0);
	headers[0] = (struct httpsig_header){ "Mainstay-Committed", "99" };
	headers[1].value = fields.digest;
	headers[2].value = fields.input;
	headers[3].value = fields.signature;
	m.n_headers = 4;
	assert_int_equal(VERIFY("n", key), REASON_UNSIGNED);
	httpsig_fields_done(&fields);

	m.n_headers = 0;
	assert_int_equal(VERIFY("n", key), REASON_UNSIGNED);
	assert_refused(httpsig_sign_reply(&fields, &m, digest, "line\nbreak", key, NOW), REASON_MALFORMED,
		"no printable ASCII");
	assert_int_equal(httpsig_sign_reply(&fields, &m, digest,
				 "01234567890123456789012345678901234567890123456789012345678901234"
				 "56789",
				 key, NOW),
		REASON_TOO_LARGE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc9421_vectors),
		cmocka_unit_test(bases),
		cmocka_unit_test(a_request_verifies),
		cmocka_unit_test(nothing_covered_may_change),
		cmocka_unit_test(edited_inputs),
		cmocka_unit_test(other_signers_may_order_and_add_what_they_like),
		cmocka_unit_test(an_authority_is_the_same_in_any_case_and_with_its_own_port),
		cmocka_unit_test(a_second_line_of_a_covered_header_breaks_the_signature),
		cmocka_unit_test(the_nonce_of_a_claim_is_read_without_a_word),
		cmocka_unit_test(what_is_asked_for_is_what_is_taken),
		cmocka_unit_test(fields_absent_or_huge),
		cmocka_unit_test(too_much),
		cmocka_unit_test(a_key_that_is_not_the_named_one),
		cmocka_unit_test(bodies),
		cmocka_unit_test(replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
