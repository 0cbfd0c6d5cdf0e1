/* What we write, read by ourselves and by protoc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "telemetry/otlp/otlp_decode.h"
#include "telemetry/otlp/otlp_encode.h"
#include "telemetry/otlp/pbx.h"

extern char **environ;

static const struct otlp_speaker speaker = { .site = "site-7", .version = "1.2.3" };

static const struct otlp_sample samples[] = {
	{ .name = "host_load1", .unit = "1", .real = 0.25, .time_us = 2000000 },
	{ .service = "redis", .name = "redis_up", .is_int = true, .whole = 1, .time_us = 2000000 },
	{ .name = "host_cpu_seconds", .unit = "s", .kind = OTLP_SAMPLE_COUNTER, .real = 1.5, .start_us = 1000000,
		.time_us = 2000000, .n_labels = 1, .labels = { { "mode", "user" } } },
	{ .name = "host_cpu_seconds", .unit = "s", .kind = OTLP_SAMPLE_COUNTER, .real = 2.5, .start_us = 1000000,
		.time_us = 2000000, .n_labels = 1, .labels = { { "mode", "idle" } } },
	{ .service = "redis", .name = "redis_total_commands_processed", .kind = OTLP_SAMPLE_COUNTER, .is_int = true,
		.whole = -7, .start_us = 1500000, .time_us = 2000000 },
};

struct seen {
	char text[2048];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void
say(struct seen *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s->len += (size_t)vsnprintf(s->text + s->len, sizeof(s->text) - s->len, fmt, ap);
	va_end(ap);
	assert_true(s->len < sizeof(s->text));
}

static int
see_point(const struct otlp_point *p, void *arg)
{
	const struct otlp_value *service = otlp_decode_find(p->origin.resource, p->origin.n_resource,
		"service.name");
	SCOPED(buf_done) struct buf attributes = BUF_MAX(1024);

	otlp_decode_json_map(&attributes, p->attributes, p->n_attributes);
	say(arg, "%.*s/%.*s %s%s %g %s %llu-%llu [%.*s]\n", service ? (int)service->text.len : 0,
		service ? service->text.p : "", (int)p->name.len, p->name.p,
		p->kind == OTLP_KIND_SUM ? "sum" : "gauge", p->monotonic ? "+" : "", p->real,
		buf_text(&attributes), (unsigned long long)p->start_ns,
		(unsigned long long)p->time_ns, (int)p->unit.len, p->unit.p ? p->unit.p : "");
	return 0;
}

static int
see_record(const struct otlp_record *r, void *arg)
{
	SCOPED(buf_done) struct buf attributes = BUF_MAX(1024);

	otlp_decode_json_map(&attributes, r->attributes, r->n_attributes);
	say(arg, "%.*s %u %.*s \"%.*s\" %s %llu\n", (int)r->event_name.len, r->event_name.p, r->severity,
		(int)r->severity_text.len, r->severity_text.p, (int)r->body.text.len, r->body.text.p,
		buf_text(&attributes), (unsigned long long)r->time_ns);
	return 0;
}

static const struct otlp_decode_ops see = { .point = see_point, .record = see_record };

static void
samples_come_back_grouped_by_service_and_name(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	struct otlp_tally tally = { 0 };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(otlp_encode_metrics(&out, &speaker, samples, ARRAY_LEN(samples)), 0);
	assert_int_equal(otlp_decode_metrics(out.data, out.len, &see, &s, &tally), 0);
	assert_string_equal(s.text,
		"/host_load1 gauge 0.25 {} 0-2000000000 [1]\n"
		"/host_cpu_seconds sum+ 1.5 {\"mode\":\"user\"} 1000000000-2000000000 [s]\n"
		"/host_cpu_seconds sum+ 2.5 {\"mode\":\"idle\"} 1000000000-2000000000 [s]\n"
		"redis/redis_up gauge 1 {} 0-2000000000 []\n"
		"redis/redis_total_commands_processed sum+ -7 {} 1500000000-2000000000 []\n");
	assert_int_equal(tally.taken, 5);
	assert_int_equal(tally.rejected, 0);
}

static void
events_come_back(void **state)
{
	static const struct otlp_event event = { .service = "redis", .name = "mainstay.alert",
		.severity = OTLP_SEVERITY_FATAL, .severity_text = "critical", .body = "Redis is down",
		.time_us = 3000000, .n_labels = 2, .labels = { { "state", "firing" }, { "alert", "down" } } };
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	struct otlp_tally tally = { 0 };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(otlp_encode_logs(&out, &speaker, &event, 1), 0);
	assert_int_equal(otlp_decode_logs(out.data, out.len, &see, &s, &tally), 0);
	assert_string_equal(s.text, "mainstay.alert 21 critical \"Redis is down\" "
		"{\"alert\":\"down\",\"state\":\"firing\"} 3000000000\n");
}

/* Run protoc on the bytes; its text in out.  false where there is no protoc. */
static bool
protoc(const char *message, const struct buf *in, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;
	char program[] = "protoc", option[64], folder[] = "--proto_path=tests/conformance",
	     file[] = "otlp.proto";
	char *argv[] = { program, option, folder, file, NULL };
	posix_spawn_file_actions_t actions;
	int pipe_fd[2], status, r;
	uint8_t *at;
	ssize_t n;
	pid_t pid;

	(void)snprintf(option, sizeof(option), "--decode=otlp.%s", message);
	assert_int_equal(fs_memfd(&fd, "in", in->data, in->len), 0);
	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fd, 0), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], 1), 0);
	r = posix_spawnp(&pid, "protoc", &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	close(pipe_fd[1]);
	while (r == 0 && (at = buf_reserve(out, 4096)) && (n = read(pipe_fd[0], at, 4096)) > 0)
		buf_advance(out, (size_t)n);
	close(pipe_fd[0]);
	if (r == ENOENT)
		return false;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return true;
}

