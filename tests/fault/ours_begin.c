/* Linked into each unit test before the library, as ours_end.c is behind it: between the two lies what ships, before
 * them the test and its doubles.  The linker lays code out in the order of the command line, within each of its four
 * kinds of code.  With allocations.so preloaded, it is told where that is; without it nothing happens here.
 *
 * FAULT() and REFUSE() of the library come by here, too (-Wl,--wrap), so that it is seen whether a call that found no
 * memory said so. */
#include "tests/fault/ours.h"

#include <dlfcn.h>

OURS_MARKS(ours_begin)

static ours_note_fn *note;

/* appliance/base/json.h; not all tests have it. */
extern void *json_allocate(size_t size) __attribute__((weak));

__attribute__((constructor(102))) static void
tell(void)
{
	static const struct ours_range ranges[OURS_RANGES] = {
		{ ours_begin_text, ours_end_text },
		{ ours_begin_unlikely, ours_end_unlikely },
		{ ours_begin_startup, ours_end_startup },
		{ ours_begin_hot, ours_end_hot },
	};
	void *found = dlsym(RTLD_DEFAULT, "allocations_begin");

	if (found)
		note = (*(ours_begin_fn **)&found)(ranges, (const void *)(uintptr_t)json_allocate);
}

int __real_fault_note(int r, const char *file, int line, const char *func);
int __wrap_fault_note(int r, const char *file, int line, const char *func);

int
__wrap_fault_note(int r, const char *file, int line, const char *func)
{
	if (note && r < 0)
		note(r, file, line);
	return __real_fault_note(r, file, line, func);
}

/* What each REFUSE() comes to. */
void __real_log_refusal(const char *token, const char *operand, const char *place, const char *text, const char *file,
	int line);
void __wrap_log_refusal(const char *token, const char *operand, const char *place, const char *text, const char *file,
	int line);

void
__wrap_log_refusal(const char *token, const char *operand, const char *place, const char *text, const char *file,
	int line)
{
	if (note)
		note(1, file, line);
	__real_log_refusal(token, operand, place, text, file, line);
}
