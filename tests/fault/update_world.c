#include "tests/fault/update_world.h"

#include <sys/socket.h>

#include "appliance/loop/child.h"
#include "appliance/monitor/calls.h"
#include "appliance/service/roster.h"
#include "appliance/supervise/pick.h"
#include "updater/activate/core_room.h"

enum { NAMES = 128 };

void (*need_leave)(void);

void
need(bool ok, const char *what, ...)
{
	va_list args;

	if (ok)
		return;
	va_start(args, what);
	(void)vprintf(what, args);
	va_end(args);
	printf(" (%s: %s)\n", refuse_last()->operand, refuse_last()->text);
	if (need_leave)
		need_leave();
	exit(1);
}

/* --- shims and the supervisor -------------------------------------------------------------------------------------- */
static void
shim_says(struct world *w, const char *service, enum state_is is)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	struct state state = { .is = is, .exit = is == STATE_FAILED ? 1 : -1, .started_us = 1 };
	char name[NAMES];

	if (is == STATE_RUNNING) {
		state.pid = getpid();
		need(child_starttime(&state.start_time, state.pid) == 0, "start time");
	}
	need(process_boot_id(state.boot) == 0 && state_encode(&out, &state) == 0, "state");
	(void)snprintf(name, sizeof(name), "%s.json", service);
	need(fs_replace(w->shims, name, out.data, out.len, 0644) == 0, "state of a shim");
}

static bool
is_sick(struct world *w, const char *service)
{
	const struct lock_entry *e;
	struct lock lock;

	need(lock_read(&lock, &w->t.paths) == 0, "cluster.lock");
	e = lock_find(&lock, service);
	return e && strcmp(e->release, w->sick) == 0;
}

static void
obey(void *arg)
{
	struct world *w = arg;
	struct spawn_fake *f = w->t.spawner;

	for (size_t i = 0; i < f->n_calls; i++) {
		char service[65];
		bool start = strcmp(f->calls[i].what, "shim") == 0;

		if (!start && strcmp(f->calls[i].what, "stop") != 0)
			continue;
		(void)snprintf(service, sizeof(service), "%s", f->calls[i].service);
		f->calls[i].what[0] = '\0';
		if (start) {
			(void)close(f->calls[i].fd);
			f->calls[i].fd = -1;
			shim_says(w, service, is_sick(w, service) ? STATE_FAILED : STATE_RUNNING);
		} else {
			shim_says(w, service, STATE_STOPPED);
			spawn_fake_exit(f, SPAWN_SHIM, service, f->calls[i].pid, 0);
		}
	}
}

static void
drop_calls(struct world *w)
{
	struct spawn_fake *f = w->t.spawner;

	for (size_t i = 0; i < f->n_calls; i++)
		if (f->calls[i].fd >= 0)
			(void)close(f->calls[i].fd);
	f->n_calls = 0;
}

static bool
asked_to_switch(struct world *w)
{
	struct spawn_fake *f = w->t.spawner;

	for (size_t i = 0; i < f->n_calls; i++)
		if (strcmp(f->calls[i].what, "switch") == 0)
			return true;
	return false;
}

/* --- life ---------------------------------------------------------------------------------------------------------- */
void
world_open(struct world *w, const char *state, const char *run)
{
	static const char *const parts[] = { "etc", "lib" };
	struct site_test *t = &w->t;
	char path[512];

	*w = (struct world){ .courier = -1, .collectd = -1 };
	t->dir.fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(t->dir.fd >= 0, "%s", state);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		(void)snprintf(i ? t->paths.lib : t->paths.etc, sizeof(t->paths.lib), "%s/%s",
			state, parts[i]);
	(void)snprintf(t->paths.run, sizeof(t->paths.run), "%s", run);
	(void)snprintf(path, sizeof(path), "%s/shim", run);
	need(fs_open_dir(&w->shims, AT_FDCWD, path, 0755) == 0, "run/shim");
	identity_plan(&t->id, t->paths.lib, false);
	need(sd_event_new(&t->loop) >= 0, "loop");
	t->spawner = spawn_fake_new(t->loop);
	site_make_vendor(t);
	w->b.t = t;
	w->b.targets = json_object();
	w->b.turned = obey;
	w->b.turned_arg = w;
}

