#include "appliance/policy/permit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/message.h"
#include "appliance/trust/sshsig.h"

static const char operand[] = "permit";

json_t *
permit_json(const struct permit *p)
{
	json_t *doc = json_object();
	int r = doc ? 0 : -1;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "id", p->id);
	r = r ?: json_put_sha256(doc, "request", p->request);
	r = r ?: json_put_sha256(doc, "plan", p->plan);
	r = r ?: json_put_text(doc, "decision", p->allow ? "allow" : "deny");
	r = r ?: json_put_time(doc, "not_before", p->not_before);
	r = r ?: json_put_time(doc, "expires", p->expires);
	r = r ?: json_put_u64(doc, "uses", p->uses);
	r = r ?: json_put_text(doc, "approver", p->approver);
	r = r ?: json_put_text(doc, "reason", p->reason);
	if (r == 0)
		return doc;
	json_decref(doc);
	return NULL;
}

struct parts {
	uint64_t v, uses, not_before, expires;
	const char *id, *decision, *approver, *reason;
	uint8_t request[32], plan[32];
};

int
permit_parse(struct permit *ret, const json_t *doc)
{
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v) },
		{ "id", JSON_KIND_TEXT, .offset = offsetof(struct parts, id),
			.max = PERMIT_NAME_MAX },
		{ "request", JSON_KIND_SHA256, .offset = offsetof(struct parts, request) },
		{ "plan", JSON_KIND_SHA256, .offset = offsetof(struct parts, plan) },
		{ "decision", JSON_KIND_TEXT, .offset = offsetof(struct parts, decision),
			.max = 8 },
		{ "not_before", JSON_KIND_TIME, .offset = offsetof(struct parts, not_before) },
		{ "expires", JSON_KIND_TIME, .offset = offsetof(struct parts, expires) },
		{ "uses", JSON_KIND_U64, .offset = offsetof(struct parts, uses),
			.max = PERMIT_USES_MAX },
		{ "approver", JSON_KIND_TEXT, .offset = offsetof(struct parts, approver),
			.max = PERMIT_NAME_MAX },
		{ "reason", JSON_KIND_TEXT0, .offset = offsetof(struct parts, reason),
			.max = PERMIT_REASON_MAX },
	};
	struct parts in = { 0 };
	struct permit p = { 0 };
	int r = json_members(doc, fields, ARRAY_LEN(fields), &in, operand);

	if (r)
		return r < 0 ? FAULT(r) : r;
	if (in.v != 1 || in.uses < 1 || in.expires <= in.not_before)
		return REFUSE(REASON_MALFORMED, operand, "v, uses or times make no sense");
	p.allow = strcmp(in.decision, "allow") == 0;
	if (!p.allow && strcmp(in.decision, "deny") != 0)
		return REFUSE(REASON_MALFORMED, operand, "decision is neither allow nor deny");
	p.not_before = in.not_before;
	p.expires = in.expires;
	p.uses = (unsigned)in.uses;
	memcpy(p.request, in.request, sizeof(p.request));
	memcpy(p.plan, in.plan, sizeof(p.plan));
	(void)snprintf(p.id, sizeof(p.id), "%s", in.id);
	(void)snprintf(p.approver, sizeof(p.approver), "%s", in.approver);
	(void)snprintf(p.reason, sizeof(p.reason), "%s", in.reason);
	*ret = p;
	return 0;
}

int
permit_text(struct buf *out, const char *plan_text, const struct permit *permit)
{
	SCOPED_JSON *doc = permit_json(permit);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	buf_puts(out, plan_text);
	buf_u8(out, '\n');
	r = json_canonical(out, doc);
	if (r)
		return FAULT(r);
	buf_u8(out, '\n');
	return FAULT(buf_error(out));
}

/* --- verifying ----------------------------------------------------------------------------------- */
/* The JSON is the last line; the plan is all before it.  Returns where the JSON begins in *ret_at. */
static int
split(const char *text, size_t len, size_t *ret_at)
{
	size_t at;

	if (len == 0 || len > PERMIT_TEXT_MAX)
		return REFUSE(len ? REASON_TOO_LARGE : REASON_MALFORMED, operand, "%zu bytes", len);
	if (text[len - 1] != '\n' || memchr(text, '\0', len))
		return REFUSE(REASON_MALFORMED, operand, "must be text that ends with a newline");
	for (at = len - 1; at > 0 && text[at - 1] != '\n'; at--)
		;
	if (at == 0)
		return REFUSE(REASON_MALFORMED, operand, "holds no plan before the permit");
	*ret_at = at;
	return 0;
}

