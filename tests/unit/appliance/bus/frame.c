#include "appliance/bus/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/child.h"
#include "appliance/loop/loop.h"

static char folder[64];

static int
make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/mainstay-frame-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
	(void)state;
	return fs_remove_tree(AT_FDCWD, folder);
}

static void
a_frame_is_read_as_it_was_written(void **state)
{
	static const struct frame_rule rules[] = { { 1, 1, 1, 10 }, { 2, 0, 3, 8 },
		{ 3, 0, 1, 8 } };
	SCOPED(frame_out_done) struct frame_out out;
	SCOPED(frame_done) struct frame f = { 0 };
	size_t len = 99;
	uint64_t v = 0;

	(void)state;
	frame_begin(&out, 513, 0xa1b2c3d4);
	frame_put_text(&out, 1, "hello");
	frame_put_text(&out, 9, NULL);
	frame_put_bytes(&out, 2, "a\0b", 3);
	frame_put_bytes(&out, 2, "", 0);
	frame_put_u64(&out, 3, UINT64_C(0x0102030405060708));
	assert_int_equal(frame_parse(&f, out.buf.data, out.buf.len), 0);
	assert_int_equal(f.type, 513);
	assert_true(f.id == 0xa1b2c3d4);
	assert_int_equal(f.n_fields, 4);
	assert_string_equal(frame_text(&f, 1, 5), "hello");
	assert_null(frame_text(&f, 1, 4));
	assert_null(frame_text(&f, 2, 10)); /* holds NUL */
	assert_null(frame_text(&f, 8, 10));
	assert_memory_equal(frame_bytes(&f, 2, &len), "a\0b", 4);
	assert_int_equal(len, 3);
	assert_int_equal(frame_find(&f, 2, 1)->len, 0);
	assert_null(frame_find(&f, 2, 2));
	assert_true(frame_u64(&f, 3, &v));
	assert_true(v == UINT64_C(0x0102030405060708));
	assert_false(frame_u64(&f, 1, &v));
	assert_false(frame_u64(&f, 8, &v));
	assert_null(frame_bytes(&f, 8, &len));
	assert_int_equal(frame_check(&f, rules, 3, false, 0), 0);
}

static void
what_the_rules_do_not_allow_is_malformed(void **state)
{
	static const struct {
		struct frame_rule rules[2];
		bool skip_unknown;
		int r;
	} rows[] = {
		{ { { 1, 1, 1, 5 }, { 2, 0, 2, 8 } }, false, 0 },
		{ { { 1, 1, 1, 4 }, { 2, 0, 2, 8 } }, false, REASON_MALFORMED }, /* too long */
		{ { { 1, 1, 1, 5 }, { 2, 0, 1, 8 } }, false, REASON_MALFORMED }, /* twice */
		{ { { 1, 2, 2, 5 }, { 2, 0, 2, 8 } }, false, REASON_MALFORMED }, /* too few */
		{ { { 1, 1, 1, 5 }, { 3, 1, 1, 8 } }, true, REASON_MALFORMED },	 /* absent */
		{ { { 1, 1, 1, 5 }, { 3, 0, 1, 8 } }, false, REASON_MALFORMED }, /* 2 is unknown */
		{ { { 1, 1, 1, 5 }, { 3, 0, 1, 8 } }, true, 0 },
	};
	SCOPED(frame_out_done) struct frame_out out;
	SCOPED(frame_done) struct frame f = { 0 };

	(void)state;
	frame_begin(&out, 1, 1);
	frame_put_text(&out, 1, "hello");
	frame_put_text(&out, 2, "x");
	frame_put_text(&out, 2, "y");
	assert_int_equal(frame_parse(&f, out.buf.data, out.buf.len), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(frame_check(&f, rows[i].rules, 2, rows[i].skip_unknown, 0),
			rows[i].r);
		if (rows[i].r)
			assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
	}
	f.fds[f.n_fds++] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(frame_check(&f, rows[0].rules, 2, false, 0), REASON_MALFORMED);
	assert_int_equal(frame_check(&f, rows[0].rules, 2, false, 1), 0);
}

