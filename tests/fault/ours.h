/* Where the library lies in a unit test's code: what ours_begin.c and ours_end.c tell allocations.so. */
#pragma once

#include <stdint.h>

enum { OURS_RANGES = 4 };

struct ours_range {
	const char *begin, *end;
};

/* A fault (r < 0) or a refusal (r > 0) of the library, and where it was made. */
typedef void ours_note_fn(int r, const char *file, int line);
/* through: a function of the library's that another library allocates by, for whomever; or NULL. */
typedef ours_note_fn *ours_begin_fn(const struct ours_range ranges[OURS_RANGES], const void *through);

extern const char ours_begin_text[], ours_begin_unlikely[], ours_begin_startup[], ours_begin_hot[];
extern const char ours_end_text[], ours_end_unlikely[], ours_end_startup[], ours_end_hot[];

#define OURS_MARK(section, name) ".pushsection " section ",\"ax\",@progbits\n.globl " name "\n" name ":\nnop\n.popsection\n"

/* In assembler: no compiler moves them to where it likes functions better. */
#define OURS_MARKS(prefix)                                                                                             \
	__asm__(OURS_MARK(".text", #prefix "_text") OURS_MARK(".text.unlikely", #prefix "_unlikely")                   \
			OURS_MARK(".text.startup", #prefix "_startup") OURS_MARK(".text.hot", #prefix "_hot"));
