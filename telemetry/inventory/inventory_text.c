#include "telemetry/inventory/inventory_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"

enum { CORES_MAX = 4096, MOUNTS_MAX = 256 };

char *
inventory_text_clean(char out[INVENTORY_TEXT_MAX + 1], const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < INVENTORY_TEXT_MAX; i++) {
		char c = text[i] > ' ' && text[i] < 0x7f ? text[i] : ' ';

		if (c != ' ' || (n > 0 && out[n - 1] != ' '))
			out[n++] = c;
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return out;
}

/* The line that begins at text, without its end; *ret_next is the line after it, or NULL. */
static size_t
line_of(const char *text, const char **ret_next)
{
	size_t len = strcspn(text, "\n");

	*ret_next = text[len] ? text + len + 1 : NULL;
	return len;
}

/* --- os-release --------------------------------------------------------------------------------------------------- */
/* A value as a shell would take it: '...', "..." with \ before what it keeps, or bare. */
static size_t
unquote(char *out, const char *text, size_t len)
{
	char quote = len > 0 && (*text == '"' || *text == '\'') ? *text : '\0';
	size_t n = 0;

	for (size_t i = quote ? 1 : 0; i < len && n < INVENTORY_TEXT_MAX; i++) {
		if (quote && text[i] == quote)
			break;
		if (quote != '\'' && text[i] == '\\' && i + 1 < len)
			i++;
		out[n++] = text[i];
	}
	return n;
}

json_t *
inventory_text_release(const char *text)
{
	static const struct {
		const char *key, *name;
	} wanted[] = {
		{ "ID=", "id" }, { "VERSION_ID=", "version_id" }, { "VERSION_CODENAME=", "version_codename" },
		{ "NAME=", "name" }, { "PRETTY_NAME=", "pretty_name" },
	};
	SCOPED_JSON *out = json_object();
	const char *next;

	for (; text && out; text = next) {
		size_t len = line_of(text, &next);

		for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
			size_t key = strlen(wanted[i].key);
			char value[INVENTORY_TEXT_MAX + 1], clean[INVENTORY_TEXT_MAX + 1];

			if (len <= key || strncmp(text, wanted[i].key, key) != 0)
				continue;
			(void)inventory_text_clean(clean, value, unquote(value, text + key, len - key));
			if (json_object_set_new(out, wanted[i].name, json_string(clean)) < 0)
				return NULL;
		}
	}
	return STEAL(out);
}

/* --- cpuinfo -------------------------------------------------------------------------------------------------------- */
/* "model name\t: X": the value of the key of that name, or NULL. */
static const char *
value_of(const char *line, size_t len, const char *key, size_t *ret_len)
{
	size_t n = strlen(key);
	const char *colon;

	if (len <= n || strncmp(line, key, n) != 0 || (line[n] != '\t' && line[n] != ' ' && line[n] != ':'))
		return NULL;
	colon = memchr(line + n, ':', len - n);
	if (!colon)
		return NULL;
	*ret_len = len - (size_t)(colon + 1 - line);
	return colon + 1;
}

struct cpu {
	char model[INVENTORY_TEXT_MAX + 1];
	unsigned long cores[CORES_MAX], sockets[CORES_MAX]; /* seen; a core by its socket and its number */
	size_t n_cores, n_sockets, threads;
	unsigned long socket;
	bool hypervisor;
};

static void
note_once(unsigned long *seen, size_t *n, unsigned long v)
{
	for (size_t i = 0; i < *n; i++)
		if (seen[i] == v)
			return;
	if (*n < CORES_MAX)
		seen[(*n)++] = v;
}

static void
take_cpu_line(struct cpu *cpu, const char *line, size_t len)
{
	const char *v;
	size_t n;

	if (value_of(line, len, "processor", &n)) {
		cpu->threads++;
	} else if ((v = value_of(line, len, "physical id", &n))) {
		cpu->socket = strtoul(v, NULL, 10) % 65536;
		note_once(cpu->sockets, &cpu->n_sockets, cpu->socket);
	} else if ((v = value_of(line, len, "core id", &n))) {
		note_once(cpu->cores, &cpu->n_cores, cpu->socket * 65536 + strtoul(v, NULL, 10) % 65536);
	} else if (!cpu->model[0] && ((v = value_of(line, len, "model name", &n)) ||
				(v = value_of(line, len, "Model", &n)) || (v = value_of(line, len, "cpu model", &n)))) {
		(void)inventory_text_clean(cpu->model, v, n);
	} else if ((v = value_of(line, len, "flags", &n))) {
		cpu->hypervisor = memmem(v, n, " hypervisor", 11) != NULL;
	}
}

