#include "updater/activate/commands_plan.h"

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/command_table.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"

enum { LINE_MAX_BYTES = 4096 };

/* --- rights -------------------------------------------------------------------------------------------------------- */
static void
say_names(struct command_call *call, const char *title, const json_t *rows)
{
	const json_t *row;
	size_t i;

	if (json_array_size(rows) > 0)
		command_say(call, "%s:", title);
	json_array_foreach(rows, i, row)
		command_say(call, "  %-40s %s", json_text(row, "name"),
			json_is_true(json_object_get(row, "accepted")) ? "accepted" : "off");
}

void
commands_say_rights(struct command_call *call, const json_t *rights)
{
	const json_t *row, *staged = json_object_get(rights, "staged");
	size_t i;

	command_say(call, "operations:");
	json_array_foreach(json_object_get(rights, "operations"), i, row)
		command_say(call, "  %-16s %-8s %s  %s", json_text(row, "name"), json_text(row, "risk"),
			json_is_true(json_object_get(row, "accepted")) ? "accepted" : "off     ",
			json_text(row, "runs"));
	say_names(call, "fields of telemetry", json_object_get(rights, "fields"));
	say_names(call, "powers", json_object_get(rights, "powers"));
	say_names(call, "powers of the release that waits", json_object_get(staged, "powers"));
}

/* --- plan ---------------------------------------------------------------------------------------------------------- */
static void
say_list(struct command_call *call, const char *title, const json_t *names)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(LINE_MAX_BYTES);
	const json_t *one;
	size_t i;

	json_array_foreach(names, i, one)
		buf_printf(&line, "%s%s", i ? ", " : "", json_string_value(one));
	command_unsaid(buf_error(&line));
	if (line.len > 0)
		command_say(call, "  %s: %s", title, buf_text(&line));
}

static void
say_value(struct buf *out, const json_t *v, bool is_size)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(LINE_MAX_BYTES);
	char size[NUMBER_SIZE_MAX];

	if (is_size && json_is_integer(v) && json_integer_value(v) >= 0)
		buf_puts(out, number_size_text(size, (uint64_t)json_integer_value(v)));
	else if (json_is_string(v))
		buf_puts(out, json_string_value(v));
	else if (json_canonical(&text, v) == 0)
		buf_puts(out, buf_text(&text));
	else
		command_unsaid(buf_error(&text));
}

static void
say_defaults(struct command_call *call, const json_t *defaults)
{
	const json_t *one;
	size_t i;

	json_array_foreach(defaults, i, one) {
		SCOPED(buf_done) struct buf line = BUF_MAX(LINE_MAX_BYTES);

		bool is_new = json_is_null(json_object_get(one, "from")), is_size = json_object_get(one, "unit") != NULL;

		if (!is_new) {
			say_value(&line, json_object_get(one, "from"), is_size);
			buf_puts(&line, " -> ");
		}
		say_value(&line, json_object_get(one, "to"), is_size);
		command_unsaid(buf_error(&line));
		command_say(call, "  %s %s: %s", is_new ? "new knob" : "default of", json_text(one, "knob"), buf_text(&line));
	}
}

static void
say_data(struct command_call *call, const json_t *row)
{
	if (strcmp(json_text(row, "data"), "one-way") != 0)
		return;
	if (json_is_true(json_object_get(row, "restores")))
		command_say(call, "  data: one-way; a snapshot is made before, and restored where the change fails");
	else
		command_say(call, "  data: one-way; once it has started there is no way back%s",
			json_is_true(json_object_get(row, "snapshot")) ? " but by hand, from its snapshot" : "");
}

