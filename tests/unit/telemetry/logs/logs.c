/* Files that grow, are renamed, cut, taken away; a collector that is killed: each line once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/ledger.h"
#include "appliance/loop/loop.h"
#include "appliance/record/record.h"
#include "telemetry/logs/log_file.h"
#include "telemetry/logs/logs.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/spool/spool.h"
#include "tests/fakes/scratch.h"

struct world {
	struct scratch s;
	char dir[96];
	sd_event *loop;
	struct spool *spool;
	struct logs *logs;
	struct logs_source source;
	bool may;
	int before; /* what is said before a record is written */
	char example[128];
	uint64_t mono_us;
};

/* Redacts one word, as the real one does many. */
static int
redact(uint32_t *secret_lines, const void *line, size_t len, struct buf *out, void *arg)
{
	const char *p = line, *at = len ? memmem(p, len, "hunter2", 7) : NULL;

	(void)arg;
	(*secret_lines)++;
	if (!at) {
		buf_put(out, p, len);
		return buf_error(out);
	}
	buf_put(out, p, (size_t)(at - p));
	buf_puts(out, "[redacted]");
	buf_put(out, at + 7, len - (size_t)(at - p) - 7);
	return buf_error(out);
}

static bool
may(const struct logs_source *source, const char *example, void *arg)
{
	struct world *w = arg;

	assert_string_equal(source->field, "log.web.app");
	if (*example)
		(void)snprintf(w->example, sizeof(w->example), "%s", example);
	return w->may;
}

static int
before(void *arg)
{
	const struct world *w = arg;

	return w->before;
}

static const struct logs_ops ops = { .redact = redact, .may = may, .before = before };

static void
start(struct world *w)
{
	static const struct spool_limits limits = { .total_max = 64 * 1024 * 1024 };

	assert_int_equal(spool_open(&w->spool, w->s.fd, "logs", &limits), 0);
	assert_int_equal(logs_new(&w->logs, w->loop, w->s.fd, w->spool, &ops, w), 0);
	logs_site(w->logs, "site-7");
	assert_int_equal(logs_set(w->logs, &w->source, 1), 0);
}

/* As kill -9 leaves it: nothing more is written. */
static void
stop(struct world *w)
{
	w->logs = logs_free(w->logs);
	w->spool = spool_close(w->spool);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->s);
	(void)snprintf(w->dir, sizeof(w->dir), "%s/log", w->s.path);
	assert_int_equal(mkdir(w->dir, 0755), 0);
	assert_int_equal(loop_new(&w->loop, NULL, NULL), 0);
	w->source = (struct logs_source){
		.service = "web", .field = "log.web.app", .dir = w->dir, .file = "app.log"
	};
	w->may = true;
	w->mono_us = 1000 * CLOCK_US_PER_S;
	clock_fake(UINT64_C(1795334400) * CLOCK_US_PER_S, w->mono_us);
	start(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	stop(w);
	sd_event_unref(w->loop);
	scratch_remove(&w->s);
	clock_real();
	free(w);
	return 0;
}

static void
put(struct world *w, const char *name, const char *text, size_t len)
{
	int dir = open(w->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	close(dir);
}

static void
add(struct world *w, const char *text)
{
	put(w, "app.log", text, strlen(text));
}

static void
move(struct world *w, const char *from, const char *to)
{
	char a[128], b[128];

	(void)snprintf(a, sizeof(a), "%s/%s", w->dir, from);
	(void)snprintf(b, sizeof(b), "%s/%s", w->dir, to);
	assert_int_equal(rename(a, b), 0);
}

static void
cut(struct world *w)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/app.log", w->dir);
	assert_int_equal(truncate(path, 0), 0);
}

static void
wait_s(struct world *w, uint64_t s)
{
	w->mono_us += s * CLOCK_US_PER_S;
	clock_fake(UINT64_C(1795334400) * CLOCK_US_PER_S, w->mono_us);
}

static void
read_now(struct world *w)
{
	logs_look(w->logs);
	assert_int_equal(logs_drain(w->logs), 0);
}

static int
see(const struct otlp_record *r, void *arg)
{
	size_t len = r->body.text.len;

	assert_int_equal(r->body.kind, OTLP_VALUE_TEXT);
	if (len > 200)
		buf_printf(arg, "<%zu>", len);
	else
		buf_put(arg, r->body.text.p, len);
	buf_puts(arg, "|");
	return 0;
}

