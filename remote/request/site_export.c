#include "remote/request/site_room.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/statement.h"
#include "remote/request/results_file.h"

/* Is it one of those that were asked for: by name, by ticket, or, where neither was, those that a person brought? */
static bool
is_wanted(const struct request_item *item, const char *ids, const char *ticket)
{
	const char *id = item->request->id, *at = ids;
	size_t len = strlen(id);

	if (ticket)
		return strcmp(item->request->ticket, ticket) == 0;
	if (!ids)
		return item->mailbox == 0;
	for (; at && *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == len && memcmp(at, id, len) == 0)
			return true;
	return false;
}

static json_t *
or_null(json_t *envelope)
{
	return envelope ? json_incref(envelope) : json_null();
}

static int
put_item(json_t *items, const struct request_item *item)
{
	json_t *one = json_pack("{s:s, s:s, s:O, s:o, s:o}", "id", item->request->id, "decision",
		item->decision ? item->decision : "", "request", item->envelope, "plan", or_null(item->plan), "result",
		or_null(item->result));

	return json_array_append_new(items, one) < 0 ? FAULT(-ENOMEM) : 0;
}

/* Whoever names one that is not here is not to believe that it is in the file. */
static int
check_named(struct request_site *s, const char *ids)
{
	char id[REQUEST_ID_MAX + 1];

	for (const char *at = ids; at && *at; at += strcspn(at, ","), at += *at == ',') {
		(void)snprintf(id, sizeof(id), "%.*s", (int)strcspn(at, ","), at);
		if (!request_store_find(s->store, id))
			return REFUSE(REASON_NOT_FOUND, id, "no such request here");
	}
	return 0;
}

int
request_site_export(struct monitor *m, struct monitor_call *call, void *arg)
{
	const char *ids = monitor_call_text(call, "ids"), *ticket = monitor_call_text(call, "ticket");
	SCOPED_JSON *items = json_array(), *statement = NULL, *permits = NULL;
	struct request_site *s = arg;
	int r = check_named(s, ids);

	for (size_t i = 0; !r && i < request_store_count(s->store); i++)
		if (is_wanted(request_store_at(s->store, i), ids, ticket))
			r = put_item(items, request_store_at(s->store, i));
	r = r ?: statement_make(m, &statement);
	r = r ?: request_site_told_make(s, &permits);
	if (r)
		return r;
	monitor_answer(call, json_pack("{s:{s:i, s:s, s:O, s:O*, s:O}}", "file", "v", 1, "site", monitor_site(m), "statement",
				     statement, "permits", permits, "items", items));
	return 0;
}
