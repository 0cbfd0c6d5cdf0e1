#include "remote/request/site_say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/mutes.h"
#include "appliance/monitor/services.h"
#include "appliance/service/definition.h"
#include "remote/operate/job.h"
#include "remote/recording/recordings.h"
#include "remote/request/result.h"
#include "remote/request/run.h"

enum { MUTED_BY_MAX = 96, MUTED_MORE_S = 60 }; /* beyond its own timeout: a verb has none */

/* One running request; item->run while it runs. */
struct running {
	struct request_site *s;
	struct request_item *item;
	struct request_run *worker; /* NULL for a verb */
	struct recording *recording; /* NULL once it is closed */
	struct request_progress *progress;
	bool unseen;                /* it could be recorded no further */
	uint64_t started_us;        /* boot time */
	uint64_t health_us;         /* so long its service's health is watched then; 0: not */
	struct request_health *health; /* while that goes on */
	struct request_result result;  /* meanwhile; its texts are the worker's, or of `kept` */
	struct request_result *kept;   /* as the file had it */
};

/* While it runs, alerts of its service may be of its making. */
static const char *
muted_by(char out[MUTED_BY_MAX], const struct request_item *item)
{
	(void)snprintf(out, MUTED_BY_MAX, "operation %s", item->request->id);
	return out;
}

static void
finish(struct request_site *s, struct request_item *item, struct request_result *result)
{
	char why[MUTED_BY_MAX];
	int r;

	mutes_release(s->m, item->request->service, muted_by(why, item));

	/* Why it was stopped (switched off, denied) was noted when it was. */
	if (result->outcome == REQUEST_OUTCOME_CANCELLED && item->reason != REASON_NONE)
		result->reason = item->reason;
	item->reason = result->reason;
	json_decref(item->ended);
	item->ended = NULL;
	r = request_site_set_result(s->m, item, result);
	if (r)
		log_fault(r < 0 ? r : -EIO, "signing a result");
	(void)request_site_event(s, item, FLOW_EVENT_END, REASON_NONE, NULL);
}

void
request_site_ended(struct request_site *s, struct request_item *item, int r)
{
	struct request_result result = {
		.outcome = r > 0 ? REQUEST_OUTCOME_REFUSED : REQUEST_OUTCOME_FAILED,
		.reason = r > 0 ? (enum reason)r : REASON_FAULT,
		.exit_status = -1,
		.err = r > 0 ? refuse_last()->text : "the appliance itself failed; nothing has run",
	};

	if (r < 0)
		log_fault(r, "running a request");
	finish(s, item, &result);
}

static struct running *
running_free(struct running *running)
{
	if (running) {
		request_site_health_free(running->health);
		request_run_free(running->worker);
		request_site_progress_free(running->progress);
		recording_abandon(running->recording); /* where one is open still the next start closes it */
		request_result_free(running->kept);
		free(running);
	}
	return NULL;
}
SCOPED_DESTRUCTOR(struct running, running_free)

/* --- argv ------------------------------------------------------------------------------------- */
/* It passed before and does not pass now: whatever the program thinks of itself, that is no success. */
static void
fail_by_health(struct request_result *result, struct buf *err, const struct services_state *state)
{
	if (state->fault < 0)
		buf_puts(err, "the service's health passed before the operation; after it nobody could look at it\n");
	else
		buf_printf(err, "the service's health passed before the operation; after it: %s, health %s\n", state->state,
			state->health);
	if (request_result_text(err, result->err, strlen(result->err), err->max - err->len))
		result->truncated = true;
	result->outcome = REQUEST_OUTCOME_FAILED;
	result->reason = REASON_STATE_MOVED;
	result->err = buf_text(err);
}

static void
on_health(bool passing, void *arg)
{
	SCOPED(running_freep) struct running *running = arg;
	struct request_item *item = running->item;
	SCOPED(buf_done) struct buf err = BUF_MAX(REQUEST_OUTPUT_MAX);
	struct services_state state = { .state = "gone", .health = "unknown" };

	item->run = NULL;
	if (!passing) {
		(void)services_find(running->s->m, item->request->service, &state);
		fail_by_health(&running->result, &err, &state);
	}
	request_site_progress_end(running->progress);
	finish(running->s, item, &running->result);
}

