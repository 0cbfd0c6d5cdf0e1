/* What alerts may say, in a definition and in the customer's own rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition.h"

#define HEAD "name: demo\nversion: \"1\"\nexec: [/bin/x]\noperations: {info: {argv: [/x], risk: observe}}\nalerts:\n"
#define ONE(members) HEAD "  - {name: A, metric: m, text: t, " members "}\n"
#define BOUND "op: above, value: 1"

static const struct row {
	const char *name, *text, *operand, *says; /* operand NULL: it is taken */
} rows[] = {
	{ "a threshold", ONE(BOUND), NULL, NULL },
	{ "a decimal bound with its end", ONE("op: below, value: -0.5, clear: 0.25"), NULL, NULL },
	{ "a rate", ONE(BOUND ", rate: {per: 1m, over: 5m}"), NULL, NULL },
	{ "absence", ONE("absent: 5m"), NULL, NULL },
	{ "a change", ONE("change: true, for: 10m"), NULL, NULL },
	{ "series by labels", HEAD "  - {name: A, metric: \"a:b\", where: {mode: rw}, by: [device], op: equal, value: 0, "
				   "text: \"{label.device} in {label.mode} is {value}\"}\n", NULL, NULL },
	{ "what proposes and inhibits", ONE(BOUND ", operation: info") "  - {name: B, metric: m, text: t, " BOUND
		", inhibited_by: [A]}\n", NULL, NULL },
	{ "an unknown member", ONE(BOUND ", vlaue: 1"), "alerts.0.vlaue", "did you mean \"value\"" },
	{ "no op", ONE("value: 1"), "alerts.0.op", "missing" },
	{ "another op", ONE("op: near, value: 1"), "alerts.0.op", "one of below, above, equal, not-equal" },
	{ "no value", ONE("op: above"), "alerts.0.value", "missing" },
	{ "a value that is none", ONE("op: above, value: 1.2.3"), "alerts.0.value", "a number like" },
	{ "a value without digits", ONE("op: above, value: \"-\""), "alerts.0.value", "a number like" },
	{ "a value without an end", ONE("op: above, value: 11111111111111111111111.5"), "alerts.0.value", "a number like" },
	{ "an end on the wrong side", ONE("op: above, value: 1, clear: 2"), "alerts.0.clear", "must be at most value" },
	{ "an end below on the wrong side", ONE("op: below, value: 2, clear: 1"), "alerts.0.clear",
		"must be at least value" },
	{ "an end of what is equal", ONE("op: equal, value: 1, clear: 1"), "alerts.0.clear", "below and above alone" },
	{ "a rate over nothing", ONE(BOUND ", rate: {per: 1m}"), "alerts.0.rate.over", "missing" },
	{ "a rate over a moment", ONE(BOUND ", rate: {over: 59s}"), "alerts.0.rate.over", "a minute or more" },
	{ "a rate per a moment", ONE(BOUND ", rate: {per: 10ms, over: 1m}"), "alerts.0.rate", "a second or more" },
	{ "a rate with more", ONE(BOUND ", rate: {per: 1s, over: 1m, of: x}"), "alerts.0.rate.of", "unknown" },
	{ "absence of a moment", ONE("absent: 10ms"), "alerts.0.absent", "a second or more" },
	{ "absence and for", ONE("absent: 10m, for: 1m"), "alerts.0.for", "does not go with absent" },
	{ "absence and a bound", ONE("absent: 10m, value: 1"), "alerts.0.value", "does not go with absent" },
	{ "a change and a bound", ONE("change: true, op: above"), "alerts.0.op", "does not go with change" },
	{ "a change and absence", ONE("change: true, absent: 1m"), "alerts.0.change", "does not go with absent" },
	{ "no change", ONE("change: false, " BOUND), "alerts.0.change", "can only be true" },
	{ "a span that is none", ONE(BOUND ", for: soon"), "alerts.0.for", "a time like" },
	{ "a metric that is none", HEAD "  - {name: A, metric: a-b, text: t, " BOUND "}\n", "alerts.0.metric",
		"is no metric" },
	{ "a metric that begins with a digit", HEAD "  - {name: A, metric: 9a, text: t, " BOUND "}\n", "alerts.0.metric",
		"is no metric" },
	{ "a label that is none", ONE(BOUND ", where: {a-b: c}"), "alerts.0.where.a-b", "is no label" },
	{ "a label's value that is none", ONE(BOUND ", where: {a: 1}"), "alerts.0.where.a", "must be text" },
	{ "where of another kind", ONE(BOUND ", where: [a]"), "alerts.0.where", "must be a mapping" },
	{ "by what is no label", ONE(BOUND ", by: [\"a b\"]"), "alerts.0.by.0", "label" },
	{ "by one label twice", ONE(BOUND ", by: [a, a]"), "alerts.0.by.1", "stands twice" },
	{ "by what has one value", ONE(BOUND ", by: [a], where: {a: x}"), "alerts.0.by.0", "stands in where" },
	{ "by too many", ONE(BOUND ", by: [a, b, c, d, e]"), "alerts.0.by", "at most 4" },
	{ "a text of a label that is not there", HEAD "  - {name: A, metric: m, text: \"{label.a}\", " BOUND "}\n",
		"alerts.0.text", "neither in by nor in where" },
	{ "a text with another brace", HEAD "  - {name: A, metric: m, text: \"{knob.a}\", " BOUND "}\n", "alerts.0.text",
		"a brace begins" },
	{ "a severity that is none", ONE(BOUND ", severity: bad"), "alerts.0.severity", "one of critical" },
	{ "a name that stands twice", ONE(BOUND) "  - {name: A, metric: n, text: t, " BOUND "}\n", "alerts.1.name",
		"stands twice" },
	{ "inhibited by nobody", ONE(BOUND) "  - {name: Bee, metric: m, text: t, " BOUND ", inhibited_by: [Be]}\n",
		"alerts.1.inhibited_by.0", "did you mean \"Bee\"" },
	{ "inhibited by itself", ONE(BOUND ", inhibited_by: [A]"), "alerts.0.inhibited_by", "circle" },
	{ "a circle", ONE(BOUND ", inhibited_by: [B]") "  - {name: B, metric: m, text: t, " BOUND ", inhibited_by: [A]}\n",
		"alerts.0.inhibited_by", "circle" },
	{ "an operation that is not there", ONE(BOUND ", operation: inof"), "alerts.0.operation",
		"did you mean \"info\"" },
};

