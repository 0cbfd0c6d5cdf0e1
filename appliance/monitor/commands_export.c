/* audit export, and checking one. */
#include "appliance/monitor/commands_export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/audit/export.h"
#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/enrol/card.h"
#include "appliance/monitor/export_judge.h"
#include "appliance/monitor/witness_view.h"
#include "appliance/trust/sha256.h"

enum { ASK_MS = 120 * 1000, SAY_MAX = 256 };

#define MANIFEST "manifest"
#define FORM                                                                                       \
	(JSON_SORT_KEYS | JSON_COMPACT) /* any tool reads it, and there is one way to write it */

/* --- writing --------------------------------------------------------------------------------------- */
static bool
is_dir(const char *path)
{
	struct stat st;

	return path[strlen(path) - 1] == '/' || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* One file of the folder; its own folder first. */
/* The monitor seals no name that leads elsewhere (export_seal). */
static int
write_one(int dir_fd, const char *name, const char *text)
{
	SCOPED(scope_close) int fd = -1;
	const char *slash = strrchr(name, '/');
	char folder[EXPORT_NAME_MAX];
	int r;

	(void)snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - name) : 1,
		slash ? name : ".");
	r = fs_open_dir(&fd, dir_fd, folder, 0755);
	return FAULT(r ?: fs_replace(fd, slash ? slash + 1 : name, text, strlen(text), 0644));
}

static int
write_folder(const char *path, const json_t *doc)
{
	SCOPED(scope_close) int fd = -1;
	const char *name;
	json_t *text;
	int r = witness_view_written(path, fs_open_dir(&fd, AT_FDCWD, path, 0755));

	json_object_foreach(json_object_get(doc, "files"), name, text)
		r = r ?: write_one(fd, name, json_string_value(text));
	return r ? r : write_one(fd, MANIFEST, json_text(doc, "manifest"));
}

static int
write_file(const char *path, const json_t *doc)
{
	SCOPED(scope_free) char *text = json_dumps(doc, FORM);

	return text ? witness_view_write(path, text) : FAULT(-ENOMEM);
}

static const char *
next_line(const char *at)
{
	const char *end = strchr(at, '\n');

	return end ? end + 1 : at + strlen(at);
}

/* What the site no longer keeps. */
static void
say_missing(struct command_call *call, const json_t *doc)
{
	const char *text = json_text(json_object_get(doc, "files"), "missing.txt");

	for (; *text; text = next_line(text)) {
		char line[SAY_MAX], plain[4 * SAY_MAX];

		(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(text, "\n"), text);
		command_say(call, "missing: %s", log_escape(plain, sizeof(plain), line));
	}
}

int
commands_export_run(struct command_call *call)
{
	const char *ticket = command_option(call, "ticket"), *out = command_option(call, "out");
	struct call_request *req = call_new("requests.ticket");
	SCOPED(buf_done) struct buf body = BUF_MAX(EXPORT_BYTES_MAX);
	SCOPED_JSON *documents = NULL, *doc = NULL;
	size_t n;
	int r;

	call_param(req, "ticket", ticket);
	r = ask_monitor(call, req, ASK_MS, &documents);
	r = r ?: json_canonical(&body, documents);
	if (r)
		return r;
	req = call_new("audit.export");
	call_param(req, "ticket", ticket);
	call_body(req, body.data, body.len);
	r = ask_monitor(call, req, ASK_MS, &doc);
	r = r ?: is_dir(out) ? write_folder(out, doc) : write_file(out, doc);
	if (r)
		return r;
	n = json_object_size(json_object_get(doc, "files"));
	if (!call->json)
		say_missing(call, doc);
	if (call->json)
		return command_print_json("AuditExport",
			json_pack("{s:s, s:s, s:I}", "ticket", ticket, "out", out, "files",
				(json_int_t)n));
	command_say(call, "%s: %zu files about %s; mainstay audit verify %s checks it anywhere",
		out, n, ticket, out);
	return 0;
}

/* --- checking -------------------------------------------------------------------------------------- */
static int
read_one(int dir_fd, const char *name, json_t *files)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(EXPORT_BYTES_MAX);
	int r = files ? fs_read(dir_fd, name, b.max, &b) : -ENOMEM;

	if (r > 0)
		return REFUSE(REASON_ALTERED, name, "is gone, though the manifest lists it");
	errno = 0;
	if (r == 0 && json_object_set_new(files, name, json_stringn(buf_text(&b), b.len)) < 0)
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_ALTERED, name, "is no text");
	return FAULT(r);
}

