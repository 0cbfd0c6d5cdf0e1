#include "appliance/serve/route.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/http_server.h"

/* Match path against pattern; what {} stands for goes to call->segments. */
static bool
match(struct http_call *call, const char *pattern)
{
	const char *path = call->path;
	size_t n = 0;

	while (*pattern) {
		size_t len;

		if (pattern[0] != '{') {
			if (*path++ != *pattern++)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		if (len == 0 || len >= HTTP_SERVER_SEGMENT_MAX || n == HTTP_SERVER_SEGMENTS_MAX ||
			memchr(path, '%', len))
			return false;
		memcpy(call->segments[n], path, len);
		call->segments[n++][len] = '\0';
		path += len;
		pattern += 2;
	}
	return *path == '\0';
}

int
route_find(struct http_call *call, const struct route_table *tables, size_t n_tables, size_t *ret_table)
{
	const char *other = NULL;
	char path[REFUSE_OPERAND_MAX];

	for (size_t t = 0; t < n_tables; t++)
		for (size_t i = 0; i < tables[t].n; i++) {
			const struct route *route = &tables[t].routes[i];

			if (!match(call, route->pattern))
				continue;
			if (strcmp(route->method, call->method) != 0) {
				other = route->method;
				continue;
			}
			call->route = route;
			*ret_table = t;
			return 0;
		}
	log_escape(path, sizeof(path), call->path);
	if (other)
		return REFUSE(REASON_NOT_FOUND, path, "is not for %s (but for %s)", call->method, other);
	return REFUSE(REASON_NOT_FOUND, path, "no such route");
}
