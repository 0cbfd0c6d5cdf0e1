/* Spans of the week in UTC: "08:00-18:00", "mon-fri 08:00-18:00", "sat 22:00-04:00" (ends on Sunday). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hours {
	uint8_t days;	   /* bit 0 Monday ... bit 6 Sunday: the days on which the span begins */
	uint16_t from, to; /* minutes of the day; to <= from: it ends on the next day */
};

/* false where text is no such span. */
bool hours_parse(struct hours *ret, const char *text);

bool hours_open(const struct hours *h, uint64_t now_us);

/* When the span is open next: now_us where it is now, else the moment at which it begins. */
uint64_t hours_next(const struct hours *h, uint64_t now_us);
