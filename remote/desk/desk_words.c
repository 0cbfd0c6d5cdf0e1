#include "remote/desk/desk_words.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"

enum { BYTES_MAX = 1024 * 1024, WORD_MAX = 256, PATH_BYTES = 4096 };

/* --- remembering ---------------------------------------------------------------------------------- */
/* NULL where it cannot be read just now; what is not there or damaged begins anew. */
static json_t *
load(int fd, const char *name)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	json_t *doc = NULL;
	int r;

	r = fs_read(fd, name, BYTES_MAX, &b);
	r = r ? r : json_read(&doc, b.data, b.len, BYTES_MAX, name);
	return r > 0 ? json_object() : doc;
}

static void
save(int fd, const char *name, const json_t *doc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);

	if (json_canonical(&b, doc) == 0)
		(void)fs_replace(fd, name, b.data, b.len, 0600);
}

/* What lacks a part for want of memory is not kept: these are NULL then, or were never saved. */

/* The services of the statement, each with what was known of this release. */
static json_t *
merge(const json_t *was, const struct desk_site *s)
{
	const json_t *services = json_object_get(s->statement, "services"), *item;
	SCOPED_JSON *out = json_object();
	size_t i;
	int r = 0;

	json_array_foreach(services, i, item) {
		const char *name = json_text(item, "name"), *release = json_text(item, "release");
		json_t *known = json_object_get(json_object_get(was, "services"), name);

		if (*name && known && strcmp(json_text(known, "release"), release) == 0)
			r |= json_object_set(out, name, known);
		else if (*name)
			r |= json_object_set_new(out, name, json_pack("{s:s}", "release", release));
	}
	return r == 0 ? json_pack("{s:O}", "services", out) : NULL;
}

static json_t *
arguments(const struct definition_operation *op)
{
	SCOPED_JSON *out = json_object(), *yes_no = json_pack("[s, s]", "true", "false");
	int r = 0;

	for (size_t i = 0; i < op->n_args; i++) {
		const struct definition_param *p = &op->args[i];

		if (p->allowed)
			r |= json_object_set_new(out, p->name, json_copy_whole(p->allowed, JSON_DEEP));
		else if (p->type == DEFINITION_BOOL)
			r |= json_object_set(out, p->name, yes_no);
		else
			r |= json_object_set_new(out, p->name, json_array());
	}
	return r == 0 ? STEAL(out) : NULL;
}

static json_t *
operations(const struct definition *definition)
{
	SCOPED_JSON *out = json_object();
	int r = 0;

	for (size_t i = 0; i < definition->n_operations; i++)
		r |= json_object_set_new(out, definition->operations[i].name, arguments(&definition->operations[i]));
	return r == 0 ? STEAL(out) : NULL;
}

static int
open_words(struct desk *d, const struct desk_site *s, int *ret_fd, char name[96])
{
	(void)snprintf(name, 96, "%s.json", s->site);
	return fs_open_dir(ret_fd, d->dir_fd, "words", 0700);
}

void
desk_words_site(struct desk *d, const struct desk_site *s)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *was = NULL, *now = NULL;
	char name[96];

	if (open_words(d, s, &fd, name) != 0)
		return;
	was = load(fd, name);
	now = was ? merge(was, s) : NULL;
	if (now && !json_equal(was, now))
		save(fd, name, now);
}

void
desk_words_definition(struct desk *d, const struct desk_site *s, const char *service, const struct definition *definition)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;
	char name[96];
	json_t *known;

	if (open_words(d, s, &fd, name) != 0)
		return;
	doc = load(fd, name);
	known = json_object_get(json_object_get(doc, "services"), service);
	if (!known || json_object_get(known, "operations"))
		return;
	if (json_object_set_new(known, "operations", operations(definition)) == 0)
		save(fd, name, doc);
}

void
desk_words_learn(struct desk *d, const struct desk_site *s)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;
	const char *service;
	char name[96];
	json_t *known;

	if (open_words(d, s, &fd, name) != 0)
		return;
	doc = load(fd, name);
	json_object_foreach(json_object_get(doc, "services"), service, known) {
		SCOPED(definition_freep) struct definition *definition = NULL;

		if (!json_object_get(known, "operations") && desk_trust_definition(d, s, service, &definition) == 0)
			desk_words_definition(d, s, service, definition);
	}
}

/* --- completing ----------------------------------------------------------------------------------- */
enum kind { KIND_NONE, KIND_SITE, KIND_SERVICE, KIND_OPERATION, KIND_ARG };

