/* From a line in a service's log to a record: through the filter, the redactors, and the switch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/egress/filter.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/egress/redact.h"
#include "appliance/loop/loop.h"
#include "appliance/record/record.h"
#include "telemetry/collect/door.h"
#include "telemetry/collect/follow.h"
#include "telemetry/collect/sample.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/spool/spool.h"
#include "tests/fakes/scratch.h"
#include "tests/fakes/turn.h"

#define WRITER "/lib/systemd/systemd-journal-remote"

struct world {
	struct scratch s;
	sd_event *loop;
	struct spool *spool;
	struct door *door;
	struct follow *follow;
	struct config_settings settings;
	struct config config;
	bool on;
	unsigned told;
};

static bool
is_on(void *arg)
{
	return ((struct world *)arg)->on;
}

static void
on_written(struct spool *spool, uint64_t sequence, void *arg)
{
	struct world *w = arg;

	assert_string_equal(spool_stream(spool), "logs");
	w->told = (unsigned)sequence;
}

static const struct follow_ops ops = { .on = is_on, .written = on_written };

static void
tell_shape(struct world *w, const char *accepted, const char *shape)
{
	SCOPED_JSON *doc = json_pack(
		"{s:s, s:b, s:{s:s}, s:[{s:s, s:s, s:[{s:s, s:s, s:s, s:s}, {s:s}]}]}", "site", "site-7",
		"switch", 1, "fields", accepted, shape, "services", "name", "web", "dir", "/nowhere",
		"logs", "name", "app", "dir", w->s.path, "file", "web.log", "format", "json", "name",
		"without a folder");

	assert_non_null(doc);
	assert_int_equal(config_read(&w->config, doc), 0);
	assert_int_equal(door_set(w->door, &w->config), 0);
	assert_int_equal(follow_set(w->follow, &w->config), 0);
}

static void
tell(struct world *w, const char *accepted)
{
	tell_shape(w, accepted, "log file");
}

static int
setup(void **state)
{
	static const struct spool_limits limits = { .total_max = 4 * 1024 * 1024 };
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->s);
	w->on = true;
	w->settings.n_logs = 1;
	(void)snprintf(w->settings.logs[0].name, sizeof(w->settings.logs[0].name), "auth");
	(void)snprintf(w->settings.logs[0].file, sizeof(w->settings.logs[0].file), "%s/auth.log", w->s.path);
	assert_int_equal(loop_new(&w->loop, NULL, NULL), 0);
	assert_int_equal(spool_open(&w->spool, w->s.fd, "logs", &limits), 0);
	assert_int_equal(door_open(&w->door, w->s.fd, 0, true), 0);
	assert_int_equal(follow_new(&w->follow, w->loop, w->s.fd, w->spool, w->door, &w->settings, &ops,
		w), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	follow_free(w->follow);
	door_free(w->door);
	spool_close(w->spool);
	config_done(&w->config);
	sd_event_unref(w->loop);
	scratch_remove(&w->s);
	free(w);
	return 0;
}

static int
see(const struct otlp_record *r, void *arg)
{
	const struct otlp_value *service = otlp_decode_find(r->origin.resource, r->origin.n_resource,
		"service.name");

	buf_printf(arg, "%.*s %.*s %u %.*s|", service ? (int)service->text.len : 1,
		service ? service->text.p : "-", (int)r->origin.scope.len, r->origin.scope.p, r->severity,
		(int)r->body.text.len, r->body.text.p);
	return 0;
}

static void
assert_stored(struct world *w, const char *expected)
{
	static const struct otlp_decode_ops decode = { .record = see };
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf seen = BUF_MAX(65536);
	SCOPED(buf_done) struct buf plain = BUF_MAX(LEDGER_PLAIN_MAX);
	SCOPED(buf_done) struct buf in = BUF_MAX(LEDGER_RECORD_MAX);
	struct otlp_tally tally;
	struct ledger_entry e;
	const uint8_t *body;
	uint64_t sequence;
	size_t len;

	assert_int_equal(record_reader_open(&rd, w->s.fd, "logs", 1), 0);
	while (record_reader_next(rd, &in, &sequence) == 0) {
		assert_int_equal(ledger_decode(&e, in.data, in.len, "logs"), 0);
		assert_int_equal(ledger_plain(&e, &plain, &body, &len, "logs"), 0);
		assert_int_equal(otlp_decode_logs(body, len, &decode, &seen, &tally), 0);
	}
	assert_string_equal(buf_text(&seen), expected);
}

/* Until something was stored, or not in this time. */
static void
run(struct world *w, unsigned ms)
{
	uint64_t until = clock_mono_us() + ms * CLOCK_US_PER_MS;
	unsigned before = w->told;

	while (w->told == before && clock_mono_us() < until)
		assert_true(turn_alone(w->loop, 10 * CLOCK_US_PER_MS) >= 0);
}

