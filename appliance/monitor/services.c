#include "appliance/monitor/services.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/nearest.h"
#include "appliance/loop/loop.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/driver.h"
#include "appliance/service/state.h"

/* --- what is known ------------------------------------------------------------------------------- */
/* The names of cluster.yaml first, then those that only the lock still knows. */
static const char *
name_at(const struct services *s, size_t i)
{
	size_t n = s->cluster ? s->cluster->n_services : 0;

	if (i < n)
		return s->cluster->services[i].name;
	i -= n;
	for (size_t k = 0; k < s->lock.n; k++) {
		const char *name = s->lock.entries[k].service;

		if (s->cluster && cluster_find(s->cluster, name))
			continue;
		if (i-- == 0)
			return name;
	}
	return NULL;
}

size_t
services_count(struct monitor *m)
{
	size_t n = 0;

	while (name_at(m->services, n))
		n++;
	return n;
}

static void
fill(const struct services *s, const char *name, struct services_state *ret)
{
	const struct cluster_service *wanted = s->cluster ? cluster_find(s->cluster, name) : NULL;
	const struct lock_entry *active = lock_find(&s->lock, name);
	struct state state = { .is = STATE_STOPPED, .exit = -1 };
	int r;

	memset(ret, 0, sizeof(*ret));
	/* A file that cannot be read says nothing: stopped, unknown. */
	r = state_read(&state, &s->m->paths, name);
	if (r < 0)
		ret->fault = FAULT(r);
	if (r != 0)
		state = (struct state){ .is = STATE_STOPPED, .exit = -1 };
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	(void)snprintf(ret->state, sizeof(ret->state), "%s", state_name(state.is));
	(void)snprintf(ret->health, sizeof(ret->health), "%s", state_health_name(state.health));
	if (active) {
		(void)snprintf(ret->release, sizeof(ret->release), "%s", active->release);
		(void)snprintf(ret->version, sizeof(ret->version), "%s", active->version);
		(void)snprintf(ret->channel, sizeof(ret->channel), "%.32s", active->channel);
	}
	if (wanted)
		(void)snprintf(ret->channel, sizeof(ret->channel), "%.32s", wanted->channel);
	ret->since_us = state.started_us;
	ret->looked_us = state.looked_us;
	ret->restarts = state.restarts;
	ret->exit = state.exit;
	(void)snprintf(ret->why, sizeof(ret->why), "%s", state.why);
	ret->wanted = wanted != NULL;
}

bool
services_at(struct monitor *m, size_t i, struct services_state *ret)
{
	const char *name = name_at(m->services, i);

	if (name)
		fill(m->services, name, ret);
	return name != NULL;
}

bool
services_find(struct monitor *m, const char *name, struct services_state *ret)
{
	const char *at;

	for (size_t i = 0; (at = name_at(m->services, i)); i++) {
		if (strcmp(at, name) != 0)
			continue;
		fill(m->services, at, ret);
		return true;
	}
	return false;
}

int
services_need(struct monitor *m, const char *name, struct services_state *ret)
{
	const char *names[SERVICES_MAX], *near;
	size_t n = 0;

	if (services_find(m, name, ret))
		return 0;
	while (n < SERVICES_MAX && (names[n] = name_at(m->services, n)))
		n++;
	near = nearest_word(name, names, n);
	if (near)
		return REFUSE(REASON_NOT_FOUND, name, "no such service is installed; did you mean \"%s\"?", near);
	return REFUSE(REASON_NOT_FOUND, name, "no such service is installed; see `mainstay service list`");
}

const struct cluster_service *
services_cluster(struct monitor *m, const char *name)
{
	return m->services->cluster ? cluster_find(m->services->cluster, name) : NULL;
}

/* --- secrets that were lost ---------------------------------------------------------------------- */
static void give_lost_secrets(struct services *s);

static void
on_given(int r, void *arg)
{
	struct services *s = arg;

	s->giving = false;
	if (r < 0)
		log_fault(r, "giving a service its secrets again");
	if (r == 0)
		give_lost_secrets(s); /* the next one's */
}

/* Whoever held a service's secrets (its shim and the supervisor) was killed at once.  We have them on disk: a start finds
 * the service running and brings them. */
static void
give_lost_secrets(struct services *s)
{
	for (size_t i = 0; s->driver && s->started && !s->giving && i < s->lock.n; i++) {
		const char *name = s->lock.entries[i].service;
		const struct cluster_service *wanted = cluster_find(s->cluster, name);
		struct state state;
		int r;

		if (!wanted || wanted->stopped || state_read(&state, &s->m->paths, name) != 0 ||
			!state.lost_secrets)
			continue;
		log_info("service %s: gets its secrets again", name);
		r = services_start(s->m, name, on_given, s);
		if (r < 0)
			log_fault(r, name);
		else
			s->giving = true;
	}
}

/* --- changes ------------------------------------------------------------------------------------- */
void
services_hold(struct monitor *m, services_held_fn *held, void *arg)
{
	m->services->held = held;
	m->services->held_arg = arg;
}

bool
services_held(const struct services *s, const char *name)
{
	return s->held && s->held(name, s->held_arg);
}

