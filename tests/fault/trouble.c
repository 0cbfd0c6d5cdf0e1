#include "tests/fault/trouble.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"

enum { TRAIL = 1024 };

/* Asked at once: some of what is tried here begins by clearing the environment. */
static bool expected, lasts;

__attribute__((constructor)) static void
begin(void)
{
	const char *times = getenv("CALLS_FAIL_FOR");

	expected = getenv("CALLS_FAIL") != NULL;
	lasts = times && strtoul(times, NULL, 10) == 0;
}

bool
trouble_expected(void)
{
	return expected;
}

bool
trouble_lasts(void)
{
	return lasts;
}

bool
trouble_met(void)
{
	uint64_t (*failed)(void) = (uint64_t (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "calls_failed");

	return failed && failed() > 0;
}

void
trouble_spare(bool on)
{
	void (*spare)(bool) = (void (*)(bool))(uintptr_t)dlsym(RTLD_DEFAULT, "calls_spare");

	if (spare)
		spare(on);
}

static void
say(const char *name, const char *what, int r)
{
	char trail[TRAIL];

	fault_take(trail, sizeof(trail));
	printf("%s %s: %d (%s: %s; %s)\n", name, what, r, refuse_last()->operand, refuse_last()->text, trail);
}

bool
trouble_do(const char *name, int (*step)(void *arg), int (*restart)(void *arg), void *arg)
{
	int r = step(arg);

	if (r != 0 && !trouble_met()) {
		say(name, "failed though the disk is well", r);
		exit(1);
	}
	r = r ? step(arg) : 0;
	/* The restart itself may be what met it: whoever starts daemons tries again. */
	if (r != 0)
		r = (restart(arg) ? restart(arg) : 0) ?: step(arg);
	if (r == 0 || trouble_lasts())
		return r == 0;
	say(name, "does not recover", r);
	exit(1);
}
