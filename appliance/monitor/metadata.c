#include "appliance/monitor/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/monitor/freshness.h"
#include "appliance/monitor/inside.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/metadata_room.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/store.h"

enum {
	REFRESH_MAX_S = 600, /* a refresh that the courier does not feed is begun anew */
	TARGET_MAX = 8 * 1024 * 1024,
};

#define PEOPLE_ROLE "people"

static void step(struct metadata *d);
static void step_rest(struct metadata *d);

/* --- lists --------------------------------------------------------------------------------------- */
static bool
take_name(json_t *list, const char *name)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (strcmp(json_string_value(json_array_get(list, i)), name) != 0)
			continue;
		(void)json_array_remove(list, i);
		return true;
	}
	return false;
}

static void
answer(struct metadata *d, int r, json_t *take_need)
{
	struct monitor_call *call = STEAL(d->call);
	json_t *doc = NULL;

	json_decref(d->names);
	json_decref(d->absent);
	d->names = d->absent = NULL;
	buf_done(&d->bytes);
	if (r)
		d->next = tuf_client_free(d->next);
	if (r > 0 && monitor_call_role(call) == CALL_ROLE_COURIER) {
		d->refused = *refuse_last();
		freshness_refused(d->m, (enum reason)r);
	}
	if (r == 0)
		doc = json_pack("{s:o?, s:b}", "need", take_need ? take_need : json_array(),
			"current", take_need == NULL);
	else
		json_decref(take_need);
	monitor_answer_result(call, r, doc);
}

static void
need(struct metadata *d, json_t *take_files)
{
	answer(d, take_files ? 0 : FAULT(-ENOMEM), take_files);
}

/* --- documents ----------------------------------------------------------------------------------- */
static void
on_split(int r, const json_t *answered, void *arg)
{
	SCOPED(buf_done) struct buf canonical = BUF_MAX(TUF_TARGETS_MAX);
	struct metadata *d = arg;
	struct tuf_split split = { 0 };
	const json_t *sigs;
	bool joined = false;

	if (!d->call)
		return;
	if (d->left || !monitor_enrolled(d->m)) {
		answer(d,
			REFUSE(REASON_INTERRUPTED, "metadata",
				"the site left its vendor meanwhile"),
			NULL);
		return;
	}
	r = r ?: judge_signed(answered, &canonical, &sigs);
	r = r ?: tuf_split_join(&split, canonical.data, canonical.len, sigs, d->want.file);
	joined = r == 0;
	r = r ?: tuf_split_measure(&split, d->bytes.data, d->bytes.len);
	r = r ?: tuf_client_update_split(d->next, d->want.role, &split);
	if (joined)
		tuf_split_done(&split);
	/* Officers who did not renew in time keep engineers out, not updates. */
	if (r == REASON_EXPIRED && strcmp(d->want.role, PEOPLE_ROLE) == 0) {
		d->no_people = true;
		step_rest(d);
		return;
	}
	if (r) {
		answer(d, r, NULL);
		return;
	}
	step(d);
}

/* One wanted document: used if it came, else asked for. */
static void
step_want(struct metadata *d)
{
	int r;

	if (take_name(d->absent, d->want.file)) {
		r = tuf_client_absent(d->next);
		if (r)
			answer(d, r, NULL);
		else
			step(d);
		return;
	}
	if (!take_name(d->names, d->want.file)) {
		need(d, json_pack("[s]", d->want.file));
		return;
	}
	buf_done(&d->bytes);
	d->bytes = BUF_MAX(d->want.cap);
	r = metadata_incoming_take(d, d->want.file, d->want.cap, &d->bytes);
	r = r
		?: monitor_judge(d->m, JUDGE_TUF, d->want.file, d->bytes.data, d->bytes.len,
			   on_split, d);
	if (r)
		answer(d, r, NULL);
}

/* --- targets ------------------------------------------------------------------------------------- */
/* true where the target's bytes are here and right; else its file is put on the list, unless it came just now
 * and is wrong, which is a refusal. */
static int
look_at_target(struct metadata *d, const struct tuf_target *t, json_t *files)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TARGET_MAX);
	char file[TUF_PATH_MAX + 200];
	bool fresh;
	int r;

	(void)snprintf(file, sizeof(file), "targets/%s", t->file);
	if (take_name(d->absent, file))
		return REFUSE(REASON_NOT_FOUND, t->path, "the hub does not have it");
	fresh = take_name(d->names, file);
	r = t->length > TARGET_MAX
		? REFUSE(REASON_TOO_LARGE, t->path, "of at most %d bytes", (int)TARGET_MAX)
		: 0;
	if (r)
		return r;
	if (!fresh && !metadata_incoming_has(d, file))
		return json_array_append_new(files, json_string(file)) < 0 ? FAULT(-ENOMEM) : 0;
	r = metadata_incoming_take(d, file, t->length, &b);
	r = r ?: tuf_target_check(t, b.data, b.len);
	if (r > 0 && !fresh)
		return json_array_append_new(files, json_string(file)) < 0 ? FAULT(-ENOMEM) : 0;
	if (r == 0 && strcmp(t->path, PEOPLE_TARGET) == 0)
		r = metadata_people_take(d, b.data, b.len);
	return r < 0 ? FAULT(r) : r;
}

/* Returns 0, TUF_WANTS, a reason or a fault. */
static int
step_targets(struct metadata *d, json_t *files)
{
	struct tuf_target t;
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->n_targets; i++) {
		if (d->no_people && strcmp(d->targets[i], PEOPLE_TARGET) == 0)
			continue;
		r = tuf_client_target(d->next, d->targets[i], &t);
		/* What is not in the repository any more keeps nobody from the rest. */
		if (r == REASON_NOT_FOUND)
			r = 0;
		else if (r == 0)
			r = look_at_target(d, &t, files);
	}
	return r;
}

