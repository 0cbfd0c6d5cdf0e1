/* `mainstay telemetry …` as a person types it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/egress/ack.h"
#include "telemetry/collect/telemetry_commands.h"
#include "telemetry/collect/telemetry_sent.h"
#include "telemetry/spool/spool.h"

struct site {
	char path[40];
	int fd;
};

static int
setup(void **state)
{
	struct site *s = calloc(1, sizeof(*s));

	if (!s)
		return -1;
	*state = s;
	(void)snprintf(s->path, sizeof(s->path), "/tmp/mainstay-command-XXXXXX");
	if (!mkdtemp(s->path))
		return -1;
	s->fd = open(s->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return s->fd < 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	struct site *s = *state;
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	close(s->fd);
	(void)fs_remove_tree(tmp, strrchr(s->path, '/') + 1);
	free(s);
	return 0;
}

/* Run `mainstay --state PATH telemetry WORDS` (words that begin with ":": without telemetry) and give its exit code, its output in out. */
static int
run(const struct site *s, const char *words, struct buf *out)
{
	static const struct command_program program = {
		.name = "mainstay",
		.summary = "test",
		.tables = { telemetry_commands },
		.needs_state = true,
	};
	char text[256], *rest = text, *word, *argv[16], name[] = "mainstay", option[] = "--state";
	char path[sizeof(s->path)];
	int argc = 0, code, saved, file;

	(void)snprintf(text, sizeof(text), "%s%s", *words == ':' ? "" : "telemetry ", words + (*words == ':'));
	(void)snprintf(path, sizeof(path), "%s", s->path);
	argv[argc++] = name;
	argv[argc++] = option;
	argv[argc++] = path;
	while ((word = strsep(&rest, " ")))
		argv[argc++] = word;
	argv[argc] = NULL;
	(void)fflush(stdout);
	saved = dup(1);
	file = openat(s->fd, "out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(saved >= 0 && file >= 0);
	assert_int_equal(dup2(file, 1), 1);
	code = command_main(&program, argc, argv);
	(void)fflush(stdout);
	assert_int_equal(dup2(saved, 1), 1);
	close(saved);
	buf_reset(out);
	assert_int_equal(fs_read_fd(file, out->max, out), 0);
	close(file);
	return code;
}

static const struct row {
	const char *name, *words;
	int code;
	enum reason reason;
} rows[] = {
	{ "nothing was collected yet", "review", 3, REASON_UNREACHABLE },
	{ "no collector ran here", "preview", 3, REASON_UNREACHABLE },
	{ "a field that is none", "accept No-Field", 2, REASON_USAGE },
	{ "a field that is none is not refused", "refuse No-Field", 2, REASON_USAGE },
	{ "a pattern before anything waits", "accept redis_*", 3, REASON_UNREACHABLE },
	{ "a class that is none", "sent --class gossip", 2, REASON_USAGE },
	{ "another word than rotate", "pseudonyms burn", 2, REASON_USAGE },
	{ "no collector, no key", "pseudonyms rotate", 3, REASON_UNREACHABLE },
	{ "nothing was ever looked at", "inventory", 3, REASON_UNREACHABLE },
	{ "nothing to show as metrics", ":metrics", 3, REASON_UNREACHABLE },
	{ "nothing to reveal from", ":reveal <ip:0123456789ab>", 3, REASON_UNREACHABLE },
	{ "a folder that is there", "export /tmp", 1, REASON_CONFLICT },
	{ "a folder that cannot be", "export /nowhere/at/all", 2, REASON_USAGE },
	{ "nobody to ask", "accept redis_up", 3, REASON_UNREACHABLE },
	{ "no time and no span", "sent --since yesterday", 2, REASON_USAGE },
	{ "no sequence", "sent --body metrics", 2, REASON_USAGE },
	{ "sequence 0", "sent --body metrics:0", 2, REASON_USAGE },
	{ "a stream outside", "sent --body ../monitor:1", 2, REASON_USAGE },
	{ "a record that is not there", "sent --body metrics:9", 1, REASON_NOT_FOUND },
};

static void
refusals_row_by_row(void **state)
{
	const struct site *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++) {
		int code = run(s, rows[i].words, &out);

		if (code != rows[i].code || refuse_last()->reason != rows[i].reason)
			fail_msg("%s: exit %d, %s", rows[i].name, code, refuse_last()->text);
	}
}

