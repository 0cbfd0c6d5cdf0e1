#include "telemetry/alert/alert_commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/alert/alert_show.h"
#include "telemetry/store/hub_ask.h"

#define ALERTS "/v1/fleet/alerts"

enum {
	TARGET_MAX = 512,
	CELL = 1024,
	PAGES_MAX = 40,
	WATCH_MS = 5000,
};

/* --- what is asked for ---------------------------------------------------------------------------------------- */
static int
put_word(struct command_call *call, struct buf *path, const char *name, size_t max)
{
	const char *text = command_option(call, name);

	if (!text)
		return 0;
	if (!alert_show_plain(text, max))
		return REFUSE(REASON_USAGE, text, "no %s is called so", name);
	buf_printf(path, "&%s=%s", name, text);
	return 0;
}

/* "2h" is two hours ago; or a time. */
static int
put_since(struct command_call *call, struct buf *path)
{
	const char *text = command_option(call, "since");
	char when[CLOCK_TEXT_MAX];
	uint64_t us;

	if (!text)
		return 0;
	if (clock_parse(&us, text) != 0) {
		uint64_t span_us, now_us = clock_now_us();

		if (clock_parse_span(&span_us, text) != 0 || span_us > now_us)
			return REFUSE(REASON_USAGE, text, "is neither a span (90m, 2d) nor a time (2026-11-21T10:00:00Z)");
		us = now_us - span_us;
	}
	buf_printf(path, "&since=%s", clock_format(when, us));
	return 0;
}

static int
check_state(struct command_call *call)
{
	static const char *const states[] = { "firing", "muted", "resolved" };
	const char *text = command_option(call, "standing");

	for (size_t i = 0; text && i < ARRAY_LEN(states); i++)
		if (strcmp(text, states[i]) == 0)
			text = NULL;
	return text ? REFUSE(REASON_USAGE, text, "is no state of an alert: firing, muted, resolved") : 0;
}

/* The path of the list, with its filter. */
static int
make_path(struct command_call *call, struct buf *path)
{
	int r = check_state(call);

	buf_puts(path, ALERTS "?limit=500");
	r = r ? r : put_word(call, path, "site", 64);
	r = r ? r : put_word(call, path, "customer", 64);
	if (r == 0 && command_option(call, "standing"))
		buf_printf(path, "&state=%s", command_option(call, "standing"));
	r = r ? r : put_word(call, path, "severity", 31);
	r = r ? r : put_since(call, path);
	return r ? r : FAULT(buf_error(path));
}

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

/* All pages of a list, appended to items. */
static int
fetch(struct command_call *call, const char *first, json_t *items)
{
	char path[2 * TARGET_MAX];

	(void)snprintf(path, sizeof(path), "%s", first);
	for (int page = 0; page < PAGES_MAX; page++) {
		SCOPED_JSON *doc = NULL;
		const char *next;
		int r = hub_ask_get(call, path, &doc);

		if (r != 0)
			return r;
		if (!json_is_array(json_object_get(doc, "items")))
			return REFUSE(REASON_MALFORMED, ALERTS, "the hub's answer has no items");
		if (page == 0)
			warn_unavailable(json_object_get(doc, "unavailable"));
		if (json_array_extend(items, json_object_get(doc, "items")) < 0)
			return FAULT(-ENOMEM);
		next = json_text(doc, "next");
		if (!next[0] || !alert_show_plain(next, 127))
			return 0;
		(void)snprintf(path, sizeof(path), "%s&after=%s", first, next);
	}
	log_warning("there are more than these: narrow them with --site, --standing or --since");
	return 0;
}

/* --- commands --------------------------------------------------------------------------------------------------- */
/* One line an alert that changed; *newest is the time of the last. */
static int
print_changes(struct command_call *call, const json_t *items, char newest[CLOCK_TEXT_MAX])
{
	char was[CLOCK_TEXT_MAX], line[CELL], cell[CELL], text[64];

	(void)snprintf(was, sizeof(was), "%s", newest);
	for (size_t i = json_array_size(items); i-- > 0;) {
		json_t *item = json_array_get(items, i);
		const char *changed = json_text(item, "changed");
		int r;

		if (strcmp(changed, was) <= 0)
			continue;
		(void)snprintf(newest, CLOCK_TEXT_MAX, "%s", changed);
		(void)snprintf(line, sizeof(line), "%s  %s  %s  %s  %s  %s  %s", changed, json_text(item, "id"),
			json_text(item, "site"), json_text(item, "service"), json_text(item, "name"), alert_show_standing(item, text),
			json_text(item, "text"));
		command_say(call, "%s", log_escape(cell, sizeof(cell), line));
		r = call->json ? command_print_json("Alert", json_incref(item)) : 0;
		if (r != 0)
			return r;
	}
	(void)fflush(stdout);
	return 0;
}

/* Until the engineer has seen enough. */
static int
watch(struct command_call *call, const char *path, json_t *items)
{
	char newest[CLOCK_TEXT_MAX] = "", again[2 * TARGET_MAX];
	const char *since = strstr(path, "&since=");
	int len = (int)(since ? (size_t)(since - path) : strlen(path));
	int r = print_changes(call, items, newest);

	while (r == 0) {
		(void)poll(NULL, 0, WATCH_MS);
		json_array_clear(items);
		(void)snprintf(again, sizeof(again), "%.*s%s%s", len, path, newest[0] ? "&since=" : "", newest);
		r = fetch(call, again, items);
		r = r ? r : print_changes(call, items, newest);
	}
	return r;
}

