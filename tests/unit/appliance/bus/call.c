#include "appliance/bus/call.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_request.h"
#include "appliance/bus/frame.h"
#include "tests/fakes/scratch.h"

enum { LARGE = 200 * 1024, WAIT_MS = 5000, SHORT_MS = 50 };

struct fixture {
	struct scratch dir;
	char path[128];
	pid_t peer; /* a monitor that plays one answer; 0: none */
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	scratch_make(&f->dir);
	(void)snprintf(f->path, sizeof(f->path), "%s/control.sock", f->dir.path);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->peer > 0) {
		(void)kill(f->peer, SIGKILL);
		(void)waitpid(f->peer, NULL, 0);
	}
	scratch_remove(&f->dir);
	free(f);
	return 0;
}

/* --- a monitor that plays one answer ------------------------------------------------------------- */
static void
send_out(int fd, struct frame_out *out)
{
	if (frame_send_wait(fd, out, WAIT_MS) != 0)
		_exit(3);
	frame_out_done(out);
}

static void
send_json(int fd, enum call_type type, uint32_t id, const char *json)
{
	struct frame_out out;

	frame_begin(&out, (uint16_t)type, id);
	frame_put_text(&out, CALL_TAG_JSON, json);
	send_out(fd, &out);
}

static void
play_echo(int fd, struct frame *f)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(CALL_FD_BYTES_MAX);
	struct frame_out out;
	char text[512];
	size_t len = 0;
	int file;

	if (frame_bytes(f, CALL_TAG_BODY, &len))
		;
	else if (f->n_fds == 1 && fs_read_fd(f->fds[0], body.max, &body) == 0)
		len = body.len;
	(void)snprintf(text, sizeof(text),
		"{\"verb\":\"%s\",\"name\":\"%s\",\"value\":\"%s\",\"body\":%zu}",
		frame_text(f, CALL_TAG_VERB, 64), frame_text(f, CALL_TAG_NAME, 64),
		frame_text(f, CALL_TAG_VALUE, 64), len);
	if (fs_memfd(&file, "answer", text, strlen(text)) != 0)
		_exit(4);
	frame_begin(&out, CALL_TYPE_OK, f->id);
	frame_put_fd(&out, file);
	send_out(fd, &out);
}

static void
play_progress(int fd, struct frame *f)
{
	send_json(fd, CALL_TYPE_EVENT, 0, "{\"ignored\":1}");
	send_json(fd, CALL_TYPE_PROGRESS, f->id, "{\"step\":1}");
	send_json(fd, CALL_TYPE_OK, f->id + 7, "{\"another\":\"call's\"}");
	send_json(fd, CALL_TYPE_PROGRESS, f->id, "{\"step\":2}");
	send_json(fd, CALL_TYPE_OK, f->id, "{\"done\":true}");
}

static void
refuse(int fd, const struct frame *f, const char *reason)
{
	struct frame_out out;

	frame_begin(&out, CALL_TYPE_REFUSED, f->id);
	frame_put_text(&out, CALL_TAG_REASON, reason);
	frame_put_text(&out, CALL_TAG_OPERAND, "redis");
	frame_put_text(&out, CALL_TAG_PLACE, "cluster.yaml:3:5");
	frame_put_text(&out, CALL_TAG_TEXT, "no such knob");
	send_out(fd, &out);
}

static void
play_refused(int fd, struct frame *f)
{
	refuse(fd, f, "unknown-field");
}

static void
play_cannot_reach(int fd, struct frame *f)
{
	refuse(fd, f, "unreachable");
}

static void
play_nonsense(int fd, struct frame *f)
{
	refuse(fd, f, "because");
}

static void
play_fault(int fd, struct frame *f)
{
	struct frame_out out;

	frame_begin(&out, CALL_TYPE_FAULT, f->id);
	frame_put_text(&out, CALL_TAG_TEXT, "No space left on device");
	send_out(fd, &out);
}

static void
play_bad_json(int fd, struct frame *f)
{
	send_json(fd, CALL_TYPE_OK, f->id, "{\"half\":");
}

static void
play_strange_type(int fd, struct frame *f)
{
	send_json(fd, (enum call_type)99, f->id, "{}");
}

/* A pipe where a file should be. */
static void
play_pipe(int fd, struct frame *f)
{
	struct frame_out out;
	int ends[2];

	if (pipe(ends) != 0)
		_exit(5);
	frame_begin(&out, CALL_TYPE_OK, f->id);
	frame_put_fd(&out, ends[0]);
	send_out(fd, &out);
}

