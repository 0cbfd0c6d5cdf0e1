#include "updater/fetch/fetch_name.h"

#include <stdio.h>
#include <string.h>

static bool
plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c && strchr("._-%+~", c));
}

bool
fetch_name_ok(const char *name)
{
	bool first = true; /* of one name of the path */

	if (!name || !name[0] || strnlen(name, FETCH_NAME_MAX + 1) > FETCH_NAME_MAX)
		return false;
	for (; *name; name++) {
		if (*name == '/' ? first : !plain(*name) || (first && *name == '.'))
			return false;
		first = *name == '/';
	}
	return !first;
}

bool
fetch_name_path(char *out, unsigned size, const char *name, bool object)
{
	if (!fetch_name_ok(name))
		return false;
	if (!object)
		return snprintf(out, size, "tuf/%s", name) < (int)size;
	if (strlen(name) != 64 || strspn(name, "0123456789abcdef") != 64)
		return false;
	return snprintf(out, size, "objects/%.2s/%s.zst", name, name) < (int)size;
}
