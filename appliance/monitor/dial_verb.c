#include "appliance/monitor/dial_verb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/base/stamp.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/spawn.h"
#include "appliance/service/target.h"

#define FILE_NAME "mainstay.yaml"

enum { AT_ONCE_MAX = 8 };

struct dials {
	struct monitor *m;
	struct dial *first; /* owned; under way */
	size_t n;
	json_t *targets;    /* owned; what the judge said of mainstay.yaml; NULL: nothing yet */
	struct stamp stamp; /* of that file */
};

struct dial {
	struct dial *next;
	struct dials *of;
	struct monitor_call *call;
	/* while the judge reads: */
	char target[TARGET_NAME_MAX + 1];
	unsigned port;
	struct stamp stamp;
	int socket; /* owned; -1: the spawner has it */
};

static void
dial_free(struct dial *d)
{
	scope_close(&d->socket);
	free(d);
}

/* The call is over, one way or the other. */
static void
finish(struct dial *d, int r)
{
	struct dial **at = &d->of->first;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	d->of->n--;
	monitor_answer_result(d->call, r, NULL);
	dial_free(d);
}

static void
on_dialed(int r, pid_t pid, void *arg)
{
	(void)pid;
	finish(arg, r);
}

/* Returns 0, and d is on_dialed()'s; or a refusal or a fault, and it is the caller's. */
static int
ask_spawner(struct dial *d, const char *address)
{
	int r = spawn_dial(monitor_spawner(d->of->m), address, d->port, d->socket, on_dialed, d);

	d->socket = -1;
	return FAULT(r);
}

static int
begin(struct dials *all, struct monitor_call *call, unsigned port, struct dial **ret)
{
	struct dial *d;
	int socket = monitor_call_take_socket(call);

	if (socket < 0)
		return REFUSE(REASON_MALFORMED, "collect.dial", "comes without a socket");
	d = monitor_spawner(all->m) ? calloc(1, sizeof(*d)) : NULL;
	if (!d) {
		scope_close(&socket);
		return monitor_spawner(all->m) ? FAULT(-ENOMEM)
					       : REFUSE(REASON_BUSY, "collect.dial", "nobody can connect here");
	}
	*d = (struct dial){ .of = all, .call = call, .port = port, .socket = socket };
	*ret = d;
	return 0;
}

/* It is answered later. */
static void
hold(struct dial *d)
{
	d->next = d->of->first;
	d->of->first = d;
	d->of->n++;
	monitor_call_hold(d->call, NULL, NULL);
}

/* --- ports of a service ------------------------------------------------------------------------------------------ */
/* Do the metrics of d name this port? */
/* 1 where one does, 0, or a fault. */
static int
names_port(const struct definition *d, const json_t *knobs, uint64_t port)
{
	const struct definition_values values = {
		.knobs = knobs, .run = "", .data = "", .conf = "", .log = "", .of = d
	};
	const json_t *one;
	size_t i;

	json_array_foreach(d->metrics, i, one) {
		const char *template = json_string_value(json_object_get(one, "port"));
		SCOPED(scope_free) char *text = NULL;
		uint64_t named;
		int r = template ? definition_expand(template, &values, &text) : 0;

		if (r < 0)
			return FAULT(r);
		if (r == 0 && text && number_u64(&named, text, UINT16_MAX) == 0 && named == port)
			return 1;
	}
	return 0;
}

static int
dial_service(struct dials *all, struct monitor_call *call, const char *service, unsigned port)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *knobs = NULL;
	struct dial *dial;
	int r = services_definition(all->m, service, &d);

	r = r ?: services_knobs(all->m, service, &knobs);
	if (r)
		return r < 0 ? FAULT(r) : r;
	r = names_port(d, knobs, port);
	if (r < 0)
		return FAULT(r);
	if (r == 0)
		return REFUSE(REASON_DENIED, service, "no metrics of it name port %u", port);
	r = begin(all, call, port, &dial);
	if (r)
		return r < 0 ? FAULT(r) : r;
	r = ask_spawner(dial, "");
	if (r < 0)
		dial_free(dial);
	else
		hold(dial);
	return FAULT(r);
}

