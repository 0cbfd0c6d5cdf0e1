/* Entries of the journal, as systemd-journal-remote writes them: those of the named units, each once, over kills, reboots
 * and vacuuming. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <endian.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/loop.h"
#include "appliance/record/record.h"
#include "telemetry/logs/log_file.h"
#include "telemetry/logs/log_journal.h"
#include "telemetry/logs/logs.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/spool/spool.h"
#include "tests/fakes/scratch.h"

#define WRITER "/lib/systemd/systemd-journal-remote"
#define BOOT_1 "0123456789abcdef0123456789abcdef"
#define BOOT_2 "fedcba9876543210fedcba9876543210"
#define NOW_US (UINT64_C(1795334400) * CLOCK_US_PER_S)

enum { UNITS = 3 };

struct world {
	struct scratch s;
	char dir[96];
	sd_event *loop;
	struct spool *spool;
	struct logs *logs;
	struct logs_source sources[UNITS];
	bool may[UNITS];
	char examples[UNITS][128];
	uint64_t mono_us, entry_us;
	const char *boot;
	struct buf pending; /* entries that are not in a file yet */
};

static int
redact(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg)
{
	const char *p = line, *at = len ? memmem(p, len, "hunter2", 7) : NULL;

	(void)arg;
	(void)secret_lines;
	buf_put(out, p, at ? (size_t)(at - p) : len);
	if (at) {
		buf_puts(out, "[redacted]");
		buf_put(out, at + 7, len - (size_t)(at - p) - 7);
	}
	return buf_error(out);
}

static bool
may(const struct logs_source *source, const char *example, void *arg)
{
	struct world *w = arg;
	size_t i;

	for (i = 0; strcmp(w->sources[i].unit, source->unit) != 0; i++)
		;
	if (*example)
		(void)snprintf(w->examples[i], sizeof(w->examples[i]), "%s", example);
	return w->may[i];
}

static const struct logs_ops ops = { .redact = redact, .may = may };

static void
start(struct world *w)
{
	static const struct spool_limits limits = { .total_max = 64 * 1024 * 1024 };

	assert_int_equal(spool_open(&w->spool, w->s.fd, "logs", &limits), 0);
	assert_int_equal(logs_new(&w->logs, w->loop, w->s.fd, w->spool, &ops, w), 0);
	logs_site(w->logs, "site-7");
	assert_int_equal(logs_set(w->logs, w->sources, UNITS), 0);
}

/* As kill -9 leaves it. */
static void
stop(struct world *w)
{
	w->logs = logs_free(w->logs);
	w->spool = spool_close(w->spool);
}

/* --- writing the journal --------------------------------------------------------------------------------------------- */
static void
put_bytes(struct world *w, const char *name, const void *p, size_t len)
{
	uint64_t size = htole64(len);

	buf_printf(&w->pending, "%s\n", name);
	buf_put(&w->pending, &size, sizeof(size));
	buf_put(&w->pending, p, len);
	buf_puts(&w->pending, "\n");
}

/* fields: "NAME=VALUE\n..." beside the message. */
static void
entry(struct world *w, const char *fields, const void *message, size_t len)
{
	w->entry_us += 1000;
	buf_printf(&w->pending, "__REALTIME_TIMESTAMP=%" PRIu64 "\n__MONOTONIC_TIMESTAMP=%" PRIu64 "\n_BOOT_ID=%s\n%s",
		w->entry_us, w->entry_us - NOW_US, w->boot, fields);
	if (message)
		put_bytes(w, "MESSAGE", message, len);
	buf_puts(&w->pending, "\n");
}

static void
say(struct world *w, const char *unit, unsigned priority, const char *message)
{
	char fields[256];

	(void)snprintf(fields, sizeof(fields), "_SYSTEMD_UNIT=%s\nPRIORITY=%u\n", unit, priority);
	entry(w, fields, message, strlen(message));
}

/* Into this file of the journal's folder. */
static void
write_to(struct world *w, const char *name)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	assert_int_equal(scratch_run(&w->s, (const char *const[]){ WRITER, "-o", path, "-", NULL },
				 w->pending.data, w->pending.len, NULL), 0);
	buf_reset(&w->pending);
}

static void
write_all(struct world *w)
{
	write_to(w, "system.journal");
}

