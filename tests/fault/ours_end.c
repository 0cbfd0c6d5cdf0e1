/* Behind the library: see ours_begin.c. */
#include "tests/fault/ours.h"

OURS_MARKS(ours_end)