/* Everything in the stream since its beginning, line by line. */
static void
assert_shipped(struct world *w, const char *expected)
{
	static const struct otlp_decode_ops decode = { .record = see };
	SCOPED(record_reader_closep) struct record_reader *rd = NULL;
	SCOPED(buf_done) struct buf seen = BUF_MAX(1024 * 1024);
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
		assert_string_equal(e.class_name, "log");
		assert_string_equal(e.path, "/v1/logs");
		assert_int_equal(ledger_plain(&e, &plain, &body, &len, "logs"), 0);
		assert_int_equal(otlp_decode_logs(body, len, &decode, &seen, &tally), 0);
	}
	assert_string_equal(buf_text(&seen), expected);
}

static uint64_t
lost(const struct world *w)
{
	struct logs_count c;

	logs_counted(w->logs, &c);
	return c.lost;
}

static void
lines_are_shipped_redacted_once(void **state)
{
	struct world *w = *state;

	add(w, "one\r\ntwo hunter2 end\n\nhal");
	read_now(w);
	assert_shipped(w, "one|two [redacted] end||");
	add(w, "f\n");
	read_now(w);
	assert_shipped(w, "one|two [redacted] end||half|");
}

/* What its pseudonyms stand for, say, could not be kept. */
static void
no_record_is_written_before_what_must_be_kept_first(void **state)
{
	struct world *w = *state;

	w->before = -EIO;
	add(w, "one\ntwo\n");
	logs_look(w->logs);
	assert_int_equal(logs_drain(w->logs), -EIO);
	assert_shipped(w, "");
	w->before = 0;
	wait_s(w, 6);
	read_now(w);
	assert_shipped(w, "one|two|");
}

static void
after_a_kill_it_goes_on_behind_what_is_stored(void **state)
{
	struct world *w = *state;

	add(w, "one\ntwo\n");
	read_now(w);
	add(w, "three\n");
	stop(w); /* it has not seen three */
	add(w, "four\n");
	start(w);
	read_now(w);
	stop(w);
	start(w);
	read_now(w);
	assert_shipped(w, "one|two|three|four|");
}

static void
a_file_that_was_there_before_it_might_leave_begins_at_its_end(void **state)
{
	struct world *w = *state;

	w->may = false;
	read_now(w);
	add(w, "before\nmy hunter2\n");
	read_now(w);
	assert_string_equal(w->example, "my [redacted]");
	w->may = true;
	logs_look(w->logs);
	add(w, "after\n");
	read_now(w);
	assert_shipped(w, "after|");
	w->may = false; /* and what comes while it is off stays */
	read_now(w);
	add(w, "off\n");
	stop(w);
	start(w);
	w->may = true;
	logs_look(w->logs);
	add(w, "on again\n");
	read_now(w);
	assert_shipped(w, "after|on again|");
}

static void
a_file_that_appears_while_nobody_runs_begins_at_its_beginning(void **state)
{
	struct world *w = *state;

	stop(w);
	add(w, "first\n");
	start(w);
	read_now(w);
	assert_shipped(w, "first|");
}

static void
a_renamed_file_is_read_to_its_end_before_the_new_one(void **state)
{
	struct world *w = *state;

	add(w, "1\n");
	read_now(w);
	add(w, "2\n");
	move(w, "app.log", "app.log.1");
	add(w, "4\n");
	put(w, "app.log.1", "3\nno end", 8); /* who had it open wrote on */
	read_now(w);
	assert_shipped(w, "1|2|3|4|");
	wait_s(w, 30);
	read_now(w);
	wait_s(w, 30);
	add(w, "5\n");
	read_now(w);
	assert_shipped(w, "1|2|3|4|no end|5|");
	assert_int_equal(lost(w), 0);
}

static void
a_file_renamed_while_nobody_runs_is_found(void **state)
{
	struct world *w = *state;

	add(w, "1\n");
	read_now(w);
	add(w, "2\n");
	stop(w);
	add(w, "3\n");
	move(w, "app.log", "app.log-20261122");
	put(w, "app.log.gz", "2\n3\n", 4); /* not what is looked for */
	add(w, "4\n");
	start(w);
	read_now(w);
	assert_shipped(w, "1|2|3|4|");
	assert_int_equal(lost(w), 0);
}

