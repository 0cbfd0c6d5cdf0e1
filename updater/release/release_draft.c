#include "updater/release/release_draft.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/people.h"
#include "appliance/tuf/repo.h"

/* Both texts are quoted once more inside of the file. */
enum { FILE_BYTES_MAX = 2 * (PEOPLE_BYTES_MAX + TUF_TARGETS_MAX) };

static const char role_name[] = "people.role.json";

void
release_draft_init(struct release_draft *d)
{
	*d = (struct release_draft){ .document = BUF_MAX(PEOPLE_BYTES_MAX), .role = BUF_MAX(TUF_TARGETS_MAX) };
}

void
release_draft_done(struct release_draft *d)
{
	buf_done(&d->document);
	buf_done(&d->role);
}

bool
release_draft_is(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 && S_ISREG(st.st_mode);
}

/* An officer is shown the document, so that is all that a signature may vouch for: no other target, no delegation, and
 * for no longer than what make_role() writes. */
static int
check_only(const json_t *role, const struct people *people, const char *file)
{
	static const char *const members[] = { "_type", "spec_version", "version", "expires", "targets" };
	uint64_t longest_us = people_expires_us(people) + PEOPLE_LIFE_MAX_DAYS * UINT64_C(86400) * CLOCK_US_PER_S;

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (!json_object_get(role, members[i]) || json_object_size(role) != ARRAY_LEN(members))
			return REFUSE(REASON_MALFORMED, file, "its metadata says more, or less, than what vouches for people");
	if (json_object_size(json_object_get(role, "targets")) != 1)
		return REFUSE(REASON_MALFORMED, file, "its metadata vouches for more than the people document");
	if (tuf_expires_us(role) > longest_us)
		return REFUSE(REASON_MALFORMED, file, "its metadata is good for longer than %d days after the document",
			PEOPLE_LIFE_MAX_DAYS);
	return 0;
}

/* Does the role list this very document? */
static int
check_listed(const struct release_draft *d, const struct people *people, const char *file)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	struct tuf_split measured = { 0 };
	const json_t *meta;
	int r = tuf_split(&s, d->role.data, d->role.len, TUF_TARGETS_MAX, file);

	r = r ?: tuf_parse(&signed_, &s.canonical, file);
	r = r ?: tuf_check(signed_, "targets", file);
	r = r ?: tuf_split_measure(&measured, d->document.data, d->document.len);
	if (r)
		return r;
	meta = json_object_get(json_object_get(signed_, "targets"), PEOPLE_TARGET);
	if (!meta)
		return REFUSE(REASON_HASH_MISMATCH, file, "its metadata vouches for no people document");
	r = tuf_measure_check(meta, true, measured.length, measured.sha256, measured.sha512, file);
	return r ?: check_only(signed_, people, file);
}

int
release_draft_read(struct release_draft *d, const char *file)
{
	struct members {
		uint64_t v;
		const char *document, *role;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct members, v), .max = 1 },
		{ "document", JSON_KIND_TEXT, .offset = offsetof(struct members, document), .max = PEOPLE_BYTES_MAX },
		{ "role", JSON_KIND_TEXT, .offset = offsetof(struct members, role), .max = TUF_TARGETS_MAX },
	};
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED(people_freep) struct people *people = NULL;
	SCOPED_JSON *doc = NULL;
	int r = fs_read(AT_FDCWD, file, FILE_BYTES_MAX, &b);

	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, file, "is no readable draft");
	r = json_read(&doc, b.data, b.len, FILE_BYTES_MAX, file);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, file);
	if (r)
		return r;
	buf_puts(&d->document, in.document);
	buf_puts(&d->role, in.role);
	r = buf_error(&d->document) ?: buf_error(&d->role);
	if (r)
		return FAULT(r);
	r = people_read(&people, d->document.data, d->document.len);
	return r ?: check_listed(d, people, file);
}

int
release_draft_write(const struct release_draft *d, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(FILE_BYTES_MAX);
	SCOPED_JSON *doc = json_pack("{s:i, s:s%, s:s%}", "v", 1, "document", (const char *)d->document.data,
		d->document.len, "role", (const char *)d->role.data, d->role.len);
	int r = doc ? json_canonical(&b, doc) : -ENOMEM;

	r = r ?: fs_replace_path(file, b.data, b.len, 0644);
	return r < 0 ? FAULT(r) : r;
}