/* How it ended is known from here on, whatever becomes of us: it is recorded and kept. */
static void
keep(struct running *running)
{
	struct request_item *item = running->item;
	SCOPED_JSON *payload = NULL;
	int r;

	memcpy(running->result.request, item->request->digest, sizeof(running->result.request));
	request_site_record_end(STEAL(running->recording), &running->result);
	r = request_result_json(&payload, &running->result);
	if (!r) {
		json_decref(item->ended);
		item->ended = json_pack("{s:O, s:I}", "result", payload, "health_ms", (json_int_t)(running->health_us / CLOCK_US_PER_MS));
		r = item->ended ? request_store_save(running->s->store, item) : FAULT(-ENOMEM);
	}
	if (r) /* it is watched all the same */
		log_fault(r < 0 ? r : -EIO, "keeping how an operation ended");
}

static void
on_worker_end(const struct request_run_end *end, void *arg)
{
	struct running *running = arg;
	struct request_site *s = running->s;
	struct request_item *item = running->item;
	struct request_result result = {
		.outcome = end->outcome,
		.reason = end->reason,
		.exit_status = end->exit_status,
		.signal = end->signal,
		.out = buf_text(&end->out),
		.err = buf_text(&end->err),
		.truncated = end->truncated,
		.cpu_ms = end->cpu_ms,
		.max_rss = end->max_rss,
		.wall_ms = end->wall_ms,
	};

	running->result = result;
	if (!end->r && result.outcome == REQUEST_OUTCOME_OK && running->health_us > 0 &&
		request_site_health(&running->health, s->m, item->request->service, running->health_us,
			on_health, running) == 0) {
		keep(running);
		request_site_progress_state(running->progress, "has ended; its service's health is watched");
		return;
	}
	item->run = NULL;
	request_site_progress_end(running->progress);
	if (end->r) { /* what bubblewrap said may be there */
		result.outcome = REQUEST_OUTCOME_REFUSED;
		result.reason = end->r > 0 ? (enum reason)end->r : REASON_FAULT;
	}
	request_site_record_end(STEAL(running->recording), &result);
	if (end->r)
		request_site_ended(s, item, end->r);
	else
		finish(s, item, &result);
	running_free(running);
}

/* Nothing runs on that nobody could look at afterwards. */
static void
on_output(int stream, const void *p, size_t len, void *arg)
{
	struct running *running = arg;
	int r = running->unseen ? 0 : recording_put(running->recording, stream, p, len);

	request_site_progress_output(running->progress, stream, p, len);
	if (r == 0)
		return;
	running->unseen = true;
	running->item->reason = r < 0 ? REASON_FAULT : (enum reason)r;
	if (r < 0)
		log_fault(r, "recording an operation");
	request_run_cancel(running->worker);
}

static const struct request_run_ops run_ops = { .output = on_output, .done = on_worker_end };

/* --- verbs ------------------------------------------------------------------------------------ */
static void
on_step(int r, void *arg)
{
	struct running *running = arg;
	struct request_site *s = running->s;
	struct request_item *item = running->item;
	struct services_state state = { 0 };
	char text[256], why[REFUSE_TEXT_MAX];
	struct request_result result = {
		.outcome = r ? REQUEST_OUTCOME_FAILED : REQUEST_OUTCOME_OK,
		.reason = r < 0 ? REASON_FAULT : (enum reason)r,
		.exit_status = r ? 1 : 0,
		.out = text,
		.wall_ms = (clock_mono_us() - running->started_us) / CLOCK_US_PER_MS,
	};

	(void)snprintf(why, sizeof(why), "%s", r > 0 ? refuse_last()->text : "");
	if (r < 0)
		log_fault(r, "taking a service's step");
	(void)services_find(s->m, item->request->service, &state);
	if (state.fault < 0)
		(void)snprintf(text, sizeof(text), "%s: nobody could look at it\n", item->request->service);
	else
		(void)snprintf(text, sizeof(text), "%s %s: %s, health %s\n", item->request->service, state.version,
			state.state, state.health);
	result.err = why;
	if (recording_put(running->recording, 1, text, strlen(text)) ?: recording_put(running->recording, 2, why, strlen(why)))
		log_error("request %s: what its verb said is not recorded", item->request->id);
	request_site_record_end(STEAL(running->recording), &result);
	item->run = NULL;
	finish(s, item, &result);
	running_free(running);
}