static const double bounds[] = { 0.1, 1 }, values[] = { 0.2, 3 };
static const uint64_t buckets[] = { 4, 3, 2 };
static const struct otlp_distribution histogram = { .count = 9, .has_sum = true, .sum = 4.5,
	.bounds = bounds, .n_bounds = 2, .buckets = buckets };
static const struct otlp_distribution summary = { .count = 7, .has_sum = true, .sum = 2.5,
	.bounds = bounds, .n_bounds = 2, .values = values };
static const struct otlp_distribution bare = { .count = 1 };

/* One name as a histogram, as a summary, gone stale, and as a histogram of which only the count is known. */
static const struct otlp_sample spread[] = {
	{ .name = "took", .unit = "s", .kind = OTLP_SAMPLE_HISTOGRAM, .distribution = &histogram,
		.start_us = 1000000, .time_us = 2000000, .n_labels = 1, .labels = { { "le", "x" } } },
	{ .name = "took", .kind = OTLP_SAMPLE_SUMMARY, .distribution = &summary, .time_us = 2000000,
		.n_labels = 1, .labels = { { "q", "y" } } },
	{ .name = "took", .kind = OTLP_SAMPLE_HISTOGRAM, .no_value = true, .time_us = 3000000 },
	{ .name = "took", .kind = OTLP_SAMPLE_HISTOGRAM, .distribution = &bare, .time_us = 4000000 },
	{ .name = "gone", .no_value = true, .real = 5, .time_us = 3000000 },
};

