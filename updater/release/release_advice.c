#include "updater/release/release_advice.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition.h"
#include "updater/release/release_findings.h"

enum { OPERAND_MAX = 3 * DEFINITION_NAME_MAX, METRICS_MAX = 1024 };

/* --- words ------------------------------------------------------------------------------------------- */
static bool
holds_word(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcasestr(text, words[i]))
			return true;
	}
	return false;
}

/* A name under which people keep what must not be seen. */
static bool
is_secret_name(const char *name)
{
	static const char *const words[] = { "password", "passwd", "secret", "token", "credential",
		"private-key", "private_key", "apikey", "api-key", "api_key" };

	return holds_word(name, words, ARRAY_LEN(words));
}

/* "--password=x", "postgres://u:p@h": what every user of the machine could read in /proc. */
static bool
is_secret_argument(const char *text)
{
	const char *eq = strchr(text, '='), *scheme = strstr(text, "://"), *colon, *at;
	char name[64];

	if (eq && eq[1] && (size_t)(eq - text) < sizeof(name)) {
		(void)snprintf(name, sizeof(name), "%.*s", (int)(eq - text), text);
		if (is_secret_name(name) && strncmp(eq + 1, "{secret.", 8) != 0)
			return true;
	}
	at = scheme ? strchr(scheme + 3, '@') : NULL;
	colon = scheme ? strchr(scheme + 3, ':') : NULL;
	return at && colon && colon < at;
}

/* The first word of an argument that changes something where a server, a shell or SQL reads it. */
static bool
is_writing(const char *text)
{
	static const char *const words[] = { "set", "del", "unlink", "flushall", "flushdb", "rename",
		"expire", "shutdown", "save", "bgsave", "bgrewriteaof", "failover", "insert", "update",
		"delete", "drop", "truncate", "alter", "create", "vacuum", "reindex", "grant", "revoke", "rm",
		"mv", "cp", "kill", "reload", "restart", "stop", "--delete", "--force", "--drop" };
	size_t n = strcspn(text, " \t;");

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strlen(words[i]) == n && !strncasecmp(words[i], text, n))
			return true;
	}
	return false;
}

/* --- argv ------------------------------------------------------------------------------------------------ */
static void
advise_argv(struct release_findings *f, const struct definition_argv *argv, const char *member)
{
	char operand[OPERAND_MAX];

	for (size_t i = 1; i < argv->n; i++) {
		(void)snprintf(operand, sizeof(operand), "%s.%zu", member, i);
		if (is_secret_argument(argv->item[i]))
			release_findings_warn(f, operand,
				"a secret in argv is seen by everybody on the machine: declare it under secrets, "
				"and give the path {secret.NAME}");
	}
}

/* --- knobs ----------------------------------------------------------------------------------------------- */
/* Is "knob.NAME" in any template, the name as a whole? */
static bool
is_used(const char *document, const char *name)
{
	char what[DEFINITION_NAME_MAX + 8];
	size_t n = (size_t)snprintf(what, sizeof(what), "knob.%s", name);

	for (const char *p = document; (p = strstr(p, what)); p += n) {
		if (!isalnum((unsigned char)p[n]) && p[n] != '-' && p[n] != '_')
			return true;
	}
	return false;
}

static void
advise_param(struct release_findings *f, const struct definition_param *p, const char *operand, const char *what)
{
	if (!*p->help)
		release_findings_warn(f, operand, "the %s has no help: who is asked for it cannot know what it does", what);
	if (p->type == DEFINITION_TEXT && !p->allowed && !p->pattern)
		release_findings_warn(f, operand,
			"any text will do: say which with enum or pattern");
	if (is_secret_name(p->name))
		release_findings_warn(f, operand,
			"a value like this is kept in plain sight: declare it under secrets");
}

static void
advise_knobs(struct release_findings *f, const struct definition *d)
{
	SCOPED(buf_done) struct buf document = BUF_MAX(DEFINITION_BYTES_MAX);
	char operand[OPERAND_MAX];

	if (definition_write(d, &document) != 0)
		return;
	for (size_t i = 0; i < d->n_knobs; i++) {
		(void)snprintf(operand, sizeof(operand), "knobs.%s", d->knobs[i].name);
		advise_param(f, &d->knobs[i], operand, "knob");
		if (!is_used(buf_text(&document), d->knobs[i].name))
			release_findings_warn(f, operand, "no template uses the knob: turning it does nothing");
	}
	for (size_t i = 0; i < d->n_secrets; i++) {
		(void)snprintf(operand, sizeof(operand), "secrets.%s", d->secrets[i].name);
		if (!d->secrets[i].help || !*d->secrets[i].help)
			release_findings_warn(f, operand, "the secret has no help");
	}
}

/* --- health, logs, alerts ---------------------------------------------------------------------------------- */
static void
advise_health(struct release_findings *f, const struct definition *d)
{
	if (!d->health.present) {
		release_findings_warn(f, "", "there is no health: a release that answers wrongly is not rolled back");
		return;
	}
	if (d->health.timeout_us > d->health.period_us)
		release_findings_warn(f, "health.timeout", "a probe may last longer than the time between two");
	advise_argv(f, &d->health.argv, "health.argv");
}

/* What the collector measures of every service. */
static const char *const of_every_service[] = { "mainstay_service_up", "mainstay_service_restarts", "mainstay_service_processes",
	"mainstay_service_threads", "mainstay_service_memory_bytes", "mainstay_service_cpu_seconds",
	"mainstay_service_cpu_throttled_seconds", "mainstay_service_files_open", "mainstay_service_read_bytes",
	"mainstay_service_written_bytes", "mainstay_service_oom_kills" };

