/* Connections to ports of this host, without waiting. */
#pragma once

/* Connect to 127.0.0.1:port, or [::1]:port where nobody listens there.  *ret_fd, the caller's, does not block and may
 * still be connecting (then it becomes ready for writing).
 * Returns 0; or -errno, not traced: -ECONNREFUSED where nobody listens. */
int dial_loopback(int *ret_fd, unsigned port);