static void
disconnect(struct world *w)
{
	scope_close(&w->courier);
	scope_close(&w->collectd);
	w->courier = w->collectd = -1;
}

void
world_stop(struct world *w)
{
	disconnect(w);
	w->t.m = monitor_free(w->t.m);
	spawn_fake_forget(w->t.spawner); /* else an answer finds who asked gone */
	drop_calls(w);
	w->b.u = NULL;
	w->b.waiting = 0;
}

void
world_close(struct world *w)
{
	struct site_test *t = &w->t;

	world_stop(w);
	spawn_free(&t->spawner->base);
	sd_event_unref(t->loop);
	for (size_t i = 0; i < 3; i++)
		ed25519_free(t->root[i]);
	ed25519_free(t->reply);
	ed25519_free(t->witness);
	ed25519_free(t->director);
	json_decref(t->card);
	json_decref(w->b.targets);
	close(w->shims);
	close(t->dir.fd);
}

static int
connect_as(struct world *w, enum call_role role)
{
	int ends[2];

	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
		"socket");
	need(calls_attach(w->t.m, role, ends[1], "daemon") == 0, "connection");
	return ends[0];
}

/* The daemons beside the monitor, as a core on trial wants to see them. */
static void
connect_daemons(struct world *w)
{
	SCOPED(scope_free) struct roster *r = calloc(1, sizeof(*r));
	SCOPED(scope_close) int run = open(w->t.paths.run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_close) int dir = -1;

	for (r->n = 0; r->n < 3; r->n++)
		r->entries[r->n] =
			(struct roster_entry){ .role = (enum roster_role)(ROSTER_MONITOR + r->n),
				.pid = getpid(),
				.start_time = 1,
				.ready = true };
	need(fs_open_dir(&dir, run, "supervise", 0755) == 0 && roster_save(r, run) == 0, "roster");
	w->courier = connect_as(w, CALL_ROLE_COURIER);
	w->collectd = connect_as(w, CALL_ROLE_COLLECT);
}

void
world_start(struct world *w, enum slots_slot slot)
{
	struct site_test *t = &w->t;
	struct monitor_setup setup = { .paths = &t->paths,
		.loop = t->loop,
		.spawner = &t->spawner->base,
		.identity = &t->id };
	struct core *core;

	world_stop(w);
	need(monitor_open(&t->m, &setup) == 0, "opening the monitor's state");
	need(services_init(t->m) == 0 && update_site_init(t->m) == 0,
		"opening the updater's state");
	for (size_t i = 0; i < t->m->n_modules; i++)
		if (strcmp(t->m->modules[i].module->name, "update") == 0)
			w->b.u = t->m->modules[i].arg;
	core = w->b.u->core;
	core->running = slot;
	core->hex[0] = '\0';
	if (slots_tree(&core->slots, slot))
		hex_encode(core->hex, slots_tree(&core->slots, slot)->digest, 32);
	need(monitor_start(t->m) == 0, "starting the monitor");
	connect_daemons(w);
}

static bool
runs_not(const struct world *w, const struct pick *pick)
{
	char hex[65];

	if (pick->slot == SLOTS_PACKAGED)
		return false;
	return strcmp(hex_encode(hex, pick->digest, sizeof(pick->digest)), w->broken) == 0;
}

void
world_boot(struct world *w)
{
	struct pick pick;
	unsigned tries = 0;

	/* What does not run is seen to end, in its last try, too: the next pick sees none left. */
	do {
		need(tries++ <= SLOTS_TRIES_MAX, "a core that does not run is tried for ever");
		pick = (struct pick){ 0 };
		need(pick_core(&pick, &w->t.paths) == 0, "the packaged core refuses what lib/ holds");
		if (!runs_not(w, &pick))
			break;
		need(pick_ended(&pick, &w->t.paths) == 0, "that a core ended cannot be written down");
	} while (true);
	world_start(w, pick.slot);
}

