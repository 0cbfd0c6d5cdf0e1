/* How a service runs: argv lists, stop, reload, prepare, hooks, network, limits, what it requires. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"

enum {
	ARG_MAX_BYTES = 1024,
	TIMEOUT_S_MAX = 24 * 3600,
	GRACE_S_MAX = 3600,
	OUTPUT_DEFAULT = 64 * 1024,
	OUTPUT_MAX = 1024 * 1024,
	CPU_MILLI_MAX = 1024 * 1000,
	PROCESSES_MAX = 65536,
	FILES_MAX = 1048576,
	REQUIRES_MAX = 32,
};
#define HOOK_MEMORY_DEFAULT (UINT64_C(64) << 20)
#define MEMORY_MAX (UINT64_C(1) << 42)

static const char *const hook_names[] = { "snapshot", "check", "restore" };
static const char *const networks[] = { "none", "loopback", "host" };

const char *
definition_hook_text(enum definition_hooks hook)
{
	return hook_names[hook];
}

const char *
definition_network_text(enum definition_network network)
{
	return networks[network];
}

void
definition_read_argv(const struct definition_at *a, const char *name, bool need,
	struct definition_argv *argv)
{
	struct definition_at list = definition_member(a, name);
	size_t n = definition_list(&list, DEFINITION_ARGV_MAX);

	if (need && !n)
		DEFINITION_BAD(&list, "must be a list with a program");
	argv->item = definition_array(&list, n ? n + 1 : 0, sizeof(*argv->item));
	for (size_t i = 0; argv->item && i < n; i++) {
		struct definition_at one = definition_item(&list, i);

		argv->item[i] = definition_text_here(&one, ARG_MAX_BYTES);
		if (!argv->item[i])
			return; /* what is behind it could not be told from the list's end */
		argv->n = i + 1;
	}
	if (argv->n && (argv->item[0][0] != '/' || strchr(argv->item[0], '{'))) {
		struct definition_at one = definition_item(&list, 0);

		DEFINITION_BAD(&one, "a program must be an absolute path in the tree, without {}");
	}
}

void
definition_check_argv(const struct definition_at *a, const char *name,
	const struct definition_argv *argv, const struct definition_scope *scope)
{
	struct definition_at list = definition_member(a, name);

	for (size_t i = 0; i < argv->n; i++) {
		struct definition_at one = definition_item(&list, i);

		definition_check_template(&one, argv->item[i], scope);
	}
}

/* --- secrets ------------------------------------------------------------------------------------- */
static void
read_secret(const struct definition_at *a, const char *name, struct definition_secret *s)
{
	static const char *const known[] = { "bytes", "template", "help" };
	struct definition_at template = definition_member(a, "template");
	const char *at;

	s->name = name;
	if (!definition_is_name(name))
		DEFINITION_BAD(
			a, "a name must have letters, digits, \"-\" and \"_\" alone, and begin with a letter");
	if (!definition_known(a, known, ARRAY_LEN(known)))
		return;
	s->bytes = (unsigned)definition_int(a, "bytes", 32, 16, 64);
	s->help = definition_text(a, "help", false, 400) ?: "";
	s->template = definition_text(a, "template", false, ARG_MAX_BYTES);
	at = s->template ? strstr(s->template, "{value}") : NULL;
	if (s->template && (!at || strstr(at + 1, "{value}")))
		DEFINITION_BAD(&template, "must hold {value} once");
}

void
definition_read_secrets(const struct definition_at *a, struct definition *d)
{
	struct definition_at map = definition_member(a, "secrets");
	size_t n = definition_map(&map, DEFINITION_SECRETS_MAX);
	const char *name;
	json_t *v;

	d->secrets = definition_array(&map, n, sizeof(*d->secrets));
	if (!d->secrets)
		return;
	json_object_foreach(map.v, name, v)
	{
		struct definition_at one = definition_member(&map, name);

		read_secret(&one, name, &d->secrets[d->n_secrets++]);
	}
}

const json_t *
definition_read_uses(const struct definition_at *a, const struct definition *d)
{
	const json_t *list = definition_texts(
		a, "secrets", DEFINITION_SECRETS_MAX, DEFINITION_NAME_MAX, NULL, NULL);
	struct definition_at at = definition_member(a, "secrets");

	for (size_t i = 0; json_is_array(list) && i < json_array_size(list); i++) {
		struct definition_at one = definition_item(&at, i);
		const char *name = json_string_value(one.v);

		if (name && !definition_secret(d, name))
			DEFINITION_BAD(&one, "there is no secret %s", name);
		for (size_t k = 0; name && k < i; k++) {
			const char *other = json_string_value(json_array_get(list, k));

			if (other && !strcmp(other, name))
				DEFINITION_BAD(&one, "%s stands twice in the list", name);
		}
	}
	return list;
}

