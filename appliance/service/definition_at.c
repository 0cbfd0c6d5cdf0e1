/* Reading members with their places: the small readers that definition.c and definition_param.c use. */
#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"

struct definition_at
definition_member(const struct definition_at *a, const char *name)
{
	struct definition_at m = { .rd = a->rd, .v = json_object_get(a->v, name) };

	m.node = a->node && a->node->kind == YAML_KIND_MAPPING ? yaml_get(a->node, name) : NULL;
	if (!m.node)
		m.node = a->node; /* absent: the place of what should have it */
	(void)snprintf(m.path, sizeof(m.path), "%s%s%s", a->path, *a->path ? "." : "", name);
	return m;
}

struct definition_at
definition_item(const struct definition_at *a, size_t i)
{
	struct definition_at m = { .rd = a->rd, .v = json_array_get(a->v, i) };

	if (a->node && a->node->kind == YAML_KIND_SEQUENCE) {
		m.node = a->node->children;
		for (size_t j = 0; m.node && j < i; j++)
			m.node = m.node->next;
	}
	(void)snprintf(m.path, sizeof(m.path), "%s.%zu", a->path, i);
	return m;
}

const char *
definition_place(const struct definition_at *a)
{
	if (!a->rd->yaml)
		return "";
	return yaml_place(
		a->rd->place, sizeof(a->rd->place), a->rd->file, a->node ? a->node : a->rd->yaml);
}

void
definition_stick(const struct definition_at *a, int r)
{
	struct definition_reader *rd = a->rd;

	if (rd->r)
		return;
	if (r < 0 || !rd->fn) {
		rd->r = r;
		return;
	}
	rd->first = rd->first ?: r;
	rd->fn(refuse_last(), rd->fn_arg);
}

/* People read it before they accept it: on terminals, in mail, in browsers. */
bool
definition_is_visible(const char *text)
{
	char shown[4 * DEFINITION_VALUE_MAX + 1];

	return !strcmp(log_escape(shown, sizeof(shown), text), text);
}

const char *
definition_text_here(const struct definition_at *a, size_t max)
{
	const char *s = json_string_value(a->v);

	if (a->rd->r)
		return NULL;
	if (!s) {
		DEFINITION_BAD(a, "must be text%s",
			json_is_number(a->v) || json_is_boolean(a->v) ? " (put it in quotes)" : "");
		return NULL;
	}
	if (!*s || json_string_length(a->v) > max) {
		DEFINITION_BAD(a, "must have 1 to %zu bytes", max);
		return NULL;
	}
	if (!definition_is_visible(s)) {
		DEFINITION_BAD(a, "must not hold control characters, or those that hide or turn what is read");
		return NULL;
	}
	return s;
}

const char *
definition_text(const struct definition_at *a, const char *name, bool need, size_t max)
{
	struct definition_at m = definition_member(a, name);

	if (a->rd->r)
		return NULL;
	if (m.v)
		return definition_text_here(&m, max);
	if (need)
		DEFINITION_BAD(&m, "is missing");
	return NULL;
}

static uint64_t
span_from(const struct definition_at *a, const char *name, const char *fallback, uint64_t min_us, uint64_t max_us)
{
	struct definition_at m = definition_member(a, name);
	const char *text = m.v ? definition_text_here(&m, 16) : fallback;
	uint64_t us = 0;

	if (a->rd->r || !text)
		return 0;
	if (clock_parse_span(&us, text) != 0 || us < min_us || us > max_us)
		DEFINITION_BAD(&m, "must be a time like \"10s\", at most %llu s",
			(unsigned long long)(max_us / CLOCK_US_PER_S));
	return us;
}

uint64_t
definition_span(
	const struct definition_at *a, const char *name, const char *fallback, uint64_t max_us)
{
	return span_from(a, name, fallback, 1, max_us);
}

uint64_t
definition_span_or_none(const struct definition_at *a, const char *name, uint64_t max_us)
{
	return span_from(a, name, NULL, 0, max_us);
}

