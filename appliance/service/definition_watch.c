/* What of a service is watched: its metrics, logs and alerts. */
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

static const char *const severities[] = { "critical", "warning", "info" };

void
definition_read_metrics(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "source", "socket", "fields" };
	static const char *const sources[] = { "redis" };
	struct definition_at list = definition_member(a, "metrics");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->metrics = list.v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i),
				     socket = definition_member(&one, "socket"),
				     fields = definition_member(&one, "fields");
		size_t n_fields;

		definition_known(&one, known, ARRAY_LEN(known));
		(void)definition_word(&one, "source", sources, ARRAY_LEN(sources), NULL);
		definition_check_template(&socket, definition_text(&one, "socket", true, 107),
			false, d, NULL);
		n_fields = definition_list(&fields, DEFINITION_LIST_MAX);
		for (size_t j = 0; j < n_fields; j++) {
			struct definition_at field = definition_item(&fields, j);
			const char *text = definition_text_here(&field, DEFINITION_NAME_MAX);

			if (text && !definition_is_name(text))
				DEFINITION_BAD(&field, "is no field name");
		}
	}
}

void
definition_read_logs(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "name", "file" };
	struct definition_at list = definition_member(a, "logs");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->logs = list.v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i),
				     file = definition_member(&one, "file");

		definition_known(&one, known, ARRAY_LEN(known));
		(void)definition_text(&one, "name", true, DEFINITION_NAME_MAX);
		definition_check_template(&file, definition_text(&one, "file", false, 255), false,
			d, NULL);
	}
}

void
definition_read_alerts(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "name", "metric", "op", "value", "for", "severity",
		"text" };
	static const char *const ops[] = { "below", "above" };
	struct definition_at list = definition_member(a, "alerts");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->alerts = definition_array(&list, n, sizeof(*d->alerts));
	for (size_t i = 0; d->alerts && i < n; i++) {
		struct definition_at one = definition_item(&list, i);
		struct definition_alert *alert = &d->alerts[i];

		definition_known(&one, known, ARRAY_LEN(known));
		alert->name = definition_text(&one, "name", true, DEFINITION_NAME_MAX);
		alert->metric = definition_text(&one, "metric", true, 2 * DEFINITION_NAME_MAX);
		alert->op = definition_word(&one, "op", ops, ARRAY_LEN(ops), NULL);
		alert->value = definition_int(&one, "value", 0, -(INT64_C(1) << 53) + 1,
			(INT64_C(1) << 53) - 1);
		alert->for_us = definition_span(&one, "for", "1s", 86400 * CLOCK_US_PER_S);
		alert->severity = severities[definition_word(&one, "severity", severities,
			ARRAY_LEN(severities), "warning")];
		alert->text = definition_text(&one, "text", true, 400);
		d->n_alerts = i + 1;
		if (!a->rd->r && !definition_is_name(alert->name))
			DEFINITION_BAD(&one, "\"%s\" is no name", alert->name);
	}
}
