#include "appliance/supervise/trial.h"

#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/loop/loop.h"
#include "appliance/supervise/slots.h"

/* Is the core that we are of on trial, and how long still? */
static int
look(const struct paths *paths, bool *ret_ours, uint32_t *ret_left_ms)
{
	SCOPED(scope_close) int core = -1;
	struct slots_now now;
	struct slots s;
	int r;

	r = slots_open(&core, paths);
	r = r ?: slots_load(&s, core);
	r = r ?: slots_now(&now);
	if (r)
		return FAULT(r);
	*ret_ours = s.trial && s.trial == slots_running(&s);
	*ret_left_ms = slots_left_ms(&s, &now);
	return 0;
}

static bool
note_silence(struct slots *s, void *arg)
{
	(void)arg;
	return slots_note(s, SLOTS_WHY_SILENT);
}

static void
on_time(void *arg)
{
	struct trial *t = arg;
	uint32_t left_ms = 0;
	bool ours = true;
	int r;

	/* What cannot be read was not seen to be good. */
	r = look(t->paths, &ours, &left_ms);
	if (r == 0 && (!ours || left_ms > 0))
		return;
	log_warning("this core did not prove itself in time, and no `mainstay run` ended it: it ends");
	r = r ?: slots_update(NULL, t->paths, note_silence, NULL);
	if (r < 0)
		log_fault(r, "ending the trial");
	t->over(t->arg);
}

int
trial_watch(struct trial *t, sd_event *loop, const struct paths *paths, uint32_t grace_ms, trial_over_fn *over,
	void *arg)
{
	uint32_t left_ms;
	bool ours;
	int r;

	*t = (struct trial){ .paths = paths, .over = over, .arg = arg };
	r = look(paths, &ours, &left_ms);
	if (r || !ours)
		return FAULT(r);
	return FAULT(loop_after(&t->timer, loop, (uint64_t)left_ms + grace_ms, on_time, t));
}

void
trial_cancel(struct trial *t)
{
	loop_cancel(t->timer);
}
