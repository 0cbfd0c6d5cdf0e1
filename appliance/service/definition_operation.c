/* Operations: what may be asked of a service. */
#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"
#include "appliance/trust/sha256.h"

enum {
	TIMEOUT_S_MAX = 3600,
	OUTPUT_DEFAULT = 64 * 1024,
	OUTPUT_MAX = 1024 * 1024,
	DOWNTIME_MAX = 200,
};
#define MEMORY_DEFAULT (UINT64_C(64) << 20)
#define MEMORY_MAX (UINT64_C(4) << 30)

static const char *const risks[] = { "observe", "change", "destroy" };
static const char none[] = "none";
static const char *const verbs[] = { "", "start", "stop", "restart", "reload" };

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

static void
read_verb(const struct definition_at *a, const struct definition *d, struct definition_operation *op)
{
	struct definition_at verb = definition_member(a, "verb"),
			     argv = definition_member(a, "argv"),
			     dry_run = definition_member(a, "dry_run");

	if (!verb.v == !argv.v) {
		DEFINITION_BAD(a, "needs exactly one of argv and verb");
		return;
	}
	if (argv.v) {
		definition_read_argv(a, "argv", true, &op->argv);
		definition_read_argv(a, "dry_run", false, &op->dry_run);
		return;
	}
	op->verb = 1 + definition_word(a, "verb", verbs + 1, ARRAY_LEN(verbs) - 1, NULL);
	if (op->verb == DEFINITION_VERB_RELOAD && !d->reload.signal && !d->reload.argv.n)
		DEFINITION_BAD(&verb, "the definition does not say how to reload");
	if (op->risk == DEFINITION_OBSERVE)
		DEFINITION_BAD(&verb, "a verb changes something: its risk cannot be observe");
	if (op->n_args || dry_run.v)
		DEFINITION_BAD(&verb, "a verb has no arguments and no dry run");
}

/* What it costs, and what takes it back. */
static void
read_outlook(const struct definition_at *a, struct definition_operation *op)
{
	struct definition_at downtime = definition_member(a, "downtime");

	op->downtime = definition_text(a, "downtime", false, DOWNTIME_MAX);
	if (op->downtime && op->verb != DEFINITION_VERB_NONE)
		DEFINITION_BAD(&downtime, "of a verb the appliance itself knows it");
	else if (op->downtime && op->risk == DEFINITION_OBSERVE && strcmp(op->downtime, none) != 0)
		DEFINITION_BAD(&downtime, "what only observes has none");
	op->undo = definition_text(a, "undo", false, DEFINITION_NAME_MAX);
	op->for_good = op->undo && strcmp(op->undo, none) == 0;
	if (op->for_good)
		op->undo = NULL;
}

static void
read_operation(const struct definition_at *a, const char *name, struct definition *d,
	struct definition_operation *op)
{
	static const char *const known[] = { "argv", "verb", "args", "risk", "timeout", "memory",
		"output", "secrets", "dry_run", "downtime", "undo", "help" };
	struct definition_at args = definition_member(a, "args"), secrets = definition_member(a, "secrets");
	struct definition_scope scope = { .d = d, .op = op };

	op->name = name;
	op->json = a->v;
	if (strcmp(name, none) == 0)
		DEFINITION_BAD(a, "\"none\" is what undo says where nothing takes a step back");
	if (!definition_is_name(name))
		DEFINITION_BAD(
			a, "a name must have letters, digits, \"-\" and \"_\" alone, and begin with a letter");
	if (!definition_known(a, known, ARRAY_LEN(known)))
		return;
	op->risk = definition_word(a, "risk", risks, ARRAY_LEN(risks), NULL);
	op->n_args = definition_read_params(&args, false, &op->args);
	read_verb(a, d, op);
	op->secrets = definition_read_uses(a, d);
	if (json_array_size(op->secrets) > 0 && op->verb != DEFINITION_VERB_NONE)
		DEFINITION_BAD(&secrets, "a verb runs nothing that could be given secrets");
	else if (json_array_size(op->secrets) > 0 && op->risk == DEFINITION_OBSERVE)
		DEFINITION_BAD(&secrets, "what only observes is given no secrets: its risk must be change or destroy");
	scope.secrets = op->secrets;
	definition_check_argv(a, "argv", &op->argv, &scope);
	scope.secrets = NULL; /* it observes, whatever the operation does */
	definition_check_argv(a, "dry_run", &op->dry_run, &scope);
	op->timeout_us = definition_span(a, "timeout", "30s", TIMEOUT_S_MAX * CLOCK_US_PER_S);
	op->memory = definition_size(a, "memory", MEMORY_DEFAULT, MEMORY_MAX);
	op->output = definition_size(a, "output", OUTPUT_DEFAULT, OUTPUT_MAX);
	read_outlook(a, op);
	op->help = definition_text(a, "help", false, 400) ?: "";
}

void
definition_read_operations(const struct definition_at *a, struct definition *d)
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
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_member(&map, d->operations[i].name),
				     undo = definition_member(&one, "undo");

		if (d->operations[i].undo && !definition_operation(d, d->operations[i].undo))
			DEFINITION_BAD(&undo, "there is no operation %s", d->operations[i].undo);
	}
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

int
definition_rights_digest(
	const struct definition *d, const struct definition_operation *op, uint8_t ret[32])
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	SCOPED_JSON *rights = json_copy_whole(op->json, JSON_DEEP);
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
