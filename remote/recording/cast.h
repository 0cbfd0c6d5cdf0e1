/* asciicast v2 (docs.asciinema.org/manual/asciicast/v2), as far as recordings and their replay need it: a line with the
 * header, then a line for each event.
 *
 *	{"version":2,"width":80,"height":24,"timestamp":S,"title":T,"env":{},"mainstay":{"id":ID,"n":N,"request":DIGEST}}
 *	[SECONDS, "o", TEXT]
 *	[SECONDS, "m", LABEL]
 *
 * What is read may come from anybody. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	CAST_LINE_MAX = 256 * 1024,
	CAST_TITLE_MAX = 256,
	CAST_ID_MAX = 64,
	CAST_SECONDS_MAX = 7 * 24 * 60 * 60, /* no event lies later */
};

struct cast_header {
	uint64_t timestamp;		/* seconds since 1970; 0: not told */
	char title[CAST_TITLE_MAX + 1]; /* "" where there is none; longer ones are cut */
	char id[CAST_ID_MAX + 1];	/* of ours; else "" and 0 */
	uint64_t n;
	uint8_t request[32];
};

/* Append the header's line. */
void cast_put_header(struct buf *out, const struct cast_header *h);
/* Append an event's line; text lies between quotes already (recording_text.h). */
void cast_put_event(struct buf *out, uint64_t at_us, char code, const char *text, size_t len);

/* Read one line (its end left out).  operand and line are for the refusal.  Returns 0; REASON_MALFORMED or REASON_TOO_LARGE
 * (logged) where it is no header of version 2; or a fault. */
int cast_header_read(struct cast_header *ret, const void *p, size_t len, const char *operand);

struct cast_event {
	uint64_t at_us;	  /* since the beginning */
	char code;	  /* 'o' output, 'm' marker, or another */
	const char *text; /* UTF-8, may hold controls, no NUL; borrowed from doc */
	json_t *doc;	  /* owned */
};
/* The same for an event. */
int cast_event_read(struct cast_event *ret, const void *p, size_t len, const char *operand, unsigned line);
void cast_event_done(struct cast_event *e); /* e may be { 0 } */
