#include "telemetry/collect/telemetry_review.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/egress/field.h"
#include "appliance/egress/schema.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/door.h"

enum {
	WAITING_BYTES_MAX = 2 * 1024 * 1024,
	ANSWER_MS = 30 * 1000,
	TAKEN_UP_MS = 3000,
	LOOK_MS = 20,
	AT_ONCE = CALL_PARAMS_MAX, /* fields of one call to the monitor */
};

static int
load_waiting(const struct paths *paths, json_t **ret)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(WAITING_BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	char path[sizeof(paths->lib) + 32];
	int r;

	(void)snprintf(path, sizeof(path), "%s/telemetry", paths->lib);
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return FAULT(-errno);
	r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, DOOR_WAITING_NAME, in.max, &in);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_UNREACHABLE, "collector", "has collected nothing yet");
	if (r > 0)
		return REFUSE(r, DOOR_WAITING_NAME, "cannot be read");
	r = r ?: json_read(ret, in.data, in.len, in.max, DOOR_WAITING_NAME);
	return r < 0 ? FAULT(r) : r;
}

/* --- review ------------------------------------------------------------------------------------------------- */
/* Enough to know it by. */
static const char *
short_release(char out[16], const char *release)
{
	(void)snprintf(out, 16, "%.12s", release);
	return out;
}

/* For the table: "gauge By", or "counter s -> gauge By" where it was accepted as something else. */
static int
put_change(json_t *item)
{
	const char *was = json_text(item, "was");
	char text[2 * SCHEMA_SHAPE_MAX + 8], release[16];

	(void)snprintf(text, sizeof(text), "%s%s%s", was, *was ? " -> " : "", json_text(item, "shape"));
	return json_put_text(item, "change", text) ?:
		json_put_text(item, "release", short_release(release, json_text(item, "release")));
}

int
telemetry_review_run(struct command_call *call)
{
	static const char *const columns[] = { "field", "state", "change", "example", "release", "seen", "since",
		NULL };
	SCOPED_JSON *items = NULL, *shown = json_array();
	bool all = command_option(call, "all") != NULL;
	json_t *item;
	size_t i;
	int r = load_waiting(&call->paths, &items);

	json_array_foreach(items, i, item) {
		if (r != 0 || (!all && strcmp(json_text(item, "state"), "refused") == 0))
			continue;
		if (!call->json)
			r = put_change(item);
		if (r == 0 && json_array_append(shown, item) < 0)
			r = -ENOMEM;
	}
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	return command_print_items(call, "TelemetryReview", STEAL(shown), columns);
}

/* --- accept, refuse ----------------------------------------------------------------------------------------- */
static bool
is_pattern(const char *text)
{
	return strpbrk(text, "*?") != NULL;
}

static const json_t *
find_waiting(const json_t *waiting, const char *field)
{
	const json_t *item;
	size_t i;

	json_array_foreach(waiting, i, item)
		if (strcmp(json_text(item, "field"), field) == 0)
			return item;
	return NULL;
}

/* "FIELD SHAPE" as it waits now: that is what was shown; "FIELD" alone where nobody has seen it yet. */
static int
add_field(json_t *out, const char *field, const json_t *item, bool accept)
{
	char text[FIELD_NAME_MAX + SCHEMA_SHAPE_MAX + 2];
	const char *shape = item && accept ? json_text(item, "shape") : "";
	size_t i;
	json_t *have;

	/* The collector may be broken into: nothing but fields and shapes goes from its file to the monitor. */
	if (!field_valid(field) || (*shape && !schema_shape_valid(shape)))
		return REFUSE(REASON_USAGE, field,
			"is no field; `mainstay telemetry review` lists those that wait");
	(void)snprintf(text, sizeof(text), "%s%s%s", field, *shape ? " " : "", shape);
	json_array_foreach(out, i, have)
		if (strcmp(json_string_value(have), text) == 0)
			return 0;
	return json_array_append_new(out, json_string(text)) < 0 ? FAULT(-ENOMEM) : 0;
}

/* What a pattern stands for is what waits now; nothing of tomorrow. */
static int
expand(json_t *out, const char *pattern, const json_t *waiting, bool accept)
{
	const json_t *item;
	size_t i, before = json_array_size(out);
	int r = 0;

	json_array_foreach(waiting, i, item) {
		const char *field = json_text(item, "field"), *state = json_text(item, "state");

		if (r != 0 || !field_matches(pattern, field) || strcmp(state, "refused") == 0 ||
			(accept && strcmp(state, "unfit") == 0))
			continue;
		r = add_field(out, field, item, accept);
	}
	if (r == 0 && json_array_size(out) == before)
		return REFUSE(REASON_NOT_FOUND, pattern, "matches nothing that waits");
	return r;
}

