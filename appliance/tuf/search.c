/* Finding a target: pre-order depth first through the delegations, in their listed order.
 *
 * Each call walks from the start; roles that are loaded cost nothing, the first that is not ends it
 * with TUF_WANTS.  So there is no state of a search to keep or to go stale. */
#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client_state.h"
#include "appliance/tuf/pattern.h"

enum { STACK_MAX = 2048 };

struct search {
	const char *path;
	char hash[2 * SHA256_LEN + 1]; /* of path, for hash prefixes */
	struct tuf_delegation *stack;  /* STACK_MAX of them; the next to visit is the last */
	size_t n_stack;
	char visited[TUF_ROLES_MAX][TUF_ROLE_MAX + 1];
	size_t n_visited;
};

static bool
delegates(const struct search *s, const json_t *role)
{
	const json_t *paths = json_object_get(role, "paths"),
		     *prefixes = json_object_get(role, "path_hash_prefixes");

	for (size_t i = 0; i < json_array_size(paths); i++) {
		if (pattern_match(json_string_value(json_array_get(paths, i)), s->path))
			return true;
	}
	for (size_t i = 0; i < json_array_size(prefixes); i++) {
		const char *prefix = json_string_value(json_array_get(prefixes, i));

		if (!strncmp(s->hash, prefix, strlen(prefix)))
			return true;
	}
	return false;
}

static int
push(struct search *s, const char *name, const json_t *keys, const json_t *role)
{
	struct tuf_delegation *d;

	if (s->n_stack == STACK_MAX)
		return REFUSE(REASON_TOO_LARGE, s->path, "too many delegations to search");
	d = &s->stack[s->n_stack++];
	(void)snprintf(d->name, sizeof(d->name), "%s", name);
	d->keys = keys;
	d->role = role;
	return 0;
}

/* TAP 15: the first bits of the path's hash are the number of its bin. */
static int
push_bin(struct search *s, const json_t *keys, const json_t *succinct)
{
	int bits = (int)json_integer_value(json_object_get(succinct, "bit_length"));
	char name[TUF_ROLE_MAX + 1];
	uint8_t digest[4];
	uint32_t bin;

	if (!hex_decode(digest, 4,
		    (char[9]){ s->hash[0], s->hash[1], s->hash[2], s->hash[3], s->hash[4],
			    s->hash[5], s->hash[6], s->hash[7], '\0' }))
		return FAULT(-EINVAL);
	bin = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
		digest[3];
	bin >>= 32 - bits;
	(void)snprintf(name, sizeof(name), "%s-%0*x",
		json_string_value(json_object_get(succinct, "name_prefix")), (bits + 3) / 4, bin);
	return push(s, name, keys, succinct);
}

/* Put the delegations that fit on the stack, the first listed on top. */
static int
push_children(struct search *s, const json_t *signed_)
{
	const json_t *delegations = json_object_get(signed_, "delegations"),
		     *keys = json_object_get(delegations, "keys"),
		     *roles = json_object_get(delegations, "roles"),
		     *succinct = json_object_get(delegations, "succinct_roles");
	size_t n = json_array_size(roles), end;
	int r = 0;

	if (succinct)
		return push_bin(s, keys, succinct);
	/* A terminating delegation ends the list, and everything that waited before it. */
	for (end = 0; end < n; end++) {
		const json_t *role = json_array_get(roles, end);

		if (delegates(s, role) && json_is_true(json_object_get(role, "terminating"))) {
			s->n_stack = 0;
			end++;
			break;
		}
	}
	for (size_t i = end; !r && i-- > 0;) {
		const json_t *role = json_array_get(roles, i);

		if (delegates(s, role))
			r = push(s, json_string_value(json_object_get(role, "name")), keys, role);
	}
	return r;
}

static bool
was_visited(const struct search *s, const char *name)
{
	for (size_t i = 0; i < s->n_visited; i++) {
		if (!strcmp(s->visited[i], name))
			return true;
	}
	return false;
}

static void
name_file(const struct tuf_client *c, struct tuf_target *t)
{
	const char *slash = strrchr(t->path, '/');
	const char *name = slash ? slash + 1 : t->path;
	char hex[2 * SHA512_LEN + 1];

	if (!json_is_true(json_object_get(tuf_client_signed(c, "root"), "consistent_snapshot"))) {
		(void)snprintf(t->file, sizeof(t->file), "%s", t->path);
		return;
	}
	if (t->has_sha256)
		hex_encode(hex, t->sha256, sizeof(t->sha256));
	else
		hex_encode(hex, t->sha512, sizeof(t->sha512));
	(void)snprintf(t->file, sizeof(t->file), "%.*s%s.%s", (int)(name - t->path), t->path, hex,
		name);
}

