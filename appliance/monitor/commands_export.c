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
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/monitor/witness_view.h"

enum { ASK_MS = 120 * 1000 };

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
static int
write_one(int dir_fd, const char *name, const char *text)
{
	SCOPED(scope_close) int fd = -1;
	const char *slash = strrchr(name, '/');
	char folder[EXPORT_NAME_MAX];
	int r;

	if (!export_is_name(name))
		return REFUSE(REASON_MALFORMED, name, "is no file of an export");
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
	int r = fs_open_dir(&fd, AT_FDCWD, path, 0755);

	json_object_foreach(json_object_get(doc, "files"), name, text)
		r = r ?: write_one(fd, name, json_string_value(text));
	return r ?: write_one(fd, MANIFEST, json_text(doc, "manifest"));
}

static int
write_file(const char *path, const json_t *doc)
{
	SCOPED(scope_free) char *text = json_dumps(doc, FORM);

	return text ? fs_replace_path(path, text, strlen(text), 0644) : FAULT(-ENOMEM);
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
	if (call->json)
		return command_print_json("AuditExport",
			json_pack("{s:s, s:s, s:I}", "ticket", ticket, "out", out, "files",
				(json_int_t)n));
	command_say(call, "%s: %zu files about %s; mainstay audit verify %s checks it anywhere",
		out, n, ticket, out);
	return 0;
}

/* --- checking -------------------------------------------------------------------------------------- */
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
	for (const char *at = r ? NULL : strstr(buf_text(&manifest), "\nsha256:"); r == 0 && at;
		at = strstr(at + 1, "\nsha256:")) {
		SCOPED(buf_done) struct buf b = BUF_MAX(EXPORT_BYTES_MAX);
		char name[EXPORT_NAME_MAX] = "";

		if (sscanf(at, "\nsha256:%*64[0-9a-f] %127[^\n]\n", name) != 1 ||
			!export_is_name(name))
			return REFUSE(REASON_MALFORMED, MANIFEST,
				"lists what is no file of an export");
		r = fs_read(fd, name, b.max, &b);
		if (r > 0)
			return REFUSE(REASON_ALTERED, name,
				"is gone, though the manifest lists it");
		if (r == 0 &&
			json_object_set_new(files, name, json_stringn(buf_text(&b), b.len)) < 0)
			return REFUSE(REASON_ALTERED, name, "is no text");
	}
	if (r < 0)
		return FAULT(r);
	*ret = json_pack("{s:i, s:s, s:O}", "v", 1, "manifest", buf_text(&manifest), "files",
		files);
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

int
commands_export_verify(struct command_call *call, const char *file)
{
	SCOPED(buf_done) struct buf vkey = BUF_MAX(NOTE_NAME_MAX + 64);
	SCOPED(quorum_freep) struct quorum *given = NULL, *own = NULL;
	SCOPED_JSON *doc = NULL, *quorum = NULL;
	struct export_report report;
	const char *policy;
	struct note_key log;
	bool own_key = false;
	int r = witness_view_policy(call, &given);

	if (r == 0 && is_dir(file))
		r = read_folder(file, &doc);
	else if (r == 0)
		r = read_file(file, &doc);
	r = r ?: pick_key(given, doc, &log, &own_key);
	r = r ?: export_check(&report, doc, &log, given);
	if (r)
		return r;
	policy = json_text(json_object_get(doc, "files"), "policy");
	if (!given)
		r = quorum_parse(&own, policy, strlen(policy), "policy");
	quorum = r ? NULL : quorum_json(given ? given : own, &report.verdict);
	if (!call->json)
		witness_view_say(call, quorum);
	r = r ?: quorum_require(quorum, file);
	if (r)
		return r;
	note_key_text(&vkey, &log);
	if (call->json)
		return command_print_json("AuditExportVerification",
			json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:b, s:O}", "log", report.origin,
				"ticket", report.ticket, "size", (json_int_t)report.size, "leaves",
				(json_int_t)report.n_leaves, "requests",
				(json_int_t)report.n_requests, "key", buf_text(&vkey), "own_key",
				own_key, "quorum", quorum));
	if (own_key)
		command_say(call, "the key is the export's own; compare it: %s", buf_text(&vkey));
	command_say(call, "verified: ticket %s, %zu requests, %zu leaves of %s at %llu entries",
		report.ticket, report.n_requests, report.n_leaves, report.origin,
		(unsigned long long)report.size);
	return 0;
}
