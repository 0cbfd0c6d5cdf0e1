/* Secrets in every text that leaves: alerts, lines of logs, label values, inventory.  None of them does, even where
 * everything was accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/egress/field.h"
#include "appliance/egress/filter.h"
#include "telemetry/collect/outgoing.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/telemetry_show.h"
#include "telemetry/logs/log_batch.h"
#include "telemetry/rule/rule.h"
#include "tests/fakes/scratch.h"
#include "tests/unit/appliance/egress/canaries.h"

#define NOW UINT64_C(1795000000000000)

struct door {
	struct scratch s;
	struct pseudonym *p;
	struct outgoing o;
	struct buf out;
};

static int
setup(void **state)
{
	struct door *d = calloc(1, sizeof(*d));
	SCOPED_JSON *fields = json_pack("{s:s, s:s, s:s, s:s, s:s}", "m", "", "m{x}", "", "alert.redis.Down", "",
		"log.redis.redis", "log file", "inventory.os", "");

	if (!d)
		return -1;
	scratch_make(&d->s);
	d->out = BUF_MAX(8 * 1024 * 1024);
	d->o.site = "site-1";
	*state = d;
	return pseudonym_open(&d->p, d->s.fd, true) ?: redact_new(&d->o.redact, d->p, PSEUDONYM_DEFAULT)
		?: filter_new(&d->o.filter) ?: filter_set_accepted(d->o.filter, fields);
}

static int
teardown(void **state)
{
	struct door *d = *state;

	redact_free(d->o.redact);
	pseudonym_free(d->p);
	filter_free(d->o.filter);
	scratch_remove(&d->s);
	buf_done(&d->out);
	free(d);
	return 0;
}

static bool
holds(const struct buf *out, const char *text)
{
	return out->len > 0 && memmem(out->data, out->len, text, strlen(text)) != NULL;
}

static void
none_leaves_with_an_alert(void **state)
{
	struct door *d = *state;
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(canaries); i++) {
		SCOPED_JSON *doc = json_pack("{s:s, s:s, s:s, s:i, s:s}", "name", "Down", "metric", "m", "op", "above", "value",
			1, "text", "t");
		const struct rule_label label = { "queue", canaries[i].text };
		SCOPED(rule_unrefp) struct rule *rule = NULL;
		struct rule_alert alert = { .told = RULE_TOLD_MUTED, .since_us = NOW, .text = canaries[i].text,
			.labels = &label, .n_labels = 1, .group = "", .muted_by = canaries[i].text };

		assert_int_equal(rule_read(&rule, "redis", doc), 0);
		alert.rule = rule;
		buf_reset(&d->out);
		assert_int_equal(outgoing_alert(&d->o, &d->out, &alert, NOW, &n), 0);
		assert_int_equal(n, 1);
		if (holds(&d->out, canaries[i].secret))
			fail_msg("%s", canaries[i].kind);
		assert_true(holds(&d->out, "label.queue"));
	}
	assert_true(d->o.tally.secrets > 3 * 80);
}

static void
none_leaves_with_a_line(void **state)
{
	struct door *d = *state;
	uint32_t inside = 0;
	size_t i;

	assert_true(outgoing_log(&d->o, "redis", "log.redis.redis", "log file", "x", NOW));
	assert_false(outgoing_log(&d->o, "redis", "log.redis.redis", "log journal", "x", NOW));
	assert_false(outgoing_log(&d->o, "redis", "log.redis.other", "log file", "x", NOW));
	for (i = 0; i < ARRAY_LEN(canaries); i++) {
		buf_reset(&d->out);
		assert_int_equal(outgoing_log_line(&inside, canaries[i].text, strlen(canaries[i].text), &d->out, &d->o), 0);
		if (holds(&d->out, canaries[i].secret))
			fail_msg("%s", canaries[i].kind);
	}
}

/* Lines that stand together: what has nothing to hide leaves as it is, all else is rewritten, and so is every line of a
 * key. */
static void
lines_that_stand_together_leave_as_alone(void **state)
{
	static const char text[] = "started in 12 ms\npassword=hunter22\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n"
				   "-----END RSA PRIVATE KEY-----\nstopped\n";
	static const struct {
		int result;
		const char *leaves;
	} rows[] = {
		{ LOG_REDACT_NOTHING, "" },
		{ 0, "password=[redacted:password]" },
		{ 0, "[redacted:private-key]" },
		{ 0, "[redacted:private-key]" },
		{ 0, "[redacted:private-key]" },
		{ LOG_REDACT_NOTHING, "" },
	};
	struct door *d = *state;
	uint32_t inside = 0;
	const char *p = text;

	outgoing_log_lines(text, strlen(text), &d->o);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *end = strchr(p, '\n');

		buf_reset(&d->out);
		assert_int_equal(outgoing_log_line(&inside, p, (size_t)(end - p), &d->out, &d->o), rows[i].result);
		assert_string_equal(buf_text(&d->out), rows[i].leaves);
		p = end + 1;
	}
	outgoing_log_lines(NULL, 0, &d->o);
	buf_reset(&d->out);
	assert_int_equal(outgoing_log_line(&inside, text, 16, &d->out, &d->o), 0);
	assert_string_equal(buf_text(&d->out), "started in 12 ms");
}

