/* Files that people write for us (policy.yaml, programs in notify.d): only what nobody else could have written is the
 * customer's word. */
#pragma once

struct monitor;

/* Open the file at an absolute path, walking down from the root: no link on the way, and each folder and the file
 * itself root's or our own and not writable by others (a sticky folder such as /tmp may be).  *ret_fd is the caller's.
 * Returns 0; REASON_USAGE, REASON_NOT_FOUND, REASON_MALFORMED (no regular file) or REASON_WRONG_ROLE (logged, naming
 * the path); or a fault. */
int ours_open(const struct monitor *m, const char *path, int *ret_fd);
