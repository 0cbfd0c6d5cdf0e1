#include "remote/request/site_room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/service/accepted.h"
#include "appliance/service/definition.h"
#include "appliance/service/identity.h"
#include "appliance/service/secret.h"
#include "appliance/trust/envelope.h"
#include "remote/operate/job.h"
#include "remote/request/plan.h"

enum { ATTENTION_MAX = 6 };

_Static_assert((int)DEFINITION_SECRETS_MAX <= (int)OPERATE_SECRETS_MAX, "a job takes all of a definition's");

/* How a process of the service sees its folders. */
#define SEEN_RUN "/run/service"
#define SEEN_DATA "/data"
#define SEEN_CONF "/conf"
#define SEEN_LOG "/log"

void
request_site_ground_done(struct request_site_ground *g)
{
	request_check_verdict_done(&g->verdict);
	g->definition = definition_free(g->definition);
	g->accepted = accepted_free(g->accepted);
	g->envelope = envelope_free(g->envelope);
}

/* The store is written by activation alone, from what was signed; the definition is read as it
 * stands there. */
static int
load_definition(struct request_site *s, const char *release, struct definition **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DEFINITION_BYTES_MAX);
	char path[sizeof(((struct paths *)0)->lib) + 128];
	int r;

	(void)snprintf(path, sizeof(path), "%s/store/%s.definition.json", monitor_paths(s->m)->lib,
		release);
	r = fs_read(AT_FDCWD, path, DEFINITION_BYTES_MAX, &b);
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, path, "the definition cannot be read");
	return definition_read(ret, b.data, b.len);
}

int
request_site_ground(struct request_site *s, const struct request_item *item,
	struct request_site_ground *ret)
{
	SCOPED(request_site_ground_done) struct request_site_ground g = { 0 };
	const struct request *q = item->request;
	struct services_state state;
	int r = envelope_open_json(&g.envelope, item->plan_only ? MESSAGE_DRY_RUN : MESSAGE_REQUEST,
		item->envelope);

	r = r ?: accepted_load(&g.accepted, monitor_dir(s->m));
	if (r)
		return r;
	if (services_find(s->m, q->service, &state) && state.release[0]) {
		(void)snprintf(g.release, sizeof(g.release), "%s", state.release);
		(void)snprintf(g.version, sizeof(g.version), "%s", state.version);
		(void)snprintf(g.state, sizeof(g.state), "%s", state.state);
		(void)snprintf(g.health, sizeof(g.health), "%s", state.health);
		r = load_definition(s, g.release, &g.definition);
		if (r)
			return r;
	}
	g.facts = (struct request_check_facts){
		.people = monitor_people(s->m),
		.site = monitor_site(s->m),
		.customer = monitor_customer(s->m),
		.nonce_used = request_store_nonce_used(s->store, q->id, q->nonce),
		.by_file = item->mailbox == 0,
		.now_us = monitor_now_us(s->m),
		.date_us = monitor_date_us(s->m),
		.clock_doubtful = monitor_clock_doubtful(s->m),
		.cloned = monitor_cloned(s->m),
		.definition = g.definition,
		.accepted = g.accepted,
		.remote_on = monitor_switch_on(s->m, SWITCH_REMOTE),
		.policy = monitor_policy(s->m),
	};
	if (!hex_decode(g.facts.epoch, sizeof(g.facts.epoch), monitor_epoch(s->m)))
		return FAULT(-EINVAL);
	r = request_check(&g.verdict, q, g.envelope, &g.facts);
	if (r)
		return r;
	*ret = g;
	g = (struct request_site_ground){ 0 };
	return 0;
}

static int
expand(struct request_site *s, const struct request_item *item, const struct request_site_ground *g,
	const struct definition_argv *argv, char ***ret_argv)
{
	SCOPED_JSON *knobs = NULL;
	struct definition_values values = {
		.args = g->verdict.args,
		.run = SEEN_RUN,
		.data = SEEN_DATA,
		.conf = SEEN_CONF,
		.log = SEEN_LOG,
		.of = g->definition,
	};
	int r = services_knobs(s->m, item->request->service, &knobs);

	if (r)
		return r;
	values.knobs = knobs;
	return definition_expand_argv(argv, &values, ret_argv);
}

