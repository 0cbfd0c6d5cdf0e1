#include "updater/release/release_lint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "tests/fakes/scratch.h"

/* Nothing to say of it; %s are further members of exec, of operations, of knobs, and of the whole. */
#define GOOD(exec, operations, knobs, rest)                                                                     \
	"name: tiny\nversion: \"1\"\npayload: {tree: tree}\nexec: [/bin/run, \"{knob.size}\"" exec "]\n"        \
	"health: {type: exec, argv: [/bin/run], period: 2s, timeout: 1s}\nlogs: [{name: tiny}]\n"               \
	"metrics: [{source: redis, socket: \"{run}/s\", fields: [used_memory]}]\n"                              \
	"alerts: [{name: Down, metric: redis_up, op: below, value: 1, text: down}]\n"                           \
	"knobs:\n  size: {type: int, default: 1, help: how big}\n" knobs                                       \
	"operations:\n  look: {argv: [/bin/run, look], risk: observe, help: look}\n" operations rest

static const struct {
	const char *name, *yaml;
	const char *where, *operand; /* of the only finding; NULL: there is none */
	const char *reason, *says;   /* reason "": advice */
} rows[] = {
	{ "nothing to say", GOOD("", "", "", ""), NULL, NULL, NULL, NULL },
	{ "a program that the payload lacks", GOOD("", "  x: {argv: [/bin/none], risk: observe, help: h}\n", "", ""),
		"service.yaml:13:7", "operations.x.argv", "not-found", "/bin/none is no program of the payload" },
	{ "a file that is no program", GOOD("", "  x: {argv: [/note], risk: observe, help: h}\n", "", ""),
		"service.yaml:13:7", "operations.x.argv", "not-found", "/note is no program" },
	{ "a program behind a link", GOOD("", "  x: {argv: [/sbin/run], risk: observe, help: h}\n", "", ""), NULL, NULL,
		NULL, NULL },
	{ "a dry run that cannot run",
		GOOD("", "  x: {argv: [/bin/run], dry_run: [/none], risk: change, help: h}\n", "", ""), NULL,
		"operations.x.dry_run", "not-found", "/none is no program" },
	{ "an operation without help", GOOD("", "  x: {argv: [/bin/run], risk: observe}\n", "", ""),
		"service.yaml:13:3", "operations.x", "", "has no help" },
	{ "an argument without help",
		GOOD("", "  x: {argv: [/bin/run, \"{n}\"], risk: observe, help: h, args: {n: {type: int}}}\n", "", ""), NULL,
		"operations.x.args.n", "", "the argument has no help" },
	{ "an argument of any text",
		GOOD("", "  x: {argv: [/bin/run, \"{n}\"], risk: observe, help: h, args: {n: {type: text, help: h}}}\n", "",
			""), NULL, "operations.x.args.n", "", "any text will do" },
	{ "looking that writes", GOOD("", "  x: {argv: [/bin/run, FLUSHALL], risk: observe, help: h}\n", "", ""), NULL,
		"operations.x.argv.1", "", "\"FLUSHALL\" looks as if it changes something" },
	{ "looking that writes in SQL",
		GOOD("", "  x: {argv: [/bin/run, -c, \"drop table a\"], risk: observe, help: h}\n", "", ""), NULL,
		"operations.x.argv.2", "", "looks as if it changes" },
	{ "looking at settings", GOOD("", "  x: {argv: [/bin/run, settings], risk: observe, help: h}\n", "", ""), NULL,
		NULL, NULL, NULL },
	{ "an undo of looking", GOOD("", "  x: {argv: [/bin/run], risk: observe, help: h, undo: look}\n", "", ""), NULL,
		"operations.x.undo", "", "nothing to undo" },
	{ "an undo by itself", GOOD("", "  x: {argv: [/bin/run], risk: change, help: h, undo: x}\n", "", ""), NULL,
		"operations.x.undo", "", "its own undo" },
	{ "an undo that is nowhere", GOOD("", "  x: {argv: [/bin/run], risk: change, help: h, undo: y}\n", "", ""), NULL,
		"operations.x.undo", "malformed", "there is no operation y" },
	{ "a password in argv", GOOD(", \"--password=x\"", "", "", ""), "service.yaml:4:33", "exec.2", "",
		"a secret in argv" },
	{ "a password in a URL", GOOD(", \"redis://u:p@h\"", "", "", ""), NULL, "exec.2", "", "a secret in argv" },
	{ "a URL without a password", GOOD(", \"redis://h:6379/0\"", "", "", ""), NULL, NULL, NULL, NULL },
	{ "a knob that nothing uses", GOOD("", "", "  siz: {type: int, default: 1, help: h}\n", ""), "service.yaml:11:3",
		"knobs.siz", "", "no template uses the knob" },
	{ "a knob without help", GOOD(", \"{knob.b}\"", "", "  b: {type: int, default: 1}\n", ""), NULL, "knobs.b", "",
		"the knob has no help" },
	{ "a knob that is a secret",
		GOOD(", \"{knob.password}\"", "", "  password: {type: text, pattern: a, default: a, help: h}\n", ""), NULL,
		"knobs.password", "", "in plain sight" },
	{ "a file that nothing names", GOOD("", "", "", "# stray\n"), "service.yaml:1:1", NULL, "", "stray lies in the folder" },
	{ "text that is no YAML", "a: [", NULL, NULL, "malformed", "" },
};

