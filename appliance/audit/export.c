#include "appliance/audit/export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/audit/audit.h"
#include "appliance/audit/proof.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "appliance/trust/sha256.h"

#define PREFIX "mainstay.export/"
#define RECORDING_END ".cast"

enum { LEAF_MAX = sizeof("recording ") + NOTE_NAME_MAX + SHA256_TEXT_MAX };

bool
export_is_name(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
	size_t len = strlen(name);

	return len > 0 && len < EXPORT_NAME_MAX && strspn(name, plain) == len && name[0] != '/' &&
		name[0] != '.' && !strstr(name, "..") && !strstr(name, "//") &&
		!strstr(name, "/.") && name[len - 1] != '/';
}

/* --- manifest -------------------------------------------------------------------------------------- */
static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What SHA256SUMS says: all files but itself. */
static int
sums_text(struct buf *out, const json_t *files)
{
	SCOPED(scope_free) const char **names = calloc(json_object_size(files) + 1, sizeof(*names));
	char hex[2 * SHA256_LEN + 1];
	uint8_t hash[SHA256_LEN];
	const char *name;
	json_t *text;
	size_t n = 0;

	if (!names)
		return FAULT(-ENOMEM);
	json_object_foreach((json_t *)files, name, text) {
		if (!export_is_name(name) || !json_is_string(text))
			return REFUSE(REASON_MALFORMED, name, "is no file of an export");
		if (strcmp(name, EXPORT_SUMS) != 0)
			names[n++] = name;
	}
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		text = json_object_get(files, names[i]);
		sha256_of(hash, json_string_value(text), json_string_length(text));
		buf_printf(out, "%s  %s\n", hex_encode(hex, hash, sizeof(hash)), names[i]);
	}
	return FAULT(buf_error(out));
}

static void
manifest_text(struct buf *out, const char *site, const char *ticket, const void *sums, size_t len)
{
	char digest[SHA256_TEXT_MAX];
	uint8_t hash[SHA256_LEN];

	sha256_of(hash, sums, len);
	buf_printf(out, PREFIX "%s\nticket %s\n%s " EXPORT_SUMS "\n", site, ticket,
		sha256_text(digest, hash));
}

int
export_seal(json_t **ret, const char *site, const char *ticket, json_t *files, const char *origin,
	const struct ed25519 *audit_key)
{
	SCOPED(buf_done)
	struct buf sums = BUF_MAX(EXPORT_BYTES_MAX), text = BUF_MAX(NOTE_MAX),
		   note = BUF_MAX(NOTE_MAX);
	int r;

	if (!ticket[0] || strlen(ticket) > EXPORT_TICKET_MAX || strchr(ticket, '\n'))
		return REFUSE(REASON_MALFORMED, "ticket", "is none");
	if (json_object_size(files) >= EXPORT_FILES_MAX)
		return REFUSE(REASON_TOO_LARGE, ticket, "has more files than one export holds");
	r = sums_text(&sums, files);
	if (r == 0 && json_object_set_new(files, EXPORT_SUMS, json_string(buf_text(&sums))) < 0)
		r = -ENOMEM;
	if (r)
		return r < 0 ? FAULT(r) : r;
	manifest_text(&text, site, ticket, sums.data, sums.len);
	r = buf_error(&text);
	r = r ?: note_sign(&note, buf_text(&text), text.len, origin, audit_key);
	if (r)
		return FAULT(r);
	*ret = json_pack("{s:i, s:s, s:O}", "v", 1, "manifest", buf_text(&note), "files", files);
	return *ret ? 0 : FAULT(-ENOMEM);
}

/* --- checking -------------------------------------------------------------------------------------- */
struct parts {
	uint64_t v;
	const char *manifest;
	json_t *files;
};

static int
take_apart(struct parts *ret, const json_t *doc)
{
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v), .max = 1 },
		{ "manifest", JSON_KIND_TEXT0, .offset = offsetof(struct parts, manifest),
			.max = NOTE_MAX },
		{ "files", JSON_KIND_OBJECT, .offset = offsetof(struct parts, files),
			.max = EXPORT_FILES_MAX },
	};
	*ret = (struct parts){ 0 };
	return json_members(doc, fields, ARRAY_LEN(fields), ret, "export");
}

static const char *
file_of(const json_t *files, const char *name)
{
	return json_string_value(json_object_get(files, name));
}

