#include "telemetry/store/log_commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "telemetry/store/store_question.h"
#include "telemetry/store/store_show.h"

enum { FOLLOW_S = 2 };

static int
add_severity(struct buf *path, const char *text)
{
	static const char *const names[] = { "trace", "debug", "info", "warn", "error", "fatal" };
	char number[8];

	for (size_t i = 0; text && i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0) {
			(void)snprintf(number, sizeof(number), "%zu", 4 * i + 1);
			store_question_add(path, "severity", number);
			return 0;
		}
	return text ? REFUSE(REASON_USAGE, text, "is none of trace, debug, info, warn, error, fatal") : 0;
}

static int
logs_path(struct command_call *call, struct buf *path)
{
	store_question_begin(path, call->operands[0], "/logs");
	store_question_add(path, "service", call->n_operands > 1 ? call->operands[1] : NULL);
	store_question_add(path, "match", command_option(call, "grep"));
	return add_severity(path, command_option(call, "severity"));
}

static int
print_records(struct command_call *call, const json_t *items)
{
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item) {
		SCOPED(buf_done) struct buf line = BUF_MAX(STORE_QUESTION_LINE);

		if (call->json) {
			SCOPED(scope_free) char *dump = json_dumps(item, JSON_COMPACT);

			if (!dump)
				return FAULT(-ENOMEM);
			(void)puts(dump);
			continue;
		}
		store_show_record(&line, item, call->color);
		if (buf_error(&line))
			return FAULT(buf_error(&line));
		(void)puts(buf_text(&line)); /* harmless already, and its colours are ours */
	}
	return fflush(stdout) == EOF ? FAULT(-EIO) : 0;
}

/* The newest ones, or all since a time, page by page.  *ret_cursor: where to follow from. */
static int
print_past(struct command_call *call, json_int_t *ret_cursor)
{
	char after[128] = "";
	size_t n = 0;
	int r;

	*ret_cursor = 0;
	do {
		SCOPED(buf_done) struct buf path = BUF_MAX(STORE_QUESTION_PATH);
		SCOPED_JSON *doc = NULL;

		r = logs_path(call, &path);
		if (command_option(call, "since"))
			r = r ? r : store_question_time(&path, call, "since", "from");
		else
			store_question_add(&path, "last", "100");
		store_question_add(&path, "after", after[0] ? after : NULL);
		r = r ? r : store_question_ask(call, &path, &doc);
		r = r ? r : print_records(call, json_object_get(doc, "items"));
		n += json_array_size(json_object_get(doc, "items"));
		/* What came while the pages were read is in them, or comes after the first one's cursor. */
		if (*ret_cursor == 0)
			*ret_cursor = json_integer_value(json_object_get(doc, "cursor"));
		(void)snprintf(after, sizeof(after), "%s", json_text(doc, "next"));
	} while (r == 0 && after[0]);
	/* Not among the lines, which go into pipes. */
	if (r == 0 && n == 0 && !call->json && !command_option(call, "f"))
		command_put(stderr, "nothing: no such line came from the site; what of its logs leaves is the customer's to say\n");
	return FAULT(r);
}

int
log_commands_run(struct command_call *call)
{
	json_int_t cursor;
	int r = print_past(call, &cursor);

	while (r == 0 && command_option(call, "f")) {
		SCOPED(buf_done) struct buf path = BUF_MAX(STORE_QUESTION_PATH);
		SCOPED_JSON *doc = NULL;
		char text[24];

		store_question_pause(FOLLOW_S);
		r = logs_path(call, &path);
		(void)snprintf(text, sizeof(text), "%jd", (intmax_t)cursor);
		store_question_add(&path, "since", text);
		store_question_add(&path, "limit", "2000");
		r = r ? r : store_question_ask(call, &path, &doc);
		r = r ? r : print_records(call, json_object_get(doc, "items"));
		if (json_is_true(json_object_get(doc, "cut")))
			log_warning("more came than is shown; read all: mainstay-desk logs --since");
		cursor = r == 0 ? json_integer_value(json_object_get(doc, "cursor")) : cursor;
	}
	return FAULT(r);
}
