#include "appliance/monitor/export_verb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/export.h"
#include "appliance/audit/proof.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/fs.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/witnesses.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"

enum { IDS_MAX = 1000 };

static const char readme[] =
	"What happened at this site under one ticket.\n"
	"\n"
	"Check it on any machine that has Mainstay's command, without asking either side:\n"
	"\n"
	"    mainstay audit verify FILE --policy POLICY --card vendor.card\n"
	"\n"
	"POLICY names the log's key and the witnesses you trust (c2sp.org/tlog-policy), as you "
	"have them from\n"
	"paper or from the witnesses themselves; without it the key in this export is taken, which "
	"you then\n"
	"compare yourself.  Every byte counts: what was changed is named.  The card, whose "
	"fingerprint you "
	"compare with\n"
	"paper, vouches by people/ for whose key a request is signed with; without it that is not "
	"judged.  "
	"Whose keys\n"
	"permits are signed with is named, and for you to compare: who may approve is the "
	"customer's policy, of "
	"which\n"
	"the log has the digest.  missing.txt, where there is one, names what the site no longer "
	"keeps.\n"
	"sha256sum -c SHA256SUMS works in a folder, too.\n"
	"\n"
	"It proves what the site stated and that it did not change after the witnesses of the "
	"checkpoint saw\n"
	"it; not that it was true.  leaves/*.tlog-proof are c2sp.org/tlog-proof@v1, their extra "
	"line being the\n"
	"record whose SHA-256 is the log's entry.\n";

struct gathering {
	struct monitor *m;
	const char *ticket;
	json_t *ids; /* object: id -> true */
	struct buf missing;
	json_t *files;
	const char *head;
	size_t n;
};

static void
gathering_done(struct gathering *g)
{
	buf_done(&g->missing);
}

static int
put_file(json_t *files, const char *name, const char *text)
{
	return json_object_set_new(files, name, json_string(text)) < 0 ? FAULT(-ENOMEM) : 0;
}

/* Requests of this ticket that nobody keeps any more, by what the log says of them. */
static int
find_gone(const struct audit_entry *e, void *arg)
{
	struct gathering *g = arg;
	const char *ticket = json_text(json_object_get(e->json, "extra"), "ticket");

	if (strcmp(ticket, g->ticket) != 0 || json_object_get(g->ids, e->object))
		return 0;
	buf_printf(&g->missing, "%s the request, its plan, permits and result\n", e->object);
	return json_object_set_new(g->ids, e->object, json_true()) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
count_leaf(const struct audit_entry *e, void *arg)
{
	struct gathering *g = arg;

	if (!json_object_get(g->ids, e->object))
		return 0;
	if (++g->n > EXPORT_LEAVES_MAX)
		return REFUSE(REASON_TOO_LARGE, "ticket", "has over %d leaves",
			(int)EXPORT_LEAVES_MAX);
	/* Beyond what was cosigned only our own head covers it. */
	if (e->n >= audit_cosigned(g->m->audit))
		g->head = audit_checkpoint(g->m->audit);
	return 0;
}

static int
put_leaf(const struct audit_entry *e, void *arg)
{
	SCOPED(buf_done) struct buf proof = BUF_MAX(PROOF_FILE_MAX);
	struct gathering *g = arg;
	char name[64];
	int r;

	if (!json_object_get(g->ids, e->object))
		return 0;
	(void)snprintf(name, sizeof(name), "leaves/%llu.tlog-proof", (unsigned long long)e->n);
	r = proof_make_under(g->m->audit, e->n, g->head, &proof);
	return r ?: put_file(g->files, name, buf_text(&proof));
}

static int
put_keys(struct gathering *g)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1024);
	struct note_key log;
	int r = note_key_make(&log, audit_origin(g->m->audit), NOTE_TYPE_ED25519,
		ed25519_public(g->m->site.audit_key));

	buf_puts(&b, "log ");
	note_key_text(&b, &log);
	buf_printf(&b, "\nsite %s\n", ed25519_public_hex(g->m->site.key));
	return r ?: buf_error(&b) ?: put_file(g->files, "keys", buf_text(&b));
}

