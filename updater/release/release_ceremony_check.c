#include "updater/release/release_ceremony_check.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/key.h"
#include "appliance/tuf/metadata.h"
#include "updater/release/release_ceremony.h"
#include "updater/release/release_chain.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_repo.h"

static bool
is_root(const char *role)
{
	return !strcmp(role, "root");
}

static int
split_text(struct tuf_split *s, json_t **ret_signed, const json_t *text, const char *role)
{
	int r = json_is_string(text)
		? tuf_split(s, json_string_value(text), json_string_length(text), TUF_TARGETS_MAX, role)
		: REFUSE(REASON_MALFORMED, role, "a document is not text");

	r = r ?: tuf_parse(ret_signed, &s->canonical, role);
	return r ?: tuf_check(*ret_signed, is_root(role) ? "root" : "targets", role);
}

/* --- the chain ----------------------------------------------------------------------------------- */
/* Feed the roots behind the client's own. */
static int
walk(struct tuf_client *client, const json_t *roots)
{
	struct tuf_want w;

	while (tuf_client_want(client, &w) && is_root(w.role)) {
		const json_t *text = json_array_get(roots, (size_t)tuf_version(tuf_client_signed(client, "root")));
		int r = text ? tuf_client_update(client, "root", json_string_value(text), json_string_length(text))
			     : tuf_client_absent(client);

		if (r)
			return r;
	}
	return 0;
}

int
release_ceremony_known(struct buf *out, const struct buf *known)
{
	SCOPED_JSON *doc = NULL;
	const json_t *card, *root;
	int r = json_read(&doc, known->data, known->len, known->len, "known root");

	if (r)
		return r;
	card = json_object_get(doc, "signed");
	root = json_object_get(card, "root");
	if (!json_is_object(root)) {
		if (strcmp(json_text(card, "_type"), "root") != 0)
			return REFUSE(REASON_MALFORMED, "known root", "is neither a root.json nor a trust card: another file was named");
		buf_put(out, known->data, known->len);
		return FAULT(buf_error(out));
	}
	r = json_canonical(out, root);
	return r < 0 ? FAULT(r) : r;
}

static int
follow_known(const struct release_ceremony *c, const struct buf *known)
{
	SCOPED(tuf_client_freep) struct tuf_client *client = NULL;
	SCOPED(buf_done) struct buf bytes = BUF_MAX(TUF_ROOT_MAX);
	uint64_t newest = tuf_version(c->root), version;
	int r = release_ceremony_known(&bytes, known);

	r = r ?: tuf_client_new(&client, bytes.data, bytes.len, 1);
	if (r)
		return r;
	version = tuf_version(tuf_client_signed(client, "root"));
	if (version > newest)
		return REFUSE(REASON_ROLLBACK, "root", "the draft follows root %llu, and you know root %llu",
			(unsigned long long)newest, (unsigned long long)version);
	r = walk(client, c->roots);
	if (!r && !json_equal(tuf_client_signed(client, "root"), c->root))
		r = REFUSE(REASON_ALTERED, "root", "the draft is of another repository than the root you know");
	return r;
}

static int
check_chain(struct release_ceremony *c, const struct buf *known)
{
	SCOPED(tuf_client_freep) struct tuf_client *client = NULL;
	const json_t *first = json_array_get(c->roots, 0);
	size_t i;
	json_t *text;
	int r = 0;

	json_array_foreach(c->roots, i, text)
		if (!json_is_string(text))
			return REFUSE(REASON_MALFORMED, "roots", "a document is not text");
	if (!first)
		return REFUSE(REASON_MALFORMED, "roots", "there is none");
	r = tuf_client_new(&client, json_string_value(first), json_string_length(first), 1);
	r = r ?: walk(client, c->roots);
	if (r)
		return r;
	if (tuf_version(tuf_client_signed(client, "root")) != json_array_size(c->roots))
		return REFUSE(REASON_MALFORMED, "roots", "they are not numbered from 1");
	c->root = json_copy_whole(tuf_client_signed(client, "root"), JSON_DEEP);
	return !c->root ? FAULT(-ENOMEM) : known ? follow_known(c, known) : 0;
}

