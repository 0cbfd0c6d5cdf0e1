#include "appliance/egress/pseudonym.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"

enum {
	KEY_BYTES = 32,
	HMAC_BLOCK = 64,
	BUCKETS = 4096,
	NONE = UINT16_MAX, /* no entry: PSEUDONYM_KEPT is less */
	LINES_MAX = 2 * PSEUDONYM_KEPT, /* then the file is written anew with what is kept */
	DIGITS = 12,
};

struct entry {
	char token[PSEUDONYM_TOKEN_MAX];
	char *text; /* owned; not terminated by anything but its NUL */
	uint16_t next; /* in its bucket */
	uint8_t kind;
};

struct pseudonym {
	int dir_fd; /* borrowed */
	bool make;
	struct sha256 inner, outer; /* HMAC's two halves, begun with the key */
	struct entry *kept; /* a ring of PSEUDONYM_KEPT, made with the first */
	uint64_t added, saved; /* ever; entry n stands in kept[n % PSEUDONYM_KEPT] */
	uint16_t bucket[BUCKETS]; /* of the originals seen under this key */
	size_t lines; /* in the file */
	bool rewrite; /* its end is torn, or it is full */
};

static const char *const kinds[PSEUDONYM_KINDS] = {
	[PSEUDONYM_IP] = "ip",
	[PSEUDONYM_EMAIL] = "email",
	[PSEUDONYM_USER] = "user",
	[PSEUDONYM_HOSTNAME] = "hostname",
};

const char *
pseudonym_text(enum pseudonym_kind kind)
{
	return kinds[kind];
}

bool
pseudonym_parse(enum pseudonym_kind *ret, const char *text)
{
	for (size_t i = 0; i < PSEUDONYM_KINDS; i++)
		if (strcmp(kinds[i], text) == 0) {
			*ret = (enum pseudonym_kind)i;
			return true;
		}
	return false;
}

/* --- what is kept ------------------------------------------------------------------------------------------ */
static uint16_t *
bucket_of(struct pseudonym *p, enum pseudonym_kind kind, const char *text, size_t len)
{
	uint32_t h = 2166136261U ^ (uint32_t)kind;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * 16777619U;
	return &p->bucket[(h ^ h >> 15) % BUCKETS];
}

static void
forget_texts(struct pseudonym *p)
{
	memset(p->bucket, 0xff, sizeof(p->bucket));
}

/* The oldest makes room: out of its bucket, where it is in one. */
static void
evict(struct pseudonym *p, uint16_t at)
{
	struct entry *e = &p->kept[at];
	uint16_t *link = bucket_of(p, (enum pseudonym_kind)e->kind, e->text, strlen(e->text));

	while (*link != NONE && *link != at)
		link = &p->kept[*link].next;
	if (*link == at)
		*link = e->next;
	free(e->text);
	e->text = NULL;
}

/* NULL: no memory. */
static struct entry *
add(struct pseudonym *p, const char *token, const char *text, size_t len)
{
	uint16_t at = (uint16_t)(p->added % PSEUDONYM_KEPT);
	char *copy;

	if (!p->kept)
		p->kept = calloc(PSEUDONYM_KEPT, sizeof(*p->kept));
	copy = p->kept ? strndup(text, len) : NULL;
	if (!copy)
		return NULL;
	if (p->kept[at].text)
		evict(p, at);
	p->kept[at] = (struct entry){ .text = copy, .next = NONE };
	(void)snprintf(p->kept[at].token, sizeof(p->kept[at].token), "%s", token);
	p->added++;
	return &p->kept[at];
}

static bool
is_line(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ')
			return false;
	return len > 0 && len <= PSEUDONYM_TEXT_MAX;
}

static const struct entry *
find(struct pseudonym *p, enum pseudonym_kind kind, const char *text, size_t len)
{
	uint16_t at = *bucket_of(p, kind, text, len);

	for (; at != NONE; at = p->kept[at].next) {
		const struct entry *e = &p->kept[at];

		if (e->kind == kind && strncmp(e->text, text, len) == 0 && e->text[len] == '\0')
			return e;
	}
	return NULL;
}

