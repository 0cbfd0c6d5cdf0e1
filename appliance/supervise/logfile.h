/* The file that takes a service's stdout and stderr: appended to by the service itself, kept
 * bounded by its shim. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Open dir/NAME.log for appending, making it.  Returns 0 or a fault. */
int logfile_open(int *ret_fd, const char *dir, const char *name);

/* The same for the output of the service itself, claimed: as long as a process holds what came of this
 * descriptor, and so as long as the service lives, whoever claims it again is refused.  Thus nothing is
 * started twice on the same data, even where run/ and all that it said are gone.  Returns 0; REASON_BUSY
 * (logged) naming the process; or a fault.  One that waits at its gate (sandbox_gate()) for a shim that is no more is
 * ended: until it is gone that is busy, too. */
int logfile_claim(int *ret_fd, const char *dir, const char *name);

/* Where it has grown beyond max bytes: its content (of more than twice as much, the last max bytes)
 * becomes NAME.log.1, then it is cut to nothing.
 * What the service writes between the two is lost; it keeps its descriptor.  Returns 0 or a
 * fault. */
int logfile_bound(const char *dir, const char *name, uint64_t max);

/* The last lines of NAME.log that fit size, as one line for people: " | " between them, what is not
 * ASCII text as '?'.  "" where there are none. */
void logfile_tail(char *out, size_t size, const char *dir, const char *name);
/* Bytes of NAME.log; 0 in doubt. */
uint64_t logfile_size(const char *dir, const char *name);
