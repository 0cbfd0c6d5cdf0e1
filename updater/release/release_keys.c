#include "updater/release/release_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

static const char suffix[] = ".key";

void
release_keys_done(struct release_keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		release_keyfile_done(&k->key[i]->file);
		ed25519_free(k->key[i]->private);
		free(k->key[i]);
	}
	k->n = 0;
}

/* An empty place for one more. */
static int
add(struct release_keys *k, const char *name, struct release_key **ret)
{
	if (k->n == RELEASE_KEYS_MAX)
		return REFUSE(REASON_TOO_LARGE, name, "more than %d keys", RELEASE_KEYS_MAX);
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return FAULT(-ENOMEM);
	(void)snprintf((*ret)->name, sizeof((*ret)->name), "%s", name);
	k->key[k->n++] = *ret;
	return 0;
}

/* --- making -------------------------------------------------------------------------------------- */
struct making {
	struct release_keys *keys;
	const struct release_keys_plan *plan;
	int dir_fd;
	bool dry; /* only look that nothing is there */
};

static int
make_file(const struct making *m, const char *name, const char *file, const uint8_t seed[32])
{
	const char *pass = NULL;
	size_t len = 0;
	int r = m->plan->plain ? 0 : release_passphrase_make(m->keys->passphrase, name, &pass, &len);

	return r ?: release_keyfile_write(m->dir_fd, file, seed, pass, len, m->plan->cost ?: RELEASE_KEYFILE_COST);
}

static int
make_one(const struct making *m, const char *name)
{
	uint8_t seed[ED25519_KEY_LEN];
	struct release_key *key;
	char file[80];
	int r;

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	if (m->dry)
		return faccessat(m->dir_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0
			? REFUSE(REASON_CONFLICT, file, "is there already; keys are never replaced")
			: 0;
	fs_random(seed, sizeof(seed));
	r = make_file(m, name, file, seed);
	r = r ?: add(m->keys, name, &key);
	r = r ?: release_keyfile_read(&key->file, m->dir_fd, file);
	r = r ?: ed25519_from_seed(&key->private, seed);
	sha256_wipe(seed, sizeof(seed));
	return r;
}

static int
make_many(const struct making *m, const char *word, unsigned n)
{
	int r = 0;

	for (unsigned i = 1; !r && i <= n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%s-%u", word, i);
		r = make_one(m, name);
	}
	return r;
}

static int
make_named(const struct making *m)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
	int r = 0;

	for (size_t i = 0; !r && i < m->plan->n_names; i++) {
		const char *name = m->plan->names[i];

		if (!*name || strlen(name) > 48 || name[strspn(name, letters)] != '\0')
			r = REFUSE(REASON_USAGE, name, "a key's name is a word of a-z, 0-9, - and _, like root-4");
		r = r ?: make_one(m, name);
	}
	return r;
}

static int
make_all(const struct making *m)
{
	static const char *const ones[] = { "targets", "snapshot", "timestamp" };
	int r;

	if (m->plan->n_names)
		return make_named(m);
	r = make_many(m, "root", m->plan->n_root);
	for (size_t i = 0; !r && i < ARRAY_LEN(ones); i++)
		r = make_one(m, ones[i]);
	return r ?: make_many(m, "officer", m->plan->n_officers);
}

int
release_keys_make(struct release_keys *ret, const char *dir, const struct release_keys_plan *plan)
{
	SCOPED(scope_close) int fd = -1;
	struct making m = { .keys = ret, .plan = plan };
	bool there = faccessat(AT_FDCWD, dir, F_OK, 0) == 0;
	int r = fs_open_dir(&fd, AT_FDCWD, dir, 0700);

	m.dir_fd = fd;
	/* First look that nothing is there, then make. */
	for (int dry = 1; !r && dry >= 0; dry--) {
		m.dry = dry;
		r = make_all(&m);
	}
	if (r && !there)
		(void)rmdir(dir); /* refused where a key is in it */
	return r < 0 ? FAULT(r) : r;
}

/* --- finding ------------------------------------------------------------------------------------- */
static bool
is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *
release_keys_dir(char *out, size_t size, const char *option, const char *repo)
{
	const char *env = secure_getenv("MAINSTAY_KEYS");
	char whole[PATH_MAX];

	if (option || env) {
		(void)snprintf(out, size, "%s", option ? option : env);
		return out;
	}
	if (repo && realpath(repo, whole)) {
		char *slash = strrchr(whole, '/');

		*slash = '\0';
		(void)snprintf(out, size, "%s/keys", whole);
		if (is_dir(out))
			return out;
	}
	(void)snprintf(out, size, "keys");
	return out;
}