static const char *
rights(const struct definition_operation *op)
{
	if (op->verb != DEFINITION_VERB_NONE)
		return "the appliance takes the step itself; nothing of the vendor's runs";
	switch (op->risk) {
	case DEFINITION_OBSERVE:
		return "reads the release's files and the service's socket; no network, no data, "
		       "no "
		       "configuration, changes no file";
	case DEFINITION_CHANGE:
		return "reads the release's files and the service's socket, writes the service's "
		       "data and "
		       "configuration; no network";
	case DEFINITION_DESTROY:
		break;
	}
	return "as the definition declares";
}

static const char *
downtime(const struct definition_operation *op)
{
	if (op->downtime)
		return op->downtime;
	switch (op->verb) {
	case DEFINITION_VERB_RESTART:
		return "the service is down from its stop until it is healthy again";
	case DEFINITION_VERB_STOP:
		return "the service stays down until it is started";
	case DEFINITION_VERB_RELOAD:
		return "none: the running service takes up its configuration";
	case DEFINITION_VERB_START:
	case DEFINITION_VERB_NONE:
		break;
	}
	return "none is planned";
}

struct request_limits
request_site_limits(const struct request_item *item, const struct definition_operation *op)
{
	const struct request_limits *own = &item->limits;

	return (struct request_limits){
		.timeout_ms = own->timeout_ms ? own->timeout_ms : op->timeout_us / 1000,
		.memory = own->memory ? own->memory : op->memory,
		.output = own->output ? own->output : op->output,
	};
}

/* What the approver alone can weigh.  No numbers: the text must stay the same while nothing changes. */
static void
put_attention(const char *out[ATTENTION_MAX], const struct request_site_ground *g)
{
	size_t n = 0;

	if (g->verdict.other_epoch)
		out[n++] = "wrong-epoch: asked for before a restart, a restore or a jump of the clock; it may have run "
			   "then, and would run again";
	if (g->verdict.stale_people)
		out[n++] = "stale-people: the vendor's list of engineers has ended; a revocation since then is not known "
			   "here";
	if (g->facts.cloned)
		out[n++] = "clone: two speak with this site's key; is it this one that is meant?";
	if (g->facts.clock_doubtful)
		out[n++] = "the clock here is doubtful: how old the request is, is not certain";
	if (g->verdict.answer.outside)
		out[n++] = "outside-window: it would run outside the maintenance hours of the policy (windows.remote)";
	out[n] = NULL;
}

int
request_site_plan(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, json_t **ret_payload)
{
	static const char *const not_recorded_argv[] = {
		"which files the program reads", "what it writes besides its output", NULL
	};
	static const char *const not_recorded_verb[] = { "what the service itself does on the way",
		NULL };
	const struct definition_operation *op = g->verdict.operation;
	SCOPED(definition_argv_freep) char **argv = NULL;
	const struct request_limits limits = request_site_limits(item, op);
	const char *attention[ATTENTION_MAX] = { NULL }, *secrets[DEFINITION_SECRETS_MAX + 1] = { NULL };
	struct request_plan_facts f = {
		.request = item->request,
		.epoch = monitor_epoch(s->m),
		.attention = attention,
		.release = g->version,
		.state = g->state,
		.risk = definition_risk_text(op->risk),
		.rights = rights(op),
		.touched = item->touched,
		.timeout_ms = limits.timeout_ms,
		.memory = limits.memory,
		.output = limits.output,
		.health_ms = request_site_health_us(g) / 1000,
		.downtime = downtime(op),
		.undo = op->for_good ? "none" : op->undo,
	};
	int r;

	put_attention(attention, g);
	if (op->verb != DEFINITION_VERB_NONE) {
		f.verb = definition_verb_text(op->verb);
		f.not_recorded = not_recorded_verb;
		return request_plan_json(ret_payload, &f);
	}
	r = expand(s, item, g, &op->argv, &argv);
	if (r)
		return r;
	for (size_t i = 0; i < DEFINITION_SECRETS_MAX && i < json_array_size(op->secrets); i++)
		secrets[i] = json_string_value(json_array_get(op->secrets, i));
	f.processes = OPERATE_PROCESSES;
	f.secrets = secrets;
	f.argv = (const char *const *)argv;
	f.not_recorded = not_recorded_argv;
	return request_plan_json(ret_payload, &f);
}