static void
put(struct world *w, const char *name, const char *text)
{
	scratch_put(&w->s, name, text, strlen(text));
}

static void
an_accepted_log_is_followed_and_its_secrets_stay(void **state)
{
	struct world *w = *state;

	tell(w, "log.web.app");
	put(w, "web.log", "{\"level\":\"error\",\"msg\":\"key AKIAIOSFODNN7EXAMPLE is used\"}\n");
	put(w, "auth.log", "not accepted\n");
	run(w, 5000); /* by inotify alone */
	assert_int_equal(w->told, 1);
	assert_stored(w, "web log.web.app 17 {\"level\":\"error\",\"msg\":\"key [redacted:aws-key] is used\"}|");
}

/* What leaves under a pseudonym can be revealed, or does not leave. */
static void
no_record_is_written_whose_pseudonyms_cannot_be_kept(void **state)
{
	struct world *w = *state;
	SCOPED(buf_done) struct buf table = BUF_MAX(4096);

	redact_set_pseudonyms(door_outgoing(w->door)->redact, PSEUDONYM_DEFAULT);
	assert_int_equal(mkdirat(w->s.fd, PSEUDONYM_TABLE_NAME, 0700), 0);
	tell(w, "log.web.app");
	put(w, "web.log", "from 203.0.113.7\n");
	follow_look(w->follow);
	run(w, 100);
	assert_int_equal(w->told, 0);
	assert_stored(w, "");
	assert_int_equal(unlinkat(w->s.fd, PSEUDONYM_TABLE_NAME, AT_REMOVEDIR), 0);
	run(w, 20000);
	assert_int_equal(w->told, 1);
	assert_int_equal(fs_read(w->s.fd, PSEUDONYM_TABLE_NAME, 4096, &table), 0);
	assert_non_null(strstr(buf_text(&table), "\t203.0.113.7\n"));
}

static void
a_log_of_the_host_has_no_service(void **state)
{
	struct world *w = *state;

	tell(w, "log.host.auth");
	put(w, "auth.log", "one\n");
	follow_look(w->follow);
	run(w, 5000);
	assert_stored(w, "- log.host.auth 0 one|");
}

static void
what_is_not_accepted_waits_with_an_example_of_its_own(void **state)
{
	struct world *w = *state;
	SCOPED_JSON *waiting = NULL;
	SCOPED(scope_free) char *text = NULL;

	put(w, "web.log", "first\npassword=tulip42 for bob\n");
	tell(w, "log.other.app");
	follow_look(w->follow);
	run(w, 50);
	assert_int_equal(w->told, 0);
	waiting = filter_waiting(door_outgoing(w->door)->filter);
	text = json_dumps(waiting, 0);
	assert_non_null(strstr(text, "log.web.app"));
	assert_null(strstr(text, "tulip42"));
	assert_non_null(strstr(text, "for bob"));
}

