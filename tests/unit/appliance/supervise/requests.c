/* What a monitor, or somebody who would like to be it, may ask of the supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/bus/frame.h"
#include "appliance/service/spawn.h"
#include "appliance/loop/dial.h"
#include "appliance/supervise/requests.h"
#include "appliance/supervise/start.h"
#include "appliance/supervise/supervise_wire.h"
#include "tests/fakes/refused.h"
#include "tests/fakes/scratch.h"

struct bench {
	struct scratch scratch;
	struct paths paths;
	struct supervise s;
	int peer; /* the monitor's end */
	uint16_t evil_type;
};

static void
connect_as_monitor(struct bench *b)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/supervise.sock", b->paths.run);
	assert_int_equal(frame_connect(&b->peer, path), 0);
	for (int i = 0; i < 20 && !b->s.monitor; i++)
		(void)sd_event_run(b->s.loop, 10000);
}

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct held *h;

	scratch_make(&b->scratch);
	if (fs_paths(&b->paths, b->scratch.path) || loop_new(&b->s.loop, NULL, NULL) ||
		fs_open_dir(&b->s.run_fd, AT_FDCWD, b->paths.run, 0755))
		return -1;
	b->s.paths = &b->paths;
	b->s.ready_out = -1;
	b->s.walls.pid_namespaces = true;
	identity_plan(&b->s.id, b->paths.lib, false);
	h = held_new(&b->s.held, &b->s, ROSTER_MONITOR, "");
	h->child.pid = getpid();
	if (child_starttime(&h->child.starttime, getpid()) || requests_open(&b->s))
		return -1;
	connect_as_monitor(b);
	*state = b;
	return b->s.monitor ? 0 : -1;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	if (b->peer >= 0)
		close(b->peer);
	requests_close(&b->s);
	loop_cancel(b->s.end_late);
	while (b->s.held)
		held_free(&b->s.held, b->s.held);
	sd_event_unref(b->s.loop);
	close(b->s.run_fd);
	scratch_remove(&b->scratch);
	free(b);
	return 0;
}

/* Send one request; *reply must be done with.  Returns the reason of the answer, 0 for OK, -1 where
 * the supervisor hung up. */