static void
hostile_bytes_are_malformed(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "", 0 }, { "MS\1\0\0\1\0\0\0\0\0", 11 },     /* short header */
		{ "MS\2\0\0\1\0\0\0\0\0\1", 12 },	       /* version */
		{ "NS\1\0\0\1\0\0\0\0\0\1", 12 },	       /* magic */
		{ "MS\1\1\0\1\0\0\0\0\0\1", 12 },	       /* flags */
		{ "MS\1\0\0\1\0\0\0\0\0\1x", 13 },	       /* bytes left over */
		{ "MS\1\0\0\1\0\1\0\0\0\1", 12 },	       /* a field that is not there */
		{ "MS\1\0\0\1\0\1\0\0\0\1\0\1\0\0\0\2x", 19 }, /* a field that is short */
		{ "MS\1\0\0\1\0\1\0\0\0\1\0\1\xff\xff\xff\xff", 18 }, /* a field of 4 GiB */
		{ "MS\1\0\0\1\1\1\0\0\0\1", 12 },		      /* 257 fields */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct frame f = { 0 };
		uint64_t before = refuse_count(REASON_MALFORMED);

		assert_int_equal(frame_parse(&f, rows[i].bytes, rows[i].len), REASON_MALFORMED);
		assert_null(f.memory);
		assert_int_equal(f.n_fields, 0);
		assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	}
}