static int
collect(struct command_call *call, bool accept, json_t *out)
{
	SCOPED_JSON *waiting = NULL;
	bool patterns = false;
	size_t i;
	int r = 0;

	for (i = 0; i < call->n_operands; i++)
		patterns = patterns || is_pattern(call->operands[i]);
	r = load_waiting(&call->paths, &waiting);
	if (r == REASON_UNREACHABLE && !patterns)
		r = 0; /* before anything was collected a field is accepted by name */
	for (i = 0; r == 0 && i < call->n_operands; i++) {
		const char *text = call->operands[i];

		r = is_pattern(text) ? expand(out, text, waiting, accept)
				     : add_field(out, text, find_waiting(waiting, text), accept);
	}
	return r < 0 ? FAULT(r) : r;
}

static int
decide(struct command_call *call, const char *verb, const json_t *fields, size_t from)
{
	struct call_request *request = call_new(verb);
	SCOPED_JSON *answer = NULL;
	size_t i;
	int r;

	if (!request)
		return FAULT(-ENOMEM);
	for (i = from; i < json_array_size(fields) && i < from + AT_ONCE; i++)
		call_param(request, "field", json_string_value(json_array_get(fields, i)));
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	return r < 0 ? FAULT(r) : r;
}

/* Has the collector heard of it, and does review say so? */
static bool
is_taken_up(const struct command_call *call, const json_t *fields, bool accept)
{
	SCOPED(config_done) struct config config = { 0 };
	SCOPED_JSON *waiting = NULL;
	SCOPED(scope_close) int fd = -1;
	char path[sizeof(call->paths.lib) + 32], field[FIELD_NAME_MAX + 1];
	size_t i;

	(void)snprintf(path, sizeof(path), "%s/telemetry", call->paths.lib);
	fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0 || config_load(&config, fd) != 0 || load_waiting(&call->paths, &waiting) != 0)
		return false;
	for (i = 0; i < json_array_size(fields); i++) {
		const char *text = json_string_value(json_array_get(fields, i));
		const json_t *decided, *waits;

		(void)snprintf(field, sizeof(field), "%.*s", (int)strcspn(text, " "), text);
		decided = json_object_get(config.fields, field);
		waits = find_waiting(waiting, field);
		if (accept ? !json_is_string(decided) || waits : !json_is_false(decided))
			return false;
	}
	return true;
}

/* The monitor decided; whoever asks for a preview next is to see it.  A collector that does not run takes it up when it
 * starts. */
static void
await_collector(struct command_call *call, const json_t *fields, bool accept)
{
	uint64_t until_us = clock_mono_us() + TAKEN_UP_MS * CLOCK_US_PER_MS;

	while (!is_taken_up(call, fields, accept)) {
		if (clock_mono_us() > until_us) {
			command_say(call, "the collector has not taken it up yet: it does when it runs");
			return;
		}
		(void)usleep(LOOK_MS * 1000);
	}
}

/* fields: "FIELD SHAPE" as it waited, or "FIELD". */
static void
say(struct command_call *call, const char *field, bool accept)
{
	const char *space = strchr(field, ' ');

	if (!accept)
		command_say(call, "%s stays here, and is shown no more", field);
	else if (space)
		command_say(call, "%.*s (%s) may leave from now on", (int)(space - field), field, space + 1);
	else
		command_say(call, "%s may leave from now on; nothing of that name waits now, and what comes first tells its shape",
			field);
}

static int
decide_all(struct command_call *call, bool accept)
{
	SCOPED_JSON *fields = json_array();
	size_t i;
	int r = fields ? collect(call, accept, fields) : FAULT(-ENOMEM);

	for (i = 0; r == 0 && i < json_array_size(fields); i++) {
		if (i % AT_ONCE == 0)
			r = decide(call, accept ? "telemetry.accept" : "telemetry.refuse", fields, i);
		if (r == 0)
			say(call, json_string_value(json_array_get(fields, i)), accept);
	}
	if (r == 0)
		await_collector(call, fields, accept);
	if (r != 0 || !call->json)
		return r < 0 ? FAULT(r) : r;
	return command_print_json(accept ? "TelemetryAccepted" : "TelemetryRefused",
		json_pack("{s:O}", "fields", fields));
}

int
telemetry_review_accept(struct command_call *call)
{
	return decide_all(call, true);
}

int
telemetry_review_refuse(struct command_call *call)
{
	return decide_all(call, false);
}