/* To whom a record went, by the places of all receivers. */
static void
a_record_s_receivers_are_named(void **state)
{
	static const struct {
		const char *acks, *state, *to;
	} cases[] = {
		{ "{\"streams\":{\"metrics\":6},\"v\":1}", "waiting", "" },
		{ "{\"streams\":{\"metrics\":7},\"v\":1}", "sent", "hub" },
		{ "{\"ahead\":{\"metrics\":[7,8]},\"streams\":{\"metrics\":2},\"v\":1}", "sent", "hub" },
		{ "{\"streams\":{\"metrics\":7,\"otel/logs\":9,\"otel/metrics\":7},\"v\":1}", "sent", "hub, otel" },
		{ "{\"streams\":{\"metrics\":7,\"otel/metrics\":6},\"v\":1}", "sent", "hub" },
		/* instead of the hub */
		{ "{\"passed\":{\"metrics\":[5,9]},\"streams\":{\"metrics\":9,\"otel/metrics\":8},\"v\":1}", "sent", "otel" },
		{ "{\"passed\":{\"metrics\":[5,9]},\"streams\":{\"metrics\":9,\"otel/metrics\":6},\"v\":1}", "waiting", "" },
		/* for a former vendor */
		{ "{\"passed\":{\"metrics\":[5,9]},\"streams\":{\"metrics\":9},\"v\":1}", "kept", "" },
		{ "{\"passed\":{\"otel/metrics\":[1,7]},\"streams\":{\"metrics\":9,\"otel/metrics\":9},\"v\":1}", "sent", "hub" },
	};
	const struct site *s = *state;
	SCOPED(scope_close) int courier = -1;
	char to[TELEMETRY_SENT_TO_MAX];

	assert_int_equal(fs_open_dir(&courier, s->fd, "courier", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ack *a = NULL;
		const char *is;

		assert_int_equal(fs_replace(courier, ACK_NAME, cases[i].acks, strlen(cases[i].acks), 0600), 0);
		assert_int_equal(ack_open(&a, courier), 0);
		is = telemetry_sent_state(a, "metrics", 7, to);
		if (strcmp(is, cases[i].state) != 0 || strcmp(to, cases[i].to) != 0)
			fail_msg("%s: %s to \"%s\"", cases[i].acks, is, to);
		ack_free(a);
	}
	assert_string_equal(telemetry_sent_state(NULL, "metrics", 7, to), "waiting");
}

static void
what_was_written_is_listed_and_shown(void **state)
{
	const struct site *s = *state;
	const struct spool_limits limits = { .total_max = 1024 * 1024 };
	struct spool_item item_of = {
		.class = CLASS_METRIC, .path = "/v1/metrics", .content_type = "application/x-protobuf"
	};
	SCOPED(spool_closep) struct spool *metrics = NULL;
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(scope_close) int fd = -1, courier = -1;
	SCOPED(scope_close) int all = -1;
	SCOPED_JSON *list = NULL;
	char words[64];
	const json_t *item;
	uint64_t sequence;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry/spool", 0750), 0);
	assert_int_equal(fs_open_dir(&courier, s->fd, "lib/courier", 0700), 0);
	assert_int_equal(fs_replace(courier, "acks.json", "{\"streams\":{\"metrics\":1},\"v\":1}", 31, 0600),
		0);
	assert_int_equal(spool_open(&metrics, fd, "metrics", &limits), 0);
	item_of.body = "ab\0c";
	item_of.len = 4;
	assert_int_equal(spool_write(metrics, &item_of, &sequence), 0);
	item_of.body = "d";
	item_of.len = 1;
	assert_int_equal(spool_write(metrics, &item_of, &sequence), 0);

	assert_int_equal(run(s, "sent --json", &out), 0);
	list = json_loadb((const char *)out.data, out.len, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(list, "items")), 2);
	item = json_array_get(json_object_get(list, "items"), 0);
	assert_string_equal(json_string_value(json_object_get(item, "stream")), "metrics");
	assert_int_equal(json_integer_value(json_object_get(item, "sequence")), 1);
	assert_int_equal(json_integer_value(json_object_get(item, "bytes")), 4);
	assert_string_equal(json_string_value(json_object_get(item, "class")), "metric");
	assert_string_equal(json_string_value(json_object_get(item, "state")), "sent");
	assert_string_equal(json_string_value(json_object_get(item, "to")), "hub");
	item = json_array_get(json_object_get(list, "items"), 1);
	assert_string_equal(json_string_value(json_object_get(item, "state")), "waiting");
	assert_string_equal(json_string_value(json_object_get(item, "to")), "");

	assert_int_equal(run(s, "sent --since 2000-01-01T00:00:00Z", &out), 0);
	assert_non_null(strstr(buf_text(&out), "waiting"));
	assert_int_equal(run(s, "sent --body metrics:1 --raw", &out), 0);
	assert_int_equal(out.len, 4);
	assert_memory_equal(out.data, "ab\0c", 4);
	assert_int_equal(run(s, "sent --body metrics:2 --json", &out), 0);
	assert_non_null(strstr(buf_text(&out), "\"body\":\"ZA==\""));
	assert_int_equal(run(s, "sent --class alert --json", &out), 0);
	assert_null(strstr(buf_text(&out), "sequence"));
	(void)snprintf(words, sizeof(words), "export %s/all", s->path);
	assert_int_equal(run(s, words, &out), 0);
	assert_int_equal(fs_open_dir(&all, s->fd, "all/metrics", 0700), 0);
	buf_reset(&out);
	assert_int_equal(fs_read(all, "1", 16, &out), 0);
	assert_int_equal(out.len, 4);
	buf_reset(&out);
	assert_int_equal(fs_read(s->fd, "all/index.json", out.max, &out), 0);
	assert_non_null(strstr(buf_text(&out), "\"digest\":\"sha256:"));
	assert_non_null(strstr(buf_text(&out), "\"state\":\"sent\""));
	assert_non_null(strstr(buf_text(&out), "\"state\":\"waiting\""));
	assert_non_null(strstr(buf_text(&out), "\"sequence\":2"));
	assert_int_equal(run(s, "sent --body metrics:3", &out), 1);
}