static void
none_leaves_as_a_label(void **state)
{
	struct door *d = *state;
	size_t i, n, left = 0;

	for (i = 0; i < ARRAY_LEN(canaries); i++) {
		SCOPED(sample_done) struct sample_set set = { 0 };

		sample_label(&set, sample_gauge(&set, "redis", "m", "1", NOW, 1), "x", canaries[i].text);
		buf_reset(&d->out);
		assert_int_equal(outgoing_metrics(&d->o, &d->out, &set, NOW, &n), 0);
		/* What is no label does not leave at all. */
		assert_int_equal(n, field_label_fits(canaries[i].text));
		left += n;
		if (holds(&d->out, canaries[i].secret))
			fail_msg("%s", canaries[i].kind);
	}
	assert_true(left > 20);
}

static void
none_leaves_with_the_inventory(void **state)
{
	struct door *d = *state;
	SCOPED_JSON *items = json_array();
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(canaries); i++) {
		SCOPED_JSON *body = json_pack("{s:s, s:[{s:s, s:i, s:b}]}", "name", "Debian", "list", "text", canaries[i].text,
			"count", 7, "on", 1);

		buf_reset(&d->out);
		assert_int_equal(outgoing_inventory(&d->o, &d->out, "os", "inventory name", body, NOW, &n), 0);
		assert_int_equal(n, 1);
		if (holds(&d->out, canaries[i].secret))
			fail_msg("%s", canaries[i].kind);
		assert_true(holds(&d->out, "Debian"));
	}
	/* What left is what is shown: the tree, whole. */
	assert_int_equal(telemetry_show(items, "inventory", OUTGOING_LOGS_PATH, d->out.data, d->out.len), 0);
	assert_int_equal(json_array_size(items), 1);
	assert_string_equal(json_text(json_array_get(items, 0), "name"), "mainstay.inventory");
	assert_string_equal(json_text(json_object_get(json_array_get(items, 0), "value"), "name"), "Debian");
	assert_string_equal(json_text(json_object_get(json_array_get(items, 0), "attributes"), "group"), "os");
}

static void
a_version_is_no_address_and_may_hold_no_secret(void **state)
{
	struct door *d = *state;
	SCOPED_JSON *body = json_pack("{s:[{s:s, s:s}], s:s}", "packages", "name", "at 1.2.5.1", "version", "1.2.5.1-2",
		"version_id", "AKIAIOSFODNN7EXAMPLE");
	size_t n;

	assert_int_equal(outgoing_inventory(&d->o, &d->out, "os", "inventory name", body, NOW, &n), 0);
	assert_true(holds(&d->out, "1.2.5.1-2"));
	assert_true(holds(&d->out, "at <ip:"));
	assert_false(holds(&d->out, "AKIAIOSFODNN7EXAMPLE"));
}

static void
a_tree_too_deep_or_a_text_too_long_is_a_fault(void **state)
{
	struct door *d = *state;
	SCOPED_JSON *deep = json_pack("{s:{s:{s:{s:{s:{s:{s:i}}}}}}}", "a", "a", "a", "a", "a", "a", "a", 1);
	SCOPED_JSON *long_text = json_object();
	char *text = malloc(65538);
	size_t n;

	assert_non_null(text);
	memset(text, 'o', 65537);
	text[65537] = '\0';
	assert_int_equal(json_object_set_new(long_text, "a", json_string(text)), 0);
	free(text);
	assert_true(outgoing_inventory(&d->o, &d->out, "os", "inventory", deep, NOW, &n) < 0);
	buf_reset(&d->out);
	assert_true(outgoing_inventory(&d->o, &d->out, "os", "inventory", long_text, NOW, &n) < 0);
}

int
main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(none_leaves_with_an_alert),
		ROW(none_leaves_with_a_line),
		ROW(lines_that_stand_together_leave_as_alone),
		ROW(none_leaves_as_a_label),
		ROW(none_leaves_with_the_inventory),
		ROW(a_version_is_no_address_and_may_hold_no_secret),
		ROW(a_tree_too_deep_or_a_text_too_long_is_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
