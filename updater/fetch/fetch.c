#include "updater/fetch/fetch.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/carrier.h"
#include "updater/fetch/fetch_room.h"
#include "updater/fetch/fetch_wire.h"

enum {
	EVERY_S = 30,
	RETRY_BASE_MS = 500,
	RETRY_CAP_S = 60,
	ABSENT_MAX = 60, /* told at once */
};

struct asking {
	struct fetch *fetch;
	unsigned generation;
};

/* --- ends of a run ------------------------------------------------------------------------------------------ */
static void
drop_round(struct fetch *f)
{
	json_decref(f->need);
	json_decref(f->absent);
	f->need = f->absent = NULL;
	f->next = 0;
	hub_client_cancel(f->call);
	incoming_drop(&f->in, false);
}

static void
on_told(int r, const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	if (r < 0)
		log_debug("the end of a run was not told: %d", r);
}

/* Somebody may wait for this run (`mainstay update check`). */
static void
tell_stopped(struct fetch *f, enum reason reason, const char *why)
{
	struct call_request *call = call_new(FETCH_WIRE_STOPPED);

	call_param(call, "reason", refuse_token(reason));
	call_param(call, "why", why);
	(void)carrier_call(f->carrier, call, on_told, NULL); /* without a link nobody hears it */
}

void
fetch_finish(struct fetch *f, enum reason reason, const char *why)
{
	drop_round(f);
	f->step = STEP_IDLE;
	f->rounds = 0;
	if (why) {
		log_debug("fetch: %s", why);
		tell_stopped(f, reason, why);
		f->not_before_us = clock_mono_us() + clock_backoff_us(f->tries++, RETRY_BASE_MS * CLOCK_US_PER_MS,
							     RETRY_CAP_S * CLOCK_US_PER_S);
		return;
	}
	f->tries = 0;
	f->not_before_us = clock_mono_us() + (f->again ? 0 : EVERY_S * CLOCK_US_PER_S);
	f->again = false;
}

/* --- asking the monitor --------------------------------------------------------------------------------------- */
/* All of what it wants, or a fault: what is left out here it would wait for. */
static int
want(struct fetch *f, json_t *need, json_t *ranges)
{
	f->need = json_array();
	f->absent = json_array();
	if (!f->need || !f->absent || (need && json_array_extend(f->need, need) < 0) ||
		(ranges && json_array_extend(f->need, ranges) < 0))
		return FAULT(-ENOMEM);
	return 0;
}

static void
on_answer(int r, const json_t *answer, void *arg)
{
	struct asking *a = arg;
	struct fetch *f = a->fetch;
	bool ours = a->generation == f->generation;
	json_t *need;

	free(a);
	if (!ours)
		return;
	if (r != 0) {
		fetch_finish(f, REASON_INTERRUPTED, "the monitor refused");
		return;
	}
	if (f->step == STEP_ASSIGNMENT) {
		f->step = json_is_true(json_object_get(answer, "metadata")) ? STEP_METADATA_AGAIN : STEP_OBJECTS;
		fetch_ask(f);
		return;
	}
	need = json_object_get(answer, f->step == STEP_OBJECTS ? "missing" : "need");
	drop_round(f);
	if (json_array_size(need) + json_array_size(json_object_get(answer, "ranges")) > 0 &&
		f->rounds++ < FETCH_WIRE_ROUNDS_MAX) {
		if (want(f, need, json_object_get(answer, "ranges")) < 0)
			fetch_finish(f, REASON_UNREACHABLE, "no memory");
		else
			fetch_file_next(f);
		return;
	}
	switch (f->step) {
	case STEP_METADATA:
		if (!carrier_switch_on(f->carrier, SWITCH_UPDATES)) {
			fetch_finish(f, REASON_NONE, NULL);
			return;
		}
		f->step = STEP_ASSIGNMENT;
		break;
	case STEP_METADATA_AGAIN:
		f->step = STEP_OBJECTS;
		break;
	default:
		fetch_finish(f, REASON_NONE, NULL);
		return;
	}
	fetch_ask(f);
}

static void
call_monitor(struct fetch *f, struct call_request *take_call)
{
	struct asking *a = malloc(sizeof(*a));

	if (!a) {
		call_free(take_call);
		fetch_finish(f, REASON_UNREACHABLE, "no memory");
		return;
	}
	*a = (struct asking){ f, f->generation };
	if (carrier_call(f->carrier, take_call, on_answer, a) < 0) {
		free(a);
		fetch_finish(f, REASON_UNREACHABLE, "no link to the monitor");
	}
}

static void
on_assignment(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct fetch *f = arg;
	struct call_request *call;
	char said[80];

	if (r != 0) {
		fetch_finish(f, REASON_UNREACHABLE, why[0] ? why : "no usable answer");
		return;
	}
	if (reply->status != 200) {
		(void)snprintf(said, sizeof(said), "the hub answered %ld to the question for the assignment", (long)reply->status);
		fetch_finish(f, reply->status == 404 ? REASON_NOT_FOUND : REASON_UNREACHABLE, said);
		return;
	}
	carrier_contact(f->carrier, reply);
	call = call_new(FETCH_WIRE_ASSIGNMENT);
	call_body(call, reply->body, reply->len);
	call_monitor(f, call);
}

