#include "appliance/tuf/client.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/tuf/client_state.h"

static const char *const own_roles[] = { "root", "timestamp", "snapshot", "targets" };

static void
role_free(struct tuf_state *s)
{
	tuf_split_done(&s->split);
	json_decref(s->signed_);
	buf_done(&s->bytes);
	buf_done(&s->offer);
	free(s);
}

/* --- its roles -------------------------------------------------------------------------------------- */
struct tuf_state *
tuf_client_find(const struct tuf_client *c, const char *role)
{
	for (size_t i = 0; i < c->n_roles; i++) {
		if (!strcmp(c->roles[i]->name, role))
			return c->roles[i];
	}
	return NULL;
}

static bool
tuf_client_is_own(const char *role)
{
	for (size_t i = 0; i < ARRAY_LEN(own_roles); i++) {
		if (!strcmp(own_roles[i], role))
			return true;
	}
	return false;
}

/* Where all places are taken, that of an offer which nobody has asked for yet. */
static struct tuf_state *
reuse(struct tuf_client *c)
{
	for (size_t i = 0; i < c->n_roles; i++) {
		struct tuf_state *s = c->roles[i];

		if (!s->signed_ && !tuf_client_is_own(s->name)) {
			buf_done(&s->offer);
			return s;
		}
	}
	return NULL;
}

struct tuf_state *
tuf_client_add(struct tuf_client *c, const char *role)
{
	struct tuf_state *s = tuf_client_find(c, role);

	if (s)
		return s;
	if (c->n_roles == ARRAY_LEN(c->roles)) {
		s = reuse(c);
	} else {
		s = calloc(1, sizeof(*s));
		if (s)
			c->roles[c->n_roles++] = s;
	}
	if (!s)
		return NULL;
	(void)snprintf(s->name, sizeof(s->name), "%s", role);
	s->bytes = BUF_MAX(2 * TUF_TARGETS_MAX);
	s->offer = BUF_MAX(TUF_TARGETS_MAX);
	return s;
}

size_t
tuf_client_cap(const char *role)
{
	static const size_t caps[] = { TUF_ROOT_MAX, TUF_TIMESTAMP_MAX, TUF_SNAPSHOT_MAX };

	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		if (!strcmp(own_roles[i], role))
			return caps[i];
	}
	return TUF_TARGETS_MAX;
}

/* --- the client ---------------------------------------------------------------------------------- */
int
tuf_client_new(struct tuf_client **ret, const void *root, size_t len, uint64_t start_us)
{
	SCOPED(tuf_candidate_done) struct tuf_candidate d = { 0 };
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	int r = tuf_candidate_read(&d, "root", root, len);

	if (r)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return FAULT(-ENOMEM);
	c->start_us = start_us;
	r = tuf_workflow_first(c, &d);
	if (r)
		return r;
	*ret = STEAL(c);
	return 0;
}

struct tuf_client *
tuf_client_free(struct tuf_client *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n_roles; i++)
		role_free(c->roles[i]);
	json_decref(c->wanted_keys);
	json_decref(c->wanted_role);
	free(c);
	return NULL;
}

int
tuf_client_offer(struct tuf_client *c, const char *role, const void *p, size_t len)
{
	struct tuf_state *s;

	if (!strcmp(role, "root") || strlen(role) > TUF_ROLE_MAX || len > tuf_client_cap(role))
		return 0;
	/* A folder that filled up over the years stops nobody: what finds no place is fetched. */
	if (!tuf_client_is_own(role)) {
		if (!tuf_client_find(c, role) && c->n_roles >= ARRAY_LEN(c->roles))
			return 0;
		if (len > TUF_OFFERED_MAX - c->offered)
			return 0;
		c->offered += len;
	}
	s = tuf_client_add(c, role);
	if (!s)
		return FAULT(-ENOMEM);
	if (s->signed_)
		return 0;
	buf_reset(&s->offer);
	buf_put(&s->offer, p, len);
	return FAULT(buf_error(&s->offer));
}

/* What the snapshot or the timestamp lists may be less than the cap. */
static size_t
listed_cap(const json_t *listed, size_t cap)
{
	const json_t *length = json_object_get(listed, "length");

	if (length && (size_t)json_integer_value(length) < cap)
		return (size_t)json_integer_value(length);
	return cap;
}

