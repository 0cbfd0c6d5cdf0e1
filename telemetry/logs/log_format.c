#include "telemetry/logs/log_format.h"

#include <string.h>
#include <strings.h>

#include "appliance/base/scope.h"
#include "telemetry/logs/log_time.h"
#include "telemetry/otlp/otlp.h"

/* OTLP's severities between its round ones, as its data model maps the levels of syslog. */
enum {
	SEVERITY_TRACE = 1,
	SEVERITY_DEBUG = 5,
	SEVERITY_NOTICE = OTLP_SEVERITY_INFO + 1,
	SEVERITY_CRITICAL = OTLP_SEVERITY_ERROR + 1,
	SEVERITY_ALERT = OTLP_SEVERITY_ERROR + 2,
};

/* A word up to a byte that is no letter. */
static unsigned
level_of(const char *p, size_t len)
{
	static const struct {
		const char *word;
		unsigned severity;
	} levels[] = {
		{ "info", OTLP_SEVERITY_INFO },
		{ "warn", OTLP_SEVERITY_WARN },
		{ "warning", OTLP_SEVERITY_WARN },
		{ "error", OTLP_SEVERITY_ERROR },
		{ "debug", SEVERITY_DEBUG },
		{ "log", OTLP_SEVERITY_INFO },
		{ "notice", SEVERITY_NOTICE },
		{ "err", OTLP_SEVERITY_ERROR },
		{ "trace", SEVERITY_TRACE },
		{ "fatal", OTLP_SEVERITY_FATAL },
		{ "crit", SEVERITY_CRITICAL },
		{ "critical", SEVERITY_CRITICAL },
		{ "alert", SEVERITY_ALERT },
		{ "emerg", OTLP_SEVERITY_FATAL },
		{ "panic", OTLP_SEVERITY_FATAL },
		{ "inf", OTLP_SEVERITY_INFO },
		{ "wrn", OTLP_SEVERITY_WARN },
		{ "dbg", SEVERITY_DEBUG },
		{ "trc", SEVERITY_TRACE },
		{ "ftl", OTLP_SEVERITY_FATAL },
		{ "debug1", SEVERITY_DEBUG },
		{ "debug2", SEVERITY_DEBUG },
		{ "debug3", SEVERITY_DEBUG },
		{ "debug4", SEVERITY_DEBUG },
		{ "debug5", SEVERITY_DEBUG },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(levels); i++)
		if (strlen(levels[i].word) == len && strncasecmp(levels[i].word, p, len) == 0)
			return levels[i].severity;
	return 0;
}

unsigned
log_format_severity(unsigned level)
{
	static const unsigned severities[] = { OTLP_SEVERITY_FATAL, SEVERITY_ALERT,
		SEVERITY_CRITICAL, OTLP_SEVERITY_ERROR, OTLP_SEVERITY_WARN, SEVERITY_NOTICE,
		OTLP_SEVERITY_INFO, SEVERITY_DEBUG };

	return severities[level & 7];
}

static void
skip_spaces(struct log_scan *in)
{
	while (in->p < in->end && *in->p == ' ')
		in->p++;
}

/* --- one function for each form ---------------------------------------------------------------------- */
static void
read_syslog(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	struct log_scan after;
	uint64_t priority;

	if (log_time_char(&in, '<')) {
		if (!log_time_number(&in, 1, 3, &priority) || priority > 191 ||
			!log_time_char(&in, '>'))
			return;
		ret->severity = log_format_severity((unsigned)priority);
		after = in;
		if (log_time_char(&after, '1') && log_time_char(&after, ' '))
			in = after;
	}
	if (!log_time_rfc3339(&in, now->zone_s, &ret->time_us))
		(void)log_time_syslog(&in, now->us, now->zone_s, &ret->time_us);
}

