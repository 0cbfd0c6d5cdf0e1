/* To be preloaded (LD_PRELOAD) into a unit test: each test runs in a child once more for each allocation that is to
 * fail (allocations_run.c; tests/fault/allocations drives it).
 *
 * An allocation counts as ours where, from the inside out, the first function of the program itself is the library's
 * and none of the test or its doubles (ours_begin.c says where one ends and the other begins).  So what OpenSSL, jansson,
 * curl, SQLite or the C library allocate for us counts, and what a test or a loop turned by one takes does not.  How far
 * out one has to look is asked of the unwinder: neither those libraries nor we keep frame pointers.
 *
 * All that allocates in the C library comes by malloc(), calloc(), realloc() and memalign(): strdup(), asprintf(),
 * getline(), open_memstream(), fopen() and their like need no more. */
#include "tests/fault/allocations.h"

#define UNW_LOCAL_ONLY

#include <errno.h>
#include <libunwind.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include "tests/fault/ours.h"

struct outcome *alloc_outcome;
struct notes *alloc_notes, *alloc_notes_else;
uint32_t *alloc_hashes;
struct stack *alloc_ways;
bool alloc_armed;
uint64_t alloc_fail_at;
uintptr_t alloc_base;
bool alloc_fail_on;

enum { DEPTH_MAX = 192, PASSED_MAX = 4096 };

static struct ours_range ours[OURS_RANGES];
static const void *passed_through;
static uintptr_t program_begin, program_end; /* all its code */
_Thread_local bool alloc_inside;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *p);

/* --- whose it is ------------------------------------------------------------------------------------------ */
static struct note *
find_note(struct notes *in, int r, const char *file, int line)
{
	for (uint32_t i = 0; i < in->n; i++)
		if (in->of[i].r == r && in->of[i].line == line && in->of[i].file == file)
			return &in->of[i];
	return NULL;
}

/* Tests provoke faults and refusals of their own: only one more than there are without any failure tells of it.  What is
 * told after an assertion failed comes too late for it. */
static void
on_note(int r, const char *file, int line)
{
	struct outcome *o = alloc_outcome;
	const struct note *was;
	struct note *now;

	if (!o || !alloc_notes)
		return;
	now = find_note(alloc_notes, r, file, line);
	if (!now && alloc_notes->n < NOTES_MAX) {
		now = &alloc_notes->of[alloc_notes->n++];
		*now = (struct note){ file, line, r, 0 };
	}
	if (now)
		now->times++;
	if (!o->hit || o->asserted > 0)
		return;
	was = find_note(alloc_notes_else, r, file, line);
	if (was && now && now->times <= was->times)
		return;
	if (r > 0) {
		if (o->refusals++ == 0)
			snprintf(o->refusal, sizeof(o->refusal), "%s:%d", file, line);
		return;
	}
	if (o->faults++ == 0)
		snprintf(o->fault, sizeof(o->fault), "%s:%d", file, line);
	o->no_memory += r == -ENOMEM;
}

extern ours_begin_fn allocations_begin __attribute__((visibility("default")));

ours_note_fn *
allocations_begin(const struct ours_range ranges[OURS_RANGES], const void *through)
{
	passed_through = through;
	memcpy(ours, ranges, sizeof(ours));
	unsetenv("LD_PRELOAD"); /* what tests start is on its own */
	return on_note;
}

static bool
is_ours(uintptr_t pc)
{
	for (size_t i = 0; i < OURS_RANGES; i++)
		if (pc >= (uintptr_t)ours[i].begin && pc < (uintptr_t)ours[i].end)
			return true;
	return false;
}

/* Only the innermost of the program's own frames can be what a call only goes through. */
static bool
is_passed_through(uintptr_t pc)
{
	uintptr_t from = (uintptr_t)passed_through;

	return from && pc >= from && pc - from < PASSED_MAX && _Unwind_FindEnclosingFunction((void *)pc) == passed_through;
}

bool
alloc_stack(struct stack *ret)
{
	void *frames[DEPTH_MAX];
	const int n = unw_backtrace(frames, DEPTH_MAX);
	bool any = false;

	ret->n = 0;
	ret->hash = 1;
	for (int i = 0; i < n; i++) {
		uintptr_t pc = (uintptr_t)frames[i] - 1; /* into the call */

		if (pc < program_begin || pc >= program_end || (ret->n == 0 && is_passed_through(pc)))
			continue;
		if (ret->n < STACK_MAX)
			ret->pc[ret->n++] = pc - alloc_base;
		if (!is_ours(pc))
			break;
		any = true;
		ret->hash = (ret->hash ^ (uint32_t)(pc - alloc_base)) * 0x9e3779b1u;
		ret->hash ^= ret->hash >> 15;
	}
	return any;
}

