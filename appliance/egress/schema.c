#include "appliance/egress/schema.h"

#include <stdio.h>
#include <string.h>

const char *
schema_shape(char *out, const char *word, const char *detail)
{
	char *p;

	(void)snprintf(out, SCHEMA_SHAPE_MAX + 1, "%s%s%s", word, detail && *detail ? " " : "",
		detail ? detail : "");
	for (p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return out;
}

bool
schema_shape_valid(const char *text)
{
	size_t i, len = strnlen(text, SCHEMA_SHAPE_MAX + 1);

	for (i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return len > 0 && len <= SCHEMA_SHAPE_MAX;
}
