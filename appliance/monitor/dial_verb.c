#include "appliance/monitor/dial_verb.h"

#include <errno.h>
#include <stdlib.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/monitor/services_room.h"
#include "appliance/service/definition.h"
#include "appliance/service/spawn.h"

enum { AT_ONCE_MAX = 8 };

struct dials {
	struct monitor *m;
	size_t n; /* under way */
};

struct dial {
	struct dials *of;
	struct monitor_call *call;
};

/* Do the metrics of d name this port? */
static bool
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

		if (template && definition_expand(template, &values, &text) == 0 && text &&
			number_u64(&named, text, UINT16_MAX) == 0 && named == port)
			return true;
	}
	return false;
}

static void
on_dialed(int r, pid_t pid, void *arg)
{
	struct dial *dial = arg;

	(void)pid;
	dial->of->n--;
	monitor_answer_result(dial->call, r, NULL);
	free(dial);
}

static int
begin(struct dials *all, struct monitor_call *call, unsigned port)
{
	struct spawner *spawner = monitor_spawner(all->m);
	SCOPED(scope_free) struct dial *dial = calloc(1, sizeof(*dial));
	int socket = monitor_call_take_socket(call), r;

	if (socket < 0)
		return REFUSE(REASON_MALFORMED, "collect.dial", "comes without a socket");
	if (!dial || !spawner) {
		scope_close(&socket);
		return dial ? REFUSE(REASON_BUSY, "collect.dial", "nobody can connect here") : FAULT(-ENOMEM);
	}
	dial->of = all;
	dial->call = call;
	r = spawn_dial(spawner, port, socket, on_dialed, dial);
	if (r < 0)
		return FAULT(r);
	all->n++;
	monitor_call_hold(call, NULL, NULL);
	dial = NULL; /* on_dialed()'s */
	return 0;
}

/* The collector may be broken into by what it reads: it reaches what a definition lets it reach, no other port. */
static int
on_dial(struct monitor *m, struct monitor_call *call, void *arg)
{
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED_JSON *knobs = NULL;
	struct dials *all = arg;
	const char *service, *text;
	uint64_t port;
	int r = monitor_call_need(call, "service", &service);

	r = r ?: monitor_call_need(call, "port", &text);
	r = r ?: monitor_call_u64(call, "port", UINT16_MAX, &port);
	r = r ?: services_definition(m, service, &d);
	r = r ?: services_knobs(m, service, &knobs);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (!names_port(d, knobs, port))
		return REFUSE(REASON_DENIED, service, "no metrics of it name port %llu", (unsigned long long)port);
	if (all->n == AT_ONCE_MAX)
		return REFUSE(REASON_BUSY, service, "%d connections are being made already", AT_ONCE_MAX);
	return begin(all, call, (unsigned)port);
}

static const struct monitor_module module = { .name = "dials", .free = free };

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
