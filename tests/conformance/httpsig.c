/* Our HTTP message signatures for whoever asks: one JSON object a line on standard input (a file), one answer a line.
 *
 *	{"do":"sign","key":SEED,"now":SECONDS,"method","authority","target","headers":[[N,V]...],"body":TEXT}
 *	{"do":"sign","key":SEED,"now":SECONDS,"status":N,"nonce","headers","body"}
 *		{"reason":"ok","headers":[[N,V]...]}  what is to be added
 *	{"do":"verify","key":PUBLIC, ...}  the same without now for a reply
 *		{"reason":"ok"|TOKEN} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/httpsig.h"
#include "appliance/trust/sha256.h"

enum { INPUT_MAX = 64 * 1024 * 1024, HEADERS = 64 };

struct job {
	struct httpsig_message m;
	struct httpsig_header headers[HEADERS];
	const char *body, *nonce;
	uint8_t key[32];
	uint64_t now_us;
};

static const char *
text(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(doc, name));
}

static bool
read_job(struct job *j, const json_t *doc)
{
	const json_t *list = json_object_get(doc, "headers"), *pair;
	const char *key = text(doc, "key");
	size_t i;

	j->m = (struct httpsig_message){
		.method = text(doc, "method"),
		.authority = text(doc, "authority"),
		.target = text(doc, "target"),
		.status = (int)json_integer_value(json_object_get(doc, "status")),
		.headers = j->headers,
	};
	json_array_foreach(list, i, pair) {
		if (i == HEADERS)
			return false;
		j->headers[j->m.n_headers++] = (struct httpsig_header){ json_string_value(json_array_get(pair, 0)),
			json_string_value(json_array_get(pair, 1)) };
	}
	j->body = text(doc, "body");
	j->nonce = text(doc, "nonce");
	j->now_us = (uint64_t)json_integer_value(json_object_get(doc, "now")) * CLOCK_US_PER_S;
	return key && hex_decode(j->key, sizeof(j->key), key);
}

static int
find(const char *keyid, uint8_t ret_key[32], void *arg)
{
	(void)keyid;
	memcpy(ret_key, arg, 32);
	return 0;
}

static int
verify(const struct job *j)
{
	struct httpsig_verified v;
	int r;

	if (!j->m.method)
		return httpsig_verify_reply(&j->m, j->body, strlen(j->body), j->nonce, j->key, NULL);
	r = httpsig_verify_request(&v, &j->m, j->body != NULL, j->now_us, find, (void *)(uintptr_t)j->key);
	if (r == 0 && j->body)
		r = httpsig_check_body(&j->m, j->body, strlen(j->body));
	return r;
}

static int
sign(const struct job *j, json_t *ret_headers)
{
	SCOPED(httpsig_fields_done) struct httpsig_fields f = { 0 };
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	uint8_t digest[SHA256_LEN];
	int r = ed25519_from_seed(&key, j->key);

	if (r)
		return r;
	sha256_of(digest, j->body, j->body ? strlen(j->body) : 0);
	r = j->m.method ? httpsig_sign_request(&f, &j->m, j->body ? digest : NULL, key, j->now_us)
			: httpsig_sign_reply(&f, &j->m, digest, j->nonce, key, j->now_us);
	if (r)
		return r;
	if (f.digest[0])
		(void)json_array_append_new(ret_headers, json_pack("[s, s]", "Content-Digest", f.digest));
	(void)json_array_append_new(ret_headers, json_pack("[s, s]", "Signature-Input", f.input));
	(void)json_array_append_new(ret_headers, json_pack("[s, s]", "Signature", f.signature));
	return 0;
}

static bool
answer(const char *line)
{
	SCOPED_JSON *doc = json_loads(line, 0, NULL), *headers = json_array(), *out = NULL;
	SCOPED(scope_free) char *said = NULL;
	struct job j = { 0 };
	int r;

	if (!doc || !read_job(&j, doc))
		return false;
	r = strcmp(text(doc, "do"), "sign") == 0 ? sign(&j, headers) : verify(&j);
	out = json_pack("{s:s, s:O}", "reason",
		r == 0	      ? "ok"
			: r > 0 ? refuse_token((enum reason)r)
				: "fault",
		"headers", headers);
	said = json_dumps(out, JSON_COMPACT);
	return said && puts(said) != EOF;
}

int
main(void)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(INPUT_MAX);
	char *rest = NULL;

	if (fs_read_fd(STDIN_FILENO, INPUT_MAX, &in) != 0 || in.len == 0)
		return 4;
	for (char *line = strtok_r((char *)(uintptr_t)buf_text(&in), "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (!answer(line))
			return 4;
	return 0;
}
