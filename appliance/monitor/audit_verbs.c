#include "appliance/monitor/audit_verbs.h"

#include <errno.h>

#include "appliance/audit/proof.h"
#include "appliance/audit/verify.h"
#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/cosign.h"
#include "appliance/monitor/forked.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/witnesses.h"

enum { LOG_ITEMS_MAX = 20000, PROOF_MAX = 64 * 1024 };

static int
add_entry(const struct audit_entry *e, void *arg)
{
	static const char *const members[] = { "n", "time", "kind", "actor", "object", "digest",
		"reason" };
	json_t *items = arg, *item = json_object();

	if (!item || json_array_append_new(items, item) < 0)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *v = json_object_get(e->json, members[i]);

		/* All members are always there: null is what an entry has nothing to say about. */
		if (json_object_set_new(item, members[i], v ? json_incref(v) : json_null()) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

static int
on_log(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct audit_filter filter = { .limit = LOG_ITEMS_MAX };
	const char *since = monitor_call_text(call, "since");
	json_t *items;
	int r;

	(void)arg;
	filter.kind = monitor_call_text(call, "kind");
	r = monitor_call_u64(call, "from", UINT64_MAX / 2, &filter.from);
	r = r ?: monitor_call_u64(call, "limit", LOG_ITEMS_MAX, &filter.limit);
	if (r)
		return r;
	if (since && clock_parse(&filter.since_us, since) != 0)
		return REFUSE(REASON_USAGE, since, "is no time like 2026-01-31T12:00:00Z");
	items = json_array();
	if (!items)
		return FAULT(-ENOMEM);
	r = audit_each(m->audit, &filter, add_entry, items);
	if (r) {
		json_decref(items);
		return r < 0 ? FAULT(r) : r;
	}
	monitor_answer(call, json_pack("{s:o}", "items", items));
	return 0;
}

/* The log's own key, as a witness or a policy wants it. */
static int
put_vkey(const struct monitor *m, json_t *doc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	struct note_key k;
	int r = note_key_make(&k, audit_origin(m->audit), NOTE_TYPE_ED25519,
		ed25519_public(m->site.audit_key));

	note_key_text(&b, &k);
	r = r ?: buf_error(&b);
	return r ?: json_put_text(doc, "vkey", buf_text(&b));
}

static int
put_quorum(struct monitor *m, json_t *doc)
{
	json_t *quorum = witnesses_json(m);

	if (!quorum)
		return 0; /* not enrolled: there is nobody to ask for */
	return json_object_set_new(doc, "quorum", quorum) < 0 ? -ENOMEM : 0;
}

/* What a witness that last saw old entries is to be given. */
static int
put_submission(struct monitor *m, uint64_t old, json_t *doc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PROOF_MAX);
	const char *head;
	struct merkle_proof proof = { 0 };
	int r = audit_consistency(m->audit, old, &proof);

	if (r)
		return r;
	head = audit_checkpoint(m->audit);
	witness_request(&b, old, &proof, head, strlen(head));
	return buf_error(&b) ?: json_put_text(doc, "submission", buf_text(&b));
}

static int
on_head(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED_JSON *doc = json_object();
	const char *note = audit_cosigned_note(m->audit);
	uint8_t root[MERKLE_HASH];
	uint64_t from = 0;
	int r = doc ? monitor_call_u64(call, "from", UINT64_MAX / 2, &from) : -ENOMEM;

	(void)arg;
	audit_root(m->audit, root);
	r = r ?: put_submission(m, from, doc);
	if (r > 0)
		return r;
	r = r ?: json_put_u64(doc, "size", audit_size(m->audit));
	r = r ?: json_put_sha256(doc, "root", root);
	r = r ?: json_put_u64(doc, "cosigned", audit_cosigned(m->audit));
	r = r ?: json_put_text(doc, "origin", audit_origin(m->audit));
	r = r ?: json_put_text(doc, "key", ed25519_public_hex(m->site.audit_key));
	r = r ?: json_put_text(doc, "checkpoint", audit_checkpoint(m->audit));
	r = r ?: json_put_text(doc, "cosigned_checkpoint", note ? note : "");
	r = r ?: put_vkey(m, doc);
	r = r ?: put_quorum(m, doc);
	r = r ?: json_object_set_new(doc, "witnesses", cosign_json(m));
	if (r == 0 && forked_is(m))
		r = json_object_set(doc, "forked", m->forked);
	if (r)
		return FAULT(r);
	monitor_answer(call, STEAL(doc));
	return 0;
}

static int
on_cosigned(struct monitor *m, struct monitor_call *call, void *arg)
{
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = cosign_import(m, body, len);

	(void)arg;
	if (r)
		return r;
	monitor_answer(call, witnesses_json(m));
	return 0;
}

static int
on_verify(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = json_object();
	const char *note = audit_cosigned_note(m->audit);
	struct verify_report report;
	struct quorum_verdict v;
	int r = doc ? 0 : -ENOMEM;

	(void)arg;
	r = r ?: audit_commit(m->audit);
	r = r ?: fs_open_dir(&fd, m->lib_fd, "audit", 0700);
	r = r ?: verify_log(&report, fd, ed25519_public(m->site.audit_key), NULL);
	if (r == 0 && report.cosigned != audit_cosigned(m->audit))
		return REFUSE(REASON_ALTERED, "cosigned",
			"is gone or older: witnesses have cosigned %llu entries of this log",
			(unsigned long long)audit_cosigned(m->audit));
	if (r == 0 && note)
		r = witnesses_judge(m, note, &v);
	if (r > 0)
		return r;
	r = r ?: json_put_u64(doc, "size", report.size);
	r = r ?: json_put_sha256(doc, "root", report.root);
	r = r ?: json_put_u64(doc, "signed", report.signed_size);
	r = r ?: json_put_u64(doc, "erased", report.erased);
	r = r ?: json_put_u64(doc, "cosigned", report.cosigned);
	r = r ?: json_put_text(doc, "cosigned_checkpoint", note ? note : "");
	r = r ?: json_put_text(doc, "origin", report.origin);
	r = r ?: json_put_text(doc, "key", ed25519_public_hex(m->site.audit_key));
	r = r ?: json_object_set_new(doc, "applied", json_boolean(m->quorum != NULL));
	r = r ?: put_quorum(m, doc);
	if (r)
		return FAULT(r);
	monitor_answer(call, STEAL(doc));
	return 0;
}

static int
on_prove(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PROOF_MAX);
	const char *text;
	uint64_t n = 0;
	int r = monitor_call_need(call, "n", &text);

	(void)arg;
	r = r ?: monitor_call_u64(call, "n", UINT64_MAX / 2, &n);
	r = r ?: proof_make(m->audit, n, &b);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_answer(call, json_pack("{s:I, s:s}", "n", (json_int_t)n, "proof", buf_text(&b)));
	return 0;
}

int
audit_verbs_init(struct monitor *m)
{
	int r = monitor_register_verb(m, "audit.log", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_log, NULL);

	r = r ?: monitor_register_verb(m, "audit.head", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_head, NULL);
	r = r ?: monitor_register_verb(m, "audit.verify", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_verify, NULL);
	r = r ?: monitor_register_verb(m, "audit.cosigned", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_cosigned, NULL);
	return r ?: monitor_register_verb(m, "audit.prove", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_prove, NULL);
}
