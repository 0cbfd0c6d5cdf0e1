/* What somebody who may write a host's files says in them: os-release, dpkg's status; and the kernel's cpuinfo and mounts.
 * The first byte picks the text, and how large the pieces are in which it streams. */
#include <jansson.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/scope.h"
#include "telemetry/inventory/inventory_packages.h"
#include "telemetry/inventory/inventory_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_packages(const char *text, size_t size, size_t piece)
{
	SCOPED(inventory_packages_done) struct inventory_packages p;

	inventory_packages_begin(&p);
	for (size_t at = 0; at < size; at += piece)
		inventory_packages_feed(&p, text + at, piece < size - at ? piece : size - at);
	json_decref(inventory_packages_end(&p));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static json_t *(*const texts[])(const char *) = { inventory_text_release, inventory_text_cpu,
		inventory_text_mounts };
	SCOPED(scope_free) char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;

	if (!text)
		return 0;
	if (data[0] >= 'a' && data[0] < 'a' + (int)ARRAY_LEN(texts))
		json_decref(texts[data[0] - 'a'](text));
	else
		read_packages((const char *)data + 1, size - 1, 1 + data[0] % 64);
	return 0;
}