static int
ask(struct bench *b, uint16_t type, const char *name, uint64_t kind, uint64_t pid, uint64_t sig,
	bool with_fd, struct frame *reply)
{
	SCOPED(scope_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	SCOPED(frame_out_done) struct frame_out out;
	int r;

	frame_begin(&out, type, 77);
	frame_put_text(&out, SUPERVISE_TAG_NAME, name);
	if (kind)
		frame_put_u64(&out, SUPERVISE_TAG_KIND, kind);
	if (pid)
		frame_put_u64(&out, SUPERVISE_TAG_PID, pid);
	if (sig)
		frame_put_u64(&out, SUPERVISE_TAG_SIGNAL, sig);
	if (with_fd)
		frame_put_fd(&out, null);
	assert_int_equal(frame_send_wait(b->peer, &out, 1000), 0);
	for (int i = 0; i < 3; i++)
		(void)sd_event_run(b->s.loop, 20000);
	*reply = (struct frame){ 0 };
	r = frame_recv_wait(b->peer, reply, 200);
	if (r)
		return -1;
	assert_int_equal(reply->id, 77);
	return reply->type == SUPERVISE_OK
		? 0
		: refuse_reason(frame_text(reply, SUPERVISE_TAG_REASON, 32));
}

static int
ask_only(struct bench *b, uint16_t type, const char *name, uint64_t kind, uint64_t pid,
	uint64_t sig, bool with_fd)
{
	SCOPED(frame_done) struct frame f = { 0 };

	return ask(b, type, name, kind, pid, sig, with_fd, &f);
}

static void
test_refusals(void **state)
{
	struct bench *b = *state;
	struct held *h;

	assert_int_equal(ask_only(b, SUPERVISE_SPAWN, NULL, ROSTER_COURIER, 0, 0, true),
		REASON_MALFORMED);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	assert_refused(ask_only(b, SUPERVISE_SHIM, "../redis", 0, 0, 0, true), REASON_MALFORMED,
		"no service's name");
	assert_int_equal(ask_only(b, SUPERVISE_STOP, "redis", 0, 0, 0, false), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	assert_int_equal(ask_only(b, SUPERVISE_KILL, NULL, 0, (uint64_t)getpid(), SIGTERM, false),
		REASON_NOT_FOUND);
	assert_int_equal(ask_only(b, SUPERVISE_KILL, NULL, 0, 1, SIGTERM, false), REASON_NOT_FOUND);
	assert_int_equal(ask_only(b, SUPERVISE_KILL, NULL, 0, (uint64_t)getpid(), SIGUSR1, false),
		REASON_MALFORMED);
	/* /dev/null is no regular file that a spec could be read from */
	assert_refused(ask_only(b, SUPERVISE_SHIM, "redis", 0, 0, 0, true), REASON_MALFORMED,
		"its spec is no file");
	h = held_new(&b->s.held, &b->s, ROSTER_SHIM, "redis");
	assert_int_equal(ask_only(b, SUPERVISE_SHIM, "redis", 0, 0, 0, true), REASON_CONFLICT);
	assert_int_equal(refuse_last()->reason, REASON_CONFLICT);
	assert_int_equal(ask_only(b, SUPERVISE_STOP, "redis", 0, 0, 0, false),
		REASON_BUSY); /* its shim is down */
	held_free(&b->s.held, h);
	for (int i = 0; i < SUPERVISE_SHIMS_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "s%d", i);
		(void)held_new(&b->s.held, &b->s, ROSTER_SHIM, name);
	}
	assert_int_equal(ask_only(b, SUPERVISE_SHIM, "more", 0, 0, 0, true), REASON_BUSY);
	for (int i = 0; i < 4; i++)
		(void)held_new(&b->s.held, &b->s, ROSTER_JUDGE, "1");
	assert_int_equal(ask_only(b, SUPERVISE_SPAWN, NULL, ROSTER_JUDGE, 0, 0, true), REASON_BUSY);
	b->s.walls.pid_namespaces = false;
	assert_int_equal(ask_only(b, SUPERVISE_SPAWN, NULL, ROSTER_OPERATE, 0, 0, true),
		REASON_NO_SANDBOX);
	assert_int_equal(ask_only(b, SUPERVISE_SHIM, "web", 0, 0, 0, true), REASON_NO_SANDBOX);
	assert_int_equal(refuse_last()->reason, REASON_NO_SANDBOX);
	b->s.ending = true;
	assert_int_equal(ask_only(b, SUPERVISE_LIST, NULL, 0, 0, 0, false), REASON_BUSY);
}

static void
test_switch_ends_daemons_and_leaves_services(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ask_only(b, SUPERVISE_SWITCH, NULL, 0, 0, 0, false), 0);
	assert_true(b->s.ending);
	assert_false(b->s.services_too);
	assert_int_equal(ask_only(b, SUPERVISE_SWITCH, NULL, 0, 0, 0, false), REASON_BUSY);
}

/* One of a supervisor that was killed: whoever had its number would have its control group, too. */
static void
test_a_worker_that_was_taken_over_keeps_its_number(void **state)
{
	struct bench *b = *state;

	assert_non_null(held_new(&b->s.held, &b->s, ROSTER_JUDGE, "1"));
	assert_non_null(held_new(&b->s.held, &b->s, ROSTER_JUDGE, "2"));
	(void)ask_only(b, SUPERVISE_SPAWN, NULL, ROSTER_JUDGE, 0, 0, true); /* there is no program here to run */
	assert_int_equal(b->s.workers, 3);
}