static void
ask_assignment(struct fetch *f)
{
	char path[160];
	int r;

	if (!carrier_recorded(f->carrier)) {
		fetch_finish(f, REASON_NONE, NULL); /* metadata alone: it is what the site record is checked with */
		return;
	}
	snprintf(path, sizeof(path), "/assignments/%s", carrier_site(f->carrier));
	r = hub_client_send(&f->call, carrier_hub(f->carrier),
		&(struct hub_request){
			.method = "GET", .path = path, .max_reply = FETCH_WIRE_ASSIGNMENT_MAX },
		on_assignment, f);
	if (r < 0) {
		log_fault(r, path);
		fetch_finish(f, REASON_UNREACHABLE, "cannot ask for the assignment");
	}
}

static void
tell_file(const struct fetch *f, struct call_request *call, const json_t *name)
{
	bool absent = false;

	for (size_t i = 0; i < json_array_size(f->absent); i++)
		absent = absent || json_equal(json_array_get(f->absent, i), name);
	call_param(call, absent ? "absent" : "name", json_string_value(name));
}

/* Both stand before the monitor looks: staging leaves its marks there. */
static void
make_folders(const struct fetch *f)
{
	static const char *const names[] = { "objects", "patches" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		SCOPED(scope_close) int fd = -1;
		int r = fs_open_dir(&fd, f->in.dir_fd, names[i], 0755);

		if (r < 0)
			log_fault(r, names[i]);
	}
}

void
fetch_ask(struct fetch *f)
{
	struct call_request *call;
	size_t i;

	if (f->step == STEP_ASSIGNMENT) {
		ask_assignment(f);
		return;
	}
	if (f->step == STEP_OBJECTS)
		make_folders(f);
	call = call_new(f->step == STEP_OBJECTS ? FETCH_WIRE_OBJECTS : FETCH_WIRE_METADATA);
	for (i = 0; f->step == STEP_OBJECTS && i < json_array_size(f->absent) && i < ABSENT_MAX; i++)
		call_param(call, "absent", json_string_value(json_array_get(f->absent, i)));
	if (f->step == STEP_OBJECTS && f->trouble) {
		call_param(call, "trouble", f->trouble);
		f->trouble = NULL;
	}
	for (i = 0; f->step != STEP_OBJECTS && i < json_array_size(f->need); i++)
		tell_file(f, call, json_array_get(f->need, i));
	call_monitor(f, call);
}

/* --- module --------------------------------------------------------------------------------------------------- */
static void
begin(struct fetch *f)
{
	/* Whoever fetched may have been killed over a file whose number no run comes back to. */
	int r = incoming_sweep(f->in.dir_fd);

	if (r < 0)
		log_fault(r, "sweeping incoming");
	f->step = STEP_METADATA;
	fetch_ask(f);
}

static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	struct fetch *f = arg;

	if (!carrier_switch_on(c, SWITCH_UPDATES) && !carrier_switch_on(c, SWITCH_REMOTE)) {
		if (f->step != STEP_IDLE)
			fetch_finish(f, REASON_NONE, NULL);
		return;
	}
	if (f->step != STEP_IDLE || now < f->not_before_us)
		return;
	begin(f);
}

static void
on_event(struct carrier *c, const char *name, const json_t *json, void *arg)
{
	struct fetch *f = arg;

	(void)c;
	(void)json;
	if (strcmp(name, FETCH_WIRE_EVENT) != 0)
		return;
	f->not_before_us = 0;
	f->tries = 0;
	f->again = f->step != STEP_IDLE;
}

static void
on_reset(struct carrier *c, void *arg)
{
	struct fetch *f = arg;

	(void)c;
	drop_round(f);
	f->step = STEP_IDLE;
	f->generation++;
	f->not_before_us = 0;
	f->tries = 0;
	f->rounds = 0;
}

static void
fetch_free(void *arg)
{
	struct fetch *f = arg;

	drop_round(f);
	close(f->in.dir_fd);
	free(f);
}

static const struct carrier_module module = {
	.name = "fetch",
	.reset = on_reset,
	.tick = on_tick,
	.event = on_event,
	.free = fetch_free,
};

int
fetch_init(struct carrier *c)
{
	struct fetch *f = calloc(1, sizeof(*f));
	char path[sizeof(((struct paths *)0)->lib) + 16];
	int r;

	if (!f)
		return FAULT(-ENOMEM);
	f->carrier = c;
	f->in.out_fd = -1;
	f->step = STEP_IDLE;
	snprintf(path, sizeof(path), "%s/incoming", carrier_paths(c)->lib);
	r = fs_open_dir(&f->in.dir_fd, -1, path, 0755);
	if (r < 0) {
		free(f);
		return FAULT(r);
	}
	return carrier_add(c, &module, f);
}
