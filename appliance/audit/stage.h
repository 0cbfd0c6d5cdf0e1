/* Files that are written together: on the disk all of them, or, taken back, none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "appliance/audit/tile.h"

enum { STAGE_FILES_MAX = 96 };

struct stage {
	int dir_fd; /* the log's folder; borrowed */
	size_t n, n_dirs;
	struct stage_file {
		char name[TILE_NAME_MAX];
		int fd;
		off_t was; /* its length before; -1: it was not there */
	} file[STAGE_FILES_MAX];
	struct stage_dir {
		char name[TILE_NAME_MAX];
		int fd;
		bool grew; /* a name came into it */
	} dir[STAGE_FILES_MAX];
};

void stage_init(struct stage *s, int dir_fd);
void stage_done(struct stage *s); /* closes; what was written stays */

/* Write a new file, its folders too.  One of that name that no checkpoint covers is written over. */
int stage_put(struct stage *s, const char *name, const void *p, size_t len);
/* Cut a file at that length, make it where at is 0, and append. */
int stage_append(struct stage *s, const char *name, off_t at, const void *p, size_t len);
/* Write once more, in its place, what a file has; it is never cut. */
int stage_again(struct stage *s, const char *name, const void *p, size_t len);

/* Make all of it durable, names included. */
int stage_sync(struct stage *s);
/* Remove what was put, cut what was appended. */
int stage_undo(struct stage *s);
