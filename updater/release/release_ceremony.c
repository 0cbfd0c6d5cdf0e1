#include "updater/release/release_ceremony.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_ceremony_check.h"
#include "updater/release/release_chain.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"

void
release_ceremony_done(struct release_ceremony *c)
{
	json_decref(c->roots);
	json_decref(c->present);
	json_decref(c->next);
	json_decref(c->root);
	json_decref(c->was);
	json_decref(c->is);
	*c = (struct release_ceremony){ .roots = NULL };
}

/* --- made ---------------------------------------------------------------------------------------- */
static json_t *
text_of(const struct buf *b)
{
	return json_stringn(buf_text(b), b->len);
}

static int
add_roots(struct release_ceremony *c, const struct release_repo *r)
{
	uint64_t newest = tuf_version(release_repo_signed(r, "root"));

	for (uint64_t version = 1; version <= newest; version++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_ROOT_MAX);
		char file[48];
		int e;

		(void)snprintf(file, sizeof(file), "%llu.root.json", (unsigned long long)version);
		e = release_repo_read(r, file, TUF_ROOT_MAX, &b);
		if (e)
			return e < 0 ? e : FAULT(-EBUSY); /* opening the repository read it a moment ago */
		if (json_array_append_new(c->roots, text_of(&b)) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

static int
add_present(struct release_ceremony *c, const struct release_repo *r, const char *role)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	int e;

	if (!strcmp(role, "root"))
		return 0;
	e = release_repo_document(r, role, &b);
	if (e == REASON_NOT_FOUND)
		return 0; /* its first */
	if (!e && json_object_set_new(c->present, role, text_of(&b)) < 0)
		e = FAULT(-ENOMEM);
	return e;
}

int
release_ceremony_new(struct release_ceremony *ret, struct release_repo *r, const json_t *next)
{
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = json_array(), .present = json_object(),
		.next = json_object() };
	const char *role;
	json_t *signed_;
	int e = c.roots && c.present && c.next ? 0 : FAULT(-ENOMEM);

	e = e ?: add_roots(&c, r);
	e = e ?: add_present(&c, r, "targets");
	json_object_foreach((json_t *)next, role, signed_)
	{
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);

		e = e ?: add_present(&c, r, role);
		e = e ?: tuf_repo_sign(&b, signed_, NULL, 0);
		if (!e && json_object_set_new(c.next, role, text_of(&b)) < 0)
			e = FAULT(-ENOMEM);
	}
	e = e ?: release_ceremony_check(&c, NULL, r->now_us);
	if (e)
		return e;
	*ret = c;
	c = (struct release_ceremony){ .roots = NULL };
	return 0;
}

/* --- the file ------------------------------------------------------------------------------------ */
int
release_ceremony_read(struct release_ceremony *ret, const char *file, const char *known, uint64_t now_us)
{
	struct members {
		uint64_t v;
		json_t *roots, *present, *next;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct members, v), .max = 1 },
		{ "roots", JSON_KIND_ARRAY, .offset = offsetof(struct members, roots), .max = TUF_KEYS_MAX },
		{ "present", JSON_KIND_OBJECT, .offset = offsetof(struct members, present), .max = RELEASE_CEREMONY_ROLES_MAX },
		{ "next", JSON_KIND_OBJECT, .offset = offsetof(struct members, next), .max = RELEASE_CEREMONY_ROLES_MAX },
	};
	SCOPED(release_ceremony_done) struct release_ceremony c = { .roots = NULL };
	SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_CEREMONY_MAX), known_bytes = BUF_MAX(TUF_ROOT_MAX * 2);
	SCOPED_JSON *doc = NULL;
	int r = fs_read(AT_FDCWD, file, RELEASE_CEREMONY_MAX, &b);

	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, file, "is no readable draft");
	r = known ? fs_read(AT_FDCWD, known, TUF_ROOT_MAX * 2, &known_bytes) : 0;
	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, known, "is no readable root document or trust card");
	r = json_read(&doc, b.data, b.len, RELEASE_CEREMONY_MAX, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	if (r)
		return r;
	c.roots = json_incref(in.roots);
	c.present = json_incref(in.present);
	c.next = json_incref(in.next);
	r = release_ceremony_check(&c, known ? &known_bytes : NULL, now_us);
	if (r)
		return r;
	*ret = c;
	c = (struct release_ceremony){ .roots = NULL };
	return 0;
}

int
release_ceremony_write(const struct release_ceremony *c, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_CEREMONY_MAX);
	SCOPED_JSON *doc =
		json_pack("{s:i, s:O, s:O, s:O}", "v", 1, "roots", c->roots, "present", c->present, "next", c->next);
	char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL; /* not OLPC: newlines are escaped */
	int r;

	if (!text)
		return FAULT(-ENOMEM);
	buf_puts(&b, text);
	free(text);
	r = buf_error(&b) ?: fs_replace_path(file, b.data, b.len, 0644);
	return r == -EMSGSIZE ? REFUSE(REASON_TOO_LARGE, file, "more than %d bytes", RELEASE_CEREMONY_MAX) : FAULT(r);
}