static int
load_one(struct release_keys *k, int dir_fd, const char *file, const char *name)
{
	SCOPED(release_keyfile_done) struct release_keyfile f = { .plain = false };
	struct release_key *key;
	int r = release_keyfile_read(&f, dir_fd, file);

	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, file, "there is no such key file");
	if (!r && f.former)
		r = REFUSE(REASON_UNSIGNED, file,
			"has no passphrase, and nobody said that it shall have none: keys passphrase gives it one");
	r = r ?: add(k, name, &key);
	if (r)
		return r;
	key->file = f;
	f.pem = (struct buf){ 0 };
	return 0;
}

int
release_keys_load(struct release_keys *ret, const char *dir)
{
	SCOPED(scope_closedir) DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOMEM ? FAULT(-ENOMEM) : REFUSE(REASON_NOT_FOUND, dir,
			"is no folder of keys (--keys DIR or MAINSTAY_KEYS names it)");
	while (!r && (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		char name[64];

		if (len <= 4 || len >= sizeof(name) || strcmp(e->d_name + len - 4, suffix) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(len - 4), e->d_name);
		r = load_one(ret, dirfd(d), e->d_name, name);
	}
	return r < 0 ? FAULT(r) : r;
}

int
release_keys_add(struct release_keys *k, const char *file)
{
	return load_one(k, AT_FDCWD, file, file);
}

/* --- opening ------------------------------------------------------------------------------------- */
static int
open_file(const struct release_keys *k, const struct release_key *key, uint8_t seed[32])
{
	if (key->file.plain)
		return release_keyfile_open(&key->file, key->name, NULL, 0, seed);
	if (!k->passphrase)
		return REFUSE(REASON_USAGE, key->name, "its passphrase is needed");
	/* Asked for again on a terminal; from elsewhere there is but one. */
	for (bool wrong = false;; wrong = true) {
		const char *pass;
		size_t len;
		int r = release_passphrase_get(k->passphrase, key->name, wrong, &pass, &len);

		if (r)
			return r;
		r = release_keyfile_open(&key->file, key->name, pass, len, seed);
		if (r != REASON_DENIED)
			return r;
	}
}

int
release_keys_open(const struct release_keys *k, size_t i, const struct ed25519 **ret)
{
	struct release_key *key = k->key[i];
	uint8_t seed[ED25519_KEY_LEN] = { 0 };
	int r = 0;

	if (!key->private) {
		r = open_file(k, key, seed);
		r = r ?: ed25519_from_seed(&key->private, seed);
		sha256_wipe(seed, sizeof(seed));
	}
	if (!r)
		*ret = key->private;
	return r;
}

int
release_keys_id(char out[65], const uint8_t raw[32])
{
	char hex[ED25519_HEX_MAX], text[256];
	uint8_t digest[SHA256_LEN];

	/* The canonical text of tuf_key_ed25519(), without its memory: whose own key has no id would be told that it is not here. */
	(void)snprintf(text, sizeof(text), "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"%s\"},\"scheme\":\"ed25519\"}",
		hex_encode(hex, raw, ED25519_KEY_LEN));
	sha256_of(digest, text, strlen(text));
	hex_encode(out, digest, sizeof(digest));
	return 0;
}

bool
release_keys_listed(const json_t *role, const char *keyid)
{
	const json_t *ids = json_object_get(role, "keyids");

	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *is = json_string_value(json_array_get(ids, i));

		if (is && !strcmp(is, keyid))
			return true;
	}
	return false;
}

bool
release_keys_is_of(const struct release_key *key, const json_t *role)
{
	char id[65];

	return release_keys_id(id, key->file.public) == 0 && release_keys_listed(role, id);
}

static bool
is_double(const struct release_keys *k, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (!memcmp(k->key[i]->file.public, k->key[j]->file.public, ED25519_KEY_LEN))
			return true;
	return false;
}

size_t
release_keys_count(const struct release_keys *k, const json_t *role)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++)
		n += release_keys_is_of(k->key[i], role) && !is_double(k, i);
	return n;
}

int
release_keys_of(const struct release_keys *k, const json_t *role, const struct ed25519 *out[RELEASE_KEYS_MAX],
	size_t *ret_n)
{
	int r = 0;

	*ret_n = 0;
	for (size_t i = 0; !r && i < k->n; i++) {
		/* The same key in two files signs once. */
		if (!release_keys_is_of(k->key[i], role) || is_double(k, i))
			continue;
		r = release_keys_open(k, i, &out[*ret_n]);
		*ret_n += !r;
	}
	return r;
}

const uint8_t *
release_keys_named(const struct release_keys *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++) {
		if (!strcmp(k->key[i]->name, name))
			return k->key[i]->file.public;
	}
	return NULL;
}
