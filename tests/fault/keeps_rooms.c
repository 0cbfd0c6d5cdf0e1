#include "tests/fault/keeps.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/json.h"
#include "appliance/egress/pseudonym.h"
#include "appliance/monitor/outbox.h"
#include "appliance/policy/switch.h"
#include "appliance/serve/db.h"
#include "appliance/service/accepted.h"
#include "appliance/service/identity.h"
#include "appliance/service/lock.h"
#include "appliance/supervise/slots.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/sha256.h"
#include "remote/recording/recordings.h"
#include "remote/request/refused.h"
#include "remote/request/request_wire.h"
#include "updater/activate/core_approved.h"

#define NOW UINT64_C(1795291200000000)
#define DATABASE "hub.db"
#define KEY "site.key"

enum { NAMES = 64 };

static const char *
numbered(char out[NAMES], uint64_t value)
{
	(void)snprintf(out, NAMES, "n%" PRIu64, value);
	return out;
}

static const uint8_t *
digest_of(uint8_t out[SHA256_LEN], uint64_t value)
{
	sha256_of(out, &value, sizeof(value));
	return out;
}

/* --- appliance ----------------------------------------------------------------------------------------------------- */
static int
put_switches(struct keeps_world *w, uint64_t value)
{
	struct switch_record rec;

	for (size_t i = 0; i < SWITCH_MAX; i++)
		rec.on[i] = value >> i & 1;
	return switch_save(&rec, w->monitor);
}

static bool
has_switches(struct keeps_world *w, uint64_t value)
{
	struct switch_record rec;
	bool same = switch_load(&rec, w->monitor) == 0;

	for (size_t i = 0; i < SWITCH_MAX; i++)
		same = same && rec.on[i] == (value >> i & 1);
	return same;
}

static int
put_floor(struct keeps_world *w, uint64_t value)
{
	return floor_raise(&w->floor, NOW + value * CLOCK_US_PER_S, "owners", w->monitor);
}

static bool
has_floor(struct keeps_world *w, uint64_t value)
{
	struct floor f;

	return floor_load(&f, w->monitor) == 0 && f.us == NOW + value * CLOCK_US_PER_S;
}

static bool
set_slots(struct slots *s, void *arg)
{
	(void)numbered(s->packaged, *(const uint64_t *)arg);
	return true;
}

static int
put_slots(struct keeps_world *w, uint64_t value)
{
	return slots_update(NULL, &w->paths, set_slots, &value);
}

static bool
has_slots(struct keeps_world *w, uint64_t value)
{
	SCOPED(scope_close) int fd = -1;
	char text[NAMES];
	struct slots s;

	return slots_open(&fd, &w->paths) == 0 && slots_load(&s, fd) == 0 &&
		strcmp(s.packaged, numbered(text, value)) == 0;
}

static int
put_lock(struct keeps_world *w, uint64_t value)
{
	struct lock_entry e = { .service = "redis", .channel = "stable", .counter = value };
	struct lock lock = { 0 };

	(void)snprintf(e.release, sizeof(e.release), "%064d", 7);
	(void)numbered(e.version, value);
	return lock_put(&lock, &e) ?: lock_write(&lock, &w->paths);
}

static bool
has_lock(struct keeps_world *w, uint64_t value)
{
	const struct lock_entry *e;
	struct lock lock;

	e = lock_read(&lock, &w->paths) == 0 ? lock_find(&lock, "redis") : NULL;
	return e && e->counter == value;
}

/* Each service a number of its own, and each the one that it had. */
static int
put_identity(struct keeps_world *w, uint64_t value)
{
	SCOPED(scope_close) int data = -1;
	/* As planned for one state folder, wherever the copy of it lies that is looked at. */
	const struct identity id = { .separate = true, .services = 131088 };
	char name[NAMES];
	uid_t uid = 0;
	int r;

	r = identity_service(&id, &w->paths, numbered(name, value), &uid);
	(void)snprintf(name, sizeof(name), "services/n%" PRIu64, value);
	return r ?: fs_open_dir(&data, w->lib, name, 0700);
}

static bool
has_identity(struct keeps_world *w, uint64_t value)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 16);
	SCOPED_JSON *doc = NULL;
	uint64_t n = 0, seen = 0;
	const json_t *number;
	const char *name;
	char text[NAMES];
	json_t *of;

	if (fs_read(w->lib, "services/.ids", 1 << 16, &b) != 0 || json_read(&doc, b.data, b.len, 1 << 16, ".ids") != 0)
		return false;
	of = json_object_get(doc, "services") ?: doc;
	json_object_foreach (of, name, number) {
		uint64_t bit = UINT64_C(1) << (json_integer_value(number) % 64);

		if (name[0] != 'n')
			continue;
		if (seen & bit)
			return false; /* twice */
		seen |= bit;
		n++;
	}
	return n >= value && json_object_get(of, numbered(text, value)) != NULL;
}

