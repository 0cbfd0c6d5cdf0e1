/* Which services are asked, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/loop.h"
#include "appliance/service/target.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/sources.h"
#include "tests/fakes/turn.h"

struct tally {
	size_t watched, quiet;
};

/* Neither has a socket: each answer is "not up". */
static void
on_samples(const struct sample_set *samples, void *arg)
{
	struct tally *t = arg;

	for (size_t i = 0; i < samples->n; i++)
		if (strcmp(samples->items[i].name, "redis_up") == 0)
			++*(strcmp(samples->items[i].service, "watched") == 0 ? &t->watched : &t->quiet);
}

static void
on_want(const char *service, const char *secret, void *arg)
{
	(void)service;
	(void)secret;
	(void)arg;
}

static const struct sources_ops ops = { .fed = on_samples, .want = on_want };

static void
probe(sd_event *loop, struct sources *s, bool all)
{
	sources_probe(s, all);
	while (sources_busy(s))
		assert_true(turn_beside(loop, 10 * CLOCK_US_PER_MS) >= 0);
}

static void
only_what_a_rule_watches_is_asked_with_each_probe(void **state)
{
	static const char told[] = "{\"switch\":true,\"fields\":{},\"services\":["
		"{\"name\":\"watched\",\"dir\":\"/nowhere\",\"metrics\":[{\"source\":\"redis\",\"socket\":\"{run}/r.sock\",\"fields\":[]}],"
		"\"alerts\":[{\"name\":\"down\",\"metric\":\"redis_up\",\"op\":\"below\",\"value\":1}]},"
		"{\"name\":\"quiet\",\"dir\":\"/nowhere\",\"metrics\":[{\"source\":\"redis\",\"socket\":\"{run}/r.sock\",\"fields\":[]}],"
		"\"alerts\":[{\"name\":\"down\",\"metric\":\"redisless_up\",\"op\":\"below\",\"value\":1}]}]}";
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(config_done) struct config config = { 0 };
	SCOPED(sources_freep) struct sources *s = NULL;
	SCOPED_JSON *doc = NULL;
	struct paths paths;
	struct tally t = { 0 };

	(void)state;
	assert_int_equal(json_read(&doc, told, strlen(told), 4096, "config"), 0);
	assert_int_equal(config_read(&config, doc), 0);
	assert_int_equal(fs_paths(&paths, "/nowhere"), 0);
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(sources_new(&s, loop, &paths, &ops, &t), 0);
	assert_int_equal(sources_set(s, &config, NULL, 0), 0);
	probe(loop, s, false);
	assert_int_equal(t.watched + t.quiet, 0);
	sources_watch(s, config.rules, config.n_rules);
	probe(loop, s, false);
	probe(loop, s, false);
	assert_int_equal(t.watched, 2);
	assert_int_equal(t.quiet, 0);
	probe(loop, s, true);
	assert_int_equal(t.watched, 3);
	assert_int_equal(t.quiet, 1);
}

/* --- targets of the customer's own -------------------------------------------------------------------------- */
struct ground {
	sd_event *loop;
	struct sources *s;
	struct config config;
	char dir[32], dialed[80];
	int server;
};

static void
on_target_samples(const struct sample_set *samples, void *arg)
{
	(void)samples;
	(void)arg;
}

static void
on_dial(const char *service, unsigned port, void *arg)
{
	struct ground *g = arg;

	(void)snprintf(g->dialed, sizeof(g->dialed), "%s %u", service, port);
}

static int
set_up(void **state)
{
	static const struct sources_ops target_ops = { .fed = on_target_samples, .want = on_want, .dial = on_dial };
	static const char told[] = "{\"switch\":true,\"fields\":{},\"services\":[{\"name\":\"redis\",\"dir\":\"/nowhere\"}]}";
	static struct paths paths;
	struct ground *g = calloc(1, sizeof(*g));
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	SCOPED_JSON *doc = NULL;

	*state = g;
	assert_non_null(g);
	(void)snprintf(g->dir, sizeof(g->dir), "/tmp/mainstay-target-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", g->dir);
	g->server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(g->server, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(g->server, 4), 0);
	assert_int_equal(json_read(&doc, told, strlen(told), 4096, "config"), 0);
	assert_int_equal(config_read(&g->config, doc), 0);
	assert_int_equal(fs_paths(&paths, "/nowhere"), 0);
	assert_int_equal(loop_new(&g->loop, NULL, NULL), 0);
	assert_int_equal(sources_new(&g->s, g->loop, &paths, &target_ops, g), 0);
	return 0;
}