static void
preview_shows_this_host_and_writes_nothing(void **state)
{
	const struct site *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(1024 * 1024);
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *list = NULL;
	const json_t *item;
	bool cpus = false;
	size_t i;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry/spool", 0750), 0);
	assert_int_equal(run(s, "preview --json", &out), 0);
	list = json_loadb((const char *)out.data, out.len, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(list, "kind")), "TelemetryPreview");
	json_array_foreach (json_object_get(list, "items"), i, item)
		cpus |= strcmp(json_string_value(json_object_get(item, "name")), "host_cpus") == 0 &&
			json_integer_value(json_object_get(item, "value")) > 0;
	assert_true(cpus);
	assert_int_equal(faccessat(fd, "metrics", F_OK, 0), -1);
	assert_string_equal(json_text(json_object_get(list, "classes"), "result"), "send");
	assert_int_equal(json_object_size(json_object_get(list, "classes")), CLASS_MAX);
	assert_int_equal(run(s, "preview", &out), 0);
	assert_non_null(strstr(buf_text(&out), "telemetry is off: nothing leaves"));
}

static void
inventory_is_shown_with_what_was_written(void **state)
{
	static const char kept[] = "{\"site\":\"a\",\"groups\":{\"os\":\"sha256:00\"}}";
	const struct site *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(4 * 1024 * 1024);
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry", 0750), 0);
	assert_int_equal(run(s, "inventory", &out), 0);
	assert_non_null(strstr(buf_text(&out), "packages"));
	assert_non_null(strstr(buf_text(&out), "not sent"));
	assert_int_equal(run(s, "inventory os", &out), 0);
	assert_non_null(strstr(buf_text(&out), "\"kernel\": "));
	assert_int_equal(run(s, "inventory os --json", &out), 0);
	assert_non_null(strstr(buf_text(&out), "\"kind\":\"TelemetryInventory\""));
	assert_int_equal(run(s, "inventory serials", &out), 2);
	assert_int_equal(refuse_last()->reason, REASON_USAGE);
	assert_int_equal(run(s, "inventory os --resend", &out), 2);
	assert_int_equal(refuse_last()->reason, REASON_USAGE);
	assert_int_equal(run(s, "inventory --resend", &out), 1);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	assert_int_equal(fs_replace(fd, "inventory.json", kept, sizeof(kept) - 1, 0640), 0);
	assert_int_equal(run(s, "inventory", &out), 0);
	assert_non_null(strstr(buf_text(&out), "changed"));
	assert_int_equal(run(s, "inventory --resend", &out), 0);
	assert_int_equal(faccessat(fd, "inventory.json", F_OK, 0), -1);
}