static void
a_file_taken_away_while_nobody_runs_is_a_loss(void **state)
{
	struct world *w = *state;
	char path[128];

	add(w, "1\n");
	read_now(w);
	stop(w);
	(void)snprintf(path, sizeof(path), "%s/app.log", w->dir);
	add(w, "2\n");
	put(w, "other", "keeps the inode from being used again", 37);
	assert_int_equal(unlink(path), 0);
	add(w, "3\n");
	start(w);
	read_now(w);
	assert_shipped(w, "1|3|");
	assert_int_equal(lost(w), 1);
}

static void
a_file_that_was_cut_is_read_on_in_its_copy(void **state)
{
	struct world *w = *state;

	add(w, "1\n");
	read_now(w);
	add(w, "2\n");
	put(w, "app.log.1", "1\n2\n3\n", 6);
	cut(w);
	add(w, "4\n");
	read_now(w);
	assert_shipped(w, "1|2|3|4|");
	assert_int_equal(lost(w), 0);
	stop(w);
	put(w, "app.log", "5\n", 2);
	start(w);
	read_now(w);
	assert_shipped(w, "1|2|3|4|5|");
}

static void
a_file_cut_without_a_copy_is_a_loss_and_begins_anew(void **state)
{
	struct world *w = *state;

	add(w, "1 long enough\n");
	read_now(w);
	put(w, "app.log.1", "of another day\n", 15);
	cut(w);
	add(w, "2\n");
	read_now(w);
	assert_shipped(w, "1 long enough|2|");
	assert_int_equal(lost(w), 1);
	cut(w); /* and grown beyond where it was: its first bytes tell */
	add(w, "three and more\n");
	read_now(w);
	assert_shipped(w, "1 long enough|2|three and more|");
	assert_int_equal(lost(w), 2);
}

static void
a_line_without_an_end_waits_and_is_never_doubled(void **state)
{
	struct world *w = *state;

	add(w, "half");
	read_now(w);
	wait_s(w, 29);
	read_now(w);
	assert_shipped(w, "");
	wait_s(w, 2);
	read_now(w);
	assert_shipped(w, "half|");
	add(w, " and the rest\n");
	read_now(w);
	assert_shipped(w, "half| and the rest|");
}

static void
a_line_that_is_too_long_is_cut_and_its_rest_left_out(void **state)
{
	struct world *w = *state;
	size_t len = LOG_LINE_MAX + 100000;
	SCOPED(scope_free) char *line = malloc(len);
	struct logs_count c;

	assert_non_null(line);
	memset(line, 'x', len);
	line[len - 1] = '\n';
	put(w, "app.log", line, LOG_LINE_MAX + 10);
	read_now(w);
	stop(w); /* within it */
	start(w);
	put(w, "app.log", line + LOG_LINE_MAX + 10, len - LOG_LINE_MAX - 10);
	add(w, "next\n");
	read_now(w);
	assert_shipped(w, "<262144>|next|");
	logs_counted(w->logs, &c);
	assert_int_equal(c.cut, 0); /* counted by the one that was stopped */
}

static void
bytes_that_are_no_text_are_escaped(void **state)
{
	struct world *w = *state;
	struct logs_count c;

	put(w, "app.log", "a\0\xff" "b\n", 5);
	read_now(w);
	assert_shipped(w, "a\\x00\\xFFb|");
	logs_counted(w->logs, &c);
	assert_int_equal(c.batch.escaped, 2);
	assert_int_equal(c.files, 1);
}

static void
lines_of_postgresql_that_begin_with_a_tab_belong_to_the_one_before(void **state)
{
	struct world *w = *state;

	w->source.format = LOG_FORMAT_POSTGRESQL;
	stop(w);
	start(w);
	add(w, "LOG:  a\n\tb\n\tc\nLOG:  d\n");
	read_now(w);
	assert_shipped(w, "LOG:  a\n\tb\n\tc|"); /* d might go on */
	wait_s(w, 2);
	read_now(w);
	assert_shipped(w, "LOG:  a\n\tb\n\tc|LOG:  d|");
}

