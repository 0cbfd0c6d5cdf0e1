#include "updater/release/release_repo.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/file.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/beneath.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"

/* --- files ---------------------------------------------------------------------------------------- */
int
release_repo_read(const struct release_repo *r, const char *file, size_t max, struct buf *out)
{
	const json_t *text = json_object_get(r->overlay, file);
	int e;

	if (text) {
		buf_put(out, json_string_value(text), json_string_length(text));
		return FAULT(buf_error(out));
	}
	e = fs_read(r->tuf_fd, file, max, out);
	if (e == REASON_TOO_LARGE)
		return REFUSE(e, file, "more than %zu bytes", max);
	return e < 0 ? FAULT(e) : e;
}

static const json_t *
listed(const struct release_repo *r, const char *role)
{
	char name[TUF_ROLE_MAX + 8];

	(void)snprintf(name, sizeof(name), "%s.json", role);
	return json_object_get(json_object_get(release_repo_signed(r, "snapshot"), "meta"), name);
}

static const char *
file_of(char out[TUF_FILE_MAX + 32], const char *role, uint64_t version)
{
	char name[TUF_FILE_MAX];

	(void)snprintf(out, TUF_FILE_MAX + 32, "%llu.%s.json", (unsigned long long)version,
		tuf_file_name(name, role));
	return out;
}

int
release_repo_document(const struct release_repo *r, const char *role, struct buf *out)
{
	const json_t *is = release_repo_signed(r, role);
	char file[TUF_FILE_MAX + 32];

	if (!strcmp(role, "timestamp"))
		return release_repo_read(r, "timestamp.json", TUF_TIMESTAMP_MAX, out);
	return is ? release_repo_read(r, file_of(file, role, tuf_version(is)), TUF_TARGETS_MAX, out)
		  : (int)REASON_NOT_FOUND;
}

/* --- a client over the folder -------------------------------------------------------------------- */
static int
feed(struct release_repo *r)
{
	struct tuf_want w;

	while (tuf_client_want(r->client, &w)) {
		SCOPED(buf_done) struct buf b = BUF_MAX(w.cap);
		int e = release_repo_read(r, w.file, w.cap, &b);

		if (e == REASON_NOT_FOUND)
			e = tuf_client_absent(r->client);
		else if (!e)
			e = tuf_client_update(r->client, w.role, b.data, b.len);
		if (e)
			return e < 0 ? FAULT(e) : e;
	}
	return 0;
}

static int
find_target(struct release_repo *r, const char *path, struct tuf_target *ret)
{
	int e;

	while ((e = tuf_client_target(r->client, path, ret)) == TUF_WANTS) {
		e = feed(r);
		if (e)
			return e;
	}
	return e;
}

/* One delegated role as the snapshot lists it, whether or not any path leads there. */
static int
load_delegated(struct release_repo *r, const char *role, const json_t *meta, bool judge_dates)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	const json_t *keys, *of = release_repo_role(r, role, &keys);
	uint64_t version = (uint64_t)json_integer_value(json_object_get(meta, "version"));
	char file[TUF_FILE_MAX + 32];
	int e;

	e = release_repo_read(r, file_of(file, role, version), TUF_TARGETS_MAX, &b);
	if (e == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, file, "the snapshot lists it, and it is not there");
	e = e ?: tuf_split(&s, b.data, b.len, TUF_TARGETS_MAX, file);
	e = e ?: tuf_measure_check(meta, false, s.length, s.sha256, s.sha512, file);
	e = e ?: tuf_verify(&s, keys, of, file);
	e = e ?: tuf_parse(&signed_, &s.canonical, file);
	e = e ?: tuf_check(signed_, "targets", file);
	if (!e && tuf_version(signed_) != version)
		e = REFUSE(REASON_ALTERED, file, "holds version %llu", (unsigned long long)tuf_version(signed_));
	/* Sites would follow it; who may sign what is to be seen in one place all the same. */
	if (!e && json_array_size(json_object_get(json_object_get(signed_, "delegations"), "roles")))
		e = REFUSE(REASON_CONFLICT, role, "delegates further, and here targets alone delegate: delegate SERVICE --to REPO");
	if (!e && judge_dates && tuf_expires_us(signed_) <= r->now_us)
		e = REFUSE(REASON_EXPIRED, role, "its signatures have ended; its own signers renew them");
	if (!e && json_object_set(r->delegated, role, signed_) < 0)
		e = -ENOMEM;
	return e < 0 ? FAULT(e) : e;
}

