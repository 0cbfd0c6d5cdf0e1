#include "updater/release/release_role.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_chain.h"
#include "updater/release/release_keyfile.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

/* --- documents ------------------------------------------------------------------------------------ */
static int
stamp(json_t *signed_, uint64_t version, uint64_t expires_us)
{
	char text[CLOCK_TEXT_MAX];
	int r = json_put_u64(signed_, "version", version);

	return r ?: json_put_text(signed_, "expires", clock_format_s(text, expires_us));
}

int
release_role_renew(const struct release_repo *r, const char *role, json_t **ret)
{
	const json_t *was = release_repo_signed(r, role), *keys;
	uint64_t life_s = !strcmp(role, RELEASE_PEOPLE_ROLE) ? RELEASE_PEOPLE_LIFE_S : RELEASE_TARGETS_LIFE_S,
		 expires_us = r->now_us + life_s * CLOCK_US_PER_S;
	SCOPED_JSON *signed_ = NULL;
	int e;

	if (!release_repo_role(r, role, &keys) || !strcmp(role, "root") || !strcmp(role, "snapshot") ||
		!strcmp(role, "timestamp"))
		return REFUSE(REASON_NOT_FOUND, role, "is no role that lists releases");
	signed_ = was ? json_copy_whole(was, JSON_DEEP) : tuf_repo_new("targets", 1, expires_us);
	if (!signed_ || (!was && json_object_set_new(signed_, "targets", json_object()) < 0))
		return FAULT(-ENOMEM);
	e = stamp(signed_, was ? tuf_version(was) + 1 : 1, expires_us);
	if (e)
		return FAULT(e);
	*ret = STEAL(signed_);
	return 0;
}

/* --- keys of a role ------------------------------------------------------------------------------- */
static int
find_key(char out[65], const json_t *role, const char *text)
{
	const json_t *ids = json_object_get(role, "keyids");
	size_t len = strlen(text);
	uint8_t raw[32];
	int r;

	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));

		if (len >= 8 && len <= 64 && !strncmp(id, text, len)) {
			(void)snprintf(out, 65, "%s", id);
			return 0;
		}
	}
	r = release_keyfile_public(raw, text);
	r = r ?: release_keys_id(out, raw);
	if (!r && !release_keys_listed(role, out))
		r = REFUSE(REASON_NOT_FOUND, text, "is no key of this role");
	return r;
}

static int
remove_key(json_t *role, const char *text)
{
	json_t *ids = json_object_get(role, "keyids");
	char id[65];
	int r = find_key(id, role, text);

	for (size_t i = 0; !r && i < json_array_size(ids); i++)
		if (!strcmp(json_string_value(json_array_get(ids, i)), id)) {
			(void)json_array_remove(ids, i);
			break;
		}
	return r;
}

static int
add_key(json_t *keys, json_t *role, const char *text)
{
	SCOPED_JSON *obj = NULL;
	uint8_t raw[32];
	char id[65];
	int r = release_keyfile_public(raw, text);

	if (r)
		return r;
	obj = tuf_key_ed25519(raw);
	r = obj ? tuf_key_id(id, obj) : FAULT(-ENOMEM);
	if (!r && release_keys_listed(role, id))
		r = REFUSE(REASON_CONFLICT, text, "is a key of this role already");
	if (!r && (json_object_set(keys, id, obj) < 0 ||
			  json_array_append_new(json_object_get(role, "keyids"), json_string(id)) < 0))
		r = FAULT(-ENOMEM);
	return r;
}

static int
edit_role(json_t *keys, json_t *role, const struct release_role_edit *e)
{
	json_int_t threshold;
	size_t n;
	int r = 0;

	for (size_t i = 0; !r && i < e->n_remove; i++)
		r = remove_key(role, e->remove[i]);
	for (size_t i = 0; !r && i < e->n_add; i++)
		r = add_key(keys, role, e->add[i]);
	if (!r && e->threshold)
		r = json_put_u64(role, "threshold", e->threshold);
	if (r)
		return r < 0 ? FAULT(r) : r;
	threshold = json_integer_value(json_object_get(role, "threshold"));
	n = json_array_size(json_object_get(role, "keyids"));
	if (threshold < 1 || (size_t)threshold > n)
		return REFUSE(REASON_CONFLICT, e->role, "%lld of its %zu keys would have to sign: nobody could",
			(long long)threshold, n);
	return 0;
}