/* The names that the metrics give.  Returns false where they may be any: an exporter of which all is taken. */
static bool
metric_names(const struct definition *d, char names[][2 * DEFINITION_NAME_MAX], size_t *n)
{
	for (size_t i = 0; i < ARRAY_LEN(of_every_service); i++)
		(void)snprintf(names[(*n)++], sizeof(names[0]), "%s", of_every_service[i]);
	for (size_t i = 0; i < json_array_size(d->metrics); i++) {
		const json_t *one = json_array_get(d->metrics, i), *fields = json_object_get(one, "fields");
		const char *source = json_text(one, "source");
		bool as_shown = !strcmp(source, "prometheus"); /* an exporter's names are whole */

		if (as_shown && json_array_size(fields) == 0)
			return false;
		for (size_t j = 0; j <= json_array_size(fields) && *n < METRICS_MAX; j++)
			(void)snprintf(names[(*n)++], sizeof(names[0]), "%s%s%.*s", as_shown ? "" : source,
				as_shown ? "" : "_", DEFINITION_NAME_MAX,
				j ? json_string_value(json_array_get(fields, j - 1)) : "up");
	}
	return true;
}

static void
advise_alerts(struct release_findings *f, const struct definition *d)
{
	SCOPED(scope_free) char(*names)[2 * DEFINITION_NAME_MAX] = calloc(METRICS_MAX, sizeof(*names));
	const char *known[METRICS_MAX];
	char operand[OPERAND_MAX];
	size_t n = 0;
	bool any;

	if (!d->n_alerts)
		release_findings_warn(f, "", "there are no alerts: nobody hears of it when the service fails");
	if (!names) {
		f->r = FAULT(-ENOMEM);
		return;
	}
	any = !metric_names(d, names, &n);
	for (size_t i = 0; i < n; i++)
		known[i] = names[i];
	for (size_t i = 0; i < d->n_alerts; i++) {
		const char *metric = d->alerts[i].metric, *near = nearest_word(metric, known, n);
		bool is_read = any;

		if (!strncmp(metric, "host_", 5)) {
			(void)snprintf(operand, sizeof(operand), "alerts.%zu.metric", i);
			release_findings_warn(f, operand,
				"%s is the host's: a service's alert never sees it; the customer's own rules do", metric);
			continue;
		}
		for (size_t j = 0; j < n; j++)
			is_read = is_read || !strcmp(known[j], metric);
		(void)snprintf(operand, sizeof(operand), "alerts.%zu.metric", i);
		if (!is_read)
			release_findings_warn(f, operand, "nothing reads %s: the alert can never fire%s%s%s", metric,
				near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
}

/* --- operations ---------------------------------------------------------------------------------------- */
static void
advise_operation(struct release_findings *f, const struct definition *d, const struct definition_operation *op)
{
	const struct definition_operation *undo = op->undo ? definition_operation(d, op->undo) : NULL;
	char operand[OPERAND_MAX], member[OPERAND_MAX];

	(void)snprintf(operand, sizeof(operand), "operations.%s", op->name);
	if (!*op->help)
		release_findings_warn(f, operand, "the operation has no help: who approves it cannot know what it does");
	for (size_t i = 0; i < op->n_args; i++) {
		(void)snprintf(member, sizeof(member), "%.*s.args.%.*s", 2 * DEFINITION_NAME_MAX, operand,
			DEFINITION_NAME_MAX / 2, op->args[i].name);
		advise_param(f, &op->args[i], member, "argument");
	}
	(void)snprintf(member, sizeof(member), "%.*s.argv", 2 * DEFINITION_NAME_MAX, operand);
	advise_argv(f, &op->argv, member);
	for (size_t i = 1; op->risk == DEFINITION_OBSERVE && i < op->argv.n; i++) {
		(void)snprintf(member, sizeof(member), "%.*s.argv.%zu", 2 * DEFINITION_NAME_MAX, operand, i);
		if (is_writing(op->argv.item[i]))
			release_findings_warn(f, member, "\"%s\" looks as if it changes something, and the risk is observe",
				op->argv.item[i]);
	}
	(void)snprintf(member, sizeof(member), "%.*s.undo", 2 * DEFINITION_NAME_MAX, operand);
	if (undo && op->risk == DEFINITION_OBSERVE)
		release_findings_warn(f, member, "an operation that only looks has nothing to undo");
	else if (undo == op && undo)
		release_findings_warn(f, member, "the operation is its own undo");
}

void
release_advice(struct release_findings *f, const struct definition *d)
{
	char member[64];

	advise_argv(f, &d->exec, "exec");
	advise_argv(f, &d->prepare.argv, "prepare.argv");
	for (int i = 0; i < DEFINITION_HOOK_MAX; i++) {
		(void)snprintf(member, sizeof(member), "hooks.%s.argv",
			definition_hook_text((enum definition_hooks)i));
		advise_argv(f, &d->hooks[i].argv, member);
	}
	advise_knobs(f, d);
	advise_health(f, d);
	if (json_array_size(d->logs) == 0)
		release_findings_warn(f, "", "there are no logs: what the service says is kept by nobody");
	advise_alerts(f, d);
	if (!d->n_operations)
		release_findings_warn(f, "", "there are no operations: nobody can help from afar");
	for (size_t i = 0; i < d->n_operations; i++)
		advise_operation(f, d, &d->operations[i]);
}
