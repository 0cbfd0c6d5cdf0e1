#include "updater/release/release_words.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/tuf/metadata.h"
#include "updater/release/release_ceremony.h"
#include "updater/release/release_keys.h"

enum { LINE = 2048 };

/* What a signer is shown is all of it, or nothing. */
struct words {
	json_t *lines;
	int r;
};

static void say(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
say(struct words *w, const char *fmt, ...)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE);
	char out[LINE];
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	if (buf_error(&b) == -ENOMEM ||
		json_array_append_new(w->lines,
			json_string(log_escape(out, sizeof(out), buf_error(&b) ? "(more than can be shown)" : buf_text(&b)))) < 0)
		w->r = FAULT(-ENOMEM);
}

/* --- keys ----------------------------------------------------------------------------------------- */
/* A role's object, and the keys that its document knows. */
struct signers {
	const json_t *role, *keys;
};

/* By the id that refusals name, and by the public half, which is what the owner of a key reads out: keys new says it. */
static void
say_keys_of(struct words *w, const char *name, const struct signers *was, const struct signers *is, const char *sign)
{
	const json_t *ids = json_object_get(is->role, "keyids");

	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));
		const json_t *key = json_object_get(is->keys, id);

		if (!release_keys_listed(was->role, id))
			say(w, "%s %s key %s, public %s", sign, name, id, json_text(json_object_get(key, "keyval"), "public"));
	}
}

static void
say_role(struct words *w, const char *name, const struct signers *was, const struct signers *is)
{
	json_int_t before = json_integer_value(json_object_get(was->role, "threshold")),
		   after = json_integer_value(json_object_get(is->role, "threshold"));
	size_t n_before = json_array_size(json_object_get(was->role, "keyids")),
	       n_after = json_array_size(json_object_get(is->role, "keyids"));

	say_keys_of(w, name, was, is, "+");
	say_keys_of(w, name, is, was, "-");
	if (was->role && is->role && (before != after || n_before != n_after))
		say(w, "! %s: %lld of %zu keys sign, before it was %lld of %zu", name, (long long)after, n_after,
			(long long)before, n_before);
	if (is->role && n_after > 1 && (size_t)after == n_after)
		say(w, "! %s: all of its %zu keys have to sign; one that is lost ends it", name, n_after);
}

static struct signers
of_root(const json_t *root, const char *name)
{
	return (struct signers){ json_object_get(json_object_get(root, "roles"), name), json_object_get(root, "keys") };
}

static void
say_root(struct words *w, const json_t *was, const json_t *is)
{
	static const char *const names[] = { "root", "targets", "snapshot", "timestamp" };
	size_t before = json_array_size(w->lines);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct signers old = of_root(was, names[i]), new = of_root(is, names[i]);

		say_role(w, names[i], &old, &new);
	}
	if (json_array_size(w->lines) == before)
		say(w, "  no key and no threshold changes");
}

/* --- targets -------------------------------------------------------------------------------------- */
static const char *
hash_of(const json_t *target)
{
	return json_text(json_object_get(target, "hashes"), "sha256");
}

static void
say_targets(struct words *w, const json_t *was, const json_t *is)
{
	const json_t *old = json_object_get(was, "targets"), *new = json_object_get(is, "targets");
	const char *path;
	size_t kept = 0;
	json_t *t;

	json_object_foreach((json_t *)new, path, t)
	{
		const json_t *before = json_object_get(old, path),
			     *release = json_object_get(json_object_get(t, "custom"), "counter");

		kept += before && json_equal(before, t);
		if (!before && release)
			say(w, "+ %s sha256:%s counter %lld", path, hash_of(t), (long long)json_integer_value(release));
		else if (!before)
			say(w, "+ %s sha256:%s", path, hash_of(t));
		else if (!json_equal(before, t))
			say(w, "! %s is another: sha256:%s, before sha256:%s", path, hash_of(t), hash_of(before));
	}
	json_object_foreach((json_t *)old, path, t)
		if (!json_object_get(new, path))
			say(w, "- %s", path);
	say(w, "  %zu files stay listed, and are vouched for anew", kept);
}

