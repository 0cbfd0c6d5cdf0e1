#include "telemetry/alert/alert_show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"

enum { CELL = 1024, AGE_BYTES = 24 };

bool
alert_show_plain(const char *text, size_t max)
{
	return text[0] && text[0] != '-' && strlen(text) <= max &&
		strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == strlen(text);
}

const char *
alert_show_standing(const json_t *item, char out[64])
{
	const char *state = json_text(item, "state");
	bool flapping = json_is_true(json_object_get(item, "flapping"));

	(void)snprintf(out, 64, "%.16s%s", flapping ? "flapping" : state,
		json_is_true(json_object_get(item, "silent")) && strcmp(state, "resolved") != 0 ? " (last known)" : "");
	return out;
}

/* --- times --------------------------------------------------------------------------------------------------- */
/* "17 min", in the largest unit of which there are two at least; "" where it is no time. */
static const char *
age_of(const char *time, int64_t ahead_ms, uint64_t now_us, char out[AGE_BYTES])
{
	static const struct {
		uint64_t s;
		const char *name;
	} units[] = { { 86400, "days" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	uint64_t us, s;
	size_t i = 0;

	out[0] = '\0';
	if (clock_parse(&us, time) != 0)
		return out;
	us -= (uint64_t)ahead_ms * CLOCK_US_PER_MS; /* by the hub's clock */
	s = now_us > us ? (now_us - us) / CLOCK_US_PER_S : 0;
	while (units[i].s > 1 && s < 2 * units[i].s)
		i++;
	(void)snprintf(out, AGE_BYTES, "%llu %s", (unsigned long long)(s / units[i].s), units[i].name);
	return out;
}

static int64_t
offset_ms(const json_t *item)
{
	return json_integer_value(json_object_get(item, "clock_offset_ms"));
}

/* --- the list ------------------------------------------------------------------------------------------------- */
enum part { STANDS, MUTED, OVER };

static enum part
part_of(const json_t *item)
{
	const char *state = json_text(item, "state");

	if (strcmp(state, "muted") == 0)
		return MUTED;
	return strcmp(state, "resolved") == 0 && !json_is_true(json_object_get(item, "flapping")) ? OVER : STANDS;
}

/* Those of one part, max at most, with "standing" and "age". */
static json_t *
take_part(const json_t *items, enum part part, size_t max, size_t *ret_left)
{
	uint64_t now_us = clock_now_us();
	json_t *list = json_array(), *item;
	char text[64], age[AGE_BYTES];
	size_t i;

	*ret_left = 0;
	json_array_foreach((json_t *)items, i, item) {
		json_t *copy;
		int r;

		if (part_of(item) != part)
			continue;
		if (json_array_size(list) == max) {
			++*ret_left;
			continue;
		}
		copy = json_copy_whole(item, JSON_SHALLOW);
		r = json_put_text(copy, "standing", alert_show_standing(item, text));
		r = r ?: json_put_text(copy, "age", part == OVER ? age_of(json_text(item, "changed"), 0, now_us, age)
			: age_of(json_text(item, "since"), offset_ms(item), now_us, age));
		if (json_array_append_new(list, copy) < 0 || r != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

int
alert_show_list(struct command_call *call, json_t *items)
{
	static const char *const columns[] = { "id", "site", "service", "name", "standing", "severity", "age", "firings", "text",
		"acknowledged_by", NULL };
	static const char *const of_muted[] = { "id", "site", "service", "name", "severity", "age", "muted_by", NULL };
	static const char *const of_over[] = { "id", "site", "service", "name", "severity", "age", "text", "acknowledged_by", NULL };
	const char *asked = command_option(call, "standing");
	bool all = asked && strcmp(asked, "resolved") == 0;
	json_t *stands, *muted, *over;
	size_t none, left;
	int r = 0;

	if (call->json)
		return command_print_items(call, "AlertList", json_incref(items), columns);
	stands = take_part(items, STANDS, SIZE_MAX, &none);
	muted = take_part(items, MUTED, SIZE_MAX, &none);
	over = take_part(items, OVER, all ? SIZE_MAX : ALERT_SHOW_OVER, &left);
	if (!stands || !muted || !over) { /* an alert that is left out would look as if it were over */
		json_decref(stands);
		json_decref(muted);
		json_decref(over);
		return FAULT(-ENOMEM);
	}
	if (json_array_size(stands) > 0)
		r = command_print_items(call, "AlertList", json_incref(stands), columns);
	else if (!asked || strcmp(asked, "firing") == 0)
		command_say(call, "nothing fires");
	if (r == 0 && json_array_size(muted) > 0) {
		command_say(call, "\nmuted on their sites");
		r = command_print_items(call, "AlertList", json_incref(muted), of_muted);
	}
	if (r == 0 && json_array_size(over) > 0) {
		command_say(call, "\nover; age: since it ended");
		r = command_print_items(call, "AlertList", json_incref(over), of_over);
	}
	if (left > 0)
		command_say(call, "and %zu more: --standing resolved", left);
	json_decref(stands);
	json_decref(muted);
	json_decref(over);
	command_say(call, "(the hub says so; what is signed: mainstay-desk show SITE)");
	return r;
}

/* --- one --------------------------------------------------------------------------------------------------------- */
static void
say(struct command_call *call, const char *title, const char *text)
{
	char cell[CELL];

	if (text[0])
		command_say(call, "%-14s %s", title, log_escape(cell, sizeof(cell), text));
}

/* "2026-11-22T09:59:42.894Z  (17 min ago)" */
static void
say_time(struct command_call *call, const char *title, const char *time, int64_t ahead_ms, uint64_t now_us)
{
	char age[AGE_BYTES], line[128];

	if (!time[0])
		return;
	age_of(time, ahead_ms, now_us, age);
	(void)snprintf(line, sizeof(line), "%.64s%s%s%s", time, age[0] ? "  (" : "", age, age[0] ? " ago)" : "");
	say(call, title, line);
}

/* A line that can be pasted into a shell: of words that mean nothing to it, or none. */
static void
say_command(struct command_call *call, const json_t *item)
{
	const char *site = json_text(item, "site"), *service = json_text(item, "service");
	const char *operation = json_text(item, "proposed"), *name = json_text(item, "name");

	if (!operation[0])
		return;
	if (alert_show_plain(site, 64) && alert_show_plain(service, 128) && alert_show_plain(operation, 128) &&
		alert_show_plain(name, 128))
		command_say(call, "%-14s mainstay-desk run %s %s %s --reason \"alert %s\" --ticket TICKET", "proposed", site, service,
			operation, name);
	else
		say(call, "proposed", operation);
}

static void
say_clock(struct command_call *call, const json_t *item)
{
	long long ms = (long long)offset_ms(item);

	if (!json_object_get(item, "clock_offset_ms"))
		return;
	if (ms == 0)
		command_say(call, "%-14s that of the hub", "site's clock");
	else
		command_say(call, "%-14s %lld ms %s the hub's (since and site's time are the site's)", "site's clock", ms < 0 ? -ms : ms,
			ms < 0 ? "behind" : "ahead of");
}

/* What there is to do next. */
static void
say_next(struct command_call *call, const json_t *item)
{
	const char *id = json_text(item, "id"), *by = json_text(item, "acknowledged_by");

	if (part_of(item) == OVER)
		return;
	say_command(call, item);
	if (!by[0] && alert_show_plain(id, 90))
		command_say(call, "%-14s mainstay-desk alerts ack %s --note \"...\"", "to take it", id);
}

static void
say_past(struct command_call *call, const json_t *past)
{
	char line[CELL];
	const json_t *one;
	size_t i;

	if (json_array_size(past) > 0)
		command_say(call, "\nearlier: id, since, until, firings, taken by, note");
	json_array_foreach(past, i, one) {
		(void)snprintf(line, sizeof(line), "%s  %s  %s  %lld  %s  %s", json_text(one, "id"), json_text(one, "since"),
			json_text(one, "changed"), (long long)json_integer_value(json_object_get(one, "firings")),
			json_text(one, "acknowledged_by"), json_text(one, "note"));
		say(call, "", line);
	}
}

int
alert_show_one(struct command_call *call, const json_t *item, uint64_t now_us)
{
	static const char *const what[][2] = { { "alert", "name" }, { "site", "site" }, { "customer", "customer" },
		{ "service", "service" }, { "severity", "severity" }, { "text", "text" }, { "value", "value" } };
	static const char *const people[][2] = { { "muted by", "muted_by" }, { "taken by", "acknowledged_by" },
		{ "taken at", "acknowledged" }, { "note", "note" }, { "noted by", "noted_by" } };
	const json_t *of_group = json_object_get(item, "labels"), *one;
	SCOPED(scope_free) char *labels = json_object_size(of_group) > 0 ? json_dumps(of_group, JSON_COMPACT) : NULL;
	char text[64], line[CELL];
	size_t i;

	if (!labels && json_object_size(of_group) > 0)
		return FAULT(-ENOMEM); /* it would look as if it had none */
	say(call, "state", alert_show_standing(item, text));
	for (i = 0; i < ARRAY_LEN(what); i++)
		say(call, what[i][0], json_text(item, what[i][1]));
	say(call, "labels", labels ? labels : "");
	say_time(call, "since", json_text(item, "since"), offset_ms(item), now_us);
	say(call, "first here", json_text(item, "first_seen"));
	say_time(call, "changed", json_text(item, "changed"), 0, now_us);
	command_say(call, "%-14s %lld", "firings", (long long)json_integer_value(json_object_get(item, "firings")));
	say(call, "site's time", json_text(item, "site_time"));
	say_clock(call, item);
	say_time(call, "last contact", json_text(item, "last_contact"), 0, now_us);
	json_array_foreach(json_object_get(item, "changes"), i, one) {
		const char *there = json_text(one, "site_time");

		(void)snprintf(line, sizeof(line), "%s  %s%s%s%s", json_text(one, "time"), json_text(one, "what"),
			*there ? " (the site dates it " : "", there, *there ? ")" : "");
		say(call, i ? "" : "changed there", line);
	}
	for (i = 0; i < ARRAY_LEN(people); i++)
		say(call, people[i][0], json_text(item, people[i][1]));
	say_next(call, item);
	say_past(call, json_object_get(item, "past"));
	command_say(call, "(the hub says so; what is signed: mainstay-desk show SITE)");
	return 0;
}