static int
load_all_delegated(struct release_repo *r, bool judge_dates)
{
	const json_t *targets = release_repo_signed(r, "targets"),
		     *roles = json_object_get(json_object_get(targets, "delegations"), "roles"), *one;
	size_t i;
	int e = 0;

	/* A role is listed only once its own people signed for it. */
	json_array_foreach((json_t *)roles, i, one)
	{
		const char *role = json_string_value(json_object_get(one, "name"));
		const json_t *meta = listed(r, role);

		if (!e && meta)
			e = load_delegated(r, role, meta, judge_dates);
	}
	return e;
}

int
release_repo_load(struct release_repo *r, bool judge_dates)
{
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	int e;

	json_decref(r->delegated);
	r->delegated = json_object();
	r->client = tuf_client_free(r->client);
	e = release_repo_read(r, "1.root.json", TUF_ROOT_MAX, &root);
	if (e == REASON_NOT_FOUND)
		return REFUSE(e, "tuf/1.root.json", "cannot be read: is this a repository?");
	e = e ?: tuf_client_new(&r->client, root.data, root.len, judge_dates ? r->now_us : 1);
	e = e ?: feed(r);
	e = e ?: load_all_delegated(r, judge_dates);
	return e < 0 ? FAULT(e) : e;
}

int
release_repo_folders(struct release_repo *r, const char *repo, bool make)
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
	/* A folder that is none gets no folders from us. */
	if (!e && !make && faccessat(r->fd, "tuf", F_OK, 0) != 0)
		e = REFUSE(REASON_NOT_FOUND, repo, "has no folder tuf: is this a repository?");
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
	e = release_repo_folders(r, repo, false);
	e = e ?: release_repo_load(r, judge_dates);
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
	json_decref(r->delegated);
	scope_close(&r->draft_fd);
	scope_close(&r->objects_fd);
	scope_close(&r->tuf_fd);
	scope_close(&r->fd);
	free(r);
	return NULL;
}

/* --- roles ---------------------------------------------------------------------------------------- */
const json_t *
release_repo_signed(const struct release_repo *r, const char *role)
{
	return json_object_get(r->delegated, role) ?: r->client ? tuf_client_signed(r->client, role) : NULL;
}

const json_t *
release_repo_role_in(const json_t *root, const json_t *targets, const char *role, const json_t **ret_keys)
{
	const json_t *d = json_object_get(targets, "delegations"), *roles = json_object_get(d, "roles"),
		     *own = json_object_get(json_object_get(root, "roles"), role);

	*ret_keys = own ? json_object_get(root, "keys") : json_object_get(d, "keys");
	for (size_t i = 0; !own && i < json_array_size(roles); i++)
		if (!strcmp(json_text(json_array_get(roles, i), "name"), role))
			return json_array_get(roles, i);
	return own;
}

const json_t *
release_repo_role(const struct release_repo *r, const char *role, const json_t **ret_keys)
{
	return release_repo_role_in(release_repo_signed(r, "root"), release_repo_signed(r, "targets"), role, ret_keys);
}

const json_t *
release_repo_people(const struct release_repo *r, const json_t **ret_keys)
{
	return release_repo_role(r, RELEASE_PEOPLE_ROLE, ret_keys);
}

static bool
fits(const json_t *role, const char *path)
{
	const json_t *paths = json_object_get(role, "paths");

	for (size_t i = 0; i < json_array_size(paths); i++) {
		const char *pattern = json_string_value(json_array_get(paths, i));

		if (fnmatch(pattern, path, FNM_PATHNAME | FNM_NOESCAPE) == 0)
			return true;
	}
	return false;
}

const char *
release_repo_owner(const struct release_repo *r, const char *path)
{
	const json_t *targets = release_repo_signed(r, "targets"),
		     *roles = json_object_get(json_object_get(targets, "delegations"), "roles");

	for (size_t i = 0; i < json_array_size(roles); i++)
		if (fits(json_array_get(roles, i), path))
			return json_text(json_array_get(roles, i), "name");
	return "targets";
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

	e = find_target(r, path, &t);
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