/* --- both ------------------------------------------------------------------------------------- */
int
request_site_run(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g)
{
	SCOPED(running_freep) struct running *running = calloc(1, sizeof(*running));
	enum definition_verb verb = g->verdict.operation->verb;
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	char why[MUTED_BY_MAX];
	int r;

	if (!running)
		return FAULT(-ENOMEM);
	running->s = s;
	running->item = item;
	running->started_us = clock_mono_us();
	if (strcmp(g->health, "passing") == 0)
		running->health_us = request_site_health_us(g);
	r = request_site_record(s, item, &running->recording);
	if (r)
		return r;
	r = request_site_progress(&running->progress, s, item);
	if (r)
		return r;
	if (verb != DEFINITION_VERB_NONE) {
		r = services_verb(s->m, item->request->service, verb, on_step, running);
	} else if (!monitor_spawner(s->m)) {
		r = REFUSE(REASON_BUSY, item->request->id, "nobody here starts workers");
	} else {
		r = request_site_job(s, item, g, &job);
		r = r ?: request_run_start(&running->worker, monitor_loop(s->m),
			monitor_spawner(s->m), &job, &run_ops, running);
	}
	if (r) {
		const struct request_result refused = { .outcome = REQUEST_OUTCOME_REFUSED,
			.reason = r > 0 ? (enum reason)r : REASON_FAULT };

		request_site_record_end(STEAL(running->recording), &refused);
		return r;
	}
	item->run = STEAL(running);
	/* What only looks is no reason to be silent. */
	if (g->verdict.operation->risk != DEFINITION_OBSERVE)
		mutes_hold(s->m, item->request->service, muted_by(why, item),
			g->verdict.operation->timeout_us / CLOCK_US_PER_S + MUTED_MORE_S);
	return 0;
}

int
request_site_run_on(struct request_site *s, struct request_item *item)
{
	SCOPED(running_freep) struct running *running = NULL;
	uint64_t health_ms = (uint64_t)json_integer_value(json_object_get(item->ended, "health_ms"));
	char why[MUTED_BY_MAX];
	int r;

	if (!item->ended || item->flow.state != FLOW_STATE_RUNNING)
		return REASON_NOT_FOUND;
	running = calloc(1, sizeof(*running));
	if (!running)
		return FAULT(-ENOMEM);
	*running = (struct running){ .s = s, .item = item };
	r = request_result_parse(&running->kept, json_object_get(item->ended, "result"));
	r = r ?: request_site_health(&running->health, s->m, item->request->service, health_ms * CLOCK_US_PER_MS, on_health, running);
	if (r)
		return r < 0 ? FAULT(r) : r;
	running->result = *running->kept;
	mutes_hold(s->m, item->request->service, muted_by(why, item), health_ms / 1000 + MUTED_MORE_S);
	item->run = STEAL(running);
	return 0;
}

void
request_site_cancel(struct request_item *item)
{
	struct running *running = item->run;

	/* A verb's step is taken to its end: half a restart helps nobody. */
	if (running && running->worker)
		request_run_cancel(running->worker);
}

void
request_site_forget_runs(struct request_site *s)
{
	if (!s->store) /* it could not be opened */
		return;
	for (size_t i = 0; i < request_store_count(s->store); i++) {
		struct request_item *item = request_store_at(s->store, i);
		struct running *running = item->run;

		request_site_stop_trial(item);
		if (!running)
			continue;
		item->run = NULL;
		running_free(running);
	}
}
