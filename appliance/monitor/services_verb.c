/* What a person's command and an operation's verb do alike: start, stop, restart, reload a service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/services_room.h"

struct verb {
	struct monitor *m;
	char service[SERVICES_NAME_MAX + 1];
	enum definition_verb verb;
	services_done_fn *done;
	void *arg;
};

int
services_verb_check(struct monitor *m, const char *name, enum definition_verb verb)
{
	char other[SERVICES_NAME_MAX + 1];
	struct services_state state;
	enum services_step_is is;
	int r;

	r = services_need(m, name, &state);
	if (r)
		return r;
	is = services_step_is(m, name);
	if (is == SERVICES_STEP_BUSY || (is == SERVICES_STEP_YIELDS && verb != DEFINITION_VERB_STOP))
		return REFUSE(REASON_BUSY, name, "it is being started, stopped or reloaded just now%s",
			is == SERVICES_STEP_YIELDS ? "; to end that: mainstay service stop" :
						     "; see mainstay service list, mainstay update status");
	if (verb == DEFINITION_VERB_START)
		r = services_order_missing(m, name, other);
	else if (verb == DEFINITION_VERB_STOP)
		r = services_order_user(m, name, other);
	if (r < 0)
		return FAULT(r);
	if (r > 0 && verb == DEFINITION_VERB_START)
		return REFUSE(REASON_CONFLICT, name,
			"requires %s, which does not run; first: mainstay service start %s", other, other);
	if (r > 0)
		return REFUSE(REASON_CONFLICT, name,
			"%s runs and requires it; first: mainstay service stop %s", other, other);
	return 0;
}

/* "stopped: true" makes a stop last over restarts of ours. */
static int
write_stopped(const struct monitor *m, const char *name, bool stopped)
{
	SCOPED(buf_done) struct buf old = BUF_MAX(YAML_BYTES_MAX), new = BUF_MAX(YAML_BYTES_MAX);
	SCOPED(scope_close) int etc = -1;
	int r = service_verbs_text(m, &etc, &old);

	r = r
		?: cluster_member(&new, buf_text(&old), old.len, name, "stopped",
			   stopped ? "true" : NULL);
	/* What only the lock still knows has no line in the file. */
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: fs_replace(etc, "cluster.yaml", new.data, new.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

static void
on_done(int r, void *arg)
{
	struct verb *v = arg;
	services_done_fn *done = v->done;
	void *done_arg = v->arg;

	free(v);
	done(r, done_arg);
}

static void
on_read(int r, void *arg)
{
	struct verb *v = arg;

	/* It may loop at its start for minutes: whoever says stop means that, too. */
	if (r == 0 && v->verb == DEFINITION_VERB_STOP)
		services_step_give_way(v->m, v->service);
	r = r ?: services_step_yielding(v->m, v->service, v->verb, on_done, v);
	if (r)
		on_done(r, v);
}

int
services_verb(struct monitor *m, const char *name, enum definition_verb verb, services_done_fn *done, void *arg)
{
	SCOPED(scope_free) struct verb *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return FAULT(-ENOMEM);
	if (verb == DEFINITION_VERB_NONE)
		return FAULT(-EINVAL);
	*v = (struct verb){ .m = m, .verb = verb, .done = done, .arg = arg };
	(void)snprintf(v->service, sizeof(v->service), "%s", name);
	r = services_verb_check(m, name, verb);
	if (r == 0 && (verb == DEFINITION_VERB_START || verb == DEFINITION_VERB_STOP))
		r = write_stopped(m, name, verb == DEFINITION_VERB_STOP);
	r = r ?: services_reload_then(m, on_read, v);
	if (r)
		return r < 0 ? FAULT(r) : r;
	v = NULL; /* on_done() frees it */
	return 0;
}