static bool
rests(const struct world *w)
{
	return !w->b.u->run && !w->b.u->worker && !core_change_running(w->b.u->core);
}

bool
world_settle(struct world *w, unsigned seconds)
{
	uint64_t until = clock_mono_us() + seconds * CLOCK_US_PER_S;

	for (unsigned still = 0; still < 10 && clock_mono_us() < until;
		still = rests(w) ? still + 1 : 0) {
		bench_turn(&w->b);
		if (asked_to_switch(w))
			world_boot(w);
		if (w->t.spawner->n_calls > SPAWN_FAKE_MAX / 2 && w->t.spawner->n_due == 0)
			drop_calls(w);
	}
	return rests(w);
}

int
world_call(struct world *w, const char *verb, json_t *take_params)
{
	struct site_answer a;
	int r;

	w->b.waiting++;
	bench_begin_with(&w->b, verb, take_params, &a);
	r = bench_end(&w->b, &a, 30);
	w->b.waiting--;
	return r;
}

int
world_remove(struct world *w)
{
	int r = REASON_BUSY;

	/* After a start of the monitor it is being started, too. */
	for (unsigned tries = 0; r == REASON_BUSY && tries < 20; tries++) {
		if (tries > 0)
			bench_settle(&w->b);
		r = world_call(w, "service.remove", json_pack("{s:s}", "service", "redis"));
	}
	return r;
}

void
world_enrol(struct world *w)
{
	static const char site[] =
		"{\"customer\":\"acme\",\"nonce\":\"00\",\"proxy\":\"\",\"site\":\"site1\","
		"\"state\":\"enrolled\",\"v\":1}";
	SCOPED(buf_done) struct buf card = BUF_MAX(CARD_MAX);
	struct ed25519 *key = NULL;
	int dir;

	world_start(w, SLOTS_PACKAGED);
	dir = w->t.m->dir_fd;
	need(json_canonical(&card, w->t.card) == 0 &&
			fs_replace(dir, "card.json", card.data, card.len, 0600) == 0 &&
			fs_replace(dir, "site.json", site, strlen(site), 0600) == 0 &&
			fs_replace(dir, "record.json", "{}", 2, 0600) == 0 &&
			ed25519_load_or_make(&key, dir, "site.key") == 0,
		"enrolment");
	ed25519_free(key);
	world_start(w, SLOTS_PACKAGED);
	need(world_call(w, "switch", json_pack("{s:s, s:s}", "name", "updates", "on", "true")) == 0,
		"switch");
	need(world_settle(w, 5), "rest");
}

/* --- where it stands ------------------------------------------------------------------------------------------------ */
void
world_slots(struct world *w, struct slots *ret)
{
	SCOPED(scope_close) int fd = -1;

	need(slots_open(&fd, &w->t.paths) == 0 && slots_load(ret, fd) == 0, "slots");
}

void
world_point(struct world *w, struct world_point *ret)
{
	struct services_state state;
	const struct lock_entry *e;
	struct lock lock;
	struct slots s;

	*ret = (struct world_point){ .via = "-" };
	need(lock_read(&lock, &w->t.paths) == 0, "cluster.lock");
	e = lock_find(&lock, "redis");
	(void)snprintf(ret->release, sizeof(ret->release), "%s", e ? e->release : "-");
	world_slots(w, &s);
	if (slots_tree(&s, s.active))
		hex_encode(ret->core, slots_tree(&s, s.active)->digest, 32);
	else
		(void)snprintf(ret->core, sizeof(ret->core), "packaged");
	ret->generation = s.generation;
	ret->leaves = audit_size(w->t.m->audit);
	ret->wanted = services_find(w->t.m, "redis", &state) && state.wanted;
	ret->rows = json_array_size(w->b.u->history);
}
