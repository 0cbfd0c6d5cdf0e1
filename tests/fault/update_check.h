/* What must hold of a site's disk after a cut. */
#pragma once

#include "tests/fault/update_world.h"

/* notes: what update work noted; cut: bytes of the record that happened.  Returns 0; otherwise it says what does not hold and
 * ends the program. */
int update_check(struct world *w, const char *notes, long long cut);
