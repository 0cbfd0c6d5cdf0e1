/* Frames on AF_UNIX SOCK_SEQPACKET: what the privileged sockets speak.
 *
 *	'M' 'S' 1 flags(u8) type(u16) n_fields(u16) id(u32)   then n_fields times   tag(u16) len(u32) bytes
 *
 * All numbers big endian; at most 64 KiB a frame, FRAME_FIELDS_MAX fields, twelve descriptors
 * (SCM_RIGHTS).  What a number of a type or tag means is a *_wire.h of the room that speaks it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "appliance/base/buf.h"
#include "appliance/base/scope.h"

enum {
	FRAME_BYTES_MAX = 64 * 1024,
	FRAME_FIELDS_MAX = 256,
	FRAME_FDS_MAX = 12,
	FRAME_HEADER_BYTES = 12,
};

/* --- writing ------------------------------------------------------------------------------------------ */
/* A frame being built.  Errors stick and come out at the sending. */
struct frame_out {
	struct buf buf;
	uint16_t n_fields;
	int fds[FRAME_FDS_MAX]; /* borrowed until it is sent */
	size_t n_fds;
};

void frame_begin(struct frame_out *out, uint16_t type, uint32_t id);
void frame_put_bytes(struct frame_out *out, uint16_t tag, const void *p, size_t len);
void frame_put_text(struct frame_out *out, uint16_t tag, const char *text); /* NULL: left out */
void frame_put_u64(struct frame_out *out, uint16_t tag, uint64_t v);
void frame_put_fd(struct frame_out *out, int fd);
void frame_out_done(struct frame_out *out); /* SCOPED(frame_out_done) struct frame_out o; after frame_begin() */

/* --- reading ------------------------------------------------------------------------------------------ */
struct frame_field {
	uint16_t tag;
	uint32_t len;
	const uint8_t *data; /* len bytes and a NUL; in the frame's memory */
};

/* A frame that came in whole.  Begin with { 0 }, end with frame_done(). */
struct frame {
	uint16_t type;
	uint8_t flags;
	uint32_t id;
	size_t n_fields;
	struct frame_field fields[FRAME_FIELDS_MAX];
	int fds[FRAME_FDS_MAX]; /* owned; take one with STEAL_FD() */
	size_t n_fds;
	uint8_t *memory;        /* owned */
	size_t memory_len;
};

/* Frees, closes descriptors that nobody took.  Overwrites what it held, as do all copies that this room makes: a call may
 * carry a secret. */
void frame_done(struct frame *f);

/* Parse one packet into *f (descriptors are added by who received it).  Returns 0, REASON_MALFORMED (logged),
 * or a fault. */
int frame_parse(struct frame *f, const void *p, size_t len);

/* What a frame of one type may hold. */
struct frame_rule {
	uint16_t tag;
	uint16_t min, max; /* how many; max 1 makes a second one malformed */
	uint32_t max_len;
};

/* Check fields against rules and the number of descriptors against max_fds.  An unknown tag is malformed unless
 * skip_unknown.  Returns 0 or REASON_MALFORMED (logged). */
int frame_check(const struct frame *f, const struct frame_rule *rules, size_t n_rules, bool skip_unknown,
	size_t max_fds);

const struct frame_field *frame_find(const struct frame *f, uint16_t tag, size_t nth); /* or NULL */
/* The first field of tag as text: NULL where it is absent, longer than max, or holds a NUL. */
const char *frame_text(const struct frame *f, uint16_t tag, size_t max);
/* As a number of exactly eight bytes; false where it is absent or another length. */
bool frame_u64(const struct frame *f, uint16_t tag, uint64_t *ret);
/* As bytes; NULL where it is absent. */
const uint8_t *frame_bytes(const struct frame *f, uint16_t tag, size_t *ret_len);

/* --- sockets ------------------------------------------------------------------------------------------- */
struct frame_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uint64_t starttime; /* of pid; 0 where it is gone already */
};

/* Listen at path, replacing a socket that stands there; mode is what the socket gets.  path may be longer than
 * a socket address holds. */
int frame_listen(int *ret_fd, const char *path, mode_t mode);
/* Connect (never blocks).  Returns 0, REASON_UNREACHABLE (unlogged) where nobody listens or may not be asked,
 * or a fault. */
int frame_connect(int *ret_fd, const char *path);
/* Two connected ends, both CLOEXEC. */
int frame_pair(int ret_fds[2]);
/* Who is at the other end (SO_PEERCRED). */
int frame_peer(struct frame_peer *ret, int fd);
/* Was the peer of a connected socket a member of group when it connected?  Not asked of any name service. */
bool frame_peer_in(int fd, gid_t group);

/* --- on the loop --------------------------------------------------------------------------------------- */
struct frame_server;
/* fd is consumed. */
typedef void frame_accept_fn(int take_fd, const struct frame_peer *peer, void *arg);

/* Accept from take_listen_fd (consumed on every path). */
int frame_server_open(struct frame_server **ret, sd_event *loop, int take_listen_fd, frame_accept_fn *fn,
	void *arg);
struct frame_server *frame_server_close(struct frame_server *s);
SCOPED_DESTRUCTOR(struct frame_server, frame_server_close)

struct frame_conn;
struct frame_conn_ops {
	/* A frame came; lent for the time of the call.  May close the connection. */
	void (*frame)(struct frame_conn *conn, struct frame *f, void *arg);
	/* The other end is gone (0), sent something malformed (REASON_MALFORMED) or does not read what we send
	 * (-ENOBUFS), or a fault.  Runs at most once, from the loop; no frame follows.  The connection is still to
	 * be closed with frame_conn_close(), here or later. */
	void (*closed)(struct frame_conn *conn, int why, void *arg);
};

/* Speak on take_fd (consumed on every path). */
int frame_conn_open(struct frame_conn **ret, sd_event *loop, int take_fd, const struct frame_conn_ops *ops,
	void *arg);
/* No callback runs after it.  May be called from within one. */
struct frame_conn *frame_conn_close(struct frame_conn *conn);
SCOPED_DESTRUCTOR(struct frame_conn, frame_conn_close)

/* Send, or queue where the socket is full (descriptors are then kept as duplicates).  Never blocks.  Returns 0
 * or a fault: -EMSGSIZE where it is over FRAME_BYTES_MAX, -ENOBUFS where the queue is full, -EPIPE where it has
 * ended.  After any fault the connection ends through closed(), since the peer would wait for what it never gets. */
int frame_conn_send(struct frame_conn *conn, const struct frame_out *out);

/* --- blocking, for commands and workers ----------------------------------------------------------------- */
/* timeout_ms 0: for ever.  Returns 0, REASON_UNREACHABLE (unlogged) where the other end is gone or the time is
 * over, or a fault. */
int frame_send_wait(int fd, const struct frame_out *out, unsigned timeout_ms);
/* The same; REASON_MALFORMED (logged) too.  Fills *f, which the caller ends with frame_done(). */
int frame_recv_wait(int fd, struct frame *f, unsigned timeout_ms);
