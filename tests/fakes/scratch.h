/* A folder for one test, and outside programs run in it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

struct scratch {
	char path[64];
	int fd;
};

/* In TMPDIR, else /tmp. */
void scratch_make(struct scratch *s);
void scratch_remove(struct scratch *s); /* and all in it */

/* The same as the set-up and tear-down of a test or a group: *state is its struct scratch. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

void scratch_write(const struct scratch *s, const char *name, const void *p, size_t len);
/* Not as we write, but as anybody does: in place, and also below a folder. */
void scratch_put(const struct scratch *s, const char *name, const void *p, size_t len);
/* Append a file's bytes. */
void scratch_read(const struct scratch *s, const char *name, struct buf *out);

/* What all names below the folder, and the bytes of all files, come to: the same while nothing changed. */
void scratch_digest(const struct scratch *s, uint8_t ret[32]);

/* Run a program of PATH in the folder and wait.  input (may be NULL) is its stdin; what it says
 * goes to out (may be NULL), stderr to /dev/null.  Returns its exit code; 127 where it could not be
 * run. */
int scratch_run(const struct scratch *s, const char *const argv[], const void *input, size_t len,
	struct buf *out);
/* Start one in the folder with stdout and stderr at /dev/null; ended and waited for by
 * scratch_stop(). */
pid_t scratch_start(const struct scratch *s, const char *const argv[]);
void scratch_stop(pid_t pid);
