#include "updater/release/release_repo.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/beneath.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_keys.h"

/* --- a client over the folder -------------------------------------------------------------------- */
static int
feed(struct release_repo *r)
{
	struct tuf_want w;

	while (tuf_client_want(r->client, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(w.cap);
		int e = fs_read(r->tuf_fd, w.file, w.cap, &b);

		if (e == REASON_NOT_FOUND)
			e = tuf_client_absent(r->client);
		else if (e == REASON_TOO_LARGE)
			e = REFUSE(e, w.file, "more than %zu bytes", w.cap);
		else if (!e)
			e = tuf_client_update(r->client, w.role, b.data, b.len);
		if (e)
			return e < 0 ? FAULT(e) : e;
	}
	return 0;
}

static int
load(struct release_repo *r, bool judge_dates)
{
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	struct tuf_target people;
	int e;

	e = fs_read(r->tuf_fd, "1.root.json", TUF_ROOT_MAX, &root);
	if (e > 0)
		return REFUSE(e, "tuf/1.root.json", "cannot be read: is this a repository?");
	e = e ?: tuf_client_new(&r->client, root.data, root.len, judge_dates ? r->now_us : 1);
	e = e ?: feed(r);
	if (e)
		return e < 0 ? FAULT(e) : e;
	/* The people role is only there once officers signed it. */
	if (!json_object_get(json_object_get(release_repo_signed(r, "snapshot"), "meta"),
		    RELEASE_PEOPLE_ROLE ".json"))
		return 0;
	e = tuf_client_target(r->client, PEOPLE_TARGET, &people);
	if (e == TUF_WANTS) {
		e = feed(r);
		e = e ?: tuf_client_target(r->client, PEOPLE_TARGET, &people);
	}
	return e < 0 ? FAULT(e) : e;
}

static int
open_folders(struct release_repo *r, const char *repo, bool make)
{
	int e;

	r->fd = -1;
	r->tuf_fd = r->objects_fd = r->draft_fd = -1;
	if (make) {
		e = fs_open_dir(&r->fd, AT_FDCWD, repo, 0755);
	} else {
		r->fd = open(repo, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		e = r->fd < 0 ? REFUSE(REASON_NOT_FOUND, repo, "is no folder") : 0;
	}
	if (!e && flock(r->fd, LOCK_EX | LOCK_NB) < 0)
		e = REFUSE(REASON_BUSY, repo, "another command is at work on this repository");
	e = e ?: fs_open_dir(&r->tuf_fd, r->fd, "tuf", 0755);
	e = e ?: fs_open_dir(&r->objects_fd, r->fd, "objects", 0755);
	e = e ?: fs_open_dir(&r->draft_fd, r->fd, "draft", 0700);
	return e < 0 ? FAULT(e) : e;
}

int
release_repo_open(struct release_repo **ret, const char *repo, uint64_t now_us, bool judge_dates)
{
	SCOPED(release_repo_closep) struct release_repo *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return FAULT(-ENOMEM);
	r->now_us = now_us;
	e = open_folders(r, repo, false);
	e = e ?: load(r, judge_dates);
	if (e)
		return e;
	*ret = STEAL(r);
	return 0;
}

struct release_repo *
release_repo_close(struct release_repo *r)
{
	if (!r)
		return NULL;
	tuf_client_free(r->client);
	scope_close(&r->draft_fd);
	scope_close(&r->objects_fd);
	scope_close(&r->tuf_fd);
	scope_close(&r->fd);
	free(r);
	return NULL;
}

const json_t *
release_repo_signed(const struct release_repo *r, const char *role)
{
	return tuf_client_signed(r->client, role);
}

const json_t *
release_repo_people(const struct release_repo *r, const json_t **ret_keys)
{
	const json_t *d = json_object_get(release_repo_signed(r, "targets"), "delegations"),
		     *roles = json_object_get(d, "roles");

	*ret_keys = json_object_get(d, "keys");
	for (size_t i = 0; i < json_array_size(roles); i++) {
		const json_t *role = json_array_get(roles, i);
		const char *name = json_string_value(json_object_get(role, "name"));

		if (name && !strcmp(name, RELEASE_PEOPLE_ROLE))
			return role;
	}
	return NULL;
}

/* --- targets' files ------------------------------------------------------------------------------ */
int
release_repo_put_target(struct release_repo *r, const char *path, const void *p, size_t len)
{
	const char *slash = strrchr(path, '/');
	SCOPED(scope_close) int fd = -1;
	uint8_t digest[SHA256_LEN];
	char folder[TUF_PATH_MAX + 16], file[2 * SHA256_LEN + 256], hex[2 * SHA256_LEN + 1];
	int e;

	sha256_of(digest, p, len);
	(void)snprintf(
		folder, sizeof(folder), "targets/%.*s", slash ? (int)(slash - path) : 0, path);
	(void)snprintf(file, sizeof(file), "%s.%s", hex_encode(hex, digest, sizeof(digest)),
		slash ? slash + 1 : path);
	e = fs_open_dir(&fd, r->tuf_fd, folder, 0755);
	e = e ?: fs_replace(fd, file, p, len, 0644);
	return FAULT(e);
}

int
release_repo_get_target(struct release_repo *r, const char *path, size_t max, struct buf *out)
{
	SCOPED(scope_close) int fd = -1;
	char file[sizeof(((struct tuf_target *)0)->file) + 16];
	struct tuf_target t;
	int e;

	e = tuf_client_target(r->client, path, &t);
	if (e)
		return e < 0 ? FAULT(e) : e;
	(void)snprintf(file, sizeof(file), "targets/%s", t.file);
	fd = beneath_open(r->tuf_fd, file, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return REFUSE(REASON_NOT_FOUND, path, "tuf/%s cannot be opened", file);
	e = fs_read_fd(fd, max, out);
	if (e > 0)
		return REFUSE(e, path, "tuf/%s has more than %zu bytes", file, max);
	return e ? FAULT(e) : tuf_target_check(&t, out->data, out->len);
}

/* --- committing ---------------------------------------------------------------------------------- */
static uint64_t
after(const struct release_repo *r, uint64_t life_s)
{
	return r->now_us + life_s * CLOCK_US_PER_S;
}

/* Sign with a role of the root: as many of its keys as are here, which must be enough. */
static int
sign_role(const json_t *root, const char *role, const struct release_keys *keys,
	const json_t *signed_, struct buf *out)
{
	const json_t *of = json_object_get(json_object_get(root, "roles"), role);
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	size_t n = release_keys_of(keys, of, signers, RELEASE_KEYS_MAX);
	json_int_t threshold = json_integer_value(json_object_get(of, "threshold"));

	if (n < (size_t)threshold)
		return REFUSE(REASON_UNKNOWN_KEY, role,
			"%zu of its keys are here, where %lld must sign", n, (long long)threshold);
	return tuf_repo_sign(out, signed_, signers, n);
}

static int
write_versioned(int tuf_fd, const char *role, uint64_t version, const struct buf *b)
{
	char file[TUF_FILE_MAX + 32];

	(void)snprintf(file, sizeof(file), "%llu.%s.json", (unsigned long long)version, role);
	return FAULT(fs_replace(tuf_fd, file, b->data, b->len, 0644));
}

/* A new snapshot over the old one's list. */
static int
make_snapshot(struct release_repo *r, const struct release_keys *keys, const json_t *root,
	const char *role, json_t *take_listed, uint64_t *ret_version, struct buf *out)
{
	const json_t *old = r->client ? release_repo_signed(r, "snapshot") : NULL;
	uint64_t version = old ? tuf_version(old) + 1 : 1;
	SCOPED_JSON *listed = take_listed;
	SCOPED_JSON *snapshot =
		tuf_repo_new("snapshot", version, after(r, RELEASE_SNAPSHOT_LIFE_S));
	SCOPED_JSON *meta = old ? json_copy(json_object_get(old, "meta")) : json_object();
	char name[TUF_ROLE_MAX + 8];

	if (!snapshot || !meta || (role && !listed))
		return FAULT(-ENOMEM);
	if (role) {
		(void)snprintf(name, sizeof(name), "%s.json", role);
		if (json_object_set(meta, name, listed) < 0)
			return FAULT(-ENOMEM);
	}
	if (json_object_set(snapshot, "meta", meta) < 0)
		return FAULT(-ENOMEM);
	*ret_version = version;
	return sign_role(root, "snapshot", keys, snapshot, out);
}

static int
make_timestamp(struct release_repo *r, const struct release_keys *keys, const json_t *root,
	const struct buf *snapshot, uint64_t snapshot_version, struct buf *out)
{
	const json_t *old = r->client ? release_repo_signed(r, "timestamp") : NULL;
	uint64_t life_us = r->timestamp_life_us ?: RELEASE_TIMESTAMP_LIFE_S * CLOCK_US_PER_S;
	SCOPED_JSON *timestamp =
		tuf_repo_new("timestamp", old ? tuf_version(old) + 1 : 1, r->now_us + life_us);
	json_t *listed = tuf_repo_meta(snapshot->data, snapshot->len, snapshot_version);

	if (!timestamp || !listed ||
		json_object_set_new(
			timestamp, "meta", json_pack("{s:o}", "snapshot.json", listed)) < 0)
		return FAULT(-ENOMEM);
	return sign_role(root, "timestamp", keys, timestamp, out);
}

static int
commit(struct release_repo *r, const struct release_keys *keys, const json_t *root,
	const char *role, uint64_t version, const void *document, size_t len)
{
	SCOPED(buf_done) struct buf snapshot = BUF_MAX(TUF_SNAPSHOT_MAX);
	SCOPED(buf_done) struct buf timestamp = BUF_MAX(TUF_TIMESTAMP_MAX);
	SCOPED(buf_done) struct buf whole = BUF_MAX(TUF_TARGETS_MAX);
	json_t *listed = role ? tuf_repo_meta(document, len, version) : NULL;
	uint64_t snapshot_version = 0;
	int e;

	/* Everything is signed before the first file changes. */
	e = make_snapshot(r, keys, root, role, listed, &snapshot_version, &snapshot);
	e = e ?: make_timestamp(r, keys, root, &snapshot, snapshot_version, &timestamp);
	buf_put(&whole, document, len);
	e = e ?: buf_error(&whole);
	if (!e && role)
		e = write_versioned(r->tuf_fd, role, version, &whole);
	e = e ?: write_versioned(r->tuf_fd, "snapshot", snapshot_version, &snapshot);
	e = e ?: fs_replace(r->tuf_fd, "timestamp.json", timestamp.data, timestamp.len, 0644);
	return e < 0 ? FAULT(e) : e;
}

int
release_repo_commit(struct release_repo *r, const struct release_keys *keys, const char *role,
	uint64_t version, const void *document, size_t len)
{
	return commit(r, keys, release_repo_signed(r, "root"), role, version, document, len);
}

int
release_repo_add_targets(struct release_repo *r, const struct release_keys *keys, const json_t *metas)
{
	const json_t *root = release_repo_signed(r, "root"),
		     *old = release_repo_signed(r, "targets");
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED_JSON *targets =
		tuf_repo_new("targets", tuf_version(old) + 1, after(r, RELEASE_TARGETS_LIFE_S));
	SCOPED_JSON *list = json_copy((json_t *)json_object_get(old, "targets"));
	int e;

	if (!targets || !list || json_object_update(list, (json_t *)metas) < 0 ||
		json_object_set(targets, "targets", list) < 0 ||
		json_object_set(targets, "delegations", json_object_get(old, "delegations")) < 0)
		return FAULT(-ENOMEM);
	e = sign_role(root, "targets", keys, targets, &b);
	return e ?: release_repo_commit(r, keys, "targets", tuf_version(targets), b.data, b.len);
}

/* --- a new repository ---------------------------------------------------------------------------- */
/* A role of the keys WORD-1..n, or of the one called word where n is 0. */
static json_t *
role_of(const struct release_keys *keys, const char *word, unsigned n, unsigned threshold,
	json_t *all)
{
	uint8_t raw[RELEASE_KEYS_MAX][32];
	unsigned have = 0;

	for (unsigned i = n ? 1 : 0; i <= n && have < RELEASE_KEYS_MAX; i++) {
		char name[48];
		const struct ed25519 *key;

		(void)snprintf(name, sizeof(name), n ? "%s-%u" : "%s", word, i);
		key = release_keys_named(keys, name);
		if (!key) {
			(void)REFUSE(REASON_UNKNOWN_KEY, name, "this key is not here");
			return NULL;
		}
		memcpy(raw[have++], ed25519_public(key), 32);
	}
	return tuf_repo_role(all, raw, have, threshold);
}

static int
make_root(const struct release_repo *r, const struct release_keys *keys, unsigned m, unsigned n,
	json_t **ret, struct buf *out)
{
	static const char *const ones[] = { "timestamp", "snapshot", "targets" };
	SCOPED_JSON *root = tuf_repo_new("root", 1, after(r, RELEASE_ROOT_LIFE_S));
	SCOPED_JSON *all = json_object(), *roles = json_object();
	json_t *role = role_of(keys, "root", n, m, all);
	int e;

	if (!role || !root || json_object_set_new(roles, "root", role) < 0)
		return role || !refuse_last()->reason ? FAULT(-ENOMEM) : REASON_UNKNOWN_KEY;
	for (size_t i = 0; i < ARRAY_LEN(ones); i++) {
		role = role_of(keys, ones[i], 0, 1, all);
		if (!role)
			return REASON_UNKNOWN_KEY;
		if (json_object_set_new(roles, ones[i], role) < 0)
			return FAULT(-ENOMEM);
	}
	if (json_object_set(root, "keys", all) < 0 || json_object_set(root, "roles", roles) < 0 ||
		json_object_set_new(root, "consistent_snapshot", json_true()) < 0)
		return FAULT(-ENOMEM);
	e = sign_role(root, "root", keys, root, out);
	if (!e)
		*ret = STEAL(root);
	return e;
}

static int
make_targets(const struct release_repo *r, const struct release_keys *keys, const json_t *root,
	unsigned m, unsigned n, struct buf *out)
{
	SCOPED_JSON *targets = tuf_repo_new("targets", 1, after(r, RELEASE_TARGETS_LIFE_S));
	SCOPED_JSON *all = json_object();
	json_t *people = role_of(keys, "officer", n, m, all), *delegations;

	if (!people)
		return REASON_UNKNOWN_KEY;
	if (json_object_set_new(people, "name", json_string(RELEASE_PEOPLE_ROLE)) < 0 ||
		json_object_set_new(people, "terminating", json_true()) < 0 ||
		json_object_set_new(people, "paths", json_pack("[s]", "people/*")) < 0) {
		json_decref(people);
		return FAULT(-ENOMEM);
	}
	delegations = json_pack("{s:O, s:[o]}", "keys", all, "roles", people);
	if (!targets || json_object_set_new(targets, "delegations", delegations) < 0 ||
		json_object_set_new(targets, "targets", json_object()) < 0)
		return FAULT(-ENOMEM);
	return sign_role(root, "targets", keys, targets, out);
}

int
release_repo_init(const char *repo, const struct release_keys *keys, unsigned root_m,
	unsigned root_n, unsigned officers_m, unsigned officers_n, uint64_t now_us)
{
	SCOPED(release_repo_closep) struct release_repo *r = calloc(1, sizeof(*r));
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(buf_done) struct buf targets = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED_JSON *root_signed = NULL;
	int e;

	if (!r)
		return FAULT(-ENOMEM);
	r->now_us = now_us;
	e = open_folders(r, repo, true);
	if (e)
		return e;
	if (faccessat(r->tuf_fd, "1.root.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return REFUSE(REASON_CONFLICT, repo, "is a repository already");
	e = make_root(r, keys, root_m, root_n, &root_signed, &root);
	e = e ?: make_targets(r, keys, root_signed, officers_m, officers_n, &targets);
	if (e)
		return e;
	/* Root last: without it there is no repository, and init can be run again. */
	e = commit(r, keys, root_signed, "targets", 1, targets.data, targets.len);
	return e ?: write_versioned(r->tuf_fd, "root", 1, &root);
}
