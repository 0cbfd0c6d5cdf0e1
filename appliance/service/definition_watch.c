/* What of a service is watched: its metrics, logs and alerts. */
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

static const char *const severities[] = { "critical", "warning", "info" };

/* What each source takes beside fields. */
static const char *const sources[] = { "redis", "postgres", "nginx", "nats", "prometheus" };
static const struct {
	bool path, user, need_user, secret;
} takes[] = {
	{ 0 }, /* redis: INFO */
	{ .user = true, .need_user = true, .secret = true }, /* postgres: pg_stat views */
	{ .path = true },		       /* nginx: stub_status */
	{ .path = true },		       /* nats: /varz */
	{ .path = true },		       /* prometheus: its text */
};

/* The collector is given the value alone: what a template puts around it is for the service's own files. */
static void
read_metric_secret(const struct definition_at *a, const struct definition *d, unsigned source)
{
	struct definition_at at = definition_member(a, "secret");
	const char *name = definition_text(a, "secret", takes[source].secret, DEFINITION_NAME_MAX);
	const struct definition_secret *secret = name ? definition_secret(d, name) : NULL;

	if (!name)
		return;
	if (!takes[source].secret)
		DEFINITION_BAD(&at, "means nothing for %s", sources[source]);
	else if (!secret)
		DEFINITION_BAD(&at, "\"%s\" is none of the secrets", name);
	else if (secret->template)
		DEFINITION_BAD(&at, "\"%s\" has a template: the collector takes a value alone", name);
}

static void
read_metric(const struct definition_at *a, const struct definition *d)
{
	static const char *const known[] = { "source", "socket", "port", "path", "user", "database",
		"secret", "fields" };
	struct definition_scope scope = { .d = d };
	struct definition_at socket = definition_member(a, "socket"),
			     port = definition_member(a, "port"),
			     path = definition_member(a, "path"),
			     user = definition_member(a, "user"),
			     database = definition_member(a, "database");
	const char *text;
	unsigned source;

	if (!definition_known(a, known, ARRAY_LEN(known)))
		return;
	source = definition_word(a, "source", sources, ARRAY_LEN(sources), NULL);
	if (socket.v && port.v)
		DEFINITION_BAD(&port, "needs one of socket and port, not both");
	definition_check_socket(&socket, definition_text(a, "socket", !port.v, 107), &scope);
	definition_check_port(
		&port, definition_text(a, "port", false, 2 * DEFINITION_NAME_MAX), &scope);
	text = definition_text(a, "path", false, 255);
	if (text && (!takes[source].path || text[0] != '/' || strpbrk(text, " {}#")))
		DEFINITION_BAD(&path, takes[source].path ? "must be a path like /metrics"
							 : "means nothing for %s",
			sources[source]);
	if (user.v && !takes[source].user)
		DEFINITION_BAD(&user, "means nothing for %s", sources[source]);
	if (database.v && !takes[source].user)
		DEFINITION_BAD(&database, "means nothing for %s", sources[source]);
	(void)definition_text(a, "user", takes[source].need_user, DEFINITION_NAME_MAX);
	read_metric_secret(a, d, source);
	(void)definition_text(a, "database", false, DEFINITION_NAME_MAX);
	(void)definition_texts(a, "fields", DEFINITION_LIST_MAX, 2 * DEFINITION_NAME_MAX,
		definition_is_name, "field's name");
}

void
definition_read_metrics(const struct definition_at *a, struct definition *d)
{
	struct definition_at list = definition_member(a, "metrics");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->metrics = list.v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i);

		read_metric(&one, d);
	}
}

void
definition_read_logs(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "name", "file" };
	struct definition_at list = definition_member(a, "logs");
	struct definition_scope scope = { .d = d };
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->logs = list.v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i),
				     file = definition_member(&one, "file");

		if (!definition_known(&one, known, ARRAY_LEN(known)))
			continue;
		(void)definition_text(&one, "name", true, DEFINITION_NAME_MAX);
		definition_check_template(&file, definition_text(&one, "file", false, 255), &scope);
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

		d->n_alerts = i + 1;
		if (!definition_known(&one, known, ARRAY_LEN(known)))
			continue;
		alert->name = definition_text(&one, "name", true, DEFINITION_NAME_MAX);
		alert->metric = definition_text(&one, "metric", true, 2 * DEFINITION_NAME_MAX);
		alert->op = definition_word(&one, "op", ops, ARRAY_LEN(ops), NULL);
		alert->value = definition_int(&one, "value", 0, -(INT64_C(1) << 53) + 1,
			(INT64_C(1) << 53) - 1);
		alert->for_us = definition_span(&one, "for", "1s", 86400 * CLOCK_US_PER_S);
		alert->severity = severities[definition_word(&one, "severity", severities,
			ARRAY_LEN(severities), "warning")];
		alert->text = definition_text(&one, "text", true, 400);
		if (alert->name && !definition_is_name(alert->name))
			DEFINITION_BAD(&one, "\"%s\" is no name: it must have letters, digits, \"-\" and \"_\" alone, and begin with a letter", alert->name);
	}
}
