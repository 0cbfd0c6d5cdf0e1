/* A new repository: the first root, targets that delegate people, and nothing published yet. */
#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"

static uint64_t
after(const struct release_repo *r, uint64_t life_s)
{
	return r->now_us + life_s * CLOCK_US_PER_S;
}

/* A role of the keys WORD-1..n, or of the one called word where n is 0. */
static int
role_of(const struct release_keys *keys, const char *word, unsigned n, unsigned threshold,
	json_t *all, json_t **ret)
{
	uint8_t raw[RELEASE_KEYS_MAX][32];
	unsigned have = 0;

	for (unsigned i = n ? 1 : 0; i <= n && have < RELEASE_KEYS_MAX; i++) {
		char name[48];
		const uint8_t *key;

		(void)snprintf(name, sizeof(name), n ? "%s-%u" : "%s", word, i);
		key = release_keys_named(keys, name);
		if (!key)
			return REFUSE(REASON_UNKNOWN_KEY, name, "this key is not here");
		memcpy(raw[have++], key, 32);
	}
	*ret = tuf_repo_role(all, raw, have, threshold);
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
sign_by(const json_t *root, const char *role, const struct release_keys *keys, const json_t *signed_, struct buf *out)
{
	return release_commit_sign(json_object_get(json_object_get(root, "roles"), role), role, keys, signed_, out);
}

static int
make_root(const struct release_repo *r, const struct release_keys *keys, unsigned m, unsigned n,
	json_t **ret, struct buf *out)
{
	static const char *const ones[] = { "timestamp", "snapshot", "targets" };
	SCOPED_JSON *root = tuf_repo_new("root", 1, after(r, RELEASE_ROOT_LIFE_S));
	SCOPED_JSON *all = json_object(), *roles = json_object();
	json_t *role = NULL;
	int e = role_of(keys, "root", n, m, all, &role);

	if (e)
		return e;
	if (json_object_set_new(roles, "root", role) < 0)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < ARRAY_LEN(ones); i++) {
		e = role_of(keys, ones[i], 0, 1, all, &role);
		if (e)
			return e;
		if (json_object_set_new(roles, ones[i], role) < 0)
			return FAULT(-ENOMEM);
	}
	if (json_object_set(root, "keys", all) < 0 || json_object_set(root, "roles", roles) < 0 ||
		json_object_set_new(root, "consistent_snapshot", json_true()) < 0)
		return FAULT(-ENOMEM);
	e = sign_by(root, "root", keys, root, out);
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
	json_t *people = NULL, *delegations;
	int e = role_of(keys, "officer", n, m, all, &people);

	if (e)
		return e;
	if (json_object_set_new(people, "name", json_string(RELEASE_PEOPLE_ROLE)) < 0 ||
		json_object_set_new(people, "terminating", json_true()) < 0 ||
		json_object_set_new(people, "paths", json_pack("[s]", "people/*")) < 0) {
		json_decref(people);
		return FAULT(-ENOMEM);
	}
	delegations = json_pack("{s:O, s:[o]}", "keys", all, "roles", people);
	if (json_object_set_new(targets, "delegations", delegations) < 0 ||
		json_object_set_new(targets, "targets", json_object()) < 0)
		return FAULT(-ENOMEM);
	return sign_by(root, "targets", keys, targets, out);
}

int
release_repo_init(const char *repo, const struct release_keys *keys, unsigned root_m,
	unsigned root_n, unsigned officers_m, unsigned officers_n, uint64_t now_us)
{
	SCOPED(release_repo_closep) struct release_repo *r = calloc(1, sizeof(*r));
	SCOPED(buf_done) struct buf root = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(buf_done) struct buf targets = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED_JSON *root_signed = NULL;
	struct release_change change = { NULL };
	int e;

	if (!r)
		return FAULT(-ENOMEM);
	r->now_us = now_us;
	r->fd = r->tuf_fd = r->objects_fd = r->draft_fd = -1;
	/* First what may be refused for want of keys: then nothing is there of it. */
	e = make_root(r, keys, root_m, root_n, &root_signed, &root);
	e = e ?: make_targets(r, keys, root_signed, officers_m, officers_n, &targets);
	e = e ?: release_repo_folders(r, repo, true);
	if (e)
		return e;
	if (faccessat(r->tuf_fd, "1.root.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return REFUSE(REASON_CONFLICT, repo, "is a repository already");
	e = release_change_put(&change, "root", root.data, root.len);
	e = e ?: release_change_put(&change, "targets", targets.data, targets.len);
	e = e ?: release_commit(r, keys, &change);
	release_change_done(&change);
	return e;
}