/* The key is the same whoever asks, and however often. */
static int
put_key(struct keeps_world *w, uint64_t value)
{
	static char first[ED25519_KEYID_MAX];
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	int r = ed25519_load_or_make(&key, w->monitor, KEY);

	(void)value;
	if (r == 0 && !first[0])
		(void)snprintf(first, sizeof(first), "%s", ed25519_keyid(key));
	return r ?: strcmp(first, ed25519_keyid(key)) == 0 ? 0 : REASON_ALTERED;
}

static bool
has_key(struct keeps_world *w, uint64_t value)
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;

	return value > 0 && ed25519_load(&key, w->monitor, KEY) == 0;
}

static int
put_accepted(struct keeps_world *w, uint64_t value)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	char text[NAMES];
	int r = accepted_load(&a, w->monitor);

	r = r ?: accepted_add_field(a, "redis", numbered(text, value), "");
	return r ?: accepted_save(a, w->monitor);
}

static bool
has_accepted(struct keeps_world *w, uint64_t value)
{
	SCOPED(accepted_freep) struct accepted *a = NULL;
	bool all = accepted_load(&a, w->monitor) == 0;
	char text[NAMES];

	for (uint64_t i = 1; all && i <= value; i++)
		all = accepted_field(a, "redis", numbered(text, i));
	return all;
}

static int
put_outbox(struct keeps_world *w, uint64_t value)
{
	uint64_t sequence;
	char text[NAMES];

	(void)numbered(text, value);
	return outbox_put(w->outbox, "results", "result", "/v1/results", "application/json", text, strlen(text), NOW,
		&sequence);
}

/* A record of a put that failed may stand before or behind. */
static bool
has_outbox(struct keeps_world *w, uint64_t value)
{
	uint8_t is[SHA256_LEN], wanted[SHA256_LEN];
	uint64_t next = outbox_next(w->outbox, "results");
	char text[NAMES];

	(void)numbered(text, value);
	sha256_of(wanted, text, strlen(text));
	for (uint64_t i = 1; i < next; i++)
		if (outbox_digest(w->outbox, "results", i, is) == 0 && memcmp(is, wanted, sizeof(is)) == 0)
			return true;
	return false;
}

static int
put_pseudonym(struct keeps_world *w, uint64_t value)
{
	SCOPED(buf_done) struct buf token = BUF_MAX(PSEUDONYM_TOKEN_MAX);
	char text[NAMES];

	(void)snprintf(text, sizeof(text), "192.0.2.%" PRIu64, value);
	pseudonym_put(w->pseudonym, PSEUDONYM_IP, text, strlen(text), &token);
	return pseudonym_save(w->pseudonym);
}

/* Two handles: who makes a token knows what it stands for. */
static bool
has_pseudonym(struct keeps_world *w, uint64_t value)
{
	SCOPED(pseudonym_freep) struct pseudonym *maker = NULL, *reader = NULL;
	bool all = pseudonym_open(&maker, w->telemetry, false) == 0 && pseudonym_open(&reader, w->telemetry, false) == 0;

	for (uint64_t i = 1; all && i <= value; i++) {
		SCOPED(buf_done) struct buf token = BUF_MAX(PSEUDONYM_TOKEN_MAX);
		const char *text;
		char name[NAMES];

		(void)snprintf(name, sizeof(name), "192.0.2.%" PRIu64, i);
		pseudonym_put(maker, PSEUDONYM_IP, name, strlen(name), &token);
		text = pseudonym_reveal(reader, buf_text(&token));
		all = text && strcmp(text, name) == 0;
	}
	return all;
}

/* --- remote, updater --------------------------------------------------------------------------------------------- */
static int
put_refused(struct keeps_world *w, uint64_t value)
{
	uint8_t digest[SHA256_LEN];

	return request_refused_add(w->refused, digest_of(digest, value), NOW, REQUEST_LIFE_S, REQUEST_REFUSED_MAX);
}

static bool
has_refused(struct keeps_world *w, uint64_t value)
{
	SCOPED(request_refused_closep) struct request_refused *s = NULL;
	uint8_t digest[SHA256_LEN];
	bool all = request_refused_open(&s, w->monitor, NOW) == 0, forgot = true;

	for (uint64_t i = 1; all && i <= value; i++)
		all = request_refused_has(s, digest_of(digest, i));
	return all && request_refused_forgot(s, 1, NOW, &forgot) == 0 && !forgot;
}

