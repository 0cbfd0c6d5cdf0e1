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

static bool
is_hex(const char *text, size_t len)
{
	return strnlen(text, len) == len && strspn(text, "0123456789abcdef") == 64;
}

bool
fetch_name_path(char *out, unsigned size, const char *name, bool object)
{
	if (!fetch_name_ok(name))
		return false;
	if (!object)
		return snprintf(out, size, "tuf/%s", name) < (int)size;
	if (is_hex(name, 64) && name[64] == '\0')
		return snprintf(out, size, "objects/%.2s/%s.zst", name, name) < (int)size;
	if (!is_hex(name, 65) || name[64] != '-' || !is_hex(name + 65, 64) || name[129] != '\0')
		return false;
	return snprintf(out, size, "patches/%s.zst", name) < (int)size;
}

bool
fetch_name_pack(char *out, unsigned size, const char *hex)
{
	if (!hex || !is_hex(hex, 64) || hex[64] != '\0')
		return false;
	return snprintf(out, size, "packs/%s", hex) < (int)size;
}
