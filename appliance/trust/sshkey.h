/* People's keys: OpenSSH public keys, private key files, ssh-agent.
 *
 * Accepted: ssh-ed25519, sk-ssh-ed25519@openssh.com, ecdsa-sha2-nistp256,
 * sk-ecdsa-sha2-nistp256@openssh.com.  Never RSA, never certificates.  A key's id is hex SHA-256 of
 * its key blob. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

enum sshkey_kind {
	SSHKEY_ED25519,
	SSHKEY_SK_ED25519,
	SSHKEY_P256,
	SSHKEY_SK_P256,
};

enum {
	SSHKEY_BLOB_MAX = 512,
	SSHKEY_LINE_MAX = 1024,	      /* "TYPE BASE64" and NUL */
	SSHKEY_APPLICATION_MAX = 128, /* of a token's key; and NUL */
	SSHKEY_KEYID_MAX = 65,
	SSHKEY_FILE_MAX = 16 * 1024,
	SSHKEY_AGENT_KEYS_MAX = 64,
	SSHKEY_SIG_MAX = 1024, /* a signature blob */
};

struct sshkey_public {
	enum sshkey_kind kind;
	uint8_t raw[65]; /* 32 bytes of Ed25519, or 65 of an uncompressed P-256 point */
	size_t raw_len;
	char application[SSHKEY_APPLICATION_MAX]; /* "" unless the key lives in a token */
	uint8_t blob[SSHKEY_BLOB_MAX];
	size_t blob_len;
	char keyid[SSHKEY_KEYID_MAX];
};

/* "ssh-ed25519 AAAA… [comment]", one line, the comment ignored.  Returns 0, REASON_MALFORMED
 * (logged; names what is accepted where the type is not), REASON_LOW_ORDER_KEY, or a fault. */
int sshkey_parse(struct sshkey_public *ret, const char *line, const char *operand);
int sshkey_parse_blob(struct sshkey_public *ret, const void *p, size_t len, const char *operand);

/* "TYPE BASE64", the form that stands in documents.  Returns out. */
char *sshkey_line(char out[SSHKEY_LINE_MAX], const struct sshkey_public *key);
/* "ssh-ed25519" … */
const char *sshkey_type(enum sshkey_kind kind);
bool sshkey_same(const struct sshkey_public *a, const struct sshkey_public *b);

/* Check an SSH signature blob (string type, signature, and for a token flags and counter) by key
 * over these bytes.  A token's signature counts only with its user-presence flag.  Returns 0,
 * REASON_MALFORMED or REASON_BAD_SIGNATURE (logged), or a fault. */
int sshkey_verify(const struct sshkey_public *key, const void *sig, size_t sig_len, const void *p,
	size_t len, const char *operand);

/* --- signing ---------------------------------------------------------------------------------- */
struct sshkey_signer; /* a private key at hand, in memory or behind an agent; opaque */
struct sshkey_signer *sshkey_signer_free(struct sshkey_signer *s);
SCOPED_DESTRUCTOR(struct sshkey_signer, sshkey_signer_free)

/* What a --key FILE names: an unencrypted OpenSSH private key of ssh-ed25519; or a public key line,
 * whose private half is then asked of the agent.  NULL: the agent's only key that we accept.
 * Returns 0; REASON_NOT_FOUND, REASON_MALFORMED or REASON_USAGE (logged; the text names the remedy:
 * an encrypted key is for ssh-agent, several keys in the agent want --key FILE.pub);
 * REASON_UNREACHABLE where an agent is needed and none answers; or a fault.  Blocks on the
 * agent. */
int sshkey_signer_open(struct sshkey_signer **ret, const char *file);

/* Sign by the agent with this very key. */
int sshkey_signer_open_agent(struct sshkey_signer **ret, const struct sshkey_public *key);

const struct sshkey_public *sshkey_signer_public(const struct sshkey_signer *s); /* borrowed */

/* Append the signature blob over these bytes.  Returns 0, REASON_UNREACHABLE or REASON_NOT_APPROVED
 * (the agent declined; logged), or a fault.  Blocks on the agent and on the person's touch. */
int sshkey_signer_sign(const struct sshkey_signer *s, const void *p, size_t len, struct buf *out);
