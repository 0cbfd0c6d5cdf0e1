/* Configuration files from templates.  A value is written as one value of the file's format, whatever is in it:
 * it cannot end its line, its quotes, its directive or its block, and it is never read again. */
#include <errno.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"

enum { TAG_MAX = 200, DEPTH_MAX = 8 };

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

const char *const definition_formats[] = { "plain", "conf", "ini", "yaml", "json", "pg", "nginx",
	"nats" };

struct section {
	char name[TAG_MAX]; /* "knob.x" or "knob.x=v" */
	bool shown;	    /* with all those around it */
};

/* One pass over a template: with values it writes, without it checks what could never be written. */
struct render {
	const struct definition *d;
	const struct definition_values *v; /* NULL: check */
	enum definition_format format;
	struct buf *out; /* NULL: check */
	struct section open[DEPTH_MAX];
	size_t depth;
	size_t line;		 /* of the template, from 1 */
	char bad[TAG_MAX + 120]; /* why not */
	int fault;		 /* or this */
};

static bool __attribute__((format(printf, 2, 3)))
bad(struct render *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->bad, sizeof(r->bad), fmt, ap);
	va_end(ap);
	return false;
}

static bool
is_shown(const struct render *r)
{
	return !r->depth || r->open[r->depth - 1].shown;
}

/* --- one text in its format ---------------------------------------------------------------------- */
static void
put_quoted(struct buf *out, const char *s, char quote, const char *escaped)
{
	buf_u8(out, (uint8_t)quote);
	for (; *s; s++) {
		if (strchr(escaped, *s))
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)*s);
	}
	buf_u8(out, (uint8_t)quote);
}

/* JSON's string, which is also YAML's between double quotes: but YAML also ends lines at NEL, LS and PS, and
 * takes no C1 control as it is. */
static void
put_json(struct buf *out, const char *text)
{
	buf_u8(out, '"');
	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		if (*s == '"' || *s == '\\') {
			buf_u8(out, '\\');
			buf_u8(out, *s);
		} else if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) {
			buf_printf(out, "\\u00%02x", *++s);
		} else if (s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9)) {
			buf_printf(out, "\\u20%02x", s[2] - 0x80);
			s += 2;
		} else if (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf) {
			buf_puts(out, "\\ufeff");
			s += 2;
		} else {
			buf_u8(out, *s);
		}
	}
	buf_u8(out, '"');
}

/* PostgreSQL's: a quote is doubled, and so is a backslash, which it reads as in C. */
static void
put_pg(struct buf *out, const char *s)
{
	buf_u8(out, '\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			buf_u8(out, (uint8_t)*s);
		buf_u8(out, (uint8_t)*s);
	}
	buf_u8(out, '\'');
}

static bool
is_bare(const char *s)
{
	return *s && !s[strspn(s, LETTERS "./:@%+,=_-")];
}

static bool
put_text(struct render *r, const char *s)
{
	size_t len = strlen(s);

	switch (r->format) {
	case DEFINITION_FORMAT_PLAIN:
		if (*s && !is_bare(s))
			return bad(r, "a plain file cannot hold \"%.60s\"", s);
		buf_puts(r->out, s);
		break;
	case DEFINITION_FORMAT_INI:
		/* There is no one way to quote: what any reader could take for more than text stays out. */
		if (strpbrk(s, ";#\"'\\`$%[]") || (len && (s[0] == ' ' || s[len - 1] == ' ')))
			return bad(r, "an ini file cannot hold \"%.60s\"", s);
		buf_puts(r->out, s);
		break;
	case DEFINITION_FORMAT_CONF:
		if (is_bare(s))
			buf_puts(r->out, s);
		else
			put_quoted(r->out, s, '"', "\"\\");
		break;
	case DEFINITION_FORMAT_NGINX:
		/* A variable is expanded between quotes, too, and nothing takes that from a '$'. */
		if (strchr(s, '$'))
			return bad(r, "nginx would expand the $ of \"%.60s\"", s);
		if (is_bare(s))
			buf_puts(r->out, s);
		else
			put_quoted(r->out, s, '"', "\"\\");
		break;
	case DEFINITION_FORMAT_NATS:
		put_quoted(r->out, s, '"', "\"\\");
		break;
	case DEFINITION_FORMAT_PG:
		put_pg(r->out, s);
		break;
	case DEFINITION_FORMAT_YAML:
	case DEFINITION_FORMAT_JSON:
		put_json(r->out, s);
		break;
	}
	return true;
}