/* --- malloc and its like ---------------------------------------------------------------------------------- */
static void
keep_way(const struct stack *of)
{
	size_t i = of->hash & (WAYS_MAX - 1);

	for (size_t tries = 0; tries < 64; tries++, i = (i + 1) & (WAYS_MAX - 1)) {
		if (alloc_ways[i].n > 0 && alloc_ways[i].hash != of->hash)
			continue;
		if (alloc_ways[i].n == 0)
			alloc_ways[i] = *of;
		return;
	}
}

/* True where this one fails.  *ret_of is then, and else, its stack; n == 0 where it is none of ours. */
static bool
fails(struct stack *of)
{
	struct outcome *o = alloc_outcome;
	uint64_t number;

	of->n = 0;
	if (!alloc_armed || alloc_inside)
		return false;
	alloc_inside = true;
	if (!alloc_stack(of))
		of->n = 0;
	alloc_inside = false;
	if (of->n == 0)
		return false;
	number = __atomic_add_fetch(&o->met, 1, __ATOMIC_RELAXED);
	if (alloc_hashes && number <= NUMBERS_MAX) {
		alloc_hashes[number - 1] = of->hash;
		keep_way(of);
	}
	if (alloc_fail_at == 0 || (alloc_fail_on ? number < alloc_fail_at : number != alloc_fail_at))
		return false;
	if (!o->hit) {
		o->at = *of;
		o->hit = true;
	}
	errno = ENOMEM;
	return true;
}

static void *
got(void *p, size_t size, const struct stack *of)
{
	if (p && !alloc_inside)
		live_add(p, size, of->n > 0 ? of : NULL);
	return p;
}

/* Memory that nobody wrote to does not happen to be zero. */
static void *
fill(void *p, size_t size)
{
	if (p && alloc_armed)
		memset(p, 0xa5, size < 4096 ? size : 4096);
	return p;
}

#define PUBLIC __attribute__((visibility("default")))

PUBLIC void *
malloc(size_t size)
{
	struct stack of;

	return fails(&of) ? NULL : got(fill(__libc_malloc(size), size), size, &of);
}

PUBLIC void *
calloc(size_t n, size_t size)
{
	struct stack of;

	return fails(&of) ? NULL : got(__libc_calloc(n, size), n * size, &of);
}

PUBLIC void *
memalign(size_t align, size_t size)
{
	struct stack of;

	return fails(&of) ? NULL : got(__libc_memalign(align, size), size, &of);
}

PUBLIC void *
aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

PUBLIC int
posix_memalign(void **ret, size_t align, size_t size)
{
	int saved = errno;
	void *p = memalign(align, size);

	errno = saved;
	if (!p)
		return ENOMEM;
	*ret = p;
	return 0;
}

PUBLIC void
free(void *p)
{
	int saved = errno;

	if (p && (alloc_inside || !live_free(p)))
		__libc_free(p);
	errno = saved;
}

/* Always moved: who keeps the old pointer is found out. */
PUBLIC void *
realloc(void *p, size_t size)
{
	struct stack of;
	size_t had;
	void *to;

	if (!p)
		return malloc(size);
	if (size == 0) {
		free(p);
		return NULL;
	}
	if (fails(&of))
		return NULL;
	had = live_size(p);
	if (had == 0)
		had = malloc_usable_size(p);
	to = got(__libc_malloc(size), size, &of);
	if (!to)
		return NULL;
	memcpy(to, p, had < size ? had : size);
	free(p);
	return to;
}

PUBLIC void *
reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

/* libunwind masks signals around its cache, for what a handler would do there: here it does nothing (fails()).  Two
 * system calls for each allocation are a third of what all this takes. */
PUBLIC int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return alloc_inside || syscall(SYS_rt_sigprocmask, how, set, old, (size_t)(_NSIG / 8)) == 0 ? 0 : errno;
}

PUBLIC int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return alloc_inside ? 0 : (int)syscall(SYS_rt_sigprocmask, how, set, old, (size_t)(_NSIG / 8));
}

/* --- */
/* The program is the first that is told. */
static int
on_object(struct dl_phdr_info *o, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	alloc_base = o->dlpi_addr;
	for (int i = 0; i < o->dlpi_phnum; i++)
		if (o->dlpi_phdr[i].p_type == PT_LOAD && (o->dlpi_phdr[i].p_flags & PF_X)) {
			program_begin = o->dlpi_addr + o->dlpi_phdr[i].p_vaddr;
			program_end = program_begin + o->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

__attribute__((constructor(101))) static void
begin(void)
{
	struct stack of;

	/* All blocks in one heap, which is known from its place (find_roots()). */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
	(void)mallopt(M_ARENA_MAX, 1);
	(void)dl_iterate_phdr(on_object, NULL);
	(void)alloc_stack(&of); /* what the unwinder allocates, it does the first time */
}
