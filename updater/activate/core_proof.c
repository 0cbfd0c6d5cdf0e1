#include "updater/activate/core_proof.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"
#include "appliance/service/lock.h"
#include "appliance/service/roster.h"

enum { DAEMONS = 3 };

/* A judge cannot be called back. */
struct core_judging {
	struct core_proof *proof; /* NULL once cancelled */
};

struct core_proof {
	struct core_proof **slot;
	struct monitor *m;
	struct roster roster; /* scratch */
	pid_t pids[DAEMONS];  /* seen last */
	char *running;
	uint32_t soak_ms;
	uint64_t since_us; /* all has been there since; 0: it is not */
	struct call_link *link;
	bool up, asked, answered;
	struct core_judging *judging;
	bool judged;
	struct loop_timer *timer;
	const char *waits;
	char said[96]; /* what waits points to, where it names a service */
	core_proof_done_fn *done;
	void *arg;
};

struct core_proof *
core_proof_cancel(struct core_proof *p)
{
	if (!p)
		return NULL;
	if (p->slot)
		*p->slot = NULL;
	if (p->judging)
		p->judging->proof = NULL;
	p->link = call_link_close(p->link);
	loop_cancel(p->timer);
	free(p->running);
	free(p);
	return NULL;
}

const char *
core_proof_waits(const struct core_proof *p)
{
	return p->waits;
}

/* --- the control socket --------------------------------------------------------------------------------------- */
static void
on_up(void *arg)
{
	((struct core_proof *)arg)->up = true;
}

static void
on_down(void *arg)
{
	struct core_proof *p = arg;

	p->up = p->asked = p->answered = false;
}

static void
on_event(const char *name, const json_t *json, void *arg)
{
	(void)name;
	(void)json;
	(void)arg;
}

static const struct call_link_ops link_ops = { .up = on_up, .down = on_down, .event = on_event };

static void
on_status(int r, const json_t *answer, void *arg)
{
	struct core_proof *p = arg;

	p->asked = false;
	p->answered = r == 0 && json_is_object(json_object_get(answer, "appliance"));
}

static bool
control_answers(struct core_proof *p)
{
	bool answered = p->answered;

	if (p->up && !p->asked) {
		p->asked = true;
		if (call_link_call(p->link, call_new("status"), on_status, p) < 0)
			p->asked = false;
	}
	return answered;
}

/* --- the judge -------------------------------------------------------------------------------------------------- */
static void
on_judged(int r, const json_t *answer, void *arg)
{
	struct core_judging *j = arg;
	struct core_proof *p = j->proof;

	free(j);
	if (!p)
		return;
	p->judging = NULL;
	p->judged = r == 0 && json_is_integer(json_object_get(answer, "v"));
}

static bool
judge_judges(struct core_proof *p)
{
	static const char policy[] = "v: 1\nrules: []\n";
	struct core_judging *j;

	if (p->judged || p->judging)
		return p->judged;
	j = malloc(sizeof(*j));
	if (!j)
		return false;
	j->proof = p;
	p->judging = j;
	if (monitor_judge(p->m, JUDGE_POLICY, "policy", policy, strlen(policy), on_judged, j) != 0) {
		p->judging = NULL;
		free(j);
	}
	return false;
}

/* --- daemons and services --------------------------------------------------------------------------------------- */
static bool
daemons_stay(struct core_proof *p)
{
	static const enum roster_role roles[DAEMONS] = { ROSTER_MONITOR, ROSTER_COLLECTD, ROSTER_COURIER };
	bool same = true;

	if (roster_load(&p->roster, monitor_paths(p->m)) != 0)
		return false;
	for (size_t i = 0; i < DAEMONS; i++) {
		const struct roster_entry *e = roster_find(&p->roster, roles[i], NULL);

		if (roles[i] == ROSTER_COURIER && !monitor_courier_wanted(p->m))
			continue;
		if (!e || !e->ready || e->pid <= 0)
			return false;
		same = same && p->pids[i] == e->pid;
		p->pids[i] = e->pid;
	}
	return same;
}

