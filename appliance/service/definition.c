#include "appliance/service/definition.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"
#include "appliance/trust/sha256.h"

enum {
	TEXT_MAX = 1024,
	PERIOD_S_MAX = 3600,
	TIMEOUT_S_MAX = 3600,
	FAILURES_MAX = 100,
	OUTPUT_DEFAULT = 64 * 1024,
	OUTPUT_MAX = 1024 * 1024,
};
#define MEMORY_DEFAULT (UINT64_C(64) << 20)
#define MEMORY_MAX (UINT64_C(4) << 30)

static const char *const risks[] = { "observe", "change", "destroy" };
static const char *const verbs[] = { "", "start", "stop", "restart" };

const char *
definition_risk_text(enum definition_risk risk)
{
	return risks[risk];
}

const char *
definition_verb_text(enum definition_verb verb)
{
	return verbs[verb];
}

/* --- parts --------------------------------------------------------------------------------------- */
static void
read_argv(const struct definition_at *a, const char *name, bool need, struct definition_argv *argv)
{
	struct definition_at list = definition_member(a, name);
	size_t n = definition_list(&list, DEFINITION_ARGV_MAX);

	if (need && !n && !a->rd->r)
		DEFINITION_BAD(&list, "must be a list with a program");
	argv->item = definition_array(&list, n ? n + 1 : 0, sizeof(*argv->item));
	for (size_t i = 0; argv->item && i < n; i++) {
		struct definition_at one = definition_item(&list, i);

		argv->item[i] = definition_text_here(&one, TEXT_MAX);
	}
	argv->n = argv->item && !a->rd->r ? n : 0;
	if (argv->n && (argv->item[0][0] != '/' || strchr(argv->item[0], '{'))) {
		struct definition_at one = definition_item(&list, 0);

		DEFINITION_BAD(&one, "a program is an absolute path in the tree, without {}");
	}
}

static void
check_argv(const struct definition_at *a, const char *name, const struct definition_argv *argv,
	const struct definition *d, const struct definition_operation *op)
{
	struct definition_at list = definition_member(a, name);

	for (size_t i = 0; i < argv->n; i++) {
		struct definition_at one = definition_item(&list, i);

		definition_check_template(&one, argv->item[i], false, d, op);
	}
}

static size_t
read_params(const struct definition_at *map, bool knobs, struct definition_param **ret)
{
	size_t n = definition_map(map, DEFINITION_LIST_MAX), i = 0;
	struct definition_param *params = definition_array(map, n, sizeof(*params));
	const char *name;
	json_t *v;

	*ret = params;
	if (!params)
		return 0;
	json_object_foreach(map->v, name, v)
	{
		struct definition_at one = definition_member(map, name);

		definition_read_param(&one, name, knobs, &params[i++]);
	}
	return i;
}

static void
read_health(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "type", "socket", "argv", "expect", "period",
		"timeout", "failures" };
	static const char *const types[] = { "resp", "exec" };
	struct definition_at h = definition_member(a, "health"), socket;
	struct definition_health *health = &d->health;

	if (!h.v)
		return;
	definition_known(&h, known, ARRAY_LEN(known));
	health->present = true;
	health->type = definition_word(&h, "type", types, ARRAY_LEN(types), NULL);
	health->period_us = definition_span(&h, "period", "2s", PERIOD_S_MAX * CLOCK_US_PER_S);
	health->timeout_us = definition_span(&h, "timeout", "1s", 60 * CLOCK_US_PER_S);
	health->failures = (unsigned)definition_int(&h, "failures", 3, 1, FAILURES_MAX);
	if (health->type == DEFINITION_PROBE_RESP) {
		socket = definition_member(&h, "socket");
		health->socket = definition_text(&h, "socket", true, 107);
		definition_check_template(&socket, health->socket, false, d, NULL);
	} else {
		read_argv(&h, "argv", true, &health->argv);
		check_argv(&h, "argv", &health->argv, d, NULL);
		health->expect = definition_text(&h, "expect", false, TEXT_MAX);
	}
}

/* --- operations ---------------------------------------------------------------------------------- */
static void
read_verb(const struct definition_at *a, struct definition_operation *op)
{
	struct definition_at verb = definition_member(a, "verb"),
			     argv = definition_member(a, "argv"),
			     dry_run = definition_member(a, "dry_run");

	if (!a->rd->r && !verb.v == !argv.v) {
		DEFINITION_BAD(a, "needs exactly one of argv and verb");
		return;
	}
	if (argv.v) {
		read_argv(a, "argv", true, &op->argv);
		read_argv(a, "dry_run", false, &op->dry_run);
		return;
	}
	op->verb = 1 + definition_word(a, "verb", verbs + 1, ARRAY_LEN(verbs) - 1, NULL);
	if (!a->rd->r && op->risk == DEFINITION_OBSERVE)
		DEFINITION_BAD(&verb, "a verb changes something: its risk cannot be observe");
	if (!a->rd->r && (op->n_args || dry_run.v))
		DEFINITION_BAD(&verb, "a verb has no arguments and no dry run");
}

