#include "appliance/monitor/erase_verb.h"

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/statement.h"

enum { WHY_MAX = 1024 };

int
erase_verb_digest(uint8_t out[SHA256_LEN], uint64_t from, uint64_t to, const char *why)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * WHY_MAX + 256);
	SCOPED_JSON *doc = json_pack("{s:s, s:I, s:s, s:I}", "erase", AUDIT_RECORDS, "from",
		(json_int_t)from, "reason", why, "to", (json_int_t)to);
	int r = json_canonical(&b, doc);

	if (r == 0)
		sha256_of(out, b.data, b.len);
	return FAULT(r);
}

/* What the log keeps of the people in it is the owners' to decide, where there are owners. */
static int
check_owners(struct monitor *m, struct monitor_call *call, uint64_t from, uint64_t to,
	const char *why)
{
	uint8_t digest[SHA256_LEN];
	enum owner_kind kind;
	const void *body;
	size_t len;
	int r;

	if (!monitor_guarded(m))
		return 0;
	body = monitor_call_body(call, &len);
	r = erase_verb_digest(digest, from, to, why);
	return r ?: monitor_owners(m, 1U << OWNER_POLICY, digest, body, len, &kind);
}

static int
on_erase(struct monitor *m, struct monitor_call *call, void *arg)
{
	uint64_t from = 0, to = 0, erased = 0, entry = audit_size(m->audit);
	const char *from_text, *to_text, *why;
	int r;

	(void)arg;
	r = monitor_call_need(call, "from", &from_text);
	r = r ?: monitor_call_need(call, "to", &to_text);
	r = r ?: monitor_call_need(call, "reason", &why);
	r = r ?: monitor_call_u64(call, "from", INT64_MAX / 2, &from);
	r = r ?: monitor_call_u64(call, "to", INT64_MAX / 2, &to);
	if (r == 0 && strlen(why) > WHY_MAX)
		return REFUSE(REASON_TOO_LARGE, "reason", "over %d bytes", WHY_MAX);
	r = r ?: check_owners(m, call, from, to, why);
	r = r ?: audit_erase(m->audit, monitor_call_actor(call), from, to, why, &erased);
	if (r)
		return FAULT(r);
	statement_audit_moved(m);
	monitor_answer(call,
		json_pack("{s:I, s:I, s:I, s:I}", "from", (json_int_t)from, "to", (json_int_t)to,
			"erased", (json_int_t)erased, "entry", (json_int_t)entry));
	return 0;
}

int
erase_verb_init(struct monitor *m)
{
	return monitor_register_verb(m, "audit.erase", CALL_ROLE_CONTROL, on_erase, NULL);
}