/* --- what is present, what is new ---------------------------------------------------------------- */
const json_t *
release_ceremony_role(const struct release_ceremony *c, const char *role, bool former, const json_t **ret_keys)
{
	const json_t *root = json_object_get(c->is, "root"), *targets = json_object_get(c->is, "targets");

	if (former || !root)
		root = c->root;
	if (former || !targets)
		targets = json_object_get(c->was, "targets");
	return release_repo_role_in(root, targets, role, ret_keys);
}

static int
check_present(struct release_ceremony *c, const char *role)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	const json_t *keys, *of;
	int r = split_text(&s, &signed_, json_object_get(c->present, role), role);

	if (r)
		return r;
	of = release_repo_role_in(c->root, json_object_get(c->was, "targets"), role, &keys);
	if (!of || is_root(role))
		return REFUSE(REASON_MALFORMED, role, "is no role of what is present");
	r = tuf_verify(&s, keys, of, role);
	if (!r && json_object_set(c->was, role, signed_) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

static int
check_all_present(struct release_ceremony *c)
{
	const char *role;
	json_t *text;
	int r;

	c->was = json_object();
	if (!json_object_get(c->present, "targets"))
		return REFUSE(REASON_MALFORMED, "present", "holds no targets");
	r = check_present(c, "targets"); /* first: they say who the others' signers are */
	json_object_foreach(c->present, role, text)
		if (!r && strcmp(role, "targets") != 0)
			r = check_present(c, role);
	return r;
}

/* Keys are told to people by their ids: an id that is not its key's would have them agree to a stranger's. */
static int
check_key_ids(const json_t *keys, const char *role)
{
	const char *id;
	json_t *key;

	json_object_foreach((json_t *)keys, id, key)
	{
		char is[65];
		int r = tuf_key_id(is, key);

		if (r)
			return FAULT(r);
		if (strcmp(is, id) != 0)
			return REFUSE(REASON_ALTERED, role, "key %.64s is given under another id than its own", id);
	}
	return 0;
}

/* Nothing that a client would not understand, and nothing that the words would not tell. */
static int
check_members(const json_t *signed_, const char *role)
{
	static const char *const common[] = { "_type", "spec_version", "version", "expires" },
				 *const of_root[] = { "consistent_snapshot", "keys", "roles" },
				 *const of_others[] = { "targets", "delegations", "x-mainstay-counters", "x-mainstay-floors",
					 "x-mainstay-withdrawn" };
	const char *const *more = is_root(role) ? of_root : of_others;
	size_t n_more = is_root(role) ? ARRAY_LEN(of_root) : ARRAY_LEN(of_others);
	const char *name;
	json_t *value;
	int r;

	json_object_foreach((json_t *)signed_, name, value)
	{
		bool good = false;

		for (size_t i = 0; i < ARRAY_LEN(common); i++)
			good |= !strcmp(name, common[i]);
		for (size_t i = 0; i < n_more; i++)
			good |= !strcmp(name, more[i]);
		if (!good)
			return REFUSE(REASON_UNKNOWN_FIELD, role, "its new document has a member that is none of ours: %s", name);
	}
	r = check_key_ids(json_object_get(is_root(role) ? signed_ : json_object_get(signed_, "delegations"), "keys"), role);
	if (r)
		return r;
	if (is_root(role) && !json_is_true(json_object_get(signed_, "consistent_snapshot")))
		return REFUSE(REASON_MALFORMED, role, "its new document gives up consistent snapshots");
	if (!is_root(role) && strcmp(role, "targets") != 0 && json_object_get(signed_, "delegations"))
		return REFUSE(REASON_MALFORMED, role, "a delegated role does not delegate");
	return 0;
}

static int
check_dates(const json_t *signed_, const char *role, uint64_t now_us)
{
	uint64_t expires_us = tuf_expires_us(signed_);
	char text[CLOCK_TEXT_MAX];

	if (expires_us <= now_us)
		return REFUSE(REASON_EXPIRED, role, "the new document ended %s: draft it anew",
			clock_format_s(text, expires_us));
	if (expires_us > now_us + RELEASE_CEREMONY_LIFE_MAX_DAYS * UINT64_C(86400) * CLOCK_US_PER_S)
		return REFUSE(REASON_MALFORMED, role, "the new document is good for more than three years, until %s",
			clock_format_s(text, expires_us));
	return 0;
}

static int
check_next(struct release_ceremony *c, const char *role, const json_t *text, uint64_t now_us)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	const json_t *was = is_root(role) ? c->root : json_object_get(c->was, role);
	uint64_t version = was ? tuf_version(was) + 1 : 1;
	int r = split_text(&s, &signed_, text, role);

	r = r ?: check_members(signed_, role);
	r = r ?: check_dates(signed_, role, now_us);
	if (r)
		return r;
	if (tuf_version(signed_) != version)
		return REFUSE(REASON_CONFLICT, role, "the new document has version %llu, where %llu follows",
			(unsigned long long)tuf_version(signed_), (unsigned long long)version);
	return json_object_set(c->is, role, signed_) < 0 ? FAULT(-ENOMEM) : 0;
}