static int
setup(void **state)
{
	static const char *const names[UNITS][2] = { { "a.service", "log.journal.a.service" },
		{ "b.service", "log.journal.b.service" }, { "c.service", "log.journal.c.service" } };
	struct world *w = calloc(1, sizeof(*w));
	size_t i;

	assert_non_null(w);
	scratch_make(&w->s);
	(void)snprintf(w->dir, sizeof(w->dir), "%s/journal", w->s.path);
	assert_int_equal(mkdir(w->dir, 0755), 0);
	assert_int_equal(loop_new(&w->loop, NULL, NULL), 0);
	for (i = 0; i < UNITS; i++)
		w->sources[i] = (struct logs_source){
			.unit = names[i][0], .field = names[i][1], .dir = w->dir, .level = 7
		};
	w->may[0] = w->may[1] = true;
	w->pending = BUF_MAX(8 * 1024 * 1024);
	w->boot = BOOT_1;
	w->mono_us = 1000 * CLOCK_US_PER_S;
	w->entry_us = NOW_US;
	clock_fake(NOW_US, w->mono_us);
	*state = w;
	if (access(WRITER, X_OK) != 0)
		return 0;
	say(w, "a.service", 6, "before");
	write_all(w);
	start(w);
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	stop(w);
	sd_event_unref(w->loop);
	scratch_remove(&w->s);
	buf_done(&w->pending);
	clock_real();
	free(w);
	return 0;
}

/* --- what came of it -------------------------------------------------------------------------------------------------- */
static void
read_now(struct world *w)
{
	w->mono_us += 15 * CLOCK_US_PER_S;
	clock_fake(NOW_US, w->mono_us);
	logs_look(w->logs);
	assert_int_equal(logs_drain(w->logs), 0);
}

static int
see(const struct otlp_record *r, void *arg)
{
	const struct otlp_value *boot, *identifier;
	struct buf *seen = arg;

	assert_int_equal(strncmp(r->origin.scope.p, "log.journal.", 12), 0);
	assert_int_equal(r->body.kind, OTLP_VALUE_TEXT);
	boot = otlp_decode_find(r->attributes, r->n_attributes, "journal.boot");
	identifier = otlp_decode_find(r->attributes, r->n_attributes, "journal.identifier");
	assert_non_null(boot);
	buf_printf(seen, "%c%c%u", r->origin.scope.p[12], boot->text.p[0], r->severity);
	if (identifier)
		buf_printf(seen, "(%.*s)", (int)identifier->text.len, identifier->text.p);
	buf_puts(seen, " ");
	if (r->body.text.len > 200)
		buf_printf(seen, "<%zu>", r->body.text.len);
	else
		buf_put(seen, r->body.text.p, r->body.text.len);
	buf_puts(seen, "|");
	assert_true(r->time_ns / 1000 >= NOW_US - CLOCK_US_PER_S);
	return 0;
}

