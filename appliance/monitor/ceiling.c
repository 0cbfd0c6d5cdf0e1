#include "appliance/monitor/ceiling.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/yaml.h"
#include "appliance/audit/audit.h"
#include "appliance/monitor/inside.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_compile.h"
#include "appliance/trust/sha256.h"

enum { GUARD_MAX = 64 * 1024 };

static const char guard_file[] = "guard.json";
static const char policy_file[] = "policy.json";

/* guard.json as it stands on the disk. */
struct guard {
	uint64_t v;
	uint8_t digest[32]; /* of the policy in force */
	uint8_t next[32];   /* of one that was being applied; all zero: none was */
	uint8_t source[32]; /* of policy.yaml; all zero: not known */
	json_t *owners;	    /* borrowed; NULL: none */
	json_t *used;
};

static const uint8_t nothing[32];

const char *
ceiling_state_text(enum ceiling_state state)
{
	static const char *const texts[] = {
		[CEILING_DEFAULT] = "default",
		[CEILING_APPLIED] = "applied",
		[CEILING_MISSING] = "missing",
		[CEILING_DAMAGED] = "damaged",
	};

	return texts[state];
}

/* --- guard.json ---------------------------------------------------------------------------------- */
static int
load_guard(const struct monitor *m, json_t **ret_doc, struct guard *ret)
{
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct guard, v) },
		{ "digest", JSON_KIND_SHA256, .offset = offsetof(struct guard, digest) },
		{ "next", JSON_KIND_SHA256, true, offsetof(struct guard, next), 0 },
		{ "source", JSON_KIND_SHA256, true, offsetof(struct guard, source), 0 },
		{ "owners", JSON_KIND_OBJECT, true, offsetof(struct guard, owners), 0 },
		{ "used", JSON_KIND_OBJECT, .offset = offsetof(struct guard, used) },
	};
	struct guard g = { 0 };
	int r = monitor_load_json(m, guard_file, GUARD_MAX, ret_doc);

	r = r ?: json_members(*ret_doc, fields, ARRAY_LEN(fields), &g, guard_file);
	if (r)
		return r;
	*ret = g;
	return 0;
}

static int
read_used(uint64_t ret[OWNER_KINDS], const json_t *used)
{
	struct json_field fields[OWNER_KINDS];
	uint64_t times[OWNER_KINDS] = { 0 };
	int r;

	for (unsigned i = 0; i < OWNER_KINDS; i++)
		fields[i] = (struct json_field){ owner_kind_text((enum owner_kind)i), JSON_KIND_TIME,
			true, i * sizeof(times[0]), 0 };
	r = json_members(used, fields, OWNER_KINDS, times, guard_file);
	if (r)
		return r;
	memcpy(ret, times, sizeof(times));
	return 0;
}

/* owned is the policy whose owners guard; next NULL: nothing is being applied. */
static int
save_guard(const struct monitor *m, const struct policy *owned, const struct policy *next)
{
	const struct ceiling *c = &m->ceiling;
	const json_t *owners = json_object_get(policy_json(owned), "owners");
	SCOPED_JSON *doc = json_object();
	json_t *used = json_object();
	int r = doc && used ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < OWNER_KINDS; i++)
		if (c->used[i])
			r = json_put_time(used, owner_kind_text((enum owner_kind)i), c->used[i]);
	if (json_object_set_new(doc, "used", used) < 0)
		r = -ENOMEM;
	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_sha256(doc, "digest", c->digest);
	if (r == 0 && next)
		r = json_put_sha256(doc, "next", policy_digest(next));
	if (r == 0 && c->has_source)
		r = json_put_sha256(doc, "source", c->source);
	if (r == 0 && owners && json_object_set_new(doc, "owners", json_copy_whole(owners, JSON_DEEP)) < 0)
		r = -ENOMEM;
	return FAULT(r ?: monitor_save_json(m, guard_file, doc));
}

/* --- opening ------------------------------------------------------------------------------------- */
static int
load_policy(const struct monitor *m, struct policy **ret)
{
	SCOPED_JSON *doc = NULL;
	int r = monitor_load_json(m, policy_file, POLICY_BYTES_MAX, &doc);

	return r ?: policy_from_json(ret, doc);
}

