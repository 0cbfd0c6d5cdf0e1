#include "updater/release/release_commit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_swap.h"

void
release_change_done(struct release_change *c)
{
	json_decref(c->documents);
	c->documents = NULL;
}

int
release_change_put(struct release_change *c, const char *role, const void *p, size_t len)
{
	if (!c->documents)
		c->documents = json_object();
	return json_object_set_new(c->documents, role, json_stringn(p, len)) < 0 ? FAULT(-ENOMEM) : 0;
}

/* --- snapshot and timestamp ---------------------------------------------------------------------- */
struct commit {
	struct release_repo *r;
	const struct release_keys *keys;
	json_t *root;  /* "signed" of the root that is the present one afterwards; owned */
	json_t *files; /* name -> text, in no order; owned */
	json_t *meta;  /* what the snapshot lists; owned */
};

static void
commit_done(struct commit *c)
{
	json_decref(c->root);
	json_decref(c->files);
	json_decref(c->meta);
}

static int
find_signers(const json_t *of, const char *role, const struct release_keys *keys,
	const struct ed25519 *signers[RELEASE_KEYS_MAX], size_t *ret_n)
{
	json_int_t threshold = json_integer_value(json_object_get(of, "threshold"));
	size_t here = release_keys_count(keys, of);
	int r = 0;

	*ret_n = 0;
	/* Counted before any passphrase is asked for. */
	if (here >= (size_t)threshold)
		r = release_keys_of(keys, of, signers, ret_n);
	if (!r && *ret_n < (size_t)threshold)
		r = REFUSE(REASON_UNKNOWN_KEY, role, "%zu of its keys are here, where %lld must sign", here,
			(long long)threshold);
	return r;
}

int
release_commit_sign(const json_t *of, const char *role, const struct release_keys *keys, const json_t *signed_,
	struct buf *out)
{
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	size_t n;
	int r = find_signers(of, role, keys, signers, &n);

	return r ?: tuf_repo_sign(out, signed_, signers, n);
}

int
release_commit_able(const struct release_repo *r, const struct release_keys *keys, const char *role)
{
	const char *const roles[] = { role, "snapshot", "timestamp" };
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	const json_t *all;
	size_t n;
	int e = 0;

	for (size_t i = 0; !e && i < ARRAY_LEN(roles); i++)
		e = find_signers(release_repo_role(r, roles[i], &all), roles[i], keys, signers, &n);
	return e;
}

static int
sign(struct commit *c, const char *role, const json_t *signed_, struct buf *out)
{
	return release_commit_sign(json_object_get(json_object_get(c->root, "roles"), role), role, c->keys, signed_, out);
}

static int
put_file(struct commit *c, const char *name, const struct buf *b)
{
	return json_object_set_new(c->files, name, json_stringn((const char *)b->data, b->len)) < 0 ? FAULT(-ENOMEM)
												    : 0;
}

static const char *
name_file(char out[TUF_FILE_MAX + 32], const char *role, uint64_t version)
{
	char name[TUF_FILE_MAX];

	(void)snprintf(out, TUF_FILE_MAX + 32, "%llu.%s.json", (unsigned long long)version, tuf_file_name(name, role));
	return out;
}

static int
put_document(struct commit *c, const char *role, const json_t *text)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	const char *bytes = json_string_value(text);
	size_t len = json_string_length(text);
	char file[TUF_FILE_MAX + 32], member[TUF_ROLE_MAX + 8];
	bool root = !strcmp(role, "root");
	int r = tuf_split(&s, bytes, len, TUF_TARGETS_MAX, role);

	r = r ?: tuf_parse(&signed_, &s.canonical, role);
	r = r ?: tuf_check(signed_, root ? "root" : "targets", role);
	if (r)
		return r;
	if (root) {
		json_decref(c->root);
		c->root = json_incref(signed_);
	} else {
		(void)snprintf(member, sizeof(member), "%s.json", role);
		if (json_object_set_new(c->meta, member, tuf_repo_meta(bytes, len, tuf_version(signed_))) < 0)
			return FAULT(-ENOMEM);
	}
	if (json_object_set(c->files, name_file(file, role, tuf_version(signed_)), (json_t *)text) < 0)
		return FAULT(-ENOMEM);
	return 0;
}

