#include "telemetry/collect/postgres_talk.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/cursor.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"

enum {
	VERSION = 3 << 16,
	HEAD = 5, /* type and length */
	AUTH_OK = 0,
	AUTH_SASL = 10,
	AUTH_SASL_CONTINUE = 11,
	AUTH_SASL_FINAL = 12,
	SCRAM_MAX = 512, /* of one message of SCRAM's */
};

static const char mechanism[] = "SCRAM-SHA-256";

#define BAD(...) REFUSE(REASON_MALFORMED, "postgres", __VA_ARGS__)

/* --- saying ------------------------------------------------------------------------------------------------ */
static void
put_text0(struct buf *out, const char *text)
{
	buf_put(out, text, strlen(text) + 1);
}

static int
put_message(struct buf *out, char type, const struct buf *body)
{
	if (type)
		buf_u8(out, (uint8_t)type);
	buf_u32(out, (uint32_t)(body->len + 4));
	buf_put(out, body->data, body->len);
	return FAULT(buf_error(body) ?: buf_error(out));
}

int
postgres_talk_begin(struct postgres_talk *t, struct buf *out, const char *user, const char *database,
	unsigned timeout_ms, const uint8_t nonce[POSTGRES_TALK_NONCE])
{
	SCOPED(buf_done) struct buf body = BUF_MAX(1024);
	SCOPED(buf_done) struct buf text = BUF_MAX(sizeof(t->nonce));

	hex_base64(&text, nonce, POSTGRES_TALK_NONCE);
	if (buf_error(&text))
		return FAULT(buf_error(&text));
	memcpy(t->nonce, buf_text(&text), text.len + 1);
	t->state = POSTGRES_TALK_BEGUN;
	t->n_columns = 0;
	buf_u32(&body, VERSION);
	put_text0(&body, "user");
	put_text0(&body, user);
	put_text0(&body, "database");
	put_text0(&body, database);
	put_text0(&body, "application_name");
	put_text0(&body, "mainstay-collectd");
	put_text0(&body, "client_encoding");
	put_text0(&body, "UTF8");
	put_text0(&body, "default_transaction_read_only");
	put_text0(&body, "on");
	put_text0(&body, "statement_timeout");
	buf_printf(&body, "%u", timeout_ms);
	buf_u8(&body, 0);
	buf_u8(&body, 0);
	return put_message(out, 0, &body);
}

int
postgres_talk_query(struct postgres_talk *t, struct buf *out, const char *sql)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(POSTGRES_TALK_MESSAGE_MAX);

	if (t->state != POSTGRES_TALK_IDLE)
		return FAULT(-EINVAL);
	put_text0(&body, sql);
	t->state = POSTGRES_TALK_ASKED;
	t->n_columns = 0;
	return put_message(out, 'Q', &body);
}

void
postgres_talk_forget(struct postgres_talk *t)
{
	explicit_bzero(t->salted, sizeof(t->salted));
	t->rounds = 0;
}

/* --- SCRAM --------------------------------------------------------------------------------------------------- */
/* RFC 5802, section 2.2: Hi(). */
static void
salt_password(struct postgres_talk *t, const char *password, size_t len)
{
	uint8_t block[POSTGRES_TALK_SALT_MAX + 4], u[SHA256_LEN];

	memcpy(block, t->salt, t->salt_len);
	memcpy(block + t->salt_len, "\0\0\0\1", 4);
	sha256_hmac(u, password, len, block, t->salt_len + 4);
	memcpy(t->salted, u, sizeof(u));
	for (uint32_t i = 1; i < t->rounds; i++) {
		sha256_hmac(u, password, len, u, sizeof(u));
		for (size_t k = 0; k < sizeof(u); k++)
			t->salted[k] ^= u[k];
	}
	explicit_bzero(u, sizeof(u));
}

static int
say_first(struct postgres_talk *t, struct cursor *c, struct buf *out)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(SCRAM_MAX);
	bool offered = false;

	/* A list of names, each with its NUL, and an empty one. */
	while (cursor_left(c) > 1) {
		const uint8_t *end = memchr(c->p, '\0', cursor_left(c));
		const char *name = (const char *)c->p;

		if (!end || !cursor_bytes(c, (size_t)(end + 1 - c->p)))
			break;
		offered |= strcmp(name, mechanism) == 0;
	}
	if (!offered)
		return BAD("offers no %s", mechanism);
	put_text0(&body, mechanism);
	buf_u32(&body, (uint32_t)(strlen("n,,n=,r=") + strlen(t->nonce)));
	buf_printf(&body, "n,,n=,r=%s", t->nonce);
	t->state = POSTGRES_TALK_FIRST;
	return put_message(out, 'p', &body);
}

