#include "appliance/monitor/witnesses.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/monitor/cosign.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/trust/sha256.h"

#define HUB "hub" /* its name in the policy that nobody wrote */

/* --- in force ----------------------------------------------------------------------------------- */
const struct quorum *
witnesses_quorum(struct monitor *m)
{
	const struct quorum_witness *w;

	if (m->quorum)
		return m->quorum;
	if (m->site.state != SITE_STATE_ENROLLED) {
		m->hub_quorum = quorum_free(m->hub_quorum);
		return NULL;
	}
	w = m->hub_quorum ? quorum_witness(m->hub_quorum, 0) : NULL;
	if (!w || memcmp(w->key.key, m->site.witness.key, sizeof(w->key.key)) != 0) {
		m->hub_quorum = quorum_free(m->hub_quorum);
		(void)quorum_single(&m->hub_quorum, HUB, &m->site.witness);
	}
	return m->hub_quorum;
}

int
witnesses_judge(struct monitor *m, const char *text, struct quorum_verdict *ret)
{
	SCOPED(note_freep) struct note *note = NULL;
	const struct quorum *q = witnesses_quorum(m);
	int r;

	*ret = (struct quorum_verdict){ 0 };
	if (!q)
		return 0;
	r = note_open(&note, text, strlen(text), "checkpoint");
	return r ?: quorum_check(q, note, ret);
}

json_t *
witnesses_json(struct monitor *m)
{
	const struct quorum *q = witnesses_quorum(m);
	const char *note = audit_cosigned_note(m->audit);
	struct quorum_verdict v = { 0 };
	json_t *o;

	if (!q || (note && witnesses_judge(m, note, &v) != 0))
		return NULL;
	if (!note)
		v.met = false;
	o = quorum_json(q, &v);
	if (o && json_put_u64(o, "size", audit_cosigned(m->audit)) != 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* --- applying ----------------------------------------------------------------------------------- */
struct applying {
	struct monitor *m;
	struct monitor_call *call;
};

static int
apply(struct monitor *m, const json_t *answer, const char *actor)
{
	SCOPED(quorum_freep) struct quorum *q = NULL;
	const char *text = json_text(answer, "policy");
	uint8_t digest[SHA256_LEN];
	size_t len = strlen(text);
	int r = quorum_parse(&q, text, len, WITNESSES_FILE);

	if (r)
		return r;
	sha256_of(digest, text, len);
	r = monitor_leaf(m, "policy", actor, WITNESSES_FILE, digest, REASON_NONE);
	r = r ?: fs_replace(m->dir_fd, WITNESSES_FILE, text, len, 0600);
	if (r < 0)
		return FAULT(r);
	quorum_free(m->quorum);
	m->quorum = STEAL(q);
	cosign_witnesses_changed(m);
	return 0;
}

static void
on_compiled(int r, const json_t *answer, void *arg)
{
	SCOPED(scope_free) struct applying *a = arg;

	r = r ?: apply(a->m, answer, monitor_call_actor(a->call));
	monitor_answer_result(a->call, r, r ? NULL : witnesses_json(a->m));
}

static int
show(struct monitor *m, struct monitor_call *call)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4 * QUORUM_BYTES_MAX);
	const struct quorum *q = witnesses_quorum(m);

	if (!q)
		return REFUSE(REASON_NOT_FOUND, WITNESSES_FILE,
			"no policy was applied, and the site is not enrolled");
	quorum_text(&text, q);
	monitor_answer(call,
		json_pack("{s:s, s:b}", "policy", buf_text(&text), "applied", m->quorum != NULL));
	return 0;
}

static int
on_policy(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct applying *a;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r;

	(void)arg;
	if (len == 0)
		return show(m, call);
	a = malloc(sizeof(*a));
	if (!a)
		return FAULT(-ENOMEM);
	*a = (struct applying){ m, call };
	r = monitor_judge(m, JUDGE_QUORUM, WITNESSES_FILE, body, len, on_compiled, a);
	if (r) {
		free(a);
		return r < 0 ? FAULT(r) : r;
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

static int
load(struct monitor *m)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(QUORUM_BYTES_MAX);
	int r = fs_read(m->dir_fd, WITNESSES_FILE, b.max, &b);

	if (r == REASON_NOT_FOUND)
		return 0;
	if (r == 0)
		r = quorum_parse(&m->quorum, b.data, b.len, WITNESSES_FILE);
	return r < 0 ? FAULT(r) : r;
}

int
witnesses_init(struct monitor *m)
{
	int r = load(m);

	return r ?: monitor_register_verb(m, "audit.policy", CALL_ROLE_CONTROL, on_policy, NULL);
}

void
witnesses_done(struct monitor *m)
{
	m->quorum = quorum_free(m->quorum);
	m->hub_quorum = quorum_free(m->hub_quorum);
}
