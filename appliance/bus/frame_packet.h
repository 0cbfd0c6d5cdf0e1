/* One packet on a socket, as it is: for frame_socket.c and frame_conn.c. */
#pragma once

#include <stddef.h>

struct frame;

/* Returns 0; -EAGAIN where the socket is full; -EPIPE where the other end is gone; or another fault. */
int frame_packet_send(int fd, const void *p, size_t len, const int *fds, size_t n_fds);

/* Returns 0 with *f filled (which must be empty before); REASON_MALFORMED (logged); -EAGAIN where there is
 * none; -EPIPE at the end; or another fault. */
int frame_packet_receive(int fd, struct frame *f);
