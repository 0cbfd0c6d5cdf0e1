#include "appliance/supervise/requests.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/supervise/door.h"
#include "appliance/supervise/roles.h"
#include "appliance/supervise/start.h"
#include "appliance/supervise/supervise_wire.h"

enum { SOCKET_PATH_MAX = 512 };

struct request {
	struct supervise *s;
	struct frame *f;
	pid_t pid; /* answered with OK; 0: none */
	bool ends; /* once it is answered */
	struct buf list;
};

/* The end of both starts: h runs where r is 0, stands in the roster, and is then watched and answered with. */
static int
took_up(struct request *q, struct held *h, int r)
{
	bool known;

	r = r ?: supervise_watch(h);
	if (r == 0) {
		q->pid = h->child.pid;
		return 0;
	}
	known = h->child.pid > 0;
	held_free(&q->s->held, h);
	if (known)
		supervise_save(q->s);
	return r;
}

/* --- the requests: each returns 0, a reason, or a fault --------------------------------------- */
static uint64_t
number_or_0(const struct frame *f, uint16_t tag)
{
	uint64_t v = 0;

	(void)frame_u64(f, tag, &v);
	return v;
}

/* A control group with its limits, for a shim or a worker to find. */
static void
make_group(struct supervise *s, const char *name, const struct frame *f)
{
	const struct group_limits limits = { .memory = number_or_0(f, SUPERVISE_TAG_MEMORY),
		.processes = number_or_0(f, SUPERVISE_TAG_PROCESSES),
		.cpu_milli = number_or_0(f, SUPERVISE_TAG_CPU) };
	struct group g;

	start_group(s, &g, name, &limits);
	group_done(&g);
}

/* Of an operation that has limits: one of its own, with nobody in it. */
static void
group_operation(struct request *q, struct held *h)
{
	char name[ROSTER_ID_MAX + 8];

	if (h->role != ROSTER_OPERATE || !frame_find(q->f, SUPERVISE_TAG_MEMORY, 0))
		return;
	group_remove(&q->s->groups, start_operation_group(name, h->id)); /* another supervisor's, that has ended */
	make_group(q->s, name, q->f);
	h->grouped = q->s->groups.n > 0;
}

static int
do_spawn(struct request *q)
{
	char id[ROSTER_ID_MAX + 1];
	struct supervise *s = q->s;
	struct held *h;
	uint64_t role;
	int r;

	if (!frame_u64(q->f, SUPERVISE_TAG_KIND, &role) || role < ROSTER_JUDGE ||
		role > ROSTER_NOTIFY)
		return REFUSE(REASON_MALFORMED, "spawn", "is for no worker");
	if (role == ROSTER_OPERATE && !s->walls.pid_namespaces)
		return REFUSE(REASON_NO_SANDBOX, "operate", "this host gives us no namespaces; `mainstay doctor` says why");
	if (held_count(s->held, role) >= roles_find(role)->at_once)
		return REFUSE(REASON_BUSY, roster_role_name(role), "%u run already",
			roles_find(role)->at_once);
	/* A former supervisor's that lives on keeps its number, and with that its control group. */
	do
		(void)snprintf(id, sizeof(id), "%" PRIu64, ++s->workers);
	while (held_find(s->held, role, id));
	h = held_new(&s->held, s, role, id);
	if (!h)
		return FAULT(-ENOMEM);
	h->ready = true;
	group_operation(q, h);
	r = start_process(s, h, STEAL_FD(q->f->fds[0]), false);
	return took_up(q, h, r);
}

static bool
is_service_name(const char *name)
{
	if (!name || !islower((unsigned char)*name))
		return false;
	for (; *name; name++)
		if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) &&
			*name != '-')
			return false;
	return true;
}

static void
take_secrets(struct request *q, struct held *h)
{
	for (size_t i = 1; i < q->f->n_fds; i++)
		h->secrets[h->n_secrets++] = STEAL_FD(q->f->fds[i]);
}

/* A shim whose service's secrets ended with those who held them.  It cannot be handed any, but another one can be started
 * with them, and finds the service running. */
static int
rearm(struct request *q, struct held *h)
{
	int r = start_keep_spec(q->s, h->id, q->f->fds[0]);

	if (r)
		return r;
	take_secrets(q, h);
	q->pid = h->child.pid;
	if (h->child.pid == 0)
		return 0; /* it is just being started again: with them */
	log_info("service %s: its shim makes room for one that has its secrets", h->id);
	return FAULT(child_signal(h->child.pidfd, SIGKILL));
}

