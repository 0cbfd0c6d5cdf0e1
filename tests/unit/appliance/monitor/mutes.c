/* Mutes by hand and of changes: who is told what, and when it is over. */
#include "appliance/monitor/mutes.h"

#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S)
#define DEFINITION                                                                                 \
	"name: redis\nversion: \"7\"\nexec: [/bin/run]\npayload: {tree: tree}\n"                   \
	"alerts:\n  - {name: RedisDown, metric: redis_up, op: below, value: 1, text: down}\n"

static const char release[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static void
put(const char *folder, const char *name, const void *p, size_t len)
{
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, AT_FDCWD, folder, 0755), 0);
	assert_int_equal(fs_replace(fd, name, p, len, 0644), 0);
}

static int
set_up(void **state)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	struct lock_entry e = { .service = "redis", .version = "7", .channel = "stable", .counter = 1 };
	static const char cluster[] = "services:\n  redis:\n    channel: stable\n    stopped: true\n";
	struct lock lock = { 0 };
	struct site_test *t;
	char path[512], name[128];

	clock_fake(NOW, 5000 * CLOCK_US_PER_S);
	assert_int_equal(site_set_up(state), 0);
	t = *state;
	assert_int_equal(definition_compile(&d, DEFINITION, strlen(DEFINITION), "service.yaml", t->dir.fd), 0);
	assert_int_equal(definition_write(d, &b), 0);
	(void)snprintf(path, sizeof(path), "%s/store", t->paths.lib);
	(void)snprintf(name, sizeof(name), "%s.definition.json", release);
	put(path, name, b.data, b.len);
	memcpy(e.release, release, sizeof(release));
	assert_int_equal(lock_put(&lock, &e), 0);
	assert_int_equal(lock_write(&lock, &t->paths), 0);
	put(t->paths.etc, "cluster.yaml", cluster, sizeof(cluster) - 1);
	services_reload(t->m);
	site_settle(t);
	assert_int_equal(services_count(t->m), 1);
	return 0;
}

static int
tear_down(void **state)
{
	clock_real();
	return site_tear_down(state);
}

static int
mute(struct site_test *t, const char *target, const char *for_s, const char *reason)
{
	return site_control(t, "alert.mute",
		json_pack("{s:s, s:s, s:s}", "target", target, "for_s", for_s, "reason", reason));
}

static void
tick(struct site_test *t, unsigned seconds)
{
	clock_fake(NOW + seconds * CLOCK_US_PER_S, (5000 + seconds) * CLOCK_US_PER_S);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (strcmp(t->m->modules[i].module->name, "mutes") == 0)
			t->m->modules[i].module->tick(t->m, clock_now_us(), t->m->modules[i].arg);
}

/* What the collector is told, as one text. */
static const char *
told(struct site_test *t, struct buf *out)
{
	SCOPED_JSON *hello = NULL;
	const json_t *item;
	size_t i;

	buf_reset(out);
	assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "collect.hello", NULL, NULL, 0, &hello), 0);
	json_array_foreach(json_object_get(hello, "mutes"), i, item) {
		assert_null(json_object_get(item, "reason"));
		assert_null(json_object_get(item, "by"));
		buf_printf(out, "%s.%s %s %s; ", json_text(item, "service"), json_text(item, "name"),
			json_text(item, "why"), json_text(item, "until"));
	}
	return buf_text(out);
}

static void
by_hand_it_is_a_leaf_and_lasts_over_a_restart(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct site_test *t = *state;

	assert_int_equal(mute(t, "redis.RedisDown", "3600", "disk is changed"), 0);
	assert_string_equal(site_last_leaf(t),
		"alert mute redis.RedisDown until 2026-11-18T12:06:40.000Z: disk is changed");
	assert_string_equal(told(t, &b), "redis.RedisDown by hand 2026-11-18T12:06:40.000Z; ");
	site_restart(t);
	assert_string_equal(told(t, &b), "redis.RedisDown by hand 2026-11-18T12:06:40.000Z; ");
	assert_int_equal(mute(t, "redis.RedisDown", "60", "sooner"), 0); /* the same one, anew */
	assert_string_equal(told(t, &b), "redis.RedisDown by hand 2026-11-18T11:07:40.000Z; ");
	assert_int_equal(site_control(t, "alert.unmute", json_pack("{s:s}", "target", "redis.RedisDown")), 0);
	assert_string_equal(site_last_leaf(t), "alert unmute redis.RedisDown");
	assert_string_equal(told(t, &b), "");
}

static void
it_ends_by_itself(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct site_test *t = *state;

	assert_int_equal(mute(t, "redis", "60", "a"), 0);
	assert_int_equal(mute(t, "host", "120", "b"), 0);
	tick(t, 59);
	assert_string_equal(told(t, &b),
		"redis. by hand 2026-11-18T11:07:40.000Z; host. by hand 2026-11-18T11:08:40.000Z; ");
	tick(t, 60);
	assert_string_equal(told(t, &b), "host. by hand 2026-11-18T11:08:40.000Z; ");
	site_restart(t);
	assert_string_equal(told(t, &b), "host. by hand 2026-11-18T11:08:40.000Z; ");
	tick(t, 120);
	assert_string_equal(told(t, &b), "");
}

