/* Is a log the one that somebody kept a copy, or a head, of?  It may have grown since; its keys alone cannot tell, for
 * whoever holds them can sign another one from the beginning. */
#pragma once

#include <stdint.h>

#include "appliance/trust/note.h"

/* Compare the first entries of two folders, both verified or at least of these sizes.  *ret_n is the first that
 * differs; where none does, the size of the smaller.  Returns 0; REASON_ALTERED (logged, naming the entry, or the
 * file that is gone); or a fault.  Reads tiles of level 0 alone. */
int against_folder(uint64_t *ret_n, int dir_fd, uint64_t size, int kept_fd, uint64_t kept_size);

/* Does the log of size entries contain the tree of this head?  Returns 0; REASON_ROLLBACK where the log is smaller,
 * REASON_ALTERED where it is another (both logged); or a fault. */
int against_head(int dir_fd, uint64_t size, const struct note_checkpoint *head);