static void
review_lists_what_waits(void **state)
{
	static const char waiting[] = "[{\"class\":\"metric\",\"example\":\"1\",\"field\":\"redis_x\",\"release\":\"7eb75a7083e6a930\",\"seen\":4,"
				      "\"shape\":\"gauge By\",\"state\":\"changed\",\"was\":\"counter s\"},"
				      "{\"class\":\"log\",\"field\":\"log.redis.x\",\"state\":\"refused\"},"
				      "{\"class\":\"metric\",\"field\":\"odd{x}\",\"shape\":\"a\\u0007\",\"state\":\"new\"}]";
	const struct site *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(scope_close) int fd = -1, folder = -1;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry", 0750), 0);
	assert_int_equal(fs_replace(fd, "waiting.json", waiting, sizeof(waiting) - 1, 0640), 0);
	assert_int_equal(run(s, "review", &out), 0);
	assert_non_null(strstr(buf_text(&out), "redis_x"));
	assert_non_null(strstr(buf_text(&out), "7eb75a7083e6 "));
	assert_non_null(strstr(buf_text(&out), "counter s -> gauge By"));
	assert_null(strstr(buf_text(&out), "log.redis.x"));
	assert_int_equal(run(s, "review --all", &out), 0);
	assert_non_null(strstr(buf_text(&out), "log.redis.x"));
	/* What is refused is in no pattern; the monitor is asked about fields and shapes alone. */
	assert_int_equal(run(s, "accept log.*", &out), 1);
	assert_int_equal(refuse_last()->reason, REASON_NOT_FOUND);
	assert_int_equal(run(s, "accept odd*", &out), 2);
	assert_int_equal(refuse_last()->reason, REASON_USAGE);
	assert_int_equal(run(s, "accept redis_*", &out), 3);
	assert_int_equal(refuse_last()->reason, REASON_UNREACHABLE);
	assert_int_equal(unlinkat(fd, "waiting.json", 0), 0);
	assert_int_equal(fs_open_dir(&folder, fd, "waiting.json", 0750), 0);
	assert_int_equal(run(s, "review", &out), 1);
	assert_int_equal(refuse_last()->reason, REASON_MALFORMED);
}

static void
refused(const struct site *s, const char *words, int code, enum reason reason)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	uint64_t before = refuse_count(reason);

	assert_int_equal(run(s, words, &out), code);
	assert_int_equal(refuse_last()->reason, reason);
	assert_int_equal(refuse_count(reason), before + 1);
	assert_null(strstr(buf_text(&out), "ann"));
}

static void
pseudonyms_are_revealed_here_alone(void **state)
{
	static const char table[] = "<ip:0123456789ab>\t203.0.113.7\n<user:00000000000a>\tann\n"
				    "<user:00000000000b>\tann\377\n";
	const struct site *s = *state;
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(scope_close) int fd = -1;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry", 0750), 0);
	/* The key is not there: nothing to rotate; and nothing is made by asking. */
	refused(s, "pseudonyms rotate", 1, REASON_NOT_FOUND);
	assert_int_equal(faccessat(fd, "pseudonym.key", F_OK, 0), -1);
	assert_int_equal(fs_replace(fd, "pseudonyms", table, sizeof(table) - 1, 0600), 0);
	assert_int_equal(run(s, ":reveal ip:0123456789ab <user:00000000000a>", &out), 0);
	assert_non_null(strstr(buf_text(&out), "203.0.113.7"));
	assert_non_null(strstr(buf_text(&out), "ann"));
	/* One that is not known: none is shown, for the answer would be half of it. */
	refused(s, ":reveal user:00000000000a user:00000000000c", 1, REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "was not made here: it is none of the"));
	refused(s, ":reveal user:00000000000b", 1, REASON_MALFORMED);
	assert_int_equal(faccessat(fd, "pseudonym.key", F_OK, 0), -1);
	/* Where the table is full, older ones may have gone. */
	{
		SCOPED(buf_done) struct buf full = BUF_MAX(1 << 20);

		for (unsigned i = 0; i < PSEUDONYM_KEPT; i++)
			buf_printf(&full, "<ip:%012x>\t10.0.%u.%u\n", i, i / 256, i % 256);
		assert_int_equal(fs_replace(fd, "pseudonyms", full.data, full.len, 0600), 0);
	}
	refused(s, ":reveal ip:ffffffffffff", 1, REASON_NOT_FOUND);
	assert_non_null(strstr(refuse_last()->text, "was made before the last 4096 pseudonyms"));
	/* What is no key is said, not used. */
	assert_int_equal(fs_replace(fd, "pseudonym.key", "x\n", 2, 0600), 0);
	refused(s, ":reveal user:00000000000a", 1, REASON_MALFORMED);
}

