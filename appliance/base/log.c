#include "appliance/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION /* the refusal's site is sent by hand */
#include <systemd/sd-journal.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"

enum {
	LINE_MAX_BYTES = 2048,
	TEXT_MAX_BYTES = 1536,
};

static struct {
	const char *prog;
	_Atomic int max;
	_Atomic bool quiet_refusals;
	bool journal; /* stderr is a stream of the journal */
	bool prefix;  /* write "<6>" */
	struct {
		unsigned a_minute; /* 0: no limit */
		unsigned n;	   /* written in this one */
		uint64_t left_out, since_us;
	} limit;
} state = { .prog = "mainstay", .max = LOG_LEVEL_INFO };

/* systemd names the stream's device and inode, so that a child with another stderr is not fooled. */
static bool
stderr_is_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	if (!env || sscanf(env, "%ju:%ju", &dev, &ino) != 2 || fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == (dev_t)dev && st.st_ino == (ino_t)ino;
}

void
log_open(const char *prog, enum log_level max)
{
	const char *debug = getenv("MAINSTAY_DEBUG");

	state.prog = prog;
	state.max = debug && strcmp(debug, "1") == 0 ? LOG_LEVEL_DEBUG : max;
	state.journal = stderr_is_journal();
	state.prefix = getenv("JOURNAL_STREAM") && !isatty(STDERR_FILENO);
}

void
log_limit_refusals(unsigned a_minute)
{
	state.limit.a_minute = a_minute;
	state.limit.n = 0;
	state.limit.left_out = 0;
	state.limit.since_us = clock_mono_us();
}

void
log_quiet_refusals(bool quiet)
{
	state.quiet_refusals = quiet;
}

/* The length of the well-formed UTF-8 sequence at p, or 0; *ret is its code point. */
static size_t
utf8_at(const unsigned char *p, uint32_t *ret)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c;

	if (len == 1) {
		*ret = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	c = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

static bool
is_harmless(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	if (c == 0x061c || c == 0xfeff || (c >= 0x200b && c <= 0x200f))
		return false; /* invisible marks */
	return !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

const char *
log_escape(char *out, size_t size, const char *text)
{
	const unsigned char *p = (const unsigned char *)(text ? text : "");
	size_t at = 0;

	if (size == 0)
		return out;
	while (*p) {
		uint32_t c = 0;
		size_t len = utf8_at(p, &c);
		char piece[20];
		size_t n = 0;

		if (len > 0 && is_harmless(c)) {
			memcpy(piece, p, len);
			n = len;
		} else if (*p == '\n' || *p == '\t') {
			n = (size_t)snprintf(piece, sizeof(piece), "\\%c", *p == '\n' ? 'n' : 't');
		} else {
			for (size_t i = 0; i < (len ? len : 1); i++)
				n += (size_t)snprintf(piece + n, sizeof(piece) - n, "\\x%02x",
					p[i]);
		}
		if (at + n >= size)
			break;
		memcpy(out + at, piece, n);
		at += n;
		p += len ? len : 1;
	}
	out[at] = '\0';
	return out;
}

/* One write for one line, so that lines of several processes do not mix. */
static void
write_line(enum log_level level, const char *line)
{
	char out[LINE_MAX_BYTES];
	size_t len;
	int n;

	if (state.prefix)
		n = snprintf(out, sizeof(out), "<%d>%s: %s", (int)level, state.prog, line);
	else
		n = snprintf(out, sizeof(out), "%s: %s", state.prog, line);
	if (n < 0)
		return;
	len = (size_t)n < sizeof(out) - 1 ? (size_t)n : sizeof(out) - 2;
	out[len++] = '\n';
	for (size_t at = 0; at < len;) {
		ssize_t w = write(STDERR_FILENO, out + at, len - at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return; /* a log that cannot be written must not stop the program */
		at += (size_t)w;
	}
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	char text[TEXT_MAX_BYTES], line[TEXT_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if ((int)level > state.max)
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) >= 0)
		write_line(level, log_escape(line, sizeof(line), text));
	va_end(ap);
	errno = saved;
}

void
log_fault(int r, const char *doing)
{
	const char *what = r < 0 ? strerrordesc_np(-r) : NULL;
	char trail[1024];

	fault_take(trail, sizeof(trail));
	log_error("%s: %s%s%s%s", doing, what ? what : "unknown error", trail[0] ? " (" : "", trail,
		trail[0] ? ")" : "");
}

static bool
is_too_much(void)
{
	uint64_t now = clock_mono_us(), left_out = state.limit.left_out;

	if (!state.limit.a_minute || state.max >= LOG_LEVEL_DEBUG)
		return false;
	if (now - state.limit.since_us >= 60 * CLOCK_US_PER_S) {
		state.limit.since_us = now;
		state.limit.n = 0;
		state.limit.left_out = 0;
		if (left_out)
			log_warning("%" PRIu64 " more refusals were not written down one by one", left_out);
	}
	if (state.limit.n < state.limit.a_minute) {
		state.limit.n++;
		return false;
	}
	state.limit.left_out++;
	return true;
}

/* The journal's own protocol carries the token as a field of its own. */
static bool
send_refusal(const char *token, const char *operand, const char *message, const char *file,
	int line)
{
	return sd_journal_send("MESSAGE=%s", message, "PRIORITY=%d", LOG_LEVEL_WARNING,
		       "SYSLOG_IDENTIFIER=%s", state.prog, "MAINSTAY_REASON=%s", token,
		       "MAINSTAY_OPERAND=%s", operand, "CODE_FILE=%s", file, "CODE_LINE=%d", line,
		       NULL) == 0;
}

void
log_refusal(const char *token, const char *operand, const char *place, const char *text,
	const char *file, int line)
{
	char what[384], where[640], said[1100], message[LINE_MAX_BYTES];

	if ((state.quiet_refusals && state.max < LOG_LEVEL_DEBUG) || is_too_much())
		return;
	log_escape(what, sizeof(what), operand);
	log_escape(where, sizeof(where), place);
	log_escape(said, sizeof(said), text);
	(void)snprintf(message, sizeof(message), "%s%s%s%s%s [%s] (%s:%d)", where,
		where[0] ? ": " : "", what, what[0] ? ": " : "", said, token, file, line);
	if (state.journal && send_refusal(token, what, message, file, line))
		return;
	write_line(LOG_LEVEL_WARNING, message);
}
