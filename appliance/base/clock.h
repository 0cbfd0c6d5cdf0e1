/* Time, from one injectable source.  No other file asks the kernel what time it is. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLOCK_US_PER_S  UINT64_C(1000000)
#define CLOCK_US_PER_MS UINT64_C(1000)

enum { CLOCK_TEXT_MAX = 32 };

uint64_t clock_now_us(void);  /* wall clock, microseconds since 1970, UTC */
uint64_t clock_mono_us(void); /* CLOCK_BOOTTIME, microseconds; never goes back */

/* Tests own time: both clocks stand at these values until set again; clock_real() undoes it. */
void clock_fake(uint64_t now_us, uint64_t mono_us);
void clock_real(void);

/* "2026-11-21T20:30:00.123Z"; out has CLOCK_TEXT_MAX bytes.  Returns out. */
const char *clock_format(char *out, uint64_t us);
/* "2026-11-21T20:30:00Z", TUF's form. */
const char *clock_format_s(char *out, uint64_t us);

/* Parse RFC 3339 UTC ("…Z"), with or without a fraction of up to six digits; nothing else.
 * Returns 0 or REASON_MALFORMED without logging (the caller knows the operand). */
int clock_parse(uint64_t *ret_us, const char *text);
/* Exactly YYYY-MM-DDTHH:MM:SSZ (TUF 1.0.34, section 4.2.1). */
int clock_parse_s(uint64_t *ret_us, const char *text);

/* Parse a span: "90s", "10m", "1h", "2d", "250ms"; a bare number is seconds. */
int clock_parse_span(uint64_t *ret_us, const char *text);

/* Capped exponential backoff with full jitter: between base/2 and min(cap, base << tries). */
uint64_t clock_backoff_us(unsigned tries, uint64_t base_us, uint64_t cap_us);
