#include "appliance/serve/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How much the item of a list, up to its end, is liked: its q, 1 where it has none. */
static double
weight(const char *item, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		const char *p = item + i;

		if (*p != ';')
			continue;
		p += 1 + strspn(p + 1, " \t");
		if ((size_t)(p - item) + 2 < len && strncasecmp(p, "q=", 2) == 0)
			return strtod(p + 2, NULL);
	}
	return 1;
}

static double
liked(const char *accept, const char *type)
{
	double best = 0;

	for (const char *p = accept; *p;) {
		size_t len, name;

		p += strspn(p, ", \t");
		len = strcspn(p, ",");
		name = strcspn(p, ",; \t");
		if (name == strlen(type) && strncasecmp(p, type, name) == 0 &&
			weight(p, len) > best)
			best = weight(p, len);
		p += len;
	}
	return best;
}

bool
accept_openmetrics(const char *accept)
{
	double openmetrics = accept ? liked(accept, "application/openmetrics-text") : 0;

	return openmetrics > 0 && openmetrics >= liked(accept, "text/plain");
}
