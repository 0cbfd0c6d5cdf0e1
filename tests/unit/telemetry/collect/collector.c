/* The collector whole: rules with telemetry off, nothing written while it is off, one record a period. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/loop.h"
#include "appliance/policy/switch.h"
#include "appliance/record/record.h"
#include "telemetry/collect/collector_room.h"
#include "telemetry/otlp/otlp_decode.h"
#include "tests/fakes/turn.h"

struct site {
	sd_event *loop;
	char path[40];
	int fd;
	struct paths paths;
	struct collector *collector;
	struct buf told;
};

static void
on_alert(const struct rule_alert *alert, void *arg)
{
	struct site *s = arg;

	buf_printf(&s->told, "%s %s; ", alert->rule->name, rule_told_text(alert->told));
}

static const struct collector_ops ops = { .alert = on_alert };

static int
setup(void **state)
{
	static const char *const folders[] = { "etc", "lib", "run/bus", "run/shim" };
	struct site *s = calloc(1, sizeof(*s));
	SCOPED(scope_close) int etc = -1;
	size_t i;

	if (!s)
		return -1;
	*state = s;
	s->told = BUF_MAX(4096);
	(void)snprintf(s->path, sizeof(s->path), "/tmp/mainstay-collect-XXXXXX");
	if (!mkdtemp(s->path) || loop_new(&s->loop, NULL, NULL) != 0 || fs_paths(&s->paths, s->path) != 0)
		return -1;
	s->fd = open(s->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	for (i = 0; i < ARRAY_LEN(folders); i++) {
		SCOPED(scope_close) int fd = -1;

		if (fs_open_dir(&fd, s->fd, folders[i], 0755) != 0)
			return -1;
	}
	if (fs_open_dir(&etc, s->fd, "etc", 0755) != 0 ||
		fs_replace(etc, "mainstay.yaml", "telemetry: {period: 1s}\n", 24, 0644) != 0)
		return -1;
	return collector_new(&s->collector, s->loop, &s->paths, &ops, s);
}

static int
teardown(void **state)
{
	struct site *s = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	collector_free(s->collector);
	sd_event_unref(s->loop);
	close(s->fd);
	buf_done(&s->told);
	(void)fs_remove_tree(tmp, strrchr(s->path, '/') + 1);
	free(s);
	return 0;
}

/* Turn by turn: a loop that has ended cannot begin again. */
static void
run_for(struct site *s, uint64_t ms)
{
	uint64_t until = clock_mono_us() + ms * CLOCK_US_PER_MS;

	while (clock_mono_us() < until)
		assert_true(turn_alone(s->loop, 10 * CLOCK_US_PER_MS) >= 0);
}

/* One service that never ran, with an alert on that its being up is below so much. */
static void
tell_below(struct site *s, bool on, const char *class_fate, int value)
{
	SCOPED_JSON *doc = json_pack("{s:s, s:b, s:{s:s, s:s}, s:{s:s}, s:[{s:s, s:s, s:[{s:s, s:s, s:s, s:i}]}]}",
		"site", "site-1", "switch", on, "fields", "alert.redis.down", "", "inventory.os", "", "classes", "metric", class_fate, "services", "name",
		"redis", "dir", "/nowhere", "alerts", "name", "down", "metric", "mainstay_service_up", "op",
		"below", "value", value);

	assert_non_null(doc);
	assert_int_equal(collector_config(s->collector, doc), 0);
}

static void
tell(struct site *s, bool on, const char *class_fate)
{
	tell_below(s, on, class_fate, 1);
}

static int
count_point(const struct otlp_point *p, void *arg)
{
	struct buf *names = arg;

	buf_puts(names, " ");
	buf_put(names, p->name.p, p->name.len);
	return 0;
}

static const struct otlp_decode_ops count = { .point = count_point };

/* How many records a stream has; the names of the last one's points. */
static size_t
records(const struct site *s, const char *stream, struct buf *names)
{
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	SCOPED(scope_close) int fd = -1;
	struct otlp_tally tally;
	struct ledger_entry e;
	uint64_t sequence;
	size_t n = 0;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry/spool", 0750), 0);
	assert_int_equal(record_reader_open(&rd, fd, stream, 1), 0);
	while (record_reader_next(rd, &in, &sequence) == 0) {
		n++;
		assert_int_equal(ledger_decode(&e, in.data, in.len, stream), 0);
		if (names && strcmp(e.path, "/v1/metrics") == 0) {
			buf_reset(names);
			assert_int_equal(otlp_decode_metrics(e.body, e.body_len, &count, names, &tally),
				0);
		}
	}
	return n;
}