static void
assert_shipped(struct world *w, const char *expected)
{
	static const struct otlp_decode_ops decode = { .record = see };
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf seen = BUF_MAX(1024 * 1024), plain = BUF_MAX(LEDGER_PLAIN_MAX);
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

static struct logs_count
counted(const struct world *w)
{
	struct logs_count c;

	logs_counted(w->logs, &c);
	return c;
}

static struct world *
need(void **state)
{
	if (access(WRITER, X_OK) != 0) {
		print_message("skipped: nothing here writes a journal (package systemd-journal-remote)\n");
		skip();
	}
	return *state;
}

/* --- rows ---------------------------------------------------------------------------------------------------------------- */
static void
entries_of_the_named_units_leave_with_when_how_bad_whose_and_of_which_boot(void **state)
{
	struct world *w = need(state);

	say(w, "a.service", 3, "failed for hunter2");
	say(w, "other.service", 0, "not asked for");
	entry(w, "_SYSTEMD_UNIT=b.service\nSYSLOG_IDENTIFIER=prog\n_SOURCE_REALTIME_TIMESTAMP=1795334399500000\n",
		"no priority", 11);
	entry(w, "_SYSTEMD_UNIT=b.service\nPRIORITY=7\nSYSLOG_IDENTIFIER=hunter2\n", "debug", 5);
	entry(w, "_SYSTEMD_UNIT=b.service\nPRIORITY=9\nSYSLOG_IDENTIFIER=no $label\n", "odd", 3);
	entry(w, "_SYSTEMD_UNIT=init.scope\n_PID=1\nUNIT=a.service\nPRIORITY=5\n", "Started a.", 10);
	entry(w, "_SYSTEMD_UNIT=x.service\n_PID=7\nUNIT=a.service\n", "says that it is a", 17);
	entry(w, "_SYSTEMD_UNIT=a.service\nPRIORITY=6\n", NULL, 0);
	write_all(w);
	read_now(w);
	assert_shipped(w, "a017 failed for [redacted]|b00(prog) no priority|b05([redacted]) debug|b00 odd|a010 Started a.|");
	read_now(w);
	assert_int_equal(counted(w).batch.lines, 5);
	assert_int_equal(counted(w).lost, 0);
}

static void
a_text_is_one_line_whatever_it_holds(void **state)
{
	struct world *w = need(state);
	char *large = malloc(LOG_LINE_MAX + 10);

	assert_non_null(large);
	memset(large, 'x', LOG_LINE_MAX + 10);
	entry(w, "_SYSTEMD_UNIT=a.service\n", "two\nlines\377\0end", 14);
	entry(w, "_SYSTEMD_UNIT=a.service\n", large, LOG_LINE_MAX);
	entry(w, "_SYSTEMD_UNIT=a.service\n", large, LOG_LINE_MAX + 1);
	free(large);
	write_all(w);
	read_now(w);
	assert_shipped(w, "a00 two\nlines\\xFF\\x00end|a00 <262144>|a00 <262144>|");
	assert_int_equal(counted(w).cut, 1);
}

static void
the_level_that_was_asked_for_is_all_that_is_read(void **state)
{
	struct world *w = need(state);

	stop(w);
	w->sources[0].level = 4;
	start(w);
	say(w, "a.service", 4, "warning");
	say(w, "a.service", 5, "notice");
	entry(w, "_SYSTEMD_UNIT=init.scope\n_PID=1\nUNIT=a.service\nPRIORITY=6\n", "Started a.", 10);
	say(w, "a.service", 0, "emergency");
	say(w, "b.service", 7, "debug");
	write_all(w);
	read_now(w);
	assert_shipped(w, "a013 warning|a021 emergency|b05 debug|");
	say(w, "a.service", 6, "while it was warnings");
	write_all(w);
	stop(w);
	w->sources[0].level = 6;
	start(w);
	say(w, "a.service", 6, "info");
	write_all(w);
	read_now(w);
	assert_shipped(w, "a013 warning|a021 emergency|b05 debug|a09 info|");
}

static void
after_a_kill_and_a_boot_it_goes_on_behind_what_is_stored(void **state)
{
	struct world *w = need(state);

	say(w, "a.service", 6, "1");
	write_all(w);
	read_now(w);
	stop(w);
	start(w);
	read_now(w);
	assert_shipped(w, "a09 1|");
	say(w, "b.service", 6, "2");
	write_all(w);
	stop(w); /* it has not seen 2 */
	w->boot = BOOT_2;
	say(w, "a.service", 6, "3");
	write_to(w, "system-later.journal");
	start(w);
	read_now(w);
	assert_shipped(w, "a09 1|b09 2|af9 3|");
	say(w, "a.service", 6, "4");
	write_to(w, "system-later.journal");
	stop(w);
	start(w);
	read_now(w);
	assert_shipped(w, "a09 1|b09 2|af9 3|af9 4|");
	assert_int_equal(counted(w).lost, 0);
}

static void
a_unit_that_is_accepted_begins_behind_what_there_is_and_takes_nothing_of_the_others(void **state)
{
	struct world *w = need(state);

	say(w, "c.service", 6, "c of hunter2 before");
	write_all(w);
	stop(w);
	start(w);
	assert_string_equal(w->examples[2], "c of [redacted] before");
	say(w, "a.service", 6, "1");
	say(w, "c.service", 6, "not yet accepted");
	say(w, "b.service", 6, "2");
	write_all(w);
	w->may[2] = true;
	read_now(w);
	say(w, "c.service", 6, "accepted");
	say(w, "a.service", 6, "3");
	write_all(w);
	read_now(w);
	assert_shipped(w, "a09 1|b09 2|c09 accepted|a09 3|");
	w->may[2] = false;
	read_now(w);
	say(w, "c.service", 6, "no more");
	say(w, "a.service", 6, "4");
	write_all(w);
	read_now(w);
	w->may[2] = true;
	stop(w); /* and what came while it was off stays, over a restart, too */
	start(w);
	say(w, "c.service", 6, "again");
	write_all(w);
	read_now(w);
	assert_shipped(w, "a09 1|b09 2|c09 accepted|a09 3|a09 4|c09 again|");
}

static void
with_none_that_may_leave_nothing_is_kept_to_go_on_from(void **state)
{
	struct world *w = need(state);

	w->may[0] = w->may[1] = false;
	read_now(w);
	say(w, "a.service", 6, "off");
	write_all(w);
	read_now(w);
	w->may[0] = true;
	read_now(w);
	say(w, "a.service", 6, "on");
	write_all(w);
	read_now(w);
	assert_shipped(w, "a09 on|");
	assert_int_equal(counted(w).lost, 0);
}

static void
what_was_vacuumed_unread_is_one_loss_and_the_rest_leaves(void **state)
{
	struct world *w = need(state);
	char path[160];

	say(w, "a.service", 6, "1");
	write_all(w);
	read_now(w);
	say(w, "a.service", 6, "gone");
	write_all(w);
	stop(w);
	(void)snprintf(path, sizeof(path), "%s/system.journal", w->dir);
	assert_int_equal(unlink(path), 0);
	say(w, "a.service", 6, "2");
	write_to(w, "system-later.journal");
	start(w);
	read_now(w);
	assert_shipped(w, "a09 1|a09 2|");
	assert_int_equal(counted(w).lost, 1);
	read_now(w);
	assert_int_equal(counted(w).lost, 1);
}

static void
units_that_say_little_do_not_hold_the_place_at_what_will_be_vacuumed(void **state)
{
	struct world *w = need(state);
	char path[160];

	read_now(w);
	say(w, "other.service", 6, "much");
	write_to(w, "system-later.journal");
	w->mono_us += 3601 * CLOCK_US_PER_S;
	read_now(w);
	stop(w);
	(void)snprintf(path, sizeof(path), "%s/system.journal", w->dir);
	assert_int_equal(unlink(path), 0);
	start(w);
	assert_int_equal(counted(w).lost, 0);
	say(w, "a.service", 6, "1");
	write_to(w, "system-later.journal");
	read_now(w);
	assert_shipped(w, "a09 1|");
}

static void
a_journal_that_is_not_there_is_told_and_followed_once_it_is(void **state)
{
	struct world *w = need(state);
	char path[160], away[160];

	(void)snprintf(path, sizeof(path), "%s/system.journal", w->dir);
	(void)snprintf(away, sizeof(away), "%s/system.away", w->dir);
	stop(w);
	assert_int_equal(rename(path, away), 0);
	start(w);
	assert_int_equal(counted(w).denied, 1);
	read_now(w);
	stop(w);
	assert_int_equal(rename(away, path), 0);
	say(w, "a.service", 6, "meanwhile");
	write_all(w);
	start(w);
	assert_int_equal(counted(w).denied, 0);
	read_now(w);
	assert_shipped(w, "a09 meanwhile|");
}

static void
what_could_not_be_written_is_read_again(void **state)
{
	struct world *w = need(state);
	struct rlimit was, none;

	say(w, "a.service", 6, "1");
	write_all(w);
	read_now(w);
	say(w, "b.service", 6, "2");
	say(w, "a.service", 6, "3");
	write_all(w);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 16, .rlim_max = was.rlim_max };
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	logs_look(w->logs);
	assert_true(logs_drain(w->logs) < 0);
	w->may[2] = true; /* and nobody new begins meanwhile */
	logs_look(w->logs);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	say(w, "c.service", 6, "4");
	write_all(w);
	read_now(w);
	read_now(w);
	assert_shipped(w, "a09 1|b09 2|a09 3|");
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(entries_of_the_named_units_leave_with_when_how_bad_whose_and_of_which_boot),
		CASE(a_text_is_one_line_whatever_it_holds),
		CASE(the_level_that_was_asked_for_is_all_that_is_read),
		CASE(after_a_kill_and_a_boot_it_goes_on_behind_what_is_stored),
		CASE(a_unit_that_is_accepted_begins_behind_what_there_is_and_takes_nothing_of_the_others),
		CASE(with_none_that_may_leave_nothing_is_kept_to_go_on_from),
		CASE(what_was_vacuumed_unread_is_one_loss_and_the_rest_leaves),
		CASE(units_that_say_little_do_not_hold_the_place_at_what_will_be_vacuumed),
		CASE(a_journal_that_is_not_there_is_told_and_followed_once_it_is),
		CASE(what_could_not_be_written_is_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
