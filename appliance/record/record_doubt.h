/* Segments a sync of which failed for a reader of this process; from within the room.
 *
 * The kernel says so once to whoever had the file open, and calls the pages clean: a sync by who opens it later succeeds and
 * proves nothing.  So what one reader heard holds for all, also for one opened anew, until somebody writes the segment again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* salt and first, which a segment's header has, tell it from all others. */
void record_doubt_raise(uint32_t salt, uint64_t first);
bool record_doubt_has(uint32_t salt, uint64_t first);
/* All of it was written again, and synced. */
void record_doubt_settle(uint32_t salt, uint64_t first);
