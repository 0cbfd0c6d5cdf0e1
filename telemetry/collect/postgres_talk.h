/* What a client of PostgreSQL says and hears (protocol 3.0: "Frontend/Backend Protocol" of its manual; SCRAM-SHA-256,
 * RFC 5802 and 7677): no I/O.  One connection: authentication, then queries that give one row.
 *
 *	postgres_talk_begin() -> send it; each message of the server -> postgres_talk_take() -> send what it adds;
 *	READY -> postgres_talk_query() -> ROW -> READY -> ...
 *
 * The server may be broken into: every length has a bound, the work it may ask of us for the password, too (libpq has
 * neither), the password is never sent in any form but SCRAM's proof, and a server that cannot prove that it knows it
 * is refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	POSTGRES_TALK_MESSAGE_MAX = 16 * 1024, /* of one message of the server's */
	POSTGRES_TALK_COLUMNS_MAX = 64,
	POSTGRES_TALK_SALT_MAX = 64,
	POSTGRES_TALK_NONCE = 18, /* bytes of randomness; 24 characters */
	POSTGRES_TALK_ROUNDS_MAX = 65536,
	POSTGRES_TALK_PASSWORD_MAX = 1024,
};

/* What a message came to, beside reasons. */
enum {
	POSTGRES_TALK_MORE = 1001, /* not all of a message is here: nothing was taken */
	POSTGRES_TALK_GO_ON,	   /* taken; there is nothing to do but send what was added */
	POSTGRES_TALK_READY,	   /* it waits for a query */
	POSTGRES_TALK_ROW,	   /* t->column has one */
	POSTGRES_TALK_DENIED,	   /* SQLSTATE class 28: not with this user and password */
	POSTGRES_TALK_FULL,	   /* 53300: all sessions are taken */
	POSTGRES_TALK_ERROR,	   /* any other error: starting up, a query that failed */
};

enum postgres_talk_state {
	POSTGRES_TALK_BEGUN,
	POSTGRES_TALK_FIRST, /* our first SCRAM message was sent */
	POSTGRES_TALK_FINAL, /* our proof was sent */
	POSTGRES_TALK_PROVED, /* the server's proof was right */
	POSTGRES_TALK_WELCOME, /* authenticated; settings come */
	POSTGRES_TALK_IDLE,
	POSTGRES_TALK_ASKED,
};

struct postgres_talk {
	enum postgres_talk_state state;
	char nonce[32];
	uint8_t auth[32]; /* auth: what the server's proof must be */
	/* The salted password, which is dear to make: kept for the next connection. */
	uint8_t salted[32], salt[POSTGRES_TALK_SALT_MAX];
	size_t salt_len;
	uint32_t rounds; /* 0: none is kept */
	size_t n_columns;
	/* Of the row: slices of what postgres_talk_take() was given; p is NULL for SQL's NULL. */
	struct {
		const uint8_t *p;
		size_t len;
	} column[POSTGRES_TALK_COLUMNS_MAX];
};

/* Begin a connection (again): append the start-up message.  nonce: POSTGRES_TALK_NONCE fresh random bytes.  Sessions are
 * read-only, and a statement of theirs ends after timeout_ms.  Returns 0 or a fault. */
int postgres_talk_begin(struct postgres_talk *t, struct buf *out, const char *user, const char *database,
	unsigned timeout_ms, const uint8_t nonce[POSTGRES_TALK_NONCE]);

/* Take one message from the start of what has come; *ret_used is its length, out gets what is to be sent.  password
 * is ASCII (for others RFC 4013 would have to be done).  Returns one of the above; REASON_MALFORMED or
 * REASON_TOO_LARGE (logged): hang up; or a fault. */
int postgres_talk_take(struct postgres_talk *t, const uint8_t *p, size_t len, const char *password,
	size_t password_len, size_t *ret_used, struct buf *out);

/* Append a query, of an idle connection. */
int postgres_talk_query(struct postgres_talk *t, struct buf *out, const char *sql);

/* Forget the password's traces. */
void postgres_talk_forget(struct postgres_talk *t);
