#include "telemetry/scrape/scrape_reply.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/scrape/gunzip.h"

enum { LINE_MAX_BYTES = 256, TRAILERS_MAX = 16, TYPE_MAX = 256 };

enum state {
	ST_HEAD,
	ST_LENGTH,     /* so many bytes are left */
	ST_TO_END,     /* all that comes */
	ST_CHUNK_SIZE, /* a line */
	ST_CHUNK,      /* so many bytes are left */
	ST_CHUNK_END,  /* an empty line */
	ST_TRAILER,    /* lines, up to an empty one */
	ST_WHOLE,
};

struct scrape_reply {
	const char *what;
	enum exposition_format fallback;
	exposition_fn *fn;
	void *arg;
	enum state state;
	struct buf line; /* the head, or the line of a chunk, as far as it came */
	uint64_t left;
	size_t taken; /* of the body, as it came */
	unsigned trailers;

	/* Of the head: */
	bool has_length, chunked, gzip;
	uint64_t length;
	char type[TYPE_MAX];

	struct gunzip *gunzip;
	struct exposition *exposition;
};

int
scrape_reply_new(struct scrape_reply **ret, const char *what, enum exposition_format fallback,
	exposition_fn *fn, void *arg)
{
	struct scrape_reply *s = calloc(1, sizeof(*s));

	if (!s)
		return FAULT(-ENOMEM);
	s->what = what;
	s->fallback = fallback;
	s->fn = fn;
	s->arg = arg;
	s->line = BUF_MAX(SCRAPE_REPLY_HEAD_MAX);
	*ret = s;
	return 0;
}

struct scrape_reply *
scrape_reply_free(struct scrape_reply *s)
{
	if (!s)
		return NULL;
	buf_done(&s->line);
	gunzip_free(s->gunzip);
	exposition_free(s->exposition);
	free(s);
	return NULL;
}

size_t
scrape_reply_samples(const struct scrape_reply *s)
{
	return s->exposition ? exposition_samples(s->exposition) : 0;
}

size_t
scrape_reply_dropped(const struct scrape_reply *s)
{
	return s->exposition ? exposition_dropped(s->exposition) : 0;
}

/* --- the head ------------------------------------------------------------------------------------------------ */
static int
bad_head(const struct scrape_reply *s, const char *how)
{
	return REFUSE(REASON_MALFORMED, s->what, "its answer %s", how);
}

/* A whole number in this base, all of the text. */
static bool
whole_number(uint64_t *ret, const char *p, size_t len, unsigned base)
{
	uint64_t v = 0;

	if (len == 0 || len > 15)
		return false;
	for (; len > 0; p++, len--) {
		const char *digits = "0123456789abcdef", *at = memchr(digits, *p | 0x20, base);

		if (!at)
			return false;
		v = v * base + (uint64_t)(at - digits);
	}
	*ret = v;
	return true;
}