static int
path(char out[OPERATE_PATH_MAX + 1], const char *root, const char *sub, const char *name,
	const char *end)
{
	int n = snprintf(out, OPERATE_PATH_MAX + 1, "%s/%s/%s%s", root, sub, name, end);

	return n < 0 || n > OPERATE_PATH_MAX ? FAULT(-ENAMETOOLONG) : 0;
}

/* Their values go by descriptor, and nowhere else. */
static int
put_secrets(struct operate_job *job, const struct paths *paths, const struct request_site_ground *g)
{
	SCOPED(secret_grant_done) struct secret_grant grant = { .n = 0 };
	int r = secret_grant(&grant, paths, g->definition, g->verdict.operation->secrets);

	for (size_t i = 0; r == 0 && i < grant.n; i++) {
		struct operate_secret *to = &job->secrets[job->n_secrets++];

		(void)snprintf(to->name, sizeof(to->name), "%s", grant.items[i].name);
		to->fd = STEAL_FD(grant.items[i].fd);
		to->from = grant.items[i].from;
		to->len = grant.items[i].len;
	}
	return r;
}

/* A job in that profile, which has no secrets and no limits yet. */
static int
job_of(struct request_site *s, const struct request_item *item, const struct request_site_ground *g,
	enum operate_profile profile, const struct definition_argv *of, struct operate_job *ret)
{
	const struct paths *paths = monitor_paths(s->m);
	const char *service = item->request->service;
	SCOPED(operate_job_done) struct operate_job job = { .profile = profile, .processes = OPERATE_PROCESSES };
	SCOPED(definition_argv_freep) char **argv = NULL;
	int r = expand(s, item, g, of, &argv);

	r = r ?: path(job.tree, paths->lib, "store", g->release, "");
	r = r ?: path(job.run, paths->run, "services", service, "");
	r = r ?: path(job.data, paths->lib, "services", service, "/data");
	r = r ?: path(job.conf, paths->lib, "services", service, "/conf");
	if (r)
		return r;
	for (size_t i = 0; argv[i]; i++)
		if (i == OPERATE_ARGS_MAX || strlen(argv[i]) > OPERATE_ARG_MAX)
			return FAULT(-E2BIG); /* a definition allows less */
	for (size_t i = 0; argv[i]; i++)
		job.argv[i] = STEAL(argv[i]);
	r = identity_service(monitor_identity(s->m), paths, service, &job.uid);
	if (r)
		return r;
	*ret = job;
	job = (struct operate_job){ 0 };
	return 0;
}

int
request_site_job(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct operate_job *ret)
{
	static const enum operate_profile profiles[] = {
		[DEFINITION_OBSERVE] = OPERATE_OBSERVE,
		[DEFINITION_CHANGE] = OPERATE_CHANGE,
		[DEFINITION_DESTROY] = OPERATE_DESTROY,
	};
	const struct definition_operation *op = g->verdict.operation;
	const struct request_limits limits = request_site_limits(item, op);
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	int r = job_of(s, item, g, profiles[op->risk], &op->argv, &job);

	r = r ?: put_secrets(&job, monitor_paths(s->m), g);
	if (r)
		return r;
	job.timeout_ms = (uint32_t)limits.timeout_ms;
	job.memory = limits.memory;
	job.output = (uint32_t)limits.output;
	*ret = job;
	job = (struct operate_job){ 0 };
	return 0;
}

int
request_site_dry_job(struct request_site *s, const struct request_item *item,
	const struct request_site_ground *g, struct operate_job *ret)
{
	enum { TIMEOUT_MS = 30000 };
	const struct definition_operation *op = g->verdict.operation;
	const struct request_limits limits = request_site_limits(item, op);
	int r = job_of(s, item, g, OPERATE_OBSERVE, &op->dry_run, ret);

	if (r)
		return r;
	ret->timeout_ms = limits.timeout_ms < TIMEOUT_MS ? (uint32_t)limits.timeout_ms : TIMEOUT_MS;
	ret->memory = limits.memory;
	ret->output = REQUEST_TOUCHED_BYTES_MAX;
	return 0;
}
