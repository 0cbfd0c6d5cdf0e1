#include "appliance/supervise/door.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/confine.h"
#include "appliance/loop/dial.h"
#include "appliance/loop/loop.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/supervise_wire.h"

struct door {
	const struct paths *paths;
	sd_event *loop;
	struct frame_conn *conn; /* the monitor's; the latest one counts */
};

/* The collector has no network, and the monitor none either.  It leads to loopback, and to the addresses that the customer
 * wrote into mainstay.yaml. */
int
door_dial(const struct frame *f)
{
	const char *address = frame_text(f, SUPERVISE_TAG_ADDRESS, SUPERVISE_ADDRESS_MAX);
	SCOPED(scope_close) int fd = -1;
	uint64_t port;
	int r;

	if (!frame_u64(f, SUPERVISE_TAG_PORT, &port) || port < 1 || port > UINT16_MAX)
		return REFUSE(REASON_MALFORMED, "dial", "names no port");
	r = address ? dial_address(&fd, address, (unsigned)port) : dial_loopback(&fd, (unsigned)port);
	if (r == -EINVAL)
		return REFUSE(REASON_MALFORMED, address, "is no address");
	if (r == 0)
		r = dial_hand_over(f->fds[0], fd);
	if (r < 0) /* nobody listens, or nobody waits for it */
		log_debug("port %" PRIu64 ": %s", port, strerror(-r));
	return 0;
}

static void
hang_up(struct door *d)
{
	d->conn = d->conn ? frame_conn_close(d->conn) : NULL;
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	(void)conn;
	(void)why;
	hang_up(arg);
}

static void
answer(struct frame_conn *conn, uint32_t id, int r)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, r ? SUPERVISE_REFUSED : SUPERVISE_OK, id);
	if (r) {
		frame_put_text(&out, SUPERVISE_TAG_REASON, refuse_token(r));
		frame_put_text(&out, SUPERVISE_TAG_OPERAND, refuse_last()->operand);
		frame_put_text(&out, SUPERVISE_TAG_TEXT, refuse_last()->text);
	}
	(void)frame_conn_send(conn, &out); /* a full queue ends through closed() */
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	static const struct frame_rule rules[] = { { SUPERVISE_TAG_PORT, 1, 1, 8 },
		{ SUPERVISE_TAG_ADDRESS, 0, 1, SUPERVISE_ADDRESS_MAX } };

	if (f->type != SUPERVISE_DIAL || f->n_fds != 1 || frame_check(f, rules, ARRAY_LEN(rules), false, 1))
		hang_up(arg);
	else
		answer(conn, f->id, door_dial(f));
}

static void
on_accept(int take_fd, const struct frame_peer *peer, void *arg)
{
	static const struct frame_conn_ops ops = { .frame = on_frame, .closed = on_closed };
	struct door *d = arg;
	int r;

	if (peer->uid != 0 || !roster_holds(d->paths, ROSTER_MONITOR, peer->pid)) {
		(void)REFUSE(REASON_WRONG_ROLE, "supervise.sock", "pid %ld is not the monitor", (long)peer->pid);
		(void)close(take_fd);
		return;
	}
	hang_up(d);
	r = frame_conn_open(&d->conn, d->loop, take_fd, &ops, d);
	if (r)
		log_fault(r, "taking the monitor's connection");
}

int
door_serve(const struct paths *paths)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(frame_server_closep) struct frame_server *server = NULL;
	struct door door = { .paths = paths };
	int r;

	if (sd_listen_fds(0) != 1)
		return REFUSE(REASON_USAGE, "dial", "is started by systemd, with the socket of mainstay-dial.socket");
	/* It comes blocking, and we take what waits until nothing does. */
	if (fcntl(SD_LISTEN_FDS_START, F_SETFL, O_NONBLOCK) < 0)
		return FAULT(-errno);
	r = confine_dumpable();
	r = r ?: confine_enter(CONFINE_DAEMON);
	r = r ?: loop_new(&loop, NULL, NULL);
	door.loop = loop;
	r = r ?: frame_server_open(&server, loop, SD_LISTEN_FDS_START, on_accept, &door);
	if (r)
		return r < 0 ? FAULT(r) : r;
	(void)sd_notify(0, "READY=1"); /* not program_ready(), to which descriptor 3 may be something else */
	r = loop_run(loop);
	hang_up(&door);
	return r;
}