/* The clock was wrong by years when it was made. */
static void
one_that_would_last_for_years_has_ended(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct site_test *t = *state;

	assert_int_equal(mute(t, "redis", "60", "a"), 0);
	clock_fake(NOW - 10 * 86400 * CLOCK_US_PER_S, 5001 * CLOCK_US_PER_S);
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (strcmp(t->m->modules[i].module->name, "mutes") == 0)
			t->m->modules[i].module->tick(t->m, clock_now_us(), t->m->modules[i].arg);
	assert_string_equal(told(t, &b), "");
}

static void
of_a_change_it_ends_with_it(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct site_test *t = *state;

	mutes_hold(t->m, "redis", "update", 3600);
	mutes_hold(t->m, "redis", "operation q1", 20);
	assert_string_equal(told(t, &b), "redis. update 2026-11-18T12:06:40.000Z; "
					 "redis. operation q1 2026-11-18T11:07:00.000Z; ");
	tick(t, 20); /* the operation said nothing more: it is over */
	assert_string_equal(told(t, &b), "redis. update 2026-11-18T12:06:40.000Z; ");
	mutes_release(t->m, "redis", "operation q1");
	mutes_release(t->m, "redis", "update");
	assert_string_equal(told(t, &b), "redis. update 2026-11-18T11:07:10.000Z; ");
	tick(t, 30);
	assert_string_equal(told(t, &b), "");
	mutes_hold(t->m, "redis", "update", 3600);
	site_restart(t); /* whoever goes on with the change says so again */
	assert_string_equal(told(t, &b), "");
}

static void
what_cannot_be_muted_is_refused(void **state)
{
	static const char long_word[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
					"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct site_test *t = *state;
	char target[32], reason[300];

	(void)snprintf(reason, sizeof(reason), "%0201d", 0);
	site_refused(t, site_control(t, "alert.mute", NULL), REASON_USAGE);
	site_refused(t, mute(t, "redis", "59", "a"), REASON_USAGE);
	site_refused(t, mute(t, "redis", "604801", "a"), REASON_USAGE);
	site_refused(t, mute(t, "redis", "60", ""), REASON_USAGE);
	site_refused(t, mute(t, "redis", "60", reason), REASON_USAGE);
	site_refused(t, mute(t, "redis", "60", "a\nb"), REASON_USAGE);
	site_refused(t, mute(t, "", "60", "a"), REASON_USAGE);
	site_refused(t, mute(t, long_word, "60", "a"), REASON_USAGE);
	site_refused(t, mute(t, "rdis", "60", "a"), REASON_NOT_FOUND);
	site_refused(t, mute(t, "rdis.RedisDown", "60", "a"), REASON_NOT_FOUND);
	site_refused(t, mute(t, "redis.", "60", "a"), REASON_NOT_FOUND);
	site_refused(t, mute(t, "redis.RedisDwn", "60", "a"), REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "did you mean \"RedisDown\""));
	site_refused(t, mute(t, "host.Load", "60", "a"), REASON_NOT_FOUND);
	site_refused(t, site_control(t, "alert.unmute", NULL), REASON_USAGE);
	site_refused(t, site_control(t, "alert.unmute", json_pack("{s:s}", "target", "redis")), REASON_NOT_FOUND);
	site_refused(t, site_control(t, "alert.unmute", json_pack("{s:s}", "target", "none")), REASON_NOT_FOUND);
	/* One of the customer's own rules: the command knows them. */
	for (int i = 0; i < MUTES_HAND_MAX; i++) {
		(void)snprintf(target, sizeof(target), "host.A%d", i);
		assert_int_equal(site_control(t, "alert.mute", json_pack("{s:s, s:s, s:s, s:s}", "target", target,
					 "for_s", "60", "reason", "a", "own", "1")), 0);
	}
	site_refused(t, mute(t, "redis", "60", "a"), REASON_BUSY);
}

static void
too_many_changes_are_heard(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(16384);
	struct site_test *t = *state;
	char why[32];

	for (int i = 0; i <= MUTES_HELD_MAX; i++) {
		(void)snprintf(why, sizeof(why), "operation %d", i);
		mutes_hold(t->m, "redis", why, 60);
	}
	assert_non_null(strstr(told(t, &b), "operation 31 "));
	assert_null(strstr(told(t, &b), "operation 32 "));
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		ROW(by_hand_it_is_a_leaf_and_lasts_over_a_restart),
		ROW(it_ends_by_itself),
		ROW(one_that_would_last_for_years_has_ended),
		ROW(of_a_change_it_ends_with_it),
		ROW(what_cannot_be_muted_is_refused),
		ROW(too_many_changes_are_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
