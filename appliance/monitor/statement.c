#include "appliance/monitor/statement.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/audit/witness.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services.h"
#include "appliance/tree/platform.h"

enum {
	EVERY_S = 10,
	SOON_MS = 300,
	WITNESS_GAP_S = 2,	 /* between two heads */
	WITNESS_PATIENCE_S = 60, /* for an answer that was lost */
	BYTES_MAX = 64 * 1024,
};

struct statements {
	struct monitor *m;
	uint64_t counter; /* of the last statement */
	uint64_t due_us;  /* boot time */
	uint64_t head_us; /* when the last head was sent; 0: never */
	char *sent;	  /* its checkpoint; owned */
	bool waiting;	  /* for the answer to it */
	bool forked; /* the witness has seen a longer log: no head of this one can be cosigned */
	bool has_old;
	uint64_t old; /* where the witness said it stands, if not at our last cosigned head */
};

static bool
may_speak(struct monitor *m)
{
	if (!monitor_recorded(m))
		return false;
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if (monitor_switch_on(m, (enum switch_name)i))
			return true;
	return false;
}

/* --- the statement ------------------------------------------------------------------------------- */
static int
put_services(struct monitor *m, json_t *doc)
{
	json_t *list = json_array();
	struct services_state s;
	int r = json_object_set_new(doc, "services", list) < 0 ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && services_at(m, i, &s); i++) {
		json_t *item = json_pack("{s:s, s:s, s:s}", "name", s.name, "release", s.release,
			"channel", s.channel);

		r = json_array_append_new(list, item) < 0 ? -ENOMEM : 0;
	}
	return FAULT(r);
}

static int
put_audit(struct monitor *m, json_t *doc)
{
	json_t *audit = json_object();
	uint8_t root[MERKLE_HASH];
	int r = json_object_set_new(doc, "audit", audit) < 0 ? -ENOMEM : 0;

	audit_root(m->audit, root);
	r = r ?: json_put_hex(audit, "key", ed25519_public(m->site.audit_key), ED25519_KEY_LEN);
	r = r ?: json_put_u64(audit, "size", audit_size(m->audit));
	return r ?: json_put_sha256(audit, "root", root);
}

/* The counter survives a restart, so that an older statement can be told from a newer one. */
static int
next_counter(struct statements *s)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "counter", s->counter + 1);
	r = r ?: monitor_save_json(s->m, "statement.json", doc);
	if (r < 0)
		return FAULT(r);
	s->counter++;
	return 0;
}

static int
say(struct statements *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED_JSON *doc = json_object(), *envelope = NULL;
	struct monitor *m = s->m;
	bool telemetry = monitor_switch_on(m, SWITCH_TELEMETRY);
	int r = doc ? next_counter(s) : -ENOMEM;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "site", monitor_site(m));
	r = r ?: json_put_text(doc, "epoch", monitor_epoch(m));
	r = r ?: put_services(m, doc);
	r = r ?: json_put_text(doc, "platform", platform_text());
	r = r ?: json_put_u64(doc, "counter", s->counter);
	r = r ?: put_audit(m, doc);
	r = r ?: json_put_time(doc, "time", clock_now_us());
	r = r ?: monitor_sign(m, MESSAGE_STATEMENT, doc, &envelope);
	r = r ?: json_canonical(&b, envelope);
	r = r
		?: monitor_outbox(m, "heartbeat", telemetry ? "heartbeat" : "audit",
			   "/v1/heartbeat", "application/json", b.data, b.len);
	return r < 0 ? FAULT(r) : r;
}

