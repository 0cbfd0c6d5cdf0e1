#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/json_wanting.h"
#include "appliance/base/log.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/calls_room.h"
#include "appliance/monitor/inside.h"

enum {
	HELD_MAX = 256, /* calls of all peers that wait for an answer */
	JSON_INLINE_MAX = 60 * 1024 - 512,
};

/* --- what goes back ---------------------------------------------------------------------------------- */
static void
send_frame(struct peer *p, struct frame_out *out)
{
	if (p->conn)
		(void)frame_conn_send(p->conn, out); /* one that does not get it is closed by on_closed() */
	frame_out_done(out);
}

static int
put_json(struct frame_out *out, const json_t *json, int *fd)
{
	SCOPED(scope_free)
	char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	int r;

	if (!text)
		return json ? FAULT(-ENOMEM) : 0;
	if (strlen(text) <= JSON_INLINE_MAX) {
		frame_put_text(out, CALL_TAG_JSON, text);
		return FAULT(buf_error(&out->buf));
	}
	r = fs_memfd(fd, "answer", text, strlen(text));
	if (r == 0)
		frame_put_fd(out, *fd);
	return FAULT(r ?: buf_error(&out->buf));
}

static void
send_result(struct peer *p, uint32_t id, int r)
{
	const struct refusal *why;
	char trail[REFUSE_TEXT_MAX];
	struct frame_out out;

	if (r < 0)
		log_fault(r, "a call");
	r = refuse_full(r);
	why = refuse_last();
	if (r < 0) {
		/* A log line names the fault; the caller only learns that there is one. */
		(void)snprintf(trail, sizeof(trail), "%s (see the log of mainstayd)", strerror(-r));
		frame_begin(&out, CALL_TYPE_FAULT, id);
		frame_put_text(&out, CALL_TAG_TEXT, trail);
	} else {
		bool same = why->reason == (enum reason)r;

		frame_begin(&out, CALL_TYPE_REFUSED, id);
		frame_put_text(&out, CALL_TAG_REASON, refuse_token((enum reason)r));
		if (same && why->operand[0])
			frame_put_text(&out, CALL_TAG_OPERAND, why->operand);
		if (same && why->place[0])
			frame_put_text(&out, CALL_TAG_PLACE, why->place);
		frame_put_text(&out, CALL_TAG_TEXT, same ? why->text : "refused");
	}
	send_frame(p, &out);
}

void
calls_run_send(struct peer *p, enum call_type type, uint32_t id, const char *name, const json_t *json)
{
	SCOPED(scope_close) int fd = -1;
	struct frame_out out;
	int r;

	frame_begin(&out, (uint16_t)type, id);
	frame_put_text(&out, CALL_TAG_VERB, name);
	r = put_json(&out, json, &fd);
	if (r == 0) {
		send_frame(p, &out);
		return;
	}
	frame_out_done(&out);
	if (type == CALL_TYPE_OK)
		send_result(p, id, r);
	else
		log_fault(r, "what a peer is told");
}

/* --- one call ---------------------------------------------------------------------------------------- */
void
calls_run_free(struct monitor_call *call)
{
	struct calls *c = call->m->calls;

	if (call->held) {
		struct monitor_call **at;

		for (at = &c->held; *at != call; at = &(*at)->next)
			;
		*at = call->next;
		c->n_held--;
	}
	if (call->peer) {
		call->peer->n_calls--;
		calls_drop_peer(call->peer);
	}
	frame_done(&call->frame);
	buf_wipe(&call->body);
	json_decref(call->params_ref);
	free(call);
}

void
monitor_answer_result(struct monitor_call *call, int r, json_t *take_answer)
{
	SCOPED_JSON *answer = take_answer;

	call->answered = true;
	if (r == 0 && json_wanting() != call->wanting)
		r = FAULT(-ENOMEM); /* an answer that lacks something would pass for the whole of it */
	if (call->done) {
		monitor_done_fn *done = call->done;

		call->done = NULL;
		done(r, answer, call->done_arg);
	} else if (call->peer && r == 0) {
		calls_run_send(call->peer, CALL_TYPE_OK, call->id, NULL, answer);
	} else if (call->peer) {
		send_result(call->peer, call->id, r);
	}
	if (call->held && !call->running)
		calls_run_free(call);
}

void
monitor_answer(struct monitor_call *call, json_t *take_answer)
{
	monitor_answer_result(call, 0, take_answer);
}

void
monitor_progress(struct monitor_call *call, const json_t *line)
{
	if (call->peer)
		calls_run_send(call->peer, CALL_TYPE_PROGRESS, call->id, NULL, line);
}

void
monitor_call_hold(struct monitor_call *call, monitor_gone_fn *gone, void *arg)
{
	struct calls *c = call->m->calls;

	call->gone = gone;
	call->gone_arg = arg;
	if (call->held)
		return;
	call->held = true;
	call->next = c->held;
	c->held = call;
	c->n_held++;
}

