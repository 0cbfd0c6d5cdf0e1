/* Files: state is replaced, never edited, and survives power loss at any instant.
 *
 * Names are relative to an open folder; symbolic links at the last step are refused.  Temporary
 * names begin with ".tmp." so that a start-up sweep can tell them from state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

int fs_write_all(int fd, const void *p, size_t len);

/* Replace dir_fd/name by these bytes: temporary file, fsync, rename, fsync of the folder.  On
 * failure the old file still stands. */
int fs_replace(int dir_fd, const char *name, const void *p, size_t len, mode_t mode);

/* The same for a path as a person gives it ("out/vendor.card"). */
int fs_replace_path(const char *path, const void *p, size_t len, mode_t mode);

/* Read a whole regular file of at most max bytes into out (appended).  Returns 0;
 * REASON_NOT_FOUND; REASON_TOO_LARGE; REASON_MALFORMED where it is no regular file (all three
 * unlogged); or a fault. */
int fs_read(int dir_fd, const char *name, size_t max, struct buf *out);
/* The same for an open descriptor, from its start. */
int fs_read_fd(int fd, size_t max, struct buf *out);

/* Open a folder, making it and its missing parents (mode) first; each made one is synced. */
int fs_open_dir(int *ret_fd, int dir_fd, const char *path, mode_t mode);

int fs_sync_dir(int dir_fd);

/* Make what lies below dir_fd under these names, files or folders, last: each by itself where they are few, else with one sync
 * of the whole file system, which waits for what others wrote, but once. */
int fs_sync_all(int dir_fd, const char *const names[], size_t n);

/* Remove dir_fd/name and all below it, never following links, never leaving the file system. */
int fs_remove_tree(int dir_fd, const char *name);

/* A memory file that holds these bytes, sealed against change; its offset is 0. */
int fs_memfd(int *ret_fd, const char *name, const void *p, size_t len);

/* Random bytes of the kernel; never fails once the machine has booted. */
void fs_random(void *p, size_t len);

/* Name dir_fd/sub; where is one of the three roots below. */
struct paths {
	char etc[256];
	char lib[256];
	char run[256];
};

/* --state DIR gives DIR/{etc,lib,run}; NULL gives /etc/mainstay, /var/lib/mainstay, /run/mainstay.
 * Returns 0 or REASON_USAGE (logged) where DIR is too long or not absolute after resolving. */
int fs_paths(struct paths *ret, const char *state);