static void
what_is_no_file_of_the_folder_is_not_followed(void **state)
{
	struct world *w = *state;
	char path[128];
	struct logs_count c;

	put(w, "secret", "not yours\n", 10);
	(void)snprintf(path, sizeof(path), "%s/app.log", w->dir);
	assert_int_equal(symlink("secret", path), 0);
	read_now(w);
	logs_counted(w->logs, &c);
	assert_int_equal(c.denied, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	read_now(w); /* and does not wait for a writer */
	logs_counted(w->logs, &c);
	assert_int_equal(c.denied, 1);
	assert_int_equal(unlink(path), 0);
	add(w, "yes\n");
	read_now(w);
	logs_counted(w->logs, &c);
	assert_int_equal(c.denied, 0);
	assert_shipped(w, "yes|");
}

static void
a_damaged_cursor_costs_only_itself(void **state)
{
	struct world *w = *state;

	add(w, "1\n");
	read_now(w);
	stop(w);
	scratch_put(&w->s, "logs.cursor", "nonsense", 8);
	add(w, "2\n");
	start(w); /* the record's note says how far */
	read_now(w);
	assert_shipped(w, "1|2|");
}

static void
a_cursor_beyond_all_measure_costs_only_itself(void **state)
{
	struct world *w = *state;
	char *much = calloc(1, LOG_CURSOR_BYTES_MAX + 1);
	uint64_t before = refuse_count(REASON_TOO_LARGE);

	assert_non_null(much);
	add(w, "1\n");
	read_now(w);
	stop(w);
	scratch_put(&w->s, "logs.cursor", much, LOG_CURSOR_BYTES_MAX + 1);
	free(much);
	add(w, "2\n");
	start(w);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + 1);
	read_now(w);
	assert_shipped(w, "1|2|");
}

static void
what_could_not_be_written_is_read_again(void **state)
{
	struct world *w = *state;
	struct rlimit was, none;
	struct logs_count c;

	add(w, "1\n");
	read_now(w);
	add(w, "2\n");
	move(w, "app.log", "app.log.1");
	add(w, "3\n");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 16, .rlim_max = was.rlim_max };
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	logs_look(w->logs);
	assert_true(logs_drain(w->logs) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	logs_counted(w->logs, &c);
	assert_int_equal(c.refused, 1);
	read_now(w); /* too soon: the disk is not asked again at once */
	assert_shipped(w, "1|");
	wait_s(w, 6);
	read_now(w);
	assert_shipped(w, "1|2|3|");
	assert_int_equal(lost(w), 0);
}

static void
many_lines_are_many_batches_and_each_line_once(void **state)
{
	struct world *w = *state;
	struct logs_count c;
	uint64_t lines = 0;
	unsigned i, part;

	for (part = 0; part < 3; part++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(8 * 1024 * 1024);

		for (i = 0; i < 20000; i++)
			buf_printf(&text, "line %u.%u %s\n", part, i,
				"with enough behind it to make several batches of it, so it goes on");
		put(w, "app.log", (const char *)text.data, text.len);
		read_now(w);
		logs_counted(w->logs, &c);
		lines += c.batch.lines;
		assert_true(c.batch.batches >= 3);
		stop(w);
		start(w);
		read_now(w);
		logs_counted(w->logs, &c);
		assert_int_equal(c.batch.lines, 0);
	}
	assert_int_equal(lines, 60000);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(lines_are_shipped_redacted_once),
		CASE(after_a_kill_it_goes_on_behind_what_is_stored),
		CASE(no_record_is_written_before_what_must_be_kept_first),
		CASE(a_file_that_was_there_before_it_might_leave_begins_at_its_end),
		CASE(a_file_that_appears_while_nobody_runs_begins_at_its_beginning),
		CASE(a_renamed_file_is_read_to_its_end_before_the_new_one),
		CASE(a_file_renamed_while_nobody_runs_is_found),
		CASE(a_file_taken_away_while_nobody_runs_is_a_loss),
		CASE(a_file_that_was_cut_is_read_on_in_its_copy),
		CASE(a_file_cut_without_a_copy_is_a_loss_and_begins_anew),
		CASE(a_line_without_an_end_waits_and_is_never_doubled),
		CASE(a_line_that_is_too_long_is_cut_and_its_rest_left_out),
		CASE(bytes_that_are_no_text_are_escaped),
		CASE(lines_of_postgresql_that_begin_with_a_tab_belong_to_the_one_before),
		CASE(what_is_no_file_of_the_folder_is_not_followed),
		CASE(a_damaged_cursor_costs_only_itself),
		CASE(a_cursor_beyond_all_measure_costs_only_itself),
		CASE(what_could_not_be_written_is_read_again),
		CASE(many_lines_are_many_batches_and_each_line_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
