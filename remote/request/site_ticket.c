#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"

enum { NAME_MAX_BYTES = 96 };

static int
put_text(json_t *files, const char *id, const char *end, const char *text)
{
	char name[NAME_MAX_BYTES];

	(void)snprintf(name, sizeof(name), "requests/%s%s", id, end);
	return json_object_set_new(files, name, json_string(text)) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
put_item(json_t *ids, json_t *files, const struct request_item *item)
{
	SCOPED_JSON *full = request_site_full(item);
	/* For auditors' own tools: any JSON, not the canonical form, whose line ends are raw. */
	SCOPED(scope_free) char *text = full ? json_dumps(full, JSON_SORT_KEYS | JSON_INDENT(2)) : NULL;
	const char *id = item->request->id;
	int r = text ? put_text(files, id, ".json", text) : FAULT(-ENOMEM);

	if (r == 0 && item->plan_text)
		r = put_text(files, id, ".plan.txt", item->plan_text);
	if (r == 0 && json_object_set_new(ids, id, json_true()) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

int
request_site_ticket(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct request_site *s = arg;
	SCOPED_JSON *ids = json_object(), *files = json_object();
	const char *ticket;
	int r = monitor_call_need(call, "ticket", &ticket); /* none may be kept any more: the log knows of it */

	(void)m;
	for (size_t i = 0; r == 0 && i < request_store_count(s->store); i++) {
		const struct request_item *item = request_store_at(s->store, i);

		if (strcmp(item->request->ticket, ticket) == 0)
			r = put_item(ids, files, item);
	}
	if (r)
		return r;
	monitor_answer(call, json_pack("{s:O, s:O}", "ids", ids, "files", files));
	return 0;
}