/* In YAML "64mb" is read and replaced by bytes, the only form that JSON has. */
uint64_t
definition_size(const struct definition_at *a, const char *name, uint64_t fallback, uint64_t max)
{
	struct definition_at m = definition_member(a, name);
	uint64_t bytes = fallback;
	bool good = true;

	if (a->rd->r)
		return 0;
	if (json_is_string(m.v) && a->rd->yaml) {
		good = number_size(&bytes, json_string_value(m.v)) == 0 && bytes <= max;
		if (good && json_object_set_new(a->v, name, json_integer((json_int_t)bytes)) < 0)
			definition_stick(a, FAULT(-ENOMEM));
	} else if (m.v) {
		good = json_is_integer(m.v) && json_integer_value(m.v) >= 0;
		bytes = (uint64_t)json_integer_value(m.v);
	}
	if (!good || bytes > max)
		DEFINITION_BAD(&m, "must be a size like 64mb, at most %llu bytes",
			(unsigned long long)max);
	return bytes;
}

int64_t
definition_int(
	const struct definition_at *a, const char *name, int64_t fallback, int64_t min, int64_t max)
{
	struct definition_at m = definition_member(a, name);
	int64_t n = m.v ? json_integer_value(m.v) : fallback;

	if (a->rd->r)
		return 0;
	if ((m.v && !json_is_integer(m.v)) || n < min || n > max)
		DEFINITION_BAD(&m, "must be a whole number from %lld to %lld", (long long)min,
			(long long)max);
	return n;
}

unsigned
definition_word(const struct definition_at *a, const char *name, const char *const *words,
	size_t n_words, const char *fallback)
{
	struct definition_at m = definition_member(a, name);
	const char *text = m.v || !fallback ? definition_text(a, name, true, 64) : fallback;
	char all[160] = "";
	size_t at = 0;

	if (a->rd->r || !text)
		return 0;
	for (unsigned i = 0; i < n_words; i++) {
		if (!strcmp(text, words[i]))
			return i;
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", i ? ", " : "", words[i]);
		if (at >= sizeof(all))
			at = sizeof(all) - 1;
	}
	DEFINITION_BAD(&m, "must be one of %s", all);
	return 0;
}

size_t
definition_list(const struct definition_at *a, size_t max)
{
	if (a->rd->r || !a->v)
		return 0;
	if (!json_is_array(a->v) || json_array_size(a->v) > max) {
		DEFINITION_BAD(a, "must be a list of at most %zu", max);
		return 0;
	}
	return json_array_size(a->v);
}

size_t
definition_map(const struct definition_at *a, size_t max)
{
	if (a->rd->r || !a->v)
		return 0;
	if (!json_is_object(a->v) || json_object_size(a->v) > max) {
		DEFINITION_BAD(a, "must be a mapping of at most %zu", max);
		return 0;
	}
	return json_object_size(a->v);
}

bool
definition_known(const struct definition_at *a, const char *const *known, size_t n_known)
{
	const char *name;
	json_t *v;

	if (a->rd->r)
		return false;
	if (!json_is_object(a->v)) {
		DEFINITION_BAD(a, "must be a mapping");
		return false;
	}
	json_object_foreach(a->v, name, v)
	{
		bool is_known = false;
		struct definition_at m;

		for (size_t i = 0; i < n_known; i++)
			is_known = is_known || !strcmp(name, known[i]);
		if (is_known)
			continue;
		m = definition_member(a, name);
		if (a->rd->yaml && m.node)
			definition_stick(a,
				yaml_unknown(a->rd->file, m.node, m.path, "key", known, n_known));
		else
			definition_stick(a, REFUSE(REASON_UNKNOWN_FIELD, m.path, "unknown member"));
		if (a->rd->r)
			return false;
	}
	return true;
}

bool
definition_is_name(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n > 0 && n <= DEFINITION_NAME_MAX && !text[n] && !strchr("0123456789_-", text[0]);
}

/* It stands in paths and target names. */
bool
definition_is_word(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.+~-");

	return n > 0 && n <= DEFINITION_NAME_MAX && !text[n] && !strchr(".+~-", text[0]);
}

const json_t *
definition_texts(const struct definition_at *a, const char *name, size_t max_n, size_t max,
	bool (*check)(const char *text), const char *what)
{
	struct definition_at list = definition_member(a, name);
	size_t n = definition_list(&list, max_n);

	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i);
		const char *text = definition_text_here(&one, max);

		if (text && check && !check(text))
			DEFINITION_BAD(&one, "\"%s\" is no %s", text, what);
	}
	return list.v;
}

bool
definition_is_below(const char *path)
{
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || p[0] == '.')
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

void *
definition_array(const struct definition_at *a, size_t n, size_t size)
{
	void *p = a->rd->r || !n ? NULL : calloc(n, size);

	if (!p && n && !a->rd->r)
		definition_stick(a, FAULT(-ENOMEM));
	return p;
}