static int
put_policy(struct gathering *g)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4 * QUORUM_BYTES_MAX);
	const struct quorum *q = witnesses_quorum(g->m);

	if (!q)
		return FAULT(-ENOMEM); /* enrolled: there is one */
	quorum_text(&b, q);
	return buf_error(&b) ?: put_file(g->files, "policy", buf_text(&b));
}

/* Whose keys were engineers', as the vendor's officers signed it and this site trusts it. */
static int
put_people(struct gathering *g)
{
	static const char *const roles[] = { "root", "timestamp", "snapshot", "targets", "people" };
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	struct tuf_client *tuf = monitor_tuf(g->m);
	int r = 0;

	if (!tuf || !g->m->people)
		return 0; /* none came yet */
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(roles); i++) {
		size_t len = 0;
		const void *p = tuf_client_bytes(tuf, roles[i], &len);
		char name[EXPORT_NAME_MAX];

		(void)snprintf(name, sizeof(name), "people/%s.json", roles[i]);
		if (p && json_object_set_new(g->files, name, json_stringn(p, len)) < 0)
			r = FAULT(-ENOMEM);
	}
	r = r ?: fs_read(monitor_dir(g->m), "people.json", b.max, &b);
	return r ?: put_file(g->files, "people/document.json", buf_text(&b));
}

static int
gather(struct gathering *g)
{
	const char *kept = audit_cosigned_note(g->m->audit);
	int r = audit_commit(g->m->audit);

	if (r)
		return r;
	g->head = kept ? kept : audit_checkpoint(g->m->audit);
	r = audit_each(g->m->audit, &(struct audit_filter){ .kind = "request" }, find_gone, g);
	r = r ?: audit_each(g->m->audit, NULL, count_leaf, g);
	if (r == 0 && g->n == 0)
		return REFUSE(REASON_NOT_FOUND, g->ticket,
			"no leaf of the log is about such a ticket");
	r = r ?: audit_each(g->m->audit, NULL, put_leaf, g);
	r = r ?: put_file(g->files, "checkpoint", g->head);
	r = r ?: put_file(g->files, "README.txt", readme);
	if (r == 0 && g->missing.len > 0)
		r = buf_error(&g->missing)
			?: put_file(g->files, "missing.txt", buf_text(&g->missing));
	r = r ?: put_people(g);
	r = r ?: put_policy(g);
	return r ?: put_keys(g);
}

struct asked {
	json_t *ids, *files;
};

static int
on_export(struct monitor *m, struct monitor_call *call, void *arg)
{
	static const struct json_field fields[] = {
		{ "ids", JSON_KIND_OBJECT, .offset = offsetof(struct asked, ids), .max = IDS_MAX },
		{ "files", JSON_KIND_OBJECT, .offset = offsetof(struct asked, files),
			.max = EXPORT_FILES_MAX },
	};
	SCOPED_JSON *doc = NULL, *out = NULL;
	SCOPED(gathering_done)
	struct gathering g = { .m = m, .missing = BUF_MAX(EXPORT_BYTES_MAX) };
	struct asked in = { 0 };
	const char *ticket;
	size_t len;
	const void *body = monitor_call_body(call, &len);
	int r = monitor_call_need(call, "ticket", &ticket);

	(void)arg;
	if (r)
		return r;
	if (!monitor_enrolled(m))
		return REFUSE(REASON_NOT_FOUND, "export", "the site is not enrolled");
	r = json_read_canonical(&doc, body, len, EXPORT_BYTES_MAX, "export");
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, "export");
	g.ticket = ticket;
	g.ids = in.ids;
	g.files = in.files;
	r = r ?: gather(&g);
	r = r
		?: export_seal(&out, monitor_site(m), ticket, g.files, audit_origin(m->audit),
			   m->site.audit_key);
	if (r)
		return r < 0 ? FAULT(r) : r;
	monitor_answer(call, STEAL(out));
	return 0;
}

int
export_verb_init(struct monitor *m)
{
	return monitor_register_verb(m, "audit.export", CALL_ROLE_CONTROL, on_export, NULL);
}