static int
put_timestamp(struct commit *c, const void *snapshot, size_t len, uint64_t version)
{
	const json_t *old = release_repo_signed(c->r, "timestamp");
	uint64_t life_us = c->r->timestamp_life_us ?: RELEASE_TIMESTAMP_LIFE_S * CLOCK_US_PER_S;
	SCOPED_JSON *timestamp = tuf_repo_new("timestamp", old ? tuf_version(old) + 1 : 1, c->r->now_us + life_us);
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TIMESTAMP_MAX);
	json_t *listed = tuf_repo_meta(snapshot, len, version);
	int r;

	if (!listed || json_object_set_new(timestamp, "meta", json_pack("{s:o}", "snapshot.json", listed)) < 0)
		return FAULT(-ENOMEM);
	r = sign(c, "timestamp", timestamp, &b);
	return r ?: put_file(c, "timestamp.json", &b);
}

static bool
has_key_of(struct commit *c, const char *role)
{
	for (size_t i = 0; i < c->keys->n; i++)
		if (release_keys_is_of(c->keys->key[i], json_object_get(json_object_get(c->root, "roles"), role)))
			return true;
	return false;
}

/* Where nothing else is new and the snapshot outlives the timestamp, the timestamp's key alone is enough: the host that
 * renews it daily needs no other. */
static int
keep_snapshot(struct commit *c, const json_t *old)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_SNAPSHOT_MAX);
	int r = release_repo_document(c->r, "snapshot", &b);

	return r ?: put_timestamp(c, b.data, b.len, tuf_version(old));
}

static int
put_snapshot(struct commit *c, bool changed)
{
	const json_t *old = release_repo_signed(c->r, "snapshot");
	uint64_t version = old ? tuf_version(old) + 1 : 1,
		 life_us = c->r->timestamp_life_us ?: RELEASE_TIMESTAMP_LIFE_S * CLOCK_US_PER_S;
	SCOPED_JSON *snapshot =
		tuf_repo_new("snapshot", version, c->r->now_us + RELEASE_SNAPSHOT_LIFE_S * CLOCK_US_PER_S);
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_SNAPSHOT_MAX);
	char file[TUF_FILE_MAX + 32], until[CLOCK_TEXT_MAX];
	int r;

	if (!changed && old && !has_key_of(c, "snapshot") && tuf_expires_us(old) > c->r->now_us + life_us)
		return keep_snapshot(c, old);
	if (!changed && old && !has_key_of(c, "snapshot"))
		return REFUSE(REASON_UNKNOWN_KEY, "snapshot",
			"ends %s, before a new timestamp would, and its key is not here: refresh where it is",
			clock_format_s(until, tuf_expires_us(old)));
	if (!snapshot || json_object_set(snapshot, "meta", c->meta) < 0)
		return FAULT(-ENOMEM);
	r = sign(c, "snapshot", snapshot, &b);
	r = r ?: put_file(c, name_file(file, "snapshot", version), &b);
	return r ?: put_timestamp(c, b.data, b.len, version);
}

static int
make_files(struct commit *c, const struct release_change *change)
{
	const json_t *old = release_repo_signed(c->r, "snapshot"), *text;
	const char *role;
	int r = 0;

	c->root = json_incref((json_t *)release_repo_signed(c->r, "root"));
	c->files = json_object();
	c->meta = old ? json_copy_whole(json_object_get(old, "meta"), JSON_SHALLOW) : json_object();
	if (!c->files || !c->meta)
		return FAULT(-ENOMEM);
	if (change)
		json_object_foreach(change->documents, role, text)
			r = r ?: put_document(c, role, text);
	return r ?: put_snapshot(c, change && json_object_size(change->documents));
}

