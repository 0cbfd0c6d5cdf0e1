#include "updater/activate/update.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/monitor/judge.h"
#include "appliance/monitor/metadata.h"
#include "appliance/monitor/monitor.h"
#include "appliance/monitor/services.h"
#include "appliance/trust/sha256.h"
#include "updater/fetch/fetch_wire.h"

enum { ASSIGNMENT_BYTES_MAX = 64 * 1024 };

/* --- the assignment ------------------------------------------------------------------------------------------------- */
/* What is brought to us is refused with a leaf; but who brings it shall not fill the log with them. */
static void
refuse_leaf(struct update *u, const char *object, enum reason reason)
{
	int r = monitor_leaf_tallied(u->m, "refuse", object, "courier", object, NULL, reason);

	if (r < 0)
		log_fault(r, "refusing what the courier brought");
}

void
update_refuse(struct update *u, const char *service, int r)
{
	struct refusal why = *refuse_last();

	update_fail_waiting(u, service, r);
	if (!u->run)
		update_set(u, "idle", service, r > 0 ? (enum reason)r : REASON_FAULT, r > 0 ? why.text : "a fault; see the log");
	for (size_t i = 0; r > 0 && i < u->assignment.n; i++) {
		if (strcmp(u->assignment.releases[i].service, service) != 0 || u->told[i] == u->assignment.counter)
			continue;
		u->told[i] = u->assignment.counter;
		refuse_leaf(u, service, why.reason);
	}
}

/* Which assigned releases lack their index: the next refresh of metadata is to bring them. */
static int
want_indexes(struct update *u, bool *ret_wanting)
{
	int r;

	*ret_wanting = false;
	for (size_t i = 0; i < u->assignment.n; i++) {
		const struct assignment_release *a = &u->assignment.releases[i];
		struct update_release rel;
		struct update_runs runs;

		/* Only what the customer's cluster.yaml names, and the core. */
		if (!update_runs(u, a->service, &runs))
			continue;
		r = update_release_load(u, a, &rel);
		if (r == 0) {
			update_release_done(&rel);
			continue;
		}
		if (r < 0)
			return r;
		if (r != REASON_NOT_FOUND) {
			update_refuse(u, a->service, r);
			continue;
		}
		r = metadata_want(u->m, a->target);
		if (r != 0)
			return r;
		*ret_wanting = true;
	}
	return 0;
}

static int
take_assignment(struct update *u, const json_t *judged, bool *ret_wanting)
{
	SCOPED(buf_done) struct buf payload = BUF_MAX(ASSIGNMENT_BYTES_MAX);
	struct assignment a;
	uint8_t director[32];
	const json_t *sigs;
	const char *hex = json_string_value(json_object_get(monitor_hub(u->m), "director"));
	int r;

	if (!hex || !hex_decode(director, sizeof(director), hex))
		return REFUSE(REASON_UNKNOWN_KEY, "assignment", "the trust card names no director");
	r = judge_signed(judged, &payload, &sigs);
	r = r ?: assignment_check(&a, payload.data, payload.len, sigs,
			 &(struct assignment_facts){
				 .site = monitor_site(u->m),
				 .director = director,
				 .counter = u->has_assignment ? u->assignment.counter : 0,
				 .now_us = monitor_now_us(u->m),
				 .clock_doubtful = monitor_clock_doubtful(u->m),
			 });
	r = r ?: assignment_save(&a, monitor_dir(u->m));
	if (r != 0)
		return r;
	u->assignment = a;
	u->has_assignment = true;
	return want_indexes(u, ret_wanting);
}

struct judging {
	struct update *u;
	struct monitor_call *call;
};

static void
on_judged(int r, const json_t *answer, void *arg)
{
	struct judging *j = arg;
	bool wanting = false;

	r = r ?: take_assignment(j->u, answer, &wanting);
	if (r > 0) {
		struct refusal why = *refuse_last();

		refuse_leaf(j->u, "assignment", (enum reason)r);
		update_look_refused(j->u, refuse_adopt(&why));
	}
	monitor_answer_result(j->call, r, r == 0 ? json_pack("{s:b}", "metadata", wanting) : NULL);
	free(j);
}

static int
on_assignment(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct judging *j;
	const void *body;
	size_t len;
	int r;

	if (!monitor_switch_on(m, SWITCH_UPDATES))
		return REFUSE(REASON_SWITCHED_OFF, "updates", "the switch is off");
	body = monitor_call_body(call, &len);
	j = malloc(sizeof(*j));
	if (!j)
		return FAULT(-ENOMEM);
	*j = (struct judging){ arg, call };
	r = monitor_judge(m, JUDGE_RECORD, "assignment", body, len, on_judged, j);
	if (r != 0) {
		free(j);
		return r;
	}
	monitor_call_hold(call, NULL, NULL);
	return 0;
}

