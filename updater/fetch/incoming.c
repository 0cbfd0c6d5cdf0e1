#include "updater/fetch/incoming.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "updater/fetch/fetch_wire.h"

int
incoming_begin(struct incoming *in, const char *name, bool resume, uint64_t max, uint64_t *ret_at)
{
	SCOPED(scope_close) int dir = -1;
	char folder[INCOMING_NAME_MAX], part[INCOMING_NAME_MAX + 8];
	struct stat st;
	char *slash;
	int r;

	(void)snprintf(in->name, sizeof(in->name), "%s", name);
	(void)snprintf(folder, sizeof(folder), "%s", name);
	slash = strrchr(folder, '/');
	if (!slash)
		return -EBADMSG;
	*slash = '\0';
	r = fs_open_dir(&dir, in->dir_fd, folder, 0755);
	if (r < 0)
		return r;
	(void)snprintf(part, sizeof(part), "%s.part", slash + 1);
	in->out_fd = openat(dir, part, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (in->out_fd < 0 || fstat(in->out_fd, &st) < 0)
		return -errno;
	if (!resume || (uint64_t)st.st_size >= max) {
		st.st_size = 0;
		if (ftruncate(in->out_fd, 0) < 0)
			return -errno;
	}
	*ret_at = (uint64_t)st.st_size;
	return 0;
}

int
incoming_put(struct incoming *in, const void *p, size_t len)
{
	return fs_write_all(in->out_fd, p, len);
}

int
incoming_keep(struct incoming *in)
{
	char part[INCOMING_NAME_MAX + 8];

	scope_close(&in->out_fd);
	in->out_fd = -1;
	(void)snprintf(part, sizeof(part), "%s.part", in->name);
	return renameat(in->dir_fd, part, in->dir_fd, in->name) < 0 ? -errno : 0;
}

void
incoming_drop(struct incoming *in, bool forget)
{
	char part[INCOMING_NAME_MAX + 8];

	in->members = NULL;
	if (in->out_fd < 0)
		return;
	scope_close(&in->out_fd);
	in->out_fd = -1;
	(void)snprintf(part, sizeof(part), "%s.part", in->name);
	if (forget)
		(void)unlinkat(in->dir_fd, part, 0);
}

/* --- what stays of metadata -------------------------------------------------------------------------------- */
static int sweep_folder(int dir_fd, const char *name, bool of_roles);

/* Of each release there ever was; one that is still asked for is asked of the hub again. */
static bool
is_old(const struct stat *st)
{
	int64_t now_s = (int64_t)(clock_now_us() / CLOCK_US_PER_S);

	return st->st_mtime < now_s - INCOMING_TARGET_DAYS * 24 * 60 * 60;
}

static int
sweep_entry(int dir_fd, const char *name, bool of_roles)
{
	size_t len = strlen(name);
	bool is_part = len > 5 && strcmp(name + len - 5, ".part") == 0;
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return FAULT(-errno);
	if (S_ISDIR(st.st_mode)) {
		int r = sweep_folder(dir_fd, name, false);

		(void)unlinkat(dir_fd, name, AT_REMOVEDIR); /* where nothing is left of it */
		return r;
	}
	if (!of_roles && !is_part && !is_old(&st))
		return 0; /* a target that is whole: the monitor looks at it again */
	return unlinkat(dir_fd, name, 0) < 0 ? FAULT(-errno) : 0;
}

static int
sweep_folder(int dir_fd, const char *name, bool of_roles)
{
	SCOPED(scope_closedir) DIR *d = NULL;
	SCOPED(scope_close) int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const struct dirent *e;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : FAULT(-errno); /* nothing has come yet */
	r = fs_entries(&d, fd);
	while (r == 0 && (errno = 0, e = readdir(d)))
		r = sweep_entry(fd, e->d_name, of_roles);
	return r == 0 && errno ? FAULT(-errno) : r;
}

int
incoming_sweep(int dir_fd)
{
	return sweep_folder(dir_fd, "tuf", true);
}

/* --- ranges ------------------------------------------------------------------------------------------------- */
static const char *
member_at(const json_t *members, size_t i, uint64_t *ret_len)
{
	const json_t *m = json_array_get(members, i), *len = json_array_get(m, 1);

	*ret_len = json_is_integer(len) && json_integer_value(len) > 0 ? (uint64_t)json_integer_value(len) : 0;
	return json_string_value(json_array_get(m, 0));
}

/* The file of the next member; none for bytes that nobody wants. */
static int
begin_member(struct incoming *in)
{
	char path[INCOMING_NAME_MAX];
	const char *name = member_at(in->members, in->next, &in->left);
	uint64_t at;

	if (in->next == json_array_size(in->members) || !name[0])
		return 0;
	return fetch_name_path(path, sizeof(path), name, true) ? incoming_begin(in, path, false, 0, &at) : -EBADMSG;
}

int
incoming_range(struct incoming *in, json_t *members, uint64_t *ret_len)
{
	uint64_t len;

	*ret_len = 0;
	for (size_t i = 0; i < json_array_size(members); i++) {
		const char *name = member_at(members, i, &len);

		if (!name || !len || len > FETCH_WIRE_OBJECT_MAX)
			return -EBADMSG;
		*ret_len += len;
	}
	if (!*ret_len)
		return -EBADMSG;
	in->members = members;
	in->next = 0;
	return begin_member(in);
}

int
incoming_split(struct incoming *in, const void *p, size_t len)
{
	const uint8_t *at = p;
	int r = 0;

	while (r == 0 && len > 0 && in->left > 0) {
		size_t n = in->left < len ? (size_t)in->left : len;

		if (in->out_fd >= 0)
			r = incoming_put(in, at, n);
		at += n;
		len -= n;
		in->left -= n;
		if (r != 0 || in->left > 0)
			continue;
		r = in->out_fd >= 0 ? incoming_keep(in) : 0;
		in->next++;
		r = r ? r : begin_member(in);
	}
	return r;
}
