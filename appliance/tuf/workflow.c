/* The steps of the specification (5.3 to 5.6) over a client's state: each checks a candidate in the required
 * order and trusts it as its last act. */
#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/tuf/client_state.h"

/* --- checks -------------------------------------------------------------------------------------- */
const json_t *
tuf_client_root(const struct tuf_client *c)
{
	return tuf_client_signed(c, "root");
}

static int
check_expiry(const struct tuf_client *c, const json_t *signed_, const char *role, enum reason why)
{
	char text[CLOCK_TEXT_MAX];

	if (tuf_expires_us(signed_) > c->start_us)
		return 0;
	return REFUSE(why, role, "version %llu expired %s",
		(unsigned long long)tuf_version(signed_),
		clock_format_s(text, tuf_expires_us(signed_)));
}

/* Signed by a role of the trusted root, and then, not before, parsed. */
static int
open_signed(const struct tuf_client *c, struct tuf_candidate *d, const char *role)
{
	int r = tuf_verify_root(&d->split, tuf_client_root(c), role, role);

	r = r ?: tuf_parse(&d->signed_, &d->split.canonical, role);
	return r ?: tuf_check(d->signed_, role, role);
}

const json_t *
tuf_client_meta(const json_t *signed_, const char *role)
{
	char name[TUF_ROLE_MAX + 8];

	(void)snprintf(name, sizeof(name), "%s.json", role);
	return json_object_get(json_object_get(signed_, "meta"), name);
}

/* The version that another document lists must be the one it has. */
static int
check_listed(const json_t *listed, const json_t *signed_, const char *role)
{
	uint64_t want = tuf_version(listed), is = tuf_version(signed_);

	if (is < want)
		return REFUSE(REASON_ROLLBACK, role, "version %llu, where %llu is listed",
			(unsigned long long)is, (unsigned long long)want);
	if (is > want)
		return REFUSE(REASON_HASH_MISMATCH, role, "version %llu, where %llu is listed",
			(unsigned long long)is, (unsigned long long)want);
	return 0;
}

/* Trust it: the last step, after which nothing can refuse. */
static void
commit(struct tuf_state *s, struct tuf_candidate *d, bool fresh)
{
	tuf_split_done(&s->split);
	json_decref(s->signed_);
	buf_done(&s->bytes);
	s->split = d->split;
	s->signed_ = d->signed_;
	s->bytes = d->bytes;
	s->fresh = fresh;
	*d = (struct tuf_candidate){ 0 };
	buf_done(&s->offer);
}

/* --- root ---------------------------------------------------------------------------------------- */
int
tuf_workflow_first(struct tuf_client *c, struct tuf_candidate *d)
{
	struct tuf_state *root;
	int r;

	/* Its keys are inside: it is parsed first and then must verify by itself. */
	r = tuf_parse(&d->signed_, &d->split.canonical, "root");
	r = r ?: tuf_check(d->signed_, "root", "root");
	r = r ?: tuf_verify_root(&d->split, d->signed_, "root", "root");
	if (r)
		return r;
	root = tuf_client_add(c, "root");
	if (!root)
		return FAULT(-ENOMEM);
	commit(root, d, true);
	return 0;
}

/* What makes a key this key: not what else its object says. */
static bool
same_key(const json_t *a, const json_t *b)
{
	static const char *const names[] = { "keytype", "scheme", "keyval" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
			return false;
	}
	return true;
}

/* A key that could sign for the role no longer can.  One that is added, or a threshold that changes, rotates nothing:
 * then what was kept goes on to count. */
static bool
role_lost_a_key(const json_t *old, const json_t *new, const char *role)
{
	const json_t *had = json_object_get(json_object_get(json_object_get(old, "roles"), role),
			     "keyids"),
		     *has = json_object_get(json_object_get(json_object_get(new, "roles"), role),
			     "keyids");

	for (size_t i = 0; i < json_array_size(had); i++) {
		const char *id = json_string_value(json_array_get(had, i));
		bool stays = false;

		for (size_t j = 0; j < json_array_size(has); j++)
			stays = stays || !strcmp(id, json_string_value(json_array_get(has, j)));
		if (!stays ||
			!same_key(json_object_get(json_object_get(old, "keys"), id),
				json_object_get(json_object_get(new, "keys"), id)))
			return true;
	}
	return false;
}

/* Recovery from a fast-forward: what stolen keys signed is forgotten with them.  At once, not when the chain has
 * ended: a client that stops in between would begin with the new root and see no change of keys. */