static void
read_nginx(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	const char *open, *close, *quote;
	uint64_t status;

	/* 2026/11/22 08:00:00 [error] 7#7: *1 ... */
	if (log_time_slashes(&in, now->zone_s, &ret->time_us)) {
		skip_spaces(&in);
		if (!log_time_char(&in, '['))
			return;
		close = memchr(in.p, ']', (size_t)(in.end - in.p));
		if (close)
			ret->severity = level_of(in.p, (size_t)(close - in.p));
		return;
	}
	/* ADDRESS - USER [22/Nov/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 ... */
	open = in.p < in.end ? memchr(in.p, '[', (size_t)(in.end - in.p)) : NULL;
	if (!open)
		return;
	in.p = open + 1;
	if (!log_time_clf(&in, &ret->time_us) || !log_time_char(&in, ']') ||
		!log_time_char(&in, ' ') || !log_time_char(&in, '"'))
		return;
	/* nginx writes a quote in the request as \x22, so the next one ends it. */
	quote = memchr(in.p, '"', (size_t)(in.end - in.p));
	if (!quote)
		return;
	in.p = quote + 1;
	if (log_time_char(&in, ' ') && log_time_number(&in, 3, 3, &status))
		ret->severity = status >= 500 ? OTLP_SEVERITY_ERROR
			: status >= 400	      ? OTLP_SEVERITY_WARN
					      : OTLP_SEVERITY_INFO;
}

/* 2026-11-22 08:00:00.123 UTC [77] user@db LOG:  ... : the first word before ":  " that is a level. */
static void
read_postgresql(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	enum { PREFIX_MAX = 256 };
	const char *p, *end, *word;

	if (!log_time_rfc3339(&in, now->zone_s, &ret->time_us))
		return;
	end = in.end - in.p > PREFIX_MAX ? in.p + PREFIX_MAX : in.end;
	for (p = in.p; p < end && (p = memchr(p, ':', (size_t)(end - p))); p++) {
		if (end - p < 3 || p[1] != ' ' || p[2] != ' ')
			continue;
		for (word = p; word > in.p && word[-1] != ' '; word--)
			;
		ret->severity = level_of(word, (size_t)(p - word));
		return;
	}
}

/* 77:M 22 Nov 2026 08:00:00.123 * Ready */
static void
read_redis(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	uint64_t pid;

	if (!log_time_number(&in, 1, 10, &pid) || !log_time_char(&in, ':') || in.p == in.end)
		return;
	in.p++; /* the role: a letter */
	if (!log_time_char(&in, ' ') || !log_time_redis(&in, now->zone_s, &ret->time_us) ||
		!log_time_char(&in, ' ') || in.p == in.end)
		return;
	switch (*in.p) {
	case '#':
		ret->severity = OTLP_SEVERITY_WARN;
		break;
	case '*':
		ret->severity = OTLP_SEVERITY_INFO;
		break;
	case '-':
	case '.':
		ret->severity = SEVERITY_DEBUG;
		break;
	default:
		break;
	}
}

/* [77] 2026/11/22 08:00:00.123456 [INF] ... */
static void
read_nats(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	const char *close;
	uint64_t pid;

	if (log_time_char(&in, '[') &&
		(!log_time_number(&in, 1, 10, &pid) || !log_time_char(&in, ']') ||
			!log_time_char(&in, ' ')))
		return;
	if (!log_time_slashes(&in, now->zone_s, &ret->time_us))
		return;
	skip_spaces(&in);
	if (!log_time_char(&in, '['))
		return;
	close = memchr(in.p, ']', (size_t)(in.end - in.p));
	if (close)
		ret->severity = level_of(in.p, (size_t)(close - in.p));
}

/* --- JSON: the members of the outermost object, read past without building anything -------------------------- */
/* A string's inside, from behind its quote; escapes are skipped, not decoded: no key and no level has any. */
static bool
json_text(struct log_scan *in, const char **ret, size_t *ret_len)
{
	const char *from = in->p;

	while (in->p < in->end && *in->p != '"')
		in->p += *in->p == '\\' && in->end - in->p > 1 ? 2 : 1;
	if (in->p >= in->end)
		return false;
	*ret = from;
	*ret_len = (size_t)(in->p - from);
	in->p++;
	return true;
}

