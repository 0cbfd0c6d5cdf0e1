#include "remote/request/item_file.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/policy/policy.h"
#include "appliance/trust/envelope.h"

enum { FILE_BYTES_MAX = 8 * 1024 * 1024 };

static const char plan_only[] = "dry-run"; /* kind of a file; without one it is a request */

/* What a file holds; texts and objects are borrowed from the document while it is read. */
struct members {
	uint64_t v;
	json_t *envelope, *plan, *result, *ended, *permits, *touched, *limits;
	const char *kind, *state, *decision, *plan_text, *reason, *detail, *outcome, *narrowed_by;
	uint64_t mailbox, received_us, expires_us, plans, said;
	bool settled;
};

#define FIELD(n, m, k, o, x)                                                                       \
	{                                                                                          \
		.name = (n), .kind = (k), .optional = (o), .offset = offsetof(struct members, m),  \
		.max = (x)                                                                         \
	}

static const struct json_field fields[] = {
	FIELD("v", v, JSON_KIND_U64, false, 1),
	FIELD("envelope", envelope, JSON_KIND_OBJECT, false, 0),
	FIELD("kind", kind, JSON_KIND_TEXT, true, 8),
	FIELD("state", state, JSON_KIND_TEXT, false, 16),
	FIELD("mailbox", mailbox, JSON_KIND_U64, false, 0),
	FIELD("received", received_us, JSON_KIND_TIME, false, 0),
	FIELD("expires", expires_us, JSON_KIND_TIME, false, 0),
	FIELD("settled", settled, JSON_KIND_BOOL, false, 0),
	FIELD("decision", decision, JSON_KIND_TEXT, true, 8),
	FIELD("plan_text", plan_text, JSON_KIND_TEXT0, true, REQUEST_PLAN_TEXT_MAX),
	FIELD("plan", plan, JSON_KIND_OBJECT, true, 0),
	FIELD("result", result, JSON_KIND_OBJECT, true, 0),
	FIELD("ended", ended, JSON_KIND_OBJECT, true, 2),
	FIELD("permits", permits, JSON_KIND_ARRAY, true, POLICY_NEED_MAX),
	FIELD("touched", touched, JSON_KIND_ARRAY, true, REQUEST_TOUCHED_MAX),
	FIELD("narrowed_by", narrowed_by, JSON_KIND_TEXT, true, 64),
	FIELD("plans", plans, JSON_KIND_U64, true, UINT32_MAX),
	FIELD("said", said, JSON_KIND_U64, true, 0),
	FIELD("limits", limits, JSON_KIND_OBJECT, true, 3),
	FIELD("reason", reason, JSON_KIND_TEXT, true, 32),
	FIELD("detail", detail, JSON_KIND_TEXT0, true, 0),
	FIELD("outcome", outcome, JSON_KIND_TEXT, true, 32),
};

#define LIMIT(n)                                                                                   \
	{ .name = #n, .kind = JSON_KIND_U64, .offset = offsetof(struct request_limits, n) }

static const struct json_field limit_fields[] = { LIMIT(timeout_ms), LIMIT(memory), LIMIT(output) };

struct request_item *
item_file_free(struct request_item *item)
{
	if (!item)
		return NULL;
	request_free(item->request);
	json_decref(item->envelope);
	json_decref(item->plan);
	json_decref(item->result);
	json_decref(item->ended);
	json_decref(item->permits);
	json_decref(item->touched);
	free(item->decision);
	free(item->plan_text);
	free(item->narrowed_by);
	free(item->waits);
	free(item->detail);
	free(item->outcome);
	free(item);
	return NULL;
}

void
item_file_name(char out[ITEM_FILE_NAME_BYTES], const char *id)
{
	(void)snprintf(out, ITEM_FILE_NAME_BYTES, "%s.json", id);
}

static int
put_object(json_t *doc, const char *name, json_t *v)
{
	return v && json_object_set(doc, name, v) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
put_limits(json_t *doc, const struct request_limits *l)
{
	SCOPED_JSON *o = NULL;

	if (!l->timeout_ms && !l->memory && !l->output)
		return 0;
	o = json_pack("{s:I, s:I, s:I}", "timeout_ms", (json_int_t)l->timeout_ms, "memory",
		(json_int_t)l->memory, "output", (json_int_t)l->output);
	return o ? put_object(doc, "limits", o) : FAULT(-ENOMEM);
}

static int
encode(const struct request_item *item, struct buf *out)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:b}", "v", 1, "settled", (int)item->settled);
	int r;

	if (!doc)
		return FAULT(-ENOMEM);
	r = put_object(doc, "envelope", item->envelope);
	r = r ?: put_object(doc, "plan", item->plan);
	r = r ?: put_object(doc, "result", item->result);
	r = r ?: put_object(doc, "ended", item->ended);
	r = r ?: put_object(doc, "permits", item->permits);
	r = r ?: put_object(doc, "touched", item->touched);
	r = r ?: put_limits(doc, &item->limits);
	if (!r && item->plan_only)
		r = json_put_text(doc, "kind", plan_only);
	r = r ?: json_put_text(doc, "state", request_flow_state_name(item->flow.state));
	r = r ?: json_put_u64(doc, "mailbox", item->mailbox);
	r = r ?: json_put_time(doc, "received", item->received_us);
	r = r ?: json_put_time(doc, "expires", item->flow.expires_us);
	r = r ?: json_put_text(doc, "decision", item->decision);
	r = r ?: json_put_text(doc, "plan_text", item->plan_text);
	if (!r && item->reason != REASON_NONE)
		r = json_put_text(doc, "reason", refuse_token(item->reason));
	r = r ?: json_put_text(doc, "detail", item->detail);
	r = r ?: json_put_text(doc, "narrowed_by", item->narrowed_by);
	r = r ?: json_put_u64(doc, "plans", item->plans);
	r = r ?: json_put_u64(doc, "said", item->said);
	r = r ?: json_put_text(doc, "outcome", item->outcome);
	return r ?: json_canonical(out, doc);
}