static void
play_hang_up(int fd, struct frame *f)
{
	(void)fd;
	(void)f;
}

static void
play_silence(int fd, struct frame *f)
{
	(void)fd;
	(void)f;
	(void)pause();
}

static void
be_monitor(struct fixture *f, void (*play)(int, struct frame *))
{
	struct frame frame = { 0 };
	int listen_fd, fd;

	assert_int_equal(frame_listen(&listen_fd, f->path, 0600), 0);
	f->peer = fork();
	assert_true(f->peer >= 0);
	if (f->peer > 0) {
		(void)close(listen_fd);
		return;
	}
	do {
		fd = accept(listen_fd, NULL, NULL);
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	if (frame_recv_wait(fd, &frame, WAIT_MS) != 0)
		_exit(2);
	play(fd, &frame);
	_exit(0);
}

/* --- waiting ------------------------------------------------------------------------------------- */
static unsigned steps;

static void
on_progress(const json_t *line, void *arg)
{
	(void)arg;
	steps = steps * 10 + (unsigned)json_integer_value(json_object_get(line, "step"));
}

static int
ask(struct fixture *f, size_t body, unsigned timeout_ms, json_t **ret)
{
	struct call_request *c = call_new("service.set");
	char *bytes = calloc(1, body + 1);

	call_param(c, "set", "maxmemory=64mb");
	call_param(c, "absent", NULL);
	if (body > 0)
		call_body(c, bytes, body);
	free(bytes);
	return call_wait(f->path, c, timeout_ms, on_progress, NULL, ret);
}

static void
verb_parameters_and_body_arrive_at_any_size(void **state)
{
	static const size_t sizes[] = { 0, 10, CALL_BODY_MAX, CALL_BODY_MAX + 1, LARGE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		void *one = NULL;
		SCOPED_JSON *answer = NULL;

		(void)set_up(&one);
		be_monitor(one, play_echo);
		assert_int_equal(ask(one, sizes[i], WAIT_MS, &answer), 0);
		assert_string_equal(json_string_value(json_object_get(answer, "verb")),
			"service.set");
		assert_string_equal(json_string_value(json_object_get(answer, "name")), "set");
		assert_string_equal(json_string_value(json_object_get(answer, "value")),
			"maxmemory=64mb");
		assert_int_equal(json_integer_value(json_object_get(answer, "body")), sizes[i]);
		(void)tear_down(&one);
	}
}

static void
progress_comes_before_the_answer(void **state)
{
	struct fixture *f = *state;
	SCOPED_JSON *answer = NULL;

	steps = 0;
	be_monitor(f, play_progress);
	assert_int_equal(ask(f, 0, WAIT_MS, &answer), 0);
	assert_int_equal(steps, 12);
	assert_true(json_is_true(json_object_get(answer, "done")));
}

static void
a_refusal_is_relayed_whole(void **state)
{
	struct fixture *f = *state;
	json_t *answer = NULL;

	be_monitor(f, play_refused);
	assert_int_equal(ask(f, 0, WAIT_MS, &answer), REASON_UNKNOWN_FIELD);
	assert_null(answer);
	assert_string_equal(refuse_last()->operand, "redis");
	assert_string_equal(refuse_last()->place, "cluster.yaml:3:5");
	assert_string_equal(refuse_last()->text, "no such knob");
}

/* The daemon is there; what it could not reach is somebody else. */
static void
what_the_daemon_cannot_reach_is_its_own_word(void **state)
{
	struct fixture *f = *state;
	json_t *answer = NULL;

	be_monitor(f, play_cannot_reach);
	assert_int_equal(ask(f, 0, WAIT_MS, &answer), REASON_UNREACHABLE);
	assert_null(answer);
	assert_string_equal(refuse_last()->operand, "redis");
	assert_string_equal(refuse_last()->text, "no such knob");
}

/* Another user than the socket's: told so, with the way in, and not that nobody listens. */
static void
who_may_not_connect_hears_who_may(void **state)
{
	struct fixture *f = *state;
	int listen_fd, status;
	pid_t pid;

	assert_int_equal(chmod(f->dir.path, 0711), 0);
	assert_int_equal(frame_listen(&listen_fd, f->path, 0000), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		json_t *answer = NULL;
		uint64_t count = refuse_count(REASON_WRONG_ROLE);

		if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(9);
		_exit(ask(f, 0, SHORT_MS, &answer) != REASON_WRONG_ROLE ? 1
			: refuse_count(REASON_WRONG_ROLE) != count + 1	 ? 2
			: !strstr(refuse_last()->text, "usermod -aG mainstay") ? 3
									 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(listen_fd);
}

static void
what_goes_wrong_is_told_apart(void **state)
{
	static const struct {
		void (*play)(int, struct frame *);
		unsigned timeout_ms;
		int result;
	} rows[] = {
		{ play_nonsense, WAIT_MS, REASON_MALFORMED },
		{ play_bad_json, WAIT_MS, REASON_MALFORMED },
		{ play_strange_type, WAIT_MS, REASON_MALFORMED },
		{ play_pipe, WAIT_MS, REASON_MALFORMED },
		{ play_fault, WAIT_MS, REASON_FAULT },
		{ play_hang_up, WAIT_MS, REASON_UNREACHABLE },
		{ play_silence, SHORT_MS, REASON_UNREACHABLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *one = NULL;
		json_t *answer = NULL;

		(void)set_up(&one);
		be_monitor(one, rows[i].play);
		assert_int_equal(ask(one, 0, rows[i].timeout_ms, &answer), rows[i].result);
		assert_null(answer);
		assert_int_equal(refuse_last()->reason, rows[i].result);
		(void)tear_down(&one);
	}
}

static void
nobody_there_is_unreachable(void **state)
{
	struct fixture *f = *state;
	json_t *answer = NULL;

	assert_int_equal(ask(f, 0, WAIT_MS, &answer), REASON_UNREACHABLE);
	assert_int_equal(refuse_last()->reason, REASON_UNREACHABLE);
	assert_string_equal(refuse_last()->operand, f->path);
}

static void
what_does_not_fit_a_call_is_a_fault(void **state)
{
	struct fixture *f = *state;
	struct call_request *c = call_new("x");
	char *value = calloc(1, CALL_VALUE_MAX + 2);
	json_t *answer = NULL;

	memset(value, 'v', CALL_VALUE_MAX + 1);
	call_param(c, "n", value);
	assert_int_equal(call_wait(f->path, c, WAIT_MS, NULL, NULL, &answer), -EMSGSIZE);
	free(value);
}

/* --- a kept connection --------------------------------------------------------------------------- */
struct kept {
	sd_event *loop;
	struct frame_server *server;
	struct frame_conn *peer;
	struct call_link *link;
	unsigned ups, downs, events, answers;
	int last;
	bool hang_up; /* the next call is answered by hanging up */
	bool close_on_answer;
};

static void
peer_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct kept *k = arg;
	struct frame_out out;

	if (k->hang_up) {
		k->peer = frame_conn_close(k->peer);
		return;
	}
	frame_begin(&out, CALL_TYPE_EVENT, 0);
	frame_put_text(&out, CALL_TAG_VERB, "config");
	frame_put_text(&out, CALL_TAG_JSON, "{\"switch\":true}");
	assert_int_equal(frame_conn_send(conn, &out), 0);
	frame_out_done(&out);
	frame_begin(&out, CALL_TYPE_OK, f->id);
	assert_int_equal(frame_conn_send(conn, &out), 0);
	frame_out_done(&out);
}

static void
peer_closed(struct frame_conn *conn, int why, void *arg)
{
	struct kept *k = arg;

	(void)conn;
	(void)why;
	k->peer = frame_conn_close(k->peer);
}

static const struct frame_conn_ops peer_ops = { .frame = peer_frame, .closed = peer_closed };

static void
on_accept(int take_fd, const struct frame_peer *peer, void *arg)
{
	struct kept *k = arg;

	assert_int_equal(peer->pid, getpid());
	assert_int_equal(frame_conn_open(&k->peer, k->loop, take_fd, &peer_ops, k), 0);
}

static void
on_answer(int r, const json_t *answer, void *arg)
{
	struct kept *k = arg;

	k->answers++;
	k->last = r;
	assert_int_equal(r == 0, json_is_object(answer));
	if (k->close_on_answer)
		k->link = call_link_close(k->link);
}

static void
on_up(void *arg)
{
	((struct kept *)arg)->ups++;
}

static void
on_down(void *arg)
{
	((struct kept *)arg)->downs++;
}

static void
on_event(const char *name, const json_t *json, void *arg)
{
	assert_string_equal(name, "config");
	assert_true(json_is_true(json_object_get(json, "switch")));
	((struct kept *)arg)->events++;
}

static void
run_until(struct kept *k, const unsigned *what, unsigned is)
{
	for (unsigned i = 0; i < 1000 && *what != is; i++)
		assert_true(sd_event_run(k->loop, 10000) >= 0);
	assert_int_equal(*what, is);
}

static void
keep(struct kept *k, struct fixture *f)
{
	static const struct call_link_ops ops = { .up = on_up, .down = on_down, .event = on_event };
	int fd;

	*k = (struct kept){ 0 };
	assert_true(sd_event_new(&k->loop) >= 0);
	assert_int_equal(call_link_open(&k->link, k->loop, f->path, &ops, k), 0);
	assert_int_equal(call_link_call(k->link, call_new("hello"), on_answer, k), -ENOTCONN);
	assert_int_equal(frame_listen(&fd, f->path, 0600), 0);
	assert_int_equal(frame_server_open(&k->server, k->loop, fd, on_accept, k), 0);
	run_until(k, &k->ups, 1);
}

static void
let_go(struct kept *k)
{
	call_link_close(k->link);
	frame_conn_close(k->peer);
	frame_server_close(k->server);
	sd_event_unref(k->loop);
}

static void
a_link_calls_hears_events_and_comes_back(void **state)
{
	struct kept k;

	keep(&k, *state);
	assert_int_equal(call_link_call(k.link, call_new("hello"), on_answer, &k), 0);
	run_until(&k, &k.answers, 1);
	assert_int_equal(k.last, 0);
	assert_int_equal(k.events, 1);
	k.hang_up = true;
	assert_int_equal(call_link_call(k.link, call_new("hello"), on_answer, &k), 0);
	run_until(&k, &k.downs, 1);
	assert_int_equal(k.answers, 2);
	assert_int_equal(k.last, -ECONNRESET);
	k.hang_up = false;
	run_until(&k, &k.ups, 2);
	assert_int_equal(call_link_call(k.link, call_new("hello"), on_answer, &k), 0);
	run_until(&k, &k.answers, 3);
	let_go(&k);
}

static void
a_callback_may_close_the_link(void **state)
{
	struct kept k;

	keep(&k, *state);
	k.hang_up = k.close_on_answer = true;
	assert_int_equal(call_link_call(k.link, call_new("hello"), on_answer, &k), 0);
	run_until(&k, &k.answers, 1);
	assert_null(k.link);
	assert_int_equal(k.downs, 0);
	let_go(&k);
}

/* How often it stands in the heap. */
static unsigned
count_in_heap(const char *what)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		uintptr_t from, to;
		const char *at, *end;

		if (!strstr(line, "[heap]") || sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) != 2)
			continue;
		at = (const char *)from;
		end = (const char *)to;
		while ((at = memmem(at, (size_t)(end - at), what, strlen(what)))) {
			n++;
			at++;
		}
	}
	(void)fclose(maps);
	return n;
}