static void
nothing_is_read_while_the_switch_is_off(void **state)
{
	struct world *w = *state;
	struct sample_set own = { 0 };
	size_t i;

	w->on = false;
	tell(w, "log.web.app");
	put(w, "web.log", "off\n");
	follow_look(w->follow);
	run(w, 50);
	w->on = true;
	follow_look(w->follow);
	put(w, "web.log", "off\non\n");
	follow_look(w->follow);
	run(w, 5000);
	assert_stored(w, "web log.web.app 0 on|");
	follow_own(w->follow, &own, 1, 2);
	for (i = 0; i < own.n; i++)
		if (strcmp(own.items[i].name, "mainstay_log_lines") == 0)
			assert_int_equal(own.items[i].whole, 1);
	assert_int_equal(own.n, 8);
	sample_done(&own);
}

static void
a_unit_of_the_journal_is_followed_and_previewed_by_the_same_door(void **state)
{
	static const struct otlp_decode_ops decode = { .record = see };
	static const char entry[] =
		"__REALTIME_TIMESTAMP=1795334400000000\n__MONOTONIC_TIMESTAMP=%u\n"
		"_BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT=ssh.service\nPRIORITY=4\n"
		"MESSAGE=key AKIAIOSFODNN7EXAMPLE for %s\n\n";
	SCOPED(buf_done) struct buf in = BUF_MAX(4096), out = BUF_MAX(65536), seen = BUF_MAX(4096);
	struct otlp_tally tally;
	struct world *w = *state;
	char path[128];
	size_t n;

	if (access(WRITER, X_OK) != 0) {
		print_message("skipped: nothing here writes a journal (package systemd-journal-remote)\n");
		skip();
	}
	w->settings.n_units = 1;
	w->settings.journal_level = 7;
	(void)snprintf(w->settings.units[0], sizeof(w->settings.units[0]), "ssh.service");
	(void)snprintf(w->settings.journal_dir, sizeof(w->settings.journal_dir), "%s", w->s.path);
	(void)snprintf(path, sizeof(path), "%s/system.journal", w->s.path);
	buf_printf(&in, entry, 1, "one");
	assert_int_equal(scratch_run(&w->s, (const char *const[]){ WRITER, "-o", path, "-", NULL }, in.data,
				 in.len, NULL), 0);
	tell(w, "log.web.app");
	assert_int_equal(follow_preview(w->door, &w->config, &w->settings, &out, &n), 0);
	assert_int_equal(n, 0); /* not accepted */
	SCOPED_JSON *waiting = filter_waiting(door_outgoing(w->door)->filter);
	SCOPED(scope_free) char *text = json_dumps(waiting, 0);

	assert_non_null(strstr(text, "key [redacted:aws-key] for one"));
	tell_shape(w, "log.journal.ssh.service", "log journal");
	assert_int_equal(follow_preview(w->door, &w->config, &w->settings, &out, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(otlp_decode_logs(out.data, out.len, &decode, &seen, &tally), 0);
	assert_string_equal(buf_text(&seen), "- log.journal.ssh.service 13 key [redacted:aws-key] for one|");
	buf_reset(&in);
	buf_printf(&in, entry, 2, "two");
	assert_int_equal(scratch_run(&w->s, (const char *const[]){ WRITER, "-o", path, "-", NULL }, in.data,
				 in.len, NULL), 0);
	run(w, 5000);
	assert_stored(w, "- log.journal.ssh.service 13 key [redacted:aws-key] for two|");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_accepted_log_is_followed_and_its_secrets_stay),
		CASE(no_record_is_written_whose_pseudonyms_cannot_be_kept),
		CASE(a_log_of_the_host_has_no_service),
		CASE(what_is_not_accepted_waits_with_an_example_of_its_own),
		CASE(nothing_is_read_while_the_switch_is_off),
		CASE(a_unit_of_the_journal_is_followed_and_previewed_by_the_same_door),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
