/* Configuration files of a definition: a template's file in YAML, its lines in JSON. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/service/definition_read.h"

static bool
is_one_line(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

/* In YAML a template is a file beside it: its lines take the file's place. */
static void
load_template(const struct definition_at *a)
{
	struct definition_at m = definition_member(a, "template");
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_CONFIG_MAX);
	const char *file = definition_text(a, "template", true, 255), *line;
	SCOPED_JSON *kept = json_incref(m.v);
	json_t *lines = json_array();
	char *text;
	int r;

	(void)kept; /* held to the end of this function */
	m.v = kept; /* file borrows from it, and so do the messages, also once it is out of the object */
	(void)json_object_del(a->v, "template");
	if (json_object_set_new(a->v, "lines", lines) < 0)
		definition_stick(a, FAULT(-ENOMEM));
	if (a->rd->r || !file)
		return;
	if (!definition_is_below(file)) {
		DEFINITION_BAD(&m, "must be a file beside the definition");
		return;
	}
	r = fs_read(a->rd->dir_fd, file, DEFINITION_CONFIG_MAX, &b);
	if (r == -ENOMEM) {
		definition_stick(&m, r);
		return;
	}
	if (r) {
		DEFINITION_BAD(&m, "\"%s\" is not there, no file or too large", file);
		return;
	}
	if (b.len && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0'; /* the last line's end is no line of its own */
	text = b.len ? (char *)b.data : NULL;
	while ((line = strsep(&text, "\n"))) {
		errno = 0;
		if (json_array_append_new(lines, json_string(line)) < 0) {
			if (errno == ENOMEM)
				definition_stick(&m, FAULT(-ENOMEM));
			else
				DEFINITION_BAD(&m, "\"%s\" is no UTF-8 text", file);
			return;
		}
	}
}

static char *
join_lines(const struct definition_at *lines)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_CONFIG_MAX);
	size_t n = definition_list(lines, DEFINITION_CONFIG_MAX);

	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(lines, i);

		if (!json_is_string(one.v) || !is_one_line(json_string_value(one.v))) {
			DEFINITION_BAD(
				lines, "line %zu is no text or holds a control character", i + 1);
			return NULL;
		}
		buf_puts(&b, json_string_value(one.v));
		buf_u8(&b, '\n');
	}
	if (buf_error(&b) == -ENOMEM) {
		definition_stick(lines, FAULT(-ENOMEM));
		return NULL;
	}
	if (!b.len || buf_error(&b)) {
		DEFINITION_BAD(lines, "must be a text of at most %d bytes", DEFINITION_CONFIG_MAX);
		return NULL;
	}
	return lines->rd->r ? NULL : buf_take_text(&b);
}

/* Is one the other's path, or a folder in it? */
static bool
collide(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;

	return !strncmp(a, b, least) && (n == m || (n < m ? b : a)[least] == '/');
}

static void
check_others(const struct definition_at *one, const struct definition *d, size_t i)
{
	for (size_t k = 0; d->config[i].path && k < i; k++) {
		if (d->config[k].path && collide(d->config[k].path, d->config[i].path))
			DEFINITION_BAD(one, "path %s cannot be beside %s", d->config[i].path, d->config[k].path);
	}
}

void
definition_read_config(const struct definition_at *a, struct definition *d)
{
	static const char *const known_yaml[] = { "path", "template", "format" };
	static const char *const known[] = { "path", "lines", "format" };
	struct definition_at list = definition_member(a, "config");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	d->config = definition_array(&list, n, sizeof(*d->config));
	for (size_t i = 0; d->config && i < n; i++) {
		struct definition_at one = definition_item(&list, i), lines, path;

		d->n_config = i + 1;
		if (!definition_known(&one, a->rd->yaml ? known_yaml : known, 3))
			continue;
		if (a->rd->yaml)
			load_template(&one);
		lines = definition_member(&one, "lines");
		path = definition_member(&one, "path");
		d->config[i].format = definition_word(&one, "format", definition_formats,
			DEFINITION_FORMATS, definition_formats[DEFINITION_FORMAT_PLAIN]);
		d->config[i].path = definition_text(&one, "path", true, 255);
		d->config[i].text = join_lines(&lines);
		if (d->config[i].path && !definition_is_below(d->config[i].path))
			DEFINITION_BAD(&path, "must lie below the conf folder");
		check_others(&one, d, i);
		definition_check_config(&lines, &d->config[i], d);
	}
}