static const json_t *
delegation(const json_t *signed_, const char *name)
{
	const json_t *roles = json_object_get(json_object_get(signed_, "delegations"), "roles");

	for (size_t i = 0; i < json_array_size(roles); i++)
		if (!strcmp(json_text(json_array_get(roles, i), "name"), name))
			return json_array_get(roles, i);
	return NULL;
}

static const json_t *
delegated_keys(const json_t *signed_)
{
	return json_object_get(json_object_get(signed_, "delegations"), "keys");
}

static void
say_paths(struct words *w, const char *name, const json_t *role)
{
	const json_t *paths = json_object_get(role, "paths");

	for (size_t i = 0; i < json_array_size(paths); i++)
		say(w, "! %s may vouch for %s", name, json_string_value(json_array_get(paths, i)));
	if (json_object_get(role, "path_hash_prefixes"))
		say(w, "! %s may vouch for whatever has a certain hash", name);
	if (!json_is_true(json_object_get(role, "terminating")))
		say(w, "! after %s others are asked, too", name);
}

static void
say_delegations(struct words *w, const json_t *was, const json_t *is)
{
	const json_t *new = json_object_get(json_object_get(is, "delegations"), "roles"),
		     *old = json_object_get(json_object_get(was, "delegations"), "roles");

	for (size_t i = 0; i < json_array_size(new); i++) {
		const json_t *role = json_array_get(new, i);
		const char *name = json_text(role, "name");
		const json_t *before = delegation(was, name);

		if (!before)
			say(w, "+ delegation %s: %lld of %zu keys", name,
				(long long)json_integer_value(json_object_get(role, "threshold")),
				json_array_size(json_object_get(role, "keyids")));
		if (!before || !json_equal(json_object_get(before, "paths"), json_object_get(role, "paths")))
			say_paths(w, name, role);
		if (!json_equal(before, role))
			say_role(w, name, &(struct signers){ before, delegated_keys(was) },
				&(struct signers){ role, delegated_keys(is) });
	}
	for (size_t i = 0; i < json_array_size(old); i++)
		if (!delegation(is, json_text(json_array_get(old, i), "name")))
			say(w, "- delegation %s", json_text(json_array_get(old, i), "name"));
}

static void
say_numbers(struct words *w, const char *member, const char *what, const json_t *was, const json_t *is)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)json_object_get(is, member), name, v)
		if (!json_equal(v, json_object_get(json_object_get(was, member), name)))
			say(w, "! %s of %s: %lld", what, name, (long long)json_integer_value(v));
	json_object_foreach((json_t *)json_object_get(was, member), name, v)
		if (!json_object_get(json_object_get(is, member), name))
			say(w, "! %s of %s is no longer there", what, name);
}

static void
say_withdrawn(struct words *w, const json_t *was, const json_t *is)
{
	const char *path;
	json_t *reason;

	json_object_foreach((json_t *)json_object_get(is, "x-mainstay-withdrawn"), path, reason)
		if (!json_object_get(json_object_get(was, "x-mainstay-withdrawn"), path))
			say(w, "! %s is withdrawn: %s", path, json_string_value(reason) ?: "");
}

json_t *
release_words(const struct release_ceremony *c)
{
	SCOPED_JSON *lines = json_array();
	struct words w = { lines, 0 };
	json_t *is;
	const char *role;

	json_object_foreach(c->is, role, is)
	{
		bool root = !strcmp(role, "root");
		const json_t *was = root ? c->root : json_object_get(c->was, role);
		char until[CLOCK_TEXT_MAX];

		say(&w, "%s: version %llu, until %s", role, (unsigned long long)tuf_version(is),
			clock_format_s(until, tuf_expires_us(is)));
		if (root) {
			say_root(&w, was, is);
			continue;
		}
		say_targets(&w, was, is);
		say_delegations(&w, was, is);
		say_numbers(&w, "x-mainstay-floors", "the floor", was, is);
		say_numbers(&w, "x-mainstay-counters", "the highest counter so far", was, is);
		say_withdrawn(&w, was, is);
	}
	return w.r ? NULL : STEAL(lines);
}
