#include "remote/desk/desk_actions.h"


#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/desk/desk_client.h"
#include "remote/desk/desk_session.h"

enum { REQUEST_S = 20, CELL = 512 };

/* A list with a hole in it is not to look whole. */
static void
warn_unavailable(const json_t *customers)
{
	json_t *name;
	size_t i;

	json_array_foreach(customers, i, name) {
		char text[CELL];

		log_escape(text, sizeof(text), json_is_string(name) ? json_string_value(name) : "?");
		log_warning("the hub cannot read what it has of customer %s: that is missing below", text);
	}
}

static int
list(struct command_call *call, const char *path, const char *kind, const char *const *columns)
{
	SCOPED(desk_session_done) struct desk d;
	SCOPED_JSON *doc = NULL;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_client_get(&d, path, REQUEST_S, &doc);
	if (r)
		return r;
	if (!json_is_array(json_object_get(doc, "items")))
		return REFUSE(REASON_MALFORMED, path, "the hub's answer has no items");
	warn_unavailable(json_object_get(doc, "unavailable"));
	r = command_print_items(call, kind, json_incref(json_object_get(doc, "items")), columns);
	command_say(call, "(the hub says so; what is signed: mainstay-desk show SITE)");
	return r;
}

int
desk_fleet_list(struct command_call *call)
{
	static const char *const columns[] = { "site", "customer", "status", "audit",
		"last_contact", "platform", NULL };

	return list(call, "/v1/fleet/sites", "SiteList", columns);
}