/* Past a value that is no string, to the comma or brace that ends it. */
static bool
json_skip(struct log_scan *in)
{
	unsigned depth = 0;
	const char *text;
	size_t len;

	while (in->p < in->end) {
		switch (*in->p) {
		case '"':
			in->p++;
			if (!json_text(in, &text, &len))
				return false;
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (depth == 0)
				return true;
			depth--;
			break;
		case ',':
			if (depth == 0)
				return true;
			break;
		default:
			break;
		}
		in->p++;
	}
	return false;
}

struct json_name {
	const char *text;
	size_t len;
};

#define NAME(literal) { literal, sizeof(literal) - 1 }

static bool
is_one_of(const char *key, size_t len, const struct json_name *names)
{
	for (; names->text; names++)
		if (names->len == len && memcmp(names->text, key, len) == 0)
			return true;
	return false;
}

static void
json_member(const char *key, size_t key_len, struct log_scan value, bool text,
	const struct log_now *now, struct log_stamp *ret)
{
	static const struct json_name times[] = { NAME("time"), NAME("timestamp"), NAME("ts"), NAME("@timestamp"),
		NAME("t"), { 0 } };
	static const struct json_name levels[] = { NAME("level"), NAME("severity"), NAME("lvl"), NAME("log.level"),
		{ 0 } };

	if (ret->time_us == 0 && is_one_of(key, key_len, times)) {
		if (!text || !log_time_rfc3339(&value, now->zone_s, &ret->time_us))
			(void)log_time_epoch(&value, &ret->time_us);
	} else if (text && ret->severity == 0 && is_one_of(key, key_len, levels)) {
		ret->severity = level_of(value.p, (size_t)(value.end - value.p));
	}
}

static void
read_json(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	const char *key, *from;
	size_t key_len, len;

	skip_spaces(&in);
	if (!log_time_char(&in, '{'))
		return;
	while (ret->time_us == 0 || ret->severity == 0) {
		skip_spaces(&in);
		if (!log_time_char(&in, '"') || !json_text(&in, &key, &key_len))
			return;
		skip_spaces(&in);
		if (!log_time_char(&in, ':'))
			return;
		skip_spaces(&in);
		if (log_time_char(&in, '"')) {
			if (!json_text(&in, &from, &len))
				return;
			json_member(key, key_len, (struct log_scan){ from, from + len, now->seen }, true,
				now, ret);
		} else {
			from = in.p;
			if (!json_skip(&in))
				return;
			json_member(key, key_len, (struct log_scan){ from, in.p, NULL }, false, now, ret);
		}
		skip_spaces(&in);
		if (!log_time_char(&in, ','))
			return;
	}
}

static void
read_nothing(struct log_scan in, const struct log_now *now, struct log_stamp *ret)
{
	(void)in;
	(void)now;
	(void)ret;
}

static const struct {
	const char *name;
	void (*read)(struct log_scan in, const struct log_now *now, struct log_stamp *ret);
	bool continues;
} formats[LOG_FORMAT_MAX] = {
	[LOG_FORMAT_PLAIN] = { "plain", read_nothing, false },
	[LOG_FORMAT_JSON] = { "json", read_json, false },
	[LOG_FORMAT_SYSLOG] = { "syslog", read_syslog, false },
	[LOG_FORMAT_NGINX] = { "nginx", read_nginx, false },
	[LOG_FORMAT_POSTGRESQL] = { "postgresql", read_postgresql, true },
	[LOG_FORMAT_REDIS] = { "redis", read_redis, false },
	[LOG_FORMAT_NATS] = { "nats", read_nats, false },
};

enum log_format
log_format_of(const char *text)
{
	enum log_format f;

	for (f = 0; f < LOG_FORMAT_MAX && strcmp(formats[f].name, text) != 0; f++)
		;
	return f;
}

bool
log_format_continues(enum log_format format)
{
	return formats[format].continues;
}

struct log_stamp
log_format_read(enum log_format format, const void *line, size_t len, const struct log_now *now)
{
	struct log_stamp stamp = { 0 };
	const char *p = line;

	if (len > 0)
		formats[format].read((struct log_scan){ p, p + len, now->seen }, now, &stamp);
	return stamp;
}
