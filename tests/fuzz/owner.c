/* An owner's statement: as it comes nothing verifies; signed by both owners it is taken only where it says what is
 * asked for. */
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/policy/owner.h"
#include "appliance/policy/policy.h"
#include "tests/fuzz/person.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct person owners[2];
static struct policy *policy;

static void
set_up(void)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(1024);

	person_make(&owners[0], 1);
	person_make(&owners[1], 2);
	buf_printf(&text,
		"{\"v\":1,\"owners\":{\"k\":2,\"keys\":[\"%s\",\"%s\"]},\"rules\":[{\"decision\":"
		"\"ask\"}]}",
		owners[0].line, owners[1].line);
	if (policy_parse(&policy, text.data, text.len) != 0)
		abort();
}

static void
put_envelope(struct buf *out, const uint8_t *data, size_t size, size_t n)
{
	buf_puts(out, "{\"payload\":\"");
	hex_base64(out, data, size);
	buf_puts(out, "\",\"sigs\":[");
	for (size_t i = 0; i < n; i++) {
		SCOPED(buf_done) struct buf sig = BUF_MAX(1024);

		person_sign(&owners[i], "owner@mainstay", data, size, &sig);
		buf_printf(out, "%s{\"keyid\":\"%s\",\"sig\":\"", i ? "," : "",
			owners[i].public.keyid);
		hex_base64(out, sig.data, sig.len);
		buf_puts(out, "\"}");
	}
	buf_puts(out, "]}");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t zero[32];
	uint64_t used[OWNER_KINDS] = { 0 }, time_us = 0, ignored;
	struct owner_question q = { .site = "a1",
		.kinds = (1u << OWNER_POLICY) | (1u << OWNER_SWITCH),
		.digest = zero,
		.now_us = UINT64_C(1800000000000000),
		.date_us = UINT64_C(1800000000000000),
		.used = used };
	enum owner_kind kind, again;

	log_quiet_refusals(true);
	if (!policy)
		set_up();
	q.policy = policy;
	if (owner_verify(&kind, &time_us, &q, data, size) == 0)
		abort();
	for (size_t n = 0; n <= 2; n++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(65536);

		put_envelope(&text, data, size, n);
		if (owner_verify(&kind, &time_us, &q, text.data, text.len) != 0)
			continue;
		if (n < 2 || !owner_kind_parse(&again, owner_kind_text(kind)) || again != kind ||
			kind > OWNER_SWITCH)
			abort();
		used[kind] = time_us; /* once */
		if (owner_verify(&kind, &ignored, &q, text.data, text.len) == 0)
			abort();
	}
	return 0;
}
