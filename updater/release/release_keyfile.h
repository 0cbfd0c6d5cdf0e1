/* One private key in a file, which `openssl pkey -in FILE` reads too:
 *
 *	mainstay-key ed25519 HEX64              the public key, so that nobody is asked for a passphrase only to look
 *	-----BEGIN ENCRYPTED PRIVATE KEY-----   PKCS#8, PBES2 with scrypt (RFC 7914, r = 8) and AES-256-CBC
 *
 * Without a passphrase, where that was asked for in so many words: "mainstay-key ed25519 HEX64 no-passphrase" and
 * "-----BEGIN PRIVATE KEY-----".  Files are 0600. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/buf.h"

/* log2 of scrypt's N * p: up to 14 it is N (16 MiB), then p, for OpenSSL takes no more than 32 MiB. */
enum {
	RELEASE_KEYFILE_COST = 16, /* some 200 ms a try */
	RELEASE_KEYFILE_COST_MIN = 10,
	RELEASE_KEYFILE_COST_MAX = 20,
	RELEASE_KEYFILE_COST_WEAK = 14, /* below, it is said aloud */
};

struct release_keyfile {
	uint8_t public[32]; /* as the first line says; release_keyfile_open() holds it against the private one */
	bool plain;         /* no passphrase */
	bool former;        /* the form "ed25519:HEX", which only release_keyfile_open() reads, to give it another */
	unsigned cost;
	struct buf pem; /* secret where plain */
};
void release_keyfile_done(struct release_keyfile *f);

/* Read dir_fd/name: no passphrase is needed.  Returns 0; REASON_NOT_FOUND (unlogged); REASON_MALFORMED (logged) where it
 * is no key file, others may read it, or its passphrase costs less or more to try than ours may; or a fault. */
int release_keyfile_read(struct release_keyfile *ret, int dir_fd, const char *name);

/* The seed.  Returns 0; REASON_DENIED (unlogged) where the passphrase does not fit; REASON_ALTERED (logged) where the
 * first line is of another key; or a fault.  pass is not looked at where the file is plain. */
int release_keyfile_open(const struct release_keyfile *f, const char *name, const char *pass, size_t len,
	uint8_t seed[32]);

/* Replace dir_fd/name; pass NULL: without one. */
int release_keyfile_write(int dir_fd, const char *name, const uint8_t seed[32], const char *pass, size_t len,
	unsigned cost);

/* A public key as people hand it on: 64 hex digits, or a file whose first line is that of a key file or "ed25519 HEX64".
 * REASON_MALFORMED or REASON_NOT_FOUND (logged). */
int release_keyfile_public(uint8_t raw[32], const char *text);
