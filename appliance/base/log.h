/* One log line at a time, to stderr or the journal.
 *
 * Library code uses only log_debug(); refusals are written by REFUSE(); a program logs a fault
 * once.  A secret never reaches a formatter.  Line on stderr: "<6>mainstayd: text", the level prefix
 * only where stderr is not a terminal and the journal reads it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Name the program in each line.  prog is kept, not copied.  Reads MAINSTAY_DEBUG=1. */
void log_open(const char *prog, enum log_level max);

/* Commands answer on stderr themselves: refusals then log only under MAINSTAY_DEBUG. */
void log_quiet_refusals(bool quiet);
/* Write at most so many refusals a minute (0, as at the start: all), and how many were left out when the next one is
 * written: what strangers send must not fill a disk with lines.  Each one is counted and answered all the same.  For a
 * process of one thread. */
void log_limit_refusals(unsigned a_minute);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Log the fault r once, with its trail: "DOING: No space left on device (a.c:12 f < b.c:7 g)". */
void log_fault(int r, const char *doing);

/* Copy text so that it is one harmless line: control characters, direction overrides and bytes that are
 * no UTF-8 become "\\n" or "\\x1b".  Cuts at size, always NUL-terminated.  Returns out. */
const char *log_escape(char *out, size_t size, const char *text);

/* Used by REFUSE(); nobody else. */
void log_refusal(const char *token, const char *operand, const char *place, const char *text,
	const char *file, int line);