/* Before the names in it are looked for. */
static int
check_list(const char *manifest, const char *sums)
{
	char digest[SHA256_TEXT_MAX];
	uint8_t hash[SHA256_LEN];

	sha256_of(hash, sums, strlen(sums));
	if (!strstr(manifest, sha256_text(digest, hash)))
		return REFUSE(REASON_ALTERED, EXPORT_SUMS, "is not what the site's manifest names");
	return 0;
}

/* The files that the manifest of a folder lists. */
static int
read_folder(const char *path, json_t **ret)
{
	SCOPED(scope_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(buf_done) struct buf manifest = BUF_MAX(NOTE_MAX);
	SCOPED_JSON *files = json_object();
	int r = fd < 0 ? -errno : fs_read(fd, MANIFEST, manifest.max, &manifest);

	if (r > 0)
		return REFUSE(r, path, "holds no manifest of an export");
	r = r ?: read_one(fd, EXPORT_SUMS, files);
	r = r ?: check_list(buf_text(&manifest), json_text(files, EXPORT_SUMS));
	for (const char *at = json_text(files, EXPORT_SUMS); r == 0 && *at; at = next_line(at)) {
		char name[EXPORT_NAME_MAX] = "";

		if (sscanf(at, "%*64[0-9a-f]  %127[^\n]\n", name) != 1 || !export_is_name(name))
			return REFUSE(REASON_MALFORMED, EXPORT_SUMS,
				"lists what is no file of an export");
		r = read_one(fd, name, files);
	}
	if (r > 0)
		return r;
	if (r < 0)
		return FAULT(r);
	errno = 0; /* where there is no memory malloc() sets it; text that is no UTF-8 leaves it */
	*ret = json_pack("{s:i, s:s, s:O}", "v", 1, "manifest", buf_text(&manifest), "files",
		files);
	if (!*ret && errno == ENOMEM)
		return FAULT(-ENOMEM);
	return *ret ? 0 : REFUSE(REASON_MALFORMED, MANIFEST, "is no text");
}

bool
commands_export_is_one(const char *file)
{
	SCOPED(scope_close) int fd = -1;
	char first = 0;

	if (strcmp(file, "-") == 0)
		return false;
	if (is_dir(file))
		return true;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 && read(fd, &first, 1) == 1 && first == '{';
}

static int
pick_key(const struct quorum *q, const json_t *doc, struct note_key *ret, bool *ret_own)
{
	int r = export_named_key(ret, doc);

	*ret_own = !q || quorum_n_logs(q) == 0;
	if (r || *ret_own)
		return r;
	for (size_t i = 0; i < quorum_n_logs(q); i++) {
		const struct note_key *log = quorum_log(q, i);

		if (strcmp(log->name, ret->name) == 0) {
			*ret = *log;
			return 0;
		}
	}
	return REFUSE(REASON_UNKNOWN_KEY, ret->name, "is no log of the policy");
}

/* Bytes that read as the same are other bytes all the same. */
static int
read_file(const char *path, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(EXPORT_BYTES_MAX);
	SCOPED(scope_free) char *again = NULL;
	SCOPED_JSON *doc = NULL;
	int r = command_read_file(path, b.max, &b);

	r = r ?: json_read(&doc, b.data, b.len, b.max, path);
	if (r)
		return r;
	again = json_dumps(doc, FORM);
	if (!again)
		return FAULT(-ENOMEM);
	if (strlen(again) != b.len || memcmp(again, b.data, b.len) != 0)
		return REFUSE(REASON_ALTERED, path, "was written by something else");
	*ret = STEAL(doc);
	return 0;
}

/* As ssh-keygen -l prints it: the same digest, in base64 without its end. */
static const char *
ssh_fingerprint(char out[SAY_MAX], const char *keyid)
{
	char text[HEX_BASE64_MAX(SHA256_LEN)];
	uint8_t digest[SHA256_LEN];

	if (!hex_decode(digest, sizeof(digest), keyid))
		return "none";
	hex_base64_into(text, digest, sizeof(digest));
	(void)snprintf(out, SAY_MAX, "SHA256:%.*s", (int)strcspn(text, "="), text);
	return out;
}

/* What somebody else than the two sides can say of the people in it. */
static void
say_people(struct command_call *call, const json_t *people)
{
	const json_t *item, *approver;
	size_t i, k;

	json_array_foreach(people, i, item) {
		char id[SAY_MAX], engineer[SAY_MAX], name[SAY_MAX], key[SAY_MAX];

		command_say(call, "request %s by %s, key %s: %s",
			log_escape(id, sizeof(id), json_text(item, "id")),
			log_escape(engineer, sizeof(engineer), json_text(item, "engineer")),
			ssh_fingerprint(key, json_text(item, "key")), json_text(item, "people"));
		json_array_foreach(json_object_get(item, "approvers"), k, approver)
			command_say(call,
				"  %s by %s%s, key %s: compare it with the customer's policy",
				json_text(approver, "decision"),
				log_escape(name, sizeof(name), json_text(approver, "name")),
				json_is_true(json_object_get(approver, "standing")) ? " (standing)"
										    : "",
				ssh_fingerprint(key, json_text(approver, "key")));
	}
}

static int
read_card(struct command_call *call, struct card **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CARD_MAX);
	const char *file = command_option(call, "card");
	int r = file ? command_read_file(file, b.max, &b) : 0;

	return r || !file ? r : card_read(ret, b.data, b.len);
}

