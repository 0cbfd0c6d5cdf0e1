/* SSHSIG: what `ssh-keygen -Y sign` makes and we verify without it (PROTOCOL.sshsig of OpenSSH).
 *
 * Binary blobs stand in envelopes as base64; files that people pass on are armoured. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/trust/sshkey.h"

struct buf;

enum {
	SSHSIG_BLOB_MAX = 4096,
	SSHSIG_ARMOUR_MAX = 8192,
	SSHSIG_NAMESPACE_MAX = 64,
};

struct sshsig {
	struct sshkey_public key; /* the key the signature says it is by */
	char name_space[SSHSIG_NAMESPACE_MAX + 1];
	const uint8_t *sig; /* signature blob; borrowed from the input */
	size_t sig_len;
	char hash[8]; /* "sha256" or "sha512" */
};

/* Take a blob apart.  Verifies nothing.  Returns 0, REASON_MALFORMED or REASON_TOO_LARGE
 * (logged). */
int sshsig_parse(struct sshsig *ret, const void *blob, size_t len, const char *operand);

/* Check that blob is a signature by exactly this key in this namespace over the message.  Returns
 * 0; REASON_MALFORMED; REASON_UNKNOWN_KEY where it is by another key; REASON_BAD_SIGNATURE (also
 * for another namespace); or a fault. */
int sshsig_verify(const void *blob, size_t blob_len, const struct sshkey_public *key,
	const char *name_space, const void *p, size_t len, const char *operand);

/* Append the blob of a signature over the message, hash sha512.  Returns as
 * sshkey_signer_sign(). */
int sshsig_sign(struct buf *out, const struct sshkey_signer *signer, const char *name_space,
	const void *p, size_t len);

/* -----BEGIN SSH SIGNATURE----- text, 70 columns. */
void sshsig_armour(struct buf *out, const void *blob, size_t len);
/* The blob of an armoured text; nothing but white space may stand around it.  Returns 0 or
 * REASON_MALFORMED / REASON_TOO_LARGE (logged). */
int sshsig_dearmour(struct buf *out, const void *text, size_t len, const char *operand);