static void
read_operation(const struct definition_at *a, const char *name, struct definition *d,
	struct definition_operation *op)
{
	static const char *const known[] = { "argv", "verb", "args", "risk", "timeout", "memory",
		"output", "dry_run", "undo", "help" };
	struct definition_at args = definition_member(a, "args");

	op->name = name;
	op->json = a->v;
	if (!a->rd->r && !definition_is_name(name))
		DEFINITION_BAD(
			a, "a name has letters, digits, \"-\" and \"_\", and begins with a letter");
	definition_known(a, known, ARRAY_LEN(known));
	op->risk = definition_word(a, "risk", risks, ARRAY_LEN(risks), NULL);
	op->n_args = read_params(&args, false, &op->args);
	read_verb(a, op);
	check_argv(a, "argv", &op->argv, d, op);
	check_argv(a, "dry_run", &op->dry_run, d, op);
	op->timeout_us = definition_span(a, "timeout", "30s", TIMEOUT_S_MAX * CLOCK_US_PER_S);
	op->memory = definition_size(a, "memory", MEMORY_DEFAULT, MEMORY_MAX);
	op->output = definition_size(a, "output", OUTPUT_DEFAULT, OUTPUT_MAX);
	op->undo = definition_text(a, "undo", false, DEFINITION_NAME_MAX);
	op->help = definition_text(a, "help", false, 400) ?: "";
}

static void
read_operations(const struct definition_at *a, struct definition *d)
{
	struct definition_at map = definition_member(a, "operations");
	size_t n = definition_map(&map, DEFINITION_LIST_MAX);
	const char *name;
	json_t *v;

	d->operations = definition_array(&map, n, sizeof(*d->operations));
	if (!d->operations)
		return;
	json_object_foreach(map.v, name, v)
	{
		struct definition_at one = definition_member(&map, name);

		read_operation(&one, name, d, &d->operations[d->n_operations++]);
	}
	for (size_t i = 0; !a->rd->r && i < n; i++) {
		struct definition_at one = definition_member(&map, d->operations[i].name),
				     undo = definition_member(&one, "undo");

		if (d->operations[i].undo && !definition_operation(d, d->operations[i].undo))
			DEFINITION_BAD(&undo, "there is no operation %s", d->operations[i].undo);
	}
}

/* --- data: read by activation ----------------------------------------------------------------------- */
static void
read_data(const struct definition_at *a, struct definition *d)
{
	struct definition_at list = definition_member(a, "data");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->data = list.v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i);
		const char *path = definition_text_here(&one, 255);

		if (path && !definition_is_below(path))
			DEFINITION_BAD(&one, "must be a folder below the data folder");
	}
}

/* --- whole --------------------------------------------------------------------------------------- */
/* It stands in paths and target names. */
static void
check_word(const struct definition_at *a, const char *name, const char *text)
{
	struct definition_at m = definition_member(a, name);
	size_t n;

	if (a->rd->r || !text)
		return;
	n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.+~-");
	if (text[n] || strchr(".+~-", text[0]))
		DEFINITION_BAD(&m,
			"has small letters, digits and .+~-, and begins with a letter or digit");
}

static void
read_all(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "name", "version", "payload", "exec", "user", "heal",
		"config", "knobs", "health", "metrics", "logs", "alerts", "operations", "data" };
	static const char *const heals[] = { "exit", "health", "never" };
	static const char *const users[] = { "service" };
	struct definition_at knobs = definition_member(a, "knobs");

	definition_known(a, known, ARRAY_LEN(known));
	d->name = definition_text(a, "name", true, DEFINITION_NAME_MAX);
	check_word(a, "name", d->name);
	d->version = definition_text(a, "version", true, DEFINITION_NAME_MAX);
	check_word(a, "version", d->version);
	d->user = users[definition_word(a, "user", users, ARRAY_LEN(users), "service")];
	d->heal = definition_word(a, "heal", heals, ARRAY_LEN(heals), "exit");
	d->n_knobs = read_params(&knobs, true, &d->knobs);
	definition_read_payload(a, d);
	read_argv(a, "exec", true, &d->exec);
	check_argv(a, "exec", &d->exec, d, NULL);
	definition_read_config(a, d);
	read_health(a, d);
	definition_read_metrics(a, d);
	definition_read_logs(a, d);
	definition_read_alerts(a, d);
	read_operations(a, d);
	read_data(a, d);
}

