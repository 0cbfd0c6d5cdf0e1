#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/service/spawn_supervise_room.h"
#include "appliance/supervise/supervise_wire.h"

enum {
	CONNECT_US = 50 * 1000,
	CONNECT_CAP_US = 2 * 1000 * 1000,
	WAIT_MS = 10 * 1000, /* that a call waits for a connection */
	CALLS_MAX = 64,
};

/* --- calls ------------------------------------------------------------------------------------------- */
void
spawn_supervise_drop(struct spawn_call *c)
{
	for (; c->n_fds > 0; c->n_fds--)
		(void)close(c->fds[c->n_fds - 1]);
}

static void
finish(struct spawn_call *c, int r, pid_t pid)
{
	struct spawn_asker *a = c->owner;
	spawn_done_fn *done = c->done;
	void *arg = c->arg;

	for (struct spawn_call **p = &a->calls; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			a->n_calls--;
			break;
		}
	loop_cancel(c->late);
	spawn_supervise_drop(c);
	free(c);
	if (done)
		done(r, pid, arg);
}

/* Why a call has no answer: a worker that was asked for may run all the same. */
static enum reason
unanswered(const struct spawn_call *c)
{
	return c->sent && c->type == SUPERVISE_SPAWN ? REASON_INTERRUPTED : REASON_UNREACHABLE;
}

static void
on_late(void *arg)
{
	struct spawn_call *c = arg;

	finish(c, REFUSE(unanswered(c), "mainstay-supervise", "did not answer in %d s", WAIT_MS / 1000), 0);
}

static void
put_limits(struct frame_out *out, const struct spawn_call *c)
{
	frame_put_u64(out, SUPERVISE_TAG_MEMORY, c->memory);
	frame_put_u64(out, SUPERVISE_TAG_PROCESSES, c->processes);
	frame_put_u64(out, SUPERVISE_TAG_CPU, c->cpu_milli);
}

static void
send_call(struct spawn_asker *a, struct spawn_call *c)
{
	SCOPED(frame_out_done) struct frame_out out;
	int r;

	frame_begin(&out, c->type, c->id);
	if (c->type == SUPERVISE_SPAWN)
		frame_put_u64(&out, SUPERVISE_TAG_KIND, c->kind);
	/* Only where there is something to say: what is no operation has no limits. */
	if (c->type == SUPERVISE_SPAWN && (c->memory || c->processes || c->cpu_milli))
		put_limits(&out, c);
	if (*c->name)
		frame_put_text(&out, SUPERVISE_TAG_NAME, c->name);
	if (c->type == SUPERVISE_KILL) {
		frame_put_u64(&out, SUPERVISE_TAG_PID, c->pid);
		frame_put_u64(&out, SUPERVISE_TAG_SIGNAL, c->signal);
	}
	if (c->type == SUPERVISE_SHIM)
		put_limits(&out, c);
	if (c->type == SUPERVISE_DIAL)
		frame_put_u64(&out, SUPERVISE_TAG_PORT, c->port);
	if (*c->address)
		frame_put_text(&out, SUPERVISE_TAG_ADDRESS, c->address);
	for (size_t i = 0; i < c->n_fds; i++)
		frame_put_fd(&out, c->fds[i]);
	r = frame_conn_send(a->conn, &out);
	if (r == -EPIPE)
		return; /* nobody has it: it goes to the next supervisor */
	if (r)
		log_debug("call of the supervisor not sent: %d",
			r); /* the connection ends and tells the call */
	c->sent = true;
	spawn_supervise_drop(c);
}

int
spawn_supervise_call(struct spawn_asker *a, struct spawn_call *take)
{
	struct spawn_call *c = a->n_calls < CALLS_MAX ? calloc(1, sizeof(*c)) : NULL, **p;
	int r;

	if (!c) {
		spawn_supervise_drop(take);
		return FAULT(a->n_calls < CALLS_MAX ? -ENOMEM : -EAGAIN);
	}
	*c = *take;
	c->owner = a;
	c->id = ++a->next_id ?: ++a->next_id;
	r = loop_after(&c->late, a->loop, WAIT_MS, on_late, c);
	if (r) {
		spawn_supervise_drop(c);
		free(c);
		return FAULT(r);
	}
	for (p = &a->calls; *p; p = &(*p)->next)
		;
	*p = c;
	a->n_calls++;
	if (a->conn)
		send_call(a, c);
	else if (!a->retry) /* there was no memory for it when the connection ended */
		spawn_supervise_connect(a);
	return 0;
}

/* --- answers ----------------------------------------------------------------------------------------- */
static const struct frame_rule ok_rules[] = {
	{ SUPERVISE_TAG_PID, 0, 1, 8 },
	{ SUPERVISE_TAG_TEXT, 0, 1, FRAME_BYTES_MAX },
};

static const struct frame_rule refused_rules[] = {
	{ SUPERVISE_TAG_REASON, 1, 1, 32 },
	{ SUPERVISE_TAG_OPERAND, 0, 1, REFUSE_OPERAND_MAX },
	{ SUPERVISE_TAG_TEXT, 0, 1, REFUSE_TEXT_MAX },
};

