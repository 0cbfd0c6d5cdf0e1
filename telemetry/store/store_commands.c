#include "telemetry/store/store_commands.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/store/hub_ask.h"
#include "telemetry/store/store_show.h"

enum { PATH_MAX_BYTES = 4096, LINE_MAX_BYTES = 512 * 1024, FOLLOW_S = 2, WATCH_S = 5, CELL = 512 };

/* --- questions -------------------------------------------------------------------------------------------------- */
/* "/v1/fleet/sites/SITE/WHAT" */
static void
begin(struct buf *path, const char *site, const char *what)
{
	buf_puts(path, "/v1/fleet/sites/");
	store_show_escape(path, site);
	buf_puts(path, what);
}

static void
add(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_puts(path, strchr(buf_text(path), '?') ? "&" : "?");
	buf_printf(path, "%s=", name);
	store_show_escape(path, value);
}

/* A time, or how long ago it was. */
static int
add_time(struct buf *path, const struct command_call *call, const char *option, const char *name)
{
	const char *text = command_option(call, option);
	char out[CLOCK_TEXT_MAX];
	uint64_t us;

	if (!text)
		return 0;
	if (clock_parse(&us, text) != 0) {
		uint64_t now_us = clock_now_us();

		if (clock_parse_span(&us, text) != 0 || us > now_us)
			return REFUSE(REASON_USAGE, text, "is neither a time (2026-11-21T20:30:00Z) nor a span back from now (2h)");
		us = now_us - us;
	}
	add(path, name, clock_format(out, us));
	return 0;
}

static int
ask(struct command_call *call, const struct buf *path, json_t **ret)
{
	int r = buf_error(path) ? FAULT(buf_error(path)) : hub_ask_get(call, buf_text(path), ret);

	if (r == 0 && !json_is_array(json_object_get(*ret, "items")))
		return REFUSE(REASON_MALFORMED, "hub", "its answer has no items");
	return FAULT(r);
}

static void
pause_s(unsigned s)
{
	const struct timespec t = { .tv_sec = s };

	/* Cut short by a signal, it asks a little earlier. */
	(void)nanosleep(&t, NULL);
}

/* --- metrics ---------------------------------------------------------------------------------------------------- */
/* Of a series its service, name and attributes; of a group its labels; made harmless. */
static void
put_title(struct buf *out, const json_t *item)
{
	const json_t *labels = json_object_get(item, "labels");
	char *dump = json_dumps(labels ? labels : json_object_get(item, "attributes"), JSON_COMPACT | JSON_SORT_KEYS);
	char cell[CELL];

	buf_puts(out, log_escape(cell, sizeof(cell), json_text(item, "service")));
	buf_puts(out, json_text(item, "service")[0] ? "  " : "");
	buf_puts(out, log_escape(cell, sizeof(cell), json_text(item, "name")));
	if (dump && strcmp(dump, "{}") != 0)
		buf_puts(out, log_escape(cell, sizeof(cell), dump));
	free(dump);
}

static void
say_curve(struct command_call *call, const json_t *item)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(LINE_MAX_BYTES);
	const json_t *points = json_object_get(item, "points");
	double low = NAN, high = NAN, last = NAN;
	char text[3][32], unit[CELL];

	for (size_t i = 0; i < json_array_size(points); i++) {
		const json_t *v = json_array_get(json_array_get(points, i), 1);

		last = json_is_number(v) ? json_number_value(v) : NAN;
		low = fmin(low, last);
		high = fmax(high, last);
	}
	put_title(&line, item);
	buf_puts(&line, "\n  ");
	store_show_curve(&line, points);
	buf_printf(&line, "  %s to %s, now %s %s", store_show_number(text[0], low), store_show_number(text[1], high),
		store_show_number(text[2], last), log_escape(unit, sizeof(unit), json_text(item, "unit")));
	command_say(call, "%s", buf_text(&line));
}

static void
say_columns(struct command_call *call, const json_t *item)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(LINE_MAX_BYTES);
	const json_t *points = json_object_get(item, "points"), *p;
	size_t i;

	put_title(&line, item);
	command_say(call, "%s", buf_text(&line));
	json_array_foreach(points, i, p) {
		const json_t *v = json_array_get(p, 1);
		const char *time = json_string_value(json_array_get(p, 0));
		char cell[CELL];

		if (json_is_number(v))
			command_say(call, "%s  %.12g", log_escape(cell, sizeof(cell), time ? time : "?"), json_number_value(v));
		else
			command_say(call, "%s  -", log_escape(cell, sizeof(cell), time ? time : "?"));
	}
}

