#include "updater/release/release_people.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sshkey.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_draft.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"

static const char draft_file[] = "people.json";	     /* the document */
static const char draft_role[] = "people.role.json"; /* metadata with the signatures so far */

/* --- the document -------------------------------------------------------------------------------- */
/* The officers' list that the document carries for readers; who signs is the delegation's matter.  NULL: no memory. */
static json_t *
officers(const struct release_repo *r)
{
	const json_t *keys, *role = release_repo_people(r, &keys),
			    *ids = json_object_get(role, "keyids");
	SCOPED_JSON *list = json_array();

	for (size_t i = 0; i < json_array_size(ids); i++) {
		const json_t *key =
			json_object_get(keys, json_string_value(json_array_get(ids, i)));
		char name[32];

		(void)snprintf(name, sizeof(name), "officer-%zu", i + 1);
		if (json_array_append_new(list,
			    json_pack("{s:s, s:O}", "name", name, "key",
				    json_object_get(json_object_get(key, "keyval"), "public"))) < 0)
			return NULL;
	}
	return STEAL(list);
}

/* The draft, else the published document with the next version, else an empty one. */
static int
open_draft(struct release_repo *r, json_t **ret)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED_JSON *doc = NULL;
	uint64_t version = 1;
	int e = fs_read(r->draft_fd, draft_file, PEOPLE_BYTES_MAX, &b);

	if (!e)
		return json_read(ret, b.data, b.len, PEOPLE_BYTES_MAX, draft_file);
	if (e != REASON_NOT_FOUND)
		return e < 0 ? FAULT(e) : REFUSE(e, draft_file, "the draft cannot be read");
	if (release_repo_signed(r, RELEASE_PEOPLE_ROLE)) {
		e = release_repo_get_target(r, PEOPLE_TARGET, PEOPLE_BYTES_MAX, &b);
		e = e ?: json_read(&doc, b.data, b.len, PEOPLE_BYTES_MAX, PEOPLE_TARGET);
		if (e)
			return e;
		version = 1 + (uint64_t)json_integer_value(json_object_get(doc, "version"));
	} else {
		doc = json_pack("{s:i, s:[], s:[]}", "v", 1, "engineers", "revoked");
	}
	if (!doc || json_object_set_new(doc, "officers", officers(r)) < 0)
		return FAULT(-ENOMEM);
	e = json_put_u64(doc, "version", version);
	if (e)
		return FAULT(e);
	*ret = STEAL(doc);
	return 0;
}

/* What sites and hubs will refuse, refused here, where it can still be mended: nobody's key is an officer's or one
 * that signs releases, and who was revoked is so still. */
static int
check_people(struct release_repo *r, const struct people *people)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED(people_freep) struct people *before = NULL;
	const json_t *keys;
	int e = people_check_life(people, r->now_us);

	e = e ?: people_check_keys(people, json_object_get(release_repo_signed(r, "root"), "keys"));
	(void)release_repo_people(r, &keys);
	e = e ?: people_check_keys(people, keys);
	if (e || !release_repo_signed(r, RELEASE_PEOPLE_ROLE))
		return e;
	e = release_repo_get_target(r, PEOPLE_TARGET, PEOPLE_BYTES_MAX, &b);
	e = e ?: people_read(&before, b.data, b.len);
	if (!e && people_version(people) <= people_version(before))
		e = REFUSE(REASON_ROLLBACK, draft_file, "version %llu, and %llu is published",
			(unsigned long long)people_version(people),
			(unsigned long long)people_version(before));
	return e ?: people_check_next(before, people);
}

/* Write the draft with a fresh end, and forget signatures on the one before. */
static int
save_draft(struct release_repo *r, json_t *doc)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED(people_freep) struct people *people = NULL;
	int e;

	e = json_put_time(doc, "expires", r->now_us + RELEASE_PEOPLE_LIFE_S * CLOCK_US_PER_S);
	e = e ?: json_canonical(&b, doc);
	e = e ?: buf_error(&b);
	e = e ?: people_read(&people, b.data, b.len);
	e = e ?: check_people(r, people);
	if (e)
		return e < 0 ? FAULT(e) : e;
	if (unlinkat(r->draft_fd, draft_role, 0) < 0 && errno != ENOENT)
		return FAULT(-errno);
	return FAULT(fs_replace(r->draft_fd, draft_file, b.data, b.len, 0644));
}

static json_t *
find_engineer(json_t *list, const char *name, size_t *ret_i)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *one = json_array_get(list, i);
		const char *is = json_string_value(json_object_get(one, "name"));

		if (is && !strcmp(is, name)) {
			*ret_i = i;
			return one;
		}
	}
	return NULL;
}