/* Nothing of ours says what the customer wants: deny, and let those guard who did. */
static int
deny_all(struct monitor *m, enum ceiling_state state, const struct guard *g)
{
	int r;

	m->ceiling.state = state;
	m->ceiling.owners_lost = !g;
	log_error("the compiled policy is %s: everything is denied until `mainstay policy apply`",
		ceiling_state_text(state));
	r = policy_deny_all(&m->policy, g ? g->owners : NULL);
	if (r <= 0)
		return r;
	m->ceiling.owners_lost = true; /* the guard's owners are none that a policy may have */
	return policy_deny_all(&m->policy, NULL);
}

static void
forget_used(struct monitor *m)
{
	/* What counted is not known any more: nothing that was signed before counts. */
	for (unsigned i = 0; i < OWNER_KINDS; i++)
		m->ceiling.used[i] = monitor_now_us(m);
}

static void
take_guard(struct monitor *m, const struct guard *g)
{
	struct ceiling *c = &m->ceiling;

	memcpy(c->digest, g->digest, sizeof(c->digest));
	c->has_source = memcmp(g->source, nothing, sizeof(nothing)) != 0;
	memcpy(c->source, g->source, sizeof(c->source));
	if (read_used(c->used, g->used) != 0)
		forget_used(m);
}

/* --- what the log says --------------------------------------------------------------------------- */
/* The last policy that got a leaf. */
struct logged {
	bool found;
	uint8_t digest[32]; /* all zero: not known */
};

static int
on_leaf(const struct audit_entry *e, void *arg)
{
	struct logged *l = arg;

	if (strcmp(e->object, CEILING_OBJECT) != 0)
		return 0;
	l->found = true;
	if (!sha256_parse(l->digest, e->digest))
		memset(l->digest, 0, sizeof(l->digest));
	return 0;
}

/* Walks the whole log; asked only where guard.json does not say. */
static int
look_in_log(struct monitor *m, struct logged *ret)
{
	const struct audit_filter filter = { .kind = audit_kind_name(AUDIT_POLICY) };
	int r;

	*ret = (struct logged){ 0 };
	r = audit_each(m->audit, &filter, on_leaf, ret);
	if (r > 0)
		*ret = (struct logged){ .found = true }; /* it might have said so */
	return r < 0 ? FAULT(r) : 0;
}

/* The policy can be read; is it the one that was applied? */
static int
adopt(struct monitor *m, struct policy *take_p, const struct guard *g, const struct logged *l)
{
	const uint8_t *digest = policy_digest(take_p);
	bool other = g ? memcmp(digest, g->digest, 32) != 0 && memcmp(digest, g->next, 32) != 0
		       : l->found && memcmp(digest, l->digest, 32) != 0;

	if (other) {
		policy_free(take_p);
		return deny_all(m, CEILING_DAMAGED, g);
	}
	m->policy = take_p;
	m->ceiling.state = CEILING_APPLIED;
	memcpy(m->ceiling.digest, digest, sizeof(m->ceiling.digest));
	/* A crash on the way, or a guard that was lost: written as it is now. */
	if (!g || memcmp(g->next, nothing, sizeof(nothing)) != 0)
		return save_guard(m, m->policy, NULL);
	return 0;
}

int
ceiling_open(struct monitor *m)
{
	SCOPED_JSON *doc = NULL;
	struct policy *p = NULL;
	struct logged l = { 0 };
	struct guard g;
	int guard = load_guard(m, &doc, &g), r = load_policy(m, &p);
	int log = guard > 0 ? look_in_log(m, &l) : 0;

	if (guard < 0 || r < 0 || log < 0) {
		policy_free(p);
		return FAULT(guard < 0 ? guard : r < 0 ? r : log);
	}
	m->ceiling = (struct ceiling){ .state = CEILING_DEFAULT };
	if (guard == 0)
		take_guard(m, &g);
	else
		memcpy(m->ceiling.digest, l.digest, sizeof(l.digest));
	if (guard > 0 && (guard != REASON_NOT_FOUND || l.found))
		forget_used(m);
	if (r == 0)
		return FAULT(adopt(m, p, guard == 0 ? &g : NULL, &l));
	if (r == REASON_NOT_FOUND && guard == REASON_NOT_FOUND && !l.found)
		return FAULT(policy_default(&m->policy));
	return FAULT(deny_all(m, r == REASON_NOT_FOUND ? CEILING_MISSING : CEILING_DAMAGED,
		guard == 0 ? &g : NULL));
}

