/* The seccomp filter of services and operations, as the program that bubblewrap loads. */
#pragma once

/* A memory file with the filter; its offset is 0.  Denied: what only an attack on the kernel or on
 * others needs. Returns 0, REASON_NO_SANDBOX (logged) where libseccomp cannot, or a fault. */
int filter_export(int *ret_fd);