static void
want_versioned(const struct tuf_client *c, struct tuf_want *ret, const char *role,
	const json_t *listed)
{
	char file[TUF_FILE_MAX];
	bool consistent = json_is_true(json_object_get(tuf_client_root(c), "consistent_snapshot"));

	(void)snprintf(ret->role, sizeof(ret->role), "%s", role);
	ret->cap = listed_cap(listed, tuf_client_cap(role));
	tuf_file_name(file, role);
	if (consistent)
		(void)snprintf(ret->file, sizeof(ret->file), "%llu.%s.json",
			(unsigned long long)tuf_version(listed), file);
	else
		(void)snprintf(ret->file, sizeof(ret->file), "%s.json", file);
}

bool
tuf_client_want(const struct tuf_client *c, struct tuf_want *ret)
{
	*ret = (struct tuf_want){ 0 };
	switch (c->phase) {
	case TUF_PHASE_ROOT:
		(void)snprintf(ret->role, sizeof(ret->role), "root");
		(void)snprintf(ret->file, sizeof(ret->file), "%llu.root.json",
			(unsigned long long)tuf_version(tuf_client_root(c)) + 1);
		ret->cap = TUF_ROOT_MAX;
		ret->may_be_absent = true;
		return true;
	case TUF_PHASE_TIMESTAMP:
		(void)snprintf(ret->role, sizeof(ret->role), "timestamp");
		(void)snprintf(ret->file, sizeof(ret->file), "timestamp.json");
		ret->cap = TUF_TIMESTAMP_MAX;
		return true;
	case TUF_PHASE_SNAPSHOT:
		want_versioned(c, ret, "snapshot",
			tuf_client_meta(tuf_client_signed(c, "timestamp"), "snapshot"));
		return true;
	case TUF_PHASE_TARGETS:
	case TUF_PHASE_CURRENT:
		if (!c->wanted.name[0])
			return false;
		want_versioned(c, ret, c->wanted.name,
			tuf_client_meta(tuf_client_signed(c, "snapshot"), c->wanted.name));
		return true;
	}
	return false;
}

bool
tuf_client_current(const struct tuf_client *c)
{
	return c->phase == TUF_PHASE_CURRENT;
}

static bool
is_wanted(const struct tuf_client *c, const char *role)
{
	struct tuf_want w;

	return tuf_client_want(c, &w) && !strcmp(w.role, role);
}

int
tuf_client_update(struct tuf_client *c, const char *role, const void *p, size_t len)
{
	SCOPED(tuf_candidate_done) struct tuf_candidate d = { 0 };
	int r;

	if (!is_wanted(c, role))
		return FAULT(-EINVAL);
	r = tuf_candidate_read(&d, role, p, len);
	return r ?: tuf_workflow_take(c, &d);
}

int
tuf_client_update_split(struct tuf_client *c, const char *role, const struct tuf_split *s)
{
	SCOPED(tuf_candidate_done) struct tuf_candidate d = { 0 };
	int r;

	if (!is_wanted(c, role))
		return FAULT(-EINVAL);
	r = tuf_candidate_copy(&d, role, s);
	return r ?: tuf_workflow_take(c, &d);
}

int
tuf_client_absent(struct tuf_client *c)
{
	struct tuf_want w;

	if (c->phase == TUF_PHASE_ROOT)
		return tuf_workflow_root_end(c);
	if (!tuf_client_want(c, &w))
		return FAULT(-EINVAL);
	return REFUSE(REASON_NOT_FOUND, w.file, "the repository does not have it");
}

const void *
tuf_client_bytes(const struct tuf_client *c, const char *role, size_t *ret_len)
{
	const struct tuf_state *s = tuf_client_find(c, role);

	if (!s || !s->signed_)
		return NULL;
	*ret_len = s->bytes.len;
	return s->bytes.data;
}

bool
tuf_client_fresh(const struct tuf_client *c, const char *role)
{
	const struct tuf_state *s = tuf_client_find(c, role);

	return s && s->signed_ && s->fresh;
}

void
tuf_client_saved(struct tuf_client *c, const char *role)
{
	struct tuf_state *s = tuf_client_find(c, role);

	if (s)
		s->fresh = false;
}

bool
tuf_client_forgets(const struct tuf_client *c, const char *role)
{
	return c->recovered && !tuf_client_signed(c, role) &&
		(!strcmp(role, "timestamp") || !strcmp(role, "snapshot"));
}

const char *
tuf_client_role(const struct tuf_client *c, size_t i)
{
	for (size_t j = 0; j < c->n_roles; j++) {
		if (c->roles[j]->signed_ && i-- == 0)
			return c->roles[j]->name;
	}
	return NULL;
}

const json_t *
tuf_client_signed(const struct tuf_client *c, const char *role)
{
	const struct tuf_state *s = tuf_client_find(c, role);

	return s ? s->signed_ : NULL;
}