static void
make_token(const struct pseudonym *p, enum pseudonym_kind kind, const char *text, size_t len,
	char out[PSEUDONYM_TOKEN_MAX])
{
	struct sha256 h = p->inner;
	uint8_t digest[SHA256_LEN];
	size_t n = strlen(kinds[kind]);

	sha256_put(&h, kinds[kind], n + 1);
	sha256_put(&h, text, len);
	sha256_final(&h, digest);
	h = p->outer;
	sha256_put(&h, digest, sizeof(digest));
	sha256_final(&h, digest);
	out[0] = '<';
	memcpy(out + 1, kinds[kind], n);
	out[n + 1] = ':';
	hex_encode(out + n + 2, digest, DIGITS / 2);
	memcpy(out + n + 2 + DIGITS, ">", 2);
}

void
pseudonym_put(
	struct pseudonym *p, enum pseudonym_kind kind, const char *text, size_t len, struct buf *out)
{
	const struct entry *known = find(p, kind, text, len);
	char token[PSEUDONYM_TOKEN_MAX];
	struct entry *e;
	uint16_t *bucket;

	if (known) {
		buf_puts(out, known->token);
		return;
	}
	make_token(p, kind, text, len, token);
	buf_puts(out, token);
	if (!is_line(text, len))
		return;
	e = add(p, token, text, len);
	if (!e) { /* what nobody could reveal does not leave */
		out->error = FAULT(-ENOMEM);
		return;
	}
	bucket = bucket_of(p, kind, text, len);
	e->kind = (uint8_t)kind;
	e->next = *bucket;
	*bucket = (uint16_t)(e - p->kept);
}

const char *
pseudonym_reveal(const struct pseudonym *p, const char *token)
{
	for (size_t i = 0; p->kept && i < PSEUDONYM_KEPT; i++)
		if (p->kept[i].text && strcmp(p->kept[i].token, token) == 0)
			return p->kept[i].text;
	return NULL;
}

size_t
pseudonym_kept(const struct pseudonym *p)
{
	size_t n = 0;

	for (size_t i = 0; p->kept && i < PSEUDONYM_KEPT; i++)
		n += p->kept[i].text != NULL;
	return n;
}

/* --- files ------------------------------------------------------------------------------------------------- */
/* -ENOMEM where it was not kept whole: written again, what is left out would be lost. */
static int
read_table(struct pseudonym *p, const char *text, size_t len)
{
	const char *end = text + len, *line, *tab, *newline;
	char token[PSEUDONYM_TOKEN_MAX];

	for (line = text; line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		if (!newline) { /* cut off by a crash */
			p->rewrite = true;
			return 0;
		}
		p->lines++;
		tab = memchr(line, '\t', (size_t)(newline - line));
		if (!tab || tab == line || tab - line >= PSEUDONYM_TOKEN_MAX ||
			!is_line(tab + 1, (size_t)(newline - tab - 1)))
			continue;
		(void)snprintf(token, sizeof(token), "%.*s", (int)(tab - line), line);
		if (!add(p, token, tab + 1, (size_t)(newline - tab - 1)))
			return FAULT(-ENOMEM);
	}
	return 0;
}

static int
load_table(struct pseudonym *p)
{
	SCOPED(buf_wipe) struct buf in = BUF_MAX(PSEUDONYM_FILE_MAX);
	int r = fs_read(p->dir_fd, PSEUDONYM_TABLE_NAME, in.max, &in);

	if (r == 0)
		r = read_table(p, (const char *)in.data, in.len);
	else if (r > 0)
		p->rewrite = r != REASON_NOT_FOUND;
	p->saved = p->added;
	return r < 0 ? FAULT(r) : 0;
}

/* Thousands of tokens a second are made: the key goes into HMAC (RFC 2104) once. */
static void
take_key(struct pseudonym *p, const uint8_t key[KEY_BYTES])
{
	uint8_t block[HMAC_BLOCK] = { 0 };

	memcpy(block, key, KEY_BYTES);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36;
	sha256_init(&p->inner);
	sha256_put(&p->inner, block, sizeof(block));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	sha256_init(&p->outer);
	sha256_put(&p->outer, block, sizeof(block));
	sha256_wipe(block, sizeof(block));
}

static int
make_key(struct pseudonym *p)
{
	char text[2 * KEY_BYTES + 2];
	uint8_t key[KEY_BYTES];
	int r;

	fs_random(key, sizeof(key));
	take_key(p, key);
	hex_encode(text, key, sizeof(key));
	sha256_wipe(key, sizeof(key));
	text[sizeof(text) - 2] = '\n';
	r = fs_replace(p->dir_fd, PSEUDONYM_KEY_NAME, text, sizeof(text) - 1, 0600);
	sha256_wipe(text, sizeof(text));
	return FAULT(r);
}

