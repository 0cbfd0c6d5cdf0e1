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

enum { NOTE_MAX = 400 };

/* It stands in paths and target names. */
static void
check_word(const struct definition_at *a, const char *name, const char *text)
{
	struct definition_at m = definition_member(a, name);

	if (text && !definition_is_word(text))
		DEFINITION_BAD(&m,
			"must have small letters, digits and .+~- alone, and begin with a letter or digit");
}

static void
read_all(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "name", "version", "class", "notes", "payload", "exec",
		"user", "heal", "stop", "reload", "prepare", "network", "limits", "requires",
		"config", "knobs", "secrets", "health", "hooks", "metrics", "logs", "alerts",
		"operations", "data" };
	static const char *const classes[] = { "service", "core" };
	static const char *const heals[] = { "exit", "health", "never" };
	static const char *const users[] = { "service" };
	struct definition_at knobs = definition_member(a, "knobs");

	if (!definition_known(a, known, ARRAY_LEN(known)))
		return;
	d->name = definition_text(a, "name", true, DEFINITION_NAME_MAX);
	check_word(a, "name", d->name);
	d->version = definition_text(a, "version", true, DEFINITION_NAME_MAX);
	check_word(a, "version", d->version);
	d->class = definition_word(a, "class", classes, ARRAY_LEN(classes), "service");
	d->notes = definition_texts(a, "notes", DEFINITION_NOTES_MAX, NOTE_MAX, NULL, NULL);
	d->user = users[definition_word(a, "user", users, ARRAY_LEN(users), "service")];
	d->heal = definition_word(a, "heal", heals, ARRAY_LEN(heals), "exit");
	d->n_knobs = definition_read_params(&knobs, true, &d->knobs);
	definition_read_secrets(a, d); /* templates name them */
	definition_read_payload(a, d);
	definition_read_run(a, d);
	definition_read_config(a, d);
	definition_read_health(a, d);
	definition_read_metrics(a, d);
	definition_read_logs(a, d);
	definition_read_alerts(a, d);
	definition_read_operations(a, d);
	definition_read_data(a, d);
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
	if (rd->r || rd->first)
		return rd->r ?: rd->first;
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
definition_compile_all(struct definition **ret, const void *p, size_t len, const char *file,
	int dir_fd, definition_fault_fn *fn, void *arg)
{
	SCOPED(free_yaml) struct yaml_node *yaml = NULL;
	struct definition_reader rd = {
		.fn = fn, .fn_arg = arg, .file = file, .dir_fd = dir_fd
	};
	json_t *json = NULL;
	int r;

	r = yaml_parse(&yaml, p, len, file);
	r = r ?: yaml_json(&json, yaml);
	if (r > 0 && fn)
		fn(refuse_last(), arg);
	if (r)
		return r;
	rd.yaml = yaml;
	return build(ret, &rd, json);
}

int
definition_compile(struct definition **ret, const void *p, size_t len, const char *file, int dir_fd)
{
	return definition_compile_all(ret, p, len, file, dir_fd, NULL, NULL);
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
	for (size_t i = 0; i < DEFINITION_HOOK_MAX; i++)
		free(d->hooks[i].argv.item);
	free(d->reload.argv.item);
	free(d->prepare.argv.item);
	free(d->secrets);
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

const struct definition_secret *
definition_secret(const struct definition *d, const char *name)
{
	for (size_t i = 0; i < d->n_secrets; i++) {
		if (!strcmp(d->secrets[i].name, name))
			return &d->secrets[i];
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