static int
do_shim(struct request *q)
{
	const char *name = frame_text(q->f, SUPERVISE_TAG_NAME, ROSTER_ID_MAX);
	struct supervise *s = q->s;
	struct held *h;
	int r;

	if (!is_service_name(name))
		return REFUSE(REASON_MALFORMED, "shim", "is for no service's name");
	if (!s->walls.pid_namespaces)
		return REFUSE(REASON_NO_SANDBOX, name, "this host gives us no namespaces; `mainstay doctor` says why");
	h = held_find(s->held, ROSTER_SHIM, name);
	if (h && (h->n_secrets > 0 || q->f->n_fds == 1))
		return REFUSE(REASON_CONFLICT, name, "has a shim already");
	if (h)
		return rearm(q, h);
	if (held_count(s->held, ROSTER_SHIM) >= SUPERVISE_SHIMS_MAX)
		return REFUSE(REASON_BUSY, name, "%d services run already", SUPERVISE_SHIMS_MAX);
	r = start_keep_spec(s, name, q->f->fds[0]);
	if (r)
		return r;
	make_group(s, name, q->f);
	h = held_new(&s->held, s, ROSTER_SHIM, name);
	if (!h)
		return FAULT(-ENOMEM);
	h->ready = true;
	take_secrets(q, h);
	r = start_shim(s, h, false);
	return took_up(q, h, r);
}

static int
signal_shim(struct request *q, int sig)
{
	const char *name = frame_text(q->f, SUPERVISE_TAG_NAME, ROSTER_ID_MAX);
	struct held *h = name ? held_find(q->s->held, ROSTER_SHIM, name) : NULL;

	if (!h)
		return REFUSE(REASON_NOT_FOUND, name, "has no shim");
	q->pid = h->child.pid;
	if (h->child.pid > 0)
		return FAULT(child_signal(h->child.pidfd, sig));
	/* Its shim is down, waiting to be started again: the service may live and needs one that
	 * stops it. */
	return REFUSE(REASON_BUSY, name, "its shim is just being started again");
}

static int
do_stop(struct request *q)
{
	return signal_shim(q, SIGTERM);
}

static int
do_reload(struct request *q)
{
	return signal_shim(q, SIGHUP);
}

static int
do_look(struct request *q)
{
	return signal_shim(q, SIGURG);
}

static int
do_kill(struct request *q)
{
	uint64_t pid = 0, sig = 0;
	struct held *h;

	if (!frame_u64(q->f, SUPERVISE_TAG_PID, &pid) ||
		!frame_u64(q->f, SUPERVISE_TAG_SIGNAL, &sig) ||
		(sig != SIGTERM && sig != SIGKILL) || pid > INT32_MAX)
		return REFUSE(REASON_MALFORMED, "kill", "names no process and signal");
	h = held_of_pid(q->s->held, (pid_t)pid);
	if (!h || !held_is_worker(h))
		return REFUSE(REASON_NOT_FOUND, "kill", "no worker has pid %" PRIu64, pid);
	q->pid = h->child.pid;
	return FAULT(child_signal(h->child.pidfd, (int)sig));
}

static int
do_list(struct request *q)
{
	held_roster(q->s->held, &q->s->roster);
	return roster_text(&q->list, &q->s->roster, "-");
}

static int
do_dial(struct request *q)
{
	return door_dial(q->f);
}

/* The daemons, the asking one too, are told to end once this is answered. */
static int
do_switch(struct request *q)
{
	log_info("making room for another core");
	q->ends = true;
	return 0;
}

/* The design: what each request may hold, and who does it. */
static const struct rule {
	int (*fn)(struct request *q);
	struct frame_rule fields[4];
	size_t n_fields, min_fds, max_fds;
} rules[] = {
	[SUPERVISE_SPAWN] = { do_spawn,
		{ { SUPERVISE_TAG_KIND, 1, 1, 8 }, { SUPERVISE_TAG_MEMORY, 0, 1, 8 },
			{ SUPERVISE_TAG_PROCESSES, 0, 1, 8 }, { SUPERVISE_TAG_CPU, 0, 1, 8 } },
		4, 1, 1 },
	[SUPERVISE_SHIM] = { do_shim,
		{ { SUPERVISE_TAG_NAME, 1, 1, ROSTER_ID_MAX }, { SUPERVISE_TAG_MEMORY, 0, 1, 8 },
			{ SUPERVISE_TAG_PROCESSES, 0, 1, 8 }, { SUPERVISE_TAG_CPU, 0, 1, 8 } },
		4, 1, 1 + SUPERVISE_SECRETS_MAX },
	[SUPERVISE_STOP] = { do_stop, { { SUPERVISE_TAG_NAME, 1, 1, ROSTER_ID_MAX } }, 1, 0, 0 },
	[SUPERVISE_KILL] = { do_kill,
		{ { SUPERVISE_TAG_PID, 1, 1, 8 }, { SUPERVISE_TAG_SIGNAL, 1, 1, 8 } }, 2, 0, 0 },
	[SUPERVISE_LIST] = { do_list, { { 0 } }, 0, 0, 0 },
	[SUPERVISE_RELOAD] = { do_reload, { { SUPERVISE_TAG_NAME, 1, 1, ROSTER_ID_MAX } }, 1, 0,
		0 },
	[SUPERVISE_LOOK] = { do_look, { { SUPERVISE_TAG_NAME, 1, 1, ROSTER_ID_MAX } }, 1, 0, 0 },
	[SUPERVISE_SWITCH] = { do_switch, { { 0 } }, 0, 0, 0 },
	[SUPERVISE_DIAL] = { do_dial,
		{ { SUPERVISE_TAG_PORT, 1, 1, 8 }, { SUPERVISE_TAG_ADDRESS, 0, 1, SUPERVISE_ADDRESS_MAX } }, 2, 1, 1 },
};