static void
fill(const struct scratch *s, const char *yaml)
{
	assert_int_equal(mkdirat(s->fd, "tree", 0755), 0);
	assert_int_equal(mkdirat(s->fd, "tree/bin", 0755), 0);
	scratch_put(s, "tree/bin/run", "#!/bin/sh\n", 10);
	assert_int_equal(fchmodat(s->fd, "tree/bin/run", 0755, 0), 0);
	scratch_put(s, "tree/note", "", 0);
	assert_int_equal(symlinkat("bin", s->fd, "tree/sbin"), 0);
	scratch_write(s, "README.md", "", 0);
	scratch_write(s, "service.yaml", yaml, strlen(yaml));
	if (strstr(yaml, "# stray"))
		scratch_write(s, "stray", "", 0);
}

static void
each_thing_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *items = NULL;
		const json_t *one;
		struct scratch s;
		size_t errors;

		scratch_make(&s);
		fill(&s, rows[i].yaml);
		assert_int_equal(release_lint(s.path, &items, &errors), 0);
		if (json_array_size(items) != (rows[i].says ? 1 : 0)) {
			for (size_t j = 0; j < json_array_size(items); j++)
				print_error("%s: %s\n", json_text(json_array_get(items, j), "operand"),
					json_text(json_array_get(items, j), "text"));
			fail_msg("%s: %zu findings", rows[i].name, json_array_size(items));
		}
		scratch_remove(&s);
		if (!rows[i].says)
			continue;
		one = json_array_get(items, 0);
		assert_int_equal(errors, *rows[i].reason ? 1 : 0);
		assert_string_equal(json_text(one, "level"), *rows[i].reason ? "error" : "warning");
		assert_string_equal(json_text(one, "reason"), rows[i].reason);
		if (!strstr(json_text(one, "text"), rows[i].says))
			fail_msg("%s: %s", rows[i].name, json_text(one, "text"));
		if (rows[i].operand && strcmp(rows[i].operand, json_text(one, "operand")) != 0)
			fail_msg("%s: %s", rows[i].name, json_text(one, "operand"));
		if (rows[i].where && strcmp(rows[i].where, json_text(one, "where")) != 0)
			fail_msg("%s: %s", rows[i].name, json_text(one, "where"));
		assert_int_equal(strncmp(json_text(one, "where"), "service.yaml", 12), 0);
	}
}

/* The text of the nth finding, "LEVEL WHERE OPERAND TEXT". */
static void
expect(const json_t *items, size_t n, const char *where, const char *operand, const char *says)
{
	const json_t *one = json_array_get(items, n);

	if (strcmp(json_text(one, "where"), where) != 0 || strcmp(json_text(one, "operand"), operand) != 0 ||
		!strstr(json_text(one, "text"), says))
		fail_msg("%zu: %s %s %s", n, json_text(one, "where"), json_text(one, "operand"), json_text(one, "text"));
}

static void
all_faults_at_once(void **state)
{
	static const char yaml[] = "name: Tiny\nversion: \"1\"\nexec: [run]\nknob: {}\nknobs:\n  a: {type: number}\n"
				   "alerts:\n  - {name: A, metric: m, op: below, value: 1, txt: t}\n";
	SCOPED_JSON *items = NULL;
	struct scratch s;
	size_t errors;

	(void)state;
	scratch_make(&s);
	scratch_write(&s, "service.yaml", yaml, sizeof(yaml) - 1);
	assert_int_equal(release_lint(s.path, &items, &errors), 0);
	assert_true(errors >= 5);
	expect(items, 0, "service.yaml:4:1", "knob", "did you mean \"knobs\"?");
	expect(items, 1, "service.yaml:1:1", "name", "small letters");
	assert_string_equal(json_text(json_array_get(items, json_array_size(items) - 1), "text"),
		"there is no README.md to say what the service is and is not for");
	scratch_remove(&s);
}