static void
off_writes_nothing_and_alerts_all_the_same(void **state)
{
	struct site *s = *state;
	SCOPED_JSON *nonsense = json_array();

	tell(s, false, "send");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1400);
	assert_string_equal(buf_text(&s->told), "down firing; ");
	assert_int_equal(records(s, "metrics", NULL), 0);
	assert_int_equal(records(s, "alerts", NULL), 0);
	assert_int_equal(collector_config(s->collector, nonsense), REASON_MALFORMED);

	/* On: what fires already is sent now, once. */
	tell(s, true, "send");
	assert_int_equal(records(s, "alerts", NULL), 1);
	tell(s, true, "send");
	assert_int_equal(records(s, "alerts", NULL), 1);
}

static void
on_writes_one_record_a_period_until_the_off_file(void **state)
{
	struct site *s = *state;
	SCOPED(buf_done) struct buf names = BUF_MAX(65536);
	size_t n;

	tell(s, true, "send");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1400);
	assert_int_equal(records(s, "alerts", NULL), 1);
	assert_int_equal(records(s, "metrics", &names), 1);
	assert_non_null(strstr(buf_text(&names), " host_cpu_seconds"));
	assert_non_null(strstr(buf_text(&names), " mainstay_service_up"));
	assert_null(strstr(buf_text(&names), " host_filesystem_")); /* waits for review */
	assert_int_equal(switch_write_off(&s->paths, SWITCH_TELEMETRY), 0);
	run_for(s, 1200);
	n = records(s, "metrics", NULL);
	assert_int_equal(n, 1);
	assert_int_equal(switch_remove_off(&s->paths, SWITCH_TELEMETRY), 0);
	run_for(s, 1200);
	assert_true(records(s, "metrics", NULL) > n);
}

/* Or it stands in the vendor's inbox for ever. */
static void
an_end_while_off_is_told_once_it_is_on(void **state)
{
	struct site *s = *state;

	tell(s, true, "keep");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 300);
	assert_int_equal(records(s, "alerts", NULL), 1);
	tell(s, false, "keep");
	tell_below(s, false, "keep", 0); /* another rule: the alert ends */
	assert_string_equal(buf_text(&s->told), "down firing; down resolved; ");
	assert_int_equal(records(s, "alerts", NULL), 1);
	/* Over a restart, too. */
	s->collector = collector_free(s->collector);
	assert_int_equal(collector_new(&s->collector, s->loop, &s->paths, &ops, s), 0);
	assert_int_equal(records(s, "alerts", NULL), 1);
	tell_below(s, true, "keep", 0);
	assert_int_equal(records(s, "alerts", NULL), 2);
	tell_below(s, false, "keep", 0);
	tell_below(s, true, "keep", 0);
	assert_int_equal(records(s, "alerts", NULL), 2);
	assert_string_equal(buf_text(&s->told), "down firing; down resolved; ");
}

static void
a_class_that_is_kept_leaves_no_record(void **state)
{
	struct site *s = *state;

	tell(s, true, "keep");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1400);
	assert_int_equal(records(s, "metrics", NULL), 0);
	assert_int_equal(records(s, "alerts", NULL), 1);
}

static int
ended(const struct site *s)
{
	int code = -1;

	return sd_event_get_state(s->loop) == SD_EVENT_FINISHED && sd_event_get_exit_code(s->loop, &code) >= 0 ? code : -1;
}

static void
put_settings(const struct site *s, const char *text)
{
	SCOPED(scope_close) int etc = -1;

	assert_int_equal(fs_open_dir(&etc, s->fd, "etc", 0755), 0);
	assert_int_equal(fs_replace(etc, "mainstay.yaml", text, strlen(text), 0644), 0);
}

