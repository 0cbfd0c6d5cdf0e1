/* release_licence_parse(): whatever a copyright file says, an expression comes of it whose own names are listed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "updater/release/release_licence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED_JSON *refs = json_object();
	SCOPED(scope_free) char *licence = NULL;
	size_t own = 0;

	if (release_licence_parse(&licence, (const char *)data, size, refs) != 0)
		abort();
	if (!*licence || licence[strspn(licence, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+- ")])
		abort();
	for (const char *p = licence; (p = strstr(p, "LicenseRef-")); p++)
		own += p == licence || p[-1] == ' ';
	if (own != json_object_size(refs))
		abort();
	return 0;
}