static int
fill(const struct tuf_client *c, const char *role, const char *path, const json_t *one,
	struct tuf_target *ret)
{
	const json_t *hashes = json_object_get(one, "hashes");
	const char *h256 = json_string_value(json_object_get(hashes, "sha256")),
		   *h512 = json_string_value(json_object_get(hashes, "sha512"));
	struct tuf_target t = { 0 };

	(void)snprintf(t.path, sizeof(t.path), "%s", path);
	(void)snprintf(t.role, sizeof(t.role), "%s", role);
	t.length = (uint64_t)json_integer_value(json_object_get(one, "length"));
	t.has_sha256 = h256 && hex_decode(t.sha256, sizeof(t.sha256), h256);
	t.has_sha512 = h512 && hex_decode(t.sha512, sizeof(t.sha512), h512);
	if ((h256 && !t.has_sha256) || (h512 && !t.has_sha512) || !(h256 || h512))
		return REFUSE(REASON_HASH_MISMATCH, path, "no hash is listed that could ever fit");
	t.custom = json_object_get(one, "custom");
	name_file(c, &t);
	*ret = t;
	return 0;
}

static int
visit(struct tuf_client *c, struct search *s, struct tuf_target *ret, bool *ret_found)
{
	struct tuf_delegation d = s->stack[--s->n_stack];
	const json_t *signed_, *one;
	int r;

	if (was_visited(s, d.name))
		return 0;
	r = tuf_client_load(c, &d);
	if (r)
		return r;
	memcpy(s->visited[s->n_visited++], d.name, sizeof(d.name));
	signed_ = tuf_client_signed(c, d.name);
	one = json_object_get(json_object_get(signed_, "targets"), s->path);
	if (one) {
		*ret_found = true;
		return fill(c, d.name, s->path, one, ret);
	}
	return push_children(s, signed_);
}

/* A name becomes a file and an address below a base: no segment may be empty or lead out of it. */
static bool
stays_below(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (!n || !strncmp(path, ".", n) || (n == 2 && !strncmp(path, "..", n)))
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

static void
search_done(struct search *s)
{
	free(s->stack);
}

static int
walk(struct tuf_client *c, const char *path, struct tuf_target *ret, bool *ret_found)
{
	SCOPED(search_done) struct search s = { .path = path };
	uint8_t digest[SHA256_LEN];
	int r;

	if (!tuf_client_current(c))
		return FAULT(-EINVAL);
	if (strlen(path) > TUF_PATH_MAX || !stays_below(path))
		return REFUSE(REASON_NOT_FOUND, path, "no target can have this name");
	sha256_of(digest, path, strlen(path));
	hex_encode(s.hash, digest, sizeof(digest));
	s.stack = calloc(STACK_MAX, sizeof(*s.stack));
	if (!s.stack)
		return FAULT(-ENOMEM);
	c->wanted.name[0] = '\0'; /* of an earlier search */
	r = push(&s, "targets", NULL, NULL);
	while (!r && !*ret_found && s.n_stack && s.n_visited < TUF_ROLES_MAX)
		r = visit(c, &s, ret, ret_found);
	return r;
}

int
tuf_client_reach(struct tuf_client *c, const char *path)
{
	struct tuf_target t;
	bool found = false;

	return walk(c, path, &t, &found);
}

int
tuf_client_target(struct tuf_client *c, const char *path, struct tuf_target *ret)
{
	bool found = false;
	int r = walk(c, path, ret, &found);

	if (r || found)
		return r;
	return REFUSE(REASON_NOT_FOUND, path, "no role of the repository lists this target");
}

int
tuf_target_check(const struct tuf_target *t, const void *p, size_t len)
{
	uint8_t sha256[SHA256_LEN], sha512[SHA512_LEN];

	sha256_of(sha256, p, len);
	sha256_sha512_of(sha512, p, len);
	if (len != t->length)
		return REFUSE(REASON_HASH_MISMATCH, t->path, "%zu bytes, where %llu are listed",
			len, (unsigned long long)t->length);
	if (!t->has_sha256 && !t->has_sha512)
		return REFUSE(REASON_HASH_MISMATCH, t->path, "no hash is listed that we know");
	if ((t->has_sha256 && !sha256_same(sha256, t->sha256, sizeof(sha256))) ||
		(t->has_sha512 && !sha256_same(sha512, t->sha512, sizeof(sha512))))
		return REFUSE(REASON_HASH_MISMATCH, t->path, "its hash is not the listed one");
	return 0;
}