static void
alerts_of_a_definition(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(definition_freep) struct definition *d = NULL;
		const struct row *row = &rows[i];
		int r = definition_compile(&d, row->text, strlen(row->text), "service.yaml", -1);

		if ((r == 0) != !row->operand)
			fail_msg("%s: %d, %s", row->name, r, refuse_last()->text);
		if (r == 0)
			continue;
		if (strcmp(refuse_last()->operand, row->operand) != 0 || !strstr(refuse_last()->text, row->says) ||
			strncmp(refuse_last()->place, "service.yaml:", 13) != 0)
			fail_msg("%s: %s: %s: %s", row->name, refuse_last()->place, refuse_last()->operand,
				refuse_last()->text);
	}
}

static void
each_refusal_is_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum reason reasons[] = { REASON_MALFORMED, REASON_UNKNOWN_FIELD };
		SCOPED(definition_freep) struct definition *d = NULL;
		uint64_t before = refuse_count(reasons[0]) + refuse_count(reasons[1]);

		(void)definition_compile(&d, rows[i].text, strlen(rows[i].text), "service.yaml", -1);
		if (refuse_count(reasons[0]) + refuse_count(reasons[1]) != before + (rows[i].operand ? 1 : 0))
			fail_msg("%s", rows[i].name);
	}
}

static void
rules_of_the_customer(void **state)
{
	static const char good[] = "rules:\n"
				   "  - {service: host, name: A, metric: host_load1, text: t, op: above, value: 8}\n"
				   "  - {service: redis, name: A, metric: redis_x, text: t, absent: 1m, inhibited_by: [RedisNotAnswering]}\n";
	static const struct {
		const char *name, *text, *operand, *place;
	} bad[] = {
		{ "no service", "rules:\n  - {name: A, metric: m, text: t, " BOUND "}\n", "rules.0.service", "r.yaml:2:5" },
		{ "a service that is none", "rules:\n  - {service: A b, name: A, metric: m, text: t, " BOUND "}\n",
			"rules.0.service", "r.yaml:2:6" },
		{ "another member", "alerts: []\n", "alerts", "r.yaml:1:1" },
		{ "no list", "rules: {}\n", "rules", "r.yaml:1:1" },
		{ "a member of a rule", "rules:\n  - {service: host, name: A, metric: m, text: t, page: x, " BOUND "}\n",
			"rules.0.page", "r.yaml:2:50" },
		{ "one name twice", "rules:\n  - {service: host, name: A, metric: m, text: t, " BOUND "}\n"
				    "  - {service: host, name: A, metric: m, text: t, " BOUND "}\n",
			"rules.1.name", "r.yaml:3:21" },
		{ "a circle", "rules:\n  - {service: host, name: A, metric: m, text: t, inhibited_by: [A], " BOUND "}\n",
			"rules.0.inhibited_by", "r.yaml:2:50" },
	};
	SCOPED_JSON *list = NULL;

	(void)state;
	assert_int_equal(definition_compile_alerts(&list, good, sizeof(good) - 1, "r.yaml"), 0);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_text(json_array_get(list, 1), "service"), "redis");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *none = NULL;
		uint64_t before = refuse_count(REASON_MALFORMED) + refuse_count(REASON_UNKNOWN_FIELD);
		int r = definition_compile_alerts(&none, bad[i].text, strlen(bad[i].text), "r.yaml");

		if (r <= 0 || none || strcmp(refuse_last()->operand, bad[i].operand) != 0 ||
			strcmp(refuse_last()->place, bad[i].place) != 0 ||
			refuse_count(REASON_MALFORMED) + refuse_count(REASON_UNKNOWN_FIELD) != before + 1)
			fail_msg("%s: %s: %s: %s", bad[i].name, refuse_last()->place, refuse_last()->operand,
				refuse_last()->text);
	}
	json_decref(list);
	list = NULL;
	assert_int_equal(definition_compile_alerts(&list, "{}", 2, "r.yaml"), 0);
	assert_int_equal(json_array_size(list), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(alerts_of_a_definition),
		cmocka_unit_test(each_refusal_is_one),
		cmocka_unit_test(rules_of_the_customer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
