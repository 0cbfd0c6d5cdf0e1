#include "remote/recording/recording_site.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "remote/recording/recordings.h"

static int
on_list(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct recordings *all = arg;
	json_t *list = recordings_list(all);
	json_t *answer = list ? json_pack("{s:o, s:I}", "items", list, "removed", (json_int_t)recordings_removed(all)) : NULL;

	(void)m;
	if (!answer)
		return FAULT(-ENOMEM);
	monitor_answer(call, answer);
	return 0;
}

static int
on_read(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(RECORDINGS_CHUNK_MAX);
	json_t *answer;
	uint64_t from = 0;
	const char *id;
	int r = monitor_call_need(call, "id", &id);

	(void)m;
	r = r ?: monitor_call_u64(call, "from", RECORDINGS_BYTES_MAX, &from);
	r = r ?: recordings_read(arg, id, from, &text);
	if (r)
		return r;
	answer = json_pack("{s:s}", "text", buf_text(&text));
	if (!answer)
		return FAULT(-ENOMEM);
	monitor_answer(call, answer);
	return 0;
}

int
recording_site_init(struct monitor *m, struct recordings *all)
{
	int r = monitor_register_verb(m, "recordings.list", CALL_ROLE_CONTROL | CALL_ROLE_LOOK, on_list, all);

	return r ?: monitor_register_verb(m, "recordings.read", CALL_ROLE_CONTROL, on_read, all);
}
