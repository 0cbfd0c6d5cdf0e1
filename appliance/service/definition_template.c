/* Templates: {name} in an argument, {{name}} in a configuration file.  What is put in is one value; it is
 * never read again, split or unquoted. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"

enum { EXPANDED_MAX = 64 * 1024 };

/* Gives a name's value, or false where it has none. */
typedef bool resolve_fn(const char *name, struct buf *out, void *arg);

/* Returns 0, or REASON_MALFORMED with the name that has no value in bad (unlogged). */
static int
expand(const char *text, bool config, resolve_fn *resolve, void *arg, struct buf *out, char bad[80])
{
	const char *open = config ? "{{" : "{", *close = config ? "}}" : "}";
	size_t width = strlen(open);

	while (*text) {
		char name[80];
		const char *end;

		if (strncmp(text, open, width) != 0) {
			buf_u8(out, (uint8_t)*text++);
			continue;
		}
		if (!config && text[1] == '{') {
			buf_u8(out, '{');
			text += 2;
			continue;
		}
		end = strstr(text + width, close);
		if (!end || (size_t)(end - text) - width >= sizeof(name)) {
			(void)snprintf(bad, 80, "%.40s", text);
			return REASON_MALFORMED;
		}
		memcpy(name, text + width, (size_t)(end - text) - width);
		name[(size_t)(end - text) - width] = '\0';
		if (!resolve(name, out, arg)) {
			(void)snprintf(bad, 80, "%s", name);
			return REASON_MALFORMED;
		}
		text = end + width;
	}
	return 0;
}

static void
put_value(struct buf *out, const json_t *v)
{
	if (json_is_string(v))
		buf_puts(out, json_string_value(v));
	else if (json_is_integer(v))
		buf_printf(out, "%lld", (long long)json_integer_value(v));
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
		{"run",	 v->run },
		{ "data", v->data},
		{ "conf", v->conf},
		{ "log",	 v->log },
	};
	const json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (folders[i].value && !strcmp(folders[i].name, name)) {
			buf_puts(out, folders[i].value);
			return true;
		}
	}
	if (!strncmp(name, "knob.", 5))
		value = json_object_get(v->knobs, name + 5);
	else
		value = json_object_get(v->args, name);
	if (!value)
		return false;
	put_value(out, value);
	return true;
}

struct names {
	const struct definition *d;
	const struct definition_operation *op;
};

static bool
resolve_name(const char *name, struct buf *out, void *arg)
{
	static const char *const folders[] = { "run", "data", "conf", "log" };
	const struct names *n = arg;

	(void)out;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (!strcmp(folders[i], name))
			return true;
	}
	if (!strncmp(name, "knob.", 5))
		return definition_knob(n->d, name + 5) != NULL;
	for (size_t i = 0; n->op && i < n->op->n_args; i++) {
		if (!strcmp(n->op->args[i].name, name))
			return true;
	}
	return false;
}

void
definition_check_template(const struct definition_at *a, const char *template, bool config,
	const struct definition *d, const struct definition_operation *op)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(EXPANDED_MAX);
	struct names names = { d, op };
	char bad[80];

	if (a->rd->r || !template)
		return;
	if (expand(template, config, resolve_name, &names, &out, bad) != 0)
		DEFINITION_BAD(a, "names \"%s\", which is no knob, argument or folder", bad);
	else if (buf_error(&out))
		DEFINITION_BAD(a, "is too long");
}

int
definition_expand(const char *template, const struct definition_values *v, char **ret)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(EXPANDED_MAX);
	char bad[80];

	if (expand(template, false, resolve_value, (void *)v, &out, bad) != 0)
		return REFUSE(REASON_MALFORMED, template, "\"%s\" has no value here", bad);
	if (buf_error(&out) == -EMSGSIZE)
		return REFUSE(REASON_MALFORMED, template, "becomes too long");
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

int
definition_render(
	const struct definition_config *config, const struct definition_values *v, struct buf *out)
{
	char bad[80];

	if (expand(config->text, true, resolve_value, (void *)v, out, bad) != 0)
		return REFUSE(REASON_MALFORMED, config->path, "\"%s\" has no value here", bad);
	return FAULT(buf_error(out));
}
