#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/trust/sha256.h"
#include "remote/recording/recordings.h"

enum {
	NAME_MAX_BYTES = 96,
	/* Of all recordings in one export, which travels as one answer. */
	RECORDINGS_BYTES = 8 * 1024 * 1024,
};

static int
put_text(json_t *files, const char *id, const char *end, const char *text)
{
	char name[NAME_MAX_BYTES];

	(void)snprintf(name, sizeof(name), "requests/%s%s", id, end);
	return json_object_set_new(files, name, json_string(text)) < 0 ? FAULT(-ENOMEM) : 0;
}

/* Whole, or a line in its place that says where it is. */
static int
put_recording(struct request_site *s, json_t *files, const char *id, size_t *room)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RECORDINGS_BYTES + RECORDINGS_CHUNK_MAX);
	char digest[SHA256_TEXT_MAX], text[256];
	uint8_t sum[SHA256_LEN];
	uint64_t n;
	size_t before;
	int r = recordings_digest(s->recordings, id, sum, &n);

	if (r)
		return r < 0 ? r : 0; /* nothing ran, or it is not kept any more: its leaf names it */
	do {
		before = b.len;
		r = recordings_read(s->recordings, id, before, &b);
	} while (r == 0 && b.len > before && b.len <= *room);
	if (r < 0)
		return r;
	if (b.len <= *room) {
		*room -= b.len;
		return put_text(files, id, ".cast", buf_text(&b));
	}
	(void)snprintf(text, sizeof(text), "%s is too large for this export; it is kept at the site:\nmainstay replay %s\n",
		sha256_text(digest, sum), id);
	return put_text(files, id, ".cast.txt", text);
}

static int
put_item(struct request_site *s, json_t *ids, json_t *files, const struct request_item *item, size_t *room)
{
	SCOPED_JSON *full = request_site_full(item);
	/* For auditors' own tools: any JSON, not the canonical form, whose line ends are raw. */
	SCOPED(scope_free) char *text = full ? json_dumps(full, JSON_SORT_KEYS | JSON_INDENT(2)) : NULL;
	const char *id = item->request->id;
	int r = text ? put_text(files, id, ".json", text) : FAULT(-ENOMEM);

	if (r == 0 && item->plan_text)
		r = put_text(files, id, ".plan.txt", item->plan_text);
	r = r ?: put_recording(s, files, id, room);
	if (r == 0 && json_object_set_new(ids, id, json_true()) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

int
request_site_ticket(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED_JSON *ids = json_object(), *files = json_object();
	size_t room = RECORDINGS_BYTES;
	const char *ticket;
	int r = monitor_call_need(call, "ticket", &ticket); /* none may be kept any more: the log knows of it */

	(void)m;
	for (size_t i = 0; r == 0 && i < request_store_count(s->store); i++) {
		const struct request_item *item = request_store_at(s->store, i);

		if (strcmp(item->request->ticket, ticket) == 0)
			r = put_item(s, ids, files, item, &room);
	}
	if (r)
		return r;
	monitor_answer(call, json_pack("{s:O, s:O}", "ids", ids, "files", files));
	return 0;
}
