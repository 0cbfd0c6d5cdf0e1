#include "updater/fetch/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/egress/carrier.h"
#include "updater/fetch/fetch_name.h"
#include "updater/fetch/fetch_wire.h"

enum {
	EVERY_S = 30,
	RETRY_BASE_MS = 500,
	RETRY_CAP_S = 60,
	NAME_MAX_BYTES = FETCH_NAME_MAX + 32,
	GET_TIMEOUT_MS = 120 * 1000,
	LARGE_TIMEOUT_MS = 30 * 60 * 1000,
};

/* What is being asked for; each step ends with the monitor's answer to it. */
enum step { STEP_METADATA, STEP_ASSIGNMENT, STEP_METADATA_AGAIN, STEP_OBJECTS, STEP_IDLE };

struct fetch {
	struct carrier *carrier;
	int incoming_fd;
	enum step step;
	bool again;              /* "fetch" came during a run */
	unsigned generation;
	unsigned rounds, tries;
	uint64_t not_before_us;

	json_t *need;            /* names of this round */
	size_t next;             /* the one being fetched */
	json_t *absent;          /* of this round: the hub has none */
	struct hub_call *call;
	int out_fd;              /* the file that is written */
	char name[NAME_MAX_BYTES];  /* below incoming/ */
};

struct asking {
	struct fetch *fetch;
	unsigned generation;
};

static void ask(struct fetch *f);
static void get_next(struct fetch *f);

/* --- ends of a run ------------------------------------------------------------------------------------------ */
static void
drop_round(struct fetch *f)
{
	json_decref(f->need);
	json_decref(f->absent);
	f->need = f->absent = NULL;
	f->next = 0;
	hub_client_cancel(f->call);
	if (f->out_fd >= 0)
		close(f->out_fd);
	f->out_fd = -1;
}

static void
finish(struct fetch *f, const char *why)
{
	drop_round(f);
	f->step = STEP_IDLE;
	f->rounds = 0;
	if (why) {
		log_debug("fetch: %s", why);
		f->not_before_us = clock_mono_us() + clock_backoff_us(f->tries++, RETRY_BASE_MS * CLOCK_US_PER_MS,
							     RETRY_CAP_S * CLOCK_US_PER_S);
		return;
	}
	f->tries = 0;
	f->not_before_us = clock_mono_us() + (f->again ? 0 : EVERY_S * CLOCK_US_PER_S);
	f->again = false;
}