static void
a_frame_that_does_not_fit_is_not_sent(void **state)
{
	SCOPED(frame_out_done) struct frame_out large, many, fds;
	SCOPED(scope_free) uint8_t *bytes = calloc(1, FRAME_BYTES_MAX);
	int pair[2];

	(void)state;
	assert_int_equal(frame_pair(pair), 0);
	frame_begin(&large, 1, 1);
	frame_put_bytes(&large, 1, bytes, FRAME_BYTES_MAX - FRAME_HEADER_BYTES - 5);
	assert_int_equal(frame_send_wait(pair[0], &large, 10), -EMSGSIZE);
	frame_begin(&many, 1, 1);
	for (int i = 0; i <= FRAME_FIELDS_MAX; i++)
		frame_put_bytes(&many, 1, NULL, 0);
	assert_int_equal(frame_send_wait(pair[0], &many, 10), -EMSGSIZE);
	frame_begin(&fds, 1, 1);
	for (int i = 0; i <= FRAME_FDS_MAX; i++)
		frame_put_fd(&fds, 0);
	assert_int_equal(frame_send_wait(pair[0], &fds, 10), -EBADF);
	frame_out_done(&large);
	frame_begin(&large, 1, 1);
	frame_put_bytes(&large, 1, bytes, FRAME_BYTES_MAX - FRAME_HEADER_BYTES - 6);
	assert_int_equal(frame_send_wait(pair[0], &large, 10), 0);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void
frames_wait_with_descriptors(void **state)
{
	SCOPED(frame_out_done) struct frame_out out;
	SCOPED(frame_done) struct frame f = { 0 };
	SCOPED(scope_close) int memory = -1;
	SCOPED(buf_done) struct buf b = BUF_MAX(100);
	int pair[2];

	(void)state;
	assert_int_equal(frame_pair(pair), 0);
	assert_int_equal(frame_recv_wait(pair[1], &f, 20),
		REASON_UNREACHABLE); /* the time is over */
	assert_int_equal(fs_memfd(&memory, "test", "inside", 6), 0);
	frame_begin(&out, 7, 1);
	frame_put_fd(&out, memory);
	frame_put_fd(&out, memory);
	assert_int_equal(frame_send_wait(pair[0], &out, 100), 0);
	assert_int_equal(frame_recv_wait(pair[1], &f, 100), 0);
	assert_int_equal(f.n_fds, 2);
	assert_true(fcntl(f.fds[1], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fs_read_fd(f.fds[1], 100, &b), 0);
	assert_string_equal(buf_text(&b), "inside");
	frame_done(&f);
	/* What is no frame, or more than one holds. */
	assert_int_equal(send(pair[0], "junk", 4, 0), 4);
	assert_int_equal(frame_recv_wait(pair[1], &f, 100), REASON_MALFORMED);
	{
		SCOPED(scope_free) char *large = calloc(1, FRAME_BYTES_MAX + 1);

		assert_int_equal(send(pair[0], large, FRAME_BYTES_MAX + 1, 0), FRAME_BYTES_MAX + 1);
	}
	assert_int_equal(frame_recv_wait(pair[1], &f, 100), REASON_MALFORMED);
	assert_int_equal(f.n_fds, 0);
	(void)close(pair[0]);
	assert_int_equal(frame_recv_wait(pair[1], &f, 100), REASON_UNREACHABLE);
	assert_int_equal(frame_send_wait(pair[1], &out, 100), REASON_UNREACHABLE);
	(void)close(pair[1]);
}

/* --- on the loop ---------------------------------------------------------------------------------------- */
struct server {
	sd_event *loop;
	struct frame_server *listening;
	struct frame_conn *conn;
	struct loop_timer *timer;
	struct frame_peer peer;
	int n_frames, why, n_closed;
	bool answer;
};

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	struct server *s = arg;

	s->n_frames++;
	if (f->type == 99) { /* asks us to close while we are being called */
		s->conn = frame_conn_close(conn);
		(void)sd_event_exit(s->loop, 0);
		return;
	}
	frame_begin(&out, 2, f->type == 98 ? f->id + 1 : f->id);
	frame_put_text(&out, 1, "answer");
	if (s->answer)
		assert_int_equal(frame_conn_send(conn, &out), 0);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct server *s = arg;

	s->why = why;
	s->n_closed++;
	s->conn = frame_conn_close(conn);
	(void)sd_event_exit(s->loop, 0);
}

static const struct frame_conn_ops ops = { on_frame, on_closed };

static void
on_accept(int take_fd, const struct frame_peer *peer, void *arg)
{
	struct server *s = arg;

	s->peer = *peer;
	assert_int_equal(frame_conn_open(&s->conn, s->loop, take_fd, &ops, s), 0);
}

/* As a program without a loop calls. */
static int
call_and_wait(const char *path, const struct frame_out *out, uint32_t id, struct frame *reply)
{
	SCOPED(scope_close) int fd = -1;
	int r = frame_connect(&fd, path);

	r = r ?: frame_send_wait(fd, out, 2000);
	r = r ?: frame_recv_wait(fd, reply, 2000);
	return r ?: reply->id != id ? REASON_MALFORMED : 0;
}

/* A child that calls path and exits with what came of it. */
static pid_t
fork_caller(const char *path, uint16_t type)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		SCOPED(frame_out_done) struct frame_out out;
		SCOPED(frame_done) struct frame reply = { 0 };
		int r;

		frame_begin(&out, type, 5);
		r = call_and_wait(path, &out, 5, &reply);
		if (r == 0 && strcmp(frame_text(&reply, 1, 10), "answer") != 0)
			r = 200;
		_exit(r < 0 ? 201 : r);
	}
	return pid;
}