static bool
services_run(struct core_proof *p)
{
	char name[SERVICES_NAME_MAX + 1];

	for (const char *s = p->running; *s;) {
		size_t n = strcspn(s, " ");
		struct services_state state;

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, s);
		/* One that was taken out of cluster.yaml meanwhile is not the core's. */
		if (services_find(p->m, name, &state) && state.wanted && strcmp(state.state, "running") != 0) {
			(void)snprintf(p->said, sizeof(p->said), state.fault < 0 ? "nobody can look at %s" : "%s does not run", name);
			return false;
		}
		s += n + strspn(s + n, " ");
	}
	return true;
}

/* Each of these looks, in this order; what is said while it is missing. */
static const char *
missing(struct core_proof *p)
{
	if (!daemons_stay(p))
		return "a daemon is not ready, or was started again";
	if (monitor_courier_wanted(p->m) && !monitor_connected(p->m, CALL_ROLE_COURIER))
		return "the courier is not connected";
	if (!monitor_connected(p->m, CALL_ROLE_COLLECT))
		return "the collector is not connected";
	if (!services_run(p))
		return p->said;
	if (!judge_judges(p))
		return "the judge has not answered";
	if (!control_answers(p))
		return "the control socket has not answered";
	return NULL;
}

static void
finish(struct core_proof *p, int r)
{
	core_proof_done_fn *done = p->done;
	void *arg = p->arg;

	core_proof_cancel(p);
	done(r, arg);
}

/* Every release that runs can be read by this core. */
static int
check_store(struct core_proof *p)
{
	SCOPED(scope_free) struct lock *lock = malloc(sizeof(*lock));
	SCOPED(scope_close) int store = -1;
	char path[sizeof(((struct paths *)0)->lib) + 16];
	int r;

	if (!lock)
		return FAULT(-ENOMEM);
	snprintf(path, sizeof(path), "%s/store", monitor_paths(p->m)->lib);
	r = fs_open_dir(&store, -1, path, 0755);
	r = r ?: lock_read(lock, monitor_paths(p->m));
	for (size_t i = 0; r == 0 && i < lock->n; i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(DEFINITION_BYTES_MAX);
		SCOPED(definition_freep) struct definition *d = NULL;
		char name[96];

		snprintf(name, sizeof(name), "%s.definition.json", lock->entries[i].release);
		r = fs_read(store, name, DEFINITION_BYTES_MAX, &text);
		if (r > 0)
			return REFUSE(r, lock->entries[i].service, "its definition cannot be read from the store");
		r = r ?: definition_read(&d, text.data, text.len);
	}
	return r < 0 ? FAULT(r) : r;
}

static void
on_look(void *arg)
{
	struct core_proof *p = arg;
	uint64_t now = clock_mono_us();
	const char *lacks = missing(p);

	p->waits = lacks ?: "";
	if (lacks)
		p->since_us = 0;
	else if (p->since_us == 0)
		p->since_us = now ?: 1;
	if (p->since_us && now - p->since_us >= (uint64_t)p->soak_ms * CLOCK_US_PER_MS) {
		finish(p, 0);
		return;
	}
	(void)loop_after(&p->timer, monitor_loop(p->m), CORE_PROOF_LOOK_MS, on_look, p);
}

static void
on_begin(void *arg)
{
	struct core_proof *p = arg;
	int r = check_store(p);

	if (r)
		finish(p, r);
	else
		on_look(p);
}

int
core_proof_start(struct core_proof **slot, struct monitor *m, const char *running, uint32_t soak_ms,
	core_proof_done_fn *done, void *arg)
{
	struct core_proof *p = calloc(1, sizeof(*p));
	char path[sizeof(((struct paths *)0)->run) + 16];
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	p->m = m;
	p->soak_ms = soak_ms;
	p->done = done;
	p->arg = arg;
	p->waits = "";
	p->running = strdup(running);
	snprintf(path, sizeof(path), "%s/control.sock", monitor_paths(m)->run);
	r = p->running ? call_link_open(&p->link, monitor_loop(m), path, &link_ops, p) : -ENOMEM;
	/* In a turn of its own: the sockets are not open yet while modules start. */
	r = r ?: loop_after(&p->timer, monitor_loop(m), 0, on_begin, p);
	if (r) {
		core_proof_cancel(p);
		return FAULT(r);
	}
	p->slot = slot;
	*slot = p;
	return 0;
}
