#include "appliance/bus/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_request.h"
#include "appliance/bus/frame.h"

enum {
	FRAME_ROOM = FRAME_BYTES_MAX - 1024
}; /* what a frame may hold before a body goes into a file */

struct param {
	char *name, *value;
};

struct call_request {
	char verb[CALL_VERB_MAX + 1];
	struct param params[CALL_PARAMS_MAX];
	size_t n_params;
	struct buf body;
	int body_fd; /* -1 until the body needs it */
	int socket;  /* -1: none */
	int error;   /* stuck, told when it is sent */
};

struct call_request *
call_new(const char *verb)
{
	struct call_request *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->body = BUF_MAX(CALL_FD_BYTES_MAX);
	c->body_fd = c->socket = -1;
	if (strlen(verb) > CALL_VERB_MAX)
		c->error = -EMSGSIZE;
	else
		memcpy(c->verb, verb, strlen(verb) + 1);
	return c;
}

struct call_request *
call_free(struct call_request *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_params; i++) {
		free(c->params[i].name);
		free(c->params[i].value);
	}
	buf_wipe(&c->body);
	scope_close(&c->body_fd);
	scope_close(&c->socket);
	free(c);
	return NULL;
}

SCOPED_DESTRUCTOR(struct call_request, call_free)

void
call_param(struct call_request *c, const char *name, const char *value)
{
	struct param *p;

	if (!c || !value)
		return;
	if (c->n_params == CALL_PARAMS_MAX || strlen(name) > CALL_NAME_MAX ||
		strlen(value) > CALL_VALUE_MAX) {
		c->error = c->error ?: -EMSGSIZE;
		return;
	}
	p = &c->params[c->n_params++];
	p->name = strdup(name);
	p->value = strdup(value);
	if (!p->name || !p->value)
		c->error = c->error ?: -ENOMEM;
}

void
call_param_u64(struct call_request *c, const char *name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	call_param(c, name, text);
}

void
call_body(struct call_request *c, const void *p, size_t len)
{
	if (!c)
		return;
	buf_reset(&c->body);
	buf_put(&c->body, p, len);
	c->error = c->error ?: buf_error(&c->body);
}

void
call_socket(struct call_request *c, int take_fd)
{
	if (!c) {
		scope_close(&take_fd);
		return;
	}
	scope_close(&c->socket);
	c->socket = take_fd;
}

int
call_request_frame(struct call_request *c, struct frame_out *out, uint32_t id)
{
	int r = c->error;

	frame_begin(out, CALL_TYPE_CALL, id);
	frame_put_text(out, CALL_TAG_VERB, c->verb);
	for (size_t i = 0; r == 0 && i < c->n_params; i++) {
		frame_put_text(out, CALL_TAG_NAME, c->params[i].name);
		frame_put_text(out, CALL_TAG_VALUE, c->params[i].value);
	}
	if (r == 0 && c->socket >= 0)
		frame_put_fd(out, c->socket);
	if (r < 0 || c->body.len == 0)
		return FAULT(r);
	if (c->body.len <= CALL_BODY_MAX && out->buf.len + c->body.len <= FRAME_ROOM) {
		frame_put_bytes(out, CALL_TAG_BODY, c->body.data, c->body.len);
		return 0;
	}
	if (c->body_fd < 0)
		r = fs_memfd(&c->body_fd, "call", c->body.data, c->body.len);
	if (r == 0)
		frame_put_fd(out, c->body_fd);
	return FAULT(r);
}

/* --- answers ------------------------------------------------------------------------------------- */
int
call_request_json(struct frame *f, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CALL_FD_BYTES_MAX);
	const uint8_t *p;
	size_t len = 0;
	int r;

	*ret = NULL;
	p = frame_bytes(f, CALL_TAG_JSON, &len);
	if (!p && f->n_fds == 0)
		return 0;
	if (!p) {
		r = fs_read_fd(f->fds[0], b.max, &b);
		if (r > 0)
			return REFUSE(r, "answer", "its descriptor cannot be read");
		if (r < 0)
			return FAULT(r);
		p = b.data;
		len = b.len;
	}
	return json_read(ret, p, len, CALL_FD_BYTES_MAX, "answer");
}

