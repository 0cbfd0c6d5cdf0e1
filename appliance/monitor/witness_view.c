#include "appliance/monitor/witness_view.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

int
witness_view_policy(struct command_call *call, struct quorum **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(QUORUM_BYTES_MAX);
	const char *file = command_option(call, "policy");
	int r;

	*ret = NULL;
	if (!file)
		return 0;
	r = command_read_file(file, b.max, &b);
	return r ?: quorum_parse(ret, b.data, b.len, file);
}

int
witness_view_written(const char *path, int r)
{
	if (r == -ENOENT || r == -ENOTDIR || r == -EACCES || r == -EROFS || r == -EISDIR)
		return REFUSE(REASON_NOT_FOUND, path, "cannot be written: %s", strerror(-r));
	return r < 0 ? FAULT(r) : r;
}

int
witness_view_write(const char *path, const char *text)
{
	return witness_view_written(path, fs_replace_path(path, text, strlen(text), 0644));
}

int
witness_view_judge(const struct quorum *q, const struct note *note, json_t **ret)
{
	struct quorum_verdict v;
	int r;

	*ret = NULL;
	if (!q)
		return 0;
	r = quorum_check(q, note, &v);
	if (r)
		return r;
	*ret = quorum_json(q, &v);
	return *ret ? 0 : FAULT(-ENOMEM);
}

void
witness_view_say(struct command_call *call, const json_t *quorum)
{
	const json_t *w;
	size_t i;

	if (!quorum)
		return;
	json_array_foreach(json_object_get(quorum, "witnesses"), i, w) {
		bool cosigned = json_is_true(json_object_get(w, "cosigned"));

		command_say(call, "witness %s: %s%s", json_text(w, "name"),
			cosigned ? "cosigned " : "has not cosigned", json_text(w, "time"));
	}
	command_say(call, "quorum %s: %s", json_text(quorum, "quorum"),
		json_is_true(json_object_get(quorum, "met")) ? "met" : "NOT met");
}
