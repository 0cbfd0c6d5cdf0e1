#include "telemetry/inventory/inventory_packages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"

void
inventory_packages_begin(struct inventory_packages *p)
{
	*p = (struct inventory_packages){ .list = json_array() };
	p->failed = !p->list;
}

void
inventory_packages_done(struct inventory_packages *p)
{
	json_decref(p->list);
	p->list = NULL;
}

/* --- a stanza ------------------------------------------------------------------------------------------------------- */
static void
end_stanza(struct inventory_packages *p)
{
	if (p->installed && !p->failed) {
		json_t *item = NULL;

		if (!p->name[0] || !p->version[0] || json_array_size(p->list) == INVENTORY_PACKAGES_MAX)
			p->refused++;
		else if (!(item = json_pack("{s:s, s:s, s:s}", "name", p->name, "version", p->version, "arch",
				   p->arch)) ||
			json_array_append_new(p->list, item) < 0)
			p->failed = true;
	}
	p->name[0] = p->version[0] = p->arch[0] = '\0';
	p->installed = false;
}

/* What names and versions are made of; anything else is none of dpkg's words. */
static void
take_word(char *out, const char *text, size_t len)
{
	static const char taken[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-~:_";

	if (len > INVENTORY_PACKAGE_WORD_MAX || strspn(text, taken) != len)
		len = 0;
	memcpy(out, text, len);
	out[len] = '\0';
}

static void
end_line(struct inventory_packages *p)
{
	const struct {
		const char *key;
		char *out;
	} words[] = { { "Package: ", p->name }, { "Version: ", p->version }, { "Architecture: ", p->arch } };
	static const char status[] = "Status: ", installed[] = " installed";

	if (p->len == 0 && !p->longer) {
		end_stanza(p);
		return;
	}
	p->line[p->len] = '\0';
	if (!p->longer && strncmp(p->line, status, sizeof(status) - 1) == 0) {
		/* "install ok installed", "hold ok installed"; not "deinstall ok config-files" */
		p->installed = p->len >= sizeof(installed) &&
			strcmp(p->line + p->len - (sizeof(installed) - 1), installed) == 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(words) && !p->longer; i++) {
		size_t key = strlen(words[i].key);

		if (strncmp(p->line, words[i].key, key) == 0)
			take_word(words[i].out, p->line + key, p->len - key);
	}
	p->len = 0;
	p->longer = false;
}

void
inventory_packages_feed(struct inventory_packages *p, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((stop ? stop : end) - text);

		if (n > sizeof(p->line) - 1 - p->len) {
			p->longer = true;
		} else if (!p->longer) {
			memcpy(p->line + p->len, text, n);
			p->len += n;
		}
		text += n;
		if (stop) {
			end_line(p);
			text++;
		}
	}
}

/* --- the list ------------------------------------------------------------------------------------------------------- */
static int
by_name(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int r = strcmp(json_text(x, "name"), json_text(y, "name"));

	return r ? r : strcmp(json_text(x, "arch"), json_text(y, "arch"));
}

static int
tell_apart(json_t *item)
{
	char name[2 * INVENTORY_PACKAGE_WORD_MAX + 2];

	(void)snprintf(name, sizeof(name), "%s:%s", json_text(item, "name"), json_text(item, "arch"));
	return json_put_text(item, "name", name);
}

static json_t *
sorted(json_t *list)
{
	size_t n = json_array_size(list);
	SCOPED(scope_free) json_t **items = calloc(n + 1, sizeof(json_t *));
	SCOPED_JSON *out = json_array();
	bool twin = false;

	if (!items || !out)
		return NULL;
	for (size_t i = 0; i < n; i++)
		items[i] = json_array_get(list, i);
	qsort(items, n, sizeof(items[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		bool more = i + 1 < n && strcmp(json_text(items[i], "name"), json_text(items[i + 1], "name")) == 0;

		if ((twin || more) && tell_apart(items[i]) < 0)
			return NULL;
		twin = more;
		if (json_array_append(out, items[i]) < 0)
			return NULL;
	}
	return STEAL(out);
}

json_t *
inventory_packages_end(struct inventory_packages *p)
{
	if (p->len > 0 || p->longer)
		end_line(p);
	end_stanza(p);
	return p->failed ? NULL : sorted(p->list);
}