static int
relay(const struct frame *f)
{
	const char *token = frame_text(f, CALL_TAG_REASON, 64);
	const char *operand = frame_text(f, CALL_TAG_OPERAND, REFUSE_OPERAND_MAX);
	const char *place = frame_text(f, CALL_TAG_PLACE, REFUSE_PLACE_MAX);
	const char *text = frame_text(f, CALL_TAG_TEXT, REFUSE_TEXT_MAX);
	enum reason reason = token ? refuse_reason(token) : REASON_NONE;

	if (reason == REASON_NONE)
		return REFUSE(REASON_MALFORMED, "answer", "refused without a known reason");
	return refuse_relay(reason, operand, place, text ? text : "");
}

int
call_request_answer(struct frame *f, json_t **ret_answer)
{
	const char *text;
	json_t *answer = NULL;
	int r;

	switch (f->type) {
	case CALL_TYPE_OK:
		r = call_request_json(f, &answer);
		if (r)
			return r;
		*ret_answer = answer ? answer : json_object();
		return *ret_answer ? 0 : FAULT(-ENOMEM);
	case CALL_TYPE_REFUSED:
		return relay(f);
	case CALL_TYPE_FAULT:
		text = frame_text(f, CALL_TAG_TEXT, REFUSE_TEXT_MAX);
		return refuse_relay(REASON_FAULT, NULL, NULL, text ? text : "the daemon failed");
	default:
		return REFUSE(REASON_MALFORMED, "answer", "frame type %u", f->type);
	}
}

/* --- waiting ------------------------------------------------------------------------------------- */
static int
wait_answer(int fd, uint32_t id, uint64_t deadline_us, call_progress_fn *progress, void *arg,
	bool *ret_answered, json_t **ret_answer)
{
	for (;;) {
		SCOPED(frame_done) struct frame f = { 0 };
		SCOPED_JSON *line = NULL;
		uint64_t now = clock_mono_us();
		unsigned left_ms = 0;
		int r;

		if (deadline_us > 0 && now >= deadline_us)
			return REASON_UNREACHABLE;
		if (deadline_us > 0)
			left_ms = (unsigned)((deadline_us - now) / CLOCK_US_PER_MS) + 1;
		r = frame_recv_wait(fd, &f, left_ms);
		if (r)
			return r < 0 ? FAULT(r) : r;
		if (f.type == CALL_TYPE_EVENT || f.id != id)
			continue;
		if (f.type != CALL_TYPE_PROGRESS) {
			*ret_answered = true;
			return call_request_answer(&f, ret_answer);
		}
		r = call_request_json(&f, &line);
		if (r)
			return r;
		if (progress && line)
			progress(line, arg);
	}
}

int
call_wait(const char *path, struct call_request *take_c, unsigned timeout_ms,
	call_progress_fn *progress, void *progress_arg, json_t **ret_answer)
{
	SCOPED(call_freep) struct call_request *c = take_c;
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(scope_close) int fd = -1;
	uint64_t deadline = timeout_ms ? clock_mono_us() + timeout_ms * CLOCK_US_PER_MS : 0;
	bool sent = false, answered = false;
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	r = call_request_frame(c, &out, 1);
	if (r < 0)
		return FAULT(r);
	r = frame_connect(&fd, path);
	if (r == 0)
		r = frame_send_wait(fd, &out, timeout_ms);
	sent = r == 0;
	if (r == 0)
		r = wait_answer(fd, 1, deadline, progress, progress_arg, &answered, ret_answer);
	/* A reason that the other side gave is relayed; that it is not there is ours to say. */
	if (r == REASON_UNREACHABLE && !sent && access(path, W_OK) < 0 && errno == EACCES)
		return REFUSE(REASON_WRONG_ROLE, path,
			"is not yours: root may ask anything, and members of group " CALL_LOOK_GROUP
			" may look (`usermod -aG " CALL_LOOK_GROUP " NAME`, then log in anew)");
	if (r == REASON_UNREACHABLE && !answered)
		return REFUSE(r, path, "%s",
			sent ? "the daemon did not answer"
			     : "no daemon listens; `systemctl start mainstay.target` starts it, or `mainstay run` "
			       "where there is no systemd");
	return r < 0 ? FAULT(r) : r;
}