static int
see_spread(const struct otlp_point *p, void *arg)
{
	SCOPED(buf_done) struct buf attributes = BUF_MAX(1024);
	size_t i;

	otlp_decode_json_map(&attributes, p->attributes, p->n_attributes);
	say(arg, "%.*s %d/%d %s %llu-%llu n=%llu sum=%g value=%d flags=%u", (int)p->name.len, p->name.p,
		(int)p->kind, (int)p->temporality, buf_text(&attributes),
		(unsigned long long)p->start_ns, (unsigned long long)p->time_ns,
		(unsigned long long)p->count, p->has_sum ? p->sum : -1, p->has_value, p->flags);
	for (i = 0; i < p->n_bounds; i++)
		say(arg, " %g:%g", p->bounds[i],
			p->kind == OTLP_KIND_SUMMARY ? p->values[i] : (double)p->bucket_counts[i]);
	say(arg, " %zu\n", p->n_bucket_counts);
	return 0;
}

static void
distributions_and_stale_series_come_back(void **state)
{
	static const struct otlp_decode_ops ops = { .point = see_spread };
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	struct otlp_tally tally = { 0 };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(otlp_encode_metrics(&out, &speaker, spread, ARRAY_LEN(spread)), 0);
	assert_int_equal(otlp_decode_metrics(out.data, out.len, &ops, &s, &tally), 0);
	assert_string_equal(s.text,
		"took 9/2 {\"le\":\"x\"} 1000000000-2000000000 n=9 sum=4.5 value=0 flags=0 0.1:4 1:3 3\n"
		"took 9/2 {} 0-3000000000 n=0 sum=-1 value=0 flags=1 0\n"
		"took 9/2 {} 0-4000000000 n=1 sum=-1 value=0 flags=0 0\n"
		"took 11/0 {\"q\":\"y\"} 0-2000000000 n=7 sum=2.5 value=0 flags=0 0.1:0.2 1:3 0\n"
		"gone 5/0 {} 0-3000000000 n=0 sum=-1 value=0 flags=1 0\n");
	assert_int_equal(tally.rejected, 0);
}

static void
protoc_reads_a_distribution_the_same(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);

	(void)state;
	assert_int_equal(otlp_encode_metrics(&out, &speaker, spread, 2), 0);
	if (!protoc("ExportMetricsServiceRequest", &out, &text)) {
		print_message("skipped: there is no protoc\n");
		skip();
	}
	assert_non_null(strstr(buf_text(&text),
		"      histogram {\n        data_points {\n          start_time_unix_nano: 1000000000\n"
		"          time_unix_nano: 2000000000\n          count: 9\n          sum: 4.5\n"
		"          bucket_counts: 4\n          bucket_counts: 3\n          bucket_counts: 2\n"
		"          explicit_bounds: 0.1\n          explicit_bounds: 1\n"
		"          attributes {\n            key: \"le\"\n"));
	assert_non_null(strstr(buf_text(&text),
		"      summary {\n        data_points {\n          time_unix_nano: 2000000000\n"
		"          count: 7\n          sum: 2.5\n          quantile_values {\n"
		"            quantile: 0.1\n            value: 0.2\n          }\n"));
}

static int
see_line(const struct otlp_record *r, void *arg)
{
	const struct otlp_value *service = otlp_decode_find(r->origin.resource, r->origin.n_resource,
		"service.name");
	const struct otlp_value *file = otlp_decode_find(r->origin.resource, r->origin.n_resource,
		"log.file.name");
	SCOPED(buf_done) struct buf attributes = BUF_MAX(1024);

	otlp_decode_json_map(&attributes, r->attributes, r->n_attributes);
	say(arg, "%.*s/%.*s %.*s%s%u %zu:%.*s %s %llu %llu\n", service ? (int)service->text.len : 0,
		service ? service->text.p : "", (int)r->origin.scope.len, r->origin.scope.p,
		file ? (int)file->text.len : 0, file ? file->text.p : "", file ? " " : "",
		r->severity, r->body.text.len,
		r->body.text.len < 8 ? (int)r->body.text.len : 8,
		r->body.text.len ? r->body.text.p : "",
		buf_text(&attributes), (unsigned long long)r->time_ns,
		(unsigned long long)r->observed_ns);
	return 0;
}

