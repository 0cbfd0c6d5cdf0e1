/* A permit's text, unsigned and signed by an approver; what parses is written and parsed again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/policy/permit.h"
#include "appliance/policy/policy.h"
#include "appliance/trust/sshsig.h"
#include "tests/fuzz/person.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct person olga; /* the approver */
static struct policy *policy;
static struct policy_answer answer;

static void
set_up(void)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);

	person_make(&olga, 1);
	buf_printf(&text,
		"{\"v\":1,\"approvers\":[{\"name\":\"olga\",\"key\":\"%s\"}],\"rules\":[{"
		"\"decision\":\"ask\"}]}",
		olga.line);
	if (policy_parse(&policy, text.data, text.len) != 0)
		abort();
	policy_decide(policy,
		&(struct policy_question){ .service = "redis",
			.operation = "x",
			.risk = "change",
			.role = "support",
			.engineer = "ann" },
		&answer);
}

/* Whatever the text is, it is hers by her signature and nobody's by another. */
static void
signer(const uint8_t *data, size_t size, const struct buf *blob)
{
	struct sshkey_public key;

	if (permit_signer(&key, data, size, blob->data, blob->len) != 0 || !sshkey_same(&key, &olga.public))
		abort();
	if (permit_signer(&key, data, size, "x", 1) == 0 || permit_signer(&key, data, size, "", 0) == 0)
		abort();
	/* What the fuzzer has is a signature, for once, too. */
	if (permit_signer(&key, "x", 1, data, size) == 0 && sshkey_same(&key, &olga.public))
		abort();
}

/* Ask as a monitor would whose plan is all before the last line and who waits for exactly this permit: with a
 * signature that is none nothing verifies, with hers it does between its dates, as often as it says. */
static void
verify(const uint8_t *data, size_t size)
{
	static const uint8_t zero[32];
	SCOPED(buf_done)
	struct buf plan = BUF_MAX(PERMIT_TEXT_MAX + 1), blob = BUF_MAX(SSHSIG_BLOB_MAX);
	SCOPED_JSON *doc = NULL;
	struct permit_question q = {
		.request = zero, .plan = zero, .policy = policy, .answer = &answer
	};
	struct permit permit, claimed;
	size_t at = size ? size - 1 : 0;

	while (at > 0 && data[at - 1] != '\n')
		at--;
	if (at > 0 && at <= PERMIT_TEXT_MAX)
		buf_put(&plan, data, at - 1);
	q.plan_text = buf_text(&plan);
	person_sign(&olga, "permit@mainstay", data, size, &blob);
	signer(data, size, &blob);
	if (permit_verify(&permit, &q, data, size, "x", 1) == 0)
		abort();
	if (!size || json_read(&doc, data + at, size - at - 1, PERMIT_TEXT_MAX, "permit") != 0 ||
		permit_parse(&claimed, doc) != 0)
		return;
	q.request = claimed.request;
	q.plan = claimed.plan;
	for (unsigned used = 0; used < 2; used++) {
		const uint64_t times[] = { claimed.not_before - 1, claimed.not_before,
			claimed.expires };

		q.used = used ? claimed.uses : 0;
		for (size_t i = 0; i < ARRAY_LEN(times); i++) {
			q.now_us = times[i];
			if (permit_verify(&permit, &q, data, size, blob.data, blob.len) == 0 &&
				(used || q.now_us < claimed.not_before ||
					q.now_us >= claimed.expires))
				abort();
		}
	}
	if (permit_verify(&permit, &q, data, size, "x", 1) == 0 ||
		permit_verify(&permit, &q, data, size, "", 0) == 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX);
	SCOPED_JSON *doc = NULL, *written = NULL, *back = NULL;
	struct permit p, again;

	log_quiet_refusals(true);
	if (!policy)
		set_up();
	verify(data, size);
	if (json_read(&doc, data, size, PERMIT_TEXT_MAX, "permit") != 0 ||
		permit_parse(&p, doc) != 0)
		return 0;
	if (permit_text(&text, "plan", &p) != 0)
		abort();
	if (json_read(&written, text.data + 5, text.len - 6, PERMIT_TEXT_MAX, "permit") != 0 ||
		permit_parse(&again, written) != 0)
		abort();
	back = permit_json(&again);
	if (!json_equal(written, back))
		abort();
	return 0;
}
