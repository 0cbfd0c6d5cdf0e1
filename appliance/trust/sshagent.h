/* The agent's end of SSH keys (PROTOCOL.agent): list keys, ask for a signature.  Blocks: for
 * commands only. */
#pragma once

#include <stddef.h>

struct buf;
struct sshkey_public;

/* Connect to the agent of SSH_AUTH_SOCK.  Returns 0, REASON_UNREACHABLE (logged), or a fault. */
int sshagent_connect(int *ret_fd);

/* Up to max keys of the kinds we accept; others are passed over.  Returns 0, REASON_UNREACHABLE or
 * REASON_MALFORMED (logged), or a fault. */
int sshagent_list(int fd, struct sshkey_public *keys, size_t max, size_t *ret_n);

/* Append the signature blob of this key over these bytes.  Returns 0, REASON_NOT_APPROVED (logged:
 * the agent declined or has no such key), REASON_UNREACHABLE, REASON_MALFORMED (logged), or a
 * fault. */
int sshagent_sign(int fd, const struct sshkey_public *key, const void *p, size_t len,
	struct buf *out);
