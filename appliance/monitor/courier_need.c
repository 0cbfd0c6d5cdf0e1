#include "appliance/monitor/courier_need.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/monitor/inside.h"
#include "appliance/service/spawn.h"

#define MARK "enrolling"

enum { COURIER_NEED_S = 60 };

struct courier_need {
	struct monitor *m;
	uint64_t key_us; /* boot time until which its key is needed; 0: it is not */
	bool told, on;	 /* on: what PID 1 was told last */
};

static bool
is_any_on(const struct monitor *m)
{
	for (unsigned i = 0; i < SWITCH_MAX; i++)
		if (monitor_switch_on(m, (enum switch_name)i))
			return true;
	return false;
}

static bool
is_ours(const struct monitor *m)
{
	return m->spawner && spawn_has_courier(m->spawner);
}

bool
monitor_courier_wanted(const struct monitor *m)
{
	return !is_ours(m) || is_any_on(m) || m->courier_need->key_us > 0;
}

/* PID 1 starts the courier with the other daemons: its unit must say no by itself. */
static void
write_off_files(struct monitor *m)
{
	int r = 0;

	for (unsigned i = 0; i < SWITCH_MAX && r == 0; i++)
		if (!switch_off_file(&m->paths, (enum switch_name)i))
			r = switch_write_off(&m->paths, (enum switch_name)i);
	if (r < 0)
		log_fault(r, "writing the off files");
}

static void
on_told(int r, pid_t pid, void *arg)
{
	(void)arg;
	(void)pid;
	if (r)
		log_warning("the courier could not be started or ended: it obeys the off files all the same");
}

static void
look(struct courier_need *n)
{
	struct monitor *m = n->m;
	bool on;

	if (!is_ours(m))
		return;
	if (n->key_us > 0 && clock_mono_us() >= n->key_us) {
		n->key_us = 0;
		(void)unlinkat(m->run_fd, MARK, 0);
	}
	on = monitor_courier_wanted(m);
	if (n->told && n->on == on)
		return;
	if (!on)
		write_off_files(m);
	n->told = spawn_courier(m->spawner, on, on_told, NULL) == 0;
	n->on = on;
}

void
courier_need_key(struct monitor *m)
{
	struct courier_need *n = m->courier_need;

	if (!is_ours(m))
		return;
	n->key_us = clock_mono_us() + COURIER_NEED_S * CLOCK_US_PER_S;
	if (fs_replace(m->run_fd, MARK, "", 0, 0644) < 0)
		log_warning("run/" MARK " cannot be written: the courier's unit will not start it");
	look(n);
}

static int
on_start(struct monitor *m, void *arg)
{
	(void)unlinkat(m->run_fd, MARK, 0); /* of a monitor before us */
	look(arg);
	return 0;
}

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)m;
	if (changes & MONITOR_CHANGE_SWITCH)
		look(arg);
}

static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	(void)m;
	(void)now_us;
	look(arg);
}

static const struct monitor_module module = {
	.name = "courier-need", .start = on_start, .changed = on_changed, .tick = on_tick, .free = free
};

int
courier_need_init(struct monitor *m)
{
	struct courier_need *n = calloc(1, sizeof(*n));

	if (!n)
		return FAULT(-ENOMEM);
	n->m = m;
	m->courier_need = n;
	return FAULT(monitor_add_module(m, &module, n));
}