/* What the command's operand n is, by the word for it in its usage. */
static enum kind
kind_of(const char *args, size_t n)
{
	static const char *const words[] = { "", "SITE", "SERVICE", "OPERATION", "ARG=V..." };
	size_t len = 0;

	while (args && *args) {
		args += strspn(args, " [");
		len = strcspn(args, " ]");
		if (n == 0 || strncmp(args, words[KIND_ARG], strlen(words[KIND_ARG])) == 0)
			break;
		args += len + strspn(args + len, " ]");
		n--;
		len = 0;
	}
	for (enum kind k = KIND_SITE; len > 0 && k <= KIND_ARG; k++)
		if (len == strlen(words[k]) && memcmp(args, words[k], len) == 0)
			return k;
	return KIND_NONE;
}

static void
offer(const struct command_complete *ask, const char *word)
{
	if (strncmp(word, ask->last, strlen(ask->last)) == 0)
		(void)printf("%s\n", word);
}

static void
offer_keys(const struct command_complete *ask, const json_t *of)
{
	const char *name;
	json_t *v, *object = json_incref((json_t *)(uintptr_t)of);

	json_object_foreach(object, name, v)
		offer(ask, name);
	json_decref(object);
}

/* "NAME=" of an argument that is not given yet, and "NAME=VALUE" of one whose name is. */
static void
offer_args(const struct command_complete *ask, json_t *args)
{
	const char *name;
	json_t *values, *value;
	char text[WORD_MAX];
	size_t i;

	json_object_foreach(args, name, values) {
		int len = snprintf(text, sizeof(text), "%s=", name);
		bool given = len < 0 || len >= (int)sizeof(text);

		for (size_t k = 3; k < ask->n_operands; k++)
			given |= strncmp(ask->operands[k], text, (size_t)len) == 0;
		if (given)
			continue;
		if (strncmp(ask->last, text, (size_t)len) != 0)
			offer(ask, text);
		else
			json_array_foreach(values, i, value) {
				if (json_is_string(value))
					(void)snprintf(text, sizeof(text), "%s=%s", name, json_string_value(value));
				else
					(void)snprintf(text, sizeof(text), "%s=%lld", name, json_integer_value(value));
				offer(ask, text);
			}
	}
}

/* Of one site's file. */
static void
offer_of_site(const struct command_complete *ask, int words_fd, enum kind kind)
{
	SCOPED_JSON *doc = NULL;
	const json_t *service, *found;
	char name[WORD_MAX];

	if (ask->n_operands == 0 || strchr(ask->operands[0], '/'))
		return;
	(void)snprintf(name, sizeof(name), "%.64s.json", ask->operands[0]);
	doc = load(words_fd, name);
	found = json_object_get(doc, "services");
	if (kind == KIND_SERVICE) {
		offer_keys(ask, found);
		return;
	}
	service = ask->n_operands > 1 ? json_object_get(found, ask->operands[1]) : NULL;
	found = json_object_get(service, "operations");
	if (kind == KIND_OPERATION)
		offer_keys(ask, found);
	else if (ask->n_operands > 2)
		offer_args(ask, json_object_get(found, ask->operands[2]));
}

static void
offer_sites(const struct command_complete *ask, int words_fd)
{
	int fd = fcntl(words_fd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	char name[WORD_MAX];

	if (!dir && fd >= 0)
		(void)close(fd);
	while (dir && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);

		if (e->d_name[0] == '.' || len < 6 || strcmp(e->d_name + len - 5, ".json") != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(len - 5), e->d_name);
		offer(ask, name);
	}
	if (dir)
		(void)closedir(dir);
}

void
desk_words_complete(const struct command_complete *ask)
{
	enum kind kind = kind_of(ask->command->args, ask->n_operands);
	char path[PATH_BYTES];
	const struct dirent *e;
	DIR *dir;

	if (kind == KIND_NONE || desk_session_folder(ask->state, path) != 0)
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		SCOPED(scope_close) int fd = -1;
		char words[sizeof(e->d_name) + 8];

		(void)snprintf(words, sizeof(words), "%s/words", e->d_name);
		fd = e->d_name[0] == '.' ? -1 : openat(dirfd(dir), words, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (kind == KIND_SITE)
			offer_sites(ask, fd);
		else
			offer_of_site(ask, fd, kind);
	}
	if (dir)
		(void)closedir(dir);
}