/* --- one file of the round ----------------------------------------------------------------------------------- */
/* Open incoming/NAME.part for writing, its folders made first. */
static int
open_part(struct fetch *f)
{
	SCOPED(scope_close) int dir = -1;
	char folder[NAME_MAX_BYTES], part[NAME_MAX_BYTES + 8];
	char *slash;
	int r;

	snprintf(folder, sizeof(folder), "%s", f->name);
	slash = strrchr(folder, '/');
	*slash = '\0';
	r = fs_open_dir(&dir, f->incoming_fd, folder, 0755);
	if (r < 0)
		return r;
	snprintf(part, sizeof(part), "%s.part", slash + 1);
	f->out_fd = openat(dir, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	return f->out_fd < 0 ? -errno : 0;
}

/* No sync: what a power cut spoils fails its hash and is fetched again. */
static int
keep_part(struct fetch *f)
{
	char part[NAME_MAX_BYTES + 8];

	close(f->out_fd);
	f->out_fd = -1;
	snprintf(part, sizeof(part), "%s.part", f->name);
	return renameat(f->incoming_fd, part, f->incoming_fd, f->name) < 0 ? -errno : 0;
}

static int
on_piece(const void *p, size_t len, void *arg)
{
	struct fetch *f = arg;

	return fs_write_all(f->out_fd, p, len);
}

static const char *
wanted(const struct fetch *f)
{
	return json_string_value(json_array_get(f->need, f->next));
}

static void
on_got(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct fetch *f = arg;

	if (r == 0 && reply->status == 404)
		r = json_array_append_new(f->absent, json_string(wanted(f))) < 0 ? -ENOMEM : 0;
	else if (r == 0 && reply->status == 200)
		r = keep_part(f);
	else if (r == 0)
		r = REASON_UNREACHABLE;
	if (f->out_fd >= 0)
		close(f->out_fd);
	f->out_fd = -1;
	if (r != 0) {
		if (r < 0)
			log_fault(r, f->name);
		finish(f, why && why[0] ? why : "no usable answer");
		return;
	}
	f->next++;
	get_next(f);
}

static int
start_get(struct fetch *f, const char *name)
{
	bool object = f->step == STEP_OBJECTS;
	char path[NAME_MAX_BYTES + 32];
	int r;

	if (!fetch_name_path(f->name, sizeof(f->name), name, object))
		return -EBADMSG;
	snprintf(path, sizeof(path), "/%s", f->name);
	r = open_part(f);
	if (r < 0)
		return r;
	return hub_client_send(&f->call, carrier_hub(f->carrier),
		&(struct hub_request){
			.method = "GET",
			.path = path,
			.unsigned_reply = true,
			.max_reply = object ? FETCH_WIRE_OBJECT_MAX : FETCH_WIRE_METADATA_MAX,
			.timeout_ms = object ? LARGE_TIMEOUT_MS : GET_TIMEOUT_MS,
			.sink = on_piece,
			.sink_arg = f,
		},
		on_got, f);
}

static void
get_next(struct fetch *f)
{
	const char *name;
	int r;

	if (f->next == json_array_size(f->need)) {
		ask(f);
		return;
	}
	name = wanted(f);
	r = start_get(f, name);
	if (r < 0) {
		log_fault(r, name ? name : "fetch");
		finish(f, "cannot fetch");
	}
}

/* --- asking the monitor --------------------------------------------------------------------------------------- */
static void
on_answer(int r, const json_t *answer, void *arg)
{
	struct asking *a = arg;
	struct fetch *f = a->fetch;
	bool ours = a->generation == f->generation;
	const json_t *need;

	free(a);
	if (!ours)
		return;
	if (r != 0) {
		finish(f, "the monitor refused");
		return;
	}
	if (f->step == STEP_ASSIGNMENT) {
		f->step = json_is_true(json_object_get(answer, "metadata")) ? STEP_METADATA_AGAIN : STEP_OBJECTS;
		ask(f);
		return;
	}
	need = json_object_get(answer, f->step == STEP_OBJECTS ? "missing" : "need");
	drop_round(f);
	if (json_array_size(need) > 0 && f->rounds++ < FETCH_WIRE_ROUNDS_MAX) {
		f->need = json_deep_copy(need);
		f->absent = json_array();
		get_next(f);
		return;
	}
	switch (f->step) {
	case STEP_METADATA:
		if (!carrier_switch_on(f->carrier, SWITCH_UPDATES)) {
			finish(f, NULL);
			return;
		}
		f->step = STEP_ASSIGNMENT;
		break;
	case STEP_METADATA_AGAIN:
		f->step = STEP_OBJECTS;
		break;
	default:
		finish(f, NULL);
		return;
	}
	ask(f);
}

static void
call_monitor(struct fetch *f, struct call_request *take_call)
{
	struct asking *a = malloc(sizeof(*a));

	if (!a) {
		call_free(take_call);
		finish(f, "no memory");
		return;
	}
	*a = (struct asking){ f, f->generation };
	if (carrier_call(f->carrier, take_call, on_answer, a) < 0) {
		free(a);
		finish(f, "no link to the monitor");
	}
}

static void
on_assignment(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct fetch *f = arg;
	struct call_request *call;

	if (r != 0 || reply->status != 200) {
		finish(f, r != 0 ? why : "no assignment yet");
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
		finish(f, NULL); /* metadata alone: it is what the site record is checked with */
		return;
	}
	snprintf(path, sizeof(path), "/assignments/%s", carrier_site(f->carrier));
	r = hub_client_send(&f->call, carrier_hub(f->carrier),
		&(struct hub_request){
			.method = "GET", .path = path, .max_reply = FETCH_WIRE_ASSIGNMENT_MAX },
		on_assignment, f);
	if (r < 0) {
		log_fault(r, path);
		finish(f, "cannot ask for the assignment");
	}
}

/* Tell the monitor what came and what did not, and hear what it wants next. */
static void
ask(struct fetch *f)
{
	struct call_request *call;
	const json_t *name;
	size_t i;

	if (f->step == STEP_ASSIGNMENT) {
		ask_assignment(f);
		return;
	}
	call = call_new(f->step == STEP_OBJECTS ? FETCH_WIRE_OBJECTS : FETCH_WIRE_METADATA);
	json_array_foreach (f->need, i, name) {
		bool absent = false;
		size_t k;
		const json_t *gone;

		json_array_foreach (f->absent, k, gone)
			absent = absent || json_equal(gone, name);
		call_param(call, absent ? "absent" : "name", json_string_value(name));
	}
	call_monitor(f, call);
}

/* --- module --------------------------------------------------------------------------------------------------- */
static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	struct fetch *f = arg;

	if (!carrier_switch_on(c, SWITCH_UPDATES) && !carrier_switch_on(c, SWITCH_REMOTE)) {
		if (f->step != STEP_IDLE)
			finish(f, NULL);
		return;
	}
	if (f->step != STEP_IDLE || now < f->not_before_us)
		return;
	f->step = STEP_METADATA;
	ask(f);
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

	close(f->incoming_fd);
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
	f->out_fd = -1;
	f->step = STEP_IDLE;
	snprintf(path, sizeof(path), "%s/incoming", carrier_paths(c)->lib);
	r = fs_open_dir(&f->incoming_fd, -1, path, 0755);
	if (r < 0) {
		free(f);
		return FAULT(r);
	}
	return carrier_add(c, &module, f);
}