/* A call lives on the heap from the start; one that is answered at once is freed here. */
static void
run_verb(struct monitor_call *call, const char *verb)
{
	struct monitor *m = call->m;
	int r = REASON_NONE;
	bool found = false, more = false; /* more: it is for root */

	call->running = true;
	for (size_t i = 0; i < m->n_verbs && !found; i++) {
		const struct monitor_verb *v = &m->verbs[i];

		if (strcmp(v->verb, verb) != 0)
			continue;
		more = more || (call->role == CALL_ROLE_LOOK && (v->roles & CALL_ROLE_CONTROL));
		if (!(v->roles & call->role))
			continue;
		found = true;
		if (m->calls->n_held >= HELD_MAX)
			r = REFUSE(REASON_BUSY, verb, "too many calls wait");
		else
			r = v->fn(m, call, v->arg);
	}
	if (!found && more)
		r = REFUSE(REASON_WRONG_ROLE, verb, "is for root: group " CALL_LOOK_GROUP " may look, and approve with an approver's key");
	else if (!found)
		r = REFUSE(REASON_NOT_FOUND, verb, "no such verb for %s", monitor_call_actor(call));
	if (!call->answered && (r != 0 || !call->held))
		monitor_answer_result(call, r, NULL);
	call->running = false;
	if (call->answered)
		calls_run_free(call);
}

static struct monitor_call *
new_call(struct monitor *m, struct peer *p, enum call_role role)
{
	struct monitor_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->m = m;
	call->peer = p;
	call->role = role;
	call->body = BUF_MAX(CALL_FD_BYTES_MAX);
	call->wanting = json_wanting();
	if (p)
		p->n_calls++;
	return call;
}

/* --- from a frame ------------------------------------------------------------------------------------ */
/* Each name has its value, and both are texts: one that is not would hide those behind it. */
static int
check_params(const struct frame *f)
{
	size_t names = 0, values = 0;

	for (size_t i = 0; i < f->n_fields; i++) {
		const struct frame_field *field = &f->fields[i];

		if (field->tag != CALL_TAG_NAME && field->tag != CALL_TAG_VALUE)
			continue;
		names += field->tag == CALL_TAG_NAME;
		values += field->tag == CALL_TAG_VALUE;
		if (memchr(field->data, '\0', field->len))
			return REFUSE(REASON_MALFORMED, "call", "a parameter is no text");
	}
	if (names != values)
		return REFUSE(REASON_MALFORMED, "call", "%zu names have %zu values", names, values);
	return 0;
}

/* Not a body: its verb writes to it. */
static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int
check_call(struct monitor_call *call, struct frame *f)
{
	static const struct frame_rule rules[] = {
		{ CALL_TAG_VERB, 1, 1, CALL_VERB_MAX },
		{ CALL_TAG_NAME, 0, CALL_PARAMS_MAX, CALL_NAME_MAX },
		{ CALL_TAG_VALUE, 0, CALL_PARAMS_MAX, CALL_VALUE_MAX },
		{ CALL_TAG_BODY, 0, 1, CALL_BODY_MAX },
	};
	int r = frame_check(f, rules, ARRAY_LEN(rules), false, 1);

	r = r ?: check_params(f);
	if (r || f->n_fds == 0)
		return r < 0 ? FAULT(r) : r;
	if (is_socket(f->fds[0]))
		return 0;
	r = fs_read_fd(f->fds[0], CALL_FD_BYTES_MAX, &call->body);
	if (r > 0)
		return REFUSE(r, "call", "the file of its body cannot be read");
	return FAULT(r);
}

int
monitor_call_take_socket(struct monitor_call *call)
{
	if (call->frame.n_fds == 0 || !is_socket(call->frame.fds[0]))
		return -1;
	return STEAL_FD(call->frame.fds[0]);
}

void
calls_run_frame(struct peer *p, struct frame *f)
{
	struct monitor *m = p->calls->m;
	struct monitor_call *call = f->type == CALL_TYPE_CALL ? new_call(m, p, p->role) : NULL;
	const char *verb;
	int r;

	if (!call) {
		if (f->type == CALL_TYPE_CALL)
			send_result(p, f->id, FAULT(-ENOMEM));
		return;
	}
	call->id = f->id;
	r = check_call(call, f);
	call->frame = *f;
	memset(f, 0, sizeof(*f)); /* its memory and descriptors are the call's now */
	verb = frame_text(&call->frame, CALL_TAG_VERB, CALL_VERB_MAX);
	if (r == 0 && !verb)
		r = REFUSE(REASON_MALFORMED, "call", "the verb is no text");
	if (r) {
		monitor_answer_result(call, r, NULL);
		calls_run_free(call);
		return;
	}
	run_verb(call, verb);
}

/* --- from within ------------------------------------------------------------------------------------- */
void
monitor_call_inside(struct monitor *m, enum call_role role, const char *verb, const json_t *params,
	const void *body, size_t len, monitor_done_fn *done, void *arg)
{
	struct monitor_call *call = new_call(m, NULL, role);
	int r;

	if (!call) {
		done(-ENOMEM, NULL, arg);
		return;
	}
	call->done = done;
	call->done_arg = arg;
	call->params = params;
	call->params_ref = params ? json_copy_whole(params, JSON_DEEP) : NULL;
	call->params = call->params_ref;
	buf_put(&call->body, body, body ? len : 0);
	/* Without them the verb would find that the caller had left them out. */
	r = params && !call->params ? -ENOMEM : buf_error(&call->body);
	if (r < 0) {
		monitor_answer_result(call, FAULT(r), NULL);
		calls_run_free(call);
		return;
	}
	run_verb(call, verb);
}