int
release_ceremony_check(struct release_ceremony *c, const struct buf *known, uint64_t now_us)
{
	const char *role;
	const json_t *keys;
	json_t *text;
	int r = check_chain(c, known);

	r = r ?: check_all_present(c);
	c->is = json_object();
	if (!r && !json_object_size(c->next))
		r = REFUSE(REASON_MALFORMED, "next", "holds no document");
	json_object_foreach(c->next, role, text)
		r = r ?: check_next(c, role, text, now_us);
	json_object_foreach(c->next, role, text)
	{
		if (!r && (!release_ceremony_role(c, role, false, &keys) || !strcmp(role, "snapshot") ||
				  !strcmp(role, "timestamp")))
			r = REFUSE(REASON_MALFORMED, role, "is no role that people sign in a draft");
	}
	return r;
}

/* --- thresholds ---------------------------------------------------------------------------------- */
/* The keys of a role that have not signed, as people know them. */
static int
missing(const struct tuf_split *s, const json_t *keys, const json_t *of, struct buf *out, size_t *ret_good)
{
	const json_t *ids = json_object_get(of, "keyids");

	*ret_good = 0;
	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));

		int is = release_chain_signed(s, keys, id);

		if (is < 0)
			return FAULT(is);
		if (is)
			++*ret_good;
		else
			buf_printf(out, "%s%.16s", out->len ? " " : "", id);
	}
	return buf_error(out) == -ENOMEM ? FAULT(-ENOMEM) : 0;
}

static int
check_threshold(const struct release_ceremony *c, const char *role, bool former)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED(buf_done) struct buf out = BUF_MAX(4096);
	SCOPED_JSON *signed_ = NULL;
	const json_t *keys, *of = release_ceremony_role(c, role, former, &keys);
	long long need = json_integer_value(json_object_get(of, "threshold"));
	size_t good = 0;
	int r = split_text(&s, &signed_, json_object_get(c->next, role), role);

	r = r ?: missing(&s, keys, of, &out, &good);
	if (r)
		return r;
	if (good < (size_t)need)
		return REFUSE(REASON_THRESHOLD, role, "%zu of %lld signatures %sare there; not signed by %s", good, need,
			!is_root(role) ? ""
				: former ? "of the former root "
					 : "of the new root ",
			buf_text(&out));
	return 0;
}

int
release_ceremony_ready(const struct release_ceremony *c)
{
	const char *role;
	json_t *text;
	int r = 0;

	json_object_foreach(c->next, role, text)
	{
		if (!r && is_root(role))
			r = check_threshold(c, role, true);
		r = r ?: check_threshold(c, role, false);
	}
	return r;
}
