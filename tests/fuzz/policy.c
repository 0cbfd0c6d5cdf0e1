/* policy_compile(): what compiles must read back as a policy, and decide without a rule beyond its own. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The compiled copy, as a careless hand left it: what is taken is the same when it is read again. */
static void
compiled(const uint8_t *data, size_t size)
{
	SCOPED(policy_freep) struct policy *p = NULL, *again = NULL;

	if (policy_parse(&p, data, size) != 0)
		return;
	if (policy_from_json(&again, policy_json(p)) != 0 ||
		memcmp(policy_digest(again), policy_digest(p), 32) != 0)
		abort();
}

/* Nothing runs without a rule, nothing but what is asked about runs outside the maintenance hours, and when they open
 * is a time to come, at which they are open. */
static void
ask(const struct policy *p, const struct policy_question *q)
{
	struct policy_answer a;
	uint64_t opens;
	char text[512];
	bool open = policy_window_open(p, POLICY_WINDOW_REMOTE, q->now_us, q->windows_closed, &opens);

	policy_decide(p, q, &a);
	policy_explain(p, &a, text, sizeof(text));
	if ((a.n_rules == 0 && a.decision != POLICY_DENY) ||
		(!open && a.decision == POLICY_ALLOW && strcmp(q->risk, "observe") != 0) ||
		(opens > 0 && (open || opens <= q->now_us ||
				      !policy_window_open(p, POLICY_WINDOW_REMOTE, opens, false, NULL))) ||
		(a.closed > 0 && a.opens_us > 0 && a.opens_us <= q->now_us))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(POLICY_BYTES_MAX);
	SCOPED(policy_freep) struct policy *p = NULL;
	SCOPED_JSON *doc = NULL, *warnings = NULL;
	struct policy_question q = { .service = "redis",
		.operation = "info",
		.risk = "observe",
		.role = "support",
		.engineer = "ann",
		.now_us = size };
	log_quiet_refusals(true);
	if (size && data[0] == '{')
		compiled(data, size);
	if (policy_compile(&doc, data, size, "fuzz.yaml") != 0)
		return 0;
	if (json_canonical(&text, doc) != 0 || policy_parse(&p, text.data, text.len) != 0)
		abort();
	ask(p, &q);
	q.risk = "change";
	ask(p, &q);
	q.windows_closed = true;
	ask(p, &q);
	warnings = policy_warnings(p);
	return 0;
}
