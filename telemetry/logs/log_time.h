/* The times of log lines, in the forms that programs write them.  Each takes what it reads off the scan and
 * returns true, or leaves the scan as it was.  Years 1970 to 2200; what names a zone is in it, else in zone_s. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_TIME_SEEN_MAX = 32 };

/* The second that was read last, for the many lines that begin with the same.  Begun with { 0 }, and again wherever zone_s
 * or now_us changes. */
struct log_time_seen {
	char text[LOG_TIME_SEEN_MAX];
	uint8_t len, form;
	int64_t s;
};

struct log_scan {
	const char *p, *end;
	struct log_time_seen *seen; /* NULL: nobody keeps it */
};

bool log_time_char(struct log_scan *in, char c);
/* least to most digits. */
bool log_time_number(struct log_scan *in, unsigned least, unsigned most, uint64_t *ret);

/* 2026-11-22T08:00:00[.123][Z|+01:00|+0100| UTC| GMT]; a blank or t may stand for T, a comma for the point. */
bool log_time_rfc3339(struct log_scan *in, int32_t zone_s, uint64_t *ret_us);
/* Nov 22 08:00:00: of the year that puts it nearest before tomorrow. */
bool log_time_syslog(struct log_scan *in, uint64_t now_us, int32_t zone_s, uint64_t *ret_us);
/* 2026/11/22 08:00:00[.123456] */
bool log_time_slashes(struct log_scan *in, int32_t zone_s, uint64_t *ret_us);
/* 22/Nov/2026:08:00:00 +0000 */
bool log_time_clf(struct log_scan *in, uint64_t *ret_us);
/* 22 Nov 2026 08:00:00[.123] */
bool log_time_redis(struct log_scan *in, int32_t zone_s, uint64_t *ret_us);
/* Seconds (with a fraction), milli-, micro- or nanoseconds since 1970, by how large it is. */
bool log_time_epoch(struct log_scan *in, uint64_t *ret_us);
