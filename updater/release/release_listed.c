#include "updater/release/release_listed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/tuf/metadata.h"
#include "updater/release/release_repo.h"

/* json_object_update_missing() leaves out members for which it finds no memory, and says nothing of it. */
static int
add_missing(json_t *all, const json_t *targets)
{
	const char *path;
	json_t *one;

	json_object_foreach((json_t *)(uintptr_t)targets, path, one) /* read only */
		if (!json_object_get(all, path) && json_object_set(all, path, one) < 0)
			return FAULT(-ENOMEM);
	return 0;
}

static int
add_file(json_t *all, const struct release_repo *r, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	SCOPED_JSON *signed_ = NULL;
	int e = release_repo_read(r, file, TUF_TARGETS_MAX, &b);

	e = e ?: tuf_split(&s, b.data, b.len, TUF_TARGETS_MAX, file);
	e = e ?: tuf_parse(&signed_, &s.canonical, file);
	return e ?: add_missing(all, json_object_get(signed_, "targets"));
}

/* Every document of a role that lists targets; verify holds each against its signers. */
static int
add_former(json_t *all, const struct release_repo *r)
{
	int fd = openat(r->tuf_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), e = 0;
	SCOPED(scope_closedir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *one;

	if (!d)
		return FAULT(-errno);
	while (!e && (one = readdir(d))) {
		const char *role = one->d_name + strspn(one->d_name, "0123456789");
		size_t len = strlen(role);

		if (role != one->d_name && len > 5 && !strcmp(role + len - 5, ".json") && strcmp(role, ".root.json") != 0 &&
			strcmp(role, ".snapshot.json") != 0)
			e = add_file(all, r, one->d_name);
	}
	return e;
}

int
release_listed(struct release_repo *r, bool ever, json_t **ret)
{
	SCOPED_JSON *all = json_copy_whole(json_object_get(release_repo_signed(r, "targets"), "targets"), JSON_SHALLOW);
	const char *role;
	json_t *signed_;
	int e = all ? 0 : FAULT(-ENOMEM);

	json_object_foreach(r->delegated, role, signed_)
		e = e ?: add_missing(all, json_object_get(signed_, "targets"));
	if (!e && ever)
		e = add_former(all, r);
	if (!e)
		*ret = STEAL(all);
	return e;
}
