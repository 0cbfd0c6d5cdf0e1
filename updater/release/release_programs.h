/* The programs that a definition runs: all must be in the tree, or no site could run them. */
#pragma once

struct definition;
struct tree_index;

/* Called for each program that x, sealed, lacks: member says where it is named ("operations.ping.argv").  Not 0 ends
 * the search with that value. */
typedef int release_programs_fn(const char *member, const char *program, void *arg);

int release_programs_missing(
	const struct definition *d, const struct tree_index *x, release_programs_fn *fn, void *arg);