/* --- tags ---------------------------------------------------------------------------------------- */
/* A quote that is open where the value would stand, in what the template itself says. */
static bool
is_in_quotes(const char *line, const char *at)
{
	char quote = 0;

	for (const char *c = line; c < at; c++) {
		if (quote && *c == '\\' && c + 1 < at)
			c++;
		else if (quote)
			quote = *c == quote ? 0 : quote;
		else if (*c == '"' || *c == '\'')
			quote = *c;
	}
	return quote != 0;
}

static bool
check_place(struct render *r, const struct definition_param *p, const char *line, const char *at)
{
	bool is_free = p->type == DEFINITION_TEXT && !p->allowed, leads;

	leads = line + strspn(line, " ") == at && r->format != DEFINITION_FORMAT_JSON &&
		r->format != DEFINITION_FORMAT_YAML;
	if (is_free && leads)
		return bad(r, "{{knob.%s}} begins its line: a value must not stand where a setting's "
			      "name does",
			p->name);
	if (p->type == DEFINITION_TEXT && r->format != DEFINITION_FORMAT_PLAIN &&
		r->format != DEFINITION_FORMAT_INI && is_in_quotes(line, at))
		return bad(r, "{{knob.%s}} stands in quotes: a value brings its own", p->name);
	return true;
}

static bool
put_tag(struct render *r, const char *name, const char *line, const char *at)
{
	const struct definition_values *v = r->v;
	const struct {
		const char *name, *value;
	} folders[] = {
		{ "run", v ? v->run : "" },
		{ "data", v ? v->data : "" },
		{ "conf", v ? v->conf : "" },
		{ "log", v ? v->log : "" },
	};
	const struct definition_param *p;
	const json_t *value;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (strcmp(folders[i].name, name) != 0 || !folders[i].value)
			continue;
		if (v && is_shown(r))
			buf_puts(r->out, folders[i].value);
		return true;
	}
	if (!strncmp(name, "secret.", 7) && definition_secret(r->d, name + 7)) {
		if (v && is_shown(r))
			buf_printf(r->out, "%s/%s", DEFINITION_SECRETS_FOLDER, name + 7);
		return true;
	}
	p = strncmp(name, "knob.", 5) ? NULL : definition_knob(r->d, name + 5);
	if (!p)
		return bad(r, "names \"%.80s\", which is no knob, secret or folder", name);
	if (!v)
		return check_place(r, p, line, at);
	if (!is_shown(r))
		return true;
	value = json_object_get(v->knobs, p->name);
	if (!value)
		return bad(r, "\"%s\" has no value here", name);
	if (p->type == DEFINITION_TEXT)
		return put_text(r, json_string_value(value));
	definition_put_value(r->out, p, value);
	return true;
}

/* false where it is no value of the knob's; a fault sticks. */
static bool
parse(struct render *r, const struct definition_param *p, const char *is, json_t **ret)
{
	int e = definition_parse_value(p, is, ret);

	if (e < 0)
		r->fault = FAULT(e);
	return e == 0;
}

static bool
is_true(struct render *r, const struct definition_param *p, const json_t *v, const char *is)
{
	SCOPED_JSON *want = NULL;

	if (is)
		return parse(r, p, is, &want) && json_equal(want, v);
	switch (p->type) {
	case DEFINITION_BOOL:
		return json_is_true(v);
	case DEFINITION_INT:
	case DEFINITION_SIZE:
		return json_integer_value(v) != 0;
	case DEFINITION_TEXT:
		return json_string_length(v) != 0;
	case DEFINITION_SPAN:
		return strcmp(json_string_value(v), "0s") != 0;
	}
	return false;
}

static bool
open_section(struct render *r, const char *tag)
{
	struct section *s = &r->open[r->depth];
	const struct definition_param *p = NULL;
	const char *is = strchr(tag, '=');
	char name[TAG_MAX];
	json_t *want = NULL;
	bool holds = true;

	if (r->depth == DEPTH_MAX)
		return bad(r, "sections go deeper than %d", DEPTH_MAX);
	(void)snprintf(name, sizeof(name), "%.*s",
		is ? (int)(is - tag - 1) : (int)sizeof(name) - 1, tag + 1);
	if (!strncmp(name, "knob.", 5))
		p = definition_knob(r->d, name + 5);
	if (!p)
		return bad(r, "names \"%.80s\", which is no knob", name);
	if (!r->v && is && !parse(r, p, is + 1, &want))
		return bad(r, "%.80s is never so: the knob cannot have this value", tag + 1);
	json_decref(want);
	if (r->v) {
		const json_t *value = json_object_get(r->v->knobs, p->name);

		if (!value)
			return bad(r, "\"%s\" has no value here", name);
		holds = is_true(r, p, value, is ? is + 1 : NULL) == (tag[0] == '#');
	}
	(void)snprintf(s->name, sizeof(s->name), "%s", tag + 1);
	s->shown = holds && is_shown(r);
	r->depth++;
	return true;
}