/* --- the connection --------------------------------------------------------------------------- */
static void
drop_monitor(struct supervise *s)
{
	s->monitor = s->monitor ? frame_conn_close(s->monitor) : NULL;
}

static void
answer(struct supervise *s, const struct request *q, int r)
{
	SCOPED(frame_out_done) struct frame_out out;
	const struct refusal *why = refuse_last();

	frame_begin(&out, r ? SUPERVISE_REFUSED : SUPERVISE_OK, q->f->id);
	if (r < 0)
		log_fault(r, "answering the monitor");
	if (r == 0 && q->pid > 0)
		frame_put_u64(&out, SUPERVISE_TAG_PID, (uint64_t)q->pid);
	if (r == 0 && q->list.len > 0)
		frame_put_text(&out, SUPERVISE_TAG_TEXT, buf_text(&q->list));
	if (r)
		frame_put_text(&out, SUPERVISE_TAG_REASON,
			refuse_token(r < 0 ? REASON_FAULT : (enum reason)r));
	if (r > 0 && why->reason == (enum reason)r) {
		frame_put_text(&out, SUPERVISE_TAG_OPERAND, why->operand);
		frame_put_text(&out, SUPERVISE_TAG_TEXT, why->text);
	}
	if (s->monitor)
		(void)frame_conn_send(s->monitor, &out); /* a full queue ends through closed() */
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct supervise *s = arg;
	struct request q = { .s = s, .f = f, .list = BUF_MAX(ROSTER_BYTES_MAX - 1024) };
	const struct rule *rule = f->type < ARRAY_LEN(rules) ? &rules[f->type] : NULL;

	(void)conn;
	if (!rule || !rule->fn || f->n_fds < rule->min_fds ||
		frame_check(f, rule->fields, rule->n_fields, false, rule->max_fds)) {
		drop_monitor(s);
		return;
	}
	answer(s, &q, s->ending ? REFUSE(REASON_BUSY, "supervise", "is ending") : rule->fn(&q));
	if (q.ends)
		supervise_end(s, false);
	buf_done(&q.list);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	(void)conn;
	(void)why;
	drop_monitor(arg);
}

static const struct frame_conn_ops ops = { .frame = on_frame, .closed = on_closed };

static void
on_accept(int take_fd, const struct frame_peer *peer, void *arg)
{
	struct supervise *s = arg;
	const struct held *h = held_find(s->held, ROSTER_MONITOR, NULL);
	int r;

	if (!h || h->child.pid != peer->pid || h->child.starttime != peer->starttime ||
		peer->uid != s->id.uid[IDENTITY_MONITOR]) {
		(void)REFUSE(REASON_WRONG_ROLE, "supervise.sock", "pid %ld is not the monitor",
			(long)peer->pid);
		(void)close(take_fd);
		return;
	}
	drop_monitor(s);
	r = frame_conn_open(&s->monitor, s->loop, take_fd, &ops, s);
	if (r)
		log_fault(r, "taking the monitor's connection");
}

int
requests_open(struct supervise *s)
{
	char path[SOCKET_PATH_MAX];
	int r, fd = -1;

	(void)snprintf(path, sizeof(path), "%s/supervise.sock", s->paths->run);
	r = frame_listen(&fd, path, 0600);
	return FAULT(r ?: frame_server_open(&s->server, s->loop, fd, on_accept, s));
}

void
requests_close(struct supervise *s)
{
	drop_monitor(s);
	s->server = s->server ? frame_server_close(s->server) : NULL;
}

void
requests_exited(struct supervise *s, enum roster_role role, const char *id, pid_t pid, int status)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, SUPERVISE_EXITED, 0);
	frame_put_u64(&out, SUPERVISE_TAG_KIND, role);
	if (role == ROSTER_SHIM)
		frame_put_text(&out, SUPERVISE_TAG_NAME, id);
	frame_put_u64(&out, SUPERVISE_TAG_PID, (uint64_t)pid);
	if (status >= 0)
		frame_put_u64(&out, SUPERVISE_TAG_STATUS, (uint64_t)status);
	if (s->monitor)
		(void)frame_conn_send(s->monitor, &out);
}
