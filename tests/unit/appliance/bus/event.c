#include "appliance/bus/event.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "appliance/base/fs.h"
#include "appliance/loop/loop.h"

static char folder[64];

static int
make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/mainstay-event-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
	(void)state;
	return fs_remove_tree(AT_FDCWD, folder);
}

struct test {
	sd_event *loop;
	struct event_publisher *pub;
	struct event_subscriber *sub;
	struct loop_timer *timer;
	int n, wanted;
};

static void
on_event(const char *topic, const char *text, void *arg)
{
	struct test *t = arg;

	assert_string_equal(topic, "sample.redis");
	assert_string_equal(text, "{\"up\":1}");
	if (++t->n == t->wanted) {
		t->sub = event_unsubscribe(t->sub); /* from within */
		(void)sd_event_exit(t->loop, 0);
	}
}

/* A subscriber that is not connected yet misses events, so they are repeated. */
static void
publish(void *arg)
{
	struct test *t = arg;

	assert_int_equal(event_publish(t->pub, "other", "no"), 0);
	assert_int_equal(event_publish(t->pub, "sample.redis", "{\"up\":1}"), 0);
	assert_int_equal(loop_after(&t->timer, t->loop, 5, publish, t), 0);
}

static void
open_late(void *arg)
{
	struct test *t = arg;

	assert_int_equal(event_publisher_open(&t->pub, folder, "late"), 0);
	publish(t);
}

static void
subscribers_hear_their_topics(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct test t = { .wanted = 3 };

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	t.loop = loop;
	assert_int_equal(event_publisher_open(&t.pub, folder, "now"), 0);
	assert_int_equal(event_subscribe(&t.sub, loop, folder, "now", "sample.", on_event, &t), 0);
	assert_int_equal(loop_after(&t.timer, loop, 0, publish, &t), 0);
	assert_int_equal(loop_run(loop), 0);
	loop_cancel(t.timer);
	event_publisher_close(t.pub);
}

static void
a_publisher_may_come_later(void **state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	struct test t = { .wanted = 1 };

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	t.loop = loop;
	assert_int_equal(event_subscribe(&t.sub, loop, folder, "late", "sample.", on_event, &t), 0);
	assert_int_equal(loop_after(&t.timer, loop, 50, open_late, &t), 0);
	assert_int_equal(loop_run(loop), 0);
	loop_cancel(t.timer);
	event_publisher_close(t.pub);
}

static void
what_is_too_long_is_not_published(void **state)
{
	SCOPED(event_publisher_closep) struct event_publisher *pub = NULL, *other = NULL;
	char topic[EVENT_TOPIC_MAX + 2], name[200];

	(void)state;
	memset(topic, 't', sizeof(topic));
	topic[sizeof(topic) - 1] = '\0';
	assert_int_equal(event_publisher_open(&pub, folder, "long"), 0);
	assert_int_equal(event_publish(pub, topic, "x"), -EMSGSIZE);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(event_publisher_open(&other, folder, name), -ENAMETOOLONG);
	assert_null(other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subscribers_hear_their_topics),
		cmocka_unit_test(a_publisher_may_come_later),
		cmocka_unit_test(what_is_too_long_is_not_published),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
