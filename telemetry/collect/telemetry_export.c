#include "telemetry/collect/telemetry_export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ack.h"
#include "appliance/trust/sha256.h"
#include "telemetry/collect/telemetry_sent.h"

enum { INDEX_BYTES_MAX = 256 * 1024 * 1024 };

struct export {
	int dir_fd;
	json_t *items;
	struct ack *acks; /* NULL: nobody knows */
};

static int
write_body(const struct export *x, const char *stream, uint64_t sequence, const uint8_t *body, size_t len)
{
	SCOPED(scope_close) int folder = -1;
	SCOPED(scope_close) int fd = -1;
	char name[32];
	int r = fs_open_dir(&folder, x->dir_fd, stream, 0700);

	if (r < 0)
		return FAULT(r);
	(void)snprintf(name, sizeof(name), "%" PRIu64, sequence);
	fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return FAULT(-errno);
	r = fs_write_all(fd, body, len);
	return FAULT(r);
}

static int
on_record(const char *stream, uint64_t sequence, const struct ledger_entry *e, void *arg)
{
	SCOPED(buf_done) struct buf room = BUF_MAX(LEDGER_PLAIN_MAX);
	struct export *x = arg;
	char to[TELEMETRY_SENT_TO_MAX];
	const char *state = telemetry_sent_state(x->acks, stream, sequence, to);
	SCOPED_JSON *item = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s}", "stream", stream, "sequence", (json_int_t)sequence,
		"class", e->class_name, "path", e->path, "content_type", e->content_type, "state", state, "to", to);
	uint8_t digest[SHA256_LEN];
	const uint8_t *body;
	size_t len;
	int r;

	if (!item)
		return FAULT(-ENOMEM);
	r = ledger_plain(e, &room, &body, &len, stream);
	if (r == REASON_MALFORMED) /* logged: what it was nobody can say; the index says that it was there */
		return json_array_append(x->items, item) < 0 ? FAULT(-ENOMEM) : 0;
	if (r == 0)
		r = write_body(x, stream, sequence, body, len);
	if (r != 0)
		return FAULT(r);
	sha256_of(digest, body, len);
	r = json_put_u64(item, "bytes", len);
	r = r ?: json_put_sha256(item, "digest", digest);
	r = r ?: json_put_time(item, "time", e->time_us);
	return r != 0 || json_array_append(x->items, item) < 0 ? FAULT(r ?: -ENOMEM) : 0;
}

int
telemetry_export_run(struct command_call *call)
{
	static const char *const columns[] = { "stream", "sequence", "class", "state", "bytes", "digest", NULL };
	const char *dir = call->operands[0];
	SCOPED_JSON *items = json_array(), *index = NULL;
	SCOPED(buf_done) struct buf text = BUF_MAX(INDEX_BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	struct export x = { .items = items };
	int r;

	if (mkdir(dir, 0700) < 0)
		return errno == EEXIST ? REFUSE(REASON_CONFLICT, dir, "is there already; name a new folder")
				       : REFUSE(REASON_USAGE, dir, "cannot be made");
	fd = open(dir, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return FAULT(-errno);
	x.dir_fd = fd;
	r = items ? telemetry_sent_acks(&x.acks, &call->paths) : -ENOMEM;
	r = r ?: telemetry_sent_each(&call->paths, on_record, &x);
	x.acks = ack_free(x.acks);
	if (r == 0) {
		index = json_pack("{s:i, s:O}", "v", 1, "items", items);
		r = index ? json_canonical(&text, index) : -ENOMEM;
	}
	r = r ?: fs_replace(fd, "index.json", text.data, text.len, 0600);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return command_print_items(call, "TelemetryExport", json_incref(items), columns);
}