int
release_draft_sign(struct release_draft *d, const struct ed25519 *const *officers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		SCOPED(buf_done) struct buf again = BUF_MAX(TUF_TARGETS_MAX);
		int r = tuf_repo_cosign(&again, d->role.data, d->role.len, officers[i]);

		if (r)
			return r < 0 ? FAULT(r) : r;
		buf_reset(&d->role);
		buf_put(&d->role, again.data, again.len);
		if (buf_error(&d->role))
			return FAULT(buf_error(&d->role));
	}
	return 0;
}

/* --- signatures ---------------------------------------------------------------------------------- */
/* 1: it is; 0: it is not; or a fault. */
static int
is_good(const struct tuf_split *s, size_t i, const json_t *keys, const json_t *role)
{
	const json_t *ids = json_object_get(role, "keyids");
	SCOPED(tuf_key_freep) struct tuf_key *key = NULL;
	bool of_role = false;
	int r;

	for (size_t j = 0; j < json_array_size(ids); j++)
		of_role |= !strcmp(json_string_value(json_array_get(ids, j)), s->sigs[i].keyid);
	if (!of_role)
		return 0;
	r = tuf_key_new(&key, json_object_get(keys, s->sigs[i].keyid), role_name);
	if (r)
		return r < 0 ? FAULT(r) : 0;
	r = tuf_key_verify(key, s->canonical.data, s->canonical.len, s->sigs[i].sig);
	return !r && errno == ENOMEM ? FAULT(-ENOMEM) : r;
}

int
release_draft_count(const struct release_draft *d, const json_t *keys, const json_t *role, size_t *ret)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	int r = tuf_split(&s, d->role.data, d->role.len, TUF_TARGETS_MAX, role_name);

	*ret = 0;
	for (size_t i = 0; !r && i < s.n_sigs; i++) {
		int is = is_good(&s, i, keys, role);

		if (is < 0)
			r = is;
		else
			*ret += is > 0;
	}
	return r < 0 ? FAULT(r) : r;
}

static bool
has_sig(const struct tuf_split *s, const char *keyid)
{
	for (size_t i = 0; i < s->n_sigs; i++)
		if (!strcmp(s->sigs[i].keyid, keyid))
			return true;
	return false;
}

/* The document again with one signature more. */
static int
add_sig(struct buf *role, const char *keyid, const char *sig)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED_JSON *doc = NULL;
	int r = json_read(&doc, role->data, role->len, TUF_TARGETS_MAX, role_name);

	if (!r && json_array_append_new(json_object_get(doc, "signatures"),
			  json_pack("{s:s, s:s}", "keyid", keyid, "sig", sig)) < 0)
		r = FAULT(-ENOMEM);
	r = r ?: json_canonical(&out, doc);
	if (r)
		return r;
	buf_reset(role);
	buf_put(role, out.data, out.len);
	return FAULT(buf_error(role));
}

int
release_draft_merge(struct release_draft *d, const struct release_draft *from, const json_t *keys,
	const json_t *role)
{
	SCOPED(tuf_split_done) struct tuf_split ours = { 0 };
	SCOPED(tuf_split_done) struct tuf_split theirs = { 0 };
	size_t good = 0;
	int r = tuf_split(&ours, d->role.data, d->role.len, TUF_TARGETS_MAX, role_name);

	r = r ?: tuf_split(&theirs, from->role.data, from->role.len, TUF_TARGETS_MAX, role_name);
	if (r)
		return r;
	if (ours.canonical.len != theirs.canonical.len ||
		memcmp(ours.canonical.data, theirs.canonical.data, ours.canonical.len) != 0)
		return REFUSE(REASON_CONFLICT, role_name,
			"these signatures are for another draft: write it out anew with people sign --out");
	for (size_t i = 0; !r && i < theirs.n_sigs; i++) {
		int is = is_good(&theirs, i, keys, role);

		if (is < 0)
			return FAULT(is);
		good += is > 0;
		if (is && !has_sig(&ours, theirs.sigs[i].keyid))
			r = add_sig(&d->role, theirs.sigs[i].keyid, theirs.sigs[i].sig);
	}
	if (!r && good == 0)
		return REFUSE(REASON_UNSIGNED, role_name, "no officer has signed it");
	return r;
}
