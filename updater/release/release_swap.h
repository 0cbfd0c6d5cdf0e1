/* REPO/tuf and its successor change places in one step (RENAME_EXCHANGE), for what no order of single files can do: a
 * root with other keys for the timestamp, and the timestamp that these signed. */
#pragma once

/* Can the file system of REPO do that?  REASON_CONFLICT (logged, naming repo's remedy) where it cannot; asked before anything is
 * signed or written. */
int release_swap_able(int repo_fd);

/* Make REPO/tuf.next: every file of tuf again, as a link to it.  What lay there before is removed. */
int release_swap_begin(int *ret_next_fd, int repo_fd, int tuf_fd);

/* Make tuf.next durable, have it take the place of tuf, and remove the former. */
int release_swap_finish(int repo_fd);

/* Remove what an interrupted command left of this. */
int release_swap_sweep(int repo_fd);