static const struct frame_rule exited_rules[] = {
	{ SUPERVISE_TAG_KIND, 1, 1, 8 },
	{ SUPERVISE_TAG_NAME, 0, 1, ROSTER_ID_MAX },
	{ SUPERVISE_TAG_PID, 1, 1, 8 },
	{ SUPERVISE_TAG_STATUS, 0, 1, 8 },
};

static int
on_exited(struct spawn_asker *a, const struct frame *f)
{
	static const enum spawn_kind kinds[ROSTER_ROLE_MAX] = { [ROSTER_JUDGE] = SPAWN_JUDGE,
		[ROSTER_OPERATE] = SPAWN_OPERATE,
		[ROSTER_ACTIVATE] = SPAWN_ACTIVATE,
		[ROSTER_NOTIFY] = SPAWN_NOTIFY,
		[ROSTER_SHIM] = SPAWN_SHIM };
	const char *name = frame_text(f, SUPERVISE_TAG_NAME, ROSTER_ID_MAX);
	uint64_t role, pid, status;
	int r;

	r = frame_check(f, exited_rules, ARRAY_LEN(exited_rules), false, 0);
	if (r)
		return r;
	if (!frame_u64(f, SUPERVISE_TAG_KIND, &role) || role < ROSTER_JUDGE ||
		role >= ROSTER_ROLE_MAX || !frame_u64(f, SUPERVISE_TAG_PID, &pid))
		return REFUSE(REASON_MALFORMED, "supervise.sock",
			"an exit of no kind that is known");
	if (!frame_u64(f, SUPERVISE_TAG_STATUS, &status))
		status = UINT64_MAX; /* -1 as an int */
	if (a->base.exited)
		a->base.exited(kinds[role], name ?: "", (pid_t)pid, (int)status,
			a->base.exited_arg);
	return 0;
}

static int
on_answer(struct spawn_asker *a, const struct frame *f)
{
	bool ok = f->type == SUPERVISE_OK;
	enum reason reason;
	struct spawn_call *c;
	uint64_t pid = 0;
	int r;

	r = ok ? frame_check(f, ok_rules, ARRAY_LEN(ok_rules), false, 0)
	       : frame_check(f, refused_rules, ARRAY_LEN(refused_rules), false, 0);
	if (r)
		return r;
	for (c = a->calls; c && (c->id != f->id || !c->sent); c = c->next)
		;
	if (!c)
		return 0; /* too late: nobody waits any more */
	if (ok) {
		(void)frame_u64(f, SUPERVISE_TAG_PID, &pid);
		finish(c, 0, (pid_t)pid);
		return 0;
	}
	reason = refuse_reason(frame_text(f, SUPERVISE_TAG_REASON, 32) ?: "");
	finish(c,
		refuse_relay(reason ?: REASON_FAULT,
			frame_text(f, SUPERVISE_TAG_OPERAND, REFUSE_OPERAND_MAX), "",
			frame_text(f, SUPERVISE_TAG_TEXT, REFUSE_TEXT_MAX)
				?: "the supervisor could not"),
		0);
	return 0;
}

/* The connection went: what was sent may have been done, and will never be answered. */
static void
lost(struct spawn_asker *a)
{
	struct spawn_call *c;

	a->conn = a->conn ? frame_conn_close(a->conn) : NULL;
	spawn_supervise_connect(a);
	do {
		for (c = a->calls; c && !c->sent; c = c->next)
			;
		if (c)
			finish(c,
				refuse_relay(unanswered(c), "mainstay-supervise", "",
					"went away before it answered"),
				0);
	} while (c);
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct spawn_asker *a = arg;
	int r;

	(void)conn;
	if (f->type == SUPERVISE_EXITED)
		r = on_exited(a, f);
	else if (f->type == SUPERVISE_OK || f->type == SUPERVISE_REFUSED)
		r = on_answer(a, f);
	else
		r = REFUSE(REASON_MALFORMED, "supervise.sock", "frame of type %u", f->type);
	if (r)
		lost(a);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	(void)conn;
	(void)why;
	lost(arg);
}

static const struct frame_conn_ops conn_ops = { .frame = on_frame, .closed = on_closed };

/* --- the connection ---------------------------------------------------------------------------------- */
static void
on_connect(void *arg)
{
	struct spawn_asker *a = arg;
	int r, fd = -1;

	r = frame_connect(&fd, a->path);
	r = r ?: frame_conn_open(&a->conn, a->loop, fd, &conn_ops, a);
	if (r) {
		spawn_supervise_connect(a);
		return;
	}
	a->tries = 0;
	for (struct spawn_call *c = a->calls; c; c = c->next)
		if (!c->sent)
			send_call(a, c);
}

void
spawn_supervise_connect(struct spawn_asker *a)
{
	uint64_t us = a->tries ? clock_backoff_us(a->tries - 1, CONNECT_US, CONNECT_CAP_US) : 0;

	if (a->tries < 16)
		a->tries++;
	if (loop_after(&a->retry, a->loop, us / CLOCK_US_PER_MS, on_connect, a) < 0)
		log_error("no memory to reach the supervisor");
}

void
spawn_supervise_disconnect(struct spawn_asker *a)
{
	while (a->calls) {
		a->calls->done = NULL;
		finish(a->calls, 0, 0);
	}
	if (a->conn)
		frame_conn_close(a->conn);
	loop_cancel(a->retry);
}
