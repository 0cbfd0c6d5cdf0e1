/* What the files of allocations.so share.
 *
 *	allocations.c       malloc and its like: whose it is, and the one that fails
 *	allocations_live.c  the blocks there are, those freed, and those that nobody points to any more
 *	allocations_run.c   each test of a unit program, run in a child of its own
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The program that this is loaded into may have names of its own. */
#pragma GCC visibility push(hidden)

enum { STACK_MAX = 14, LEAKS_MAX = 8, PLACE_MAX = 96, NUMBERS_MAX = 1 << 22, NOTES_MAX = 1024, WAYS_MAX = 1 << 14 };

/* The way by which the library came to allocate: where it called, the innermost first, below alloc_base; the last is
 * where the test or a double of its own called the library.  What lies in other libraries is left out: which of the
 * many allocations of one call of OpenSSL's it is, is a matter of its number. */
struct stack {
	uint32_t n;
	uint32_t hash; /* of the addresses in the library */
	uintptr_t pc[STACK_MAX];
};

/* What a child tells of its run, in memory that its parent shares. */
struct outcome {
	uint64_t met;	      /* allocations of ours in the test */
	bool hit;	      /* one was made to fail */
	struct stack at;      /* which */
	int faults;	      /* FAULT()s made after it, of any number, that the test does not provoke itself */
	int no_memory;	      /* of these, -ENOMEM */
	int refusals;	      /* REFUSE()s after it, as the faults */
	char fault[PLACE_MAX], refusal[PLACE_MAX]; /* the first of them */
	int asserted;	      /* a cmocka assertion failed */
	char assertion[PLACE_MAX];
	int crash;	      /* a signal, or one of enum crash */
	struct stack crashed;
	bool checked;	      /* blocks that nobody points to were looked for */
	int lost;	      /* so many there were */
	struct stack leaks[LEAKS_MAX];
	size_t leak_size[LEAKS_MAX];
};

enum crash { CRASH_DOUBLE_FREE = 1000, CRASH_WRITTEN_AFTER_FREE, CRASH_SIZE_MAX };

/* The faults and refusals of one run, by kind and place. */
struct notes {
	uint32_t n;
	struct note {
		const char *file;
		int line, r;
		uint32_t times;
	} of[NOTES_MAX];
};

extern struct outcome *alloc_outcome;
extern struct notes *alloc_notes;      /* of this run */
extern struct notes *alloc_notes_else; /* of the run in which nothing failed */
extern uint32_t *alloc_hashes;	/* NULL: not asked for; of each allocation of ours, in order */
extern struct stack *alloc_ways; /* beside them; a table of WAYS_MAX by hash */
extern bool alloc_armed;	/* in a test: count, fail, keep what is freed */
extern _Thread_local bool alloc_inside; /* of what these files themselves call */
extern uintptr_t alloc_base;	/* of the program */
extern uint64_t alloc_fail_at;	/* from 1; 0: none */
extern bool alloc_fail_on;	/* all from there on */

/* The stack above the caller; true where the innermost code of the unit's program is the library's. */
bool alloc_stack(struct stack *ret);
void alloc_crash(int how) __attribute__((noreturn));

/* allocations_live.c.  Under a lock of their own. */
void live_add(void *p, size_t size, const struct stack *of); /* of: NULL where it is none of ours */
/* What became of p: a block in use is marked free and kept, and true returned: it is not to be given back yet. */
bool live_free(void *p);
/* The size asked for; 0 where p is not known. */
size_t live_size(const void *p);
/* Those of ours, since arming, that no one points to.  Into alloc_outcome, but for stacks innermost in skip. */
void live_find_lost(void);
/* Blocks written after they were freed end the program. */
void live_check_freed(void);
/* Stacks that leak without any failure: not told again. */
extern struct live_known {
	int n;
	uintptr_t pc[64];
} *live_known;

#pragma GCC visibility pop