/* Keys that no role of these names go. */
static void
drop_unused(json_t *keys, const json_t *const *roles, size_t n)
{
	const char *id;
	json_t *key;
	void *more;

	json_object_foreach_safe(keys, more, id, key)
	{
		bool used = false;

		for (size_t i = 0; i < n; i++)
			used |= release_keys_listed(roles[i], id);
		if (!used)
			(void)json_object_del(keys, id);
	}
}

/* Would the present document of a role go on counting, and every signature on it be one of its keys?  1: yes, or there is
 * none; 0: no; or a fault. */
static int
still_counts(const struct release_repo *r, const char *role, const json_t *keys, const json_t *of)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	int e = release_repo_document(r, role, &b);

	if (e == REASON_NOT_FOUND)
		return 1;
	e = e ?: tuf_split(&s, b.data, b.len, TUF_TARGETS_MAX, role);
	if (e)
		return e < 0 ? FAULT(e) : 0; /* what cannot be read is made anew */
	for (size_t i = 0; i < s.n_sigs; i++) {
		int is = release_keys_listed(of, s.sigs[i].keyid) ? release_chain_signed(&s, keys, s.sigs[i].keyid) : 0;

		if (is <= 0)
			return FAULT(is);
	}
	return s.n_sigs >= (size_t)json_integer_value(json_object_get(of, "threshold"));
}

static int
follow(const struct release_repo *r, const char *role, json_t *next, const json_t *keys, const json_t *of)
{
	json_t *signed_ = NULL;
	int e = still_counts(r, role, keys, of);

	if (e)
		return e < 0 ? e : 0;
	e = release_role_renew(r, role, &signed_);
	if (!e && json_object_set_new(next, role, signed_) < 0)
		e = FAULT(-ENOMEM);
	return e;
}