/* --- signing ------------------------------------------------------------------------------------- */
static bool
may_sign(const struct release_ceremony *c, const char *role, const struct release_key *key)
{
	const json_t *keys, *of = release_ceremony_role(c, role, false, &keys);

	if (release_keys_is_of(key, of))
		return true;
	return !strcmp(role, "root") && release_keys_is_of(key, release_ceremony_role(c, role, true, &keys));
}

static int
sign_one(struct release_ceremony *c, const char *role, const struct ed25519 *key)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(TUF_TARGETS_MAX);
	const json_t *text = json_object_get(c->next, role);
	int r = tuf_repo_cosign(&out, json_string_value(text), json_string_length(text), key);

	if (!r && json_object_set_new(c->next, role, text_of(&out)) < 0)
		r = FAULT(-ENOMEM);
	return r < 0 ? FAULT(r) : r;
}

int
release_ceremony_sign(struct release_ceremony *c, const struct release_keys *keys, bool required, size_t *ret_n)
{
	const char *role;
	json_t *text;
	void *more;

	*ret_n = 0;
	for (size_t i = 0; i < keys->n; i++) {
		const struct ed25519 *private;
		size_t before = *ret_n;

		json_object_foreach_safe(c->next, more, role, text)
		{
			int r = may_sign(c, role, keys->key[i]) ? release_keys_open(keys, i, &private) : (int)REASON_NOT_FOUND;

			if (r == REASON_NOT_FOUND)
				continue;
			r = r ?: sign_one(c, role, private);
			if (r)
				return r;
			++*ret_n;
		}
		if (required && *ret_n == before)
			return REFUSE(REASON_UNKNOWN_KEY, keys->key[i]->name, "is a key of no role that signs in this draft");
	}
	return 0;
}

static int
merge_one(struct release_ceremony *c, const char *role, const json_t *from)
{
	SCOPED(tuf_split_done) struct tuf_split ours = { 0 };
	SCOPED(tuf_split_done) struct tuf_split theirs = { 0 };
	SCOPED(buf_done) struct buf out = BUF_MAX(TUF_TARGETS_MAX);
	const json_t *text = json_object_get(c->next, role), *keys[2];
	int r = tuf_split(&ours, json_string_value(text), json_string_length(text), TUF_TARGETS_MAX, role);

	r = r ?: tuf_split(&theirs, json_string_value(from), json_string_length(from), TUF_TARGETS_MAX, role);
	if (r)
		return r;
	if (ours.canonical.len != theirs.canonical.len ||
		memcmp(ours.canonical.data, theirs.canonical.data, ours.canonical.len) != 0)
		return REFUSE(REASON_CONFLICT, role, "the files are of different drafts");
	/* As they will be, and, of a root, as they were. */
	(void)release_ceremony_role(c, role, false, &keys[0]);
	(void)release_ceremony_role(c, role, true, &keys[1]);
	r = release_chain_join(&ours, &theirs, keys, ARRAY_LEN(keys), &out);
	if (!r && json_object_set_new(c->next, role, text_of(&out)) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

int
release_ceremony_merge(struct release_ceremony *c, const struct release_ceremony *from)
{
	const char *role;
	json_t *text;
	int r = 0;

	if (json_object_size(c->next) != json_object_size(from->next))
		return REFUSE(REASON_CONFLICT, "draft", "the files are of different drafts");
	json_object_foreach(from->next, role, text)
	{
		if (!json_object_get(c->next, role))
			return REFUSE(REASON_CONFLICT, role, "the files are of different drafts");
		r = r ?: merge_one(c, role, text);
	}
	return r;
}

/* --- publishing ---------------------------------------------------------------------------------- */
static int
check_state(const struct release_ceremony *c, const struct release_repo *r)
{
	SCOPED(release_ceremony_done) struct release_ceremony now = { .roots = json_array(), .present = json_object() };
	const char *role;
	json_t *text, *is;
	int e = 0;

	json_object_foreach(c->is, role, is)
	{
		const json_t *present = release_repo_signed(r, role);

		if (present && tuf_version(is) <= tuf_version(present))
			return REFUSE(REASON_REPLAYED, role, "version %llu is published: this draft, or another one, went in",
				(unsigned long long)tuf_version(present));
	}
	e = add_roots(&now, r);
	json_object_foreach(c->present, role, text)
		e = e ?: add_present(&now, r, role);
	if (e)
		return e;
	if (!json_equal(now.roots, c->roots) || !json_equal(now.present, c->present))
		return REFUSE(REASON_STATE_MOVED, "draft",
			"the repository is no longer as it was when this was drafted: draft it anew");
	return 0;
}

int
release_ceremony_publish(const struct release_ceremony *c, struct release_repo *r, const struct release_keys *online)
{
	struct release_change change = { .documents = c->next };
	int e = check_state(c, r);

	e = e ?: release_ceremony_ready(c);
	return e ?: release_commit(r, online, &change);
}