/* A call may carry a secret: nothing of it is left behind, on either side. */
static void
what_a_call_carried_is_overwritten(void **state)
{
	struct call_request *c;
	SCOPED(frame_out_done) struct frame_out out = { 0 };
	SCOPED(frame_done) struct frame f = { 0 };
	char canary[] = "dbobsz-dbobsz-dbobsz";
	int ends[2];

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* its heap is another, and keeps what was freed */
#endif
	c = call_new("service.secret.set");
	for (char *s = canary; *s; s++)
		*s = *s == '-' ? '-' : (char)(*s - 1);
	call_param(c, "service", "redis");
	call_body(c, canary, strlen(canary));
	assert_int_equal(call_request_frame(c, &out, 1), 0);
	assert_int_equal(frame_pair(ends), 0);
	assert_int_equal(frame_send_wait(ends[0], &out, WAIT_MS), 0);
	assert_int_equal(frame_recv_wait(ends[1], &f, WAIT_MS), 0);
	assert_non_null(frame_find(&f, CALL_TAG_BODY, 0));
	assert_int_equal(count_in_heap(canary), 3); /* the request, the packet, the frame that came */
	call_free(c);
	frame_out_done(&out);
	frame_done(&f);
	assert_int_equal(count_in_heap(canary), 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(verb_parameters_and_body_arrive_at_any_size),
		cmocka_unit_test_setup_teardown(progress_comes_before_the_answer, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_refusal_is_relayed_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_daemon_cannot_reach_is_its_own_word, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_may_not_connect_hears_who_may, set_up, tear_down),
		cmocka_unit_test(what_goes_wrong_is_told_apart),
		cmocka_unit_test_setup_teardown(nobody_there_is_unreachable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_does_not_fit_a_call_is_a_fault, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_link_calls_hears_events_and_comes_back, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_callback_may_close_the_link, set_up, tear_down),
		cmocka_unit_test(what_a_call_carried_is_overwritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
