/* Is a folder on disk, file by file, what an index says?  For who cut off or killed what makes folders of trees. */
#pragma once

struct tree_index;

/* Returns 0; REASON_ALTERED (logged) naming the first path that is missing, added or different; or what tree_walk() gives.
 * dir_fd stays the caller's. */
int tree_folder_is(const struct tree_index *x, int dir_fd);
