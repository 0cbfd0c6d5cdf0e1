#include "appliance/supervise/shim_core.h"

#include "appliance/base/clock.h"

enum {
	BACKOFF_US = 100 * 1000,
	BACKOFF_CAP_US = 30 * 1000 * 1000,
};

void
shim_core_init(struct shim_core *c, const struct spec *spec)
{
	*c = (struct shim_core){ .heal = spec->heal,
		.probed = spec->health != SPEC_HEALTH_NONE,
		.failures_max = spec->health_failures,
		.prepare_us = spec->prepare_timeout_ms * CLOCK_US_PER_MS,
		.start_us = spec->start_timeout_ms * CLOCK_US_PER_MS,
		.grace_us = spec->grace_ms * CLOCK_US_PER_MS,
		.phase = SHIM_WAITING,
		.is = STATE_STOPPED,
		.due_us = UINT64_MAX };
}

typedef unsigned act_fn(struct shim_core *c, uint64_t now_us);

static unsigned
act_start(struct shim_core *c, uint64_t now_us)
{
	c->phase = c->probed ? SHIM_STARTING : SHIM_UP;
	c->is = c->probed ? STATE_STARTING : STATE_RUNNING;
	c->health = STATE_HEALTH_UNKNOWN;
	c->failures = 0;
	c->stopped = false;
	c->due_us = c->probed ? now_us + c->start_us : UINT64_MAX;
	return SHIM_DO_START;
}

/* Its own time, which is no part of the time to start. */
static unsigned
act_prepare(struct shim_core *c, uint64_t now_us)
{
	c->phase = SHIM_PREPARING;
	c->is = STATE_STARTING;
	c->due_us = now_us + c->prepare_us;
	return 0;
}

static unsigned
act_adopt(struct shim_core *c, uint64_t now_us)
{
	(void)act_start(c, now_us);
	return 0;
}

static unsigned
give_up(struct shim_core *c, enum state_is is)
{
	c->phase = SHIM_GONE;
	c->is = is;
	c->health = STATE_HEALTH_UNKNOWN;
	c->due_us = UINT64_MAX;
	return SHIM_DO_END;
}

/* It is down and should be up: later, unless it came down too often just now. */
static unsigned
again(struct shim_core *c, uint64_t now_us)
{
	uint64_t oldest = c->restarted_us[c->next];
	unsigned recent = 0;

	if (oldest && now_us - oldest < SHIM_BRAKE_S * CLOCK_US_PER_S)
		return give_up(c, STATE_FAILED);
	for (unsigned i = 0; i < SHIM_BRAKE_RESTARTS; i++)
		if (c->restarted_us[i] &&
			now_us - c->restarted_us[i] < SHIM_BRAKE_S * CLOCK_US_PER_S)
			recent++;
	c->restarted_us[c->next] = now_us;
	c->next = (c->next + 1) % SHIM_BRAKE_RESTARTS;
	c->restarts++;
	c->phase = SHIM_WAITING;
	c->is = STATE_STARTING;
	c->health = STATE_HEALTH_FAILING;
	c->due_us = now_us + clock_backoff_us(recent, BACKOFF_US, BACKOFF_CAP_US);
	return 0;
}

static unsigned
act_exited(struct shim_core *c, uint64_t now_us)
{
	return c->heal == SPEC_HEAL_NEVER ? give_up(c, STATE_FAILED) : again(c, now_us);
}

static unsigned
act_ended(struct shim_core *c, uint64_t now_us)
{
	return c->for_good ? give_up(c, STATE_STOPPED) : again(c, now_us);
}

static unsigned
end(struct shim_core *c, uint64_t now_us, bool for_good)
{
	c->phase = SHIM_ENDING;
	c->for_good = for_good;
	c->due_us = now_us + c->grace_us;
	return SHIM_DO_TERM;
}

static unsigned
act_stop(struct shim_core *c, uint64_t now_us)
{
	return end(c, now_us, true);
}

static unsigned
act_replace(struct shim_core *c, uint64_t now_us)
{
	return end(c, now_us, false);
}

static unsigned
act_stop_now(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	return give_up(c, STATE_STOPPED);
}

static unsigned
act_stop_preparing(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	return give_up(c, STATE_STOPPED) | SHIM_DO_ABANDON;
}

static unsigned
act_prepare_late(struct shim_core *c, uint64_t now_us)
{
	return act_exited(c, now_us) | SHIM_DO_ABANDON;
}

static unsigned
act_for_good(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	c->for_good = true;
	return 0;
}

static unsigned
act_kill(struct shim_core *c, uint64_t now_us)
{
	/* A process that hangs in the kernel is killed again and again; we never block. */
	c->due_us = now_us + c->grace_us;
	return SHIM_DO_KILL;
}

