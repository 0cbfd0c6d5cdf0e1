/* Templates of arguments: {name}.  What is put in is one value; it is never read again, split or unquoted. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"

enum { EXPANDED_MAX = 64 * 1024 };

/* Gives a name's value, or false where it has none. */
typedef bool resolve_fn(const char *name, struct buf *out, void *arg);

/* Returns 0, or REASON_MALFORMED with the name that has no value in bad (unlogged). */
static int
expand(const char *text, resolve_fn *resolve, void *arg, struct buf *out, char bad[80])
{
	while (*text) {
		char name[80];
		const char *end;

		if (*text != '{') {
			buf_u8(out, (uint8_t)*text++);
			continue;
		}
		if (text[1] == '{') {
			buf_u8(out, '{');
			text += 2;
			continue;
		}
		end = strchr(text + 1, '}');
		if (!end || (size_t)(end - text) - 1 >= sizeof(name)) {
			(void)snprintf(bad, 80, "%.40s", text);
			return REASON_MALFORMED;
		}
		memcpy(name, text + 1, (size_t)(end - text) - 1);
		name[(size_t)(end - text) - 1] = '\0';
		if (!resolve(name, out, arg)) {
			(void)snprintf(bad, 80, "%s", name);
			return REASON_MALFORMED;
		}
		text = end + 1;
	}
	return 0;
}

/* A size or a span is the number of its units. */
void
definition_put_value(struct buf *out, const struct definition_param *p, const json_t *v)
{
	uint64_t us = 0;

	if (p && p->type == DEFINITION_SPAN && clock_parse_span(&us, json_string_value(v)) == 0)
		buf_printf(out, "%llu", (unsigned long long)(us / (uint64_t)p->unit));
	else if (json_is_string(v))
		buf_puts(out, json_string_value(v));
	else if (json_is_integer(v))
		buf_printf(out, "%lld", (long long)json_integer_value(v) / (p ? p->unit : 1));
	else
		buf_puts(out, json_is_true(v) ? "true" : "false");
}

static bool
resolve_value(const char *name, struct buf *out, void *arg)
{
	const struct definition_values *v = arg;
	const struct {
		const char *name, *value;
	} folders[] = {
		{ "run", v->run },
		{ "data", v->data },
		{ "conf", v->conf },
		{ "log", v->log },
		{ "prepare", v->prepare },
		{ "snapshot", v->snapshot },
	};
	const json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (folders[i].value && !strcmp(folders[i].name, name)) {
			buf_puts(out, folders[i].value);
			return true;
		}
	}
	if (!strncmp(name, "secret.", 7)) {
		buf_printf(out, "%s/%s", DEFINITION_SECRETS_FOLDER, name + 7);
		return true;
	}
	if (!strncmp(name, "knob.", 5))
		value = json_object_get(v->knobs, name + 5);
	else
		value = json_object_get(v->args, name);
	if (!value)
		return false;
	definition_put_value(out,
		v->of && !strncmp(name, "knob.", 5) ? definition_knob(v->of, name + 5) : NULL, value);
	return true;
}

static bool
is_given(const json_t *secrets, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(secrets, i, one) {
		if (json_is_string(one) && !strcmp(json_string_value(one), name))
			return true;
	}
	return false;
}

static bool
resolve_name(const char *name, struct buf *out, void *arg)
{
	static const char *const folders[] = { "run", "data", "conf", "log" };
	const struct definition_scope *s = arg;

	(void)out;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (!strcmp(folders[i], name))
			return true;
	}
	if ((s->prepare && !strcmp(name, "prepare")) || (s->snapshot && !strcmp(name, "snapshot")))
		return true;
	if (!strncmp(name, "knob.", 5))
		return definition_knob(s->d, name + 5) != NULL;
	if (!strncmp(name, "secret.", 7))
		return s->all_secrets ? definition_secret(s->d, name + 7) != NULL
				      : is_given(s->secrets, name + 7);
	for (size_t i = 0; s->op && i < s->op->n_args; i++) {
		if (!strcmp(s->op->args[i].name, name))
			return true;
	}
	return false;
}

void
definition_check_template(
	const struct definition_at *a, const char *template, const struct definition_scope *scope)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(EXPANDED_MAX);
	char bad[80];

	if (a->rd->r || !template)
		return;
	if (expand(template, resolve_name, (void *)scope, &out, bad) != 0)
		DEFINITION_BAD(a,
			strncmp(bad, "secret.", 7) != 0
				? "names \"%s\", which is no knob, argument or folder"
				: "names \"%s\", which is no secret that is given to it",
			bad);
	else if (buf_error(&out) == -EMSGSIZE)
		DEFINITION_BAD(a, "is too long");
	else if (buf_error(&out))
		definition_stick(a, FAULT(buf_error(&out)));
}

int
definition_expand(const char *template, const struct definition_values *v, char **ret)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(EXPANDED_MAX);
	char bad[80];

	if (expand(template, resolve_value, (void *)v, &out, bad) != 0)
		return REFUSE(REASON_MALFORMED, template, "\"%s\" has no value here", bad);
	if (buf_error(&out) == -EMSGSIZE)
		return REFUSE(REASON_MALFORMED, template, "becomes too long");
	if (buf_error(&out))
		return FAULT(buf_error(&out));
	*ret = out.len ? buf_take_text(&out) : strdup("");
	return *ret ? 0 : FAULT(-ENOMEM);
}

char **
definition_argv_free(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
	return NULL;
}

int
definition_expand_argv(
	const struct definition_argv *argv, const struct definition_values *v, char ***ret)
{
	SCOPED(definition_argv_freep) char **all = calloc(argv->n + 1, sizeof(*all));

	if (!all)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < argv->n; i++) {
		int r = definition_expand(argv->item[i], v, &all[i]);

		if (r)
			return r;
	}
	*ret = STEAL(all);
	return 0;
}
