/* One file of a log: what it is, how far it was read, its next lines.
 *
 * A file is its device, its inode and its first bytes: an inode used again has others.  Offsets stand at the
 * beginning of a line, or within one that was longer than LOG_LINE_MAX (cut). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/logs/log_cursor.h"

enum {
	LOG_LINE_MAX = 256 * 1024, /* longer ones are cut there; the rest is counted */
	LOG_FILE_PRINT_MAX = 64,
};

struct log_file {
	int fd;			/* -1: none; owned */
	struct log_place place; /* of its source's key */
	uint64_t size;		/* when it was last looked at */
	uint64_t begin;		/* where reading of it began */
};

#define LOG_FILE_NONE ((struct log_file){ .fd = -1 })

void log_file_close(struct log_file *f);

/* Open name beneath dir_fd: a regular file, no symbolic link on the way, never waited for.  Its place is at 0.
 * Returns 0; REASON_NOT_FOUND; REASON_DENIED where it may not be read; REASON_UNSAFE_TREE where it is no regular
 * file or leads out (all unlogged: the caller counts); or a fault. */
int log_file_open(struct log_file *ret, int dir_fd, const char *name, uint64_t key);

/* Open the file of place, which may have been renamed: name, else one beside it whose name begins so.  Compressed
 * ones are none.  Returns 0 with its place taken over; REASON_NOT_FOUND (unlogged); or a fault. */
int log_file_find(struct log_file *ret, int dir_fd, const char *name,
	const struct log_place *place);

/* Does the file begin as that of place did, and is as long?  So does its copy. */
bool log_file_begins_as(const struct log_file *f, const struct log_place *place);

/* Is this the file of place: its inode and first bytes, and at least as long? */
bool log_file_is(const struct log_file *f, const struct log_place *place);

/* Look at the size and the first bytes.  Returns 0; REASON_ALTERED (unlogged) where it was cut to less than was
 * read or begins otherwise: its place stands as it was, log_file_restart() begins anew; or a fault. */
int log_file_look(struct log_file *f);
void log_file_restart(struct log_file *f);
void log_file_to_end(struct log_file *f);

/* One line, without its end; lent.  cut: the rest of it was left out.  Runs with the place behind it. */
typedef int log_line_fn(const char *line, size_t len, bool cut, void *arg);

struct log_reading {
	char *room;	/* LOG_LINE_MAX bytes: borrowed, one for all files */
	bool continues; /* a line that begins with a tab belongs to the one before */
	bool ended; /* a newline at the very end ends its record, though the next line might go on */
	bool whole; /* nothing will follow: the last line needs no newline */
	log_line_fn *line;
	/* What was read, before its lines are handed on; NULL, 0 after them.  May be NULL. */
	void (*piece)(const char *p, size_t len, void *arg);
	void *arg;
};

/* Read up to LOG_LINE_MAX bytes and hand on their lines; a result of line that is not 0 ends it at once.  Returns 0
 * with *ret_read, bytes that the place moved; line's result; or a fault. */
int log_file_read(struct log_file *f, const struct log_reading *how, size_t *ret_read);