static void
lines_written_one_by_one_come_back(void **state)
{
	static const struct otlp_decode_ops ops = { .record = see_line };
	static const struct otlp_log_source sources[] = {
		{ .service = "web", .field = "log.web.access", .file = "access.log" },
		{ .field = "log.journal.cron" },
	};
	static char big[40000];
	SCOPED(buf_done) struct buf out = BUF_MAX(1024 * 1024);
	struct otlp_label labels[] = { { "k", "v" }, { "empty", "" } };
	struct otlp_tally tally = { 0 };
	struct otlp_log_writer w;
	struct seen s = { 0 };

	(void)state;
	memset(big, 'b', sizeof(big));
	otlp_encode_log_begin(&w, &out, &speaker, &sources[0]);
	otlp_encode_log_line(&w, &(struct otlp_log_line){ .time_us = 1, .observed_us = 2, .severity = 17,
		.body = "first lines", .len = 5 });
	otlp_encode_log_line(&w, &(struct otlp_log_line){ .observed_us = 3, .body = big,
		.len = sizeof(big), .labels = labels, .n_labels = 2 });
	otlp_encode_log_end(&w);
	otlp_encode_log_begin(&w, &out, &speaker, &sources[1]);
	otlp_encode_log_line(&w, &(struct otlp_log_line){ .observed_us = 4, .body = "" });
	otlp_encode_log_end(&w);
	assert_int_equal(buf_error(&out), 0);
	assert_int_equal(otlp_decode_logs(out.data, out.len, &ops, &s, &tally), 0);
	assert_string_equal(s.text,
		"web/log.web.access access.log 17 5:first {} 1000 2000\n"
		"web/log.web.access access.log 0 40000:bbbbbbbb "
		"{\"empty\":\"\",\"k\":\"v\"} 0 3000\n"
		"/log.journal.cron 0 0: {} 0 4000\n");
	assert_int_equal(tally.taken, 3);
}

/* As protoc writes the same records: what is measured ahead is measured right, byte for byte. */
static void
lines_are_the_same_bytes_that_a_plain_writer_writes(void **state)
{
	static const size_t lengths[] = { 0, 1, 100, 119, 120, 121, 127, 128, 16200, 16383, 16384 };
	static char body[20000];
	size_t i;

	(void)state;
	memset(body, 'x', sizeof(body));
	for (i = 0; i < ARRAY_LEN(lengths); i++) {
		const struct otlp_log_source source = { .field = "f", .file = "a.log" };
		SCOPED(buf_done) struct buf out = BUF_MAX(65536);
		SCOPED(buf_done) struct buf plain = BUF_MAX(65536);
		struct otlp_log_writer w;
		size_t record, any;
		struct pbx m;
		struct pbx_field f;

		otlp_encode_log_begin(&w, &out, &speaker, &source);
		otlp_encode_log_line(&w, &(struct otlp_log_line){ .time_us = 5, .observed_us = 6,
			.severity = 9, .body = body, .len = lengths[i] });
		otlp_encode_log_end(&w);
		record = pbx_open(&plain, 2);
		pbx_put_fixed64(&plain, 11, 6000);
		pbx_put_fixed64(&plain, 1, 5000);
		pbx_put_varint(&plain, 2, 9);
		any = pbx_open(&plain, 5);
		pbx_put_bytes(&plain, 1, body, lengths[i]);
		pbx_close(&plain, any);
		pbx_close(&plain, record);
		m = PBX(out.data, out.len); /* ResourceLogs, its ScopeLogs, the record behind the scope */
		assert_true(pbx_next(&m, &f));
		m = pbx_message(&m, &f);
		assert_true(pbx_next(&m, &f) && pbx_next(&m, &f));
		m = pbx_message(&m, &f);
		assert_true(pbx_next(&m, &f));
		assert_int_equal(cursor_left(&m.in), plain.len);
		assert_memory_equal(m.in.p, plain.data, plain.len);
	}
}

