/* Syncs that fail: takes the place of libc's, for a disk that fails cannot be had otherwise.  Once in a program. */
#pragma once

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int data_failures;   /* how many of the next fdatasync()s fail */
static int folder_failures; /* of the next fsync()s of folders */

int
fdatasync(int fd)
{
	if (data_failures > 0) {
		data_failures--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	struct stat st;

	if (folder_failures > 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		folder_failures--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}
