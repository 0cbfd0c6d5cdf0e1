/* The blocks there are.  What is freed in a test is kept for a while, full of bytes that are no pointer, so that who
 * reads it falls, and who writes it or frees it again is seen.
 *
 * A block is lost where nothing points to it or into it: not the data of the program and its libraries, not a stack, not
 * memory mapped otherwise, not another block that is not lost.  The same question as LeakSanitizer's, asked where it
 * has to be: at the assertion that fails, before it leaves the functions whose variables hold what they own. */
#include "tests/fault/allocations.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FREED_BYTE = 0xdb, KEPT_MAX = 1 << 15, KEPT_BYTES = 48 << 20, KEPT_ONE = 4 << 20, ROOTS_MAX = 4096 };

#define OUR_MAPS "allocations"

struct block {
	uintptr_t at;
	size_t size;
	uint32_t stack;	 /* 0: none of ours; else stacks[stack - 1] */
	bool is_free, reached;
};

/* Open addressing, at most half full. */
static struct block *table;
static size_t n_slots, n_blocks;
static struct stack *stacks;
static size_t n_stacks, max_stacks;
static uintptr_t kept[KEPT_MAX];
static size_t kept_first, n_kept, kept_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

extern void __libc_free(void *p);

/* Under a name, so that the kernel does not make one mapping of it and of a stack beside it. */
static void *
map(size_t size)
{
	int fd = memfd_create(OUR_MAPS, MFD_CLOEXEC);
	void *p = fd >= 0 && ftruncate(fd, (off_t)size) == 0
		? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) : MAP_FAILED;

	if (p == MAP_FAILED)
		_exit(125);
	close(fd);
	return p;
}

static size_t
slot_of(uintptr_t at)
{
	return (size_t)((at >> 4) * 0x9e3779b97f4a7c15u >> 20) & (n_slots - 1);
}

static struct block *
find(uintptr_t at)
{
	if (n_slots == 0)
		return NULL;
	for (size_t i = slot_of(at); table[i].at; i = (i + 1) & (n_slots - 1))
		if (table[i].at == at)
			return &table[i];
	return NULL;
}

static void
put(struct block b)
{
	size_t i = slot_of(b.at);

	while (table[i].at)
		i = (i + 1) & (n_slots - 1);
	table[i] = b;
}

static void
grow(void)
{
	struct block *old = table;
	size_t n = n_slots;

	n_slots = n ? n * 4 : 1 << 14;
	table = map(n_slots * sizeof(*table));
	for (size_t i = 0; i < n; i++)
		if (old[i].at)
			put(old[i]);
	if (old)
		(void)munmap(old, n * sizeof(*old));
}

/* What follows in the same chain moves up. */
static void
take_out(struct block *b)
{
	size_t hole = (size_t)(b - table), mask = n_slots - 1;

	for (size_t i = (hole + 1) & mask; table[i].at; i = (i + 1) & mask) {
		size_t home = slot_of(table[i].at);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			table[hole] = table[i];
			hole = i;
		}
	}
	table[hole] = (struct block){ 0 };
	n_blocks--;
}

static uint32_t
keep_stack(const struct stack *of)
{
	if (n_stacks == max_stacks) {
		size_t more = max_stacks ? max_stacks * 4 : 4096;
		struct stack *to = map(more * sizeof(*to));

		if (stacks) {
			memcpy(to, stacks, n_stacks * sizeof(*to));
			(void)munmap(stacks, max_stacks * sizeof(*to));
		}
		stacks = to;
		max_stacks = more;
	}
	stacks[n_stacks++] = *of;
	return (uint32_t)n_stacks;
}

void
live_add(void *p, size_t size, const struct stack *of)
{
	struct block *was;

	pthread_mutex_lock(&lock);
	if (n_blocks * 2 >= n_slots)
		grow();
	was = find((uintptr_t)p);
	if (was) /* given back by a way that we do not see */
		take_out(was);
	put((struct block){ .at = (uintptr_t)p, .size = size, .stack = of ? keep_stack(of) : 0 });
	n_blocks++;
	pthread_mutex_unlock(&lock);
}

size_t
live_size(const void *p)
{
	struct block *b;
	size_t size;

	pthread_mutex_lock(&lock);
	b = find((uintptr_t)p);
	if (b && b->is_free) {
		pthread_mutex_unlock(&lock);
		alloc_crash(CRASH_DOUBLE_FREE);
	}
	size = b ? b->size : 0;
	pthread_mutex_unlock(&lock);
	return size;
}

/* --- what is freed ---------------------------------------------------------------------------------------- */
static void
check_freed(const struct block *b)
{
	const uint8_t *at = (const uint8_t *)b->at;

	if (b->size > 0 && (at[0] != FREED_BYTE || memcmp(at, at + 1, b->size - 1) != 0)) {
		pthread_mutex_unlock(&lock);
		alloc_crash(CRASH_WRITTEN_AFTER_FREE);
	}
}

static void
give_back_oldest(void)
{
	struct block *b = find(kept[kept_first]);

	kept_first = (kept_first + 1) % KEPT_MAX;
	n_kept--;
	check_freed(b);
	kept_bytes -= b->size;
	__libc_free((void *)b->at);
	take_out(b);
}