static unsigned
act_passed(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	c->phase = SHIM_UP;
	c->failures = 0;
	c->due_us = UINT64_MAX;
	c->is = c->stopped ? STATE_FROZEN : STATE_RUNNING;
	c->health = c->stopped ? STATE_HEALTH_FAILING : STATE_HEALTH_PASSING;
	return 0;
}

static unsigned
failed_probe(struct shim_core *c, uint64_t now_us, bool silent)
{
	c->silent = silent;
	if (++c->failures < c->failures_max)
		return 0;
	c->health = STATE_HEALTH_FAILING;
	if (silent || c->stopped)
		c->is = STATE_FROZEN;
	return c->heal == SPEC_HEAL_HEALTH ? end(c, now_us, false) : 0;
}

static unsigned
act_probe_error(struct shim_core *c, uint64_t now_us)
{
	return failed_probe(c, now_us, false);
}

static unsigned
act_probe_silent(struct shim_core *c, uint64_t now_us)
{
	return failed_probe(c, now_us, true);
}

static unsigned
act_stopped(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	c->stopped = true;
	c->is = STATE_FROZEN;
	c->health = STATE_HEALTH_FAILING;
	return 0;
}

static unsigned
act_continued(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	c->stopped = false;
	c->is = c->phase == SHIM_STARTING ? STATE_STARTING : STATE_RUNNING;
	c->health = STATE_HEALTH_UNKNOWN; /* the next probe says */
	return 0;
}

static unsigned
act_reloaded(struct shim_core *c, uint64_t now_us)
{
	(void)now_us;
	c->failures = 0;
	if (c->probed && !c->stopped)
		c->health = STATE_HEALTH_UNKNOWN; /* of what it was before nobody wants to know */
	return 0;
}

static unsigned
act_too_slow(struct shim_core *c, uint64_t now_us)
{
	return end(c, now_us, c->heal == SPEC_HEAL_NEVER);
}

/* The design.  An empty cell: the event means nothing in that phase. */
static act_fn *const table[SHIM_PHASE_MAX][SHIM_EVENT_MAX] = {
	[SHIM_WAITING] = {
		[SHIM_BEGIN] = act_start,
		[SHIM_ADOPT] = act_adopt,
		[SHIM_EXITED] = act_exited, /* it ended while there was no shim */
		[SHIM_STOP] = act_stop_now,
		[SHIM_DUE] = act_start,
	},
	[SHIM_PREPARING] = {
		[SHIM_SPAWN_FAILED] = act_exited,
		[SHIM_PREPARED] = act_start,
		[SHIM_STOP] = act_stop_preparing,
		[SHIM_DUE] = act_prepare_late,
	},
	[SHIM_STARTING] = {
		[SHIM_PREPARE] = act_prepare,
		[SHIM_SPAWN_FAILED] = act_exited,
		[SHIM_EXITED] = act_exited,
		[SHIM_PASSED] = act_passed,
		[SHIM_STOPPED] = act_stopped,
		[SHIM_CONTINUED] = act_continued,
		[SHIM_STOP] = act_stop,
		[SHIM_REPLACE] = act_replace,
		[SHIM_DUE] = act_too_slow,
	},
	[SHIM_UP] = {
		[SHIM_PREPARE] = act_prepare,
		[SHIM_RELOADED] = act_reloaded,
		[SHIM_SPAWN_FAILED] = act_exited,
		[SHIM_EXITED] = act_exited,
		[SHIM_PASSED] = act_passed,
		[SHIM_PROBE_ERROR] = act_probe_error,
		[SHIM_PROBE_SILENT] = act_probe_silent,
		[SHIM_STOPPED] = act_stopped,
		[SHIM_CONTINUED] = act_continued,
		[SHIM_STOP] = act_stop,
		[SHIM_REPLACE] = act_replace,
	},
	[SHIM_ENDING] = {
		[SHIM_SPAWN_FAILED] = act_ended,
		[SHIM_EXITED] = act_ended,
		[SHIM_STOP] = act_for_good,
		[SHIM_DUE] = act_kill,
	},
};

unsigned
shim_core_step(struct shim_core *c, enum shim_event event, uint64_t now_us)
{
	act_fn *act = table[c->phase][event];

	if (!act || (event == SHIM_DUE && now_us < c->due_us))
		return 0;
	return act(c, now_us);
}

const char *
shim_core_ails(const struct shim_core *c)
{
	if (c->is == STATE_FROZEN && c->stopped)
		return "a signal stopped its first process; `mainstay service restart` starts it again";
	if (c->is == STATE_FROZEN)
		return "its health check gets no answer; `mainstay service restart` starts it again";
	if (c->is == STATE_RUNNING && c->health == STATE_HEALTH_FAILING)
		return "its health check finds nobody, or a wrong answer; see `mainstay service logs`";
	return NULL;
}