/* --- the witness --------------------------------------------------------------------------------- */
static int
send_head(struct statements *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	struct merkle_proof proof = { 0 };
	struct monitor *m = s->m;
	const char *checkpoint = audit_checkpoint(m->audit);
	uint64_t old = s->has_old ? s->old : audit_cosigned(m->audit);
	int r = audit_consistency(m->audit, old, &proof);

	if (r)
		return r < 0 ? FAULT(r) : r;
	witness_request(&b, old, &proof, checkpoint, strlen(checkpoint));
	r = buf_error(&b);
	r = r
		?: monitor_outbox(m, "audit", "audit", "/witness/add-checkpoint",
			   "text/plain; charset=utf-8", b.data, b.len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	free(s->sent);
	s->sent = strdup(checkpoint);
	s->head_us = clock_mono_us();
	s->waiting = s->sent != NULL;
	return 0;
}

static bool
head_is_due(const struct statements *s)
{
	uint64_t past = (clock_mono_us() - s->head_us) / CLOCK_US_PER_S;

	if (s->forked || audit_cosigned(s->m->audit) >= audit_size(s->m->audit))
		return false;
	if (s->head_us == 0)
		return true;
	return past >= (s->waiting ? WITNESS_PATIENCE_S : WITNESS_GAP_S);
}

/* The witness has seen a longer log than this one: the disk was restored or copied. */
static int
fell_behind(struct statements *s, uint64_t size)
{
	struct monitor *m = s->m;
	int r;

	log_error("the witness cosigned %llu entries, this log has %llu: it was restored or copied",
		(unsigned long long)size, (unsigned long long)audit_size(m->audit));
	s->forked = true;
	r = epoch_renew(&m->epoch, m->run_fd);
	return FAULT(r ?: clone_notice(m, "witness", "the log is behind its witness", REASON_ROLLBACK));
}

static int
take_conflict(struct statements *s, const void *body, size_t len)
{
	uint64_t size = 0;
	int r = witness_conflict(&size, body, len);

	if (r)
		return r;
	if (size > audit_size(s->m->audit))
		return fell_behind(s, size);
	s->has_old = true;
	s->old = size;
	return 0;
}

static int
take_cosignature(struct statements *s, const void *body, size_t len)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	struct monitor *m = s->m;
	int r = witness_accept(&b, s->sent, strlen(s->sent), body, len, &m->site.witness);

	/* The log may have grown meanwhile; it then contains the tree that was cosigned. */
	r = r ?: audit_keep_cosigned(m->audit, b.data, b.len, &m->site.witness);
	if (r == 0)
		s->has_old = false;
	return r < 0 ? FAULT(r) : r;
}

int
statement_witnessed(struct monitor *m, unsigned status, const void *body, size_t len)
{
	struct statements *s = m->statements;

	if (!s->waiting)
		return 0; /* an answer to a head of a former life */
	s->waiting = false;
	if (status == 200)
		return take_cosignature(s, body, len);
	if (status == 409)
		return take_conflict(s, body, len);
	return REFUSE(REASON_UNREACHABLE, "witness", "it answered %u", status);
}

/* --- module -------------------------------------------------------------------------------------- */
void
statement_audit_moved(struct monitor *m)
{
	monitor_statement_soon(m);
}

void
monitor_statement_soon(struct monitor *m)
{
	uint64_t soon = clock_mono_us() + SOON_MS * CLOCK_US_PER_MS;

	if (m->statements && soon < m->statements->due_us)
		m->statements->due_us = soon;
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct statements *s = arg;
	int r = 0;

	(void)now_us;
	if (!may_speak(m))
		return;
	if (clock_mono_us() >= s->due_us) {
		s->due_us = clock_mono_us() + EVERY_S * CLOCK_US_PER_S;
		r = say(s);
	}
	if (r >= 0 && head_is_due(s))
		r = send_head(s);
	if (r < 0)
		log_fault(r, "stating the site's head");
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)changes;
	(void)arg;
	monitor_statement_soon(m);
}

static void
statement_free(void *arg)
{
	struct statements *s = arg;

	free(s->sent);
	free(s);
}

static const struct monitor_module module = {
	.name = "statement",
	.tick = on_tick,
	.changed = on_changed,
	.free = statement_free,
};

int
statement_init(struct monitor *m)
{
	SCOPED_JSON *doc = NULL;
	struct statements *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->m = m;
	m->statements = s;
	if (monitor_load_json(m, "statement.json", BYTES_MAX, &doc) == 0)
		s->counter = (uint64_t)json_integer_value(json_object_get(doc, "counter"));
	return monitor_add_module(m, &module, s);
}