static void
finish(struct metadata *d)
{
	tuf_client_free(d->current);
	d->current = STEAL(d->next);
	d->current_begun_us = d->begun_us;
	d->refused.reason = REASON_NONE;
	freshness_good(d->m);
	monitor_changed(d->m, MONITOR_CHANGE_METADATA);
	answer(d, 0, NULL);
}

/* The roles are all there; now what they list. */
static void
step_rest(struct metadata *d)
{
	SCOPED_JSON *files = json_array();
	int r = step_targets(d, files);

	if (r == TUF_WANTS && tuf_client_want(d->next, &d->want))
		step_want(d);
	else if (r)
		answer(d, r == TUF_WANTS ? FAULT(-EPROTO) : r, NULL);
	else if (json_array_size(files) > 0)
		need(d, STEAL(files));
	else
		finish(d);
}

static void
step(struct metadata *d)
{
	SCOPED(scope_close) int fd = -1;
	int r = fs_open_dir(&fd, d->m->dir_fd, "tuf", 0700);

	r = r ?: tuf_store_save(d->next, fd);
	if (r < 0) {
		answer(d, FAULT(r), NULL);
		return;
	}
	if (!d->no_people && tuf_client_want(d->next, &d->want))
		step_want(d);
	else
		step_rest(d);
}

/* --- the verb ------------------------------------------------------------------------------------ */
static int
begin_refresh(struct metadata *d)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(scope_free) char *root = NULL;
	struct monitor *m = d->m;
	int r;

	if (d->next && clock_mono_us() - d->begun_us < REFRESH_MAX_S * CLOCK_US_PER_S)
		return 0;
	d->next = tuf_client_free(d->next);
	root = json_dumps(m->site.card->root, JSON_COMPACT);
	if (!root)
		return FAULT(-ENOMEM);
	r = fs_open_dir(&fd, m->dir_fd, "tuf", 0700);
	r = r ?: tuf_store_open(&d->next, fd, root, strlen(root), monitor_date_us(m));
	d->begun_us = clock_mono_us();
	d->no_people = false;
	return r < 0 ? FAULT(r) : r;
}

static int
on_metadata(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct metadata *d = arg;
	const char *name, *value;
	int r = 0;

	/* Not before: a card that was only begun with may give way to another vendor's. */
	if (!monitor_enrolled(m))
		return REFUSE(REASON_NOT_FOUND, "metadata", "the site is not enrolled");
	if (d->call)
		return REFUSE(REASON_BUSY, "metadata", "the last round is not over");
	r = begin_refresh(d);
	if (r)
		return r;
	d->names = json_array();
	d->absent = json_array();
	for (size_t i = 0; r == 0 && monitor_call_param(call, i, &name, &value); i++)
		r = json_array_append_new(strcmp(name, "absent") == 0 ? d->absent : d->names,
			json_string(value));
	d->left = false;
	d->call = call;
	monitor_call_hold(call, NULL, NULL);
	if (r < 0)
		answer(d, FAULT(-ENOMEM), NULL);
	else
		step(d);
	return 0;
}

/* --- for others ---------------------------------------------------------------------------------- */
struct tuf_client *
monitor_tuf(struct monitor *m)
{
	return m->metadata->current;
}

uint64_t
metadata_begun_us(const struct monitor *m)
{
	return m->metadata->current_begun_us;
}

const struct refusal *
metadata_refused(const struct monitor *m)
{
	return m->metadata->refused.reason ? &m->metadata->refused : NULL;
}

int
metadata_want(struct monitor *m, const char *target)
{
	struct metadata *d = m->metadata;

	for (size_t i = 0; i < d->n_targets; i++)
		if (strcmp(d->targets[i], target) == 0)
			return 0;
	if (d->n_targets == METADATA_WANTS_MAX)
		return REFUSE(REASON_TOO_LARGE, target, "more than %d targets are wanted",
			(int)METADATA_WANTS_MAX);
	d->targets[d->n_targets] = strdup(target);
	if (!d->targets[d->n_targets])
		return FAULT(-ENOMEM);
	d->n_targets++;
	return 0;
}

/* --- module -------------------------------------------------------------------------------------- */
static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	struct metadata *d = arg;

	if (!(changes & MONITOR_CHANGE_RECORD) || monitor_enrolled(m))
		return;
	d->current = tuf_client_free(d->current);
	if (d->call)
		d->left = true;
	else
		d->next = tuf_client_free(d->next);
}

static void
metadata_free(void *arg)
{
	struct metadata *d = arg;

	tuf_client_free(d->current);
	tuf_client_free(d->next);
	for (size_t i = 0; i < d->n_targets; i++)
		free(d->targets[i]);
	json_decref(d->names);
	json_decref(d->absent);
	buf_done(&d->bytes);
	scope_close(&d->incoming_fd);
	free(d);
}

static const struct monitor_module module = {
	.name = "metadata",
	.changed = on_changed,
	.free = metadata_free,
};

int
metadata_init(struct monitor *m)
{
	struct metadata *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return FAULT(-ENOMEM);
	d->m = m;
	d->incoming_fd = -1;
	m->metadata = d;
	r = monitor_add_module(m, &module, d);
	r = r ?: metadata_want(m, PEOPLE_TARGET);
	metadata_people_load(m);
	return r
		?: monitor_register_verb(m, "update.metadata",
			   CALL_ROLE_COURIER | CALL_ROLE_CONTROL, on_metadata, d);
}
