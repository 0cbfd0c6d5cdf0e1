/* Faults: something that should have worked did not (memory, disk, a peer's death, our mistake).
 *
 * Every call here returns an int: 0 done; < 0 a fault, -errno, which the caller does not match on
 * but passes up wrapped in FAULT(); > 0 an outcome that the call documents, mostly an enum reason
 * of refuse.h.  FAULT() keeps where the fault came from and by which way it rose; the program
 * prints that trail once, at the end. */
#pragma once

#include <stddef.h>

#define FAULT(r) fault_note((r), __FILE__, __LINE__, __func__)

/* Remember a place in the trail of the fault r and return r.  r >= 0 is returned unremembered. */
int fault_note(int r, const char *file, int line, const char *func);

/* Write the trail, oldest first, as "a.c:12 f: No space left on device < b.c:7 g" and forget it.
 * Always terminates text with NUL; an empty string where there is none. */
void fault_take(char *text, size_t size);