/* The newest value of each series, from the site's page. */
static int
show_newest(struct command_call *call)
{
	static const char *const columns[] = { "service", "name", "attributes", "value", "unit", "time", NULL };
	SCOPED(buf_done) struct buf path = BUF_MAX(PATH_MAX_BYTES);
	SCOPED_JSON *doc = NULL;
	const json_t *metrics;
	int r;

	begin(&path, call->operands[0], "");
	r = hub_ask_get(call, buf_text(&path), &doc);
	if (r != 0)
		return FAULT(r);
	metrics = json_object_get(doc, "metrics");
	if (!json_is_array(metrics))
		return REFUSE(REASON_MALFORMED, "hub", "its page of the site has no metrics");
	return command_print_items(call, "MetricList", json_incref((json_t *)metrics), columns);
}

static int
metrics_path(struct command_call *call, const char *name, struct buf *path)
{
	int r;

	begin(path, call->operands[0], "/metrics");
	add(path, "name", name);
	add(path, "service", command_option(call, "service"));
	add(path, "match", command_option(call, "match"));
	add(path, "step", command_option(call, "step"));
	add(path, "fn", command_option(call, "fn"));
	add(path, "by", command_option(call, "by"));
	r = add_time(path, call, "from", "from");
	return r ? r : add_time(path, call, "to", "to");
}

/* All pages of one question. */
static int
ask_metrics(struct command_call *call, const char *name, json_t *items)
{
	json_int_t offset = 0;
	int r;

	do {
		SCOPED(buf_done) struct buf path = BUF_MAX(PATH_MAX_BYTES);
		SCOPED_JSON *doc = NULL;
		char text[24];

		r = metrics_path(call, name, &path);
		(void)snprintf(text, sizeof(text), "%jd", (intmax_t)offset);
		add(&path, "offset", offset ? text : NULL);
		r = r ? r : ask(call, &path, &doc);
		if (r == 0 && json_array_extend(items, json_object_get(doc, "items")) < 0)
			r = -ENOMEM;
		/* A hub that never comes to an end is not followed. */
		offset = json_integer_value(json_object_get(doc, "next")) > offset
			? json_integer_value(json_object_get(doc, "next"))
			: 0;
	} while (r == 0 && offset > 0);
	return FAULT(r);
}

/* A cell must be no formula to a spreadsheet, and harmless to a terminal. */
static void
put_cell(const char *raw)
{
	size_t room = 4 * strlen(raw) + 1;
	SCOPED(scope_free) char *safe = malloc(room);
	const char *text = safe ? log_escape(safe, room, raw) : "";

	(void)fputs(text[0] && strchr("=+-@\t\r", text[0]) ? "\"'" : "\"", stdout);
	for (; *text; text++)
		(void)fputs(*text == '"' ? "\"\"" : (char[]){ *text, '\0' }, stdout);
	(void)fputc('"', stdout);
}

static int
print_csv(const json_t *items)
{
	const json_t *item, *p;
	size_t i, k;

	(void)fputs("name,service,labels,time,value\r\n", stdout);
	json_array_foreach(items, i, item) {
		const json_t *labels = json_object_get(item, "labels");
		SCOPED(scope_free) char *dump =
			json_dumps(labels ? labels : json_object_get(item, "attributes"), JSON_COMPACT | JSON_SORT_KEYS);

		json_array_foreach(json_object_get(item, "points"), k, p) {
			const json_t *v = json_array_get(p, 1);
			const char *time = json_string_value(json_array_get(p, 0));

			put_cell(json_text(item, "name"));
			(void)fputc(',', stdout);
			put_cell(json_text(item, "service"));
			(void)fputc(',', stdout);
			put_cell(dump ? dump : "");
			(void)fputc(',', stdout);
			put_cell(time ? time : "");
			if (json_is_number(v))
				(void)printf(",%.17g\r\n", json_number_value(v));
			else
				(void)fputs(",\r\n", stdout);
		}
	}
	return fflush(stdout) == EOF ? FAULT(-EIO) : 0;
}

static int
show_metrics(struct command_call *call)
{
	SCOPED_JSON *items = json_array();
	bool chart = isatty(STDOUT_FILENO) == 1;
	const json_t *item;
	size_t i;
	int r = 0;

	if (call->n_operands == 1 && !command_option(call, "match") && !command_option(call, "service"))
		return show_newest(call);
	if (call->n_operands == 1)
		r = ask_metrics(call, NULL, items);
	for (i = 1; r == 0 && i < call->n_operands; i++)
		r = ask_metrics(call, call->operands[i], items);
	if (r != 0)
		return FAULT(r);
	if (command_option(call, "csv"))
		return print_csv(items);
	if (call->json)
		return command_print_items(call, "MetricList", json_incref(items), NULL);
	json_array_foreach(items, i, item)
		(chart ? say_curve : say_columns)(call, item);
	if (json_array_size(items) == 0)
		command_say(call, "nothing: no series of that name has a point in that time");
	return 0;
}