static bool
close_section(struct render *r, const char *tag)
{
	if (!r->depth)
		return bad(r, "{{%.80s}} closes what is not open", tag);
	if (strcmp(r->open[r->depth - 1].name, tag + 1) != 0)
		return bad(r, "{{%.80s}} stands where {{/%.80s}} is due", tag,
			r->open[r->depth - 1].name);
	r->depth--;
	return true;
}

/* --- lines --------------------------------------------------------------------------------------- */
/* The tag at at ("{{...}}") into tag; NULL (said in bad) where it has no end, else what is behind it. */
static const char *
read_tag(struct render *r, const char *at, const char *end, char tag[TAG_MAX])
{
	const char *close = memmem(at + 2, (size_t)(end - at - 2), "}}", 2);

	if (!close || close - at - 2 >= TAG_MAX || close == at + 2) {
		(void)bad(r, "\"%.*s\" is no tag with an end",
			(int)(end - at < 40 ? end - at : 40), at);
		return NULL;
	}
	memcpy(tag, at + 2, (size_t)(close - at - 2));
	tag[close - at - 2] = '\0';
	return close + 2;
}

static bool
is_section(const char *tag)
{
	return *tag == '#' || *tag == '^' || *tag == '/';
}

static bool
put_section(struct render *r, const char *tag)
{
	return *tag == '/' ? close_section(r, tag) : open_section(r, tag);
}

/* A line from p to end, its newline not among it.  ret_alone: a section's tag and nothing else. */
static bool
put_line(struct render *r, const char *p, const char *end, bool *ret_alone)
{
	const char *line = p, *first = p + strspn(p, " "), *behind;
	char tag[TAG_MAX];

	*ret_alone = false;
	if (end - first > 4 && !strncmp(first, "{{", 2) && is_section(first + 2)) {
		behind = read_tag(r, first, end, tag);
		if (!behind)
			return false;
		if (behind + strspn(behind, " ") >= end) {
			*ret_alone = true;
			return put_section(r, tag);
		}
	}
	while (p < end) {
		if (end - p < 2 || strncmp(p, "{{", 2) != 0) {
			if (r->out && is_shown(r))
				buf_u8(r->out, (uint8_t)*p);
			p++;
			continue;
		}
		behind = read_tag(r, p, end, tag);
		if (!behind ||
			!(is_section(tag) ? put_section(r, tag) : put_tag(r, tag, line, p)))
			return false;
		p = behind;
	}
	return true;
}

static bool
put_all(struct render *r, const char *text)
{
	while (*text) {
		const char *end = strchrnul(text, '\n');
		bool shown = is_shown(r), alone;

		r->line++;
		if (!put_line(r, text, end, &alone))
			return false;
		/* A section that ends or begins within the line leaves the line's end to what it shows. */
		if (r->out && !alone && (shown || is_shown(r)))
			buf_u8(r->out, '\n');
		text = *end ? end + 1 : end;
	}
	if (r->depth)
		return bad(r, "{{#%.80s}} is never closed", r->open[r->depth - 1].name);
	return true;
}

void
definition_check_config(const struct definition_at *a, const struct definition_config *config,
	const struct definition *d)
{
	struct render *r;
	bool holds;

	if (a->rd->r || !config->text)
		return;
	r = calloc(1, sizeof(*r));
	if (!r) {
		definition_stick(a, FAULT(-ENOMEM));
		return;
	}
	r->d = d;
	r->format = config->format;
	holds = put_all(r, config->text);
	if (r->fault < 0)
		definition_stick(a, r->fault);
	else if (!holds)
		DEFINITION_BAD(a, "line %zu: %s", r->line, r->bad);
	free(r);
}

int
definition_render(
	const struct definition_config *config, const struct definition_values *v, struct buf *out)
{
	SCOPED(scope_free) struct render *r = NULL;
	bool holds;

	if (!v->of)
		return FAULT(-EINVAL); /* how a knob is written is the definition's to say */
	r = calloc(1, sizeof(*r));
	if (!r)
		return FAULT(-ENOMEM);
	r->d = v->of;
	r->v = v;
	r->format = config->format;
	r->out = out;
	holds = put_all(r, config->text);
	if (r->fault < 0)
		return FAULT(r->fault);
	if (!holds)
		return REFUSE(REASON_MALFORMED, config->path, "%s", r->bad);
	if (buf_error(out) == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, config->path, "becomes more than %d bytes",
			DEFINITION_CONFIG_MAX);
	return FAULT(buf_error(out));
}
