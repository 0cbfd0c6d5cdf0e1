#include "updater/release/release_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/key.h"

static const char suffix[] = ".key";

void
release_keys_done(struct release_keys *k)
{
	for (size_t i = 0; i < k->n; i++)
		ed25519_free(k->key[i]);
	k->n = 0;
}

static int
add(struct release_keys *k, struct ed25519 *take_key, const char *name)
{
	if (k->n == RELEASE_KEYS_MAX) {
		ed25519_free(take_key);
		return REFUSE(REASON_TOO_LARGE, name, "more than %d keys", RELEASE_KEYS_MAX);
	}
	(void)snprintf(k->name[k->n], sizeof(k->name[0]), "%s", name);
	k->key[k->n++] = take_key;
	return 0;
}

static int
make_one(struct release_keys *k, int dir_fd, const char *name, bool dry)
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	char file[80];
	int r;

	(void)snprintf(file, sizeof(file), "%s%s", name, suffix);
	if (dry)
		return faccessat(dir_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0
			? REFUSE(REASON_CONFLICT, file, "is there already; keys are never replaced")
			: 0;
	r = ed25519_generate(&key);
	r = r ?: ed25519_save(key, dir_fd, file);
	return r ? r : add(k, STEAL(key), name);
}

static int
make_many(struct release_keys *k, int dir_fd, const char *word, unsigned n, bool dry)
{
	int r = 0;

	for (unsigned i = 1; !r && i <= n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%s-%u", word, i);
		r = make_one(k, dir_fd, name, dry);
	}
	return r;
}

int
release_keys_make(struct release_keys *ret, const char *dir, unsigned n_root, unsigned n_officers)
{
	static const char *const ones[] = { "targets", "snapshot", "timestamp" };
	SCOPED(release_keys_done) struct release_keys k = { .n = 0 };
	SCOPED(scope_close) int fd = -1;
	int r = fs_open_dir(&fd, AT_FDCWD, dir, 0700);

	/* First look that nothing is there, then make. */
	for (int dry = 1; !r && dry >= 0; dry--) {
		r = make_many(&k, fd, "root", n_root, dry);
		for (size_t i = 0; !r && i < ARRAY_LEN(ones); i++)
			r = make_one(&k, fd, ones[i], dry);
		r = r ?: make_many(&k, fd, "officer", n_officers, dry);
	}
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = k;
	k.n = 0;
	return 0;
}

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

static void
close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int
release_keys_load(struct release_keys *ret, const char *dir)
{
	SCOPED(release_keys_done) struct release_keys k = { .n = 0 };
	SCOPED(close_dir) DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return REFUSE(REASON_NOT_FOUND, dir,
			"is no folder of keys (--keys DIR or MAINSTAY_KEYS names it)");
	while (!r && (e = readdir(d))) {
		SCOPED(ed25519_freep) struct ed25519 *key = NULL;
		size_t len = strlen(e->d_name);
		char name[64];

		if (len <= 4 || len >= sizeof(name) || strcmp(e->d_name + len - 4, suffix) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(len - 4), e->d_name);
		r = ed25519_load(&key, dirfd(d), e->d_name);
		r = r ?: add(&k, STEAL(key), name);
	}
	if (r)
		return r < 0 ? FAULT(r) : r;
	*ret = k;
	k.n = 0;
	return 0;
}

int
release_keys_add(struct release_keys *k, const char *file)
{
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	int r = ed25519_load(&key, AT_FDCWD, file);

	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, file, "there is no such key file");
	return r ?: add(k, STEAL(key), file);
}

size_t
release_keys_of(const struct release_keys *k, const json_t *role,
	const struct ed25519 *out[RELEASE_KEYS_MAX], size_t max)
{
	const json_t *keyids = json_object_get(role, "keyids");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(keyids); i++) {
		const char *want = json_string_value(json_array_get(keyids, i));

		for (size_t j = 0; want && n < max && j < k->n; j++) {
			SCOPED_JSON *obj = tuf_key_ed25519(ed25519_public(k->key[j]));
			char id[65];

			if (obj && tuf_key_id(id, obj) == 0 && !strcmp(id, want)) {
				out[n++] = k->key[j];
				break; /* the same key in two files signs once */
			}
		}
	}
	return n;
}

const struct ed25519 *
release_keys_named(const struct release_keys *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++) {
		if (!strcmp(k->name[i], name))
			return k->key[i];
	}
	return NULL;
}