/* The quorum of the policy that was given, else of the one in the export. */
static int
judge_quorum(const json_t *doc, const struct quorum *given, const struct quorum_verdict *v,
	json_t **ret)
{
	const char *policy = json_text(json_object_get(doc, "files"), "policy");
	SCOPED(quorum_freep) struct quorum *own = NULL;
	int r = given ? 0 : quorum_parse(&own, policy, strlen(policy), "policy");

	if (r)
		return r;
	*ret = quorum_json(given ? given : own, v);
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
say_verified(struct command_call *call, const struct export_report *report, const json_t *doc,
	const json_t *quorum, const json_t *people, const char *vkey, bool own_key,
	const struct card *card)
{
	char groups[CARD_GROUPS_MAX];

	if (call->json)
		return command_print_json("AuditExportVerification",
			json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:b, s:O, s:O, s:s}", "log",
				report->origin, "ticket", report->ticket, "size",
				(json_int_t)report->size, "leaves", (json_int_t)report->n_leaves,
				"requests", (json_int_t)report->n_requests, "key", vkey, "own_key",
				own_key, "quorum", quorum, "people", people, "missing",
				json_text(json_object_get(doc, "files"), "missing.txt")));
	say_people(call, people);
	say_missing(call, doc);
	if (card)
		command_say(call, "the card is %s's; compare its fingerprint with paper: %s",
			card->name, card_fingerprint_groups(groups, card->fingerprint));
	if (own_key)
		command_say(call, "the key is the export's own; compare it: %s", vkey);
	command_say(call, "verified: ticket %s, %zu requests, %zu leaves of %s at %llu entries",
		report->ticket, report->n_requests, report->n_leaves, report->origin,
		(unsigned long long)report->size);
	return 0;
}

int
commands_export_verify(struct command_call *call, const char *file)
{
	SCOPED(buf_done) struct buf vkey = BUF_MAX(NOTE_NAME_MAX + 64);
	SCOPED(export_report_done) struct export_report report = { 0 };
	SCOPED(quorum_freep) struct quorum *given = NULL;
	SCOPED(card_freep) struct card *card = NULL;
	SCOPED_JSON *doc = NULL, *quorum = NULL, *people = NULL;
	struct note_key log;
	bool own_key = false;
	int r = witness_view_policy(call, &given);

	r = r ?: read_card(call, &card);
	if (r == 0)
		r = is_dir(file) ? read_folder(file, &doc) : read_file(file, &doc);
	r = r ?: pick_key(given, doc, &log, &own_key);
	r = r ?: export_check(&report, doc, &log, given);
	r = r ?: export_judge(&people, doc, report.entries, card);
	r = r ?: judge_quorum(doc, given, &report.verdict, &quorum);
	if (r)
		return r;
	if (!call->json)
		witness_view_say(call, quorum);
	r = quorum_require(quorum, file);
	if (r)
		return r;
	note_key_text(&vkey, &log);
	if (buf_error(&vkey))
		return FAULT(buf_error(&vkey));
	return say_verified(call, &report, doc, quorum, people, buf_text(&vkey), own_key, card);
}