static int
copy_text(char **ret, const char *text)
{
	if (text && !(*ret = strdup(text)))
		return FAULT(-ENOMEM);
	return 0;
}

static int
fill(struct request_item *item, const struct members *m, const char *name)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r = 0;

	if (m->kind && strcmp(m->kind, plan_only) != 0)
		return REFUSE(REASON_MALFORMED, name, "unknown kind");
	item->plan_only = m->kind != NULL;
	r = envelope_open_json(&e, item->plan_only ? MESSAGE_DRY_RUN : MESSAGE_REQUEST, m->envelope);
	r = r ?: request_from_envelope(&item->request, e);
	if (!r && m->limits)
		r = json_members(m->limits, limit_fields, ARRAY_LEN(limit_fields), &item->limits, name);
	if (r)
		return r;
	for (size_t i = 0; i < json_array_size(m->touched); i++)
		if (!json_is_string(json_array_get(m->touched, i)))
			return REFUSE(REASON_MALFORMED, name, "what it touches is no text");
	item->flow.state = request_flow_state_of(m->state);
	if (item->flow.state == FLOW_STATE_MAX)
		return REFUSE(REASON_MALFORMED, name, "unknown state");
	item->reason = m->reason ? refuse_reason(m->reason) : REASON_NONE;
	item->flow.expires_us = m->expires_us;
	item->mailbox = m->mailbox;
	item->received_us = m->received_us;
	item->settled = m->settled;
	item->plans = (unsigned)m->plans;
	item->said = m->said;
	item->envelope = json_incref(m->envelope);
	item->plan = json_incref(m->plan);
	item->result = json_incref(m->result);
	item->ended = json_incref(m->ended);
	item->permits = json_incref(m->permits);
	item->touched = json_incref(m->touched);
	r = copy_text(&item->decision, m->decision);
	r = r ?: copy_text(&item->plan_text, m->plan_text);
	r = r ?: copy_text(&item->detail, m->detail);
	r = r ?: copy_text(&item->narrowed_by, m->narrowed_by);
	return r ?: copy_text(&item->outcome, m->outcome);
}

int
item_file_read(struct request_item **ret, int dir_fd, const char *name)
{
	SCOPED(item_file_freep) struct request_item *item = calloc(1, sizeof(*item));
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	struct members m = { 0 };
	char own[ITEM_FILE_NAME_BYTES];
	int r;

	if (!item)
		return FAULT(-ENOMEM);
	r = fs_read(dir_fd, name, FILE_BYTES_MAX, &b);
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, name, "cannot be read");
	r = json_read_canonical(&doc, b.data, b.len, FILE_BYTES_MAX, name);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &m, name);
	r = r ?: fill(item, &m, name);
	if (r)
		return r;
	item_file_name(own, item->request->id);
	if (strcmp(own, name) != 0)
		return REFUSE(REASON_MALFORMED, name, "holds request %s", item->request->id);
	*ret = STEAL(item);
	return 0;
}

int
item_file_write(int dir_fd, const struct request_item *item)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	char name[ITEM_FILE_NAME_BYTES];
	int r = encode(item, &b);

	item_file_name(name, item->request->id);
	r = r ?: fs_replace(dir_fd, name, b.data, b.len, 0600);
	return r < 0 ? FAULT(r) : r;
}