/* "r=NONCE,s=SALT,i=ROUNDS"; *ret_nonce is a part of text. */
static int
read_challenge(struct postgres_talk *t, const char *text, uint8_t salt[POSTGRES_TALK_SALT_MAX],
	size_t *ret_salt_len, const char **ret_nonce, size_t *ret_len, uint64_t *ret_rounds)
{
	const char *s = strstr(text, ",s="), *i = s ? strstr(s + 3, ",i=") : NULL;
	size_t own = strlen(t->nonce);

	if (strncmp(text, "r=", 2) != 0 || !i || strncmp(text + 2, t->nonce, own) != 0 ||
		(size_t)(s - text) <= 2 + own || memchr(text, ',', (size_t)(s - text)) ||
		!hex_unbase64_into(salt, POSTGRES_TALK_SALT_MAX, ret_salt_len, s + 3, (size_t)(i - s - 3)) ||
		*ret_salt_len == 0 ||
		number_u64(ret_rounds, i + 3, POSTGRES_TALK_ROUNDS_MAX) != 0 || *ret_rounds == 0)
		return BAD("its challenge is not SCRAM's, or asks for more than %d rounds",
			(int)POSTGRES_TALK_ROUNDS_MAX);
	*ret_nonce = text + 2;
	*ret_len = (size_t)(s - text - 2);
	return 0;
}

/* RFC 5802, section 3: the proof, and what the server's must be. */
static void
prove(struct postgres_talk *t, const struct buf *message, uint8_t proof[SHA256_LEN])
{
	uint8_t client[SHA256_LEN], stored[SHA256_LEN], server[SHA256_LEN];

	sha256_hmac(client, t->salted, sizeof(t->salted), "Client Key", 10);
	sha256_of(stored, client, sizeof(client));
	sha256_hmac(proof, stored, sizeof(stored), message->data, message->len);
	for (size_t i = 0; i < SHA256_LEN; i++)
		proof[i] ^= client[i];
	sha256_hmac(server, t->salted, sizeof(t->salted), "Server Key", 10);
	sha256_hmac(t->auth, server, sizeof(server), message->data, message->len);
	explicit_bzero(client, sizeof(client));
	explicit_bzero(stored, sizeof(stored));
	explicit_bzero(server, sizeof(server));
}

static int
say_final(struct postgres_talk *t, struct cursor *c, const char *password, size_t password_len,
	struct buf *out)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(SCRAM_MAX);
	SCOPED(buf_done) struct buf message = BUF_MAX(3 * SCRAM_MAX);
	char text[SCRAM_MAX];
	uint8_t proof[SHA256_LEN], salt[POSTGRES_TALK_SALT_MAX];
	size_t len = cursor_left(c), nonce_len = 0, salt_len = 0;
	const char *nonce = NULL;
	uint64_t rounds = 0;
	int r;

	if (len >= sizeof(text) || memchr(c->p, '\0', len))
		return BAD("its challenge is no text");
	memcpy(text, cursor_bytes(c, len), len);
	text[len] = '\0';
	r = read_challenge(t, text, salt, &salt_len, &nonce, &nonce_len, &rounds);
	if (r)
		return r;
	if (t->rounds != rounds || t->salt_len != salt_len || memcmp(t->salt, salt, salt_len) != 0) {
		memcpy(t->salt, salt, salt_len);
		t->salt_len = salt_len;
		t->rounds = (uint32_t)rounds;
		salt_password(t, password, password_len);
	}
	buf_printf(&body, "c=biws,r=%.*s", (int)nonce_len, nonce);
	buf_printf(&message, "n=,r=%s,%s,%s", t->nonce, text, buf_text(&body));
	if (buf_error(&message))
		return FAULT(buf_error(&message));
	prove(t, &message, proof);
	buf_puts(&body, ",p=");
	hex_base64(&body, proof, sizeof(proof));
	t->state = POSTGRES_TALK_FINAL;
	return put_message(out, 'p', &body);
}

static int
check_final(struct postgres_talk *t, struct cursor *c)
{
	SCOPED(buf_done) struct buf want = BUF_MAX(64);
	size_t len = cursor_left(c);

	buf_puts(&want, "v=");
	hex_base64(&want, t->auth, sizeof(t->auth));
	if (buf_error(&want))
		return FAULT(buf_error(&want));
	if (len != want.len || !sha256_same(c->p, want.data, len))
		return BAD("does not prove that it knows the password");
	t->state = POSTGRES_TALK_PROVED;
	return 0;
}

