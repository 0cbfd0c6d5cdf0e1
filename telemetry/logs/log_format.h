/* What a line of a known program says of its own time and severity.
 *
 * Every byte is the program's, or whoever makes it write; nothing here allocates, keeps state or refuses: what
 * cannot be read is unknown, and the line leaves as it stands. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_time_seen;

enum log_format {
	LOG_FORMAT_PLAIN, /* nothing is known */
	LOG_FORMAT_JSON, /* one object a line: time|timestamp|ts|@timestamp|t, level|severity|lvl|log.level */
	LOG_FORMAT_SYSLOG,     /* RFC 3164 and 5424, with or without <PRI> */
	LOG_FORMAT_NGINX,      /* access (combined) and error */
	LOG_FORMAT_POSTGRESQL, /* log_line_prefix '%m [%p] ...'; lines that begin with a tab go on */
	LOG_FORMAT_REDIS,
	LOG_FORMAT_NATS,
	LOG_FORMAT_MAX
};

/* By its name in a definition and in mainstay.yaml; LOG_FORMAT_MAX where there is none of it. */
enum log_format log_format_of(const char *text);
/* A line that begins with a tab belongs to the record before it. */
bool log_format_continues(enum log_format format);

/* When is now, for what a line leaves out. */
struct log_now {
	uint64_t us;
	int32_t zone_s; /* east of UTC; of lines that name no zone */
	struct log_time_seen *seen; /* kept by the caller from line to line; NULL: each is read by itself */
};

struct log_stamp {
	uint64_t time_us;  /* 0: unknown */
	unsigned severity; /* OTLP's 1..24; 0: unknown */
};

/* One line, without its end. */
struct log_stamp log_format_read(enum log_format format, const void *line, size_t len,
	const struct log_now *now);

/* OTLP's severity of syslog's, 0 emergency .. 7 debug. */
unsigned log_format_severity(unsigned level);
