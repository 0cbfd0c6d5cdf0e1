#include "updater/release/release_verify.h"

#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/tree/beneath.h"
#include "appliance/tree/index.h"
#include "appliance/tree/walk.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/people.h"
#include "updater/object/object.h"
#include "updater/release/release_beside.h"
#include "updater/release/release_chain.h"
#include "updater/release/release_commit.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_packs.h"
#include "updater/release/release_publish.h"
#include "updater/release/release_repo.h"
#include "updater/release/release_sbom.h"

struct verify {
	struct release_repo *repo;
	struct release_verified *out;
	struct release_chain chain;
	json_t *delegations; /* role -> [{"keys","role"}], of every document of targets; owned */
};

/* --- who signed when ------------------------------------------------------------------------------ */
/* What a document of targets delegates, remembered for each role's documents of that time. */
static int
remember(struct verify *v, const json_t *targets)
{
	const json_t *d = json_object_get(targets, "delegations"), *roles = json_object_get(d, "roles");

	for (size_t i = 0; i < json_array_size(roles); i++) {
		json_t *role = json_array_get(roles, i), *list;
		const char *name = json_text(role, "name");

		if (!json_object_get(v->delegations, name) && json_object_set_new(v->delegations, name, json_array()) < 0)
			return FAULT(-ENOMEM);
		list = json_object_get(v->delegations, name);
		if (json_array_append_new(list, json_pack("{s:O, s:O}", "keys", json_object_get(d, "keys"), "role", role)) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

/* Of all times. */
static int
read_delegations(struct verify *v)
{
	uint64_t present = tuf_version(release_repo_signed(v->repo, "targets"));
	int r = 0;

	v->delegations = json_object();
	for (uint64_t version = 1; !r && version <= present; version++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
		SCOPED(tuf_split_done) struct tuf_split s = { 0 };
		SCOPED_JSON *signed_ = NULL;
		char file[48];

		(void)snprintf(file, sizeof(file), "%llu.targets.json", (unsigned long long)version);
		r = release_repo_read(v->repo, file, TUF_TARGETS_MAX, &b);
		if (r == REASON_NOT_FOUND) {
			r = 0; /* a number that an interrupted command left out */
			continue;
		}
		r = r ?: tuf_split(&s, b.data, b.len, TUF_TARGETS_MAX, file);
		r = r ?: release_chain_check(&v->chain, &s, "targets", version, present, file);
		r = r ?: tuf_parse(&signed_, &s.canonical, file);
		r = r ?: tuf_check(signed_, "targets", file);
		r = r ?: remember(v, signed_);
	}
	return r;
}

/* The newest signers first; a document that is no longer the present one may be of any earlier ones. */
static int
verify_delegated(struct verify *v, const struct tuf_split *s, const char *role, uint64_t version, const char *file)
{
	const json_t *list = json_object_get(v->delegations, role), *keys, *of = release_repo_role(v->repo, role, &keys),
		     *present = release_repo_signed(v->repo, role);
	bool old = !of || (present && version < tuf_version(present));

	for (size_t i = json_array_size(list); old && i-- > 0;) {
		const json_t *at = json_array_get(list, i), *role_at = json_object_get(at, "role");
		size_t good = 0;

		for (size_t j = 0; j < s->n_sigs; j++) {
			int is = release_keys_listed(role_at, s->sigs[j].keyid)
				? release_chain_signed(s, json_object_get(at, "keys"), s->sigs[j].keyid)
				: 0;

			if (is < 0)
				return FAULT(is);
			good += is > 0;
		}
		if (good == s->n_sigs && good >= (size_t)json_integer_value(json_object_get(role_at, "threshold")))
			return 0;
	}
	if (!of) {
		of = json_object_get(json_array_get(list, json_array_size(list) - 1), "role");
		keys = json_object_get(json_array_get(list, json_array_size(list) - 1), "keys");
	}
	return release_chain_check_role(s, keys, of, file);
}

/* --- documents ----------------------------------------------------------------------------------- */
/* Who must have signed a document of this name: the role of a root, or a delegated one. */
static int
verify_all_signatures(struct verify *v, const struct tuf_split *s, const char *role, uint64_t version, const char *file)
{
	const json_t *present = release_repo_signed(v->repo, role),
		     *of = json_object_get(json_object_get(release_repo_signed(v->repo, "root"), "roles"), role);
	bool delegated = json_object_get(v->delegations, role) != NULL;

	if (!of && !delegated)
		return REFUSE(REASON_ALTERED, file, "is not part of the repository");
	if (!s->n_sigs)
		return REFUSE(REASON_THRESHOLD, file, "is not signed");
	if (delegated)
		return verify_delegated(v, s, role, version, file);
	return release_chain_check(&v->chain, s, role, version, tuf_version(present), file);
}

/* Split "12.targets.json" or "timestamp.json"; false for any other name. */
static bool
parse_name(const char *file, char role[64], uint64_t *ret_version)
{
	const char *dot = strchr(file, '.');
	char number[24];

	if (!strcmp(file, "timestamp.json")) {
		(void)snprintf(role, 64, "timestamp");
		*ret_version = 0;
		return true;
	}
	if (!dot || (size_t)(dot - file) >= sizeof(number))
		return false;
	(void)snprintf(number, sizeof(number), "%.*s", (int)(dot - file), file);
	if (number_u64(ret_version, number, (UINT64_C(1) << 53) - 1) != 0 || !*ret_version)
		return false;
	return sscanf(dot + 1, "%63[a-z0-9-]", role) == 1 && !strcmp(dot + 1 + strlen(role), ".json");
}

static int
verify_document(struct verify *v, const char *file, const struct buf *b)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED(buf_done) struct buf again = BUF_MAX(2 * TUF_TARGETS_MAX);
	SCOPED_JSON *signed_ = NULL;
	char role[64];
	uint64_t version;
	bool own;
	int r;

	if (!parse_name(file, role, &version))
		return REFUSE(REASON_ALTERED, file, "is not part of the repository");
	own = !json_object_get(v->delegations, role) && strcmp(role, "targets") != 0;
	r = tuf_split(&s, b->data, b->len, TUF_TARGETS_MAX, file);
	r = r ?: tuf_split_document(&s, &again);
	if (!r && (again.len != b->len || memcmp(again.data, b->data, b->len) != 0))
		r = REFUSE(REASON_ALTERED, file, "is not as it was written");
	r = r ?: verify_all_signatures(v, &s, role, version, file);
	r = r ?: tuf_parse(&signed_, &s.canonical, file);
	r = r ?: tuf_check(signed_, own ? role : "targets", file);
	if (!r && version && tuf_version(signed_) != version)
		r = REFUSE(REASON_ALTERED, file, "holds version %llu",
			(unsigned long long)tuf_version(signed_));
	if (!r && release_commit_is_left_over(v->repo, file))
		r = REFUSE(REASON_ALTERED, file,
			"is newer than what the snapshot lists: an interrupted command left it (refresh removes it), or somebody else");
	return r;
}

/* --- objects and targets' files ------------------------------------------------------------------ */
/* HEX of "aa/HEX.zst" or of "HEX.NAME"; false where it is none. */
static bool
leading_digest(const char *name, uint8_t digest[SHA256_LEN])
{
	char hex[2 * SHA256_LEN + 1];

	(void)snprintf(hex, sizeof(hex), "%s", name);
	return strlen(name) > 2 * SHA256_LEN && name[2 * SHA256_LEN] == '.' &&
		hex_decode(digest, SHA256_LEN, hex);
}

static int
verify_object(struct verify *v, const char *path)
{
	uint8_t digest[SHA256_LEN];
	char name[OBJECT_NAME_MAX];

	if (strlen(path) < 4 || !leading_digest(path + 3, digest) ||
		strcmp(object_name(name, digest), path) != 0)
		return REFUSE(REASON_ALTERED, path, "is not part of the repository");
	v->out->objects++;
	return object_verify(v->repo->objects_fd, digest);
}

/* "DIR/index.json", "DIR/HEX.index.json" */
static bool
is_index(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

	return !strcmp(name, "index.json") ||
		(strlen(name) > 2 * SHA256_LEN && !strcmp(name + 2 * SHA256_LEN, ".index.json"));
}

static int
verify_metadata(struct verify *v, const char *path)
{
	SCOPED(scope_close) int fd = -1;
	SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_SBOM_MAX);
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	/* What stands beside an index may be larger than one. */
	bool beside = strlen(name) > 2 * SHA256_LEN && strncmp(path, "targets/services/", 17) == 0 && !is_index(path);
	size_t max = beside ? RELEASE_SBOM_MAX : TREE_INDEX_BYTES_MAX;
	uint8_t digest[SHA256_LEN], is[SHA256_LEN];
	int r;

	fd = beneath_open(v->repo->tuf_fd, path, O_RDONLY | O_NONBLOCK, 0);
	r = fd < 0 ? fd : fs_read_fd(fd, max, &b);
	if (r > 0)
		return REFUSE(r, path, "cannot be read");
	if (r < 0)
		return FAULT(r);
	if (name == path)
		return verify_document(v, path, &b);
	sha256_of(is, b.data, b.len);
	if (strncmp(path, "targets/", 8) != 0 || !leading_digest(name, digest))
		return REFUSE(REASON_ALTERED, path, "is not part of the repository");
	if (memcmp(is, digest, sizeof(is)) != 0)
		return REFUSE(REASON_HASH_MISMATCH, path, "its bytes are not what its name says");
	return 0;
}

/* --- the whole ----------------------------------------------------------------------------------- */
/* Every file below a folder, through the same walk that trees are indexed with: links and devices are
 * refused there. */
static int
each_file(struct verify *v, int dir_fd, int (*check)(struct verify *v, const char *path))
{
	static const uint8_t none[SHA256_LEN];
	SCOPED(tree_index_freep) struct tree_index *x = NULL;
	int r;

	r = tree_index_new(&x, "repository", "0", none);
	r = r ?: tree_walk(x, dir_fd, NULL, NULL);
	for (size_t i = 0; !r && i < x->n_entries; i++) {
		const struct tree_entry *e = &x->entries[i];

		if (e->type == TREE_TYPE_DIR)
			continue;
		if (e->type == TREE_TYPE_LINK)
			return REFUSE(REASON_ALTERED, e->path, "is a link");
		if (release_commit_is_begun(e->path))
			continue;
		v->out->files++;
		r = check(v, e->path);
	}
	return r;
}

/* SHA-256 as HEX of the index in the same folder; "" where there is none. */
static const char *
index_beside(const json_t *targets, const char *path)
{
	char index[512];

	(void)snprintf(index, sizeof(index), "%.*s/index.json",
		(int)(strlen(path) - strlen(strrchr(path, '/') ?: "")), path);
	return json_text(json_object_get(json_object_get(targets, index), "hashes"), "sha256");
}

static int
verify_target(struct verify *v, const json_t *targets, const char *path)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RELEASE_SBOM_MAX);
	uint64_t objects;
	int r = release_repo_get_target(v->repo, path, is_index(path) ? TREE_INDEX_BYTES_MAX : RELEASE_SBOM_MAX, &b);

	if (r || !strcmp(path, PEOPLE_TARGET))
		return r;
	if (!is_index(path))
		return release_beside_verify(path, b.data, b.len, index_beside(targets, path));
	v->out->releases++;
	return release_check(v->repo->objects_fd, b.data, b.len, &objects);
}

