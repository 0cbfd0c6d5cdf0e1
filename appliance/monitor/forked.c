#include "appliance/monitor/forked.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/clone.h"
#include "appliance/monitor/inside.h"

#define FILE_NAME "forked.json"
#define OPERAND "evidence"

enum { FILE_BYTES_MAX = 256 * 1024, TEXT_MAX = 256 };

bool
forked_is(const struct monitor *m)
{
	const char *key = json_text(m->forked, "key");

	/* A new audit key is a new log. */
	return m->forked && strcmp(key, ed25519_public_hex(m->site.audit_key)) == 0;
}

int
forked_load(struct monitor *m)
{
	int r = monitor_load_json(m, FILE_NAME, FILE_BYTES_MAX, &m->forked);

	if (r > 0 && r != REASON_NOT_FOUND)
		log_error("%s is damaged; the witnesses will tell again", FILE_NAME);
	return r < 0 ? FAULT(r) : 0;
}

/* Signed by us, of this log? */
static int
read_own(struct monitor *m, const void *p, size_t len, struct note_checkpoint *ret)
{
	SCOPED(note_freep) struct note *note = NULL;
	struct note_key log;
	int r = note_open(&note, p, len, OPERAND);

	r = r ?: note_checkpoint_parse(ret, note->text, note->text_len, OPERAND);
	if (r)
		return r;
	if (strcmp(ret->origin, audit_origin(m->audit)) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, OPERAND, "is of another log");
	r = note_key_make(&log, ret->origin, NOTE_TYPE_ED25519, ed25519_public(m->site.audit_key));
	return r ?: note_verify(note, &log, NULL);
}

static int
contains(struct monitor *m, const struct note_checkpoint *c, bool *ret)
{
	uint8_t root[MERKLE_HASH];
	int r;

	*ret = false;
	if (c->size > audit_size(m->audit))
		return 0;
	r = audit_root_at(m->audit, c->size, root);
	*ret = r == 0 && memcmp(root, c->root, sizeof(root)) == 0;
	return FAULT(r);
}

/* What was cosigned before is in both, so they part behind that. */
static void
describe(struct monitor *m, const struct note_checkpoint *c, char text[TEXT_MAX])
{
	unsigned long long size = c->size, ours = audit_size(m->audit),
			   common = audit_cosigned(m->audit);

	if (c->size > audit_size(m->audit))
		(void)snprintf(text, TEXT_MAX,
			"rolled back: a witness holds our head of %llu entries, this log has %llu; "
			"they "
			"part at entry %llu or later",
			size, ours, common);
	else
		(void)snprintf(text, TEXT_MAX,
			"forked: a witness holds another head of our %llu entries; they part "
			"between "
			"entries %llu and %llu",
			size, common < size ? common : 0, size - 1);
}

static int
keep(struct monitor *m, const struct note_checkpoint *c, const void *p, size_t len,
	const char *text)
{
	SCOPED_JSON *doc = json_object(), *note = json_stringn(p, len);
	int r = doc && note ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "key", ed25519_public_hex(m->site.audit_key));
	r = r ?: json_put_text(doc, "kind", c->size > audit_size(m->audit) ? "rollback" : "fork");
	r = r ?: json_put_u64(doc, "size", c->size);
	r = r ?: json_put_sha256(doc, "root", c->root);
	r = r ?: json_object_set(doc, "checkpoint", note);
	r = r ?: audit_commit(m->audit);
	r = r ?: json_put_text(doc, "own", audit_checkpoint(m->audit));
	r = r ?: json_put_text(doc, "text", text);
	r = r ?: json_put_time(doc, "time", clock_now_us());
	r = r ?: monitor_save_json(m, FILE_NAME, doc);
	if (r)
		return FAULT(r);
	json_decref(m->forked);
	m->forked = STEAL(doc);
	return 0;
}

int
forked_judge(struct monitor *m, const void *p, size_t len)
{
	struct note_checkpoint c;
	enum reason why = REASON_ALTERED;
	bool ours = false;
	char text[TEXT_MAX];
	int r = read_own(m, p, len, &c);

	r = r ?: contains(m, &c, &ours);
	if (r || ours || forked_is(m))
		return r < 0 ? FAULT(r) : r;
	if (c.size > audit_size(m->audit))
		why = REASON_ROLLBACK;
	describe(m, &c, text);
	log_error("the audit log is not the one a witness saw: %s", text);
	r = epoch_renew(&m->epoch, m->run_fd);
	/* Whatever else was noticed of a second life before, this is the first proof of it. */
	if (r == 0)
		r = m->clone.noticed ? monitor_leaf(m, "clone", "witness", text, c.root, why)
				     : clone_notice(m, "witness", text, why);
	/* Last: what is kept is not judged again, so all that follows from it must be there. */
	r = r ?: keep(m, &c, p, len, text);
	return FAULT(r);
}

void
forked_status(const struct monitor *m, json_t *status)
{
	json_t *audit = json_object_get(status, "audit"), *doc;

	if (!forked_is(m))
		return;
	doc = json_copy_whole(m->forked, JSON_SHALLOW);
	(void)json_put_text(doc, "remedy", FORKED_REMEDY);
	(void)json_object_set_new(audit, "forked", doc);
	if (strcmp(m->clone.by, "witness") == 0)
		return; /* it says so itself */
	(void)json_array_append_new(json_object_get(status, "pending"),
		json_pack("{s:s, s:s, s:s++}", "kind", "clone", "id", "witness", "text",
			json_text(m->forked, "text"), ". ", FORKED_REMEDY));
}
