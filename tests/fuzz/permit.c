/* A permit's text, unsigned: it never verifies, and what parses is written and parsed again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/policy/permit.h"
#include "appliance/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char policy[] = "{\"v\":1,\"approvers\":[{\"name\":\"olga\",\"key\":\"ssh-ed25519 "
			     "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\"}],"
			     "\"rules\":[{\"decision\":\"ask\"}]}";

/* Ask as a monitor would whose plan is all before the last line, so that the permit itself is reached. */
static void
verify(const uint8_t *data, size_t size)
{
	static const uint8_t zero[32];
	SCOPED(policy_freep) struct policy *p = NULL;
	SCOPED(buf_done) struct buf plan = BUF_MAX(PERMIT_TEXT_MAX + 1);
	struct policy_answer answer;
	struct permit_question q = { .request = zero, .plan = zero, .now_us = 1, .answer = &answer };
	struct permit permit;
	size_t at = size ? size - 1 : 0;

	while (at > 0 && data[at - 1] != '\n')
		at--;
	if (at > 0 && at <= PERMIT_TEXT_MAX)
		buf_put(&plan, data, at - 1);
	if (policy_parse(&p, policy, sizeof(policy) - 1) != 0)
		abort();
	policy_decide(p,
		&(struct policy_question){
			.service = "redis", .operation = "x", .risk = "change", .role = "support", .engineer = "ann" },
		&answer);
	q.plan_text = buf_text(&plan);
	q.policy = p;
	if (permit_verify(&permit, &q, data, size, "x", 1) == 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(PERMIT_TEXT_MAX);
	SCOPED_JSON *doc = NULL, *written = NULL, *back = NULL;
	struct permit p, again;

	log_quiet_refusals(true);
	verify(data, size);
	if (json_read(&doc, data, size, PERMIT_TEXT_MAX, "permit") != 0 || permit_parse(&p, doc) != 0)
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