static bool
is_word(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

static int
take_field(struct scrape_reply *s, const char *name, size_t name_len, const char *v, size_t len)
{
	if (is_word(name, name_len, "content-length")) {
		uint64_t length;

		if (!whole_number(&length, v, len, 10) || (s->has_length && s->length != length))
			return bad_head(s, "has no good Content-Length");
		s->has_length = true;
		s->length = length;
	} else if (is_word(name, name_len, "transfer-encoding")) {
		if (!is_word(v, len, "chunked") || s->chunked)
			return bad_head(s, "has a Transfer-Encoding that is not chunked");
		s->chunked = true;
	} else if (is_word(name, name_len, "content-encoding")) {
		s->gzip = is_word(v, len, "gzip");
		if (!s->gzip && !is_word(v, len, "identity"))
			return bad_head(s, "has a Content-Encoding that was not asked for");
	} else if (is_word(name, name_len, "content-type") && len < sizeof(s->type)) {
		memcpy(s->type, v, len);
		s->type[len] = '\0';
	}
	return 0;
}

/* "Name: value", without the line's end. */
static int
take_line(struct scrape_reply *s, const char *p, size_t len)
{
	const char *colon = memchr(p, ':', len);
	size_t name_len = colon ? (size_t)(colon - p) : 0;
	const char *v = colon ? colon + 1 : NULL, *end = p + len;

	if (name_len == 0 || memchr(p, ' ', name_len) || memchr(p, '\t', name_len) ||
		memchr(p, '\0', len))
		return bad_head(s, "has a header field of no good form");
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return take_field(s, p, name_len, v, (size_t)(end - v));
}

static int
take_status(struct scrape_reply *s, const char *p, size_t len)
{
	uint64_t status;

	if (len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') ||
		p[8] != ' ' || !whole_number(&status, p + 9, 3, 10) || (len > 12 && p[12] != ' '))
		return bad_head(s, "is none of HTTP/1");
	if (status != 200)
		return REFUSE(REASON_UNREACHABLE, s->what, "it answered %llu, not 200%s",
			(unsigned long long)status,
			status / 100 == 3 ? "; no redirect is followed" : "");
	return 0;
}

/* What the fields say together. */
static int
begin_body(struct scrape_reply *s)
{
	enum exposition_format format;

	if (s->chunked && s->has_length)
		return bad_head(s, "has both Content-Length and chunks");
	if (exposition_format_of(&format, s->type) != 0) {
		format = s->fallback;
		if (format == EXPOSITION_MAX)
			return REFUSE(REASON_MALFORMED, s->what,
				"it shows Content-Type \"%.100s\", which is no exposition%s",
				s->type, *s->type ? "" : " (it may be named: fallback)");
	}
	if (s->has_length && s->length > SCRAPE_REPLY_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, s->what, "it shows more than 10 MiB");
	s->left = s->length;
	s->state = s->chunked ? ST_CHUNK_SIZE : s->has_length ? ST_LENGTH : ST_TO_END;
	return exposition_new(&s->exposition, format, s->what, s->fn, s->arg);
}

/* The line's end within the rest of the head; NULL: there is none. */
static const char *
line_end(const char *p, const char *all, size_t *ret_len)
{
	const char *end = memchr(p, '\n', (size_t)(all - p));

	if (end)
		*ret_len = (size_t)(end - p) - (end > p && end[-1] == '\r');
	return end;
}

static int
take_head(struct scrape_reply *s)
{
	const char *p = (const char *)s->line.data, *all = p + s->line.len, *end;
	size_t len = 0;
	bool first = true;
	int r = 0;

	for (; r == 0 && (end = line_end(p, all, &len)); p = end + 1, first = false) {
		if (first)
			r = take_status(s, p, len);
		else if (len > 0)
			r = take_line(s, p, len);
	}
	return r ?: begin_body(s);
}

/* How much of p belongs to the head: up to an empty line, all where there is none. */
static size_t
head_part(const struct scrape_reply *s, const char *p, size_t len, bool *ret_whole)
{
	char before = s->line.len > 0 ? (char)s->line.data[s->line.len - 1] : 0;
	char earlier = s->line.len > 1 ? (char)s->line.data[s->line.len - 2] : 0;

	*ret_whole = false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n' && (before == '\n' || (before == '\r' && earlier == '\n'))) {
			*ret_whole = true;
			return i + 1;
		}
		earlier = before;
		before = p[i];
	}
	return len;
}

/* --- the body --------------------------------------------------------------------------------------------------- */
static int
unpacked(char *p, size_t len, void *arg)
{
	struct scrape_reply *s = arg;

	return exposition_feed(s->exposition, p, len);
}

static int
take_body(struct scrape_reply *s, char *p, size_t len)
{
	int r = 0;

	s->taken += len;
	if (s->taken > SCRAPE_REPLY_BODY_MAX)
		return REFUSE(REASON_TOO_LARGE, s->what, "it shows more than 10 MiB");
	if (!s->gzip)
		return exposition_feed(s->exposition, p, len);
	if (!s->gunzip)
		r = gunzip_new(&s->gunzip, s->what, SCRAPE_REPLY_BODY_MAX, unpacked, s);
	return r ?: gunzip_feed(s->gunzip, p, len);
}

