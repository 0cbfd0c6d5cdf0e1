/* Requests, plans, results, files of them, cancels, progress, lists of standing permits and programs' output; the first byte chooses. */
#include "remote/request/request.h"

#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/request/cancel.h"
#include "remote/request/permits.h"
#include "remote/request/plan.h"
#include "remote/request/progress.h"
#include "remote/request/result.h"
#include "remote/request/results_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever an engineer wrote, the text for the approver is lines of visible characters, as many as
 * the plan has and not one more. */
static void
check_text(const struct request *q, const char *verb)
{
	static const char *const argv[] = { "/bin/true", NULL };
	static const char *const secrets[] = { "password", NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_PLAN_TEXT_MAX);
	SCOPED_JSON *touched = verb ? json_array() : json_pack("[s]", q->reason);
	const struct request_plan_facts f = {
		.request = q,
		.epoch = "00112233445566778899aabbccddeeff",
		.release = "1",
		.state = "running",
		.risk = "observe",
		.rights = "reads",
		.verb = verb,
		.argv = verb ? NULL : argv,
		.touched = touched,
		.secrets = secrets,
		.memory = 1 << 20,
		.health_ms = 1500,
		.downtime = "none",
	};
	size_t lines = 0;

	if (request_plan_text(&b, &f))
		return;
	for (size_t i = 0; i < b.len; i++) {
		lines += b.data[i] == '\n';
		if (b.data[i] < 0x20 && b.data[i] != '\n')
			__builtin_trap();
	}
	if (lines != 19 + json_object_size(q->args))
		__builtin_trap();
}

static void
try_request(const uint8_t *data, size_t size)
{
	SCOPED(request_freep) struct request *q = NULL, *again = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(64 * 1024);
	SCOPED_JSON *doc = NULL;

	if (request_parse(&q, data, size))
		return;
	/* What was taken can be written, and is then taken again. */
	if (!request_id_ok(q->id) || request_json(&doc, q) || json_canonical(&b, doc) ||
		request_parse(&again, b.data, b.len))
		__builtin_trap();
	check_text(q, NULL);
	check_text(q, "restart");
	if (!request_peek_id(doc))
		__builtin_trap();
}

static void
try_message(const uint8_t *data, size_t size, bool is_plan)
{
	SCOPED(request_plan_freep) struct request_plan *plan = NULL;
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED_JSON *doc = NULL, *again = NULL;

	if (json_read_canonical(&doc, data, size, 1 << 20, "message"))
		return;
	if (is_plan)
		(void)request_plan_parse(&plan, doc);
	else if (request_result_parse(&result, doc) == 0 &&
		(request_result_json(&again, result) || !json_equal(doc, again)))
		__builtin_trap();
}

/* What was taken is written as it was. */
static void
try_small(const uint8_t *data, size_t size, bool is_cancel)
{
	SCOPED(cancel_freep) struct cancel *cancel = NULL;
	SCOPED(progress_freep) struct progress *progress = NULL;
	SCOPED_JSON *doc = NULL, *again = NULL;

	if (json_read_canonical(&doc, data, size, 1 << 20, "message"))
		return;
	if (is_cancel) {
		if (cancel_parse(&cancel, doc) == 0 && cancel_json(&again, cancel))
			__builtin_trap();
	} else if (progress_parse(&progress, doc) == 0 && progress_json(&again, progress)) {
		__builtin_trap();
	}
	if (again && !json_equal(json_object_get(doc, "request"), json_object_get(again, "request")) &&
		strncmp(json_text(doc, "request"), "sha256:", 7) == 0)
		__builtin_trap();
}

/* Within its bounds, and written again as it was. */
static void
try_permits(const uint8_t *data, size_t size)
{
	SCOPED(permits_freep) struct permits *p = NULL;
	SCOPED_JSON *doc = NULL, *again = NULL, *one = NULL;

	if (json_read_canonical(&doc, data, size, 1 << 20, "message") || permits_parse(&p, doc))
		return;
	if (p->n_items > PERMITS_MAX || permits_json(&again, p, json_object_get(doc, "permits")))
		__builtin_trap();
	for (size_t i = 0; i < p->n_items; i++)
		if (p->items[i].left > p->items[i].uses || json_array_size(p->items[i].arguments) > PERMITS_LINES_MAX)
			__builtin_trap();
	if (p->n_items > 0 && (permits_item_json(&one, &p->items[0]) || json_object_size(one) != 11))
		__builtin_trap();
}

static void
try_output(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	SCOPED_JSON *text = NULL;

	(void)request_result_text(&b, data, size, 4096);
	text = json_stringn((const char *)b.data, b.len);
	if (buf_error(&b) || (b.len > 0 && !text)) /* it must be UTF-8 */
		__builtin_trap();
}

static void
try_file(const uint8_t *data, size_t size)
{
	SCOPED(results_file_freep) struct results_file *f = NULL;

	if (results_file_read(&f, data, size))
		return;
	for (size_t i = 0; i < f->n_items; i++)
		if (!request_id_ok(f->items[i].id) || !f->items[i].decision || !f->items[i].request)
			__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_quiet_refusals(true);
	if (!size)
		return 0;
	switch (data[0]) {
	case 'q':
		try_request(data + 1, size - 1);
		break;
	case 'c':
	case 'g':
		try_small(data + 1, size - 1, data[0] == 'c');
		break;
	case 'p':
	case 'r':
		try_message(data + 1, size - 1, data[0] == 'p');
		break;
	case 'm':
		try_permits(data + 1, size - 1);
		break;
	case 'f':
		try_file(data + 1, size - 1);
		break;
	default:
		try_output(data + 1, size - 1);
		break;
	}
	return 0;
}
