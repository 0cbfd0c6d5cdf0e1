/* Which services are asked, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/loop/loop.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/sources.h"

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
		assert_true(sd_event_run(loop, UINT64_MAX) >= 0);
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
	assert_int_equal(sources_set(s, &config), 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_a_rule_watches_is_asked_with_each_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