bool
live_free(void *p)
{
	struct block *b;

	pthread_mutex_lock(&lock);
	b = find((uintptr_t)p);
	if (b && b->is_free) {
		pthread_mutex_unlock(&lock);
		alloc_crash(CRASH_DOUBLE_FREE);
	}
	if (!b || !alloc_armed || b->size > KEPT_ONE) {
		if (b)
			take_out(b);
		pthread_mutex_unlock(&lock);
		return false;
	}
	memset(p, FREED_BYTE, b->size);
	b->is_free = true;
	kept_bytes += b->size;
	kept[(kept_first + n_kept++) % KEPT_MAX] = (uintptr_t)p;
	while (n_kept == KEPT_MAX || kept_bytes > KEPT_BYTES)
		give_back_oldest();
	pthread_mutex_unlock(&lock);
	return true;
}

void
live_check_freed(void)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < n_slots; i++)
		if (table[i].at && table[i].is_free)
			check_freed(&table[i]);
	pthread_mutex_unlock(&lock);
}

/* --- what is lost ----------------------------------------------------------------------------------------- */
static struct block **sorted; /* those in use */
static size_t n_sorted;
static struct block **todo;
static size_t n_todo;

static int
by_place(const void *a, const void *b)
{
	uintptr_t x = (*(struct block *const *)a)->at, y = (*(struct block *const *)b)->at;

	return x < y ? -1 : x > y;
}

static void
reach(uintptr_t word)
{
	size_t low = 0, high = n_sorted;
	struct block *b;

	if (n_sorted == 0 || word < sorted[0]->at)
		return;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (sorted[middle]->at <= word)
			low = middle;
		else
			high = middle;
	}
	b = sorted[low];
	if (b->reached || word > b->at + b->size) /* just behind it is a pointer into it, too */
		return;
	b->reached = true;
	todo[n_todo++] = b;
}

static void
reach_words(uintptr_t from, uintptr_t to)
{
	from = (from + 7) & ~(uintptr_t)7;
	for (; from + sizeof(uintptr_t) <= to; from += sizeof(uintptr_t))
		reach(*(const uintptr_t *)from);
}

/* Memory that can be gone between /proc/self/maps and now, or that ends before its mapping does, is read by the kernel. */
static void
reach_mapped(uintptr_t from, uintptr_t to)
{
	static uintptr_t page[512];

	for (; from < to; from += sizeof(page)) {
		struct iovec into = { page, sizeof(page) }, of = { (void *)from, sizeof(page) };

		if (process_vm_readv(getpid(), &into, 1, &of, 1, 0) == (ssize_t)sizeof(page))
			reach_words((uintptr_t)page, (uintptr_t)page + sizeof(page));
	}
}

struct root {
	uintptr_t from, to;
};

/* Writable memory but for the heap, this library's own and what others share.  Heaps of further threads are mapped as
 * anything else is: what they hold is pointed to from there, and not found lost. */
static size_t
find_roots(struct root *roots, uintptr_t sp)
{
	static char text[1 << 18];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t len = 0, n = 0;
	ssize_t got;

	while (fd >= 0 && len < sizeof(text) - 1 && (got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	if (fd >= 0)
		close(fd);
	text[len] = '\0';
	for (char *line = text, *end; line < text + len && n < ROOTS_MAX; line = end + 1) {
		unsigned long from, to;
		char mode[8];

		end = strchr(line, '\n');
		if (!end)
			break;
		*end = '\0';
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || strncmp(mode, "rw", 2) != 0 || mode[3] == 's' ||
			strstr(line, "[heap]") || strstr(line, OUR_MAPS))
			continue;
		if (from <= sp && sp < to)
			from = sp;
		roots[n++] = (struct root){ from, to };
	}
	return n;
}

static bool
is_known(const struct stack *s)
{
	for (int i = 0; live_known && i < live_known->n; i++)
		if (live_known->pc[i] == s->pc[0])
			return true;
	return false;
}

static void
tell_lost(const struct block *b)
{
	struct outcome *o = alloc_outcome;
	const struct stack *s = &stacks[b->stack - 1];

	if (is_known(s))
		return;
	if (o->lost < LEAKS_MAX) {
		o->leaks[o->lost] = *s;
		o->leak_size[o->lost] = b->size;
	}
	o->lost++;
}

__attribute__((noinline)) void
live_find_lost(void)
{
	static struct root roots[ROOTS_MAX];
	jmp_buf registers;
	size_t n_roots, bytes;

	(void)setjmp(registers); /* onto the stack with what callers keep in registers */
	alloc_inside = true;
	pthread_mutex_lock(&lock);
	bytes = (n_blocks + 1) * sizeof(*sorted) * 2;
	sorted = map(bytes);
	todo = sorted + n_blocks + 1;
	n_sorted = n_todo = 0;
	for (size_t i = 0; i < n_slots; i++)
		if (table[i].at && !table[i].is_free) {
			table[i].reached = false;
			sorted[n_sorted++] = &table[i];
		}
	pthread_mutex_unlock(&lock);
	qsort(sorted, n_sorted, sizeof(*sorted), by_place);
	n_roots = find_roots(roots, (uintptr_t)&registers);
	for (size_t i = 0; i < n_roots; i++)
		reach_mapped(roots[i].from, roots[i].to);
	while (n_todo > 0) {
		struct block *b = todo[--n_todo];

		reach_words(b->at, b->at + b->size);
	}
	for (size_t i = 0; i < n_sorted; i++)
		if (!sorted[i]->reached && sorted[i]->stack > 0)
			tell_lost(sorted[i]);
	alloc_outcome->checked = true;
	(void)munmap(sorted, bytes);
	sorted = NULL;
	alloc_inside = false;
}
