#include "remote/request/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum { LABEL_WIDTH = 14, LINE_BYTES = 8 * 1024 };

/* One line, whatever the value holds: an approver must be able to trust the layout. */
static void
line(struct buf *out, const char *label, const char *value)
{
	char safe[LINE_BYTES];

	buf_printf(out, "%-*s%s\n", LABEL_WIDTH, label, log_escape(safe, sizeof(safe), value));
}

/* One whose value was put together; where that failed there is no plan: it would lack this line. */
static void
line_of(struct buf *out, const char *label, const struct buf *value)
{
	if (buf_error(value) && !buf_error(out))
		out->error = buf_error(value);
	line(out, label, buf_text(value));
}

static void line_f(struct buf *out, const char *label, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void
line_f(struct buf *out, const char *label, const char *fmt, ...)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE_BYTES);
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	line_of(out, label, &b);
}

/* Single quotes around each word, so that where one ends and the next begins is never a matter of
 * reading. */
static void
put_word(struct buf *b, const char *word)
{
	buf_u8(b, '\'');
	for (; *word; word++) {
		if (*word == '\'' || *word == '\\')
			buf_u8(b, '\\');
		buf_u8(b, (uint8_t)*word);
	}
	buf_u8(b, '\'');
}

static int
by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static void
put_args(struct buf *out, const json_t *args)
{
	const char *names[REQUEST_ARGS_MAX], *name;
	size_t n = 0;
	json_t *value, *obj;

	memcpy(&obj, &args, sizeof(obj)); /* jansson's iterator takes no const object */
	json_object_foreach(obj, name, value)
		if (n < ARRAY_LEN(names))
			names[n++] = name;
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(LINE_BYTES);

		value = json_object_get(args, names[i]);
		buf_printf(&b, "%s = ", names[i]);
		if (json_is_string(value))
			put_word(&b, json_string_value(value));
		else if (json_is_integer(value))
			buf_printf(&b, "%lld", (long long)json_integer_value(value));
		else
			buf_puts(&b, json_is_true(value) ? "true" : "false");
		line_of(out, "argument", &b);
	}
}

static int
put_argv(struct buf *out, const struct request_plan_facts *f)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_PLAN_TEXT_MAX);

	if (f->verb) {
		line_f(out, "does", "%s of service %s, by the appliance itself", f->verb,
			f->request->service);
		return 0;
	}
	for (size_t i = 0; f->argv[i]; i++) {
		if (i > 0)
			buf_u8(&b, ' ');
		put_word(&b, f->argv[i]);
	}
	if (buf_error(&b))
		return FAULT(buf_error(&b));
	/* Longer than a line may be shown whole, or the approver would sign what they did not
	 * see. */
	if (b.len >= LINE_BYTES / 4)
		return REFUSE(REASON_TOO_LARGE, f->request->id, "a command of %zu bytes", b.len);
	line(out, "runs", buf_text(&b));
	return 0;
}

/* All of what the dry run said, one line each, or the approver would sign what they did not see. */
static void
put_touched(struct buf *out, const json_t *touched)
{
	size_t i;
	const json_t *one;

	if (!touched)
		return;
	if (json_array_size(touched) == 0)
		line(out, "would touch", "nothing, says its dry run");
	json_array_foreach(touched, i, one)
		line(out, "would touch", json_string_value(one));
}

static void
put_limits(struct buf *out, const struct request_plan_facts *f)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(256);
	char size[NUMBER_SIZE_MAX];

	buf_printf(&b, "%" PRIu64 ".%03" PRIu64 " s", f->timeout_ms / 1000, f->timeout_ms % 1000);
	if (f->memory)
		buf_printf(&b, ", %s of memory", number_size_text(size, f->memory));
	buf_printf(&b, ", %s of output", number_size_text(size, f->output));
	if (f->processes)
		buf_printf(&b, ", %u processes, one processor", f->processes);
	line_of(out, "limits", &b);
}

int
request_plan_text(struct buf *out, const struct request_plan_facts *f)
{
	const struct request *q = f->request;
	char digest[SHA256_TEXT_MAX], from[CLOCK_TEXT_MAX], to[CLOCK_TEXT_MAX];
	int r;

	line(out, "request", q->id);
	line(out, "", sha256_text(digest, q->digest));
	line_f(out, "site", "%s (customer %s)", q->site, q->customer);
	line(out, "epoch", f->epoch);
	for (size_t i = 0; f->attention && f->attention[i]; i++)
		line(out, "attention", f->attention[i]);
	line(out, "engineer", q->engineer);
	line(out, "reason", q->reason);
	line(out, "ticket", q->ticket);
	line_f(out, "valid", "%s to %s", clock_format(from, q->not_before_us),
		clock_format(to, q->expires_us));
	line_f(out, "service", "%s %s, %s", q->service, f->release, f->state);
	line_f(out, "definition", "%s", sha256_text(digest, q->definition));
	line(out, "operation", q->operation);
	put_args(out, q->args);
	r = put_argv(out, f);
	if (r)
		return r;
	put_touched(out, f->touched);
	line_f(out, "risk", "%s: %s", f->risk, f->rights);
	for (size_t i = 0; f->secrets && f->secrets[i]; i++)
		line_f(out, "secret", "%s: the program can read it; in what is recorded *** stands for it",
			f->secrets[i]);
	put_limits(out, f);
	line(out, "downtime", f->downtime);
	if (f->health_ms)
		line_f(out, "health", "watched for %" PRIu64 ".%03" PRIu64 " s when it has ended, or until it has passed "
				      "twice in a row; where it fails then and passed before, the operation has failed",
			f->health_ms / 1000, f->health_ms % 1000);
	line(out, "undo", !f->undo ? "none is declared"
			: strcmp(f->undo, "none") == 0 ? "none: nothing takes it back" : f->undo);
	for (size_t i = 0; f->not_recorded && f->not_recorded[i]; i++)
		line(out, "not recorded", f->not_recorded[i]);
	return buf_error(out) ? FAULT(buf_error(out)) : 0;
}

