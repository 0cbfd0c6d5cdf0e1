/* The customer's rules, a definition's alerts as they reach the collector, values of a test, and rules.json: any of
 * them read from anything, then fed, saved and restored. */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "telemetry/rule/rule_own.h"
#include "telemetry/rule/rule_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (UINT64_C(1795000000) * CLOCK_US_PER_S)

static void
on_told(const struct rule_alert *alert, void *arg)
{
	size_t *told = arg;

	*told += strlen(alert->text) + strlen(alert->group) + strlen(alert->muted_by);
}

/* What was read must survive use, and its states a restart. */
static void
use(struct rule *const *rules, size_t n, const json_t *saved)
{
	SCOPED(rule_freep) struct rule_set *s = NULL, *again = NULL;
	SCOPED_JSON *kept = NULL;
	size_t told = 0;

	if (rule_new(&s, on_told, &told) != 0 || rule_new(&again, on_told, &told) != 0 ||
		rule_load(s, rules, n, NOW) != 0 || rule_load(again, rules, n, NOW) != 0)
		return;
	if (saved)
		(void)rule_restore(s, saved, NOW);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t now_us = NOW + i * 7 * CLOCK_US_PER_S;

		for (size_t j = 0; j < n && j < 16; j++) {
			struct rule_label labels[RULE_WHERE_MAX + RULE_BY_MAX];
			size_t n_labels = rules[j]->n_where;

			memcpy(labels, rules[j]->where, sizeof(rules[j]->where));
			for (size_t k = 0; k < rules[j]->n_by; k++)
				labels[n_labels++] = (struct rule_label){ rules[j]->by[k], i % 3 ? "a\nb" : "c" };
			rule_feed(s, rules[j]->service, rules[j]->metric, labels, n_labels,
				rules[j]->bound + (double)(i % 5) - 2, now_us);
		}
		rule_tick(s, now_us);
	}
	kept = rule_save(s);
	if (kept && rule_restore(again, kept, NOW) != 0)
		abort();
}

static void
one_rule(const json_t *doc)
{
	const json_t *alert = json_is_object(doc) ? json_object_get(doc, "alert") : NULL;
	SCOPED(rule_unrefp) struct rule *rule = NULL;

	if (alert && rule_read(&rule, "redis", (json_t *)alert) == 0)
		use(&rule, 1, json_object_get(doc, "saved"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(rule_own_done) struct rule_own own = { 0 };
	SCOPED(rule_values_done) struct rule_values values = { 0 };
	SCOPED_JSON *doc = NULL;
	char *text;

	log_open("fuzz", LOG_LEVEL_ERROR);
	log_quiet_refusals(true);
	if (rule_own_read(&own, data, size, "rules.yaml") == 0)
		use(own.rules, own.n, NULL);
	if (json_read(&doc, data, size, size, "alert") == 0)
		one_rule(doc);
	text = strndup((const char *)data, size);
	if (text)
		(void)rule_values_parse(&values, text);
	free(text);
	return 0;
}