static int
verify_listed(struct verify *v, const json_t *signed_)
{
	const json_t *targets = json_object_get(signed_, "targets");
	const char *path;
	json_t *t;
	int r = 0;

	json_object_foreach((json_t *)targets, path, t)
		r = r ?: verify_target(v, targets, path);
	return r;
}

static int
verify_targets(struct verify *v)
{
	int r = verify_listed(v, release_repo_signed(v->repo, "targets"));
	const char *role;
	json_t *signed_;

	json_object_foreach(v->repo->delegated, role, signed_)
	{
		v->out->delegated++;
		r = r ?: verify_listed(v, signed_);
	}
	return r;
}

static int
verify_people(struct verify *v)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED(people_freep) struct people *people = NULL;
	int r;

	if (!release_repo_signed(v->repo, RELEASE_PEOPLE_ROLE))
		return 0;
	r = release_repo_get_target(v->repo, PEOPLE_TARGET, PEOPLE_BYTES_MAX, &b);
	r = r ?: people_read(&people, b.data, b.len);
	if (r)
		return r;
	v->out->people = people_version(people);
	if (people_expires_us(people) <= v->repo->now_us)
		return REFUSE(REASON_STALE_PEOPLE, PEOPLE_TARGET,
			"expired; officers sign it anew with people sign");
	return 0;
}

int
release_verify(struct release_repo *repo, struct release_verified *ret)
{
	struct verify v = { .repo = repo, .out = ret };
	int r = release_chain_read(&v.chain, repo);

	*ret = (struct release_verified){
		.root = tuf_version(release_repo_signed(repo, "root")),
		.timestamp = tuf_version(release_repo_signed(repo, "timestamp")),
		.snapshot = tuf_version(release_repo_signed(repo, "snapshot")),
		.targets = tuf_version(release_repo_signed(repo, "targets")),
	};
	r = r ?: read_delegations(&v);
	r = r ?: verify_people(&v);
	r = r ?: verify_targets(&v);
	r = r ?: each_file(&v, repo->tuf_fd, verify_metadata);
	r = r ?: each_file(&v, repo->objects_fd, verify_object);
	r = r ?: release_packs_verify(repo, &ret->files);
	release_chain_done(&v.chain);
	json_decref(v.delegations);
	return r;
}
