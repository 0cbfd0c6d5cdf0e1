/* Numbers and records as an engineer reads them on a terminal. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct buf;

enum { STORE_SHOW_WIDTH = 60 }; /* columns of a curve */

/* The values of points ([[time, value]...]) as a curve of at most STORE_SHOW_WIDTH block characters, each as much time as the
 * next, the lowest to the highest; a blank where there is none.  Of several in a column the highest is shown.  Errors stick in out. */
void store_show_curve(struct buf *out, const json_t *points);

/* A number in few characters: 12, 3.25, 4.7M. */
const char *store_show_number(char out[32], double v);

/* One log record as a line without an end: time, severity (warnings and errors in colour), service, text.  Whatever a site wrote
 * becomes harmless. */
void store_show_record(struct buf *out, const json_t *record, bool color);

/* Escape a value for a query (RFC 3986). */
void store_show_escape(struct buf *out, const char *value);