/* --- stops that were half a restart -------------------------------------------------------------- */
void
services_left(struct services *s, const char *const *names, size_t n)
{
	s->n_left = 0;
	for (size_t i = 0; i < n && i < LOCK_SERVICES_MAX; i++)
		(void)snprintf(s->left[s->n_left++], sizeof(s->left[0]), "%s", names[i]);
	s->left_until_us = clock_mono_us() + DRIVER_STOP_S * CLOCK_US_PER_S;
}

void
services_left_not(struct services *s, const char *name)
{
	for (size_t i = 0; i < s->n_left; i++) {
		if (strcmp(s->left[i], name) != 0)
			continue;
		memmove(s->left[i], s->left[--s->n_left], sizeof(s->left[0]));
		return;
	}
}

static void
on_started_after_all(int r, void *arg)
{
	(void)arg;
	if (r < 0)
		log_fault(r, "starting a service that the last monitor stopped");
}

/* It still ran when we came, as a service does that was just told to stop: nothing was to be started then.  A stop that a
 * person wants stands in cluster.yaml. */
static void
start_left(struct services *s)
{
	if (clock_mono_us() > s->left_until_us)
		s->n_left = 0;
	for (size_t i = s->n_left; s->driver && i-- > 0;) {
		const struct cluster_service *wanted = cluster_find(s->cluster, s->left[i]);
		char name[SERVICES_NAME_MAX + 1];
		struct state state;
		int r;

		if (!wanted || wanted->stopped || services_held(s, s->left[i]) || services_step_is(s->m, s->left[i]) != SERVICES_STEP_NONE ||
			state_read(&state, &s->m->paths, s->left[i]) != 0 || state.is != STATE_STOPPED)
			continue;
		memcpy(name, s->left[i], sizeof(name));
		services_left_not(s, name);
		log_info("service %s: was told to stop by a monitor that is gone, and is started", name);
		r = services_step_yielding(s->m, name, DEFINITION_VERB_START, on_started_after_all, s);
		if (r < 0)
			log_fault(r, name);
	}
}

/* --- module -------------------------------------------------------------------------------------- */
/* Which service it was does not matter here: states are read when somebody asks. */
static void
on_shim_file(uint32_t revents, void *arg)
{
	struct services *s = arg;
	char events[4096];

	(void)revents;
	while (read(s->watch_fd, events, sizeof(events)) > 0)
		;
	give_lost_secrets(s);
	start_left(s);
	monitor_changed(s->m, MONITOR_CHANGE_SERVICE);
}

static int
watch_shims(struct services *s)
{
	SCOPED(scope_close) int fd = -1;
	char path[sizeof(s->m->paths.run) + 32];
	int r;

	(void)snprintf(path, sizeof(path), "%s/shim", s->m->paths.run);
	r = fs_open_dir(&fd, AT_FDCWD, path, 0755);
	if (r < 0)
		return FAULT(r);
	s->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->watch_fd < 0 || inotify_add_watch(s->watch_fd, path, IN_MOVED_TO) < 0)
		return FAULT(-errno);
	return FAULT(loop_watch(&s->watch, s->m->loop, s->watch_fd, EPOLLIN, on_shim_file, s));
}

static int
on_start(struct monitor *m, void *arg)
{
	struct services *s = arg;
	int r;

	(void)m;
	if (!s->driver)
		return 0;
	r = services_file_read(s);
	/* A wrong file is the customer's to mend; the monitor starts all the same. */
	return r < 0 ? FAULT(r) : 0;
}

/* Somebody wrote cluster.yaml: what it says of holds, channels and `update: auto` counts from now on. */
static void
on_tick(struct monitor *m, uint64_t now_us, void *arg)
{
	struct services *s = arg;

	(void)now_us;
	if (s->started && !s->reading && services_file_written(s))
		services_reload(m);
}

static void
on_status(struct monitor *m, json_t *status, void *arg)
{
	const struct services *s = arg;

	(void)m;
	if (s->wrong.reason)
		(void)json_array_append_new(json_object_get(status, "pending"),
			json_pack("{s:s, s:s, s:s, s:o}", "kind", "cluster.yaml", "id", "wrong", "reason",
				refuse_token(s->wrong.reason), "text",
				json_sprintf("%s: %s; what it said before stays in force until this is mended",
					s->wrong.place[0] ? s->wrong.place : s->wrong.operand, s->wrong.text)));
}

static void
services_free(void *arg)
{
	struct services *s = arg;

	s->watch = loop_unwatch(s->watch);
	scope_close(&s->watch_fd);
	while (s->waiters) {
		struct services_waiter *w = s->waiters;

		s->waiters = w->next;
		free(w);
	}
	s->driver = driver_free(s->driver);
	services_steps_free(s);
	services_order_free(s);
	cluster_free(s->cluster);
	free(s);
}

static const struct monitor_module module = {
	.name = "services",
	.start = on_start,
	.tick = on_tick,
	.status = on_status,
	.free = services_free,
};

int
services_init(struct monitor *m)
{
	struct services *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->m = m;
	s->watch_fd = -1;
	m->services = s;
	r = monitor_add_module(m, &module, s);
	r = r ?: lock_read(&s->lock, &m->paths);
	r = r ?: watch_shims(s);
	if (r == 0 && m->spawner)
		r = driver_process_new(&s->driver, m->loop, &m->paths, m->spawner);
	return r ?: service_verbs_init(m);
}
