/* The journal of a change of the core: what is taken ends, whatever then happens, and is read again as it was written. */
#include "updater/activate/core_change.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/log.h"
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct core_change c, again;

	log_quiet_refusals(true);
	if (core_change_parse(&c, data, size) != 0)
		return 0;
	if (core_change_save(&c, folder_fd()) != 0 || core_change_load(&again, folder_fd()) != 0 ||
		again.step != c.step || again.counter != c.counter || again.back != c.back ||
		strcmp(again.to, c.to) != 0 || strcmp(again.text, c.text) != 0)
		__builtin_trap();
	for (unsigned i = 0; i < CORE_STEP_MAX; i++) {
		struct core_change failed = c;

		core_change_advance(&failed, REASON_FAULT, "fuzz");
		if (failed.step < CORE_GOOD)
			__builtin_trap();
		core_change_advance(&c, 0, "");
	}
	if (c.step < CORE_GOOD)
		__builtin_trap();
	return 0;
}