int
permit_split(struct permit *ret, size_t *ret_plan_len, const char *text, size_t len)
{
	SCOPED_JSON *doc = NULL;
	size_t at = 0, json_len;
	int r = split(text, len, &at);

	if (r)
		return r;
	json_len = len - 1 - at;
	r = json_read(&doc, text + at, json_len, PERMIT_JSON_MAX, operand);
	r = r ?: permit_parse(ret, doc);
	if (r)
		return r;
	r = json_compare_canonical(doc, text + at, json_len);
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(REASON_MALFORMED, operand, "its JSON is not canonical");
	*ret_plan_len = at - 1;
	return 0;
}

static int
read_text(struct permit *ret, const struct permit_question *q, const char *text, size_t len)
{
	size_t plan_len = 0;
	int r = permit_split(ret, &plan_len, text, len);

	if (r)
		return r;
	if (strlen(q->plan_text) != plan_len || memcmp(q->plan_text, text, plan_len) != 0)
		return REFUSE(REASON_ALTERED, operand,
			"the plan that was signed is not the plan of this site");
	if (memcmp(ret->request, q->request, 32) != 0)
		return REFUSE(REASON_ALTERED, operand, "it is about another request");
	if (memcmp(ret->plan, q->plan, 32) != 0)
		return REFUSE(REASON_ALTERED, operand, "it is about another plan");
	return 0;
}

static int
check_approver(struct sshkey_public *ret_key, const struct permit_question *q, const char *name)
{
	const struct policy_approver *a = policy_find_approver(q->policy, name);
	int r;

	if (!a)
		return REFUSE(REASON_UNKNOWN_KEY, name, "is no approver in the policy");
	if (!policy_may_approve(q->policy, q->answer, name))
		return REFUSE(REASON_WRONG_ROLE, name,
			"may not approve this: the policy names others");
	r = sshkey_parse(ret_key, a->key, name);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (q->is_engineer && q->is_engineer(ret_key, q->arg))
		return REFUSE(REASON_WRONG_ROLE, name,
			"the key is an engineer's: who asks cannot be who approves");
	return 0;
}

/* The binary form of what people pass on armoured. */
static int
read_signature(struct buf *out, const void *sig, size_t sig_len)
{
	static const char armour[] = "-----BEGIN";

	if (sig_len == 0)
		return REFUSE(REASON_UNSIGNED, operand, "there is no signature");
	if (sig_len >= sizeof(armour) - 1 && memcmp(sig, armour, sizeof(armour) - 1) == 0)
		return sshsig_dearmour(out, sig, sig_len, operand);
	if (sig_len > out->max)
		return REFUSE(REASON_TOO_LARGE, operand, "a signature of %zu bytes", sig_len);
	buf_put(out, sig, sig_len);
	return FAULT(buf_error(out));
}

static int
check_signature(const struct sshkey_public *key, const void *text, size_t len, const void *sig,
	size_t sig_len)
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
	int r = read_signature(&blob, sig, sig_len);

	return r
		?: sshsig_verify(blob.data, blob.len, key, message_namespace(MESSAGE_PERMIT), text,
			   len, operand);
}

int
permit_signer(struct sshkey_public *ret, const void *text, size_t len, const void *sig,
	size_t sig_len)
{
	SCOPED(buf_done) struct buf blob = BUF_MAX(SSHSIG_BLOB_MAX);
	struct sshsig s;
	int r = read_signature(&blob, sig, sig_len);

	r = r ?: sshsig_parse(&s, blob.data, blob.len, operand);
	r = r
		?: sshsig_verify(blob.data, blob.len, &s.key, message_namespace(MESSAGE_PERMIT),
			   text, len, operand);
	if (r == 0)
		*ret = s.key;
	return r < 0 ? FAULT(r) : r;
}

static int
check_times(const struct permit *p, const struct permit_question *q)
{
	char when[CLOCK_TEXT_MAX];

	if (q->now_us < p->not_before)
		return REFUSE(REASON_NOT_YET_VALID, operand, "valid from %s",
			clock_format(when, p->not_before));
	if (q->now_us >= p->expires)
		return REFUSE(REASON_EXPIRED, operand, "expired %s",
			clock_format(when, p->expires));
	if (q->used >= p->uses)
		return REFUSE(REASON_REPLAYED, operand, "all %u uses are used", p->uses);
	return 0;
}

int
permit_verify(struct permit *ret, const struct permit_question *q, const void *text, size_t len,
	const void *sig, size_t sig_len)
{
	struct sshkey_public key;
	struct permit p;
	int r;

	r = read_text(&p, q, text, len);
	r = r ?: check_approver(&key, q, p.approver);
	r = r ?: check_signature(&key, text, len, sig, sig_len);
	r = r ?: check_times(&p, q);
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = p;
	return 0;
}