static int
put_words(json_t *obj, const char *member, const char *words)
{
	SCOPED_JSON *list = json_array();

	for (const char *w = words;;) {
		size_t n = strcspn(w, ",");
		json_t *word;

		errno = 0; /* where there is no memory malloc() sets it; a word that is no text leaves it */
		word = n ? json_stringn(w, n) : NULL;
		if (!word && errno != ENOMEM)
			return REFUSE(
				REASON_USAGE, words, "%s are words with commas between", member);
		if (json_array_append_new(list, word) < 0)
			return FAULT(-ENOMEM);
		w += n;
		if (!*w)
			break;
		w++;
	}
	return json_object_set(obj, member, list) < 0 ? FAULT(-ENOMEM) : 0;
}

/* A role that nobody asks for gives no power, and nobody would say why. */
static int
put_roles(json_t *obj, const char *words)
{
	static const char *const known[] = { "support", "enrol", "rollout" };
	int r = put_words(obj, "roles", words);

	for (size_t i = 0; !r && i < json_array_size(json_object_get(obj, "roles")); i++) {
		const char *word = json_string_value(json_array_get(json_object_get(obj, "roles"), i));
		const char *near = word ? nearest_word(word, known, ARRAY_LEN(known)) : NULL;

		if (!word || !near || strcmp(near, word) != 0)
			r = REFUSE(REASON_USAGE, word ?: words, "is no role of an engineer: support, enrol, rollout%s%s%s",
				near ? "; did you mean \"" : "", near ?: "", near ? "\"?" : "");
	}
	return r;
}

static int
put_key(json_t *obj, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SSHKEY_FILE_MAX);
	struct sshkey_public key;
	char line[SSHKEY_LINE_MAX];
	int r = fs_read(AT_FDCWD, file, SSHKEY_FILE_MAX, &b);

	if (r > 0)
		return REFUSE(r, file, "is no readable key file");
	if (r)
		return FAULT(r);
	if (b.len && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	r = sshkey_parse(&key, buf_text(&b), file);
	return r ?: json_put_text(obj, "key", sshkey_line(line, &key));
}

static int
revoke_engineer(struct release_repo *r, json_t *doc, const char *name, const char *reason)
{
	json_t *engineers = json_object_get(doc, "engineers"), *one, *entry;
	size_t i = 0;
	int e;

	one = find_engineer(engineers, name, &i);
	if (!one)
		return REFUSE(REASON_NOT_FOUND, name, "there is no such engineer");
	entry = json_pack("{s:O, s:s}", "key", json_object_get(one, "key"), "reason", reason);
	if (!entry || json_array_append_new(json_object_get(doc, "revoked"), entry) < 0)
		return FAULT(-ENOMEM);
	e = json_put_time(entry, "time", r->now_us);
	(void)json_array_remove(engineers, i);
	return e;
}

static int
set_engineer(struct release_repo *r, json_t *doc, const struct release_person *p)
{
	json_t *engineers = json_object_get(doc, "engineers");
	size_t i = 0;
	json_t *one = find_engineer(engineers, p->name, &i);
	int e;

	if (!one) {
		if (!p->key_file || !p->roles || !p->customers)
			return REFUSE(REASON_USAGE, p->name,
				"a new engineer needs --key, --roles and --customers");
		one = json_pack("{s:s}", "name", p->name);
		if (!one || json_array_append_new(engineers, one) < 0)
			return FAULT(-ENOMEM);
		e = json_put_time(one, "not_before", r->now_us);
		e = e ?: json_put_time(one, "not_after", r->now_us + 365 * 86400 * CLOCK_US_PER_S);
		if (e)
			return FAULT(e);
	}
	e = p->key_file ? put_key(one, p->key_file) : 0;
	if (!e && p->roles)
		e = put_roles(one, p->roles);
	if (!e && p->customers)
		e = put_words(one, "customers", p->customers);
	if (!e && p->not_after_us)
		e = json_put_time(one, "not_after", p->not_after_us);
	return e;
}

int
release_people_set(struct release_repo *r, const struct release_person *p)
{
	SCOPED_JSON *doc = NULL;
	int e = open_draft(r, &doc);

	if (!e && p->revoke)
		e = revoke_engineer(r, doc, p->name, p->revoke);
	else if (!e)
		e = set_engineer(r, doc, p);
	return e ?: save_draft(r, doc);
}

/* --- signing ------------------------------------------------------------------------------------- */
/* The metadata that vouches for the draft, without signatures. */
static int
make_role(const struct release_repo *r, const struct buf *document, struct buf *out)
{
	const json_t *old = release_repo_signed(r, RELEASE_PEOPLE_ROLE);
	SCOPED_JSON *role = tuf_repo_new("targets", old ? tuf_version(old) + 1 : 1,
		r->now_us + RELEASE_PEOPLE_LIFE_S * CLOCK_US_PER_S);
	json_t *meta = tuf_repo_meta(document->data, document->len, 0);

	if (!meta || json_object_set_new(role, "targets", json_pack("{s:o}", PEOPLE_TARGET, meta)) < 0)
		return FAULT(-ENOMEM);
	return tuf_repo_sign(out, role, NULL, 0);
}

