/* A folder in memory for what a target loads and saves: made when it is first asked for, gone at exit. */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "appliance/base/fs.h"

static char folder_path[64];

static inline void
folder_remove(void)
{
	(void)fs_remove_tree(AT_FDCWD, folder_path);
}

static inline int
folder_fd(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	(void)snprintf(folder_path, sizeof(folder_path), "/dev/shm/fuzz.XXXXXX");
	if (!mkdtemp(folder_path))
		abort();
	fd = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	(void)atexit(folder_remove);
	return fd;
}