static void
say_row(struct command_call *call, const json_t *row)
{
	const json_t *files = json_object_get(row, "files"), *news = json_object_get(row, "new"), *one;
	size_t i;

	const char *automatic = "";

	if (json_is_true(json_object_get(row, "automatic")))
		automatic = strcmp(json_text(row, "data"), "one-way") == 0
			? " (update: auto does not take it, for its data is one-way: mainstay update apply)"
			: " (update: auto)";
	command_say(call, "%s: %s -> %s%s%s%s", json_text(row, "service"), json_text(row, "from_version"),
		json_text(row, "version"), json_is_true(json_object_get(row, "held")) ? " (held)" : "",
		json_is_true(json_object_get(row, "went_back")) ? " (this site went back from it: only with --again)" : "",
		automatic);
	if (*json_text(row, "back"))
		command_say(call, "  %s", json_text(row, "back"));
	if (files)
		command_say(call, "  files: %lld changed, %lld added, %lld removed; %lld bytes; it is restarted",
			(long long)json_integer_value(json_object_get(files, "changed")),
			(long long)json_integer_value(json_object_get(files, "added")),
			(long long)json_integer_value(json_object_get(files, "removed")),
			(long long)json_integer_value(json_object_get(row, "bytes")));
	say_defaults(call, json_object_get(row, "defaults"));
	say_list(call, "new operations, off until accepted", json_object_get(news, "operations"));
	say_list(call, "new fields of telemetry, off until accepted", json_object_get(news, "fields"));
	say_list(call, "requires", json_object_get(row, "requires"));
	say_list(call, "powers that must be accepted before", json_object_get(news, "powers"));
	say_data(call, row);
	json_array_foreach(json_object_get(row, "notes"), i, one)
		command_say(call, "  | %s", json_string_value(one));
	json_array_foreach(json_object_get(row, "problems"), i, one)
		command_say(call, "  it cannot go in now: %s: %s [%s]",
			json_text(one, json_text(one, "where")[0] ? "where" : "operand"), json_text(one, "text"),
			json_text(one, "reason"));
}

void
commands_say_window(struct command_call *call, const json_t *window)
{
	const char *opens = json_text(window, "opens");

	if (!window || json_is_true(json_object_get(window, "open")))
		return;
	command_say(call, "outside the maintenance hours (windows.updates): nothing is applied by itself%s%s; "
			  "`update apply` is your own word, and goes at once",
		*opens ? " before " : " while the clock is doubtful", opens);
}

void
commands_say_store(struct command_call *call, const json_t *store)
{
	const json_t *tree;
	size_t i;

	command_say(call, "store: %zu releases, %lld bytes", json_array_size(json_object_get(store, "trees")),
		(long long)json_integer_value(json_object_get(store, "bytes")));
	json_array_foreach(json_object_get(store, "trees"), i, tree)
		command_say(call, "  %s %s: %lld bytes", json_text(tree, "service"), json_text(tree, "version"),
			(long long)json_integer_value(json_object_get(tree, "bytes")));
}

void
commands_say_back(struct command_call *call, const json_t *a)
{
	const char *data = json_text(a, "data"), *service = json_text(a, "service");

	command_say(call, "%s: %s -> %s, back; it is restarted", service, json_text(a, "from_version"), json_text(a, "version"));
	if (strcmp(data, "same") == 0)
		command_say(call, "  data: both releases read it; it stays as it is");
	else if (strcmp(data, "one-way") == 0)
		command_say(call, "  data: one-way; release %s cannot read what %s will make of it",
			json_text(a, "from_version"), json_text(a, "version"));
	else if (strcmp(data, "restored") == 0) {
		command_say(call, "  data: release %s cannot read it as it is; only with --restore-data it goes back to the snapshot of",
			json_text(a, "version"));
		command_say(call, "  %s, and all that was written since is lost", json_text(a, "lost_since"));
		if (!json_is_true(json_object_get(a, "way_back")))
			command_say(call, "  what runs now makes no snapshot: if going back fails, there is no way forward again");
	} else
		command_say(call, "  data: release %s cannot read it, and no snapshot is kept that it could restore: it will be refused",
			json_text(a, "version"));
}

void
commands_say_plan(struct command_call *call, const json_t *items)
{
	const json_t *row;
	size_t i;

	if (json_array_size(items) > 1)
		command_say(call, "%zu services as one change, in this order; where one fails, all go back:",
			json_array_size(items));
	json_array_foreach(items, i, row)
		say_row(call, row);
}
