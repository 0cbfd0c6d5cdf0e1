#include "remote/request/proven_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"

typedef char bad_name[PROVEN_NAME_MAX + sizeof(".bad")];

static const char *
name_aside(bad_name out, const char *name)
{
	(void)snprintf(out, sizeof(bad_name), "%s.bad", name);
	return out;
}

static int
set_aside(int dir_fd, const char *name)
{
	bad_name bad;
	/* Whatever it is by now, and whatever stood there. */
	int r = fs_remove_tree(dir_fd, name_aside(bad, name));

	if (r < 0)
		return FAULT(r);
	return renameat(dir_fd, name, dir_fd, bad) < 0 ? FAULT(-errno) : REASON_HASH_MISMATCH;
}

static bool
is_proven(const struct buf *b, size_t at, size_t head, size_t entry)
{
	uint8_t digest[SHA256_LEN];
	size_t len = b->len - at;

	if (len < head + SHA256_LEN || (entry > 0 && (len - head - SHA256_LEN) % entry != 0))
		return false;
	sha256_of(digest, b->data + at, len - SHA256_LEN);
	return memcmp(digest, b->data + b->len - SHA256_LEN, SHA256_LEN) == 0;
}

int
proven_file_read(struct buf *ret, int dir_fd, const char *name, size_t head, size_t entry, size_t entries_max)
{
	size_t at = ret->len;
	bad_name bad;
	int r = fs_read(dir_fd, name, head + entries_max * entry + SHA256_LEN, ret);

	if (r < 0)
		return FAULT(r);
	/* One that was set aside, and then no power for what takes its place. */
	if (r == REASON_NOT_FOUND)
		return faccessat(dir_fd, name_aside(bad, name), F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? REASON_HASH_MISMATCH : r;
	if (r > 0 || !is_proven(ret, at, head, entry))
		return set_aside(dir_fd, name);
	ret->len -= SHA256_LEN;
	return 0;
}

int
proven_file_write(int dir_fd, const char *name, struct buf *b)
{
	uint8_t digest[SHA256_LEN];

	sha256_of(digest, b->data, b->len);
	buf_put(b, digest, sizeof(digest));
	return FAULT(buf_error(b) ?: fs_replace(dir_fd, name, b->data, b->len, 0600));
}
