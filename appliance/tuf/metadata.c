#include "appliance/tuf/metadata.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/key.h"

/* Bytes of a role's file name: with ".json" and what a temporary adds it has to fit a folder (255). */
enum { FILE_MAX = 200 };

/* --- signatures ---------------------------------------------------------------------------------- */
static bool
role_has(const json_t *keyids, const char *keyid)
{
	for (size_t i = 0; i < json_array_size(keyids); i++) {
		const char *one = json_string_value(json_array_get(keyids, i));

		if (one && !strcmp(one, keyid))
			return true;
	}
	return false;
}

/* Count a good signature unless this key's value was counted under another id. */
static void
count_value(uint8_t (*seen)[SHA256_LEN], size_t *n, const uint8_t *value)
{
	for (size_t i = 0; i < *n; i++) {
		if (!memcmp(seen[i], value, SHA256_LEN))
			return;
	}
	memcpy(seen[(*n)++], value, SHA256_LEN);
}

int
tuf_verify(const struct tuf_split *s, const json_t *keys, const json_t *role, const char *operand)
{
	const json_t *keyids = json_object_get(role, "keyids");
	json_int_t threshold = json_integer_value(json_object_get(role, "threshold"));
	uint8_t seen[TUF_SIGS_MAX][SHA256_LEN];
	size_t good = 0, bad = 0;

	if (threshold < 1 || !json_is_array(keyids))
		return REFUSE(REASON_MALFORMED, operand, "its role has no threshold");
	for (size_t i = 0; i < s->n_sigs; i++) {
		SCOPED(tuf_key_freep) struct tuf_key *key = NULL;
		const json_t *obj = json_object_get(keys, s->sigs[i].keyid);
		int r;

		/* Signatures of strangers cost nothing: they are never verified. */
		if (!obj || !role_has(keyids, s->sigs[i].keyid))
			continue;
		r = tuf_key_new(&key, obj, operand);
		if (r < 0)
			return r;
		/* A key that cannot be read verifies nothing, and spoils nothing beside enough others. */
		if (!r && tuf_key_verify(key, s->canonical.data, s->canonical.len, s->sigs[i].sig))
			count_value(seen, &good, tuf_key_value(key));
		else if (!r && errno == ENOMEM)
			return FAULT(-ENOMEM);
		else
			bad++;
	}
	if (good >= (size_t)threshold)
		return 0;
	if (bad > 0)
		return REFUSE(REASON_BAD_SIGNATURE, operand,
			"%zu good and %zu wrong signatures, where %lld are needed", good, bad,
			(long long)threshold);
	return REFUSE(REASON_THRESHOLD, operand,
		"%zu signatures of the role's keys, where %lld are needed", good,
		(long long)threshold);
}

int
tuf_verify_root(const struct tuf_split *s, const json_t *root, const char *role,
	const char *operand)
{
	const json_t *one = json_object_get(json_object_get(root, "roles"), role);

	if (!one)
		return REFUSE(REASON_MALFORMED, operand, "the root names no role %s", role);
	return tuf_verify(s, json_object_get(root, "keys"), one, operand);
}

/* --- shape --------------------------------------------------------------------------------------- */
static bool
is_positive(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 1;
}

static int
check_role(const json_t *role, const char *operand)
{
	const json_t *keyids = json_object_get(role, "keyids");
	size_t n = json_array_size(keyids);

	if (!is_positive(json_object_get(role, "threshold")))
		return REFUSE(REASON_MALFORMED, operand, "a threshold is not a number from 1");
	if (!json_is_array(keyids) || n > TUF_KEYS_MAX)
		return REFUSE(REASON_MALFORMED, operand, "keyids is no list");
	for (size_t i = 0; i < n; i++) {
		const char *id = json_string_value(json_array_get(keyids, i));

		if (!id || !*id || strlen(id) > TUF_KEYID_MAX)
			return REFUSE(REASON_MALFORMED, operand, "a keyid is no text");
		for (size_t j = 0; j < i; j++) {
			if (!strcmp(id, json_string_value(json_array_get(keyids, j))))
				return REFUSE(REASON_MALFORMED, operand,
					"a role names keyid %s twice", id);
		}
	}
	return 0;
}