/* A process that only waits, with two memory files behind its descriptor for a job, as a shim has its secrets. */
static struct child
sleeper(void)
{
	SCOPED(scope_close) int exe = open("/bin/sleep", O_RDONLY | O_CLOEXEC);
	SCOPED(scope_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	SCOPED(scope_close) int one = -1;
	SCOPED(scope_close) int two = -1;
	const char *const argv[] = { "sleep", "100", NULL };
	struct child_spec spec = CHILD_SPEC;
	struct child child;

	assert_int_equal(fs_memfd(&one, "secret", "one", 3), 0);
	assert_int_equal(fs_memfd(&two, "secret", "two", 3), 0);
	spec.exe_fd = exe;
	spec.argv = argv;
	spec.fds[spec.n_fds++] = (struct child_fd){ one, SUPERVISE_FD_JOB + 1 };
	spec.fds[spec.n_fds++] = (struct child_fd){ two, SUPERVISE_FD_JOB + 2 };
	spec.fds[spec.n_fds++] = (struct child_fd){ null, SUPERVISE_FD_JOB + 3 };
	assert_int_equal(child_spawn(&child, &spec, NULL), 0);
	return child;
}

/* What the shim still holds comes back to a supervisor that was killed. */
static void
test_secrets_taken_again(void **state)
{
	struct bench *b = *state;
	struct held *h = held_new(&b->s.held, &b->s, ROSTER_SHIM, "redis");
	char got[8] = "";
	int status;

	h->child = sleeper();
	held_take_secrets(h);
	assert_int_equal(h->n_secrets, 2);
	assert_int_equal(pread(h->secrets[1], got, sizeof(got), 0), 3);
	assert_string_equal(got, "two");
	(void)child_signal(h->child.pidfd, SIGKILL);
	(void)child_wait(&h->child, -1, &status);
}

static int ask_with_fds(struct bench *b, uint16_t type, int n_fds);

/* Both that held them were killed at once: the monitor brings them, and the shim makes room for another. */
static void
test_lost_secrets_are_brought(void **state)
{
	struct bench *b = *state;
	SCOPED(scope_close) int spec = -1;
	SCOPED(scope_close) int secret = -1;
	SCOPED(frame_out_done) struct frame_out out;
	SCOPED(frame_done) struct frame reply = { 0 };
	struct held *h = held_new(&b->s.held, &b->s, ROSTER_SHIM, "redis");
	struct child child;
	uint64_t before;
	int status;

	assert_int_equal(fs_memfd(&spec, "spec", "{}", 2), 0);
	assert_int_equal(fs_memfd(&secret, "secret", "one", 3), 0);
	h->child = child = sleeper();
	frame_begin(&out, SUPERVISE_SHIM, 77);
	frame_put_text(&out, SUPERVISE_TAG_NAME, "redis");
	frame_put_fd(&out, spec);
	frame_put_fd(&out, secret);
	assert_int_equal(frame_send_wait(b->peer, &out, 1000), 0);
	for (int i = 0; i < 3; i++)
		(void)sd_event_run(b->s.loop, 20000);
	assert_int_equal(frame_recv_wait(b->peer, &reply, 200), 0);
	assert_int_equal(reply.type, SUPERVISE_OK);
	assert_int_equal(h->n_secrets, 1);
	assert_int_equal(faccessat(b->s.run_fd, "supervise/spec/redis", F_OK, 0), 0);
	assert_int_equal(child_wait(&child, 5000, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* Who has them is not asked to go again. */
	before = refuse_count(REASON_CONFLICT);
	h->child = child = sleeper();
	assert_int_equal(ask_with_fds(b, SUPERVISE_SHIM, 2), REASON_CONFLICT);
	assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
	assert_int_equal(h->n_secrets, 1);
	(void)child_signal(child.pidfd, SIGTERM);
	assert_int_equal(child_wait(&child, 5000, &status), 0);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	h->child = (struct child){ .pidfd = -1 };
}

/* A spec that cannot be read leaves the shim as it is. */
static void
test_lost_secrets_with_no_spec(void **state)
{
	struct bench *b = *state;
	struct held *h = held_new(&b->s.held, &b->s, ROSTER_SHIM, "redis");

	assert_int_equal(ask_with_fds(b, SUPERVISE_SHIM, 2), REASON_MALFORMED);
	assert_int_equal(h->n_secrets, 0);
}

/* A request with so many descriptors; -1 where the supervisor hung up. */
static int
ask_with_fds(struct bench *b, uint16_t type, int n_fds)
{
	SCOPED(scope_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	SCOPED(frame_out_done) struct frame_out out;
	SCOPED(frame_done) struct frame reply = { 0 };

	frame_begin(&out, type, 77);
	frame_put_text(&out, SUPERVISE_TAG_NAME, "redis");
	frame_put_u64(&out, SUPERVISE_TAG_MEMORY, 1);
	for (int i = 0; i < n_fds; i++)
		frame_put_fd(&out, null);
	assert_int_equal(frame_send_wait(b->peer, &out, 1000), 0);
	for (int i = 0; i < 3; i++)
		(void)sd_event_run(b->s.loop, 20000);
	return frame_recv_wait(b->peer, &reply, 200)
		? -1
		: (int)refuse_reason(frame_text(&reply, SUPERVISE_TAG_REASON, 32));
}

/* A spec comes first, then at most as many secrets as there can be. */
static void
test_shim_descriptors(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ask_with_fds(b, SUPERVISE_SHIM, 1 + SUPERVISE_SECRETS_MAX),
		REASON_MALFORMED); /* /dev/null is no spec; it was taken up to there */
	assert_int_equal(ask_with_fds(b, SUPERVISE_SHIM, 2 + SUPERVISE_SECRETS_MAX), -1);
	close(b->peer);
	connect_as_monitor(b);
	assert_int_equal(ask_with_fds(b, SUPERVISE_SHIM, 0), -1);
	assert_null(held_find(b->s.held, ROSTER_SHIM, NULL));
}

/* A request that is a signal for a shim. */
static void
signals(struct bench *b, enum supervise_type type, int sig)
{
	struct child child;
	struct held *h;
	int status;

	assert_int_equal(ask_only(b, type, "redis", 0, 0, 0, false), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	h = held_new(&b->s.held, &b->s, ROSTER_SHIM, "redis");
	assert_int_equal(ask_only(b, type, "redis", 0, 0, 0, false), REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	h->child = child = sleeper();
	assert_int_equal(ask_only(b, type, "redis", 0, 0, 0, false), 0);
	if (sig == SIGURG) /* who knows nothing of it does not notice */
		assert_int_equal(child_signal(child.pidfd, SIGTERM), 0);
	assert_int_equal(child_wait(&child, 5000, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == (sig == SIGURG ? SIGTERM : sig));
}

static void
test_reload(void **state)
{
	signals(*state, SUPERVISE_RELOAD, SIGHUP);
}

static void
test_look(void **state)
{
	signals(*state, SUPERVISE_LOOK, SIGURG);
}

static void
test_no_spec(void **state)
{
	struct bench *b = *state;
	struct held *h = held_new(&b->s.held, &b->s, ROSTER_SHIM, "redis");
	uint64_t before = refuse_count(REASON_NOT_FOUND);

	assert_int_equal(start_shim(&b->s, h, true), REASON_NOT_FOUND);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->operand, "redis");
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_int_equal(h->child.pid, 0);
}

static void
test_list(void **state)
{
	struct bench *b = *state;
	SCOPED(frame_done) struct frame f = { 0 };

	assert_int_equal(ask(b, SUPERVISE_LIST, NULL, 0, 0, 0, false, &f), 0);
	assert_non_null(strstr(frame_text(&f, SUPERVISE_TAG_TEXT, FRAME_BYTES_MAX),
		"\nmonitor - "));
}

static void
test_exited(void **state)
{
	struct bench *b = *state;
	SCOPED(frame_done) struct frame f = { 0 };
	uint64_t v;

	requests_exited(&b->s, ROSTER_SHIM, "redis", 12, 256);
	(void)sd_event_run(b->s.loop, 10000);
	assert_int_equal(frame_recv_wait(b->peer, &f, 1000), 0);
	assert_int_equal(f.type, SUPERVISE_EXITED);
	assert_string_equal(frame_text(&f, SUPERVISE_TAG_NAME, 64), "redis");
	assert_true(frame_u64(&f, SUPERVISE_TAG_STATUS, &v) && v == 256);
}

static const struct {
	const char *says;
	uint16_t type;
	const char *name;
	uint64_t kind;
	bool fd;
} hostile[] = {
	{ "a type that is none", 99, NULL, 0, false },
	{ "an answer as a request", SUPERVISE_OK, NULL, 0, false },
	{ "a spawn without a descriptor", SUPERVISE_SPAWN, NULL, ROSTER_JUDGE, false },
	{ "a spawn with a name more", SUPERVISE_SPAWN, "x", ROSTER_JUDGE, true },
	{ "a stop with a descriptor", SUPERVISE_STOP, "x", 0, true },
	{ "a shim without a name", SUPERVISE_SHIM, NULL, 0, true },
	{ "a name that is too long", SUPERVISE_STOP,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0,
		false },
};

static void
test_hostile(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		if (ask_only(b, hostile[i].type, hostile[i].name, hostile[i].kind, 0, 0,
			    hostile[i].fd) != -1 ||
			b->s.monitor)
			fail_msg("%s", hostile[i].says);
		close(b->peer);
		connect_as_monitor(b);
		assert_non_null(b->s.monitor);
	}
}

static void
test_not_the_monitor(void **state)
{
	struct bench *b = *state;
	struct frame_conn *before = b->s.monitor;
	uint64_t count = refuse_count(REASON_WRONG_ROLE);
	int mine = b->peer;

	held_find(b->s.held, ROSTER_MONITOR, NULL)
		->child.starttime++; /* the pid, but another process */
	connect_as_monitor(b);
	for (int i = 0; i < 3; i++)
		(void)sd_event_run(b->s.loop, 10000);
	assert_int_equal(refuse_count(REASON_WRONG_ROLE), count + 1);
	assert_int_equal(refuse_last()->reason, REASON_WRONG_ROLE);
	assert_ptr_equal(b->s.monitor, before); /* who was connected stays so */
	close(mine);
}

/* --- the other end: what the monitor's spawner makes of it ------------------------------------ */
enum { NOT_DONE = -12345 };

static void
on_done(int r, pid_t pid, void *arg)
{
	(void)pid;
	*(int *)arg = r;
}

static void
turn(struct bench *b, const int *result)
{
	for (int i = 0; i < 100 && *result == NOT_DONE; i++)
		(void)sd_event_run(b->s.loop, 20000);
}

static void
on_exited(enum spawn_kind kind, const char *name, pid_t pid, int status, void *arg)
{
	if (kind == SPAWN_SHIM && !strcmp(name, "redis") && pid == 12 && status == -1)
		*(int *)arg = 1;
}

static void
test_spawner(void **state)
{
	struct bench *b = *state;
	struct spawner *spawner;
	int result = NOT_DONE, told = NOT_DONE;

	assert_int_equal(spawn_supervise_new(&spawner, b->s.loop, &b->paths), 0);
	spawn_on_exited(spawner, on_exited, &told);
	assert_int_equal(spawn_stop_shim(spawner, "redis", on_done, &result), 0);
	turn(b, &result); /* it connects first: the call waits */
	assert_int_equal(result, REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->operand, "redis");
	requests_exited(&b->s, ROSTER_SHIM, "redis", 12, -1);
	turn(b, &told);
	assert_int_equal(told, 1);
	spawn_free(spawner);
}

static int
listen_on_loopback(unsigned *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(listen(fd, 4), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* Dial through supervisor and spawner; what comes of it, -1: nobody listens. */
static int
dialed(struct bench *b, struct spawner *spawner, const char *address, unsigned port, int want)
{
	int pair[2], fd = -1, result = NOT_DONE;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(spawn_dial(spawner, address, port, pair[1], on_done, &result), 0);
	turn(b, &result);
	assert_int_equal(result, want);
	(void)dial_take(&fd, pair[0]);
	(void)close(pair[0]);
	return fd;
}

static void
test_dial(void **state)
{
	struct bench *b = *state;
	struct spawner *spawner;
	unsigned port;
	int server = listen_on_loopback(&port), fd, peer;
	char in[2];

	assert_int_equal(spawn_supervise_new(&spawner, b->s.loop, &b->paths), 0);
	fd = dialed(b, spawner, "127.0.0.1", port, 0);
	assert_true(fd >= 0);
	(void)close(accept4(server, NULL, NULL, SOCK_CLOEXEC));
	(void)close(fd);
	assert_int_equal(dialed(b, spawner, "127.0.0.2", port, 0), -1); /* there, and nowhere else */
	fd = dialed(b, spawner, "", port, 0);
	assert_true(fd >= 0);
	peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(recv(peer, in, sizeof(in), 0), 1);
	(void)close(peer);
	(void)close(fd);
	(void)close(server);
	assert_int_equal(dialed(b, spawner, "", port, 0), -1);
	assert_int_equal(dialed(b, spawner, "::1", port, 0), -1);
	assert_int_equal(dialed(b, spawner, "", 0, REASON_MALFORMED), -1);
	assert_string_equal(refuse_last()->text, "names no port");
	assert_int_equal(dialed(b, spawner, "", 65536, REASON_MALFORMED), -1);
	assert_int_equal(dialed(b, spawner, "localhost", port, REASON_MALFORMED), -1);
	assert_string_equal(refuse_last()->text, "is no address");
	spawn_free(spawner);
}

static struct frame_conn *evil;

static void
on_evil_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	SCOPED(frame_out_done) struct frame_out out;

	frame_begin(&out, *(uint16_t *)arg, f->id);
	frame_put_u64(&out, SUPERVISE_TAG_KIND, 1000);
	frame_put_u64(&out, SUPERVISE_TAG_PID, 1);
	(void)frame_conn_send(conn, &out);
}

static void
on_evil_closed(struct frame_conn *conn, int why, void *arg)
{
	(void)why;
	(void)arg;
	evil = frame_conn_close(conn);
}

static void
on_evil_accept(int take_fd, const struct frame_peer *peer, void *arg)
{
	static const struct frame_conn_ops ops = { .frame = on_evil_frame,
		.closed = on_evil_closed };
	struct bench *b = arg;

	(void)peer;
	assert_int_equal(frame_conn_open(&evil, b->s.loop, take_fd, &ops, &b->evil_type), 0);
}

/* A supervisor that answers with what is no answer: the call ends unreachable, nothing else. */
static void
test_hostile_supervisor(void **state)
{
	static const uint16_t types[] = { SUPERVISE_EXITED, SUPERVISE_OK, SUPERVISE_REFUSED, 99 };
	struct bench *b = *state;
	struct frame_server *server;
	char path[300];

	requests_close(&b->s);
	(void)snprintf(path, sizeof(path), "%s/supervise.sock", b->paths.run);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct spawner *spawner;
		int result = NOT_DONE, told = NOT_DONE, fd;

		b->evil_type = types[i];
		assert_int_equal(frame_listen(&fd, path, 0600), 0);
		assert_int_equal(frame_server_open(&server, b->s.loop, fd, on_evil_accept, b), 0);
		assert_int_equal(spawn_supervise_new(&spawner, b->s.loop, &b->paths), 0);
		spawn_on_exited(spawner, on_exited, &told);
		assert_int_equal(spawn_stop_shim(spawner, "redis", on_done, &result), 0);
		turn(b, &result);
		assert_int_equal(result, REASON_UNREACHABLE);
		assert_int_equal(told, NOT_DONE);
		spawn_free(spawner);
		frame_server_close(server);
		if (evil)
			evil = frame_conn_close(evil);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switch_ends_daemons_and_leaves_services, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_a_worker_that_was_taken_over_keeps_its_number, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_shim_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secrets_taken_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_secrets_are_brought, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_secrets_with_no_spec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_spec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_the_monitor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spawner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_supervisor, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