static void
nothing_is_written_for_no_samples(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(16);

	(void)state;
	assert_int_equal(otlp_encode_metrics(&out, &speaker, samples, 0), 0);
	assert_int_equal(out.len, 0);
	assert_true(otlp_encode_metrics(&out, &speaker, samples, 1) < 0); /* 16 bytes are too few */
}

static void
a_length_over_one_byte_moves_the_body(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	char text[20001];
	struct pbx m;
	struct pbx_field f;
	size_t mark;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	mark = pbx_open(&out, 3);
	pbx_put_text(&out, 1, text);
	pbx_close(&out, mark);
	m = PBX(out.data, out.len);
	assert_true(pbx_next(&m, &f));
	assert_int_equal(f.number, 3);
	m = pbx_message(&m, &f);
	assert_true(pbx_next(&m, &f));
	assert_int_equal(cursor_left(&f.bytes), 20000);
	assert_memory_equal(f.bytes.p, text, 20000);
	assert_false(pbx_next(&m, &f));
	assert_false(m.in.failed);
}

static void
protoc_reads_the_same(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(buf_done) struct buf text = BUF_MAX(65536);

	(void)state;
	assert_int_equal(otlp_encode_metrics(&out, &speaker, &samples[2], 2), 0);
	if (!protoc("ExportMetricsServiceRequest", &out, &text)) {
		print_message("skipped: there is no protoc\n");
		skip();
	}
	assert_string_equal(buf_text(&text),
		"resource_metrics {\n  resource {\n    attributes {\n      key: \"mainstay.site\"\n"
		"      value {\n        string_value: \"site-7\"\n      }\n    }\n  }\n"
		"  scope_metrics {\n    scope {\n      name: \"mainstay\"\n      version: \"1.2.3\"\n    }\n"
		"    metrics {\n      name: \"host_cpu_seconds\"\n      unit: \"s\"\n      sum {\n"
		"        data_points {\n          start_time_unix_nano: 1000000000\n"
		"          time_unix_nano: 2000000000\n          as_double: 1.5\n"
		"          attributes {\n            key: \"mode\"\n            value {\n"
		"              string_value: \"user\"\n            }\n          }\n        }\n"
		"        data_points {\n          start_time_unix_nano: 1000000000\n"
		"          time_unix_nano: 2000000000\n          as_double: 2.5\n"
		"          attributes {\n            key: \"mode\"\n            value {\n"
		"              string_value: \"idle\"\n            }\n          }\n        }\n"
		"        aggregation_temporality: CUMULATIVE\n        is_monotonic: true\n      }\n"
		"    }\n  }\n}\n");
}

static void
protoc_reads_the_hubs_answers(void **state)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(256);
	SCOPED(buf_done) struct buf text = BUF_MAX(4096);

	(void)state;
	otlp_encode_response(&out, 0, NULL);
	assert_int_equal(out.len, 0);
	otlp_encode_response(&out, 3, "three had no name");
	if (!protoc("ExportResponse", &out, &text)) {
		print_message("skipped: there is no protoc\n");
		skip();
	}
	assert_string_equal(buf_text(&text),
		"partial_success {\n  rejected: 3\n  error_message: \"three had no name\"\n}\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_come_back_grouped_by_service_and_name),
		cmocka_unit_test(events_come_back),
		cmocka_unit_test(distributions_and_stale_series_come_back),
		cmocka_unit_test(protoc_reads_a_distribution_the_same),
		cmocka_unit_test(lines_written_one_by_one_come_back),
		cmocka_unit_test(lines_are_the_same_bytes_that_a_plain_writer_writes),
		cmocka_unit_test(nothing_is_written_for_no_samples),
		cmocka_unit_test(a_length_over_one_byte_moves_the_body),
		cmocka_unit_test(protoc_reads_the_same),
		cmocka_unit_test(protoc_reads_the_hubs_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