static int
check_keys(const json_t *keys, const char *operand)
{
	if (!json_is_object(keys) || json_object_size(keys) > TUF_KEYS_MAX)
		return REFUSE(REASON_MALFORMED, operand, "keys is no object of at most %d",
			TUF_KEYS_MAX);
	return 0;
}

static int
check_root(const json_t *s, const char *operand)
{
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	const json_t *consistent = json_object_get(s, "consistent_snapshot");
	const json_t *roles = json_object_get(s, "roles");
	int r;

	if (consistent && !json_is_boolean(consistent))
		return REFUSE(REASON_MALFORMED, operand,
			"consistent_snapshot is not true or false");
	r = check_keys(json_object_get(s, "keys"), operand);
	for (size_t i = 0; !r && i < ARRAY_LEN(names); i++)
		r = check_role(json_object_get(roles, names[i]), operand);
	return r;
}

static int
check_hashes(const json_t *hashes, const char *operand)
{
	const char *name;
	json_t *v;

	if (!json_is_object(hashes) || !json_object_size(hashes))
		return REFUSE(REASON_MALFORMED, operand, "hashes is no object, or empty");
	json_object_foreach((json_t *)hashes, name, v) {
		if (!json_is_string(v))
			return REFUSE(REASON_MALFORMED, operand, "hash %s is no text", name);
	}
	return 0;
}

static int
check_meta(const json_t *meta, const char *name, const char *operand)
{
	const json_t *length = json_object_get(meta, "length"),
		     *hashes = json_object_get(meta, "hashes");

	if (!is_positive(json_object_get(meta, "version")))
		return REFUSE(REASON_MALFORMED, operand, "%s has no version", name);
	if (length && !(json_is_integer(length) && json_integer_value(length) >= 0))
		return REFUSE(REASON_MALFORMED, operand, "%s has a wrong length", name);
	return hashes ? check_hashes(hashes, operand) : 0;
}

static int
check_timestamp(const json_t *s, const char *operand)
{
	const json_t *meta = json_object_get(s, "meta");

	if (json_object_size(meta) != 1 || !json_object_get(meta, "snapshot.json"))
		return REFUSE(REASON_MALFORMED, operand, "meta must name snapshot.json alone");
	return check_meta(json_object_get(meta, "snapshot.json"), "snapshot.json", operand);
}

static int
check_snapshot(const json_t *s, const char *operand)
{
	const json_t *meta = json_object_get(s, "meta");
	const char *name;
	json_t *v;
	int r;

	if (!json_object_get(meta, "targets.json"))
		return REFUSE(REASON_MALFORMED, operand, "meta does not name targets.json");
	json_object_foreach((json_t *)meta, name, v) {
		size_t len = strlen(name);

		if (len <= 5 || strcmp(name + len - 5, ".json") != 0)
			return REFUSE(REASON_MALFORMED, operand, "meta names \"%s\"", name);
		r = check_meta(v, name, operand);
		if (r)
			return r;
	}
	return 0;
}

static bool
is_text_list(const json_t *v)
{
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (!json_is_string(json_array_get(v, i)))
			return false;
	}
	return json_is_array(v);
}