int
request_plan_class(struct buf *out, const char *text, size_t len, bool *ret_has)
{
	static const char *const left_out[] = { "request", "", "reason", "ticket", "valid" };
	const char *end = text + len, *next;
	bool any = false;

	for (const char *at = text; at < end; at = next) {
		char label[LABEL_WIDTH + 1] = "";
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		bool keep = true;
		size_t n;

		next = nl ? nl + 1 : end;
		n = (size_t)(next - at) < LABEL_WIDTH ? (size_t)(next - at) : LABEL_WIDTH;
		memcpy(label, at, n);
		while (n > 0 && label[n - 1] == ' ')
			label[--n] = '\0';
		for (size_t i = 0; i < ARRAY_LEN(left_out); i++)
			keep = keep && strcmp(label, left_out[i]) != 0;
		if (strcmp(label, "attention") == 0)
			any = true;
		if (keep)
			buf_put(out, at, (size_t)(next - at));
	}
	*ret_has = !any && buf_error(out) == 0;
	return buf_error(out) == -EMSGSIZE ? 0 : FAULT(buf_error(out));
}

static json_t *
texts(const char *const *list)
{
	SCOPED_JSON *a = json_array();

	for (size_t i = 0; a && list && list[i]; i++)
		if (json_array_append_new(a, json_string(list[i])) < 0)
			return NULL;
	return STEAL(a);
}

int
request_plan_json(json_t **ret, const struct request_plan_facts *f)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(REQUEST_PLAN_TEXT_MAX);
	const char *const verb[] = { f->verb, NULL };
	SCOPED_JSON *doc = NULL;
	int r = request_plan_text(&text, f);

	if (r)
		return r;
	doc = json_pack("{s:i, s:s, s:o, s:[{s:s, s:s, s:s}], s:{s:I, s:I, s:I}, s:s, s:s, s:o}",
		"v", 1, "text", buf_text(&text), "argv", texts(f->verb ? verb : f->argv), "targets",
		"service", f->request->service, "instance", f->request->instance, "release",
		f->release, "limits", "timeout_ms", (json_int_t)f->timeout_ms, "memory",
		(json_int_t)f->memory, "output", (json_int_t)f->output, "downtime", f->downtime,
		"undo", f->undo ? f->undo : "", "not_recorded", texts(f->not_recorded));
	if (!doc)
		return FAULT(-ENOMEM);
	if (f->touched && json_array_extend(json_object_get(doc, "targets"), (json_t *)(uintptr_t)f->touched) < 0)
		return FAULT(-ENOMEM);
	r = json_put_sha256(doc, "request", f->request->digest);
	if (r)
		return r;
	*ret = STEAL(doc);
	return 0;
}

struct members {
	uint64_t v;
	struct request_plan p;
};

#define FIELD(n, k, m)                                                                             \
	{ .name = #n, .kind = (k), .offset = offsetof(struct members, p.n), .max = (m) }

static const struct json_field fields[] = {
	{ .name = "v", .kind = JSON_KIND_U64, .offset = offsetof(struct members, v), .max = 1 },
	FIELD(request, JSON_KIND_SHA256, 0),
	FIELD(text, JSON_KIND_TEXT0, REQUEST_PLAN_TEXT_MAX),
	FIELD(argv, JSON_KIND_ARRAY, REQUEST_ARGV_MAX),
	FIELD(targets, JSON_KIND_ARRAY, 1 + REQUEST_TOUCHED_MAX),
	FIELD(limits, JSON_KIND_OBJECT, 16),
	FIELD(downtime, JSON_KIND_TEXT, 0),
	FIELD(undo, JSON_KIND_TEXT0, 0),
	FIELD(not_recorded, JSON_KIND_ARRAY, 64),
};

int
request_plan_parse(struct request_plan **ret, const json_t *payload)
{
	SCOPED(request_plan_freep) struct request_plan *p = calloc(1, sizeof(*p));
	struct members m = { 0 };
	json_t *doc;
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	r = json_members(payload, fields, ARRAY_LEN(fields), &m, "plan");
	if (r)
		return r;
	if (m.v != 1)
		return REFUSE(REASON_MALFORMED, "plan", "version is not 1");
	*p = m.p;
	memcpy(&doc, &payload, sizeof(doc));
	p->doc = json_incref(doc);
	*ret = STEAL(p);
	return 0;
}

struct request_plan *
request_plan_free(struct request_plan *p)
{
	if (p) {
		json_decref(p->doc);
		free(p);
	}
	return NULL;
}
