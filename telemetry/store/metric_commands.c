#include "telemetry/store/metric_commands.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/store/hub_ask.h"
#include "telemetry/store/store_question.h"
#include "telemetry/store/store_show.h"

enum { WATCH_S = 5 };

/* Of a series its service, name and attributes; of a group its labels; made harmless. */
static void
put_title(struct buf *out, const json_t *item)
{
	const json_t *labels = json_object_get(item, "labels");
	char *dump = json_dumps(labels ? labels : json_object_get(item, "attributes"), JSON_COMPACT | JSON_SORT_KEYS);
	char cell[STORE_QUESTION_CELL];

	buf_puts(out, log_escape(cell, sizeof(cell), json_text(item, "service")));
	buf_puts(out, json_text(item, "service")[0] ? "  " : "");
	buf_puts(out, log_escape(cell, sizeof(cell), json_text(item, "name")));
	if (dump && strcmp(dump, "{}") != 0)
		buf_puts(out, log_escape(cell, sizeof(cell), dump));
	free(dump);
}

/* From when to when. */
static void
put_span(struct buf *out, const json_t *points)
{
	size_t n = json_array_size(points);
	const char *first = json_string_value(json_array_get(json_array_get(points, 0), 0));
	const char *last = n > 0 ? json_string_value(json_array_get(json_array_get(points, n - 1), 0)) : NULL;
	char cell[2][STORE_QUESTION_CELL];

	if (first && last)
		buf_printf(out, "  %s to %s", log_escape(cell[0], sizeof(cell[0]), first), log_escape(cell[1], sizeof(cell[1]), last));
}

static void
say_curve(struct command_call *call, const json_t *item)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(STORE_QUESTION_LINE);
	const json_t *points = json_object_get(item, "points");
	double low = NAN, high = NAN, last = NAN;
	char text[3][32], unit[STORE_QUESTION_CELL];

	for (size_t i = 0; i < json_array_size(points); i++) {
		const json_t *v = json_array_get(json_array_get(points, i), 1);

		last = json_is_number(v) ? json_number_value(v) : NAN;
		low = fmin(low, last);
		high = fmax(high, last);
	}
	put_title(&line, item);
	put_span(&line, points);
	buf_puts(&line, "\n  ");
	store_show_curve(&line, points);
	buf_printf(&line, "  %s to %s, now %s %s", store_show_number(text[0], low), store_show_number(text[1], high),
		store_show_number(text[2], last), log_escape(unit, sizeof(unit), json_text(item, "unit")));
	command_say(call, "%s", buf_text(&line));
}

static void
say_columns(struct command_call *call, const json_t *item)
{
	SCOPED(buf_done) struct buf line = BUF_MAX(STORE_QUESTION_LINE);
	const json_t *points = json_object_get(item, "points"), *p;
	size_t i;

	put_title(&line, item);
	command_say(call, "%s", buf_text(&line));
	json_array_foreach(points, i, p) {
		const json_t *v = json_array_get(p, 1);
		const char *time = json_string_value(json_array_get(p, 0));
		char cell[STORE_QUESTION_CELL];

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
	SCOPED(buf_done) struct buf path = BUF_MAX(STORE_QUESTION_PATH);
	SCOPED_JSON *doc = NULL;
	const json_t *metrics;
	int r;

	store_question_begin(&path, call->operands[0], "");
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

	store_question_begin(path, call->operands[0], "/metrics");
	store_question_add(path, "name", name);
	store_question_add(path, "service", command_option(call, "service"));
	store_question_add(path, "match", command_option(call, "match"));
	store_question_add(path, "step", command_option(call, "step"));
	store_question_add(path, "fn", command_option(call, "fn"));
	store_question_add(path, "by", command_option(call, "by"));
	r = store_question_time(path, call, "from", "from");
	return r ? r : store_question_time(path, call, "to", "to");
}

/* All pages of one question. */
static int
ask_metrics(struct command_call *call, const char *name, json_t *items)
{
	json_int_t offset = 0;
	int r;

	do {
		SCOPED(buf_done) struct buf path = BUF_MAX(STORE_QUESTION_PATH);
		SCOPED_JSON *doc = NULL;
		char text[24];

		r = metrics_path(call, name, &path);
		(void)snprintf(text, sizeof(text), "%jd", (intmax_t)offset);
		store_question_add(&path, "offset", offset ? text : NULL);
		r = r ? r : store_question_ask(call, &path, &doc);
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
	bool chart = call->color || isatty(STDOUT_FILENO) == 1;
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

int
metric_commands_run(struct command_call *call)
{
	int r = show_metrics(call);

	while (r == 0 && command_option(call, "watch") && fflush(stdout) == 0) {
		store_question_pause(WATCH_S);
		command_say(call, "%s", "");
		r = show_metrics(call);
	}
	return FAULT(r);
}
