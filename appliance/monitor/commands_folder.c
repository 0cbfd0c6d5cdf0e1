#include "appliance/monitor/commands_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/audit/verify.h"
#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/witness_view.h"

bool
commands_folder_is_one(const char *path)
{
	SCOPED(scope_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	return fd >= 0 && (faccessat(fd, "audit/checkpoint", F_OK, 0) == 0 || faccessat(fd, "tile", F_OK, 0) == 0);
}

/* DIR/audit of what was taken along, or DIR itself. */
static int
open_log(int dir_fd, int *ret)
{
	static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	*ret = openat(dir_fd, "audit", flags);
	if (*ret < 0 && errno == ENOENT)
		*ret = openat(dir_fd, ".", flags);
	return *ret < 0 ? FAULT(-errno) : 0;
}

static int
read_policy(struct command_call *call, int dir_fd, const char *path, struct quorum **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(QUORUM_BYTES_MAX);
	int r;

	if (command_option(call, "policy"))
		return witness_view_policy(call, ret);
	r = fs_read(dir_fd, "verify.policy", b.max, &b);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_USAGE, path, "holds no verify.policy; --policy names the log's key");
	if (r > 0)
		return REFUSE(r, "verify.policy", "cannot be read");
	return r ?: quorum_parse(ret, b.data, b.len, "verify.policy");
}

/* The only log of the policy; of several the one that the head names. */
static int
key_of(const struct quorum *q, const struct note_checkpoint *head, const struct note_key **ret)
{
	size_t n = quorum_n_logs(q);

	if (n == 0)
		return REFUSE(REASON_USAGE, "--policy", "names no log; a line: log VKEY");
	for (size_t i = 0; i < n; i++)
		if (n == 1 || strcmp(quorum_log(q, i)->name, head->origin) == 0) {
			*ret = quorum_log(q, i);
			return 0;
		}
	return REFUSE(REASON_UNKNOWN_KEY, head->origin, "is no log of the policy");
}

/* What somebody else than the site has signed, else what it signed itself. */
static int
read_head(int log_fd, const char *path, struct note **ret, struct note_checkpoint *ret_head, bool *ret_cosigned)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(NOTE_MAX);
	int r = fs_read(log_fd, "cosigned", b.max, &b);

	*ret_cosigned = r == 0;
	if (r == REASON_NOT_FOUND)
		r = fs_read(log_fd, "checkpoint", b.max, &b);
	if (r > 0)
		return REFUSE(r, path, "its checkpoint cannot be read");
	r = r ?: note_open(ret, b.data, b.len, "checkpoint");
	return r ?: note_checkpoint_parse(ret_head, (*ret)->text, (*ret)->text_len, "checkpoint");
}

static int
report_json(const struct verify_report *v, const struct note_key *key, json_t *quorum, json_t **ret)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "size", v->size);
	r = r ?: json_put_sha256(doc, "root", v->root);
	r = r ?: json_put_u64(doc, "signed", v->signed_size);
	r = r ?: json_put_u64(doc, "erased", v->erased);
	r = r ?: json_put_u64(doc, "cosigned", v->cosigned);
	r = r ?: json_put_text(doc, "origin", v->origin);
	r = r ?: json_put_text(doc, "log", key->name);
	r = r ?: json_put_hex(doc, "key", key->key, sizeof(key->key));
	if (r == 0 && quorum && json_object_set(doc, "quorum", quorum) < 0)
		r = -ENOMEM;
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(doc);
	return 0;
}

static int
say(struct command_call *call, const struct verify_report *v, const struct note_key *key, const json_t *quorum)
{
	SCOPED(buf_done) struct buf vkey = BUF_MAX(1024);

	note_key_text(&vkey, key);
	if (buf_error(&vkey))
		return FAULT(buf_error(&vkey));
	witness_view_say(call, quorum);
	command_say(call, "verified: %llu entries, %llu cosigned, %llu erased as entries say",
		(unsigned long long)v->size, (unsigned long long)v->cosigned, (unsigned long long)v->erased);
	command_say(call, "by the key %s", buf_text(&vkey));
	if (!command_option(call, "policy"))
		command_say(call, "That key stands in the folder itself: ask somebody else whether it is the site's.");
	return 0;
}

int
commands_folder_verify(struct command_call *call, const char *path)
{
	SCOPED(scope_close) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), log = -1;
	SCOPED(quorum_freep) struct quorum *q = NULL;
	SCOPED(note_freep) struct note *note = NULL;
	SCOPED_JSON *quorum = NULL;
	const struct note_key *key = NULL;
	struct note_checkpoint head;
	struct verify_report report;
	json_t *doc = NULL;
	bool cosigned = false;
	int r;

	if (dir < 0)
		return FAULT(-errno);
	r = open_log(dir, &log);
	r = r ?: read_policy(call, dir, path, &q);
	r = r ?: read_head(log, path, &note, &head, &cosigned);
	r = r ?: key_of(q, &head, &key);
	r = r ?: verify_log(&report, log, key->key, NULL);
	if (r == 0 && (cosigned || command_option(call, "policy")))
		r = witness_view_judge(q, note, &quorum);
	if (r == 0 && command_option(call, "policy"))
		r = quorum_require(quorum, path);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!call->json)
		return say(call, &report, key, quorum);
	r = report_json(&report, key, quorum, &doc);
	return r ?: command_print_json("AuditVerify", doc);
}
