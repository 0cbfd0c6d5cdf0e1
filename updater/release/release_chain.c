#include "updater/release/release_chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/key.h"
#include "updater/release/release_repo.h"

void
release_chain_done(struct release_chain *c)
{
	json_decref(c->roots);
	c->roots = NULL;
}

static int
read_root(struct release_chain *c, const struct release_repo *r, uint64_t version)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	char file[48];
	int e;

	(void)snprintf(file, sizeof(file), "%llu.root.json", (unsigned long long)version);
	e = fs_read(r->tuf_fd, file, TUF_ROOT_MAX, &b);
	if (e > 0)
		return FAULT(-EBUSY); /* opening the repository read it a moment ago, under the same limit */
	e = e ?: tuf_split(&s, b.data, b.len, TUF_ROOT_MAX, file);
	e = e ?: tuf_parse(&signed_, &s.canonical, file);
	e = e ?: tuf_check(signed_, "root", file);
	if (!e && json_array_append(c->roots, signed_) < 0)
		e = -ENOMEM;
	return e < 0 ? FAULT(e) : e;
}

int
release_chain_read(struct release_chain *ret, const struct release_repo *r)
{
	uint64_t present = tuf_version(release_repo_signed(r, "root"));
	int e = 0;

	ret->roots = json_array();
	if (!ret->roots)
		return FAULT(-ENOMEM);
	for (uint64_t version = 1; !e && version <= present; version++)
		e = read_root(ret, r, version);
	return e;
}

/* --- signatures ---------------------------------------------------------------------------------- */
static int
key_signed(const struct tuf_split *s, size_t i, const json_t *obj, const char *operand)
{
	SCOPED(tuf_key_freep) struct tuf_key *key = NULL;
	int r = tuf_key_new(&key, obj, operand);

	if (r)
		return r < 0 ? FAULT(r) : 0;
	r = tuf_key_verify(key, s->canonical.data, s->canonical.len, s->sigs[i].sig);
	return !r && errno == ENOMEM ? FAULT(-ENOMEM) : r;
}

/* 1: it is; 0: it is not; or a fault. */
static int
is_good(const struct tuf_split *s, size_t i, const json_t *keys, const json_t *role, const char *file)
{
	const json_t *ids = json_object_get(role, "keyids"), *obj = json_object_get(keys, s->sigs[i].keyid);
	bool of_role = false;

	for (size_t j = 0; j < json_array_size(ids); j++)
		of_role |= !strcmp(json_string_value(json_array_get(ids, j)), s->sigs[i].keyid);
	return of_role && obj ? key_signed(s, i, obj, file) : 0;
}

int
release_chain_signed(const struct tuf_split *s, const json_t *keys, const char *keyid)
{
	const json_t *obj = json_object_get(keys, keyid);

	for (size_t i = 0; i < s->n_sigs; i++)
		if (!strcmp(s->sigs[i].keyid, keyid))
			return obj ? key_signed(s, i, obj, "key") : 0;
	return 0;
}

/* The same of them all. */
static int
all_good(const struct tuf_split *s, const json_t *keys, const json_t *role, const char *file)
{
	int r = 1;

	for (size_t i = 0; r > 0 && i < s->n_sigs; i++)
		r = is_good(s, i, keys, role, file);
	return r;
}

/* What a client needs is the threshold; in a repository that is whole no signature is a stranger's or wrong. */
int
release_chain_check_role(const struct tuf_split *s, const json_t *keys, const json_t *role, const char *file)
{
	int e = tuf_verify(s, keys, role, file), good = e ? 0 : all_good(s, keys, role, file);

	if (good < 0)
		return FAULT(good);
	if (!e && !good)
		e = REFUSE(REASON_BAD_SIGNATURE, file, "carries a signature that is not good, or nobody's of its role");
	return e;
}

static const json_t *
role_of(const json_t *root, const char *role)
{
	return json_object_get(json_object_get(root, "roles"), role);
}

static int
check_root(const struct release_chain *c, const struct tuf_split *s, uint64_t version, const char *file)
{
	const json_t *own = json_array_get(c->roots, version - 1), *before = json_array_get(c->roots, version - 2);

	if (!own)
		return REFUSE(REASON_ALTERED, file, "is not in the chain that ends with %zu.root.json",
			json_array_size(c->roots));
	for (size_t i = 0; i < s->n_sigs; i++) {
		int good = is_good(s, i, json_object_get(own, "keys"), role_of(own, "root"), file);

		if (good == 0 && before)
			good = is_good(s, i, json_object_get(before, "keys"), role_of(before, "root"), file);
		if (good < 0)
			return FAULT(good);
		if (!good)
			return REFUSE(REASON_BAD_SIGNATURE, file, "carries a signature that is not of its keys");
	}
	return 0; /* that they are enough, the client found when it walked the chain */
}

int
release_chain_check(const struct release_chain *c, const struct tuf_split *s, const char *role, uint64_t version,
	uint64_t present, const char *file)
{
	size_t n = json_array_size(c->roots), oldest = version && version < present ? 0 : n - 1;
	const json_t *newest = json_array_get(c->roots, n - 1);

	if (!strcmp(role, "root"))
		return check_root(c, s, version, file);
	for (size_t i = n; i-- > oldest;) {
		const json_t *root = json_array_get(c->roots, i), *of = role_of(root, role);
		int good = s->n_sigs < (size_t)json_integer_value(json_object_get(of, "threshold"))
			? 0
			: all_good(s, json_object_get(root, "keys"), of, file);

		if (good)
			return good < 0 ? FAULT(good) : 0;
	}
	return release_chain_check_role(s, json_object_get(newest, "keys"), role_of(newest, role), file);
}

static int
signed_by_any(const struct tuf_split *s, const json_t *const *keys, size_t n, const char *keyid)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = release_chain_signed(s, keys[i], keyid);
	return r;
}

int
release_chain_join(const struct tuf_split *a, const struct tuf_split *b, const json_t *const *keys, size_t n,
	struct buf *out)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *sigs = tuf_split_sigs(a), *more = tuf_split_sigs(b);
	int r;

	if (!sigs || !more)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < json_array_size(more); i++) {
		const json_t *one = json_array_get(more, i);
		const char *id = json_text(one, "keyid");
		size_t at = 0;

		while (at < a->n_sigs && strcmp(a->sigs[at].keyid, id) != 0)
			at++;
		if (at < a->n_sigs) {
			int ours = signed_by_any(a, keys, n, id), theirs = ours ? 0 : signed_by_any(b, keys, n, id);

			if (ours < 0 || theirs < 0)
				return FAULT(ours < 0 ? ours : theirs);
			if (!theirs)
				continue;
		}
		if ((at < a->n_sigs ? json_array_set(sigs, at, (json_t *)one) : json_array_append(sigs, (json_t *)one)) < 0)
			return FAULT(-ENOMEM);
	}
	r = tuf_split_join(&s, a->canonical.data, a->canonical.len, sigs, "draft");
	return r ?: tuf_split_document(&s, out);
}