static int
code_of(pid_t pid)
{
	struct child child;
	int status = 0;

	child = (struct child){ .pid = pid };
	assert_int_equal(waitpid(child.pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void
a_server_answers_and_knows_its_peer(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct server s = { .answer = true };
	struct stat st;
	char path[128];
	int fd = -1;
	pid_t pid;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/s.sock", folder);
	assert_int_equal(frame_connect(&fd, path), REASON_UNREACHABLE);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	s.loop = loop;
	assert_int_equal(frame_listen(&fd, path, 0660), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(frame_server_open(&s.listening, loop, fd, on_accept, &s), 0);
	pid = fork_caller(path, 1);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(code_of(pid), 0);
	assert_int_equal(s.peer.pid, pid);
	assert_int_equal(s.peer.uid, getuid());
	assert_true(s.peer.starttime > 0);
	assert_int_equal(s.why, 0);
	assert_int_equal(s.n_closed, 1);
	s.listening = frame_server_close(s.listening);
	loop = sd_event_unref(loop);

	/* The name left behind does not hinder the next server; an answer to another call is refused. */
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	s = (struct server){ .answer = true, .loop = loop };
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(frame_server_open(&s.listening, loop, fd, on_accept, &s), 0);
	pid = fork_caller(path, 98);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(code_of(pid), REASON_MALFORMED);
	s.listening = frame_server_close(s.listening);
	assert_int_equal(code_of(fork_caller(path, 1)), REASON_UNREACHABLE);
}

static void
a_long_name_is_no_hindrance(void **state)
{
	SCOPED(scope_close) int fd = -1, client = -1, dir = -1;
	char path[300];
	struct frame_peer peer;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/%0100d/%080d", folder, 1, 2);
	assert_int_equal(fs_open_dir(&dir, AT_FDCWD, path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/%0100d/%080d/s.sock", folder, 1, 2);
	assert_int_equal(frame_connect(&client, path), REASON_UNREACHABLE);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(frame_connect(&client, path), 0);
	assert_int_equal(frame_peer(&peer, client), 0);
	assert_int_equal(peer.pid, getpid());
	assert_true(frame_peer_in(client, getgid()));
	assert_false(frame_peer_in(client, 4000000));
	(void)snprintf(path, sizeof(path), "%s/gone/%0100d/s.sock", folder, 1);
	assert_int_equal(frame_connect(&client, path), REASON_UNREACHABLE);
}

static void
a_file_in_the_sockets_place_is_not_removed(void **state)
{
	char path[128];
	int fd = -1, dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(fs_replace(dir, "plain", "x", 1, 0600), 0);
	(void)snprintf(path, sizeof(path), "%s/plain", folder);
	assert_int_equal(frame_listen(&fd, path, 0600), -EEXIST);
	assert_int_equal(faccessat(dir, "plain", F_OK, 0), 0);
	assert_int_equal(fd, -1);
	(void)close(dir);
}

/* A connection on a loop of its own; pair[0] is the far end, which the test closes. */
static void
open_server(struct server *s, sd_event **loop, int pair[2])
{
	assert_int_equal(loop_new(loop, NULL, NULL), 0);
	s->loop = *loop;
	assert_int_equal(frame_pair(pair), 0);
	assert_int_equal(frame_conn_open(&s->conn, *loop, pair[1], &ops, s), 0);
}

static void
a_malformed_frame_ends_its_connection_only(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct server s = { 0 };
	int pair[2];

	(void)state;
	open_server(&s, &loop, pair);
	assert_int_equal(send(pair[0], "MS\1\0\0\1\0\0\0\0\0\1", 12, 0), 12);
	assert_int_equal(send(pair[0], "junk", 4, 0), 4);
	assert_int_equal(send(pair[0], "MS\1\0\0\1\0\0\0\0\0\1", 12, 0), 12);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s.why, REASON_MALFORMED);
	assert_int_equal(s.n_frames, 1); /* none after the bad one */
	(void)close(pair[0]);
}

static void
a_connection_may_be_closed_from_within(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(frame_out_done) struct frame_out out;
	struct server s = { 0 };
	int pair[2];

	(void)state;
	open_server(&s, &loop, pair);
	frame_begin(&out, 99, 1);
	assert_int_equal(frame_send_wait(pair[0], &out, 100), 0);
	assert_int_equal(frame_send_wait(pair[0], &out, 100), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s.n_frames, 1);
	assert_int_equal(s.n_closed, 0);
	assert_null(s.conn);
	(void)close(pair[0]);
}

static void
who_does_not_read_is_cut_off(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(frame_out_done) struct frame_out out;
	struct server s = { 0 };
	int pair[2], r = 0;

	(void)state;
	open_server(&s, &loop, pair);
	frame_begin(&out, 1, 1);
	frame_put_fd(&out, pair[0]);
	for (int i = 0; i < 10000 && r == 0; i++)
		r = frame_conn_send(s.conn, &out);
	assert_true(r == -ENOBUFS || r == -ETOOMANYREFS);
	assert_int_equal(s.n_closed, 0); /* not from within the sending */
	assert_int_equal(frame_conn_send(s.conn, &out), -EPIPE);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s.why, r);
	(void)close(pair[0]);
}

static void
what_is_too_large_ends_it_and_is_not_waited_for(void **state)
{
	static const char text[FRAME_BYTES_MAX];
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(frame_out_done) struct frame_out out;
	struct server s = { 0 };
	int pair[2];

	(void)state;
	open_server(&s, &loop, pair);
	frame_begin(&out, 1, 1);
	frame_put_bytes(&out, 1, text, sizeof(text));
	assert_int_equal(frame_conn_send(s.conn, &out), -EMSGSIZE);
	assert_int_equal(s.n_closed, 0); /* not from within the sending */
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(s.why, -EMSGSIZE);
	(void)close(pair[0]);
}

struct queue_test {
	sd_event *loop;
	struct frame_conn *conn;
	struct loop_timer *timer;
	int fd, seen;
};

enum { QUEUED = 200 };

static void
read_slowly(void *arg)
{
	struct queue_test *t = arg;
	SCOPED(frame_done) struct frame f = { 0 };

	while (frame_recv_wait(t->fd, &f, 1) == 0) {
		assert_int_equal(f.id, t->seen);
		assert_int_equal(f.n_fds, 1);
		frame_done(&f);
		t->seen++;
	}
	if (t->seen == QUEUED)
		(void)sd_event_exit(t->loop, 0);
	else
		assert_int_equal(loop_after(&t->timer, t->loop, 1, read_slowly, t), 0);
}

static void
what_does_not_fit_at_once_is_queued_in_order(void **state)
{
	static const struct frame_conn_ops none = { on_frame, on_closed };
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(frame_conn_closep) struct frame_conn *conn = NULL;
	struct queue_test t = { 0 };
	uint8_t bytes[4000] = { 0 };
	int pair[2], memory = -1;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(frame_pair(pair), 0);
	assert_int_equal(frame_conn_open(&conn, loop, pair[1], &none, &t), 0);
	for (unsigned i = 0; i < QUEUED; i++) {
		SCOPED(frame_out_done) struct frame_out out;

		assert_int_equal(fs_memfd(&memory, "t", "x", 1), 0);
		frame_begin(&out, 1, i);
		frame_put_bytes(&out, 1, bytes, sizeof(bytes));
		frame_put_fd(&out, memory);
		assert_int_equal(frame_conn_send(conn, &out), 0);
		(void)close(memory); /* the queue has its own */
	}
	t.loop = loop;
	t.fd = pair[0];
	assert_int_equal(loop_after(&t.timer, loop, 0, read_slowly, &t), 0);
	assert_int_equal(loop_run(loop), 0);
	(void)close(pair[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_read_as_it_was_written),
		cmocka_unit_test(what_the_rules_do_not_allow_is_malformed),
		cmocka_unit_test(hostile_bytes_are_malformed),
		cmocka_unit_test(a_frame_that_does_not_fit_is_not_sent),
		cmocka_unit_test(frames_wait_with_descriptors),
		cmocka_unit_test(a_server_answers_and_knows_its_peer),
		cmocka_unit_test(a_long_name_is_no_hindrance),
		cmocka_unit_test(a_file_in_the_sockets_place_is_not_removed),
		cmocka_unit_test(a_malformed_frame_ends_its_connection_only),
		cmocka_unit_test(a_connection_may_be_closed_from_within),
		cmocka_unit_test(who_does_not_read_is_cut_off),
		cmocka_unit_test(what_is_too_large_ends_it_and_is_not_waited_for),
		cmocka_unit_test(what_does_not_fit_at_once_is_queued_in_order),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