/* --- trying -------------------------------------------------------------------------------------- */
/* A client that trusts what is there now takes the step. */
static int
try_known(const struct commit *c, struct release_repo *next)
{
	static const char *const roles[] = { "timestamp", "snapshot", "targets" };
	SCOPED(tuf_client_freep) struct tuf_client *client = NULL;
	struct tuf_want w;
	size_t len;
	const void *p = tuf_client_bytes(c->r->client, "root", &len);
	int r = tuf_client_new(&client, p, len, 1);

	for (size_t i = 0; !r && i < ARRAY_LEN(roles); i++) {
		p = tuf_client_bytes(c->r->client, roles[i], &len);
		r = tuf_client_offer(client, roles[i], p, len);
	}
	while (!r && tuf_client_want(client, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(w.cap);

		r = release_repo_read(next, w.file, w.cap, &b);
		r = r == REASON_NOT_FOUND ? tuf_client_absent(client)
			: r		  ? r
					  : tuf_client_update(client, w.role, b.data, b.len);
	}
	return r;
}

/* The view of the new state becomes r's. */
static int
try_files(struct commit *c)
{
	struct release_repo next = *c->r;
	int r;

	next.client = NULL;
	next.delegated = NULL;
	next.overlay = c->files;
	r = release_repo_load(&next, false);
	if (!r && c->r->client)
		r = try_known(c, &next);
	if (r) {
		tuf_client_free(next.client);
		json_decref(next.delegated);
		return r;
	}
	tuf_client_free(c->r->client);
	json_decref(c->r->delegated);
	c->r->client = next.client;
	c->r->delegated = next.delegated;
	return 0;
}

/* --- what was left ------------------------------------------------------------------------------- */
bool
release_commit_is_left_over(const struct release_repo *r, const char *file)
{
	const char *dot = strchr(file, '.');
	char number[24], role[TUF_ROLE_MAX + 1];
	const json_t *is;
	uint64_t version;
	size_t len;

	if (!dot || (size_t)(dot - file) >= sizeof(number))
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", (int)(dot - file), file);
	len = strlen(++dot);
	if (number_u64(&version, number, UINT64_C(1) << 53) != 0 || len <= 5 || len > sizeof(role) ||
		strcmp(dot + len - 5, ".json") != 0)
		return false;
	(void)snprintf(role, sizeof(role), "%.*s", (int)(len - 5), dot);
	is = release_repo_signed(r, role);
	return strcmp(role, "root") != 0 && is && version > tuf_version(is);
}

bool
release_commit_is_begun(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strncmp(slash ? slash + 1 : path, FS_PASSING, strlen(FS_PASSING)) == 0;
}

/* Files that a command which was cut off had begun.  The repository is locked: nobody writes them now. */
static int
sweep_begun(const struct release_repo *r)
{
	static const struct {
		const char *name;
		unsigned depth;
	} folders[] = { { "packs", 0 }, { "patches", 0 }, { "objects", 1 }, { "tuf", 4 } }; /* tuf/targets/services/NAME/VERSION */
	int left = 0;

	for (size_t i = 0; left == 0 && i < ARRAY_LEN(folders); i++) {
		SCOPED(scope_close) int fd = openat(r->fd, folders[i].name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
			return FAULT(-errno);
		left = fd < 0 ? 0 : fs_sweep(fd, folders[i].depth);
	}
	return left;
}

/* What no client was ever told of. */
static int
sweep(struct release_repo *r)
{
	int fd = openat(r->tuf_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int left;

	if (!d)
		return FAULT(-errno);
	while ((e = readdir(d)))
		if (release_commit_is_left_over(r, e->d_name) && unlinkat(r->tuf_fd, e->d_name, 0) < 0)
			return FAULT(-errno);
	left = sweep_begun(r);
	return left ?: release_swap_sweep(r->fd);
}

/* --- writing ------------------------------------------------------------------------------------- */
static int
write_file(int fd, const char *name, const json_t *text)
{
	return FAULT(fs_replace(fd, name, json_string_value(text), json_string_length(text), 0644));
}

static bool
is_snapshot(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && !strcmp(dot, ".snapshot.json");
}

/* Roles, the snapshot that lists them, the timestamp that lists it. */
static int
write_in_order(const struct commit *c, int fd)
{
	const json_t *text;
	const char *name;
	int r = 0;

	for (int late = 0; late <= 1; late++)
		json_object_foreach(c->files, name, text)
			if (!r && strcmp(name, "timestamp.json") != 0 && is_snapshot(name) == late)
				r = write_file(fd, name, text);
	return r ?: write_file(fd, "timestamp.json", json_object_get(c->files, "timestamp.json"));
}

static int
write_swapped(const struct commit *c)
{
	SCOPED(scope_close) int next_fd = -1;
	int r = release_swap_begin(&next_fd, c->r->fd, c->r->tuf_fd);

	r = r ?: write_in_order(c, next_fd);
	r = r ?: release_swap_finish(c->r->fd);
	if (r)
		return r;
	scope_close(&c->r->tuf_fd);
	c->r->tuf_fd = STEAL_FD(next_fd);
	return 0;
}

int
release_commit(struct release_repo *r, const struct release_keys *keys, const struct release_change *change)
{
	SCOPED(commit_done) struct commit c = { .r = r, .keys = keys };
	bool root = change && json_object_get(change->documents, "root");
	int e = r->client ? sweep(r) : 0;

	e = e ?: root ? release_swap_able(r->fd) : 0;

	/* Everything is signed, and tried, before the first file changes. */
	e = e ?: make_files(&c, change);
	e = e ?: try_files(&c);
	if (e)
		return e < 0 ? FAULT(e) : e;
	e = root ? write_swapped(&c) : write_in_order(&c, r->tuf_fd);
	return FAULT(e);
}