static int
run_metrics(struct command_call *call)
{
	int r = show_metrics(call);

	while (r == 0 && command_option(call, "watch") && fflush(stdout) == 0) {
		pause_s(WATCH_S);
		command_say(call, "%s", "");
		r = show_metrics(call);
	}
	return FAULT(r);
}

/* --- logs --------------------------------------------------------------------------------------------------------- */
static int
add_severity(struct buf *path, const char *text)
{
	static const char *const names[] = { "trace", "debug", "info", "warn", "error", "fatal" };
	char number[8];

	for (size_t i = 0; text && i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0) {
			(void)snprintf(number, sizeof(number), "%zu", 4 * i + 1);
			add(path, "severity", number);
			return 0;
		}
	return text ? REFUSE(REASON_USAGE, text, "is none of trace, debug, info, warn, error, fatal") : 0;
}

static int
logs_path(struct command_call *call, struct buf *path)
{
	begin(path, call->operands[0], "/logs");
	add(path, "service", call->n_operands > 1 ? call->operands[1] : NULL);
	add(path, "match", command_option(call, "grep"));
	return add_severity(path, command_option(call, "severity"));
}

static int
print_records(struct command_call *call, const json_t *items)
{
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item) {
		SCOPED(buf_done) struct buf line = BUF_MAX(LINE_MAX_BYTES);

		if (call->json) {
			SCOPED(scope_free) char *dump = json_dumps(item, JSON_COMPACT);

			if (!dump)
				return FAULT(-ENOMEM);
			(void)puts(dump);
			continue;
		}
		store_show_record(&line, item);
		command_say(call, "%s", buf_text(&line));
	}
	return fflush(stdout) == EOF ? FAULT(-EIO) : 0;
}

/* The newest ones, or all since a time, page by page.  *ret_cursor: where to follow from. */
static int
print_past(struct command_call *call, json_int_t *ret_cursor)
{
	char after[128] = "";
	int r;

	*ret_cursor = 0;
	do {
		SCOPED(buf_done) struct buf path = BUF_MAX(PATH_MAX_BYTES);
		SCOPED_JSON *doc = NULL;

		r = logs_path(call, &path);
		if (command_option(call, "since"))
			r = r ? r : add_time(&path, call, "since", "from");
		else
			add(&path, "last", "100");
		add(&path, "after", after[0] ? after : NULL);
		r = r ? r : ask(call, &path, &doc);
		r = r ? r : print_records(call, json_object_get(doc, "items"));
		/* What came while the pages were read is in them, or comes after the first one's cursor. */
		if (*ret_cursor == 0)
			*ret_cursor = json_integer_value(json_object_get(doc, "cursor"));
		(void)snprintf(after, sizeof(after), "%s", json_text(doc, "next"));
	} while (r == 0 && after[0]);
	return FAULT(r);
}

static int
run_logs(struct command_call *call)
{
	json_int_t cursor;
	int r = print_past(call, &cursor);

	while (r == 0 && command_option(call, "f")) {
		SCOPED(buf_done) struct buf path = BUF_MAX(PATH_MAX_BYTES);
		SCOPED_JSON *doc = NULL;
		char text[24];

		pause_s(FOLLOW_S);
		r = logs_path(call, &path);
		(void)snprintf(text, sizeof(text), "%jd", (intmax_t)cursor);
		add(&path, "since", text);
		add(&path, "limit", "2000");
		r = r ? r : ask(call, &path, &doc);
		r = r ? r : print_records(call, json_object_get(doc, "items"));
		if (json_is_true(json_object_get(doc, "cut")))
			log_warning("more came than is shown; read all: mainstay-desk logs --since");
		cursor = r == 0 ? json_integer_value(json_object_get(doc, "cursor")) : cursor;
	}
	return FAULT(r);
}

/* --- inventory ------------------------------------------------------------------------------------------------------ */
static void
say_value(struct command_call *call, const char *path, const json_t *v)
{
	char below[2 * CELL], cell[2 * CELL];
	const char *name;
	json_t *part;

	if (json_is_object(v)) {
		json_object_foreach((json_t *)v, name, part) {
			(void)snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "/" : "", name);
			say_value(call, below, part); /* as deep as JSON is read: JSON_DEPTH_MAX */
		}
		return;
	}
	if (json_is_string(v)) {
		(void)snprintf(below, sizeof(below), "%s", json_string_value(v));
	} else {
		size_t n = json_dumpb(v, below, sizeof(below) - 1, JSON_COMPACT | JSON_ENCODE_ANY);

		below[n < sizeof(below) ? n : sizeof(below) - 1] = '\0';
	}
	{
		char safe[2 * CELL];

		command_say(call, "  %s  %s", log_escape(cell, sizeof(cell), path), log_escape(safe, sizeof(safe), below));
	}
}

