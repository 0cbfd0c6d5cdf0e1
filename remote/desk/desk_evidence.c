#include "remote/desk/desk_evidence.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/note.h"
#include "appliance/trust/sha256.h"

enum { TIME_MAX = 64 };

static int
read_head(const char *site, const uint8_t key[32], const char *text, struct note_checkpoint *ret)
{
	SCOPED(note_freep) struct note *note = NULL;
	char origin[NOTE_NAME_MAX];
	struct note_key log;
	int r;

	(void)snprintf(origin, sizeof(origin), "mainstay.audit/%s", site);
	r = note_key_make(&log, origin, NOTE_TYPE_ED25519, key);
	r = r ? r : note_open(&note, text, strlen(text), "evidence");
	r = r ? r : note_verify(note, &log, NULL);
	r = r ? r : note_checkpoint_parse(ret, note->text, note->text_len, "evidence");
	if (r != 0)
		return r;
	return strcmp(ret->origin, origin) == 0
		? 0
		: REFUSE(REASON_WRONG_ADDRESSEE, site, "the evidence is of %s", ret->origin);
}

static void
describe(struct desk_evidence *e, const json_t *item, const struct note_checkpoint *came,
	const struct note_checkpoint *stood)
{
	char root[2][SHA256_TEXT_MAX], time[TIME_MAX];

	(void)snprintf(e->text, sizeof(e->text),
		"%s (%s): it signed %llu entries %s where %llu entries %s stood, %s",
		e->rollback ? "rolled back" : "forked",
		log_escape(time, sizeof(time), json_text(item, "time")), (unsigned long long)came->size,
		sha256_text(root[0], came->root), (unsigned long long)stood->size,
		sha256_text(root[1], stood->root), e->proven ? "which proves it" : "as the hub says");
}

int
desk_evidence_read(struct desk_evidence *ret, const char *site, const uint8_t audit_key[32],
	const json_t *item)
{
	struct note_checkpoint came, stood;
	bool same_root;
	int r = read_head(site, audit_key, json_text(item, "checkpoint"), &came);

	r = r ? r : read_head(site, audit_key, json_text(item, "stood"), &stood);
	if (r != 0)
		return r;
	same_root = memcmp(came.root, stood.root, sizeof(came.root)) == 0;
	*ret = (struct desk_evidence){ .rollback = came.size < stood.size,
		.proven = came.size == stood.size && !same_root };
	if (came.size == stood.size && same_root)
		return REFUSE(REASON_CONFLICT, site,
			"the hub calls it a %s that its log had one head twice",
			strcmp(json_text(item, "kind"), "rollback") == 0 ? "rollback" : "fork");
	describe(ret, item, &came, &stood);
	return 0;
}

int
desk_evidence_require_none(const char *site, const uint8_t audit_key[32], const json_t *items)
{
	const json_t *item = json_array_get(items, 0);
	struct desk_evidence e;
	int r = item ? desk_evidence_read(&e, site, audit_key, item) : 0;

	if (r != 0 || !item)
		return r;
	return REFUSE(e.rollback ? REASON_ROLLBACK : REASON_ALTERED, site, "its log was %s", e.text);
}