/* --- what mainstay.yaml names ---------------------------------------------------------------------------------------- */
/* Returns 0 with *ret_address, borrowed; or a refusal. */
static int
target_address(const struct dials *all, const char *name, unsigned port, const char **ret_address)
{
	const json_t *target = json_object_get(all->targets, name);

	if (!target)
		return REFUSE(REASON_NOT_FOUND, name, "is no service, and telemetry.scrape of " FILE_NAME " names no port of it");
	if (json_integer_value(json_object_get(target, "port")) != (json_int_t)port)
		return REFUSE(REASON_DENIED, name, "telemetry.scrape of " FILE_NAME " names another port than %u", port);
	*ret_address = json_text(target, "address");
	return 0;
}

/* Of what the judge says nothing is believed that a port and an address cannot be: the spawner looks at them again. */
static void
on_targets(int r, const json_t *answer, void *arg)
{
	struct dial *d = arg;
	struct dials *all = d->of;
	const char *address;

	if (r == 0) {
		json_decref(all->targets);
		all->targets = json_copy_whole(answer, JSON_DEEP);
		all->stamp = d->stamp;
		r = all->targets ? target_address(all, d->target, d->port, &address) : FAULT(-ENOMEM);
	}
	if (r == 0)
		r = monitor_spawner(all->m) ? ask_spawner(d, address)
					    : REFUSE(REASON_BUSY, "collect.dial", "nobody can connect here");
	if (r != 0)
		finish(d, r);
}

static int
read_file(const struct dials *all, const char *name, struct buf *text)
{
	SCOPED(scope_close) int etc = -1;
	int r = fs_open_dir(&etc, AT_FDCWD, all->m->paths.etc, 0755);

	r = r ?: fs_read(etc, FILE_NAME, text->max, text);
	if (r == REASON_NOT_FOUND)
		return REFUSE(r, name, "is no service, and there is no " FILE_NAME);
	return r > 0 ? REFUSE(r, FILE_NAME, "cannot be read") : FAULT(r);
}

static int
dial_target(struct dials *all, struct monitor_call *call, const char *name, unsigned port)
{
	SCOPED(buf_done) struct buf text = BUF_MAX(YAML_BYTES_MAX);
	char path[PATH_MAX];
	const char *address = NULL;
	struct stamp now;
	struct dial *d;
	bool known;
	int r;

	if (strlen(name) > TARGET_NAME_MAX)
		return REFUSE(REASON_NOT_FOUND, name, "is too long for a name");
	(void)snprintf(path, sizeof(path), "%s/" FILE_NAME, all->m->paths.etc);
	now = stamp_of(path); /* before it is read: a change in between is seen the next time */
	known = all->targets && stamp_same(&now, &all->stamp);
	r = known ? target_address(all, name, port, &address) : read_file(all, name, &text);
	r = r ?: begin(all, call, port, &d);
	if (r)
		return r < 0 ? FAULT(r) : r;
	d->stamp = now;
	(void)snprintf(d->target, sizeof(d->target), "%s", name);
	r = known ? ask_spawner(d, address)
		  : monitor_judge(all->m, JUDGE_TARGETS, FILE_NAME, text.data, text.len, on_targets, d);
	if (r)
		dial_free(d);
	else
		hold(d);
	return r < 0 ? FAULT(r) : r;
}

/* The collector may be broken into by what it reads: it reaches what a definition or the customer lets it reach, no other
 * port and no other host. */
static int
on_dial(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct services_state state;
	struct dials *all = arg;
	const char *service, *text;
	uint64_t port;
	int r = monitor_call_need(call, "service", &service);

	r = r ?: monitor_call_need(call, "port", &text);
	r = r ?: monitor_call_u64(call, "port", UINT16_MAX, &port);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (all->n == AT_ONCE_MAX)
		return REFUSE(REASON_BUSY, service, "%d connections are being made already", AT_ONCE_MAX);
	return services_find(m, service, &state) ? dial_service(all, call, service, (unsigned)port)
						 : dial_target(all, call, service, (unsigned)port);
}

static void
dials_free(void *arg)
{
	struct dials *all = arg;

	while (all->first) { /* their calls end with the monitor, and the spawner's answers with it, too */
		struct dial *d = all->first;

		all->first = d->next;
		dial_free(d);
	}
	json_decref(all->targets);
	free(all);
}

static const struct monitor_module module = { .name = "dials", .free = dials_free };

int
dial_verb_init(struct monitor *m)
{
	struct dials *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return FAULT(-ENOMEM);
	all->m = m;
	r = monitor_add_module(m, &module, all);
	return r ?: monitor_register_verb(m, "collect.dial", CALL_ROLE_COLLECT, on_dial, all);
}