static int
check_delegation(const json_t *role, const char *operand)
{
	static const char *const own[] = { "root", "timestamp", "snapshot", "targets" };
	const char *name = json_string_value(json_object_get(role, "name"));
	const json_t *paths = json_object_get(role, "paths"),
		     *prefixes = json_object_get(role, "path_hash_prefixes");
	char file[TUF_FILE_MAX];

	if (!name || !*name || strlen(name) > TUF_ROLE_MAX ||
		strlen(tuf_file_name(file, name)) > FILE_MAX)
		return REFUSE(REASON_MALFORMED, operand, "a delegation has no usable name");
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (!strcmp(name, own[i]))
			return REFUSE(REASON_MALFORMED, operand, "a delegation is called %s", name);
	}
	if (!json_is_boolean(json_object_get(role, "terminating")))
		return REFUSE(REASON_MALFORMED, operand, "%s: terminating is missing", name);
	if (!paths == !prefixes || !is_text_list(paths ? paths : prefixes))
		return REFUSE(REASON_MALFORMED, operand,
			"%s: exactly one of paths and path_hash_prefixes is needed", name);
	return check_role(role, operand);
}

static int
check_succinct(const json_t *s, const char *operand)
{
	const json_t *bits = json_object_get(s, "bit_length");
	const json_t *prefix = json_object_get(s, "name_prefix");
	char file[TUF_FILE_MAX];

	if (!is_positive(bits) || json_integer_value(bits) > 32 || !json_string_length(prefix) ||
		json_string_length(prefix) > TUF_ROLE_MAX - 16 ||
		strlen(tuf_file_name(file, json_string_value(prefix))) > FILE_MAX - 9)
		return REFUSE(REASON_MALFORMED, operand, "succinct_roles is not well formed");
	return check_role(s, operand);
}

/* A list of thousands is no rarity (bins by the hash of the path), so names are looked up, not compared. */
static int
check_delegated(const json_t *roles, const char *operand)
{
	SCOPED_JSON *seen = json_object();
	int r = 0;

	if (!seen)
		return FAULT(-ENOMEM);
	for (size_t i = 0; !r && i < json_array_size(roles); i++) {
		const json_t *role = json_array_get(roles, i);
		const char *name = json_string_value(json_object_get(role, "name"));

		r = check_delegation(role, operand);
		if (!r && json_object_get(seen, name))
			r = REFUSE(REASON_MALFORMED, operand, "delegation %s comes twice", name);
		else if (!r && json_object_set_new(seen, name, json_true()) < 0)
			r = FAULT(-ENOMEM);
	}
	return r;
}

static int
check_delegations(const json_t *d, const char *operand)
{
	const json_t *roles = json_object_get(d, "roles"),
		     *succinct = json_object_get(d, "succinct_roles");
	int r;

	if (!roles == !succinct || (roles && !json_is_array(roles)))
		return REFUSE(REASON_MALFORMED, operand,
			"delegations need exactly one of roles and succinct_roles");
	r = check_keys(json_object_get(d, "keys"), operand);
	if (succinct)
		return r ?: check_succinct(succinct, operand);
	if (json_array_size(roles) > TUF_DELEGATIONS_MAX)
		return REFUSE(REASON_MALFORMED, operand, "more than %d delegations",
			TUF_DELEGATIONS_MAX);
	return r ?: check_delegated(roles, operand);
}

static int
check_targets(const json_t *s, const char *operand)
{
	const json_t *targets = json_object_get(s, "targets"),
		     *delegations = json_object_get(s, "delegations");
	const char *path;
	json_t *v;

	if (!json_is_object(targets))
		return REFUSE(REASON_MALFORMED, operand, "there are no targets");
	json_object_foreach((json_t *)targets, path, v) {
		const json_t *length = json_object_get(v, "length");
		int r = check_hashes(json_object_get(v, "hashes"), operand);

		if (r)
			return r;
		if (!json_is_integer(length) || json_integer_value(length) < 0)
			return REFUSE(REASON_MALFORMED, operand, "target \"%s\" has no length",
				path);
	}
	return delegations ? check_delegations(delegations, operand) : 0;
}