static int
run_list(struct command_call *call)
{
	SCOPED(buf_done) struct buf path = BUF_MAX(TARGET_MAX);
	SCOPED_JSON *items = json_array();
	int r = make_path(call, &path);

	r = r ? r : fetch(call, buf_text(&path), items);
	if (r != 0)
		return r;
	return command_option(call, "watch") ? watch(call, buf_text(&path), items) : alert_show_list(call, items);
}

/* The path of the alert that the first operand names. */
static int
path_of(struct command_call *call, const char *what, char path[TARGET_MAX])
{
	const char *id = call->operands[0];

	if (!alert_show_plain(id, 90) || strchr(id, '.') == NULL)
		return REFUSE(REASON_USAGE, id, "no alert's id (mainstay-desk alerts lists them)");
	(void)snprintf(path, TARGET_MAX, ALERTS "/%s%s", id, what);
	return 0;
}

static int
run_show(struct command_call *call)
{
	SCOPED_JSON *item = NULL;
	char path[TARGET_MAX];
	int r = path_of(call, "", path);

	r = r ? r : hub_ask_get(call, path, &item);
	if (r != 0)
		return r;
	if (call->json)
		return command_print_json("Alert", json_incref(item));
	r = alert_show_one(call, item, clock_now_us());
	return FAULT(r);
}

/* Post, and say how the alert is then, in the hub's words. */
static int
change(struct command_call *call, const char *what, json_t *take_body, json_t **ret)
{
	SCOPED_JSON *body = take_body;
	char path[TARGET_MAX];
	int r = body ? path_of(call, what, path) : FAULT(-ENOMEM);

	r = r ? r : hub_ask_post(call, path, body, ret);
	return r ? r : call->json ? command_print_json("Alert", json_incref(*ret)) : 0;
}

static int
run_ack(struct command_call *call)
{
	const char *note = command_option(call, "note");
	SCOPED_JSON *item = NULL;
	char who[CELL];
	int r = change(call, "/ack", note ? json_pack("{s:s}", "note", note) : json_object(), &item);

	if (r == 0)
		command_say(call, "%s is acknowledged, by %s", call->operands[0],
			log_escape(who, sizeof(who), json_text(item, "acknowledged_by")));
	return r;
}

static int
run_unack(struct command_call *call)
{
	SCOPED_JSON *item = NULL;
	int r = change(call, "/unack", json_object(), &item);

	if (r == 0)
		command_say(call, "%s is %s", call->operands[0],
			json_text(item, "acknowledged_by")[0] ? "still acknowledged" : "nobody's");
	return r;
}

static int
run_note(struct command_call *call)
{
	SCOPED_JSON *item = NULL;
	int r = change(call, "/note", json_pack("{s:s}", "note", call->operands[1]), &item);

	if (r == 0)
		command_say(call, "%s has your note", call->operands[0]);
	return r;
}

static const struct command_option list_options[] = {
	{ .name = "site", .value = "SITE", .help = "of this site" },
	{ .name = "customer", .value = "CUSTOMER", .help = "of this customer's sites" },
	{ .name = "standing", .value = "STATE", .help = "firing, muted or resolved" },
	{ .name = "severity", .value = "S", .help = "as the definition says: critical, warning ..." },
	{ .name = "since", .value = "WHEN", .help = "changed since then: a span (2h) or a time" },
	{ .name = "watch", .help = "go on printing what changes, until you end it" },
	{ 0 },
};

static const struct command_option ack_options[] = {
	{ .name = "note", .value = "TEXT", .help = "what you know of it, for whoever looks next" },
	{ 0 },
};

const struct command alert_commands[] = {
	{ .name = "alerts", .summary = "what fires at the sites, the newest first", .options = list_options,
		.details = "An alert that goes to and fro is one row that counts (flapping). Of a site that is silent the state is\n"
			   "the last known. Those that were muted on their site are shown apart.",
		.examples = "mainstay-desk alerts --standing firing\nmainstay-desk alerts --site acme-1 --since 2h --watch",
		.run = run_list },
	{ .name = "alerts show", .args = "ID", .min = 1, .max = 1,
		.summary = "one alert on one screen: times, notes, its past, and the operation that is proposed",
		.examples = "mainstay-desk alerts show acme.17", .run = run_show },
	{ .name = "alerts ack", .args = "ID", .min = 1, .max = 1, .summary = "say that you are on it; who was first stands",
		.options = ack_options, .examples = "mainstay-desk alerts ack acme.17 --note \"disk is being replaced\"",
		.run = run_ack },
	{ .name = "alerts unack", .args = "ID", .min = 1, .max = 1, .summary = "give it back: nobody is on it",
		.examples = "mainstay-desk alerts unack acme.17", .run = run_unack },
	{ .name = "alerts note", .args = "ID TEXT", .min = 2, .max = 2, .summary = "write down what you know of it",
		.examples = "mainstay-desk alerts note acme.17 \"see ticket C-17\"", .run = run_note },
	{ 0 },
};
