#include "appliance/tuf/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/client.h"

/* The role of "NAME.json", decoded; false for a file that is none of ours. */
static bool
role_of(char out[TUF_ROLE_MAX + 1], const char *file)
{
	size_t len = strlen(file), n = 0;

	if (len <= 5 || strcmp(file + len - 5, ".json") != 0)
		return false;
	for (size_t i = 0; i < len - 5; i++) {
		unsigned c = (unsigned char)file[i];

		if (n == TUF_ROLE_MAX)
			return false;
		if (c == '%') {
			char hex[3] = { file[i + 1], file[i + 2], '\0' };

			if (i + 2 >= len - 5 || strspn(hex, "0123456789ABCDEF") != 2 ||
				sscanf(hex, "%2X", &c) != 1 || !c)
				return false;
			i += 2;
		}
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

static int
offer_all(struct tuf_client *c, int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SCOPED(scope_closedir) DIR *dir = NULL;
	struct dirent *e;

	if (fd < 0)
		return FAULT(-errno);
	dir = fdopendir(fd);
	if (!dir) {
		int r = -errno;

		close(fd);
		return FAULT(r);
	}
	while ((e = readdir(dir))) {
		SCOPED(buf_done) struct buf b = BUF_MAX(TUF_TARGETS_MAX);
		char role[TUF_ROLE_MAX + 1];
		int r;

		if (!role_of(role, e->d_name))
			continue;
		r = fs_read(dir_fd, e->d_name, TUF_TARGETS_MAX, &b);
		if (r > 0)
			continue; /* not a file of ours: as if it were not there */
		r = r ?: tuf_client_offer(c, role, b.data, b.len);
		if (r < 0)
			return FAULT(r);
	}
	return 0;
}

int
tuf_store_open(struct tuf_client **ret, int dir_fd, const void *root, size_t len, uint64_t start_us)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(TUF_ROOT_MAX);
	SCOPED(tuf_client_freep) struct tuf_client *c = NULL;
	int r;

	r = fs_read(dir_fd, "root.json", TUF_ROOT_MAX, &b);
	if (r == REASON_NOT_FOUND && root)
		r = tuf_client_new(&c, root, len, start_us);
	else if (!r) {
		r = tuf_client_new(&c, b.data, b.len, start_us);
		if (!r)
			tuf_client_saved(c, "root");
	}
	if (r)
		return r < 0 ? FAULT(r) : r;
	r = offer_all(c, dir_fd);
	if (r)
		return FAULT(r);
	*ret = STEAL(c);
	return 0;
}

/* Before the root that took their keys back is kept. */
static int
forget(const struct tuf_client *c, int dir_fd)
{
	static const char *const roles[] = { "timestamp", "snapshot" };
	bool gone = false;

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		char name[32];

		if (!tuf_client_forgets(c, roles[i]))
			continue;
		(void)snprintf(name, sizeof(name), "%s.json", roles[i]);
		if (unlinkat(dir_fd, name, 0) == 0)
			gone = true;
		else if (errno != ENOENT)
			return FAULT(-errno);
	}
	return gone ? fs_sync_dir(dir_fd) : 0;
}

int
tuf_store_save(struct tuf_client *c, int dir_fd)
{
	const char *role;
	int forgot = forget(c, dir_fd);

	if (forgot)
		return FAULT(forgot);
	for (size_t i = 0; (role = tuf_client_role(c, i)); i++) {
		char file[TUF_FILE_MAX], name[TUF_FILE_MAX + 8];
		const void *p;
		size_t len;
		int r;

		if (!tuf_client_fresh(c, role))
			continue;
		p = tuf_client_bytes(c, role, &len);
		(void)snprintf(name, sizeof(name), "%s.json", tuf_file_name(file, role));
		r = fs_replace(dir_fd, name, p, len, 0644);
		if (r)
			return FAULT(r);
		tuf_client_saved(c, role);
	}
	return 0;
}
