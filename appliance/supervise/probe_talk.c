#include "appliance/supervise/probe_talk.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/scope.h"

enum {
	POSTGRES_VERSION = 3 << 16,
	POSTGRES_HEAD = 5, /* type and length */
	POSTGRES_MESSAGE_MAX = 30000,
	STATUS_LINE_MIN = 12, /* "HTTP/1.1 200" */
};

/* --- asking ----------------------------------------------------------------------------------- */
static void
put_u32(uint8_t out[4], size_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void
put_text0(struct buf *out, const char *text)
{
	buf_put(out, text, strlen(text) + 1);
}

static int
ask_postgres(struct buf *out, const struct spec *spec)
{
	SCOPED(buf_done) struct buf body = BUF_MAX(512);
	uint8_t head[8];

	put_text0(&body, "user");
	put_text0(&body, *spec->user ? spec->user : "postgres");
	put_text0(&body, "database");
	put_text0(&body, *spec->database ? spec->database : "postgres");
	put_text0(&body, "");
	put_u32(head, sizeof(head) + body.len);
	put_u32(head + 4, POSTGRES_VERSION);
	buf_put(out, head, sizeof(head));
	buf_put(out, body.data, body.len);
	return FAULT(buf_error(&body) ?: buf_error(out));
}

int
probe_talk_ask(struct buf *out, const struct spec *spec)
{
	switch (spec->health) {
	case SPEC_HEALTH_RESP:
		buf_printf(out, "*1\r\n$4\r\nPING\r\n");
		break;
	case SPEC_HEALTH_HTTP:
		buf_printf(out,
			"GET %s HTTP/1.0\r\nHost: localhost\r\nUser-Agent: mainstay\r\n"
			"Accept: */*\r\nConnection: close\r\n\r\n",
			spec->path);
		break;
	case SPEC_HEALTH_POSTGRES:
		return ask_postgres(out, spec);
	default:
		break;
	}
	return FAULT(buf_error(out));
}

/* --- judging ---------------------------------------------------------------------------------- */
static bool
begins(const uint8_t *p, size_t len, const char *with)
{
	size_t n = strlen(with);

	return len >= n && !memcmp(p, with, n);
}

static enum probe_talk
judge_resp(const uint8_t *p, size_t len)
{
	if (begins(p, len, "+PONG\r\n"))
		return PROBE_TALK_WELL;
	if (!memmem(p, len, "\r\n", 2))
		return PROBE_TALK_MORE;
	/* A server that wants a password is one that answers. */
	return begins(p, len, "-NOAUTH ") ? PROBE_TALK_WELL : PROBE_TALK_ILL;
}

static bool
is_status(const char *text)
{
	return strlen(text) == 3 && isdigit((unsigned char)text[0]) &&
		isdigit((unsigned char)text[1]) && isdigit((unsigned char)text[2]);
}

static enum probe_talk
judge_http(const struct spec *spec, const uint8_t *p, size_t len)
{
	const uint8_t *end = memchr(p, '\n', len);
	char status[4] = "";

	if (!end)
		return PROBE_TALK_MORE;
	if (end - p < STATUS_LINE_MIN || !begins(p, len, "HTTP/1.") || !isdigit(p[7]) ||
		p[8] != ' ' || !memchr(" \r\n", p[12], 3))
		return PROBE_TALK_ILL;
	memcpy(status, p + 9, 3);
	if (!is_status(status))
		return PROBE_TALK_ILL;
	if (is_status(spec->expect))
		return strcmp(spec->expect, status) ? PROBE_TALK_ILL : PROBE_TALK_WELL;
	if (status[0] != '2')
		return PROBE_TALK_ILL;
	if (!*spec->expect || memmem(p, len, spec->expect, strlen(spec->expect)))
		return PROBE_TALK_WELL;
	return PROBE_TALK_MORE;
}

/* The SQLSTATE among the fields of an error: each a letter and text that ends with NUL. */
static const char *
sqlstate(const uint8_t *p, size_t len)
{
	while (len > 1 && *p) {
		const uint8_t *end = memchr(p, '\0', len);

		if (!end)
			return NULL;
		if (*p == 'C')
			return (const char *)p + 1;
		len -= (size_t)(end + 1 - p);
		p = end + 1;
	}
	return NULL;
}

static enum probe_talk
judge_postgres(const uint8_t *p, size_t len)
{
	size_t size;
	const char *code;

	if (len > 0 && p[0] != 'R' && p[0] != 'E')
		return PROBE_TALK_ILL;
	if (len < POSTGRES_HEAD)
		return PROBE_TALK_MORE;
	size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (size < 8 || size > POSTGRES_MESSAGE_MAX)
		return PROBE_TALK_ILL;
	if (p[0] == 'R')
		return PROBE_TALK_WELL;
	code = sqlstate(p + POSTGRES_HEAD, (len < size + 1 ? len : size + 1) - POSTGRES_HEAD);
	if (!code)
		return len < size + 1 ? PROBE_TALK_MORE : PROBE_TALK_ILL;
	return !strncmp(code, "28", 2) || !strncmp(code, "3D", 2) ? PROBE_TALK_WELL
								  : PROBE_TALK_ILL;
}

enum probe_talk
probe_talk_judge(const struct spec *spec, const void *answer, size_t len, bool ended)
{
	enum probe_talk says;

	if (len > PROBE_TALK_MAX)
		len = PROBE_TALK_MAX;
	switch (spec->health) {
	case SPEC_HEALTH_RESP:
		says = judge_resp(answer, len);
		break;
	case SPEC_HEALTH_HTTP:
		says = judge_http(spec, answer, len);
		break;
	case SPEC_HEALTH_POSTGRES:
		says = judge_postgres(answer, len);
		break;
	default:
		says = PROBE_TALK_WELL; /* it accepted */
		break;
	}
	if (says == PROBE_TALK_MORE && (ended || len == PROBE_TALK_MAX))
		return PROBE_TALK_ILL;
	return says;
}
