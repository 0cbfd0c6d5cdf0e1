/* definition_read() and definition_compile(): what compiles is read again as the same, and its templates
 * expand. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A knob is found by its name, one that is nearly called so is not; what a person types is checked. */
static void
typed(const struct definition *d, const struct definition_param *knob)
{
	static const char *const words[] = { "1", "-1", "yes", "true", "1.5", "64mb", "x", "",
		"99999999999999999999" };
	const struct definition_param *found;
	char other[256];

	if (definition_need_knob(d, knob->name, &found) != 0 || found != knob)
		abort();
	(void)snprintf(other, sizeof(other), "%s_", knob->name);
	if (!definition_knob(d, other) && definition_need_knob(d, other, &found) == 0)
		abort();
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		SCOPED_JSON *value = NULL;

		(void)definition_parse_value(knob, words[i], &value);
	}
}

/* Arguments as an engineer gave them: all of one form, then one that is unknown. */
static void
given(const struct definition_operation *op)
{
	SCOPED_JSON *words = json_object(), *numbers = json_object(), *args = NULL, *others = NULL,
		    *none = NULL;

	for (size_t i = 0; i < op->n_args; i++) {
		(void)json_object_set_new(words, op->args[i].name, json_string("a"));
		(void)json_object_set_new(numbers, op->args[i].name, json_integer(1));
	}
	(void)definition_check_args(op, words, &args);
	(void)definition_check_args(op, numbers, &others);
	(void)json_object_set_new(numbers, "no argument", json_true());
	if (definition_check_args(op, numbers, &none) == 0)
		abort();
}

/* By defaults, and with each text and truth value turned into something else. */
static void
rendered(const struct definition *d, size_t i, struct definition_values v)
{
	static const char *const texts[] = { "a", "a b", "\"';#$[\\", "\xc2\x85\xe2\x80\xa8\xef\xbb\xbf" };

	const json_t *defaults = v.knobs;

	for (size_t k = 0; k <= ARRAY_LEN(texts); k++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_CONFIG_MAX);
		SCOPED_JSON *knobs = json_deep_copy(defaults);

		for (size_t n = 0; k && n < d->n_knobs; n++) {
			if (d->knobs[n].type == DEFINITION_TEXT)
				(void)json_object_set_new(knobs, d->knobs[n].name, json_string(texts[k - 1]));
			else if (d->knobs[n].type == DEFINITION_BOOL)
				(void)json_object_set_new(knobs, d->knobs[n].name, json_true());
		}
		v.knobs = knobs;
		(void)definition_render(&d->config[i], &v, &b);
	}
}

/* Every secret becomes a path, and never its value; every knob a text; of what is not there comes none. */
static void
expanded(const struct definition *d, struct definition_values v)
{
	char template[300];

	for (size_t i = 0; i < d->n_secrets; i++) {
		SCOPED(scope_free) char *text = NULL;

		(void)snprintf(template, sizeof(template), "{secret.%s}", d->secrets[i].name);
		if (definition_expand(template, &v, &text) != 0 ||
			strncmp(text, "/run/secrets/", 13) != 0 || strcmp(text + 13, d->secrets[i].name) != 0)
			abort();
	}
	for (size_t i = 0; i < d->n_knobs; i++) {
		SCOPED(scope_free) char *text = NULL;

		(void)snprintf(template, sizeof(template), "{knob.%s}", d->knobs[i].name);
		if (definition_expand(template, &v, &text) != 0)
			abort();
	}
	{
		SCOPED(scope_free) char *text = NULL;

		if (definition_expand("{knob. none }", &v, &text) == 0 || text)
			abort();
	}
}

static void
use(const struct definition *d)
{
	struct definition_values v = {
		.run = "/run", .data = "/data", .conf = "/conf", .log = "/log", .of = d
	};
	SCOPED_JSON *knobs = NULL, *powers = NULL;
	bool one_way;
	SCOPED(definition_argv_freep) char **argv = NULL;

	if (definition_check_knobs(d, NULL, &knobs) != 0)
		abort(); /* defaults were checked when they were read */
	v.knobs = knobs;
	if (definition_powers(d, &powers) != 0 || definition_data_step(d, d, &one_way) != 0 || one_way)
		abort(); /* a definition goes on with its own data */
	for (size_t i = 0; i < json_array_size(powers); i++) {
		if (!definition_power_within(json_string_value(json_array_get(powers, i)), powers))
			abort();
	}
	for (size_t i = 0; i < d->n_knobs; i++)
		typed(d, &d->knobs[i]);
	(void)definition_expand_argv(&d->exec, &v, &argv);
	expanded(d, v);
	for (size_t i = 0; i < d->n_config; i++)
		rendered(d, i, v);
	for (size_t i = 0; i < d->n_operations; i++) {
		SCOPED_JSON *args = NULL;
		uint8_t digest[32];

		if (!definition_risk_text(d->operations[i].risk) ||
			!definition_verb_text(d->operations[i].verb))
			abort();

		(void)definition_check_args(&d->operations[i], NULL, &args);
		given(&d->operations[i]);
		if (definition_rights_digest(d, &d->operations[i], digest) < 0)
			abort();
	}
}

static void
count(const struct refusal *why, void *arg)
{
	if (why->reason == REASON_NONE)
		abort();
	++*(size_t *)arg;
}

/* Going on after each fault ends as stopping at the first one does, and tells at least one where there is one. */
static void
compile_all(const uint8_t *data, size_t size, int first)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	size_t n = 0;
	int r = definition_compile_all(&d, data, size, "service.yaml", -1, count, &n);

	if ((r == 0) != (first == 0) || (r == 0 && n != 0) || (r == REASON_MALFORMED && n == 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(definition_freep) struct definition *d = NULL, *again = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * DEFINITION_BYTES_MAX);

	log_quiet_refusals(true);
	if (definition_read(&d, data, size) != 0) {
		int r = definition_compile(&d, data, size, "service.yaml", -1);

		compile_all(data, size, r);
		if (r)
			return 0;
	}
	use(d);
	if (definition_write(d, &b) != 0 || definition_read(&again, b.data, b.len) != 0 ||
		memcmp(d->digest, again->digest, sizeof(d->digest)) != 0)
		abort();
	return 0;
}