static int
tear_down(void **state)
{
	struct ground *g = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	int r = fs_remove_tree(tmp, strrchr(g->dir, '/') + 1);

	sources_free(g->s);
	config_done(&g->config);
	(void)close(g->server);
	sd_event_unref(g->loop);
	free(g);
	return r;
}

/* Answer one question at peer with "v 7"; its line and its host are checked. */
static void
answer(int peer, const char *want)
{
	static const char page[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\nv 7\n";
	char in[2048];
	ssize_t n = recv(peer, in, sizeof(in) - 1, 0);

	assert_true(n > 0);
	in[n] = '\0';
	if (strncmp(in, want, strlen(want)) != 0)
		fail_msg("asked \"%s\"", in);
	assert_int_equal(send(peer, page, sizeof(page) - 1, MSG_NOSIGNAL), sizeof(page) - 1);
	(void)close(peer);
}

/* What sources_collect() has of a service, but how long it took: "NAME=VALUE ". */
static void
check_collected(struct ground *g, const char *service, const char *want)
{
	SCOPED(sample_done) struct sample_set all = { 0 };
	char out[256] = "";

	sources_collect(g->s, &all, clock_now_us());
	for (size_t i = 0; i < all.n; i++)
		if (all.items[i].service && strcmp(all.items[i].service, service) == 0 &&
			strcmp(all.items[i].name, "scrape_duration_seconds") != 0)
			(void)snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s=%g ", all.items[i].name,
				all.items[i].real);
	assert_string_equal(out, want);
}

static void
a_target_is_asked_as_a_service_that_is_not_ours(void **state)
{
	struct ground *g = *state;
	struct target t[] = {
		{ .name = "shop", .host = "localhost", .path = "/m" },
		{ .name = "node", .address = "192.0.2.7", .port = 9100, .host = "192.0.2.7:9100", .path = "/metrics", .timeout_us = 1000000 },
	};
	int pair[2];

	(void)snprintf(t[0].socket, sizeof(t[0].socket), "%s/s", g->dir);
	assert_int_equal(sources_set(g->s, &g->config, t, 2), 0);
	sources_probe(g->s, true);
	assert_string_equal(g->dialed, "node 9100");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	sources_dialed(g->s, "node", 9100, pair[0]);
	for (int i = 0; i < 4; i++) /* the questions go out */
		assert_true(sd_event_run(g->loop, 1000) >= 0);
	answer(accept4(g->server, NULL, NULL, SOCK_CLOEXEC), "GET /m HTTP/1.1\r\nHost: localhost\r\n");
	answer(pair[1], "GET /metrics HTTP/1.1\r\nHost: 192.0.2.7:9100\r\n");
	while (sources_busy(g->s))
		assert_true(sd_event_run(g->loop, UINT64_MAX) >= 0);
	/* No word of a shim's, no processes. */
	check_collected(g, "shop", "v=7 up=1 scrape_samples_scraped=1 ");
}

static void
a_target_of_a_services_name_is_left_out(void **state)
{
	struct ground *g = *state;
	const struct target t[] = {
		{ .name = "redis", .port = 9100, .host = "h", .path = "/metrics", .line = 3, .column = 5 },
		{ .name = "node", .port = 9101, .host = "h", .path = "/metrics" },
	};
	uint64_t before = refuse_count(REASON_CONFLICT);

	assert_int_equal(sources_set(g->s, &g->config, t, 2), 0);
	assert_int_equal(refuse_count(REASON_CONFLICT), before + 1);
	assert_string_equal(refuse_last()->place, "mainstay.yaml:3:5");
	assert_non_null(strstr(refuse_last()->text, "a service has this name"));
	sources_probe(g->s, true);
	assert_string_equal(g->dialed, "node 9101"); /* the other one all the same */
	sources_dialed(g->s, "node", 9101, -1);
	while (sources_busy(g->s))
		assert_true(sd_event_run(g->loop, UINT64_MAX) >= 0);
	check_collected(g, "node", "up=0 scrape_samples_scraped=0 ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_target_is_asked_as_a_service_that_is_not_ours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_target_of_a_services_name_is_left_out, set_up, tear_down),
		cmocka_unit_test(only_what_a_rule_watches_is_asked_with_each_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