static int
take_auth(struct postgres_talk *t, struct cursor *c, const char *password, size_t password_len,
	struct buf *out)
{
	uint32_t kind = cursor_u32(c);
	int r;

	if (kind == AUTH_SASL && t->state == POSTGRES_TALK_BEGUN) {
		r = say_first(t, c, out);
	} else if (kind == AUTH_SASL_CONTINUE && t->state == POSTGRES_TALK_FIRST) {
		r = say_final(t, c, password, password_len, out);
	} else if (kind == AUTH_SASL_FINAL && t->state == POSTGRES_TALK_FINAL) {
		r = check_final(t, c);
	} else if (kind == AUTH_OK && t->state == POSTGRES_TALK_PROVED && cursor_done(c)) {
		t->state = POSTGRES_TALK_WELCOME;
		r = 0;
	} else {
		return BAD("asks for a password in another way than %s", mechanism);
	}
	return r ?: POSTGRES_TALK_GO_ON;
}

/* --- hearing --------------------------------------------------------------------------------------------------- */
/* The SQLSTATE among an error's fields: each a letter and a text with its NUL. */
static int
take_error(struct cursor *c)
{
	while (cursor_left(c) > 1 && *c->p) {
		const uint8_t *end = memchr(c->p, '\0', cursor_left(c));
		const char *field = (const char *)c->p;

		if (!end || !cursor_bytes(c, (size_t)(end + 1 - c->p)))
			break;
		if (field[0] != 'C')
			continue;
		if (strncmp(field + 1, "28", 2) == 0)
			return POSTGRES_TALK_DENIED;
		if (strcmp(field + 1, "53300") == 0)
			return POSTGRES_TALK_FULL;
		return POSTGRES_TALK_ERROR;
	}
	return BAD("its error names no state");
}

static int
take_row(struct postgres_talk *t, struct cursor *c)
{
	size_t n = cursor_u16(c);

	if (t->state != POSTGRES_TALK_ASKED || t->n_columns > 0 || n == 0 ||
		n > POSTGRES_TALK_COLUMNS_MAX)
		return BAD("sends a row that was not asked for");
	for (size_t i = 0; i < n; i++) {
		uint32_t len = cursor_u32(c);

		t->column[i].len = len == UINT32_MAX ? 0 : len;
		t->column[i].p = len == UINT32_MAX ? NULL : cursor_bytes(c, len);
	}
	if (!cursor_done(c))
		return BAD("sends a row that does not end where its message does");
	t->n_columns = n;
	return POSTGRES_TALK_ROW;
}

static int
take_ready(struct postgres_talk *t, struct cursor *c)
{
	if (t->state < POSTGRES_TALK_WELCOME || t->state == POSTGRES_TALK_IDLE ||
		cursor_u8(c) != 'I' || !cursor_done(c))
		return BAD("is ready before its time");
	t->state = POSTGRES_TALK_IDLE;
	return POSTGRES_TALK_READY;
}

int
postgres_talk_take(struct postgres_talk *t, const uint8_t *p, size_t len, const char *password,
	size_t password_len, size_t *ret_used, struct buf *out)
{
	struct cursor c = CURSOR(p, len), body;
	uint8_t type;
	uint32_t size;

	if (len < HEAD)
		return POSTGRES_TALK_MORE;
	type = cursor_u8(&c);
	size = cursor_u32(&c);
	if (size < 4)
		return BAD("sends a message with a length of %u", size);
	if (size > POSTGRES_TALK_MESSAGE_MAX)
		return REFUSE(REASON_TOO_LARGE, "postgres", "sends a message of %u bytes", size);
	if (cursor_left(&c) < size - 4)
		return POSTGRES_TALK_MORE;
	body = cursor_sub(&c, size - 4);
	*ret_used = size + 1;
	switch (type) {
	case 'R':
		return take_auth(t, &body, password, password_len, out);
	case 'E':
		return take_error(&body);
	case 'D':
		return take_row(t, &body);
	case 'Z':
		return take_ready(t, &body);
	case 'S': /* a setting */
	case 'K': /* the key to cancel with */
	case 'N': /* a notice */
	case 'T': /* what columns there are: those we asked for */
	case 'C': /* the query is done */
		return t->state < POSTGRES_TALK_WELCOME && type != 'N' ? BAD("speaks before its time")
								      : POSTGRES_TALK_GO_ON;
	default:
		return BAD("sends a message of type 0x%02x", type);
	}
}