/* A person reads what was signed, not its base64. */
static void
an_envelope_is_shown_opened(void **state)
{
	static const char body[] = "{\"payload\":\"eyJzaXRlIjoic2l0ZTEifQ==\",\"sigs\":[]}";
	const struct site *s = *state;
	const struct spool_limits limits = { .total_max = 1024 * 1024 };
	SCOPED(spool_closep) struct spool *beats = NULL;
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(scope_close) int fd = -1;
	uint64_t sequence;

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry/spool", 0750), 0);
	assert_int_equal(spool_open(&beats, fd, "metrics", &limits), 0);
	assert_int_equal(spool_write(beats, &(struct spool_item){ .class = CLASS_HEARTBEAT, .path = "/v1/heartbeat",
			.content_type = "application/json", .body = body, .len = strlen(body) }, &sequence), 0);
	assert_int_equal(run(s, "sent --body metrics:1", &out), 0);
	assert_non_null(strstr(buf_text(&out), "\"site\": \"site1\""));
	assert_null(strstr(buf_text(&out), "eyJz"));
	assert_int_equal(run(s, "sent --body metrics:1 --json", &out), 0);
	assert_non_null(strstr(buf_text(&out), "\"payload\":{\"site\":\"site1\"}"));
	assert_non_null(strstr(buf_text(&out), "\"payload\":\"eyJzaXRl"));
	assert_int_equal(run(s, "sent --body metrics:1 --raw", &out), 0);
	assert_string_equal(buf_text(&out), body);
}

static void
what_is_neither_json_nor_text_is_shown_as_it_is(void **state)
{
	const struct site *s = *state;
	const struct spool_limits limits = { .total_max = 1024 * 1024 };
	SCOPED(spool_closep) struct spool *notes = NULL;
	SCOPED(buf_done) struct buf out = BUF_MAX(65536);
	SCOPED(scope_close) int fd = -1;
	uint64_t sequence, before = refuse_count(REASON_MALFORMED);

	assert_int_equal(fs_open_dir(&fd, s->fd, "lib/telemetry/spool", 0750), 0);
	assert_int_equal(spool_open(&notes, fd, "metrics", &limits), 0);
	assert_int_equal(spool_write(notes, &(struct spool_item){ .class = CLASS_METRIC, .path = "/v1/other",
			.content_type = "text/plain", .body = "\377\376", .len = 2 }, &sequence), 0);
	assert_int_equal(run(s, "sent --body metrics:1 --json", &out), 0);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_non_null(strstr(buf_text(&out), "\"body\":\"//4=\""));
	assert_non_null(strstr(buf_text(&out), "\"items\":null"));
	refused(s, "sent --body metrics:1", 1, REASON_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refusals_row_by_row, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_s_receivers_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_written_is_listed_and_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(preview_shows_this_host_and_writes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(inventory_is_shown_with_what_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(review_lists_what_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(an_envelope_is_shown_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(pseudonyms_are_revealed_here_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_neither_json_nor_text_is_shown_as_it_is, setup, teardown),
	};

	(void)setenv("MAINSTAY_DEBUG", "1", 1); /* refusals are logged, too: a command prints them itself */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
