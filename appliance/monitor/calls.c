#include "appliance/monitor/calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/calls_room.h"
#include "appliance/monitor/inside.h"
#include "appliance/service/roster.h"

enum {
	PEERS_MAX = 64,
	LOOKS_MAX = 32, /* of these: root finds a place, whoever looks */
};

static const struct {
	enum call_role role;
	const char *name, *actor;
	mode_t mode;
} sockets[] = {
	{ CALL_ROLE_CONTROL, "control.sock", NULL, 0600 },
	{ CALL_ROLE_COURIER, "courier.sock", "courier", 0660 },
	{ CALL_ROLE_COLLECT, "collect.sock", "collectd", 0660 },
};

/* --- peers --------------------------------------------------------------------------------------- */
void
calls_drop_peer(struct peer *p)
{
	struct peer **at;

	if (p->conn || p->n_calls > 0)
		return;
	for (at = &p->calls->peers; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	p->calls->n_peers--;
	free(p);
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	(void)conn;
	calls_run_frame(arg, f);
}

/* The call of this peer whose verb still wants to hear that its caller left, or NULL. */
static struct monitor_call *
find_untold(const struct calls *c, const struct peer *p)
{
	for (struct monitor_call *call = c->held; call; call = call->next)
		if (call->peer == p && call->gone)
			return call;
	return NULL;
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct peer *p = arg;
	struct monitor_call *call;

	(void)conn;
	(void)why;
	p->conn = frame_conn_close(p->conn);
	p->n_calls++; /* keep the struct while its calls end */
	while ((call = find_untold(p->calls, p)) != NULL) {
		monitor_gone_fn *gone = call->gone;

		call->gone = NULL;
		gone(call, call->gone_arg); /* may change the list */
	}
	p->n_calls--;
	calls_drop_peer(p);
}

static const struct frame_conn_ops conn_ops = { .frame = on_frame, .closed = on_closed };

/* --- sockets ------------------------------------------------------------------------------------- */
/* The operators' group, where this host has one and uids tell us apart. */
static bool
has_lookers(const struct monitor *m, gid_t *ret)
{
	return m->id.separate && identity_group(CALL_LOOK_GROUP, ret);
}

/* Who is not root and could connect to the control socket is of that group; it is asked again all the same. */
static bool
may_look(const struct monitor *m, int fd)
{
	gid_t group;

	return has_lookers(m, &group) && frame_peer_in(fd, group);
}

static bool
may_speak(struct monitor *m, enum call_role role, const struct frame_peer *peer)
{
	const struct identity *id = &m->id;

	switch (role) {
	case CALL_ROLE_CONTROL:
		return peer->uid == 0 || peer->uid == id->uid[IDENTITY_MONITOR];
	case CALL_ROLE_LOOK:
		return false;
	case CALL_ROLE_COURIER:
		return peer->uid == id->uid[IDENTITY_COURIER] &&
			roster_holds(&m->paths, ROSTER_COURIER, peer->pid);
	case CALL_ROLE_COLLECT:
		return peer->uid == id->uid[IDENTITY_COLLECTD] &&
			roster_holds(&m->paths, ROSTER_COLLECTD, peer->pid);
	}
	return false;
}

int
calls_attach(struct monitor *m, enum call_role role, int take_fd, const char *actor)
{
	SCOPED(scope_close) int fd = take_fd;
	struct peer *p;
	int r;

	if (m->calls->n_peers >= PEERS_MAX || (role == CALL_ROLE_LOOK && m->calls->n_peers >= LOOKS_MAX))
		return REFUSE(REASON_BUSY, actor, "too many connections");
	p = calloc(1, sizeof(*p));
	if (!p)
		return FAULT(-ENOMEM);
	p->calls = m->calls;
	p->role = role;
	(void)snprintf(p->actor, sizeof(p->actor), "%s", actor);
	r = frame_conn_open(&p->conn, m->loop, STEAL_FD(fd), &conn_ops, p);
	if (r < 0) {
		free(p);
		return FAULT(r);
	}
	p->next = m->calls->peers;
	m->calls->peers = p;
	m->calls->n_peers++;
	return 0;
}

static void
take_peer(struct monitor *m, size_t which, int take_fd, const struct frame_peer *peer)
{
	enum call_role role = sockets[which].role;
	char actor[32];
	int r;

	if (role == CALL_ROLE_CONTROL && !may_speak(m, role, peer) && may_look(m, take_fd))
		role = CALL_ROLE_LOOK;
	if (role != CALL_ROLE_LOOK && !may_speak(m, role, peer)) {
		(void)REFUSE(REASON_WRONG_ROLE, sockets[which].name,
			"process %d of uid %u may not speak here", (int)peer->pid, peer->uid);
		close(take_fd);
		return;
	}
	(void)snprintf(actor, sizeof(actor), "uid:%u", peer->uid);
	r = calls_attach(m, role, take_fd, sockets[which].actor ?: actor);
	if (r < 0)
		log_fault(r, sockets[which].name);
}

static void
on_control(int take_fd, const struct frame_peer *peer, void *arg)
{
	take_peer(arg, 0, take_fd, peer);
}

static void
on_courier(int take_fd, const struct frame_peer *peer, void *arg)
{
	take_peer(arg, 1, take_fd, peer);
}

static void
on_collect(int take_fd, const struct frame_peer *peer, void *arg)
{
	take_peer(arg, 2, take_fd, peer);
}

/* A daemon's socket belongs to its group, so that no other user can even connect; the control socket to the operators'. */
static int
own_socket(const struct monitor *m, const char *path, enum call_role role)
{
	gid_t gid = role == CALL_ROLE_COURIER ? (gid_t)m->id.uid[IDENTITY_COURIER]
					      : (gid_t)m->id.uid[IDENTITY_COLLECTD];

	if (!m->id.separate || (role == CALL_ROLE_CONTROL && !has_lookers(m, &gid)))
		return 0;
	if (role == CALL_ROLE_CONTROL && chmod(path, 0660) < 0)
		return FAULT(-errno);
	return chown(path, (uid_t)-1, gid) < 0 ? FAULT(-errno) : 0;
}

int
calls_listen(struct monitor *m)
{
	static frame_accept_fn *const accepts[] = { on_control, on_courier, on_collect };
	char path[sizeof(m->paths.run) + 32];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(sockets); i++) {
		int fd = -1;

		(void)snprintf(path, sizeof(path), "%s/%s", m->paths.run, sockets[i].name);
		r = frame_listen(&fd, path, sockets[i].mode);
		r = r ?: own_socket(m, path, sockets[i].role);
		r = r
			?: frame_server_open(&m->calls->servers[i], m->loop, STEAL_FD(fd),
				   accepts[i], m);
		scope_close(&fd);
	}
	return FAULT(r);
}

int
calls_new(struct calls **ret, struct monitor *m)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return FAULT(-ENOMEM);
	c->m = m;
	*ret = c;
	return 0;
}

struct calls *
calls_free(struct calls *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(c->servers); i++)
		c->servers[i] = frame_server_close(c->servers[i]);
	while (c->held)
		calls_run_free(c->held);
	while (c->peers) {
		struct peer *p = c->peers;

		p->conn = frame_conn_close(p->conn);
		calls_drop_peer(p);
	}
	free(c);
	return NULL;
}

bool
calls_has(const struct calls *c, enum call_role role)
{
	for (const struct peer *p = c->peers; p; p = p->next)
		if (p->role == role && p->conn)
			return true;
	return false;
}

void
calls_push(struct calls *c, enum call_role role, const char *name, const json_t *json)
{
	for (struct peer *p = c->peers, *next; p; p = next) {
		next = p->next;
		if ((p->role == role || (p->role == CALL_ROLE_LOOK && role == CALL_ROLE_CONTROL)) && p->conn)
			calls_run_send(p, CALL_TYPE_EVENT, 0, name, json);
	}
}
