/* Which files an audit folder may and must hold, given its heads. */
#pragma once

#include "appliance/audit/audit_load.h"

#define CONTENTS_RESERVE "reserve" /* room on the disk for when there is no other; all zeros */
#define CONTENTS_ERASING "erasing" /* an erasure under way (audit_erase.c) */

enum { CONTENTS_RESERVE_BYTES = 1 << 20 };

/* Every file must be one that a log of this size has; each partial tile that stands beside a longer one
 * must be its beginning.  Returns 0; REASON_ALTERED, REASON_INTERRUPTED (logged, naming the file); or a
 * fault. */
int contents_files(int dir_fd, const struct audit_head *head, const struct audit_head *cosigned);

/* Remove what no head covers: tiles and files of records beyond these sizes (what an append that was
 * cut off left), temporary files, partial tiles of full ones, a reserve of the wrong size.  Makes all
 * folders durable. */
int contents_sweep(int dir_fd, uint64_t tiles, uint64_t records);