/* --- root ----------------------------------------------------------------------------------------- */
int
release_role_root(const struct release_repo *r, const struct release_role_edit *edits, size_t n, uint64_t life_us,
	json_t **ret_next)
{
	static const char *const names[] = { "root", "targets", "snapshot", "timestamp" };
	const json_t *was = release_repo_signed(r, "root"), *all[ARRAY_LEN(names)];
	SCOPED_JSON *root = json_copy_whole(was, JSON_DEEP), *next = json_pack("{s:O}", "root", root);
	json_t *keys = json_object_get(root, "keys"), *roles = json_object_get(root, "roles");
	int e = next ? stamp(root, tuf_version(was) + 1, r->now_us + life_us) : -ENOMEM;

	if (e)
		return FAULT(e);
	for (size_t i = 0; !e && i < n; i++) {
		json_t *role = json_object_get(roles, edits[i].role);

		e = role ? edit_role(keys, role, &edits[i])
			 : REFUSE(REASON_NOT_FOUND, edits[i].role, "root names root, targets, snapshot and timestamp");
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		all[i] = json_object_get(roles, names[i]);
	drop_unused(keys, all, ARRAY_LEN(all));
	e = e ?: follow(r, "targets", next, keys, json_object_get(roles, "targets"));
	if (!e)
		*ret_next = STEAL(next);
	return e;
}

/* --- delegations ---------------------------------------------------------------------------------- */
static int
check_name(const char *name)
{
	static const char *const own[] = { "root", "targets", "snapshot", "timestamp" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (!strcmp(own[i], name))
			return REFUSE(REASON_USAGE, name, "is a role of root: root draft changes it");
	if (!*name || strlen(name) > 63 || name[strspn(name, letters)] != '\0')
		return REFUSE(REASON_USAGE, name, "a role's name is a word of a-z, 0-9 and -");
	return 0;
}

static json_t *
find_delegation(json_t *targets, const char *name, size_t *ret_i)
{
	json_t *roles = json_object_get(json_object_get(targets, "delegations"), "roles");

	for (size_t i = 0; i < json_array_size(roles); i++)
		if (!strcmp(json_text(json_array_get(roles, i), "name"), name)) {
			*ret_i = i;
			return json_array_get(roles, i);
		}
	return NULL;
}

/* Services alone, each by its name: nobody is let into another's or into people. */
static int
put_paths(json_t *role, const char *const *paths, size_t n)
{
	SCOPED_JSON *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *name = !strncmp(paths[i], "services/", 9) ? paths[i] + 9 : "";
		size_t len = strspn(name, letters);

		if (!len || strcmp(name + len, "/*/*") != 0)
			return REFUSE(REASON_USAGE, paths[i], "a path is services/NAME/*/*, with the name of one service");
		if (json_array_append_new(list, json_string(paths[i])) < 0)
			return FAULT(-ENOMEM);
	}
	return json_object_set(role, "paths", list) < 0 ? FAULT(-ENOMEM) : 0;
}

static json_t *
add_delegation(json_t *targets, const char *name)
{
	json_t *d = json_object_get(targets, "delegations"),
	       *role = json_pack("{s:s, s:[], s:i, s:b}", "name", name, "keyids", "threshold", 1, "terminating", 1);

	/* The reference stays with the list. */
	return json_array_append_new(json_object_get(d, "roles"), role) < 0 ? NULL : role;
}

static void
drop_unused_delegated(json_t *targets)
{
	json_t *d = json_object_get(targets, "delegations"), *roles = json_object_get(d, "roles");
	const json_t *all[256];
	size_t n = json_array_size(roles);

	for (size_t i = 0; i < n && i < ARRAY_LEN(all); i++)
		all[i] = json_array_get(roles, i);
	if (n <= ARRAY_LEN(all))
		drop_unused(json_object_get(d, "keys"), all, n);
}

int
release_role_delegate(const struct release_repo *r, const struct release_role_edit *edit, const char *const *paths,
	size_t n_paths, json_t **ret_next)
{
	SCOPED_JSON *targets = NULL, *next = json_object();
	char path[96];
	const char *const one[] = { path };
	json_t *role, *keys;
	size_t at = 0;
	bool new;
	int e = check_name(edit->role);

	e = e ?: release_role_renew(r, "targets", &targets);
	if (e)
		return e;
	(void)snprintf(path, sizeof(path), "services/%s/*/*", edit->role);
	role = find_delegation(targets, edit->role, &at);
	new = !role;
	role = role ?: add_delegation(targets, edit->role);
	if (!role || !next)
		return FAULT(-ENOMEM);
	keys = json_object_get(json_object_get(targets, "delegations"), "keys");
	e = edit_role(keys, role, edit);
	if (!e && n_paths && !strcmp(edit->role, RELEASE_PEOPLE_ROLE))
		e = REFUSE(REASON_USAGE, "--path", "people vouch for people/* and nothing else");
	if (!e && (new || n_paths))
		e = put_paths(role, n_paths ? paths : one, n_paths ?: 1);
	drop_unused_delegated(targets);
	e = e ?: follow(r, edit->role, next, keys, role);
	if (!e && json_object_set(next, "targets", targets) < 0)
		e = FAULT(-ENOMEM);
	if (!e)
		*ret_next = STEAL(next);
	return e;
}

int
release_role_revoke(const struct release_repo *r, const char *role, bool adopt, json_t **ret_next,
	json_t **ret_releases)
{
	SCOPED_JSON *targets = NULL, *releases = json_array();
	const char *path;
	json_t *t, *list;
	size_t at = 0;
	int e = release_role_renew(r, "targets", &targets);

	if (e)
		return e;
	if (!find_delegation(targets, role, &at))
		return REFUSE(REASON_NOT_FOUND, role, "is no delegated role");
	if (!strcmp(role, RELEASE_PEOPLE_ROLE))
		return REFUSE(REASON_CONFLICT, role, "without officers nobody could be an engineer: change their keys instead");
	(void)json_array_remove(json_object_get(json_object_get(targets, "delegations"), "roles"), at);
	drop_unused_delegated(targets);
	list = json_object_get(targets, "targets");
	json_object_foreach((json_t *)json_object_get(release_repo_signed(r, role), "targets"), path, t)
	{
		char service[65];

		if (!e && release_role_service(service, path))
			e = release_role_keep_counter(r, targets, service);
		if (!e && (json_array_append_new(releases, json_string(path)) < 0 ||
				  (adopt && json_object_set(list, path, t) < 0)))
			e = FAULT(-ENOMEM);
	}
	if (e)
		return e;
	*ret_next = json_pack("{s:O}", "targets", targets);
	*ret_releases = STEAL(releases);
	return *ret_next ? 0 : FAULT(-ENOMEM);
}
