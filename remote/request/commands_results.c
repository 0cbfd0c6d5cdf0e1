#include "remote/request/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "remote/request/request_wire.h"
#include "remote/request/results_file.h"

enum { ANSWER_MS = 30 * 1000, IDS_MAX = 64 };

/* The operands as one parameter: "ID,ID". */
static int
put_ids(const struct command_call *call, struct call_request *request)
{
	char ids[IDS_MAX * (REQUEST_ID_MAX + 1)] = "";
	size_t len = 0;

	for (size_t i = 0; i < call->n_operands; i++) {
		const char *id = call->operands[i];

		if (strchr(id, ',') || strlen(id) > REQUEST_ID_MAX)
			return REFUSE(REASON_USAGE, id, "is no id of a request");
		len += (size_t)snprintf(ids + len, sizeof(ids) - len, "%s%s", i ? "," : "", id);
	}
	if (len > 0)
		call_param(request, "ids", ids);
	return 0;
}

static int
write_file(struct command_call *call, const char *out, const json_t *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RESULTS_FILE_MAX);
	size_t n = json_array_size(json_object_get(file, "items"));
	int r = results_file_write(&b, file, out);

	if (r)
		return r;
	if (strcmp(out, "-") == 0)
		return fwrite(b.data, 1, b.len, stdout) == b.len ? 0 : FAULT(-EIO);
	r = fs_replace_path(out, b.data, b.len, 0600);
	if (r)
		return r;
	if (call->json)
		return command_print_json("ResultsExported",
			json_pack("{s:s, s:I, s:I}", "file", out, "requests", (json_int_t)n, "bytes", (json_int_t)b.len));
	command_say(call, "%zu %s and the site's statement are in %s; at the vendor: mainstay-desk import %s", n,
		n == 1 ? "request" : "requests", out, out);
	return 0;
}

static int
run_export(struct command_call *call)
{
	const char *out = command_option(call, "out"), *ticket = command_option(call, "ticket");
	struct call_request *request;
	SCOPED_JSON *answer = NULL;
	int r;

	if (ticket && call->n_operands > 0)
		return REFUSE(REASON_USAGE, "--ticket", "give a ticket or IDs");
	request = call_new("results.export");
	call_param(request, "ticket", ticket);
	r = put_ids(call, request);
	if (r) {
		call_free(request);
		return r;
	}
	r = ask_monitor(call, request, ANSWER_MS, &answer);
	return r ?: write_file(call, out, json_object_get(answer, "file"));
}

static const struct command_option export_options[] = {
	{ .name = "out", .value = "FILE", .help = "what to write (\"-\": stdout)", .required = true },
	{ .name = "ticket", .value = "TEXT", .help = "all requests of this case" },
	{ 0 },
};

const struct command results_commands[] = {
	{ .name = "results export",
		.args = "[ID...]",
		.max = IDS_MAX,
		.summary = "plans and results as a file, where no network carries them",
		.details = "Without IDs and --ticket: those of requests that came as files. With them goes the site's signed\n"
			   "statement: what runs here, in which epoch. Everything in it is signed by this site or by the\n"
			   "engineer who asked; what you hand over is what you see with `mainstay requests show`.",
		.options = export_options,
		.examples = "mainstay results export --out results.json\n"
			    "mainstay results export r-1f2e --out results.json",
		.run = run_export },
	{ 0 },
};
