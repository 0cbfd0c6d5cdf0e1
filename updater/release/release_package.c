#include "updater/release/release_package.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "updater/release/release_listing.h"

#define DPKG "/usr/bin/dpkg-query"

enum {
	LISTING_MAX = 32 * 1024 * 1024,
	AT_ONCE = 200, /* operands of one command */
};

bool
release_package_match(const char *pattern, const char *path)
{
	for (; *pattern && *pattern != '*'; pattern++, path++) {
		if (!*path || (*pattern == '?' ? *path == '/' : *pattern != *path))
			return false;
	}
	if (!*pattern)
		return !*path;
	if (pattern[1] == '*') {
		for (;; path++) {
			if (release_package_match(pattern + 2, path))
				return true;
			if (!*path)
				return false;
		}
	}
	for (;; path++) {
		if (release_package_match(pattern + 1, path))
			return true;
		if (!*path || *path == '/')
			return false;
	}
}

int
release_package_files(json_t *list, const char *package)
{
	const char *const argv[] = { DPKG, "--listfiles", package, NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(LISTING_MAX);
	int status = -1, r = release_listing(argv, &b, &status);
	char *text, *line;

	if (r)
		return r;
	if (status != 0)
		return REFUSE(REASON_NOT_FOUND, package,
			"is not installed on this machine: apt-get install %s", package);
	text = (char *)buf_text(&b);
	while ((line = release_listing_line(&text))) {
		/* Bytes that are no UTF-8 the tree refuses.  "/." is the root; "diverted by X to: Y" begins without a slash. */
		if (line[0] == '/' && strcmp(line, "/.") != 0 &&
			json_array_append_new(list, json_string_nocheck(line)) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

/* --- owners -------------------------------------------------------------------------------------- */
/* The other name of a path on a machine where /bin, /lib, /lib64, /sbin are links into /usr. */
static const char *
other_name(char *out, size_t size, const char *path)
{
	if (!strncmp(path, "/usr/", 5))
		return path + 4;
	return snprintf(out, size, "/usr%s", path) < (int)size ? out : path;
}

/* "NAME:ARCH: PATH", "NAME, OTHER: PATH"; of several the first. */
static int
add_owner(json_t *owners, char *line)
{
	char *colon = strstr(line, ": /"), *comma;

	if (!colon || !strncmp(line, "diversion by ", 13))
		return 0;
	*colon = '\0';
	comma = strchr(line, ',');
	if (comma)
		*comma = '\0';
	return json_object_set_new(owners, colon + 2, json_string(line)) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
ask_owners(json_t *owners, const json_t *paths, size_t from)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LISTING_MAX);
	const char *argv[2 * AT_ONCE + 4] = { DPKG, "--search", "--" };
	static char other[AT_ONCE][4096];
	size_t n = 3;
	int status, r;
	char *text, *line;

	for (size_t i = 0; i < AT_ONCE && from + i < json_array_size(paths); i++) {
		argv[n++] = json_string_value(json_array_get(paths, from + i));
		argv[n] = other_name(other[i], sizeof(other[i]), argv[n - 1]);
		n++;
	}
	/* Not 0 where one of them belongs to none: that is an answer. */
	r = release_listing(argv, &b, &status);
	text = (char *)buf_text(&b);
	while (!r && (line = release_listing_line(&text)))
		r = add_owner(owners, line);
	return r;
}

int
release_package_owners(json_t **ret, const json_t *paths)
{
	SCOPED_JSON *found = json_object(), *owners = json_object();
	int r = found && owners ? 0 : FAULT(-ENOMEM);
	char other[4096];

	for (size_t i = 0; !r && i < json_array_size(paths); i += AT_ONCE)
		r = ask_owners(found, paths, i);
	for (size_t i = 0; !r && i < json_array_size(paths); i++) {
		const char *path = json_string_value(json_array_get(paths, i));
		json_t *owner = json_object_get(found, path)
			?: json_object_get(found, other_name(other, sizeof(other), path));

		if (owner && json_object_set(owners, path, owner) < 0)
			r = FAULT(-ENOMEM);
	}
	if (!r)
		*ret = STEAL(owners);
	return r;
}

/* --- facts --------------------------------------------------------------------------------------- */
static const char *const known[] = { "name", "version", "architecture", "source", "source_version",
	"maintainer", "homepage" };

/* dpkg's names of the same. */
static const char form[] = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t"
			   "${Maintainer}\t${Homepage}\n";

/* One line of tabs in the order of known, kept under the name by which it was asked for. */
static int
add_facts(json_t *all, const json_t *asked, char *line)
{
	SCOPED_JSON *one = json_object();
	char both[256];
	const char *value, *key;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		value = line ? strsep(&line, "\t") : "";
		if (json_object_set_new(one, known[i], json_string(value)) < 0)
			return FAULT(-ENOMEM);
	}
	key = json_text(one, "name");
	(void)snprintf(both, sizeof(both), "%s:%s", key, json_text(one, "architecture"));
	for (size_t i = 0; i < json_array_size(asked); i++) {
		const char *name = json_string_value(json_array_get(asked, i));

		if ((!strcmp(name, key) || !strcmp(name, both)) &&
			json_object_set(all, name, one) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

int
release_package_facts(json_t **ret, const json_t *packages)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LISTING_MAX);
	SCOPED_JSON *all = json_object();
	const char *argv[AT_ONCE + 6] = { DPKG, "--show", "-f",
		form, "--" };
	size_t n = 5;
	int status = -1, r;
	char *text, *line;

	if (!all)
		return FAULT(-ENOMEM);
	if (json_array_size(packages) > AT_ONCE)
		return REFUSE(REASON_TOO_LARGE, "payload", "comes from more than %d packages", AT_ONCE);
	for (size_t i = 0; i < json_array_size(packages); i++)
		argv[n++] = json_string_value(json_array_get(packages, i));
	r = n > 5 ? release_listing(argv, &b, &status) : 0;
	text = (char *)buf_text(&b);
	while (!r && (line = release_listing_line(&text)))
		r = add_facts(all, packages, line);
	if (!r)
		*ret = STEAL(all);
	return r;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **
release_package_sorted(const json_t *facts, size_t *ret_n)
{
	const char **names = calloc(json_object_size(facts) + 1, sizeof(*names));
	const char *name;
	json_t *v;

	*ret_n = 0;
	json_object_foreach((json_t *)facts, name, v) {
		if (names)
			names[(*ret_n)++] = name;
	}
	if (names)
		qsort(names, *ret_n, sizeof(*names), by_name);
	return names;
}

/* Text at the end of another, cut to what there is room for. */
static void
put_url(char *out, size_t size, const char *text, bool escape)
{
	size_t at = strlen(out);

	for (; *text && at + 1 < size; text++, at += strlen(out + at))
		(void)snprintf(out + at, size - at, escape && strchr(":+", *text) ? "%%%02X" : "%c", (unsigned)(unsigned char)*text);
}

/* Debian's versions have ":" and "+" and "~"; a package URL wants them escaped but for "~". */
const char *
release_package_url(char *out, size_t size, const json_t *facts)
{
	*out = '\0';
	put_url(out, size, "pkg:deb/debian/", false);
	put_url(out, size, json_text(facts, "name"), true);
	put_url(out, size, "@", false);
	put_url(out, size, json_text(facts, "version"), true);
	put_url(out, size, "?arch=", false);
	put_url(out, size, json_text(facts, "architecture"), false);
	return out;
}
