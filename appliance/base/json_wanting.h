/* Whether JSON that was put together is whole. */
#pragma once

#include <stdint.h>

/* How often jansson has found no memory so far, in this thread.  It leaves out what it finds none for, so that what was
 * put together while this did not change is whole. */
uint64_t json_wanting(void);