static int
whole(struct scrape_reply *s)
{
	int r = s->gunzip ? gunzip_end(s->gunzip)
		: s->gzip ? bad_head(s, "has a gzip of nothing")
			  : 0;

	s->state = ST_WHOLE;
	r = r ?: exposition_end(s->exposition);
	return r ?: SCRAPE_REPLY_WHOLE;
}

/* A line of the chunks' own, without its end. */
static int
chunk_line(struct scrape_reply *s, const char *p, size_t len)
{
	const char *more = memchr(p, ';', len);
	size_t digits = more ? (size_t)(more - p) : len;

	if (s->state == ST_CHUNK_END) {
		s->state = ST_CHUNK_SIZE;
		return len == 0 ? 0 : bad_head(s, "has a chunk that is longer than it says");
	}
	if (s->state == ST_TRAILER)
		return len == 0			       ? whole(s)
			: ++s->trailers > TRAILERS_MAX ? bad_head(s, "has too many trailers")
						       : 0;
	while (digits > 0 && (p[digits - 1] == ' ' || p[digits - 1] == '\t'))
		digits--;
	if (!whole_number(&s->left, p, digits, 16))
		return bad_head(s, "has a chunk of no good size");
	s->state = s->left > 0 ? ST_CHUNK : ST_TRAILER;
	return 0;
}

/* Up to the line's end.  Returns how much was taken, with the result. */
static size_t
feed_line(struct scrape_reply *s, const char *p, size_t len, int *ret)
{
	const char *end = memchr(p, '\n', len);
	size_t n = end ? (size_t)(end - p) + 1 : len, line_len;

	if (s->line.len + n > LINE_MAX_BYTES) {
		*ret = bad_head(s, "has a line between chunks that is too long");
		return n;
	}
	buf_put(&s->line, p, n);
	*ret = FAULT(buf_error(&s->line));
	if (end && *ret == 0) {
		line_len = s->line.len - 1;
		line_len -= line_len > 0 && s->line.data[line_len - 1] == '\r';
		*ret = chunk_line(s, (const char *)s->line.data, line_len);
		buf_reset(&s->line);
	}
	return n;
}

static size_t
feed_head(struct scrape_reply *s, const char *p, size_t len, int *ret)
{
	bool all;
	size_t n = head_part(s, p, len, &all);

	buf_put(&s->line, p, n);
	if (buf_error(&s->line) == -EMSGSIZE)
		*ret = REFUSE(REASON_TOO_LARGE, s->what, "its answer's head is longer than 16 KiB");
	else if (buf_error(&s->line) != 0)
		*ret = FAULT(buf_error(&s->line));
	else if (all)
		*ret = take_head(s);
	if (all)
		buf_reset(&s->line);
	return n;
}

static size_t
feed_bytes(struct scrape_reply *s, char *p, size_t len, int *ret)
{
	size_t n = s->state != ST_TO_END && s->left < len ? (size_t)s->left : len;

	*ret = take_body(s, p, n);
	s->left -= s->state == ST_TO_END ? 0 : n;
	if (*ret == 0 && s->left == 0 && s->state == ST_CHUNK)
		s->state = ST_CHUNK_END;
	return n;
}

int
scrape_reply_feed(struct scrape_reply *s, char *p, size_t len)
{
	int r = 0;

	while (r == 0 && len > 0) {
		size_t n;

		if (s->state == ST_HEAD)
			n = feed_head(s, p, len, &r);
		else if (s->state == ST_LENGTH || s->state == ST_TO_END || s->state == ST_CHUNK)
			n = feed_bytes(s, p, len, &r);
		else
			n = feed_line(s, p, len, &r);
		p += n;
		len -= n;
		if (r == 0 && s->state == ST_LENGTH && s->left == 0)
			r = whole(s);
	}
	/* What stands behind an answer is of no question of ours. */
	return r < 0 ? FAULT(r) : r;
}

int
scrape_reply_close(struct scrape_reply *s)
{
	if (s->state == ST_TO_END)
		return whole(s);
	return REFUSE(REASON_MALFORMED, s->what, "its answer ends too early");
}
