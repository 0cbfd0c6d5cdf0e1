/* Connections to ports, of this host or another, and handing them from one process to another. */
#pragma once

/* Connect to 127.0.0.1:port, or [::1]:port where nobody listens there.  *ret_fd, the caller's, does not block and may
 * still be connecting (then it becomes ready for writing).  Waits for at most 20 ms.
 * Returns 0; or -errno, not traced: -ECONNREFUSED where nobody listens. */
int dial_loopback(int *ret_fd, unsigned port);
/* The same to an address ("192.0.2.7", "2001:db8::7"); of what is on no loopback nothing is waited for.
 * Returns -EINVAL where it is none. */
int dial_address(int *ret_fd, const char *address, unsigned port);

/* Write fd to the connected UNIX socket to, without waiting; both stay the caller's.  Returns 0 or -errno, not traced. */
int dial_hand_over(int to, int fd);
/* Take what was written to it: 0 with *ret_fd, the caller's; -ENOTCONN where there is none.  Never waits. */
int dial_take(int *ret_fd, int from);
