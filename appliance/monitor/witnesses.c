#include "appliance/monitor/witnesses.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/monitor/cosign.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/trust/sha256.h"

enum { OWNER_MAX = 64 * 1024 };

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
	json_t *owner; /* envelope; NULL: nobody signed */
};

static struct applying *
applying_free(struct applying *a)
{
	if (a)
		json_decref(a->owner);
	free(a);
	return NULL;
}
SCOPED_DESTRUCTOR(struct applying, applying_free)

/* 1, 0, or a fault. */
static int
is_in_force(const struct monitor *m, const char *text)
{
	SCOPED(buf_done) struct buf now = BUF_MAX(4 * QUORUM_BYTES_MAX);

	if (!m->quorum)
		return 0;
	quorum_text(&now, m->quorum);
	return buf_error(&now) ? FAULT(buf_error(&now)) : strcmp(buf_text(&now), text) == 0;
}

/* Who need not be asked could otherwise take the witness away that sees a log rewritten. */
static int
check_owners(const struct applying *a, const uint8_t digest[SHA256_LEN])
{
	SCOPED(buf_done) struct buf envelope = BUF_MAX(OWNER_MAX);
	enum owner_kind kind;
	int r = 0;

	if (!monitor_guarded(a->m))
		return 0;
	if (a->owner)
		r = json_canonical(&envelope, a->owner);
	return r
		?: monitor_owners(a->m, 1U << OWNER_POLICY, digest, envelope.data, envelope.len,
			   &kind);
}

static int
apply(const struct applying *a, const json_t *answer)
{
	SCOPED(quorum_freep) struct quorum *q = NULL;
	struct monitor *m = a->m;
	const char *text = json_text(answer, "policy");
	uint8_t digest[SHA256_LEN];
	size_t len = strlen(text);
	int r = quorum_parse(&q, text, len, WITNESSES_FILE), same;

	if (r)
		return r;
	same = is_in_force(m, text);
	if (same)
		return same < 0 ? FAULT(same) : 0;
	sha256_of(digest, text, len);
	r = check_owners(a, digest);
	r = r
		?: monitor_leaf(m, "policy", monitor_call_actor(a->call), WITNESSES_FILE, digest,
			   REASON_NONE);
	r = r ?: fs_replace(m->dir_fd, WITNESSES_FILE, text, len, 0600);
	if (r)
		return r < 0 ? FAULT(r) : r;
	quorum_free(m->quorum);
	m->quorum = STEAL(q);
	cosign_witnesses_changed(m);
	return 0;
}

static void
on_compiled(int r, const json_t *answer, void *arg)
{
	SCOPED(applying_freep) struct applying *a = arg;

	r = r ?: apply(a, answer);
	monitor_answer_result(a->call, r, r ? NULL : witnesses_json(a->m));
}

static int
show(struct monitor *m, struct monitor_call *call)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(4 * QUORUM_BYTES_MAX);
	const struct quorum *q = witnesses_quorum(m);

	if (!q && m->site.state == SITE_STATE_ENROLLED)
		return FAULT(-ENOMEM);
	if (!q)
		return REFUSE(REASON_NOT_FOUND, WITNESSES_FILE,
			"no policy was applied, and the site is not enrolled");
	quorum_text(&text, q);
	if (buf_error(&text))
		return FAULT(buf_error(&text));
	monitor_answer(call,
		json_pack("{s:s, s:b}", "policy", buf_text(&text), "applied", m->quorum != NULL));
	return 0;
}

struct asked {
	const char *policy;
	json_t *owner;
};

/* The body: {"policy": TEXT} and, where somebody signed, "owner". */
static int
read_asked(struct monitor_call *call, json_t **ret_doc, struct asked *ret)
{
	static const struct json_field fields[] = {
		{ "policy", JSON_KIND_TEXT0, .offset = offsetof(struct asked, policy),
			.max = QUORUM_BYTES_MAX },
		{ "owner", JSON_KIND_OBJECT, .offset = offsetof(struct asked, owner),
			.optional = true },
	};
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = json_read_canonical(ret_doc, body, len, QUORUM_BYTES_MAX + OWNER_MAX,
		WITNESSES_FILE);

	*ret = (struct asked){ 0 };
	return r ?: json_members(*ret_doc, fields, ARRAY_LEN(fields), ret, WITNESSES_FILE);
}

static int
on_policy(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(applying_freep) struct applying *a = NULL;
	SCOPED_JSON *doc = NULL;
	struct asked asked;
	size_t len;
	int r;

	(void)arg;
	(void)monitor_call_body(call, &len);
	if (len == 0)
		return show(m, call);
	r = read_asked(call, &doc, &asked);
	if (r)
		return r < 0 ? FAULT(r) : r;
	a = malloc(sizeof(*a));
	if (!a)
		return FAULT(-ENOMEM);
	*a = (struct applying){ m, call, asked.owner ? json_incref(asked.owner) : NULL };
	r = monitor_judge(m, JUDGE_QUORUM, WITNESSES_FILE, asked.policy, strlen(asked.policy),
		on_compiled, a);
	if (r)
		return r < 0 ? FAULT(r) : r;
	(void)STEAL(a);
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
