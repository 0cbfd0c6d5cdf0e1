#include "remote/desk/desk_actions.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/audit.h"
#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/enrol/card.h"
#include "appliance/monitor/witness_view.h"
#include "appliance/trust/note.h"
#include "appliance/trust/sha256.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_evidence.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"

enum { REQUEST_S = 20, PIN_BYTES_MAX = 4096 };

/* What this desk saw of a site's log the last time: STATE/…/sites/SITE.json. */
struct pin {
	uint64_t v, size;
	uint8_t key[32];
	uint8_t root[32];
	bool known;
};

struct head {
	struct note_checkpoint checkpoint;
	uint64_t cosigned_s;
	json_t *quorum; /* what --policy says of it; owned; NULL without one */
};

static void
head_done(struct head *h)
{
	json_decref(h->quorum);
}

/* --- the pin ---------------------------------------------------------------------------------- */
static int
open_pins(struct desk *d, const char *site, int *ret_fd, char name[80])
{
	(void)snprintf(name, 80, "%s.json", site);
	return fs_open_dir(ret_fd, d->dir_fd, "sites", 0700);
}

static int
load_pin(struct desk *d, const char *site, struct pin *ret)
{
	static const struct json_field fields[] = {
		{ .name = "v", .kind = JSON_KIND_U64, .offset = offsetof(struct pin, v), .max = 1 },
		{ .name = "size", .kind = JSON_KIND_U64, .offset = offsetof(struct pin, size) },
		{ .name = "audit_key", .kind = JSON_KIND_KEY, .offset = offsetof(struct pin, key) },
		{ .name = "root", .kind = JSON_KIND_SHA256, .offset = offsetof(struct pin, root) },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(PIN_BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;
	char name[80];
	int r = open_pins(d, site, &fd, name);

	*ret = (struct pin){ 0 };
	r = r ?: fs_read(fd, name, PIN_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read(&doc, b.data, b.len, PIN_BYTES_MAX, name);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), ret, name);
	ret->known = r == 0;
	return r;
}

static int
save_pin(struct desk *d, const char *site, const struct pin *pin)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PIN_BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = json_object();
	char name[80];
	int r = doc ? open_pins(d, site, &fd, name) : FAULT(-ENOMEM);

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_u64(doc, "size", pin->size);
	r = r ?: json_put_hex(doc, "audit_key", pin->key, sizeof(pin->key));
	r = r ?: json_put_sha256(doc, "root", pin->root);
	r = r ?: json_canonical(&b, doc);
	return r ?: fs_replace(fd, name, b.data, b.len, 0600);
}

/* --- one checkpoint --------------------------------------------------------------------------- */
static int
check_head(struct desk *d, const struct desk_site *s, const uint8_t key[32], const char *text,
	struct head *ret)
{
	SCOPED(note_freep) struct note *note = NULL;
	struct note_key log, witness;
	char origin[NOTE_NAME_MAX];
	int r;

	(void)snprintf(origin, sizeof(origin), "mainstay.audit/%s", s->site);
	r = note_key_make(&log, origin, NOTE_TYPE_ED25519, key);
	r = r ?: note_key_make(&witness, d->card->hub.witness_name, NOTE_TYPE_COSIGNATURE,
		d->card->hub.witness);
	r = r ?: note_open(&note, text, strlen(text), "checkpoint");
	r = r ?: note_verify(note, &log, NULL);
	r = r ?: note_verify(note, &witness, &ret->cosigned_s);
	r = r ?: note_checkpoint_parse(&ret->checkpoint, note->text, note->text_len, "checkpoint");
	if (r)
		return r;
	if (strcmp(ret->checkpoint.origin, origin) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, s->site, "the checkpoint is of %s",
			ret->checkpoint.origin);
	return 0;
}

/* Two heads of one log: the same size has the same root, and a log never shrinks. */
static int
check_order(const char *site, uint64_t old_size, const uint8_t old_root[32], uint64_t size,
	const uint8_t root[32], const char *what)
{
	if (size < old_size)
		return REFUSE(REASON_ROLLBACK, site, "%llu entries, %s had %llu",
			(unsigned long long)size, what, (unsigned long long)old_size);
	if (size == old_size && memcmp(root, old_root, 32) != 0)
		return REFUSE(REASON_ALTERED, site, "another log of %llu entries than %s",
			(unsigned long long)size, what);
	return 0;
}

/* --- who cosigned ------------------------------------------------------------------------------ */
static int
check_quorum(struct command_call *call, const char *site, const char *text, struct head *h)
{
	SCOPED(quorum_freep) struct quorum *q = NULL;
	SCOPED(note_freep) struct note *note = NULL;
	int r = witness_view_policy(call, &q);

	if (r || !q)
		return r;
	r = note_open(&note, text, strlen(text), "checkpoint");
	r = r ?: witness_view_judge(q, note, &h->quorum);
	return r ?: quorum_require(h->quorum, site);
}

