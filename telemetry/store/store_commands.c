#include "telemetry/store/store_commands.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "telemetry/store/log_commands.h"
#include "telemetry/store/metric_commands.h"
#include "telemetry/store/store_question.h"

/* --- inventory ------------------------------------------------------------------------------------------------------ */
static void
say_value(struct command_call *call, const char *path, const json_t *v)
{
	char below[2 * STORE_QUESTION_CELL], cell[2 * STORE_QUESTION_CELL];
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
		char safe[2 * STORE_QUESTION_CELL];

		command_say(call, "  %s  %s", log_escape(cell, sizeof(cell), path), log_escape(safe, sizeof(safe), below));
	}
}

static int
run_inventory(struct command_call *call)
{
	static const char *const columns[] = { "time", "group", "path", "was", "is", NULL };
	SCOPED(buf_done) struct buf path = BUF_MAX(STORE_QUESTION_PATH);
	bool changes = command_option(call, "changes") != NULL;
	SCOPED_JSON *doc = NULL;
	const json_t *items, *item;
	char cell[STORE_QUESTION_CELL], time[STORE_QUESTION_CELL];
	size_t i;
	int r;

	store_question_begin(&path, call->operands[0], "/inventory");
	store_question_add(&path, "group", call->n_operands > 1 ? call->operands[1] : NULL);
	store_question_add(&path, "changes", changes ? "1" : NULL);
	r = store_question_time(&path, call, "from", "from");
	r = r ? r : store_question_time(&path, call, "to", "to");
	r = r ? r : store_question_ask(call, &path, &doc);
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
		.options = metrics_options, .run = metric_commands_run },
	{ .name = "logs", .args = "SITE [SERVICE]", .min = 1, .max = 2, .summary = "what a site's services and files say, as far as the customer lets it leave",
		.examples = "mainstay-desk logs acme-1 nginx --since 2h --severity error\nmainstay-desk logs acme-1 --grep timeout -f",
		.options = logs_options, .run = log_commands_run },
	{ .name = "inventory", .args = "SITE [GROUP]", .min = 1, .max = 2, .summary = "what a site is made of, and what changed",
		.examples = "mainstay-desk inventory acme-1 os\nmainstay-desk inventory acme-1 packages --changes --from 7d",
		.options = inventory_options, .run = run_inventory },
	{ 0 },
};
