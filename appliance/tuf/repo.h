/* Making metadata: documents of our own repositories, signed with Ed25519 keys. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct ed25519;

/* Append {"signatures":[...],"signed":...} in canonical form with one signature a signer, sorted
 * by key id. */
int tuf_repo_sign(struct buf *out, const json_t *signed_, const struct ed25519 *const *signers,
	size_t n_signers);
/* Add one signature to a document of ours (appending the whole again); the signer's earlier one
 * is replaced. */
int tuf_repo_cosign(
	struct buf *out, const void *document, size_t len, const struct ed25519 *signer);

/* {"keyids":[...],"threshold":n}, and the keys put into keys; new reference or NULL. */
json_t *tuf_repo_role(json_t *keys, const uint8_t (*raw)[32], size_t n, unsigned threshold);

/* A "signed" object with _type, spec_version, version and expires; new reference or NULL. */
json_t *tuf_repo_new(const char *type, uint64_t version, uint64_t expires_us);

/* {"length","hashes":{"sha256"}} and, where version > 0, "version"; new reference or NULL. */
json_t *tuf_repo_meta(const void *p, size_t len, uint64_t version);
