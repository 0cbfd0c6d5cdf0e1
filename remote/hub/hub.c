#include "remote/hub/hub.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/nginx.h"
#include "appliance/serve/reactor.h"
#include "appliance/trust/sshkey.h"
#include "appliance/tuf/local.h"
#include "appliance/tuf/people.h"
#include "remote/fleet/engineer.h"
#include "remote/hub/hub_state.h"

enum {
	POLL_MS = 50,
	READY_S = 10, /* nginx alone tries its port for 2.5 s, and is started again */
	DRAIN_S = 5,
	SIGNALS = 2,
};

struct hub {
	struct hub_state state;
	struct tuf_local *repo;
	struct reactor *reactor;
	struct serve *serve;
	struct nginx *nginx;
	struct reactor_source *signals[SIGNALS], *poll, *watchdog;
	int ready_fd;
	bool ready, stopping;
	uint64_t until_us; /* ready by then, or drained by then */
	int result;
};

/* serve_engineer_fn: is the login's engineer still one? */
static int
check_engineer(const struct auth_identity *who, const char *role, const char *customer, void *arg)
{
	const struct people_engineer *engineer;
	struct sshkey_public key;
	int r;

	r = sshkey_parse(&key, who->ssh_key, who->engineer);
	r = r ? r : engineer_check(arg, &key, role, customer, clock_now_us(), &engineer);
	if (r == 0 && strcmp(engineer->name, who->engineer) != 0)
		return REFUSE(REASON_UNKNOWN_KEY, who->engineer, "the key is another engineer's by now");
	return FAULT(r);
}

static void
say_ready(struct hub *h)
{
	h->ready = true;
	(void)printf("%s\n", h->state.url);
	(void)fflush(stdout);
	if (h->ready_fd >= 0) {
		/* Who asked may be gone; then nobody waits. */
		(void)fs_write_all(h->ready_fd, "READY\n", 6);
		scope_close(&h->ready_fd);
	}
	(void)sd_notify(0, "READY=1"); /* of no unit: nothing */
}

/* The loop turns. */
static void
on_watchdog(void *arg)
{
	(void)arg;
	(void)sd_notify(0, "WATCHDOG=1");
}

/* Twice as often as systemd wants to hear it; where it does not, never. */
static int
start_watchdog(struct hub *h)
{
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) <= 0)
		return 0;
	return reactor_every(&h->watchdog, h->reactor, us / 2, on_watchdog, h);
}

static void
on_poll(void *arg)
{
	struct hub *h = arg;
	bool late = clock_mono_us() > h->until_us;

	if (h->stopping) {
		if (late || (!nginx_running(h->nginx) && serve_inflight(h->serve) == 0))
			reactor_stop(h->reactor);
		return;
	}
	if (h->ready)
		return;
	if (nginx_ready(h->nginx)) {
		say_ready(h);
	} else if (late) {
		h->result = REFUSE(REASON_CONFLICT, h->state.listen, "nginx does not get its port; see %s/nginx/error.log",
			h->state.dir);
		reactor_stop(h->reactor);
	}
}

/* The front takes no more; what is under way is answered; parked polls are answered empty. */
static void
on_stop(void *arg)
{
	struct hub *h = arg;

	if (h->stopping)
		return;
	h->stopping = true;
	(void)sd_notify(0, "STOPPING=1");
	h->until_us = clock_mono_us() + DRAIN_S * CLOCK_US_PER_S;
	nginx_quit(h->nginx);
	serve_drain(h->serve);
}

static int
open_serve(struct hub *h, const struct serve_module *const *modules, const char *socket)
{
	const struct serve_config config = {
		.dir = h->state.dir,
		.socket = socket,
		.name = h->state.name,
		.url = h->state.url,
		.reply = h->state.reply,
		.witness = h->state.witness,
		.director = h->state.director,
		.repo = h->repo,
		.engineer = check_engineer,
		.engineer_arg = h->repo,
		.modules = modules,
	};

	return serve_open(&h->serve, h->reactor, &config);
}

static int
open_front(struct hub *h, const struct serve_module *const *modules, const char *socket)
{
	const struct route *routes[SERVE_ROUTES_MAX];
	char dir[PATH_MAX + 8];
	struct nginx_config config = {
		.dir = dir,
		.state = h->state.dir,
		.socket = socket,
		.listen = h->state.listen,
		.repo = h->state.repo,
		.routes = routes,
	};
	int r;

	(void)snprintf(dir, sizeof(dir), "%s/nginx", h->state.dir);
	config.n_routes = serve_routes(modules, routes, SERVE_ROUTES_MAX);
	r = nginx_install(&config);
	return r ? r : nginx_start(&h->nginx, h->reactor, &config);
}

static int
open_all(struct hub *h, const struct serve_module *const *modules)
{
	SCOPED(scope_close) int trust_fd = -1;
	char socket[PATH_MAX + 16];
	int r;

	(void)snprintf(socket, sizeof(socket), "%s/http.sock", h->state.dir);
	r = hub_state_lock(&h->state);
	r = r ? r : fs_open_dir(&trust_fd, h->state.dir_fd, "trust", 0700);
	r = r ? r : tuf_local_open(&h->repo, h->state.repo, trust_fd);
	r = r ? r : reactor_new(&h->reactor);
	r = r ? r : open_serve(h, modules, socket);
	r = r ? r : open_front(h, modules, socket);
	r = r ? r : reactor_signal(&h->signals[0], h->reactor, SIGTERM, on_stop, h);
	r = r ? r : reactor_signal(&h->signals[1], h->reactor, SIGINT, on_stop, h);
	r = r ? r : reactor_every(&h->poll, h->reactor, POLL_MS * CLOCK_US_PER_MS, on_poll, h);
	r = r ? r : start_watchdog(h);
	h->until_us = clock_mono_us() + READY_S * CLOCK_US_PER_S;
	return FAULT(r);
}

static void
hub_done(struct hub *h)
{
	reactor_cancel(h->poll);
	reactor_cancel(h->watchdog);
	for (size_t i = 0; i < SIGNALS; i++)
		reactor_cancel(h->signals[i]);
	nginx_stop(h->nginx);
	serve_close(h->serve);
	reactor_free(h->reactor);
	tuf_local_close(h->repo);
	hub_state_done(&h->state);
	scope_close(&h->ready_fd);
}

int
hub_run(const char *state, const struct serve_module *const *modules, int ready_fd)
{
	SCOPED(hub_done) struct hub h = { .ready_fd = ready_fd, .state = { .dir_fd = -1, .lock_fd = -1 } };
	int r;

	/* A client that leaves while we write is an error of that write, not the end of the hub. */
	(void)signal(SIGPIPE, SIG_IGN);
	r = hub_state_open(&h.state, state);
	r = r ? r : open_all(&h, modules);
	r = r ? r : reactor_run(h.reactor, 0);
	return r ? FAULT(r) : h.result;
}
