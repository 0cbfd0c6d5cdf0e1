#include "appliance/monitor/commands_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/ask.h"
#include "appliance/enrol/record_file.h"
#include "appliance/loop/curl_loop.h"
#include "appliance/monitor/floor.h"

enum {
	ASK_MS = 30 * 1000,
	ROUNDS_MAX = 300, /* of metadata: root rotations are one each */
	METADATA_MAX = 5 * 1000 * 1000,
	RECORD_MAX = 64 * 1024,
};

/* Where documents come from. */
struct source {
	struct command_call *call;
	const char *url, *ca, *proxy; /* the hub */
	const json_t *files;	      /* or a file: {NAME: TEXT} */
};

static bool
is_root(const char *file)
{
	size_t n = strlen(file), k = strlen(".root.json");

	return n > k && strcmp(file + n - k, ".root.json") == 0;
}

/* REASON_NOT_FOUND (unlogged): it has no such document. */
static int
get(const struct source *s, const char *file, struct buf *out)
{
	SCOPED(http_reply_done) struct http_reply reply = { 0 };
	const char *text = json_string_value(json_object_get(s->files, file));
	char url[1024];
	int r;

	if (s->files && !text)
		return REASON_NOT_FOUND;
	if (s->files) {
		buf_puts(out, text);
		return FAULT(buf_error(out));
	}
	(void)snprintf(url, sizeof(url), "%s/tuf/%s", s->url, file);
	r = http_perform(NULL, &(struct http_request){ .method = "GET",
				 .url = url,
				 .ca_file = s->ca,
				 .proxy = *s->proxy ? s->proxy : NULL,
				 .floor_us = FLOOR_LEAST_US,
				 .max_reply = METADATA_MAX },
		&reply);
	if (r)
		return r;
	if (reply.status == 404)
		return REASON_NOT_FOUND;
	if (reply.status != 200)
		return REFUSE(REASON_UNREACHABLE, url, "answered %ld", reply.status);
	buf_put(out, reply.body.data, reply.body.len);
	return FAULT(buf_error(out));
}

/* One document that the monitor needs.  A source that lacks it says so of a step of root alone: that there is no
 * other is what ends the steps.  Returns REASON_NOT_FOUND (unlogged) where it lacks another one. */
static int
bring(const struct source *s, const char *file, json_t **answer)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(METADATA_MAX);
	struct call_request *req;
	json_t *next = NULL;
	int r = get(s, file, &b);

	if (r && (r != REASON_NOT_FOUND || !is_root(file)))
		return r;
	req = call_new("update.metadata");
	call_param(req, r == 0 ? "name" : "absent", file);
	if (r == 0)
		call_body(req, b.data, b.len);
	r = ask_monitor(s->call, req, ASK_MS, &next);
	json_decref(*answer);
	*answer = next;
	return r;
}

/* Until the monitor is up to date, or needs what the source does not have: of a file's, what installed services are
 * updated by. */
static int
feed(const struct source *s)
{
	SCOPED_JSON *answer = NULL;
	int r = ask_monitor(s->call, call_new("update.metadata"), ASK_MS, &answer);

	for (unsigned i = 0; r == 0 && i < ROUNDS_MAX; i++) {
		const char *file = json_string_value(json_array_get(json_object_get(answer, "need"), 0));

		if (!file || json_is_true(json_object_get(answer, "current")))
			return 0;
		r = bring(s, file, &answer);
	}
	return r;
}

static bool
is_recorded(struct command_call *call)
{
	SCOPED_JSON *status = NULL;

	return ask_monitor(call, call_new("status"), ASK_MS, &status) == 0 &&
		json_is_true(json_object_get(json_object_get(status, "hub"), "recorded"));
}

bool
commands_record_fetch(struct command_call *call, const char *url, const char *ca, const char *proxy)
{
	const struct source hub = { .call = call, .url = url, .ca = ca, .proxy = proxy };

	return feed(&hub) == 0 && is_recorded(call);
}

/* --- by file ------------------------------------------------------------------------------------- */
static int
give_record(struct command_call *call, const json_t *record, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RECORD_MAX);
	struct call_request *req;
	int r = json_canonical(&b, record);

	if (r)
		return r < 0 ? FAULT(r) : r;
	req = call_new("courier.record");
	call_body(req, b.data, b.len);
	return ask_monitor(call, req, ASK_MS, ret);
}

/* The metadata first: then the record is judged by it while somebody waits for the verdict. */
int
commands_record_take(struct command_call *call, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RECORD_FILE_MAX);
	SCOPED_JSON *record = NULL, *metadata = NULL;
	struct source source = { .call = call };
	json_t *answer = NULL;
	bool recorded;
	int r = command_read_file(file, RECORD_FILE_MAX, &b);

	r = r ?: record_file_read(&record, &metadata, b.data, b.len);
	if (r)
		return r;
	source.files = metadata;
	r = feed(&source);
	if (r && r != REASON_NOT_FOUND)
		return r;
	r = give_record(call, record, &answer);
	if (r)
		return r;
	recorded = json_is_true(json_object_get(answer, "recorded"));
	if (call->json)
		return command_print_json("Enrolment", answer);
	json_decref(answer);
	command_say(call, recorded ? "an engineer of the vendor vouches for this site"
				   : "kept; it will be checked once the vendor's list of people is here");
	return 0;
}