static void
recover(struct tuf_client *c, const json_t *new)
{
	static const char *const online[] = { "timestamp", "snapshot" };

	if (!role_lost_a_key(tuf_client_root(c), new, "timestamp") &&
		!role_lost_a_key(tuf_client_root(c), new, "snapshot"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(online); i++) {
		struct tuf_state *s = tuf_client_find(c, online[i]);

		if (s)
			buf_done(&s->offer);
	}
	c->recovered = true;
}

static int
root_next(struct tuf_client *c, struct tuf_candidate *d)
{
	uint64_t have = tuf_version(tuf_client_root(c)), is;
	int r;

	r = tuf_verify_root(&d->split, tuf_client_root(c), "root", "root");
	r = r ?: tuf_parse(&d->signed_, &d->split.canonical, "root");
	r = r ?: tuf_check(d->signed_, "root", "root");
	r = r ?: tuf_verify_root(&d->split, d->signed_, "root", "root");
	if (r)
		return r;
	is = tuf_version(d->signed_);
	if (is <= have)
		return REFUSE(REASON_ROLLBACK, "root", "version %llu after %llu",
			(unsigned long long)is, (unsigned long long)have);
	if (is != have + 1)
		return REFUSE(REASON_MALFORMED, "root", "version %llu after %llu leaves a gap",
			(unsigned long long)is, (unsigned long long)have);
	recover(c, d->signed_);
	commit(tuf_client_find(c, "root"), d, true);
	c->rotations++;
	return 0;
}

/* An offer in its step: as good as fetched bytes, and silent where it is not.  What nobody could look at may be what
 * counts against a rollback: that is a fault. */
static int
take_offer(struct tuf_client *c, const char *role)
{
	SCOPED(tuf_candidate_done) struct tuf_candidate d = { 0 };
	struct tuf_state *s = tuf_client_find(c, role);
	int r;

	if (!s || !s->offer.len)
		return 0;
	r = tuf_candidate_read(&d, role, s->offer.data, s->offer.len);
	r = r ?: open_signed(c, &d, role);
	if (r == 0)
		commit(s, &d, false);
	return r < 0 ? FAULT(r) : 0;
}

int
tuf_workflow_root_end(struct tuf_client *c)
{
	int r = check_expiry(c, tuf_client_root(c), "root", REASON_EXPIRED);

	if (r)
		return r;
	c->phase = TUF_PHASE_TIMESTAMP;
	/* Also an expired one counts against rollback. */
	return take_offer(c, "timestamp");
}

/* --- targets and delegated roles ----------------------------------------------------------------- */
/* Check a candidate for a role that parent delegates (NULL: the root's targets).  That the snapshot lists it
 * has been seen by tuf_client_load(), without which no role is wanted. */
static int
open_delegated(struct tuf_client *c, struct tuf_candidate *d, const struct tuf_delegation *of)
{
	const json_t *listed = tuf_client_meta(tuf_client_signed(c, "snapshot"), of->name);
	int r;

	r = tuf_measure_check(listed, false, d->split.length, d->split.sha256, d->split.sha512,
		of->name);
	if (!r && of->role)
		r = tuf_verify(&d->split, of->keys, of->role, of->name);
	else if (!r)
		r = tuf_verify_root(&d->split, tuf_client_root(c), of->name, of->name);
	r = r ?: tuf_parse(&d->signed_, &d->split.canonical, of->name);
	r = r ?: tuf_check(d->signed_, "targets", of->name);
	r = r ?: check_listed(listed, d->signed_, of->name);
	return r ?: check_expiry(c, d->signed_, of->name, REASON_EXPIRED);
}

/* What was kept is usually of an older version: no refusal, only not what is listed. */
static bool
offer_is_listed(struct tuf_client *c, struct tuf_candidate *d, const struct tuf_state *s)
{
	const json_t *listed = tuf_client_meta(tuf_client_signed(c, "snapshot"), s->name);
	SCOPED_JSON *kept = NULL;

	return s->offer.len && tuf_candidate_read(d, s->name, s->offer.data, s->offer.len) == 0 &&
		tuf_parse(&kept, &d->split.canonical, s->name) == 0 &&
		tuf_version(kept) == tuf_version(listed);
}

int
tuf_client_load(struct tuf_client *c, const struct tuf_delegation *of)
{
	SCOPED(tuf_candidate_done) struct tuf_candidate d = { 0 };
	struct tuf_state *s = tuf_client_find(c, of->name);

	if (s && s->signed_) {
		/* Another parent may trust other keys for the same name. */
		return of->role ? tuf_verify(&s->split, of->keys, of->role, of->name) : 0;
	}
	if (!tuf_client_meta(tuf_client_signed(c, "snapshot"), of->name))
		return REFUSE(REASON_NOT_FOUND, of->name, "the snapshot does not list this role");
	if (s && offer_is_listed(c, &d, s) && open_delegated(c, &d, of) == 0) {
		commit(s, &d, false);
		return 0;
	}
	(void)snprintf(c->wanted.name, sizeof(c->wanted.name), "%s", of->name);
	json_decref(c->wanted_keys);
	json_decref(c->wanted_role);
	c->wanted_keys = of->keys ? json_incref((json_t *)of->keys) : NULL;
	c->wanted_role = of->role ? json_incref((json_t *)of->role) : NULL;
	c->wanted.keys = c->wanted_keys;
	c->wanted.role = c->wanted_role;
	return TUF_WANTS;
}

static int
targets_begin(struct tuf_client *c)
{
	struct tuf_delegation targets = { .name = "targets" };
	int r;

	c->phase = TUF_PHASE_TARGETS;
	r = tuf_client_load(c, &targets);
	if (r == TUF_WANTS)
		return 0;
	if (!r)
		c->phase = TUF_PHASE_CURRENT;
	return r;
}

static int
delegated_update(struct tuf_client *c, struct tuf_candidate *d)
{
	struct tuf_state *s;
	int r = open_delegated(c, d, &c->wanted);

	if (r)
		return r;
	errno = 0;
	s = tuf_client_add(c, c->wanted.name);
	if (!s)
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_TOO_LARGE, c->wanted.name, "too many roles");
	commit(s, d, true);
	c->wanted.name[0] = '\0';
	c->phase = TUF_PHASE_CURRENT;
	return 0;
}

