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
	{ .name = "host_cpu_seconds", .unit = "s", .counter = true, .real = 1.5, .start_us = 1000000,
		.time_us = 2000000, .n_labels = 1, .labels = { { "mode", "user" } } },
	{ .name = "host_cpu_seconds", .unit = "s", .counter = true, .real = 2.5, .start_us = 1000000,
		.time_us = 2000000, .n_labels = 1, .labels = { { "mode", "idle" } } },
	{ .service = "redis", .name = "redis_total_commands_processed", .counter = true, .is_int = true,
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
	buf_reset(&out);
	buf_reset(&text);
	otlp_encode_status(&out, 8, "slow down");
	assert_true(protoc("Status", &out, &text));
	assert_string_equal(buf_text(&text), "code: 8\nmessage: \"slow down\"\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_come_back_grouped_by_service_and_name),
		cmocka_unit_test(events_come_back),
		cmocka_unit_test(nothing_is_written_for_no_samples),
		cmocka_unit_test(a_length_over_one_byte_moves_the_body),
		cmocka_unit_test(protoc_reads_the_same),
		cmocka_unit_test(protoc_reads_the_hubs_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
