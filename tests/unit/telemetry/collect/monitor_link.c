/* The collector's line to a monitor that is played here: config, connections to exporters, and what is under way when
 * either ends. */
#include "telemetry/collect/monitor_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call_wire.h"
#include "appliance/bus/frame.h"
#include "appliance/loop/dial.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/collector.h"

#define CONFIG                                                                                                         \
	"{\"site\":\"s-%u\",\"switch\":false,\"fields\":{},\"services\":[{\"name\":\"shop\",\"dir\":\"/nowhere\","         \
	"\"metrics\":[{\"source\":\"prometheus\",\"port\":\"9100\"}]}],\"mutes\":[]}"

struct ground {
	sd_event *loop;
	char path[40];
	int fd;
	struct paths paths;
	struct collector *collector;
	struct monitor_link *link;
	/* the monitor */
	struct frame_server *server;
	struct frame_conn *conn;
	uint32_t dial_id; /* of the last collect.dial */
	char service[65], port[8];
	int socket; /* that came with it; -1: none */
	unsigned n_dials, n_hellos;
};

static const struct collector_ops ops = { .alert = monitor_link_alert, .want = monitor_link_want, .dial = monitor_link_dial };

/* --- the monitor ---------------------------------------------------------------------------------------------- */
static void
answer(struct ground *g, enum call_type type, uint32_t id, const char *json)
{
	struct frame_out out;

	frame_begin(&out, (uint16_t)type, id);
	if (type == CALL_TYPE_REFUSED)
		frame_put_text(&out, CALL_TAG_REASON, refuse_token(REASON_DENIED));
	else
		frame_put_text(&out, CALL_TAG_JSON, json);
	assert_int_equal(frame_conn_send(g->conn, &out), 0);
	frame_out_done(&out);
}

static void
on_frame(struct frame_conn *conn, struct frame *f, void *arg)
{
	struct ground *g = arg;
	const char *verb = frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX);

	(void)conn;
	assert_int_equal(f->type, CALL_TYPE_CALL);
	assert_non_null(verb);
	if (strcmp(verb, "collect.hello") == 0) {
		char config[512];

		/* Another one each time: with it all sources are asked at once. */
		(void)snprintf(config, sizeof(config), CONFIG, ++g->n_hellos);
		answer(g, CALL_TYPE_OK, f->id, config);
		return;
	}
	if (strcmp(verb, "collect.dial") != 0) {
		answer(g, CALL_TYPE_OK, f->id, "{}");
		return;
	}
	g->n_dials++;
	g->dial_id = f->id;
	assert_string_equal((const char *)frame_find(f, CALL_TAG_NAME, 0)->data, "service");
	assert_string_equal((const char *)frame_find(f, CALL_TAG_NAME, 1)->data, "port");
	(void)snprintf(g->service, sizeof(g->service), "%s", (const char *)frame_find(f, CALL_TAG_VALUE, 0)->data);
	(void)snprintf(g->port, sizeof(g->port), "%s", (const char *)frame_find(f, CALL_TAG_VALUE, 1)->data);
	assert_int_equal(f->n_fds, 1);
	scope_close(&g->socket);
	g->socket = STEAL_FD(f->fds[0]);
}

static void
on_closed(struct frame_conn *conn, int why, void *arg)
{
	struct ground *g = arg;

	(void)conn;
	(void)why;
	g->conn = frame_conn_close(g->conn);
}

static void
on_accept(int take_fd, const struct frame_peer *peer, void *arg)
{
	static const struct frame_conn_ops conn_ops = { .frame = on_frame, .closed = on_closed };
	struct ground *g = arg;

	(void)peer;
	g->conn = frame_conn_close(g->conn);
	assert_int_equal(frame_conn_open(&g->conn, g->loop, take_fd, &conn_ops, g), 0);
}