/* --- changing ------------------------------------------------------------------------------------ */
int
ceiling_apply(struct monitor *m, struct policy *take_next, const uint8_t source[32])
{
	SCOPED(policy_freep) struct policy *next = take_next;
	struct ceiling before = m->ceiling;
	int r;

	r = save_guard(m, m->policy, next);
	r = r ?: monitor_save_json(m, policy_file, policy_json(next));
	if (r)
		return FAULT(r);
	m->ceiling.state = CEILING_APPLIED;
	m->ceiling.owners_lost = false;
	m->ceiling.has_source = true;
	memcpy(m->ceiling.source, source, 32);
	memcpy(m->ceiling.digest, policy_digest(next), 32);
	r = save_guard(m, next, NULL);
	if (r) {
		m->ceiling = before;
		return FAULT(r);
	}
	policy_free(m->policy);
	m->policy = STEAL(next);
	return 0;
}

bool
ceiling_edited(const struct monitor *m)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(YAML_BYTES_MAX);
	char path[sizeof(m->paths.etc) + 32];
	uint8_t digest[32];
	int r;

	(void)snprintf(path, sizeof(path), "%s/policy.yaml", m->paths.etc);
	r = fs_read(AT_FDCWD, path, YAML_BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return false;
	if (r != 0)
		return true; /* whatever it is, it is not what was applied */
	if (!m->ceiling.has_source)
		return b.len != strlen(policy_compile_default) ||
			memcmp(b.data, policy_compile_default, b.len) != 0;
	sha256_of(digest, b.data, b.len);
	return memcmp(digest, m->ceiling.source, sizeof(digest)) != 0;
}

/* --- owners -------------------------------------------------------------------------------------- */
bool
monitor_guarded(const struct monitor *m)
{
	unsigned k;

	return m->ceiling.owners_lost || policy_owners(m->policy, &k) > 0;
}

int
monitor_owners(struct monitor *m, unsigned kinds, const uint8_t digest[32], const void *envelope,
	size_t len, enum owner_kind *ret_kind)
{
	struct owner_question q = { .policy = m->policy,
		.site = monitor_site(m),
		.kinds = kinds,
		.digest = digest,
		.now_us = monitor_now_us(m),
		.date_us = monitor_date_us(m),
		.used = m->ceiling.used };
	struct ceiling before = m->ceiling;
	enum owner_kind kind;
	uint64_t time_us;
	unsigned k;
	size_t n = policy_owners(m->policy, &k);
	int r;

	if (m->ceiling.owners_lost)
		return REFUSE(REASON_NOT_APPROVED, guard_file,
			"who the owners are is lost: apply the very policy again that was in force (the audit log "
			"names its digest), or put lib/monitor/policy.json and guard.json back from a backup");
	if (n == 0)
		return REFUSE(REASON_NOT_APPROVED, "owner",
			"the policy in force names no owners: only they can say yes to this");
	if (len == 0)
		return REFUSE(REASON_NOT_APPROVED, "owner",
			"%u of its %zu owners must sign: --key FILE, or --out F for their own machines",
			k, n);
	r = owner_verify(&kind, &time_us, &q, envelope, len);
	if (r)
		return r < 0 ? FAULT(r) : r;
	/* Used up before anything follows from it: a crash loses a statement, never counts one twice. */
	m->ceiling.used[kind] = time_us;
	r = save_guard(m, m->policy, NULL);
	if (r) {
		m->ceiling = before;
		return FAULT(r);
	}
	*ret_kind = kind;
	return FAULT(monitor_raise_floor(m, time_us, "owners"));
}
