/* What the files of the parser share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/buf.h"
#include "telemetry/otlp/otlp.h"
#include "telemetry/scrape/exposition.h"
#include "telemetry/scrape/exposition_group.h"
#include "telemetry/scrape/exposition_line.h"
#include "telemetry/scrape/exposition_seen.h"

struct family {
	bool open;
	char name[EXPOSITION_NAME_MAX + 1];
	size_t len, unit_len; /* a unit is the name's end */
	enum exposition_type type;
	bool has_type, has_help, has_unit;
	size_t lines; /* of samples */
};

struct exposition {
	enum exposition_format format;
	const char *what;
	exposition_fn *fn;
	void *arg;
	int failed;	  /* nothing is taken any more */
	bool ended;	  /* "# EOF" was read */
	struct buf carry; /* a line's beginning */
	size_t line_number, samples, dropped;
	struct exposition_line line;
	struct otlp_sample out;
	struct family family;
	struct exposition_seen names, groups;
	struct {
		bool open;
		uint64_t id; /* of its labels */
		bool timed;
		double time_s;
	} now; /* the group that lines belong to */
	struct exposition_group group;
};

/* The one way to say that a line is bad; how ends the sentence.  Returns REASON_MALFORMED. */
int exposition_bad_line(struct exposition *e, const char *how);
/* Returns REASON_TOO_LARGE. */
int exposition_too_much(struct exposition *e, const char *of, size_t max);

/* exposition_family.c: families, their groups and lines.  All return as exposition_feed(). */
/* HELP, TYPE or UNIT (by its first letter) of the family of this name. */
int exposition_family_describe(struct exposition *e, char word, const char *name, size_t name_len,
	const char *text, size_t len);
/* A line of samples, up to a byte that may be overwritten. */
int exposition_family_sample(struct exposition *e, char *p, char *end);
int exposition_family_close(struct exposition *e);

static inline bool
exposition_is_open_metrics(const struct exposition *e)
{
	return e->format == EXPOSITION_OPENMETRICS;
}