/* --- life ------------------------------------------------------------------------------------------------------ */
static int
set_up(void **state)
{
	static const char *const folders[] = { "etc", "lib", "run/bus", "run/shim" };
	struct ground *g = calloc(1, sizeof(*g));
	SCOPED(scope_close) int etc = -1;
	char path[64];
	int fd;

	assert_non_null(g);
	*state = g;
	g->socket = -1;
	(void)snprintf(g->path, sizeof(g->path), "/tmp/mainstay-link-XXXXXX");
	assert_non_null(mkdtemp(g->path));
	assert_int_equal(loop_new(&g->loop, NULL, NULL), 0);
	assert_int_equal(fs_paths(&g->paths, g->path), 0);
	g->fd = open(g->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		SCOPED(scope_close) int dir = -1;

		assert_int_equal(fs_open_dir(&dir, g->fd, folders[i], 0755), 0);
	}
	assert_int_equal(fs_open_dir(&etc, g->fd, "etc", 0755), 0);
	assert_int_equal(fs_replace(etc, "mainstay.yaml", "telemetry: {period: 1s}\n", 24, 0644), 0);
	(void)snprintf(path, sizeof(path), "%s/collect.sock", g->paths.run);
	assert_int_equal(frame_listen(&fd, path, 0600), 0);
	assert_int_equal(frame_server_open(&g->server, g->loop, fd, on_accept, g), 0);
	assert_int_equal(monitor_link_new(&g->link, g->loop, &g->paths), 0);
	assert_int_equal(collector_new(&g->collector, g->loop, &g->paths, &ops, g->link), 0);
	assert_int_equal(collector_start(g->collector), 0);
	return monitor_link_start(g->link, g->collector);
}

static int
tear_down(void **state)
{
	struct ground *g = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r;

	monitor_link_free(g->link);
	collector_free(g->collector);
	frame_conn_close(g->conn);
	frame_server_close(g->server);
	scope_close(&g->socket);
	sd_event_unref(g->loop);
	(void)close(g->fd);
	r = fs_remove_tree(tmp, strrchr(g->path, '/') + 1);
	free(g);
	return r;
}

static void
wait_dials(struct ground *g, unsigned n)
{
	for (int i = 0; i < 1000 && g->n_dials < n; i++)
		assert_true(sd_event_run(g->loop, 10000) >= 0);
	assert_int_equal(g->n_dials, n);
	assert_string_equal(g->service, "shop");
	assert_string_equal(g->port, "9100");
	assert_true(g->socket >= 0);
}

static void
settle(struct ground *g)
{
	for (int i = 0; i < 20; i++)
		assert_true(sd_event_run(g->loop, 2000) >= 0);
}

static size_t
open_files(void)
{
	DIR *all = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(all);
	while (readdir(all))
		n++;
	(void)closedir(all);
	return n;
}

/* --- connections -------------------------------------------------------------------------------------------------- */
static void
the_connection_that_the_monitor_hands_over_is_asked(void **state)
{
	struct ground *g = *state;
	char question[1024] = "";
	int pair[2];

	wait_dials(g, 1); /* as soon as the config names the port */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(dial_hand_over(g->socket, pair[0]), 0);
	(void)close(pair[0]);
	answer(g, CALL_TYPE_OK, g->dial_id, "{}");
	settle(g);
	assert_true(recv(pair[1], question, sizeof(question) - 1, MSG_DONTWAIT) > 0);
	assert_int_equal(strncmp(question, "GET /metrics HTTP/1.1\r\nHost: localhost:9100\r\n", 45), 0);
	(void)close(pair[1]);
	settle(g);
}

/* Nobody listens, or the monitor refuses: the source has its answer, and asks again with the next probe. */
static void
without_a_connection_it_is_tried_again(void **state)
{
	struct ground *g = *state;

	wait_dials(g, 1);
	answer(g, CALL_TYPE_OK, g->dial_id, "{}"); /* and nothing was written to the socket */
	wait_dials(g, 2);
	answer(g, CALL_TYPE_REFUSED, g->dial_id, NULL);
	settle(g); /* the loop goes on with it */
}

/* The monitor goes with the question unanswered: the source is told, and another monitor is asked. */
static void
a_monitor_that_goes_leaves_nothing_behind(void **state)
{
	struct ground *g = *state;
	size_t before;

	wait_dials(g, 1);
	scope_close(&g->socket);
	g->socket = -1;
	before = open_files();
	g->conn = frame_conn_close(g->conn);
	wait_dials(g, 2);
	scope_close(&g->socket);
	g->socket = -1;
	assert_int_equal(open_files(), before); /* the first one's socket is closed */
}

/* The collector ends with the question unanswered: what was kept for the answer goes, too (asan looks). */
static void
a_dial_under_way_ends_with_the_link(void **state)
{
	struct ground *g = *state;
	char byte;

	wait_dials(g, 1);
	g->link = monitor_link_free(g->link);
	assert_int_equal(recv(g->socket, &byte, 1, MSG_DONTWAIT), 0); /* the other end is closed */
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(the_connection_that_the_monitor_hands_over_is_asked),
		ROW(without_a_connection_it_is_tried_again),
		ROW(a_monitor_that_goes_leaves_nothing_behind),
		ROW(a_dial_under_way_ends_with_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