/* Each file against the list, so that the refusal says which. */
static int
check_sums(const struct parts *in, const char *sums)
{
	SCOPED(buf_done) struct buf want = BUF_MAX(EXPORT_BYTES_MAX);
	const char *name;
	json_t *file;
	int r;

	json_object_foreach(in->files, name, file) {
		char line[2 * SHA256_LEN + EXPORT_NAME_MAX + 8], hex[2 * SHA256_LEN + 1];
		uint8_t hash[SHA256_LEN];
		const char *at;

		if (!export_is_name(name) || !json_is_string(file))
			return REFUSE(REASON_MALFORMED, name, "is no file of an export");
		if (strcmp(name, EXPORT_SUMS) == 0)
			continue;
		sha256_of(hash, json_string_value(file), json_string_length(file));
		(void)snprintf(line, sizeof(line), "%s  %s\n", hex_encode(hex, hash, sizeof(hash)),
			name);
		at = strstr(sums, line);
		if (!at || (at != sums && at[-1] != '\n'))
			return REFUSE(REASON_ALTERED, name,
				"is not what the site's manifest lists");
	}
	r = sums_text(&want, in->files);
	if (r)
		return r;
	if (strcmp(buf_text(&want), sums) != 0)
		return REFUSE(REASON_ALTERED, EXPORT_SUMS, "lists a file that is not there");
	return 0;
}

/* Signed by the site, and of this list of files. */
static int
check_manifest(const struct parts *in, const struct note_key *log, struct export_report *ret)
{
	const char *sums = file_of(in->files, EXPORT_SUMS);
	SCOPED(note_freep) struct note *note = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(NOTE_MAX);
	char site[NOTE_NAME_MAX] = "";
	int r = note_open(&note, in->manifest, strlen(in->manifest), "manifest");

	r = r ?: note_verify(note, log, NULL);
	if (r)
		return r;
	if (sscanf(note->text, PREFIX "%255[^\n]\nticket %256[^\n]\n", site, ret->ticket) != 2)
		return REFUSE(REASON_MALFORMED, "manifest", "is none of an export");
	if (!sums)
		return REFUSE(REASON_MALFORMED, EXPORT_SUMS, "is missing");
	manifest_text(&text, site, ret->ticket, sums, strlen(sums));
	if (buf_error(&text) == -ENOMEM)
		return FAULT(-ENOMEM);
	if (text.len != note->text_len || memcmp(text.data, note->text, text.len) != 0)
		return REFUSE(REASON_ALTERED, EXPORT_SUMS, "is not what the site's manifest names");
	return check_sums(in, sums);
}

static int
check_head(const struct parts *in, const struct note_key *log, const struct quorum *given,
	struct export_report *ret)
{
	const char *text = file_of(in->files, "checkpoint"), *policy = file_of(in->files, "policy");
	SCOPED(quorum_freep) struct quorum *own = NULL;
	SCOPED(note_freep) struct note *note = NULL;
	struct note_checkpoint c;
	int r;

	if (!text || !policy)
		return REFUSE(REASON_MALFORMED, text ? "policy" : "checkpoint", "is missing");
	r = note_open(&note, text, strlen(text), "checkpoint");
	r = r ?: note_verify(note, log, NULL);
	r = r ?: note_checkpoint_parse(&c, note->text, note->text_len, "checkpoint");
	r = r ?: quorum_parse(&own, policy, strlen(policy), "policy");
	r = r ?: quorum_check(given ? given : own, note, &ret->verdict);
	if (r)
		return r;
	ret->size = c.size;
	memcpy(ret->origin, c.origin, sizeof(ret->origin));
	return strcmp(c.origin, log->name) == 0
		? 0
		: REFUSE(REASON_ALTERED, "checkpoint", "is of log \"%s\"", c.origin);
}

/* A leaf under the one head; its record's object and digest are added to leaves. */
static int
check_leaf(const char *name, const char *text, const char *head, const struct note_key *log,
	json_t *leaves, json_t *entries)
{
	SCOPED(buf_done) struct buf record = BUF_MAX(AUDIT_ENTRY_MAX);
	SCOPED_JSON *doc = NULL;
	const char *at = strstr(text, "\n\n");
	struct audit_entry e;
	const char *recording;
	char digest[LEAF_MAX];
	uint64_t n = 0;
	int r = proof_check(&n, &record, text, strlen(text), log->name, log->key, NULL);

	if (r)
		return r;
	if (!at || strcmp(at + 2, head) != 0)
		return REFUSE(REASON_ALTERED, name, "is proved under another head");
	r = audit_entry_parse(&e, &doc, record.data, record.len);
	if (r)
		return r;
	(void)snprintf(digest, sizeof(digest), "%s %s", e.object, e.digest);
	if (json_object_set_new(leaves, digest, json_true()) < 0 ||
		json_array_append(entries, doc) < 0)
		return FAULT(-ENOMEM);
	recording = json_text(json_object_get(doc, "extra"), "recording");
	(void)snprintf(digest, sizeof(digest), "recording %s %s", e.object, recording);
	return *recording && json_object_set_new(leaves, digest, json_true()) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
site_key(const json_t *files, uint8_t ret[32])
{
	const char *keys = file_of(files, "keys"), *line = keys ? strstr(keys, "\nsite ") : NULL;
	char hex[65] = "";

	if (line && strlen(line) >= 6 + 64)
		memcpy(hex, line + 6, 64);
	return hex_decode(ret, 32, hex) ? 0 : REFUSE(REASON_MALFORMED, "keys", "names no site key");
}

static int
check_signed(const char *name, enum message type, const json_t *envelope, const uint8_t key[32])
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r;

	(void)name;
	if (!envelope)
		return 0; /* it did not come so far */
	r = envelope_open_json(&e, type, envelope);
	return r ?: envelope_verify_daemon(e, key);
}