/* --- stop and reload ----------------------------------------------------------------------------- */
static void
read_stop(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "signal", "grace" };
	static const char *const words[] = { "TERM", "INT", "QUIT" };
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT };
	struct definition_at stop = definition_member(a, "stop");

	d->stop_signal = SIGTERM;
	d->stop_grace_us = 10 * CLOCK_US_PER_S;
	if (!stop.v || !definition_known(&stop, known, ARRAY_LEN(known)))
		return;
	d->stop_signal = numbers[definition_word(&stop, "signal", words, ARRAY_LEN(words), "TERM")];
	d->stop_grace_us = definition_span(&stop, "grace", "10s", GRACE_S_MAX * CLOCK_US_PER_S);
}

static void
read_reload(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "signal", "argv" };
	static const char *const words[] = { "HUP", "USR1", "USR2" };
	static const int numbers[] = { SIGHUP, SIGUSR1, SIGUSR2 };
	struct definition_at reload = definition_member(a, "reload"), signal, argv;
	struct definition_scope scope = { .d = d, .all_secrets = true };

	if (!reload.v || !definition_known(&reload, known, ARRAY_LEN(known)))
		return;
	signal = definition_member(&reload, "signal");
	argv = definition_member(&reload, "argv");
	if (!signal.v && !argv.v) {
		DEFINITION_BAD(&reload, "needs signal, argv, or both");
		return;
	}
	if (signal.v)
		d->reload.signal =
			numbers[definition_word(&reload, "signal", words, ARRAY_LEN(words), NULL)];
	if (argv.v)
		definition_read_argv(&reload, "argv", true, &d->reload.argv);
	definition_check_argv(&reload, "argv", &d->reload.argv, &scope);
}

static bool
is_in_exec(const struct definition *d, const char *knob)
{
	char tag[DEFINITION_NAME_MAX + 8];

	(void)snprintf(tag, sizeof(tag), "{knob.%s}", knob);
	for (size_t i = 0; i < d->exec.n; i++) {
		if (strstr(d->exec.item[i], tag))
			return true;
	}
	return false;
}

/* A knob that says so can be taken up without a restart only where there is a way. */
static void
check_reloads(const struct definition_at *a, const struct definition *d)
{
	struct definition_at knobs = definition_member(a, "knobs");

	for (size_t i = 0; i < d->n_knobs; i++) {
		struct definition_at one = definition_member(&knobs, d->knobs[i].name),
				     apply = definition_member(&one, "apply");

		if (d->knobs[i].apply != DEFINITION_APPLY_RELOAD)
			continue;
		if (!json_object_get(a->v, "reload"))
			DEFINITION_BAD(&apply, "the definition does not say how to reload");
		else if (is_in_exec(d, d->knobs[i].name))
			DEFINITION_BAD(&apply, "exec names the knob: no reload changes that");
	}
}

/* --- prepare and hooks --------------------------------------------------------------------------- */
static void
read_prepare(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "argv", "creates", "timeout" };
	struct definition_at prepare = definition_member(a, "prepare"), creates;
	struct definition_scope scope = { .d = d, .all_secrets = true, .prepare = true };

	if (!prepare.v || !definition_known(&prepare, known, ARRAY_LEN(known)))
		return;
	d->prepare.present = true;
	d->prepare.json = prepare.v;
	definition_read_argv(&prepare, "argv", true, &d->prepare.argv);
	definition_check_argv(&prepare, "argv", &d->prepare.argv, &scope);
	creates = definition_member(&prepare, "creates");
	d->prepare.creates = definition_text(&prepare, "creates", true, DEFINITION_NAME_MAX);
	if (d->prepare.creates && !definition_is_word(d->prepare.creates))
		DEFINITION_BAD(&creates, "must be one name below the data folder");
	d->prepare.timeout_us =
		definition_span(&prepare, "timeout", "5m", TIMEOUT_S_MAX * CLOCK_US_PER_S);
}

static void
read_hook(const struct definition_at *a, const struct definition *d, enum definition_hooks which,
	struct definition_hook *h)
{
	static const char *const known[] = { "argv", "timeout", "memory", "output", "secrets" };
	struct definition_scope scope = { .d = d, .snapshot = which != DEFINITION_HOOK_CHECK };

	if (!definition_known(a, known, ARRAY_LEN(known)))
		return;
	h->present = true;
	h->json = a->v;
	h->secrets = definition_read_uses(a, d);
	scope.secrets = h->secrets;
	definition_read_argv(a, "argv", true, &h->argv);
	definition_check_argv(a, "argv", &h->argv, &scope);
	h->timeout_us = definition_span(a, "timeout", "5m", TIMEOUT_S_MAX * CLOCK_US_PER_S);
	h->memory = definition_size(a, "memory", HOOK_MEMORY_DEFAULT, MEMORY_MAX);
	h->output = definition_size(a, "output", OUTPUT_DEFAULT, OUTPUT_MAX);
}

