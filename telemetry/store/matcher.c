#include "telemetry/store/matcher.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_pattern.h"

static const struct {
	const char *text;
	enum matcher_how how;
} marks[] = { { "!=", MATCHER_IS_NOT }, { "=~", MATCHER_LIKE }, { "!~", MATCHER_NOT_LIKE }, { "=", MATCHER_IS } };

static int
wrong(const char *text, const char *at, const char *why)
{
	return REFUSE(REASON_MALFORMED, "match", "column %zu: %s", (size_t)(at - text) + 1, why);
}

static size_t
label_len(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || (p[n] && strchr("_.:", p[n])))
		n++;
	return n;
}

/* The value at *p, which stands behind it afterwards; NULL or why it is none. */
static const char *
read_value(char out[MATCHER_VALUE_MAX], const char **p)
{
	bool quoted = **p == '"';
	size_t n = 0;

	for (*p += quoted; **p && **p != (quoted ? '"' : ','); (*p)++) {
		if (quoted && **p == '\\' && ((*p)[1] == '"' || (*p)[1] == '\\'))
			(*p)++;
		if (n == MATCHER_VALUE_MAX - 1)
			return "a value that is too long";
		out[n++] = **p;
	}
	out[n] = '\0';
	if (quoted && **p != '"')
		return "the quote is never closed";
	*p += quoted;
	return NULL;
}

static int
read_one(struct matcher *m, const char *text, const char **p)
{
	size_t len = label_len(*p), i = 0;
	const char *why, *at;

	if (len == 0 || len >= sizeof(m->label))
		return wrong(text, *p, "here should stand a label");
	memcpy(m->label, *p, len);
	m->label[len] = '\0';
	*p += len;
	while (i < ARRAY_LEN(marks) && strncmp(*p, marks[i].text, strlen(marks[i].text)) != 0)
		i++;
	if (i == ARRAY_LEN(marks))
		return wrong(text, *p, "here should stand =, !=, =~ or !~");
	m->how = marks[i].how;
	*p += strlen(marks[i].text);
	at = *p;
	why = read_value(m->value, p);
	if (!why && (m->how == MATCHER_LIKE || m->how == MATCHER_NOT_LIKE))
		why = definition_pattern_check(m->value);
	return why ? wrong(text, at, why) : 0;
}

int
matcher_parse(struct matcher_list *ret, const char *text)
{
	const char *p = text;
	int r;

	ret->n = 0;
	while (*p) {
		if (ret->n == MATCHER_MAX)
			return wrong(text, p, "too many conditions");
		r = read_one(&ret->items[ret->n], text, &p);
		if (r != 0)
			return r;
		ret->n++;
		if (*p && *p != ',')
			return wrong(text, p, "here should stand a comma, or nothing");
		if (*p && !*++p)
			return wrong(text, p, "nothing stands behind the comma");
	}
	return 0;
}

const char *
matcher_label(const char *label, const char *name, const char *service, const json_t *attributes, char spare[64])
{
	const json_t *v = json_object_get(attributes, label);
	size_t n;

	if (json_is_string(v))
		return json_string_value(v);
	if (v) {
		n = json_dumpb(v, spare, 63, JSON_COMPACT | JSON_ENCODE_ANY);
		spare[n < 63 ? n : 63] = '\0';
		return spare;
	}
	if (strcmp(label, "__name__") == 0)
		return name;
	return strcmp(label, "service") == 0 ? service : "";
}

bool
matcher_holds(const struct matcher_list *list, const char *name, const char *service, const json_t *attributes)
{
	char spare[64];

	for (size_t i = 0; i < list->n; i++) {
		const struct matcher *m = &list->items[i];
		const char *value = matcher_label(m->label, name, service, attributes, spare);
		bool like = m->how == MATCHER_LIKE || m->how == MATCHER_NOT_LIKE;
		bool yes = like ? definition_pattern_match(m->value, value) : strcmp(m->value, value) == 0;

		if (yes != (m->how == MATCHER_IS || m->how == MATCHER_LIKE))
			return false;
	}
	return true;
}