/* The request is what its leaf says, the plan and the result are the site's. */
static int
check_request(const char *name, const char *text, const uint8_t key[32], const json_t *leaves)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *doc = NULL;
	const json_t *envelopes;
	char digest[SHA256_TEXT_MAX], leaf[SHA256_TEXT_MAX + NOTE_NAME_MAX];
	struct sshkey_public person;
	int r = json_read(&doc, text, strlen(text), EXPORT_BYTES_MAX, name);

	if (r)
		return r;
	envelopes = json_object_get(doc, "envelopes");
	r = envelope_open_json(&e, MESSAGE_REQUEST, json_object_get(envelopes, "request"));
	r = r ?: envelope_claimed_key(e, 0, &person);
	r = r ?: envelope_verify_person(e, &person);
	if (r)
		return r;
	sha256_text(digest, e->sha256);
	(void)snprintf(leaf, sizeof(leaf), "%s %s", json_text(e->payload, "id"), digest);
	if (!json_object_get(leaves, leaf))
		return REFUSE(REASON_ALTERED, name, "no leaf of the log is about this request");
	r = check_signed(name, MESSAGE_PLAN, json_object_get(envelopes, "plan"), key);
	return r ?: check_signed(name, MESSAGE_RESULT, json_object_get(envelopes, "result"), key);
}

/* It is what the leaf of its operation's end says. */
static int
check_recording(const char *name, const char *text, const json_t *leaves)
{
	char digest[SHA256_TEXT_MAX], leaf[LEAF_MAX];
	const char *id = strchr(name, '/') + 1;
	uint8_t sum[SHA256_LEN];

	sha256_of(sum, text, strlen(text));
	(void)snprintf(leaf, sizeof(leaf), "recording %.*s %s", (int)(strlen(id) - strlen(RECORDING_END)), id,
		sha256_text(digest, sum));
	return json_object_get(leaves, leaf) ? 0
					     : REFUSE(REASON_ALTERED, name, "no leaf of the log names this recording");
}

static bool
is_in(const char *name, const char *folder, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return strncmp(name, folder, strlen(folder)) == 0 && len > n &&
		strcmp(name + len - n, end) == 0;
}

void
export_report_done(struct export_report *r)
{
	json_decref(r->entries);
	r->entries = NULL;
}

int
export_check(struct export_report *ret, const json_t *doc, const struct note_key *log,
	const struct quorum *q)
{
	SCOPED_JSON *leaves = json_object();
	struct parts in;
	uint8_t key[32];
	const char *name;
	json_t *file;
	int r = take_apart(&in, doc);

	*ret = (struct export_report){ .entries = json_array() };
	r = r ?: check_manifest(&in, log, ret);
	r = r ?: check_head(&in, log, q, ret);
	r = r ?: site_key(in.files, key);
	json_object_foreach(in.files, name, file) {
		if (r || !is_in(name, "leaves/", ".tlog-proof"))
			continue;
		r = check_leaf(name, json_string_value(file), file_of(in.files, "checkpoint"), log,
			leaves, ret->entries);
		ret->n_leaves++;
	}
	json_object_foreach(in.files, name, file) {
		if (r || !is_in(name, "requests/", ".json"))
			continue;
		r = check_request(name, json_string_value(file), key, leaves);
		ret->n_requests++;
	}
	json_object_foreach(in.files, name, file)
		if (r == 0 && is_in(name, "requests/", RECORDING_END))
			r = check_recording(name, json_string_value(file), leaves);
	return r < 0 ? FAULT(r) : r;
}

int
export_named_key(struct note_key *ret, const json_t *doc)
{
	const char *keys = file_of(json_object_get(doc, "files"), "keys");
	char vkey[NOTE_NAME_MAX + 64] = "";

	if (!keys || sscanf(keys, "log %319[^\n]\n", vkey) != 1 || note_key_scan(ret, vkey))
		return REFUSE(REASON_MALFORMED, "keys", "names no log's key");
	return 0;
}
