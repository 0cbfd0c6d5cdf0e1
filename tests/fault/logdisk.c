/* logdisk IMAGE LOG MOUNTPOINT: a file system of one file, MOUNTPOINT/disk, which is IMAGE, that appends every
 * write and every flush to LOG before it is answered.  With a loop device and a real file system on top, any
 * moment at which the power could have gone can be had again from IMAGE as it was and a part of LOG.
 *
 *	type(u64: 1 write, 2 flush) offset(u64) length(u64) bytes        host byte order */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FLUSH = 2 };

static int image, record;

static int
put(uint64_t type, off_t at, const char *p, size_t len)
{
	uint64_t head[3] = { type, (uint64_t)at, len };
	struct iovec v[2] = { { head, sizeof(head) }, { (char *)p, len } };

	return writev(record, v, len ? 2 : 1) == (ssize_t)(sizeof(head) + len) ? 0 : -EIO;
}

static int
disk_getattr(const char *path, struct stat *st, struct fuse_file_info *f)
{
	struct stat real;

	(void)f;
	memset(st, 0, sizeof(*st));
	if (!strcmp(path, "/")) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
		return 0;
	}
	if (strcmp(path, "/disk") || fstat(image, &real) < 0)
		return -ENOENT;
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	st->st_size = real.st_size;
	return 0;
}

static int
disk_open(const char *path, struct fuse_file_info *f)
{
	if (strcmp(path, "/disk"))
		return -ENOENT;
	f->direct_io = 1; /* nothing between the loop device and the record */
	return 0;
}

static int
disk_read(const char *path, char *p, size_t len, off_t at, struct fuse_file_info *f)
{
	ssize_t n = pread(image, p, len, at);

	(void)path;
	(void)f;
	return n < 0 ? -errno : (int)n;
}

static int
disk_write(const char *path, const char *p, size_t len, off_t at, struct fuse_file_info *f)
{
	int r = put(WRITE, at, p, len);
	ssize_t n;

	(void)path;
	(void)f;
	if (r < 0)
		return r;
	n = pwrite(image, p, len, at);
	return n < 0 ? -errno : (int)n;
}

static int
disk_fsync(const char *path, int data_only, struct fuse_file_info *f)
{
	(void)path;
	(void)data_only;
	(void)f;
	return put(FLUSH, 0, NULL, 0);
}

int
main(int argc, char **argv)
{
	static const struct fuse_operations ops = {
		.getattr = disk_getattr,
		.open = disk_open,
		.read = disk_read,
		.write = disk_write,
		.fsync = disk_fsync,
	};
	char front[] = "-f", single[] = "-s";
	char *args[] = { argv[0], front, single, argc == 4 ? argv[3] : NULL, NULL };

	if (argc != 4) {
		fprintf(stderr, "usage: logdisk IMAGE LOG MOUNTPOINT\n");
		return 2;
	}
	image = open(argv[1], O_RDWR | O_CLOEXEC);
	record = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (image < 0 || record < 0) {
		perror("logdisk");
		return 4;
	}
	return fuse_main(4, args, &ops, NULL);
}
