/* What of a service is watched: its metrics and logs. */
#include "appliance/base/clock.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

enum { METRIC_PERIOD_S_MAX = 3600, METRIC_TIMEOUT_S_MAX = 60 };

/* What each source takes beside fields. */
static const char *const sources[] = { "redis", "postgres", "nginx", "nats", "prometheus" };
static const struct {
	bool path, user, need_user, secret, exporter;
} takes[] = {
	{ 0 }, /* redis: INFO */
	{ .user = true, .need_user = true, .secret = true }, /* postgres: pg_stat views */
	{ .path = true },		       /* nginx: stub_status */
	{ .path = true },		       /* nats: /varz */
	{ .path = true, .exporter = true },	       /* prometheus: its text, which may be slow to make */
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
		"secret", "fields", "period", "timeout", "fallback" };
	static const char *const formats[] = { "text", "openmetrics" };
	struct definition_scope scope = { .d = d };
	struct definition_at socket = definition_member(a, "socket"),
			     port = definition_member(a, "port"),
			     path = definition_member(a, "path"),
			     user = definition_member(a, "user"),
			     database = definition_member(a, "database"),
			     period = definition_member(a, "period"),
			     timeout = definition_member(a, "timeout"),
			     fallback = definition_member(a, "fallback");
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
	if (period.v && !takes[source].exporter)
		DEFINITION_BAD(&period, "means nothing for %s", sources[source]);
	if (timeout.v && !takes[source].exporter)
		DEFINITION_BAD(&timeout, "means nothing for %s", sources[source]);
	if (fallback.v && !takes[source].exporter)
		DEFINITION_BAD(&fallback, "means nothing for %s", sources[source]);
	(void)definition_word(a, "fallback", formats, ARRAY_LEN(formats), "text");
	(void)definition_span_or_none(a, "period", METRIC_PERIOD_S_MAX * CLOCK_US_PER_S);
	(void)definition_span_or_none(a, "timeout", METRIC_TIMEOUT_S_MAX * CLOCK_US_PER_S);
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
	static const char *const known[] = { "name", "file", "format" };
	static const char *const formats[] = { "plain", "json", "syslog", "nginx", "postgresql",
		"redis", "nats" };
	struct definition_at list = definition_member(a, "logs");
	struct definition_scope scope = { .d = d };
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->logs = list.v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i),
				     file = definition_member(&one, "file");

		if (!definition_known(&one, known, ARRAY_LEN(known)))
			continue;
		const char *name = definition_text(&one, "name", true, DEFINITION_NAME_MAX);

		/* It becomes a part of a field's name. */
		if (name && !definition_is_name(name))
			DEFINITION_BAD(&one, "\"%s\" is no name: it must have letters, digits, \"-\" and \"_\" alone, and begin with a letter", name);
		(void)definition_word(&one, "format", formats, ARRAY_LEN(formats), "plain");
		definition_check_template(&file, definition_text(&one, "file", false, 255), &scope);
	}
}