static void
read_hooks(const struct definition_at *a, struct definition *d)
{
	struct definition_at hooks = definition_member(a, "hooks");

	if (!hooks.v || !definition_known(&hooks, hook_names, ARRAY_LEN(hook_names)))
		return;
	for (enum definition_hooks i = 0; i < DEFINITION_HOOK_MAX; i++) {
		struct definition_at one = definition_member(&hooks, hook_names[i]);

		if (one.v)
			read_hook(&one, d, i, &d->hooks[i]);
	}
}

/* --- limits and what must be there ----------------------------------------------------------------- */
/* "1.5" or 2 cores, or "150%", in thousandths of a core. */
static unsigned
read_cpu(const struct definition_at *a)
{
	struct definition_at m = definition_member(a, "cpu");
	char whole[8] = "", part[4] = "000";
	uint64_t n = 0, rest = 0;
	const char *text, *dot;
	size_t len;
	bool percent;

	if (json_is_integer(m.v) && json_integer_value(m.v) >= 1 &&
		json_integer_value(m.v) <= CPU_MILLI_MAX / 1000)
		return (unsigned)json_integer_value(m.v) * 1000;
	if (!json_is_string(m.v)) {
		if (m.v)
			DEFINITION_BAD(&m, "must be cores like 2 or \"1.5\", or \"150%%\"");
		return 0;
	}
	text = json_string_value(m.v);
	len = strlen(text);
	percent = len && text[len - 1] == '%';
	dot = strchr(text, '.');
	len = dot ? (size_t)(dot - text) : len - percent;
	if (len < sizeof(whole))
		memcpy(whole, text, len);
	if (dot && strlen(dot + 1) <= 3 && !percent)
		memcpy(part, dot + 1, strlen(dot + 1));
	if (number_u64(&n, whole, CPU_MILLI_MAX) != 0 || strspn(part, "0123456789") != 3 ||
		(dot && (percent || !dot[1] || strlen(dot + 1) > 3)))
		n = 0;
	else
		rest = (uint64_t)(part[0] - '0') * 100 + (uint64_t)(part[1] - '0') * 10 +
			(uint64_t)(part[2] - '0');
	n = percent ? n * 10 : n * 1000 + rest;
	if (n < 10 || n > CPU_MILLI_MAX) {
		DEFINITION_BAD(&m, "must be cores like 2 or \"1.5\", or \"150%%\", from 0.01 to %d",
			CPU_MILLI_MAX / 1000);
		return 0;
	}
	return (unsigned)n;
}

static void
read_limits(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "memory", "cpu", "processes", "files", "nice" };
	struct definition_at limits = definition_member(a, "limits"), memory;
	struct definition_limits *l = &d->limits;

	*l = (struct definition_limits){ .memory = DEFINITION_MEMORY_DEFAULT,
		.processes = DEFINITION_PROCESSES_DEFAULT,
		.files = DEFINITION_FILES_DEFAULT };
	if (!limits.v || !definition_known(&limits, known, ARRAY_LEN(known)))
		return;
	l->memory = definition_size(&limits, "memory", DEFINITION_MEMORY_DEFAULT, MEMORY_MAX);
	memory = definition_member(&limits, "memory");
	if (l->memory < 1024 * 1024)
		DEFINITION_BAD(&memory, "must be at least 1mb");
	l->cpu_milli = read_cpu(&limits);
	l->processes = (unsigned)definition_int(
		&limits, "processes", DEFINITION_PROCESSES_DEFAULT, 1, PROCESSES_MAX);
	l->files = (unsigned)definition_int(
		&limits, "files", DEFINITION_FILES_DEFAULT, 16, FILES_MAX);
	l->nice = (int)definition_int(&limits, "nice", 0, 0, 19);
}

static void
read_requires(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "services", "memory", "disk" };
	struct definition_at requires = definition_member(a, "requires"), services;

	if (!requires.v || !definition_known(&requires, known, ARRAY_LEN(known)))
		return;
	d->requires_services = definition_texts(&requires, "services", REQUIRES_MAX,
		DEFINITION_NAME_MAX, definition_is_word, "service's name");
	d->requires_memory = definition_size(&requires, "memory", 0, MEMORY_MAX);
	d->requires_disk = definition_size(&requires, "disk", 0, UINT64_C(1) << 50);
	services = definition_member(&requires, "services");
	for (size_t i = 0; d->name && i < json_array_size(d->requires_services); i++) {
		struct definition_at one = definition_item(&services, i);

		if (json_is_string(one.v) && !strcmp(json_string_value(one.v), d->name))
			DEFINITION_BAD(&one, "must be another service: none requires itself");
	}
}

void
definition_read_run(const struct definition_at *a, struct definition *d)
{
	struct definition_scope scope = { .d = d, .all_secrets = true };

	definition_read_argv(a, "exec", true, &d->exec);
	definition_check_argv(a, "exec", &d->exec, &scope);
	read_stop(a, d);
	read_reload(a, d);
	check_reloads(a, d);
	read_prepare(a, d);
	read_hooks(a, d);
	d->network = definition_word(a, "network", networks, ARRAY_LEN(networks), "none");
	read_limits(a, d);
	read_requires(a, d);
}