/* Read the draft, or renew what is published. */
static int
read_draft(struct release_repo *r, struct release_draft *d)
{
	SCOPED_JSON *doc = NULL;
	int e = fs_read(r->draft_fd, draft_file, PEOPLE_BYTES_MAX, &d->document);

	if (e == REASON_NOT_FOUND) {
		if (!release_repo_signed(r, RELEASE_PEOPLE_ROLE))
			return REFUSE(REASON_NOT_FOUND, draft_file,
				"nobody is listed yet: people set comes first");
		e = open_draft(r, &doc);
		e = e ?: save_draft(r, doc);
		e = e ?: fs_read(r->draft_fd, draft_file, PEOPLE_BYTES_MAX, &d->document);
	}
	if (e)
		return e < 0 ? FAULT(e) : e;
	e = fs_read(r->draft_fd, draft_role, TUF_TARGETS_MAX, &d->role);
	if (e == REASON_NOT_FOUND)
		e = make_role(r, &d->document, &d->role);
	return e < 0 ? FAULT(e) : e;
}

static int
publish(struct release_repo *r, const struct release_keys *online, const struct buf *document,
	const struct buf *role, uint64_t *ret_version)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED(people_freep) struct people *people = NULL;
	SCOPED(release_change_done) struct release_change change = { NULL };
	SCOPED_JSON *signed_ = NULL;
	struct tuf_split measured = { 0 };
	const json_t *meta;
	int e;

	e = people_read(&people, document->data, document->len);
	e = e ?: check_people(r, people);
	e = e ?: tuf_split(&s, role->data, role->len, TUF_TARGETS_MAX, draft_role);
	e = e ?: tuf_parse(&signed_, &s.canonical, draft_role);
	e = e ?: tuf_check(signed_, "targets", draft_role);
	if (e)
		return e;
	meta = json_object_get(json_object_get(signed_, "targets"), PEOPLE_TARGET);
	e = tuf_split_measure(&measured, document->data, document->len);
	e = e
		?: tuf_measure_check(meta, true, measured.length, measured.sha256, measured.sha512,
			   draft_file);
	e = e ?: release_repo_put_target(r, PEOPLE_TARGET, document->data, document->len);
	e = e ?: release_change_put(&change, RELEASE_PEOPLE_ROLE, role->data, role->len);
	e = e ?: release_commit(r, online, &change);
	if (e)
		return e;
	*ret_version = people_version(people);
	(void)unlinkat(r->draft_fd, draft_role, 0); /* both only say again what is published now */
	(void)unlinkat(r->draft_fd, draft_file, 0);
	return 0;
}

/* Keep the signatures so far; publish once they are enough. */
static int
finish(struct release_repo *r, const struct release_keys *online, const struct release_draft *d,
	struct release_people_state *ret)
{
	const json_t *keys, *of = release_repo_people(r, &keys);
	int e = fs_replace(r->draft_fd, draft_role, d->role.data, d->role.len, 0644);

	e = e ?: release_draft_count(d, keys, of, &ret->have);
	if (e)
		return e < 0 ? FAULT(e) : e;
	ret->need = (size_t)json_integer_value(json_object_get(of, "threshold"));
	ret->version = 0;
	return ret->have >= ret->need ? publish(r, online, &d->document, &d->role, &ret->version) : 0;
}

int
release_people_sign(struct release_repo *r, const struct release_keys *officers_,
	const struct release_keys *online, struct release_people_state *ret)
{
	SCOPED(release_draft_done) struct release_draft d;
	const struct ed25519 *signers[RELEASE_KEYS_MAX];
	const json_t *keys, *of = release_repo_people(r, &keys);
	size_t n = 0;
	int e = release_keys_of(officers_, of, signers, &n);

	release_draft_init(&d);
	if (e)
		return e;
	if (!n)
		return REFUSE(REASON_UNKNOWN_KEY, RELEASE_PEOPLE_ROLE,
			"none of these keys is an officer's");
	e = read_draft(r, &d);
	e = e ?: release_draft_sign(&d, signers, n);
	return e ?: finish(r, online, &d, ret);
}

int
release_people_write(struct release_repo *r, const char *file)
{
	SCOPED(release_draft_done) struct release_draft d;
	int e;

	release_draft_init(&d);
	e = read_draft(r, &d);
	/* Kept as it leaves, so that what comes back is for this one. */
	e = e ?: fs_replace(r->draft_fd, draft_role, d.role.data, d.role.len, 0644);
	e = e ?: release_draft_write(&d, file);
	return e < 0 ? FAULT(e) : e;
}

int
release_people_take(struct release_repo *r, const char *file, const struct release_keys *online,
	struct release_people_state *ret)
{
	SCOPED(release_draft_done) struct release_draft d;
	SCOPED(release_draft_done) struct release_draft from;
	const json_t *keys, *of = release_repo_people(r, &keys);
	int e;

	release_draft_init(&d);
	release_draft_init(&from);
	e = release_draft_read(&from, file);
	e = e ?: read_draft(r, &d);
	e = e ?: release_draft_merge(&d, &from, keys, of);
	return e ?: finish(r, online, &d, ret);
}
