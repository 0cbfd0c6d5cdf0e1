/* Files: state is replaced, never edited, and survives power loss at any instant.
 *
 * Names are relative to an open folder; symbolic links at the last step are refused.  Temporary
 * names begin with FS_PASSING, by which fs_sweep() tells them from state.
 *
 * All of it blocks, for as long as the disk takes.  Descriptors and bytes that are given stay the caller's, those that
 * *ret_fd takes are the caller's, close-on-exec.  Where nothing else is said a call returns 0 or a fault; lengths are
 * bytes. */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

#define FS_PASSING ".tmp."

/* Write all of it where fd stands, also in parts; unsynced.  After a fault nobody knows how much was written. */
int fs_write_all(int fd, const void *p, size_t len);

/* Replace dir_fd/name by these bytes: temporary file, fsync, rename, fsync of the folder.  On
 * failure the old file still stands; or, where nothing but the folder's sync failed, the new one has its name, and nobody
 * knows which of them a power cut leaves.  What may be neither then is written once more before anything follows from it. */
int fs_replace(int dir_fd, const char *name, const void *p, size_t len, mode_t mode);

/* The same for a path as a person gives it ("out/vendor.card"). */
int fs_replace_path(const char *path, const void *p, size_t len, mode_t mode);

/* Read a whole regular file of at most max bytes into out (appended).  Returns 0;
 * REASON_NOT_FOUND; REASON_TOO_LARGE; REASON_MALFORMED where it is no regular file (all three
 * unlogged); or a fault. */
int fs_read(int dir_fd, const char *name, size_t max, struct buf *out);
/* The same for an open descriptor, from its start. */
int fs_read_fd(int fd, size_t max, struct buf *out);

/* Open a folder for reading, making it and its missing parents (mode) first; each made one is synced.  path is relative to
 * dir_fd (may be AT_FDCWD) or absolute; links are followed on the way, not at its last step. */
int fs_open_dir(int *ret_fd, int dir_fd, const char *path, mode_t mode);

/* Make the names in this folder last.  dir_fd must be open for reading (no O_PATH); a file system that knows no such
 * thing for folders counts as done. */
int fs_sync_dir(int dir_fd);

/* Make what lies below dir_fd under these names, files or folders, last: each by itself where they are few, else with one sync
 * of the whole file system, which waits for what others wrote, but once. */
int fs_sync_all(int dir_fd, const char *const names[], size_t n);

/* Remove dir_fd/name and all below it, never following links, never leaving the file system.  0 where
 * there is no such name; after a fault some of it may be gone. */
int fs_remove_tree(int dir_fd, const char *name);

/* Read dir_fd's entries from the first on, with readdir(3), whatever was read of it before.  *ret is the caller's to close;
 * dir_fd stays open and its own place in the folder the same. */
int fs_entries(DIR **ret, int dir_fd);

/* Remove files that were on their way to a name (FS_PASSING) when whoever wrote them was killed: in this folder, and in those so
 * many levels below it.  For folders in which nobody else writes, before anything is written.  0 or a fault. */
int fs_sweep(int dir_fd, unsigned depth);

/* A memory file that holds these bytes, sealed against change; its offset is 0.  name is for who looks in /proc. */
int fs_memfd(int *ret_fd, const char *name, const void *p, size_t len);

/* Random bytes of the kernel; before they are ready, at boot, it waits; where there are none it aborts. */
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
