/* The rules that a whole index keeps to.  For index.c alone. */
#pragma once

struct tree_index;

/* Check a sorted index: every entry by itself, and all together.  Returns 0; REASON_UNSAFE_TREE or
 * REASON_TOO_LARGE (logged, naming the path); or a fault. */
int tree_index_check(const struct tree_index *x);
