#include "tests/fakes/turn.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* Under a sanitiser peers and children are slower, and their deadlines are not longer. */
#if defined(__has_feature)
#define SANITISED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITISED 1
#else
#define SANITISED 0
#endif

enum { HASTE = SANITISED ? 3 : 10 };

enum { STEP_US = 10000 };

typedef int clock_fn(clockid_t id, struct timespec *ts);

static clock_fn *outside;
static _Atomic uint64_t *passed_ns; /* where forked processes see it, too; they are peers and have the same time */

/* Before any other constructor could ask for the time. */
__attribute__((constructor(101))) static void
begin(void)
{
	void *found = dlsym(RTLD_NEXT, "clock_gettime");

	outside = *(clock_fn **)&found;
	passed_ns = mmap(NULL, sizeof(*passed_ns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!outside || passed_ns == MAP_FAILED)
		abort();
}

/* Stands before the C library's for the whole process, its shared libraries included.  What a thread or a process has
 * used of the processors stays what it is. */
int
clock_gettime(clockid_t id, struct timespec *ts)
{
	uint64_t ns;
	int r;

	if (!outside)
		begin(); /* the sanitisers' own start */
	r = outside(id, ts);
	if (r < 0 || id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID)
		return r;
	ns = (uint64_t)ts->tv_nsec + *passed_ns;
	ts->tv_sec += (time_t)(ns / 1000000000);
	ts->tv_nsec = (long)(ns % 1000000000);
	return r;
}

void
turn_pass(uint64_t us)
{
	*passed_ns += us * 1000;
}

static int
turn_waiting(sd_event *loop, uint64_t us, uint64_t wait_us)
{
	int r = sd_event_run(loop, wait_us);

	if (r != 0 || us == wait_us)
		return r;
	turn_pass(us - wait_us);
	return sd_event_run(loop, 0);
}

int
turn_alone(sd_event *loop, uint64_t us)
{
	return turn_waiting(loop, us, 0);
}

int
turn_beside(sd_event *loop, uint64_t us)
{
	return turn_waiting(loop, us, us / HASTE);
}

int
turn_to_end(sd_event *loop)
{
	int code = 0;

	while (sd_event_get_state(loop) != SD_EVENT_FINISHED)
		if (turn_alone(loop, STEP_US) < 0)
			return -1;
	(void)sd_event_get_exit_code(loop, &code);
	return code;
}
