/* What a release is made of: read by release build alone, shown to everybody. */
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

enum { TEXT_MAX = 1024, PATTERNS_MAX = 64 };

static bool
is_absolute(const char *path)
{
	return path[0] == '/' && definition_is_below(path + 1);
}

static void
read_programs(const struct definition_at *payload)
{
	struct definition_at list = definition_member(payload, "programs");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i);
		const char *path = definition_text_here(&one, TEXT_MAX);

		if (path && !is_absolute(path))
			DEFINITION_BAD(&one, "must be an absolute path");
	}
}

static void
read_tree(const struct definition_at *payload)
{
	struct definition_at m = definition_member(payload, "tree");
	const char *tree = definition_text(payload, "tree", false, 255);

	if (tree && !definition_is_below(tree))
		DEFINITION_BAD(&m, "must be a folder beside the definition");
}

/* --- packages ------------------------------------------------------------------------------------ */
/* As Debian's policy has them, so that the name is no option and no path. */
static bool
is_package(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

	return n >= 2 && !name[n] && !strchr("+-.", name[0]);
}

static void
read_patterns(const struct definition_at *one, const char *name, bool need)
{
	struct definition_at list = definition_member(one, name);
	size_t n = definition_list(&list, PATTERNS_MAX);

	if (need && !n && !one->rd->r)
		DEFINITION_BAD(&list, "must be a list of at least one pattern");
	for (size_t i = 0; i < n; i++) {
		struct definition_at item = definition_item(&list, i);
		const char *text = definition_text_here(&item, TEXT_MAX);

		if (text && !is_absolute(text))
			DEFINITION_BAD(&item,
				"must be an absolute path; * is any part of a name, ** also of folders");
	}
}

static void
read_packages(const struct definition_at *payload)
{
	static const char *const known[] = { "name", "include", "exclude" };
	struct definition_at list = definition_member(payload, "packages");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i),
				     at = definition_member(&one, "name");
		const char *name;

		definition_known(&one, known, ARRAY_LEN(known));
		name = definition_text(&one, "name", true, DEFINITION_NAME_MAX);
		if (name && !is_package(name))
			DEFINITION_BAD(&at, "must be the name of a Debian package");
		read_patterns(&one, "include", true);
		read_patterns(&one, "exclude", false);
	}
}

/* --- files --------------------------------------------------------------------------------------- */
static void
read_source(const struct definition_at *one)
{
	struct definition_at from = definition_member(one, "from"),
			     lines = definition_member(one, "lines");
	const char *path;
	size_t n;

	if (!one->rd->r && !from.v == !lines.v) {
		DEFINITION_BAD(one, "needs exactly one of from and lines");
		return;
	}
	path = definition_text(one, "from", false, TEXT_MAX);
	if (path && !definition_is_below(path + (path[0] == '/')))
		DEFINITION_BAD(&from,
			"must be a path beside the definition or an absolute one, without \".\" or \"..\"");
	n = definition_list(&lines, DEFINITION_LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		struct definition_at item = definition_item(&lines, i);

		(void)definition_text_here(&item, TEXT_MAX);
	}
}

static void
read_files(const struct definition_at *payload)
{
	static const char *const known[] = { "from", "lines", "to", "mode" };
	struct definition_at list = definition_member(payload, "files");
	size_t n = definition_list(&list, DEFINITION_LIST_MAX);

	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(&list, i),
				     at_to = definition_member(&one, "to"),
				     at_mode = definition_member(&one, "mode");
		const char *to, *mode;

		definition_known(&one, known, ARRAY_LEN(known));
		read_source(&one);
		to = definition_text(&one, "to", true, TEXT_MAX);
		mode = definition_text(&one, "mode", false, 4);
		if (to && !is_absolute(to))
			DEFINITION_BAD(&at_to, "must be an absolute path, without \".\" or \"..\"");
		if (mode && strcmp(mode, "0644") != 0 && strcmp(mode, "0755") != 0)
			DEFINITION_BAD(&at_mode, "must be \"0644\" or \"0755\"");
	}
}

void
definition_read_payload(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "programs", "packages", "files", "tree" };
	struct definition_at payload = definition_member(a, "payload");

	d->payload = payload.v;
	if (!payload.v)
		return;
	definition_known(&payload, known, ARRAY_LEN(known));
	read_tree(&payload);
	read_programs(&payload);
	read_packages(&payload);
	read_files(&payload);
}
