#include "updater/fetch/fetch.h"

#include <errno.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/carrier.h"
#include "updater/fetch/fetch_name.h"
#include "updater/fetch/fetch_wire.h"
#include "updater/fetch/incoming.h"

enum {
	EVERY_S = 30,
	RETRY_BASE_MS = 500,
	RETRY_CAP_S = 60,
	NAME_MAX_BYTES = INCOMING_NAME_MAX,
	ABSENT_MAX = 60, /* told at once */
	SLOW_BYTES = 64, /* a second, for SLOW_S: who sends less is not sending */
	SLOW_S = 60,
	GET_TIMEOUT_MS = 120 * 1000,
	LARGE_TIMEOUT_MS = 30 * 60 * 1000,
};

/* What is being asked for; each step ends with the monitor's answer to it. */
enum step { STEP_METADATA, STEP_ASSIGNMENT, STEP_METADATA_AGAIN, STEP_OBJECTS, STEP_IDLE };

struct fetch {
	struct carrier *carrier;
	struct incoming in;
	enum step step;
	bool again;              /* "fetch" came during a run */
	unsigned generation;
	unsigned rounds, tries;
	uint64_t not_before_us;

	json_t *need;            /* names of this round */
	size_t next;             /* the one being fetched */
	json_t *absent;          /* of this round: the hub has none */
	struct hub_call *call;
	const char *trouble;     /* why a run ended, for the monitor to tell; or NULL */
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

/* why NULL: it went through. */
static void
finish(struct fetch *f, enum reason reason, const char *why)
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

/* --- one file of the round ----------------------------------------------------------------------------------- */
static int
on_piece(const void *p, size_t len, void *arg)
{
	struct fetch *f = arg;

	return f->in.members ? incoming_split(&f->in, p, len) : incoming_put(&f->in, p, len);
}

/* What an item of the round is called: NAME of a file of metadata, of [NAME, CAP], or "packs/HEX" of a range. */
static const char *
item_name(const json_t *item, char pack[NAME_MAX_BYTES])
{
	if (json_is_string(item))
		return json_string_value(item);
	if (json_is_array(item))
		return json_string_value(json_array_get(item, 0));
	return fetch_name_pack(pack, NAME_MAX_BYTES, json_string_value(json_object_get(item, "pack"))) ? pack : NULL;
}

static json_t *
wanted(const struct fetch *f)
{
	return json_array_get(f->need, f->next);
}

/* It came: 206 is what is left of a file, or a range, whose members have their names already. */
static int
keep(struct fetch *f)
{
	bool range = f->in.members != NULL;

	f->in.members = NULL;
	return range ? 0 : incoming_keep(&f->in);
}

static void
on_got(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct fetch *f = arg;
	char pack[NAME_MAX_BYTES];
	bool forget = r == REASON_TOO_LARGE;

	if (r == 0 && reply->status == 404) {
		r = json_array_append_new(f->absent, json_string(item_name(wanted(f), pack) ?: "")) < 0 ? -ENOMEM : 0;
		forget = true;
	} else if (r == 0 && (reply->status == 200 || reply->status == 206)) {
		r = keep(f);
	} else if (r == 0) {
		forget = reply->status == 416; /* there is less than came before: begin anew */
		r = REASON_UNREACHABLE;
	}
	incoming_drop(&f->in, forget);
	if (r == -ENOSPC || r == -EDQUOT)
		f->trouble = refuse_token(REASON_NO_SPACE);
	if (r != 0) {
		if (r < 0)
			log_fault(r, f->in.name);
		finish(f, REASON_UNREACHABLE, why && why[0] ? why : "no usable answer");
		return;
	}
	f->next++;
	get_next(f);
}

/* One file, behind what came of it before where it is an object's: those never change under their names. */
static int
start_file(struct fetch *f, const json_t *item, char path[NAME_MAX_BYTES + 32], struct hub_request *req)
{
	const json_t *cap = json_array_get(item, 1);
	char name[NAME_MAX_BYTES];
	int r;

	req->max_reply = FETCH_WIRE_METADATA_MAX;
	if (json_is_array(item))
		req->max_reply = json_is_integer(cap) && json_integer_value(cap) > 0 &&
				json_integer_value(cap) < FETCH_WIRE_OBJECT_MAX
			? (size_t)json_integer_value(cap)
			: FETCH_WIRE_OBJECT_MAX;
	if (!fetch_name_path(name, sizeof(name), item_name(item, NULL), json_is_array(item)))
		return -EBADMSG;
	r = incoming_begin(&f->in, name, json_is_array(item), req->max_reply, &req->range_at);
	req->max_reply -= req->range_at;
	(void)snprintf(path, NAME_MAX_BYTES + 32, "/%s", name);
	return r;
}

static int
start_range(struct fetch *f, const json_t *item, char path[NAME_MAX_BYTES + 32], struct hub_request *req)
{
	const json_t *at = json_object_get(item, "at");
	char pack[NAME_MAX_BYTES];
	const char *name = item_name(item, pack);
	int r;

	if (!name || !json_is_integer(at) || json_integer_value(at) < 0)
		return -EBADMSG;
	req->range_at = (uint64_t)json_integer_value(at);
	r = incoming_range(&f->in, json_object_get(item, "members"), &req->range_len);
	req->max_reply = req->range_len;
	(void)snprintf(path, NAME_MAX_BYTES + 32, "/%s", name);
	return r;
}

static int
start_get(struct fetch *f, const json_t *item)
{
	char path[NAME_MAX_BYTES + 32];
	struct hub_request req = {
		.method = "GET",
		.path = path,
		.unsigned_reply = true,
		.timeout_ms = json_is_string(item) ? GET_TIMEOUT_MS : LARGE_TIMEOUT_MS,
		.min_rate = SLOW_BYTES,
		.min_rate_s = SLOW_S,
		.gzip = json_is_string(item), /* metadata and indexes are text; all else is compressed already */
		.sink = on_piece,
		.sink_arg = f,
	};
	int r = json_is_object(item) ? start_range(f, item, path, &req) : start_file(f, item, path, &req);

	return r ? r : hub_client_send(&f->call, carrier_hub(f->carrier), &req, on_got, f);
}

static void
get_next(struct fetch *f)
{
	int r;

	if (f->next == json_array_size(f->need)) {
		ask(f);
		return;
	}
	r = start_get(f, wanted(f));
	if (r < 0) {
		log_fault(r, "fetch");
		if (r == -ENOSPC || r == -EDQUOT)
			f->trouble = refuse_token(REASON_NO_SPACE);
		finish(f, REASON_UNREACHABLE, "cannot fetch");
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
		finish(f, REASON_INTERRUPTED, "the monitor refused");
		return;
	}
	if (f->step == STEP_ASSIGNMENT) {
		f->step = json_is_true(json_object_get(answer, "metadata")) ? STEP_METADATA_AGAIN : STEP_OBJECTS;
		ask(f);
		return;
	}
	need = json_object_get(answer, f->step == STEP_OBJECTS ? "missing" : "need");
	drop_round(f);
	if (json_array_size(need) + json_array_size(json_object_get(answer, "ranges")) > 0 &&
		f->rounds++ < FETCH_WIRE_ROUNDS_MAX) {
		f->need = json_deep_copy(need);
		(void)json_array_extend(f->need, json_object_get(answer, "ranges"));
		f->absent = json_array();
		get_next(f);
		return;
	}
	switch (f->step) {
	case STEP_METADATA:
		if (!carrier_switch_on(f->carrier, SWITCH_UPDATES)) {
			finish(f, REASON_NONE, NULL);
			return;
		}
		f->step = STEP_ASSIGNMENT;
		break;
	case STEP_METADATA_AGAIN:
		f->step = STEP_OBJECTS;
		break;
	default:
		finish(f, REASON_NONE, NULL);
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
		finish(f, REASON_UNREACHABLE, "no memory");
		return;
	}
	*a = (struct asking){ f, f->generation };
	if (carrier_call(f->carrier, take_call, on_answer, a) < 0) {
		free(a);
		finish(f, REASON_UNREACHABLE, "no link to the monitor");
	}
}

static void
on_assignment(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct fetch *f = arg;
	struct call_request *call;
	char said[80];

	if (r != 0) {
		finish(f, REASON_UNREACHABLE, why[0] ? why : "no usable answer");
		return;
	}
	if (reply->status != 200) {
		(void)snprintf(said, sizeof(said), "the hub answered %ld to the question for the assignment", (long)reply->status);
		finish(f, reply->status == 404 ? REASON_NOT_FOUND : REASON_UNREACHABLE, said);
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
		finish(f, REASON_NONE, NULL); /* metadata alone: it is what the site record is checked with */
		return;
	}
	snprintf(path, sizeof(path), "/assignments/%s", carrier_site(f->carrier));
	r = hub_client_send(&f->call, carrier_hub(f->carrier),
		&(struct hub_request){
			.method = "GET", .path = path, .max_reply = FETCH_WIRE_ASSIGNMENT_MAX },
		on_assignment, f);
	if (r < 0) {
		log_fault(r, path);
		finish(f, REASON_UNREACHABLE, "cannot ask for the assignment");
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

/* Tell the monitor what came and what did not, and hear what it wants next. */
static void
ask(struct fetch *f)
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
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	struct fetch *f = arg;

	if (!carrier_switch_on(c, SWITCH_UPDATES) && !carrier_switch_on(c, SWITCH_REMOTE)) {
		if (f->step != STEP_IDLE)
			finish(f, REASON_NONE, NULL);
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
