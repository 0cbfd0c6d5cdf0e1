/* What a recorded program wrote, made fit for the terminal of whoever looks at it: text, line ends, tabs and colours.
 * Everything else that a terminal would act on (it could retype, rename, answer, clear, hide) is shown as what it is:
 * ESC as ^[, other controls as ^X or <U+0085>, a return alone as a line end, characters that turn the reading direction
 * by number. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

enum { REPLAY_COLOUR_MAX = 32 }; /* bytes of a colour's numbers */

/* Begin with { 0 }. */
struct replay_filter {
	enum { REPLAY_TEXT, REPLAY_RETURN, REPLAY_ESCAPE, REPLAY_COLOUR } state;
	char numbers[REPLAY_COLOUR_MAX];
	size_t n;
	bool coloured;
};

/* Append text (UTF-8) so that it may be shown; sequences may go on in the next one. */
void replay_filter_put(struct replay_filter *f, const char *text, struct buf *out);
/* The end: what was held back, and colours as before. */
void replay_filter_end(struct replay_filter *f, struct buf *out);