/* --- the objects ---------------------------------------------------------------------------------------------------------- */
/* The list of packs of a release that is assigned, or one of them: its objects come one by one then. */
static int
is_packs(struct update *u, const char *name, bool *ret)
{
	uint8_t digest[SHA256_LEN];
	bool pack = strncmp(name, "packs/", 6) == 0;

	*ret = false;
	if (!pack && !hex_decode(digest, sizeof(digest), name))
		return 0;
	for (size_t i = 0; u->has_assignment && i < u->assignment.n && !*ret; i++) {
		struct update_release rel;
		int r = update_release_load(u, &u->assignment.releases[i], &rel);

		if (r < 0)
			return r;
		if (r > 0)
			continue;
		*ret = rel.has_packs && (pack || memcmp(rel.packs, digest, sizeof(digest)) == 0);
		if (*ret)
			memcpy(u->no_packs, rel.packs, sizeof(u->no_packs));
		update_release_done(&rel);
	}
	return 0;
}

static void
note_absent(struct update *u, const char *name)
{
	bool packs;
	int r = is_packs(u, name, &packs);

	if (r == 0 && !packs)
		r = REFUSE(REASON_NOT_FOUND, name, "the hub does not have this object");
	if (r != 0)
		update_fail_waiting(u, NULL, r);
}

/* Something that the hub does not have, or that the courier could not get: an install that waits for it fails. */
static void
note_trouble(struct update *u, const struct monitor_call *call)
{
	const char *name, *value;

	for (size_t i = 0; monitor_call_param(call, i, &name, &value); i++) {
		if (strcmp(name, "absent") == 0)
			note_absent(u, value);
		if (strcmp(name, "trouble") == 0 && strcmp(value, refuse_token(REASON_NO_SPACE)) == 0) {
			int r = REFUSE(REASON_NO_SPACE, "incoming", "the disk of lib/incoming is full; what came stays");

			update_fail_waiting(u, NULL, r);
			if (!u->run)
				update_set(u, "idle", u->service, (enum reason)r, refuse_last()->text);
		}
	}
}

/* `update status` says how far it is. */
static void
note_progress(struct update *u, const char *service, size_t files, uint64_t bytes)
{
	char text[CHANGE_TEXT_MAX];

	if (u->run || files == 0)
		return;
	(void)snprintf(text, sizeof(text), "%zu files or ranges to come, %llu bytes", files, (unsigned long long)bytes);
	update_set(u, "fetching", service, REASON_NONE, text);
}

static int
add_missing(struct update *u, const struct assignment_release *a, json_t *missing, json_t *ranges)
{
	size_t before = json_array_size(missing) + json_array_size(ranges);
	struct update_runs runs;
	struct update_release rel;
	uint64_t bytes = 0;
	int r = 0;

	if (!update_runs(u, a->service, &runs))
		return 0;
	r = update_release_load(u, a, &rel);
	if (r != 0)
		return r < 0 ? r : 0; /* said when the assignment came */
	if (strcmp(rel.hex, runs.release) != 0)
		r = update_missing(u, &rel, missing, ranges, FETCH_WIRE_NEED_MAX, &bytes);
	update_release_done(&rel);
	if (r == 0)
		note_progress(u, a->service, json_array_size(missing) + json_array_size(ranges) - before, bytes);
	return r;
}

void
update_sweep(struct update *u)
{
	int r;

	if (u->run || u->worker || !u->has_assignment)
		return;
	for (size_t i = 0; i < u->assignment.n; i++) {
		char hex[65];
		struct update_runs runs;
		struct stat st;

		hex_encode(hex, u->assignment.releases[i].sha256, SHA256_LEN);
		if (update_runs(u, u->assignment.releases[i].service, &runs) && strcmp(hex, runs.release) != 0 &&
			fstatat(u->store_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return;
	}
	r = fs_remove_tree(u->incoming_fd, "objects");
	r = r ?: fs_remove_tree(u->incoming_fd, "patches");
	if (r < 0)
		log_fault(r, "sweeping incoming");
}

static int
on_objects(struct monitor *m, struct monitor_call *call, void *arg)
{
	struct update *u = arg;
	SCOPED_JSON *missing = json_array(), *ranges = json_array();
	int r = 0;

	if (!monitor_switch_on(m, SWITCH_UPDATES))
		return REFUSE(REASON_SWITCHED_OFF, "updates", "the switch is off");
	note_trouble(u, call);
	for (size_t i = 0; u->has_assignment && i < u->assignment.n && r == 0; i++)
		r = add_missing(u, &u->assignment.releases[i], missing, ranges);
	if (r != 0)
		return r;
	if (json_array_size(missing) + json_array_size(ranges) == 0) {
		update_consider(u);
		update_sweep(u);
	}
	update_looked(u);
	monitor_answer(call, json_pack("{s:O, s:O}", "missing", missing, "ranges", ranges));
	return 0;
}

int
update_fetch_init(struct update *u)
{
	int r;

	r = monitor_register_verb(u->m, FETCH_WIRE_ASSIGNMENT, CALL_ROLE_COURIER, on_assignment, u);
	return r ?: monitor_register_verb(u->m, FETCH_WIRE_OBJECTS, CALL_ROLE_COURIER, on_objects, u);
}