/* "1.0.34", and "1.0" of old: whole numbers, the first of them 1. */
static bool
is_spec_1(const char *spec)
{
	int dots = 0;

	if (strncmp(spec, "1.", 2) != 0)
		return false;
	for (const char *p = spec; *p; p++) {
		if (*p == '.' && ++dots <= 2 && p[1] >= '0' && p[1] <= '9')
			continue;
		if (*p < '0' || *p > '9')
			return false;
	}
	return true;
}

int
tuf_check(const json_t *signed_, const char *type, const char *operand)
{
	static const struct {
		const char *type;
		int (*check)(const json_t *s, const char *operand);
	} kinds[] = {
		{ "root", check_root },
		{ "timestamp", check_timestamp },
		{ "snapshot", check_snapshot },
		{ "targets", check_targets },
	};
	const char *is = json_string_value(json_object_get(signed_, "_type")),
		   *spec = json_string_value(json_object_get(signed_, "spec_version")),
		   *expires = json_string_value(json_object_get(signed_, "expires"));
	uint64_t when;

	if (!is || strcmp(is, type) != 0)
		return REFUSE(REASON_MALFORMED, operand, "it is no %s", type);
	if (!spec || !is_spec_1(spec))
		return REFUSE(REASON_MALFORMED, operand, "spec_version is not 1.x");
	if (!is_positive(json_object_get(signed_, "version")))
		return REFUSE(REASON_MALFORMED, operand, "version is not a number from 1");
	if (!expires || clock_parse_s(&when, expires) != 0)
		return REFUSE(REASON_MALFORMED, operand, "expires is not YYYY-MM-DDTHH:MM:SSZ");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!strcmp(kinds[i].type, type))
			return kinds[i].check(signed_, operand);
	}
	return FAULT(-EINVAL);
}

uint64_t
tuf_version(const json_t *signed_)
{
	return (uint64_t)json_integer_value(json_object_get(signed_, "version"));
}

uint64_t
tuf_expires_us(const json_t *signed_)
{
	const char *text = json_string_value(json_object_get(signed_, "expires"));
	uint64_t us = 0;

	/* A checked document parses; anything else has expired in 1970. */
	return text && clock_parse_s(&us, text) == 0 ? us : 0;
}

const char *
tuf_file_name(char out[TUF_FILE_MAX], const char *role)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)role; *p && n + 4 < TUF_FILE_MAX;
		p++) {
		bool bare = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
			(*p >= '0' && *p <= '9') || strchr("_.~-", *p);

		if (bare) {
			out[n++] = (char)*p;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[*p >> 4];
		out[n++] = hex[*p & 15];
	}
	out[n] = '\0';
	return out;
}

int
tuf_measure_check(const json_t *meta, bool require, uint64_t length, const uint8_t sha256[32],
	const uint8_t sha512[64], const char *operand)
{
	const json_t *listed = json_object_get(meta, "length"),
		     *hashes = json_object_get(meta, "hashes");
	const char *h256 = json_string_value(json_object_get(hashes, "sha256")),
		   *h512 = json_string_value(json_object_get(hashes, "sha512"));
	char hex[2 * SHA512_LEN + 1];

	if (listed && (uint64_t)json_integer_value(listed) != length)
		return REFUSE(REASON_HASH_MISMATCH, operand, "%llu bytes, where %lld are listed",
			(unsigned long long)length, (long long)json_integer_value(listed));
	if ((hashes || require) && !h256 && !h512)
		return REFUSE(REASON_HASH_MISMATCH, operand, "no hash is listed that we know");
	if (h256 && strcmp(h256, hex_encode(hex, sha256, SHA256_LEN)) != 0)
		return REFUSE(REASON_HASH_MISMATCH, operand, "its SHA-256 is not the listed one");
	if (h512 && strcmp(h512, hex_encode(hex, sha512, SHA512_LEN)) != 0)
		return REFUSE(REASON_HASH_MISMATCH, operand, "its SHA-512 is not the listed one");
	return 0;
}