static int
build(struct definition **ret, struct definition_reader *rd, json_t *take_json)
{
	SCOPED(definition_freep) struct definition *d = calloc(1, sizeof(*d));
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	struct definition_at top = { .rd = rd, .node = rd->yaml, .v = take_json };
	int r;

	if (!d) {
		json_decref(take_json);
		return FAULT(-ENOMEM);
	}
	d->json = take_json;
	read_all(&top, d);
	if (rd->r)
		return rd->r;
	r = json_canonical(&b, d->json);
	r = r ?: buf_error(&b);
	if (r == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, "definition.json", "more than %d bytes",
			DEFINITION_BYTES_MAX);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(d->digest, b.data, b.len);
	*ret = STEAL(d);
	return 0;
}

int
definition_read(struct definition **ret, const void *p, size_t len)
{
	struct definition_reader rd = { .dir_fd = -1 };
	SCOPED(definition_freep) struct definition *d = NULL;
	uint8_t digest[SHA256_LEN];
	json_t *json = NULL;
	int r;

	r = json_read(&json, p, len, DEFINITION_BYTES_MAX, "definition.json");
	r = r ?: build(&d, &rd, json);
	if (r)
		return r;
	/* Also a size that is written as people write it is not what compiling gives. */
	sha256_of(digest, p, len);
	if (!sha256_same(digest, d->digest, sizeof(digest)))
		return REFUSE(REASON_MALFORMED, "definition.json", "is not in canonical form");
	*ret = STEAL(d);
	return 0;
}

static void
free_yaml(struct yaml_node **n)
{
	*n = yaml_node_free(*n);
}

int
definition_compile(struct definition **ret, const void *p, size_t len, const char *file, int dir_fd)
{
	SCOPED(free_yaml) struct yaml_node *yaml = NULL;
	struct definition_reader rd = { .file = file, .dir_fd = dir_fd };
	json_t *json = NULL;
	int r;

	r = yaml_parse(&yaml, p, len, file);
	r = r ?: yaml_json(&json, yaml);
	if (r)
		return r;
	rd.yaml = yaml;
	return build(ret, &rd, json);
}

struct definition *
definition_free(struct definition *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n_operations; i++) {
		free(d->operations[i].args);
		free(d->operations[i].argv.item);
		free(d->operations[i].dry_run.item);
	}
	for (size_t i = 0; i < d->n_config; i++)
		free(d->config[i].text);
	free(d->knobs);
	free(d->operations);
	free(d->exec.item);
	free(d->health.argv.item);
	free(d->config);
	free(d->alerts);
	json_decref((json_t *)d->json);
	free(d);
	return NULL;
}

int
definition_write(const struct definition *d, struct buf *out)
{
	int r = json_canonical(out, d->json);

	return r < 0 ? FAULT(r) : r;
}

const struct definition_operation *
definition_operation(const struct definition *d, const char *name)
{
	for (size_t i = 0; i < d->n_operations; i++) {
		if (!strcmp(d->operations[i].name, name))
			return &d->operations[i];
	}
	return NULL;
}

const struct definition_param *
definition_knob(const struct definition *d, const char *name)
{
	for (size_t i = 0; i < d->n_knobs; i++) {
		if (!strcmp(d->knobs[i].name, name))
			return &d->knobs[i];
	}
	return NULL;
}

int
definition_need_knob(
	const struct definition *d, const char *name, const struct definition_param **ret)
{
	const char *names[DEFINITION_LIST_MAX];
	const char *near;

	*ret = definition_knob(d, name);
	if (*ret)
		return 0;
	for (size_t i = 0; i < d->n_knobs; i++)
		names[i] = d->knobs[i].name;
	near = nearest_word(name, names, d->n_knobs);
	return REFUSE(REASON_UNKNOWN_FIELD, d->name, "unknown knob \"%s\"%s%s%s", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int
definition_rights_digest(
	const struct definition *d, const struct definition_operation *op, uint8_t ret[32])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED_JSON *rights = json_deep_copy(op->json);
	const char *name;
	json_t *arg;
	int r;

	if (!rights)
		return FAULT(-ENOMEM);
	(void)json_object_del(rights, "help");
	json_object_foreach(json_object_get(rights, "args"), name, arg)(void)
		json_object_del(arg, "help");
	r = json_put_text(rights, "service", d->name);
	r = r ?: json_put_text(rights, "name", op->name);
	r = r ?: json_canonical(&b, rights);
	r = r ?: buf_error(&b);
	if (r)
		return r < 0 ? FAULT(r) : r;
	sha256_of(ret, b.data, b.len);
	return 0;
}