static void
a_service_that_tells_nobody_anything(void **state)
{
	static const char yaml[] = "name: tiny\nversion: \"1\"\nexec: [/bin/run]\npayload: {tree: tree}\n"
				   "metrics: [{source: redis, socket: \"{run}/s\", fields: [used_memory]}]\n"
				   "health: {type: exec, argv: [/bin/run], period: 1s, timeout: 2s}\n";
	static const char *const says[] = { "longer than the time between two", "there are no logs", "there are no alerts",
		"there are no operations" };
	SCOPED_JSON *items = NULL, *more = NULL, *last = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(4096);
	struct scratch s;
	size_t errors;

	(void)state;
	scratch_make(&s);
	fill(&s, yaml);
	assert_int_equal(release_lint(s.path, &items, &errors), 0);
	assert_int_equal(errors, 0);
	assert_int_equal(json_array_size(items), 4);
	for (size_t i = 0; i < 4; i++)
		assert_non_null(strstr(json_text(json_array_get(items, i), "text"), says[i]));
	/* What an alert asks for is what the metrics give. */
	buf_puts(&b, yaml);
	buf_puts(&b, "alerts: [{name: A, metric: redis_used_memry, op: above, value: 1, text: t},\n"
		     "  {name: B, metric: host_x, op: above, value: 1, text: t},\n"
		     "  {name: C, metric: mainstay_service_restarts, change: true, text: t}]\n");
	scratch_write(&s, "service.yaml", b.data, b.len);
	assert_int_equal(release_lint(s.path, &more, &errors), 0);
	assert_int_equal(json_array_size(more), 5);
	expect(more, 2, "service.yaml:7:20", "alerts.0.metric", "did you mean \"redis_used_memory\"?");
	expect(more, 3, "service.yaml:8:13", "alerts.1.metric", "host_x is the host's: a service's alert never sees it");
	/* An exporter's names are as it shows them. */
	buf_reset(&b);
	buf_puts(&b, "name: tiny\nversion: \"1\"\nexec: [/bin/run]\npayload: {tree: tree}\n"
		     "metrics: [{source: prometheus, socket: \"{run}/s\", fields: [x]}]\n"
		     "alerts: [{name: A, metric: prometheus_x, op: above, value: 1, text: t},\n"
		     "  {name: B, metric: x, op: above, value: 1, text: t}, {name: C, metric: up, op: below, value: 1, text: t}]\n");
	scratch_write(&s, "service.yaml", b.data, b.len);
	assert_int_equal(release_lint(s.path, &last, &errors), 0);
	assert_int_equal(errors, 0);
	assert_int_equal(json_array_size(last), 4);
	expect(last, 2, "service.yaml:6:20", "alerts.0.metric", "nothing reads prometheus_x: the alert can never fire");
	scratch_remove(&s);
}

/* One walk through the payload finds all of them, and what follows from them is not told, too. */
static void
every_fault_of_a_payload_is_told(void **state)
{
	static const char yaml[] =
		"name: tiny\nversion: \"1\"\nexec: [/bin/true]\n"
		"payload:\n  tree: gone\n  programs: [/no/program, /bin/true]\n"
		"  packages: [{name: no-such-package-as-this, include: [/x]}]\n"
		"  files: [{from: missing-1, to: /etc/a}, {from: missing-2, to: /etc/b}, {from: README.md, to: /etc/c}]\n"
		"operations:\n  look: {argv: [/no/program], risk: observe, help: look}\n";
	static const char *const operands[] = { "gone", "/no/program", "no-such-package-as-this", "missing-1", "missing-2" };
	SCOPED_JSON *items = NULL;
	struct scratch s;
	size_t errors, at = 0;

	(void)state;
	scratch_make(&s);
	fill(&s, yaml);
	assert_int_equal(release_lint(s.path, &items, &errors), 0);
	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *item = json_array_get(items, i);

		if (strcmp(json_text(item, "level"), "error") != 0)
			continue;
		assert_true(at < sizeof(operands) / sizeof(operands[0]));
		assert_string_equal(json_text(item, "operand"), operands[at]);
		at++;
	}
	assert_int_equal(at, 5);
	assert_int_equal(errors, 5);
	scratch_remove(&s);
}

static void
no_folder(void **state)
{
	uint64_t before = refuse_count(REASON_NOT_FOUND);
	json_t *items = NULL;
	size_t errors;

	(void)state;
	assert_int_equal(release_lint("/none", &items, &errors), REASON_NOT_FOUND);
	assert_string_equal(refuse_last()->operand, "/none");
	assert_int_equal(refuse_count(REASON_NOT_FOUND), before + 1);
	assert_null(items);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thing_is_found),
		cmocka_unit_test(all_faults_at_once),
		cmocka_unit_test(a_service_that_tells_nobody_anything),
		cmocka_unit_test(every_fault_of_a_payload_is_told),
		cmocka_unit_test(no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
