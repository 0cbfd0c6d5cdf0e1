/* The courier's way of telemetry, with a monitor that says yes.
 *
 *	courier STATE HTTPS-PORT REPLY-KEY CA    ship STATE/lib/telemetry/spool to the hub there, until killed or told to end
 *
 * All that the real one does with a record is done: it is read and checked, signed, sent over TLS, the signed answer is
 * checked, the place written.  The monitor's end of its socket is in this process, and says nothing after hello. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/egress/carrier.h"
#include "appliance/loop/loop.h"
#include "telemetry/ship/ship.h"

struct monitor {
	sd_event *loop;
	struct frame_server *server;
	struct frame_conn *conn;
	json_t *hello; /* owned */
};

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct monitor *m = arg;
	bool hello = strcmp(frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX), "courier.hello") == 0;
	SCOPED(scope_free) char *text = hello ? json_dumps(m->hello, JSON_COMPACT) : strdup("{}");
	struct frame_out out;

	frame_begin(&out, CALL_TYPE_OK, f->id);
	frame_put_text(&out, CALL_TAG_JSON, text);
	(void)frame_conn_send(conn, &out);
	frame_out_done(&out);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct monitor *m = arg;

	(void)conn;
	(void)why;
	m->conn = frame_conn_close(m->conn);
}

static void
on_accept(int fd, const struct frame_peer *who, void *arg)
{
	static const struct frame_conn_ops ops = { .frame = on_frame, .closed = on_closed };
	struct monitor *m = arg;

	(void)who;
	m->conn = frame_conn_close(m->conn);
	(void)frame_conn_open(&m->conn, m->loop, fd, &ops, m);
}

static int
play_monitor(struct monitor *m, const struct paths *paths, const char *port, const char *key, const char *ca_file)
{
	SCOPED(buf_done) struct buf ca = BUF_MAX(8192);
	char path[sizeof(paths->run) + 32], url[64];
	int fd = -1, r = fs_read(AT_FDCWD, ca_file, ca.max, &ca);

	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%s", port);
	m->hello = json_pack("{s:b, s:b, s:s, s:s, s:{s:b, s:b, s:b}, s:{s:s, s:s}, s:s, s:s}", "enrolled", 1, "record",
		1, "site", "bench", "customer", "bench", "switches", "telemetry", 1, "updates", 0, "remote", 0, "hub",
		"url", url, "reply", key, "proxy", "", "ca", buf_text(&ca));
	(void)snprintf(path, sizeof(path), "%s/courier.sock", paths->run);
	(void)unlink(path);
	r = r ?: frame_listen(&fd, path, 0600);
	return r ?: frame_server_open(&m->server, m->loop, fd, on_accept, m);
}

int
main(int argc, char **argv)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(carrier_freep) struct carrier *carrier = NULL;
	struct monitor monitor = { 0 };
	struct paths paths;
	int r;

	if (argc != 5)
		return 2;
	r = fs_paths(&paths, argv[1]);
	r = r ?: loop_new(&loop, NULL, NULL);
	monitor.loop = loop;
	r = r ?: play_monitor(&monitor, &paths, argv[2], argv[3], argv[4]);
	r = r ?: carrier_new(&carrier, loop, &paths);
	r = r ?: ship_init(carrier);
	r = r ?: loop_run(loop);
	carrier = carrier_free(carrier);
	frame_conn_close(monitor.conn);
	frame_server_close(monitor.server);
	json_decref(monitor.hello);
	if (r < 0)
		fprintf(stderr, "courier: %s\n", strerror(-r));
	return r != 0;
}