static int
load_key(struct pseudonym *p)
{
	SCOPED(buf_wipe) struct buf in = BUF_MAX(2 * KEY_BYTES + 1);
	uint8_t key[KEY_BYTES];
	int r = fs_read(p->dir_fd, PSEUDONYM_KEY_NAME, in.max, &in);

	if (r == REASON_NOT_FOUND && p->make)
		return make_key(p);
	if (r == REASON_NOT_FOUND) { /* nothing left under a key yet: one for the time being shows the form */
		fs_random(key, sizeof(key));
		take_key(p, key);
		return 0;
	}
	if (r < 0)
		return FAULT(r);
	if (r == 0 && in.len == in.max && in.data[in.len - 1] == '\n') {
		in.data[in.len - 1] = '\0';
		if (hex_decode(key, sizeof(key), (const char *)in.data)) {
			take_key(p, key);
			sha256_wipe(key, sizeof(key));
			return 0;
		}
	}
	return REFUSE(REASON_MALFORMED, PSEUDONYM_KEY_NAME,
		"is no key of 64 hex digits and a line end; `mainstay telemetry pseudonyms rotate` makes "
		"another");
}

int
pseudonym_open(struct pseudonym **ret, int dir_fd, bool make)
{
	SCOPED(pseudonym_freep) struct pseudonym *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	p->dir_fd = dir_fd;
	p->make = make;
	forget_texts(p);
	r = load_key(p);
	r = r ?: load_table(p);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	*ret = STEAL(p);
	return 0;
}

struct pseudonym *
pseudonym_free(struct pseudonym *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; p->kept && i < PSEUDONYM_KEPT; i++)
		free(p->kept[i].text);
	free(p->kept);
	sha256_wipe(&p->inner, sizeof(p->inner));
	sha256_wipe(&p->outer, sizeof(p->outer));
	free(p);
	return NULL;
}

static void
put_lines(const struct pseudonym *p, uint64_t from, struct buf *out)
{
	for (uint64_t n = from; n < p->added; n++) {
		const struct entry *e = &p->kept[n % PSEUDONYM_KEPT];

		buf_puts(out, e->token);
		buf_u8(out, '\t');
		buf_puts(out, e->text);
		buf_u8(out, '\n');
	}
}

static int
replace(const struct pseudonym *p, const struct buf *lines)
{
	return FAULT(fs_replace(p->dir_fd, PSEUDONYM_TABLE_NAME, lines->data, lines->len, 0600));
}

static int
append(const struct pseudonym *p, const struct buf *lines)
{
	SCOPED(scope_close) int fd = openat(p->dir_fd, PSEUDONYM_TABLE_NAME,
		O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0) /* the first, whose name must last, too */
		return errno == ENOENT ? replace(p, lines) : FAULT(-errno);
	r = fs_write_all(fd, lines->data, lines->len);
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	return FAULT(r);
}

int
pseudonym_save(struct pseudonym *p)
{
	SCOPED(buf_wipe) struct buf lines = BUF_MAX(PSEUDONYM_FILE_MAX);
	uint64_t oldest = p->added > PSEUDONYM_KEPT ? p->added - PSEUDONYM_KEPT : 0;
	uint64_t from = p->saved > oldest ? p->saved : oldest;
	bool whole;
	int r;

	if (!p->make || p->added == p->saved)
		return 0;
	whole = p->rewrite || p->lines + (p->added - from) > LINES_MAX;
	if (whole)
		from = oldest;
	put_lines(p, from, &lines);
	r = buf_error(&lines);
	if (r == 0)
		r = whole ? replace(p, &lines) : append(p, &lines);
	if (r < 0) {
		p->rewrite = true; /* a part may stand there; and after a sync that failed a later one proves nothing */
		return FAULT(r);
	}
	p->lines = (whole ? 0 : p->lines) + (size_t)(p->added - from);
	p->saved = p->added;
	p->rewrite = false;
	return 0;
}

int
pseudonym_look(struct pseudonym *p)
{
	struct stat st;

	if (!p->make || fstatat(p->dir_fd, PSEUDONYM_KEY_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOENT)
		return FAULT(-errno);
	forget_texts(p);
	log_info("the key of pseudonyms is a new one");
	return make_key(p);
}