/* --- snapshot ------------------------------------------------------------------------------------ */
/* Nothing that the old snapshot lists may be gone or older. */
static int
check_snapshot_rollback(const json_t *old, const json_t *new)
{
	const json_t *had = json_object_get(old, "meta"), *has = json_object_get(new, "meta");
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)had, name, v) {
		const json_t *now = json_object_get(has, name);

		if (!now || tuf_version(now) < tuf_version(v))
			return REFUSE(REASON_ROLLBACK, "snapshot",
				"%s was listed with version %llu", name,
				(unsigned long long)tuf_version(v));
	}
	return 0;
}

static int
snapshot_update(struct tuf_client *c, struct tuf_candidate *d)
{
	const json_t *listed = tuf_client_meta(tuf_client_signed(c, "timestamp"), "snapshot");
	struct tuf_state *s;
	int r;

	r = tuf_measure_check(listed, false, d->split.length, d->split.sha256, d->split.sha512,
		"snapshot");
	r = r ?: open_signed(c, d, "snapshot");
	r = r ?: check_listed(listed, d->signed_, "snapshot");
	if (!r && tuf_client_signed(c, "snapshot"))
		r = check_snapshot_rollback(tuf_client_signed(c, "snapshot"), d->signed_);
	r = r ?: check_expiry(c, d->signed_, "snapshot", REASON_FREEZE);
	if (r)
		return r;
	s = tuf_client_add(c, "snapshot");
	if (!s)
		return FAULT(-ENOMEM);
	commit(s, d, true);
	return targets_begin(c);
}

/* The kept snapshot is the very one that the timestamp lists. */
static bool
kept_is_current(const struct tuf_client *c)
{
	const json_t *listed = tuf_client_meta(tuf_client_signed(c, "timestamp"), "snapshot");
	const struct tuf_state *s = tuf_client_find(c, "snapshot");

	return s && s->signed_ && tuf_version(s->signed_) == tuf_version(listed) &&
		tuf_expires_us(s->signed_) > c->start_us &&
		tuf_measure_check(listed, false, s->split.length, s->split.sha256, s->split.sha512,
			"snapshot") == 0;
}

static int
snapshot_begin(struct tuf_client *c)
{
	int r;

	c->phase = TUF_PHASE_SNAPSHOT;
	/* Also an expired one, or another than is listed now, counts against rollback. */
	r = take_offer(c, "snapshot");
	if (r)
		return r;
	return kept_is_current(c) ? targets_begin(c) : 0;
}

/* --- timestamp ----------------------------------------------------------------------------------- */
static int
timestamp_update(struct tuf_client *c, struct tuf_candidate *d)
{
	const json_t *old = tuf_client_signed(c, "timestamp");
	struct tuf_state *s;
	int r;

	r = open_signed(c, d, "timestamp");
	if (r)
		return r;
	if (old && tuf_version(d->signed_) < tuf_version(old))
		return REFUSE(REASON_ROLLBACK, "timestamp", "version %llu after %llu",
			(unsigned long long)tuf_version(d->signed_),
			(unsigned long long)tuf_version(old));
	if (old && tuf_version(d->signed_) == tuf_version(old)) {
		/* Nothing new: the kept one stays, if it still holds. */
		r = check_expiry(c, old, "timestamp", REASON_FREEZE);
		return r ?: snapshot_begin(c);
	}
	if (old &&
		tuf_version(tuf_client_meta(d->signed_, "snapshot")) <
			tuf_version(tuf_client_meta(old, "snapshot")))
		return REFUSE(REASON_ROLLBACK, "timestamp", "it lists an older snapshot");
	r = check_expiry(c, d->signed_, "timestamp", REASON_FREEZE);
	if (r)
		return r;
	s = tuf_client_add(c, "timestamp");
	if (!s)
		return FAULT(-ENOMEM);
	commit(s, d, true);
	return snapshot_begin(c);
}

int
tuf_workflow_take(struct tuf_client *c, struct tuf_candidate *d)
{
	int r;

	switch (c->phase) {
	case TUF_PHASE_ROOT:
		r = root_next(c, d);
		if (!r && c->rotations == TUF_ROTATIONS_MAX)
			r = tuf_workflow_root_end(c);
		return r;
	case TUF_PHASE_TIMESTAMP:
		return timestamp_update(c, d);
	case TUF_PHASE_SNAPSHOT:
		return snapshot_update(c, d);
	case TUF_PHASE_TARGETS:
	case TUF_PHASE_CURRENT:
		return delegated_update(c, d);
	}
	return FAULT(-EINVAL);
}