static int
put_recording(struct keeps_world *w, uint64_t value)
{
	struct recording *rec = NULL;
	uint8_t digest[SHA256_LEN];
	char id[NAMES];
	int r = recordings_begin(w->recordings, numbered(id, value), digest_of(digest, value), "info", NOW, &rec);

	if (r)
		return r;
	r = recording_put(rec, 1, "said\n", 5);
	if (r) {
		(void)recording_abandon(rec);
		return r;
	}
	return recording_end(rec, "end: ok");
}

static bool
has_recording(struct keeps_world *w, uint64_t value)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 16);
	char name[NAMES];

	(void)snprintf(name, sizeof(name), "recordings/n%" PRIu64 ".cast", value);
	return fs_read(w->monitor, name, 1 << 16, &b) == 0 && strstr(buf_text(&b), "said") != NULL;
}

static int
put_approved(struct keeps_world *w, uint64_t value)
{
	uint8_t digest[SHA256_LEN];

	return core_approved_add(w->monitor, digest_of(digest, value));
}

static bool
has_approved(struct keeps_world *w, uint64_t value)
{
	uint8_t digest[SHA256_LEN];
	bool all = true;

	for (uint64_t i = 1; all && i <= value; i++)
		all = core_approved_has(w->monitor, digest_of(digest, i)) == 1;
	return all;
}

/* --- the hub ------------------------------------------------------------------------------------------------------ */
static int
open_db(struct keeps_world *w, struct db **ret)
{
	static const char *const steps[] = { "CREATE TABLE kept (value INTEGER PRIMARY KEY)" };
	static const struct db_migration migration = { "tests/fault", steps, ARRAY_LEN(steps) };
	SCOPED(db_closep) struct db *db = NULL;
	char path[sizeof(w->paths.lib) + NAMES];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", w->paths.lib, DATABASE);
	r = db_open(&db, path);
	r = r ?: db_migrate(db, &migration, 1);
	if (r == 0)
		*ret = STEAL(db);
	return r;
}

static int
put_db(struct keeps_world *w, uint64_t value)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	int r = db_begin(w->db);

	if (r)
		return r;
	tx = w->db;
	r = db_exec(w->db, "INSERT OR REPLACE INTO kept (value) VALUES (?1)", "i", (int64_t)value);
	return r ?: db_commit(STEAL(tx));
}

static bool
has_db(struct keeps_world *w, uint64_t value)
{
	SCOPED(db_closep) struct db *db = NULL;
	int64_t n = 0;

	return open_db(w, &db) == 0 && db_number(db, &n, 0, "SELECT count(*) FROM kept WHERE value <= ?1", "i",
						(int64_t)value) == 0 &&
		(uint64_t)n == value;
}

#define KEEP(name) { #name, put_##name, has_##name }
const struct keeps_keep keeps_all[] = { KEEP(switches), KEEP(floor), KEEP(slots), KEEP(lock), KEEP(identity), KEEP(key),
	KEEP(accepted), KEEP(outbox), KEEP(pseudonym), KEEP(refused), KEEP(recording), KEEP(approved), KEEP(db) };
const size_t keeps_count = ARRAY_LEN(keeps_all);
_Static_assert(ARRAY_LEN(keeps_all) <= KEEPS_MAX, "room for all");

/* --- life ----------------------------------------------------------------------------------------------------------- */
void
keeps_begin(struct keeps_world *w, const char *state)
{
	int r = fs_paths(&w->paths, state);

	r = r ?: fs_open_dir(&w->lib, AT_FDCWD, w->paths.lib, 0755);
	r = r ?: fs_open_dir(&w->monitor, w->lib, "monitor", 0700);
	r = r ?: fs_open_dir(&w->telemetry, w->lib, "telemetry", 0700);
	r = r ?: sd_event_new(&w->loop);
	if (r) {
		printf("%s: %d\n", state, r);
		exit(1);
	}
}

int
keeps_open(struct keeps_world *w)
{
	int r = floor_load(&w->floor, w->monitor);

	r = r ?: request_refused_open(&w->refused, w->monitor, NOW);
	r = r ?: outbox_open(&w->outbox, w->lib, (gid_t)-1);
	r = r ?: pseudonym_open(&w->pseudonym, w->telemetry, true);
	r = r ?: recordings_open(&w->recordings, w->monitor, w->loop);
	return r ?: open_db(w, &w->db);
}

void
keeps_close(struct keeps_world *w)
{
	w->refused = request_refused_close(w->refused);
	w->outbox = outbox_close(w->outbox);
	w->pseudonym = pseudonym_free(w->pseudonym);
	w->recordings = recordings_close(w->recordings);
	w->db = db_close(w->db);
}

void
keeps_end(struct keeps_world *w)
{
	keeps_close(w);
	sd_event_unref(w->loop);
	close(w->telemetry);
	close(w->monitor);
	close(w->lib);
}