/* Preview reads them as they are: who ships must not differ for long. */
static void
settings_that_change_are_begun_anew_with(void **state)
{
	struct site *s = *state;
	uint64_t before = refuse_count(REASON_UNKNOWN_FIELD);

	tell(s, true, "send");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1200);
	assert_int_equal(ended(s), -1);
	put_settings(s, "telemetry: {perod: 2s}\n");
	run_for(s, 2200);
	assert_int_equal(ended(s), -1); /* what was understood goes on */
	assert_int_equal(refuse_count(REASON_UNKNOWN_FIELD), before + 1); /* said once */
	put_settings(s, "telemetry: {period: 2s}\n");
	for (int i = 0; i < 500 && ended(s) < 0; i++)
		assert_true(turn_alone(s->loop, 10 * CLOCK_US_PER_MS) >= 0);
	assert_int_equal(ended(s), 0);
}

static void
inventory_leaves_once_whole_and_again_when_asked(void **state)
{
	struct site *s = *state;
	SCOPED(buf_done) struct buf waiting = BUF_MAX(1 << 20);
	SCOPED(scope_close) int dir = -1;

	tell(s, false, "send");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1200);
	assert_int_equal(records(s, "inventory", NULL), 0);
	tell(s, true, "send");
	run_for(s, 2200);
	assert_int_equal(records(s, "inventory", NULL), 1); /* os, once; the others wait to be accepted */
	assert_int_equal(fs_open_dir(&dir, s->fd, "lib/telemetry", 0750), 0);
	assert_int_equal(fs_read(dir, "waiting.json", waiting.max, &waiting), 0);
	assert_non_null(strstr(buf_text(&waiting), "\"inventory.packages\""));
	assert_null(strstr(buf_text(&waiting), "\"inventory.os\""));
	s->collector = collector_free(s->collector);
	assert_int_equal(collector_new(&s->collector, s->loop, &s->paths, &ops, s), 0);
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1200);
	assert_int_equal(records(s, "inventory", NULL), 1);
	assert_int_equal(unlinkat(dir, "inventory.json", 0), 0);
	run_for(s, 2200);
	assert_int_equal(records(s, "inventory", NULL), 2);
}

static void
a_restart_goes_on_by_the_last_config_and_tells_nothing_twice(void **state)
{
	struct site *s = *state;

	tell(s, true, "send");
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 300);
	assert_string_equal(buf_text(&s->told), "down firing; ");
	s->collector = collector_free(s->collector);
	assert_int_equal(collector_new(&s->collector, s->loop, &s->paths, &ops, s), 0);
	assert_int_equal(collector_start(s->collector), 0);
	run_for(s, 1400);
	assert_string_equal(buf_text(&s->told), "down firing; ");
	assert_int_equal(records(s, "alerts", NULL), 1);
	assert_int_equal(records(s, "metrics", NULL), 1);
	collector_each(s->collector, on_alert, s);
	assert_string_equal(buf_text(&s->told), "down firing; down firing; ");
}

/* What the cap pushed out the vendor never heard: what fires is said again, once there is room. */
static void
what_fires_is_said_again_after_a_loss(void **state)
{
	struct site *s = *state;
	struct collector *c = s->collector;
	size_t n;

	tell(s, true, "keep");
	assert_int_equal(collector_start(c), 0);
	run_for(s, 300);
	n = records(s, "alerts", NULL);
	assert_true(n > 0 && c->alerts_end == n);
	collector_alerts_committed(c, c->alerts_end); /* nothing was lost */
	assert_int_equal(records(s, "alerts", NULL), n);
	c->alerts_lost = 7;
	collector_alerts_committed(c, c->alerts_end - 1); /* no room yet */
	assert_int_equal(records(s, "alerts", NULL), n);
	collector_alerts_committed(c, c->alerts_end);
	assert_int_equal(records(s, "alerts", NULL), n + 1);
	collector_alerts_committed(c, c->alerts_end);
	assert_int_equal(records(s, "alerts", NULL), n + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_fires_is_said_again_after_a_loss, setup, teardown),
		cmocka_unit_test_setup_teardown(off_writes_nothing_and_alerts_all_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(settings_that_change_are_begun_anew_with, setup, teardown),
		cmocka_unit_test_setup_teardown(on_writes_one_record_a_period_until_the_off_file, setup,
			teardown),
		cmocka_unit_test_setup_teardown(an_end_while_off_is_told_once_it_is_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_class_that_is_kept_leaves_no_record, setup, teardown),
		cmocka_unit_test_setup_teardown(inventory_leaves_once_whole_and_again_when_asked, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_restart_goes_on_by_the_last_config_and_tells_nothing_twice, setup, teardown),
	};

	log_open("collector", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