json_t *
inventory_text_cpu(const char *text)
{
	SCOPED(scope_free) struct cpu *cpu = calloc(1, sizeof(*cpu));
	SCOPED_JSON *out = NULL;
	const char *next;

	for (; text && cpu; text = next) {
		size_t len = line_of(text, &next);

		take_cpu_line(cpu, text, len);
	}
	if (!cpu)
		return NULL;
	out = json_pack("{s:i, s:b}", "threads", (int)cpu->threads, "hypervisor", (int)cpu->hypervisor);
	if (!out || (cpu->model[0] && json_put_text(out, "model", cpu->model) < 0) ||
		(cpu->n_cores && json_put_u64(out, "cores", cpu->n_cores) < 0) ||
		(cpu->n_sockets && json_put_u64(out, "sockets", cpu->n_sockets) < 0))
		return NULL;
	return STEAL(out);
}

/* --- mounts ----------------------------------------------------------------------------------------------------------- */
/* What keeps nothing, or what containers and mounters make and take away all day. */
static bool
is_passing(const char *type, size_t len)
{
	static const char *const passing[] = { "proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "ramfs", "cgroup",
		"cgroup2", "mqueue", "debugfs", "tracefs", "securityfs", "pstore", "bpf", "autofs", "hugetlbfs",
		"configfs", "fusectl", "nsfs", "binfmt_misc", "efivarfs", "rpc_pipefs", "selinuxfs", "overlay",
		"squashfs" };

	for (size_t i = 0; i < ARRAY_LEN(passing); i++)
		if (strlen(passing[i]) == len && strncmp(passing[i], type, len) == 0)
			return true;
	return false;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(json_text(*(json_t *const *)a, "name"), json_text(*(json_t *const *)b, "name"));
}

/* The second to fourth word: where, type, options.  The first may be an address, and is never looked at.  NULL in *ret where
 * nothing of it is told. */
static int
read_mount(json_t **ret, const char *line, size_t len)
{
	const char *word[4], *end = line + len;
	size_t n_word[4];
	char where[INVENTORY_TEXT_MAX + 1], type[INVENTORY_TEXT_MAX + 1];

	for (size_t i = 0; i < ARRAY_LEN(word); i++) {
		word[i] = line;
		while (line < end && *line != ' ')
			line++;
		n_word[i] = (size_t)(line - word[i]);
		line += line < end;
		if (n_word[i] == 0)
			return 0;
	}
	if (is_passing(word[2], n_word[2]))
		return 0;
	*ret = json_pack("{s:s, s:s, s:b}", "name", inventory_text_clean(where, word[1], n_word[1]), "type",
		inventory_text_clean(type, word[2], n_word[2]), "read_only",
		(int)(strncmp(word[3], "ro", 2) == 0 && (n_word[3] == 2 || word[3][2] == ',')));
	return *ret ? 0 : -ENOMEM;
}

json_t *
inventory_text_mounts(const char *text)
{
	SCOPED_JSON *out = json_array();
	json_t *found[MOUNTS_MAX];
	const char *next;
	size_t n = 0;
	int r = 0;

	for (; text && n < MOUNTS_MAX && r == 0; text = next) {
		size_t len = line_of(text, &next);

		found[n] = NULL;
		r = read_mount(&found[n], text, len);
		n += found[n] != NULL;
	}
	qsort(found, n, sizeof(found[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		/* Mounted over itself: what is seen is the last. */
		bool hidden = i + 1 < n && by_name(&found[i], &found[i + 1]) == 0;

		if (hidden)
			json_decref(found[i]);
		else if (json_array_append_new(out, found[i]) < 0) /* also where there is no list: it is taken */
			r = -ENOMEM;
	}
	return r < 0 ? NULL : STEAL(out);
}