/* --- history ---------------------------------------------------------------------------------- */
/* Every head that the hub kept, each signed and cosigned, in order up to the present one. */
static int
check_history(struct desk *d, const struct desk_site *s, const uint8_t key[32],
	const struct pin *pin, const struct head *now, size_t *ret_n)
{
	struct note_checkpoint last = { 0 };
	SCOPED_JSON *doc = NULL;
	char path[160];
	size_t i;
	json_t *item;
	int r;

	(void)snprintf(path, sizeof(path), "/v1/fleet/sites/%s/audit?from=%llu", s->site,
		(unsigned long long)(pin->known ? pin->size : 0));
	r = desk_client_get(d, path, REQUEST_S, &doc);
	r = r ?: desk_evidence_require_none(s->site, key, json_object_get(doc, "conflicts"));
	if (r)
		return r;
	json_array_foreach(json_object_get(doc, "items"), i, item) {
		const char *text = json_string_value(json_object_get(item, "checkpoint"));
		struct head head = { 0 };

		if (!text)
			return REFUSE(REASON_MALFORMED, s->site, "a head without its checkpoint");
		r = check_head(d, s, key, text, &head);
		if (!r && i > 0)
			r = check_order(s->site, last.size, last.root, head.checkpoint.size,
				head.checkpoint.root, "an earlier head");
		if (!r && pin->known && head.checkpoint.size == pin->size)
			r = check_order(s->site, pin->size, pin->root, head.checkpoint.size,
				head.checkpoint.root, "what this desk saw");
		if (r)
			return r;
		last = head.checkpoint;
	}
	*ret_n = json_array_size(json_object_get(doc, "items"));
	if (*ret_n == 0)
		return 0;
	return check_order(s->site, last.size, last.root, now->checkpoint.size,
		now->checkpoint.root, "an earlier head");
}

/* What the site itself signed about its log, in its statement. */
static int
check_statement(const struct desk_site *s, const struct head *head)
{
	const json_t *audit = json_object_get(s->statement, "audit");
	uint64_t size = (uint64_t)json_integer_value(json_object_get(audit, "size"));
	const char *root = json_string_value(json_object_get(audit, "root"));
	uint8_t digest[SHA256_LEN];

	if (!root || !sha256_parse(digest, root))
		return REFUSE(REASON_MALFORMED, s->site, "its statement names no audit root");
	if (size == head->checkpoint.size)
		return check_order(s->site, size, digest, head->checkpoint.size,
			head->checkpoint.root, "the site's statement");
	return 0;
}

/* The site itself names the key, in what its own key signed: a hub that named another could show a
 * log of its own making to a desk that never saw the site's. */
static int
audit_key(const struct desk_site *s, const struct pin *pin, uint8_t ret[32])
{
	const char *hex = json_string_value(json_object_get(s->hub, "audit_key"));
	const char *own = json_string_value(
		json_object_get(json_object_get(s->statement, "audit"), "key"));
	uint8_t named[32];
	int r = desk_trust_heard(s);

	if (r)
		return r;
	if (!own || !hex_decode(ret, 32, own))
		return REFUSE(REASON_MALFORMED, s->site, "its statement names no audit key");
	if (!hex || !hex_decode(named, 32, hex))
		return REFUSE(REASON_MALFORMED, s->site, "the hub names no audit key");
	if (memcmp(named, ret, 32) != 0)
		return REFUSE(REASON_ALTERED, s->site,
			"the hub names another audit key than the site's own statement");
	if (pin->known && memcmp(pin->key, ret, 32) != 0)
		return REFUSE(REASON_ALTERED, s->site,
			"the audit key is another one than this desk saw before");
	return 0;
}

static int
report(struct command_call *call, const struct desk_site *s, const struct head *head,
	size_t history)
{
	char root[SHA256_TEXT_MAX], when[CLOCK_TEXT_MAX];

	sha256_text(root, head->checkpoint.root);
	clock_format_s(when, head->cosigned_s * CLOCK_US_PER_S);
	if (call->json)
		return command_print_json("AuditVerification",
			json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:b, s:O*}", "site", s->site, "origin",
				head->checkpoint.origin, "size", (json_int_t)head->checkpoint.size,
				"root", root, "cosigned", when, "heads", (json_int_t)history,
				"verified", 1, "quorum", head->quorum));
	command_say(call, "size      %llu", (unsigned long long)head->checkpoint.size);
	command_say(call, "root      %s", root);
	command_say(call, "cosigned  %s by the hub's witness", when);
	witness_view_say(call, head->quorum);
	command_say(call, "history   %zu heads, none shrinks or differs", history);
	return 0;
}

int
desk_audit_verify(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	SCOPED(desk_trust_site_done) struct desk_site s = { 0 };
	const char *site = call->operands[0], *text;
	SCOPED(head_done) struct head head = { 0 };
	struct pin pin;
	uint8_t key[32];
	size_t history = 0;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_trust_refresh(&d);
	r = r ?: desk_trust_site(&d, site, false, &s);
	r = r ?: load_pin(&d, site, &pin);
	r = r ?: audit_key(&s, &pin, key);
	if (r)
		return r;
	text = json_string_value(json_object_get(json_object_get(s.hub, "audit"), "checkpoint"));
	if (!text || !*text)
		return REFUSE(REASON_NOT_FOUND, site, "the hub has no head of its log yet");
	r = check_head(&d, &s, key, text, &head);
	if (!r && pin.known)
		r = check_order(site, pin.size, pin.root, head.checkpoint.size,
			head.checkpoint.root, "what this desk saw");
	r = r ?: check_history(&d, &s, key, &pin, &head, &history);
	r = r ?: check_statement(&s, &head);
	r = r ?: check_quorum(call, site, text, &head);
	if (r)
		return r;
	pin = (struct pin){ .v = 1, .size = head.checkpoint.size };
	memcpy(pin.key, key, sizeof(pin.key));
	memcpy(pin.root, head.checkpoint.root, sizeof(pin.root));
	r = save_pin(&d, site, &pin);
	return r ?: report(call, &s, &head, history);
}
