/* Frames on the loop: the server and the connections of frame.h. */
#include "appliance/bus/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/bus/frame_packet.h"
#include "appliance/loop/loop.h"

enum {
	TURN_MAX = 32, /* frames or connections taken in one turn of the loop */
	QUEUE_FRAMES_MAX = 256,
	QUEUE_BYTES_MAX = 4 * 1024 * 1024,
};

/* --- accepting ---------------------------------------------------------------------------------------- */
struct frame_server {
	int fd;
	struct loop_watch *watch;
	frame_accept_fn *fn;
	void *arg;
	bool busy; /* it calls back now: */
	bool dead; /* and was closed in there, the struct is freed when it returns */
};

static void
on_connection(uint32_t revents, void *arg)
{
	struct frame_server *s = arg;

	(void)revents;
	s->busy = true;
	for (int i = 0; i < TURN_MAX && !s->dead; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct frame_peer peer;

		if (fd < 0)
			break; /* none left; or that one is gone; or no descriptors: the next turn tries again */
		if (frame_peer(&peer, fd) != 0)
			(void)close(fd);
		else
			s->fn(fd, &peer, s->arg);
	}
	s->busy = false;
	if (s->dead)
		free(s);
}

int
frame_server_open(struct frame_server **ret, sd_event *loop, int take_listen_fd,
	frame_accept_fn *fn, void *arg)
{
	SCOPED(scope_close) int fd = take_listen_fd;
	struct frame_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	*s = (struct frame_server){ .fd = fd, .fn = fn, .arg = arg };
	r = loop_watch(&s->watch, loop, fd, EPOLLIN, on_connection, s);
	if (r < 0) {
		free(s);
		return r;
	}
	(void)STEAL_FD(fd);
	*ret = s;
	return 0;
}

struct frame_server *
frame_server_close(struct frame_server *s)
{
	if (!s)
		return NULL;
	loop_unwatch(s->watch);
	scope_close(&s->fd);
	s->dead = true;
	if (!s->busy)
		free(s);
	return NULL;
}

/* --- connections on the loop -------------------------------------------------------------------------- */
struct packet {
	struct packet *next;
	size_t len;
	int fds[FRAME_FDS_MAX]; /* ours */
	size_t n_fds;
	uint8_t bytes[];
};

struct frame_conn {
	int fd;
	struct loop_watch *watch;
	const struct frame_conn_ops *ops;
	void *arg;
	struct packet *first, **tail;
	size_t n_queued, queued_bytes;
	int why;
	bool ended; /* closed() ran or is about to: no more frames */
	bool busy;  /* it calls back now: */
	bool dead;  /* and was closed in there, the struct is freed when it returns */
};

static void
packet_free(struct packet *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		scope_close(&p->fds[i]);
	explicit_bzero(p->bytes, p->len);
	free(p);
}

static void
tell_closed(struct frame_conn *conn)
{
	loop_unwatch(conn->watch);
	conn->ops->closed(conn, conn->why, conn->arg);
}

/* The connection is over; closed() runs now where we are called from the loop, else at its next turn. */
static void
end_conn(struct frame_conn *conn, int why, bool from_loop)
{
	if (conn->ended)
		return;
	conn->ended = true;
	conn->why = why;
	if (from_loop) {
		tell_closed(conn);
	} else {
		/* A socket that has hung up is ready whatever it is watched for.  A timer would take memory, which may be
		 * what the sending wanted. */
		(void)shutdown(conn->fd, SHUT_RDWR);
	}
}

/* Send what is queued; 0 where it is empty or the socket is full. */
static int
flush(struct frame_conn *conn)
{
	while (conn->first) {
		struct packet *p = conn->first;
		int r = frame_packet_send(conn->fd, p->bytes, p->len, p->fds, p->n_fds);

		if (r == -EAGAIN)
			return 0;
		if (r < 0)
			return r;
		conn->first = p->next;
		if (!conn->first)
			conn->tail = &conn->first;
		conn->n_queued--;
		conn->queued_bytes -= p->len;
		packet_free(p);
	}
	return loop_watch_events(conn->watch, EPOLLIN);
}

static void
receive(struct frame_conn *conn)
{
	for (int i = 0; i < TURN_MAX && !conn->dead && !conn->ended; i++) {
		struct frame f = { 0 };
		int r = frame_packet_receive(conn->fd, &f);

		if (r == -EAGAIN)
			return;
		if (r) {
			end_conn(conn, r == -EPIPE ? 0 : r, true);
			return;
		}
		conn->ops->frame(conn, &f, conn->arg);
		frame_done(&f);
	}
}

static void
on_ready(uint32_t revents, void *arg)
{
	struct frame_conn *conn = arg;
	int r = 0;

	conn->busy = true;
	if (!conn->ended && revents & EPOLLOUT)
		r = flush(conn);
	if (conn->ended)
		tell_closed(conn);
	else if (r < 0)
		end_conn(conn, r == -EPIPE ? 0 : FAULT(r), true);
	else if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(conn);
	conn->busy = false;
	if (conn->dead)
		free(conn);
}

int
frame_conn_open(struct frame_conn **ret, sd_event *loop, int take_fd,
	const struct frame_conn_ops *ops, void *arg)
{
	SCOPED(scope_close) int fd = take_fd;
	struct frame_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn)
		return FAULT(-ENOMEM);
	*conn = (struct frame_conn){ .fd = fd, .ops = ops, .arg = arg, .tail = &conn->first };
	r = loop_watch(&conn->watch, loop, fd, EPOLLIN, on_ready, conn);
	if (r < 0) {
		free(conn);
		return r;
	}
	(void)STEAL_FD(fd);
	*ret = conn;
	return 0;
}

struct frame_conn *
frame_conn_close(struct frame_conn *conn)
{
	if (!conn)
		return NULL;
	loop_unwatch(conn->watch);
	while (conn->first) {
		struct packet *p = conn->first;

		conn->first = p->next;
		packet_free(p);
	}
	scope_close(&conn->fd);
	conn->ended = conn->dead = true;
	if (!conn->busy)
		free(conn);
	return NULL;
}

static int
enqueue(struct frame_conn *conn, const struct frame_out *out)
{
	struct packet *p;
	int r;

	if (conn->n_queued == QUEUE_FRAMES_MAX ||
		conn->queued_bytes + out->buf.len > QUEUE_BYTES_MAX)
		return -ENOBUFS;
	p = calloc(1, sizeof(*p) + out->buf.len);
	if (!p)
		return FAULT(-ENOMEM);
	p->len = out->buf.len;
	memcpy(p->bytes, out->buf.data, p->len);
	for (size_t i = 0; i < out->n_fds; i++) {
		int fd = fcntl(out->fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			r = FAULT(-errno);
			packet_free(p);
			return r;
		}
		p->fds[p->n_fds++] = fd;
	}
	*conn->tail = p;
	conn->tail = &p->next;
	conn->n_queued++;
	conn->queued_bytes += p->len;
	return loop_watch_events(conn->watch, EPOLLIN | EPOLLOUT);
}

int
frame_conn_send(struct frame_conn *conn, const struct frame_out *out)
{
	int r = buf_error(&out->buf);

	if (conn->ended)
		return -EPIPE;
	if (r == 0)
		r = conn->first ? -EAGAIN
				: frame_packet_send(conn->fd, out->buf.data, out->buf.len, out->fds, out->n_fds);
	if (r == -EAGAIN)
		r = enqueue(conn, out);
	if (r < 0)
		end_conn(conn, r == -EPIPE ? 0 : r, false);
	return r < 0 && r != -EPIPE ? FAULT(r) : r;
}