static int
run_inventory(struct command_call *call)
{
	static const char *const columns[] = { "time", "group", "path", "was", "is", NULL };
	SCOPED(buf_done) struct buf path = BUF_MAX(PATH_MAX_BYTES);
	bool changes = command_option(call, "changes") != NULL;
	SCOPED_JSON *doc = NULL;
	const json_t *items, *item;
	char cell[CELL], time[CELL];
	size_t i;
	int r;

	begin(&path, call->operands[0], "/inventory");
	add(&path, "group", call->n_operands > 1 ? call->operands[1] : NULL);
	add(&path, "changes", changes ? "1" : NULL);
	r = add_time(&path, call, "from", "from");
	r = r ? r : add_time(&path, call, "to", "to");
	r = r ? r : ask(call, &path, &doc);
	if (r != 0)
		return FAULT(r);
	items = json_object_get(doc, "items");
	if (changes || call->json)
		return command_print_items(call, changes ? "InventoryChanges" : "Inventory", json_incref((json_t *)items), columns);
	json_array_foreach(items, i, item) {
		command_say(call, "%s (since %s)", log_escape(cell, sizeof(cell), json_text(item, "group")),
			log_escape(time, sizeof(time), json_text(item, "time")));
		say_value(call, "", json_object_get(item, "body"));
	}
	if (json_array_size(items) == 0)
		command_say(call, "nothing: the site has sent no inventory");
	return 0;
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */
static const struct command_option metrics_options[] = {
	{ "from", "TIME", "from then on: 2026-11-21T20:30:00Z, or how long ago (2h); default 1h", false, false },
	{ "to", "TIME", "until then", false, false },
	{ "step", "SPAN", "one value for each span (5m)", false, false },
	{ "fn", "FN", "raw, rate, increase, sum, avg, min, max, count, quantile(0.95)", false, false },
	{ "by", "LABELS", "groups, by these labels (service,verb); \"\": one of all", false, false },
	{ "match", "CONDITIONS", "on labels: verb=GET,code=~5..", false, false },
	{ "service", "SERVICE", "of this one alone", false, false },
	{ "csv", NULL, "a table, comma-separated", false, false },
	{ "watch", NULL, "again every 5 seconds", false, false },
	{ 0 },
};

static const struct command_option logs_options[] = {
	{ "since", "TIME", "all from then on (2h, or a time); without it, the last 100", false, false },
	{ "grep", "TEXT", "whose text holds this, in either case", false, false },
	{ "severity", "LEVEL", "at least: trace, debug, info, warn, error, fatal", false, false },
	{ "f", NULL, "go on with what comes in", false, false },
	{ 0 },
};

static const struct command_option inventory_options[] = {
	{ "changes", NULL, "what changed, the newest first", false, false },
	{ "from", "TIME", "of the changes: from then on (7d, or a time)", false, false },
	{ "to", "TIME", "of the changes: until then", false, false },
	{ 0 },
};

const struct command store_commands[] = {
	{ .name = "metrics", .args = "SITE [NAME...]", .min = 1, .max = 17, .summary = "a site's numbers: the newest of all, or how some went",
		.details = "On a terminal each series is a curve; elsewhere a line for each point. Conditions and functions: a window of\n"
			   "--step says the last value (raw, sum, count, quantile), the mean, lowest or highest of its points (avg,\n"
			   "min, max), or how much it rose (increase, rate: a second). --by groups.",
		.examples = "mainstay-desk metrics acme-1\n"
			    "mainstay-desk metrics acme-1 redis_commands_total --fn rate --step 5m --from 6h\n"
			    "mainstay-desk metrics acme-1 http_seconds_bucket --fn \"quantile(0.95)\" --step 5m --by path",
		.options = metrics_options, .run = run_metrics },
	{ .name = "logs", .args = "SITE [SERVICE]", .min = 1, .max = 2, .summary = "what a site's services and files say, as far as the customer lets it leave",
		.examples = "mainstay-desk logs acme-1 nginx --since 2h --severity error\nmainstay-desk logs acme-1 --grep timeout -f",
		.options = logs_options, .run = run_logs },
	{ .name = "inventory", .args = "SITE [GROUP]", .min = 1, .max = 2, .summary = "what a site is made of, and what changed",
		.examples = "mainstay-desk inventory acme-1 os\nmainstay-desk inventory acme-1 packages --changes --from 7d",
		.options = inventory_options, .run = run_inventory },
	{ 0 },
};
