/* Families of lines, and which of their lines make a point together. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/scope.h"
#include "telemetry/scrape/exposition_room.h"

enum { SUFFIX_MAX = 8, NO_LABEL = EXPOSITION_LABELS_MAX };

/* What lines of a family may be called behind its name. */
struct suffix {
	enum exposition_type type;
	const char *text;
	enum exposition_role role;
};

static const struct suffix openmetrics_suffixes[] = {
	{ EXPOSITION_UNKNOWN, "", EXPOSITION_VALUE },
	{ EXPOSITION_GAUGE, "", EXPOSITION_VALUE },
	{ EXPOSITION_COUNTER, "_total", EXPOSITION_TOTAL },
	{ EXPOSITION_COUNTER, "_created", EXPOSITION_CREATED },
	{ EXPOSITION_HISTOGRAM, "_bucket", EXPOSITION_BUCKET },
	{ EXPOSITION_HISTOGRAM, "_count", EXPOSITION_COUNT },
	{ EXPOSITION_HISTOGRAM, "_sum", EXPOSITION_SUM },
	{ EXPOSITION_HISTOGRAM, "_created", EXPOSITION_CREATED },
	{ EXPOSITION_GAUGEHISTOGRAM, "_bucket", EXPOSITION_BUCKET },
	{ EXPOSITION_GAUGEHISTOGRAM, "_gcount", EXPOSITION_GCOUNT },
	{ EXPOSITION_GAUGEHISTOGRAM, "_gsum", EXPOSITION_GSUM },
	{ EXPOSITION_STATESET, "", EXPOSITION_VALUE },
	{ EXPOSITION_INFO, "_info", EXPOSITION_VALUE },
	{ EXPOSITION_SUMMARY, "", EXPOSITION_QUANTILE },
	{ EXPOSITION_SUMMARY, "_count", EXPOSITION_COUNT },
	{ EXPOSITION_SUMMARY, "_sum", EXPOSITION_SUM },
	{ EXPOSITION_SUMMARY, "_created", EXPOSITION_CREATED },
	{ 0 },
};
static const struct suffix text_suffixes[] = {
	{ EXPOSITION_UNKNOWN, "", EXPOSITION_VALUE },
	{ EXPOSITION_GAUGE, "", EXPOSITION_VALUE },
	{ EXPOSITION_COUNTER, "", EXPOSITION_TOTAL },
	{ EXPOSITION_HISTOGRAM, "_bucket", EXPOSITION_BUCKET },
	{ EXPOSITION_HISTOGRAM, "_count", EXPOSITION_COUNT },
	{ EXPOSITION_HISTOGRAM, "_sum", EXPOSITION_SUM },
	{ EXPOSITION_SUMMARY, "", EXPOSITION_QUANTILE },
	{ EXPOSITION_SUMMARY, "_count", EXPOSITION_COUNT },
	{ EXPOSITION_SUMMARY, "_sum", EXPOSITION_SUM },
	{ 0 },
};

/* --- handing on ------------------------------------------------------------------------------------------------- */
static uint64_t
start_of(const struct exposition_group *g)
{
	return g->has_created && g->created_s < 1e12 ? (uint64_t)(g->created_s * 1e6) : 0;
}

/* The group's time, or this line's. */
static uint64_t
microseconds(bool timed, double s)
{
	return !timed || s <= 0 ? 0 : s < 1e12 ? (uint64_t)(s * 1e6) : UINT64_MAX;
}

static const char *
unit_of(const struct exposition *e)
{
	return e->family.unit_len ? e->family.name + e->family.len - e->family.unit_len : NULL;
}

static int
drop(struct exposition *e)
{
	e->dropped++;
	return 0;
}

/* A line that is a point by itself. */
static int
hand_on_line(struct exposition *e, enum otlp_sample_kind kind)
{
	const struct exposition_line *line = &e->line;
	struct otlp_sample *s = &e->out;

	if (line->n_labels > OTLP_LABELS_MAX)
		return drop(e);
	s->name = line->name;
	s->unit = unit_of(e);
	s->kind = kind;
	s->real = line->value;
	s->distribution = NULL;
	s->start_us = 0;
	s->time_us = microseconds(line->timed, line->time_s);
	memcpy(s->labels, line->labels, line->n_labels * sizeof(*s->labels));
	s->n_labels = line->n_labels;
	return e->fn(s, line->timed, e->arg);
}

/* What the group's lines made together, where they made anything. */
static int
hand_on_group(struct exposition *e)
{
	struct exposition_group *g = &e->group;
	struct otlp_sample *s = &e->out;
	char name[EXPOSITION_NAME_MAX + SUFFIX_MAX];
	const char *bad = exposition_group_end(g);

	if (bad)
		return exposition_bad_line(e, bad);
	if (buf_error(&g->text) != 0)
		return FAULT(buf_error(&g->text));
	if (g->type == EXPOSITION_GAUGEHISTOGRAM ||
		(g->type == EXPOSITION_COUNTER && !g->has_value))
		return 0;
	if (g->n_labels > OTLP_LABELS_MAX)
		return drop(e);
	memcpy(name, e->family.name, e->family.len);
	memcpy(name + e->family.len, g->type == EXPOSITION_COUNTER ? "_total" : "",
		g->type == EXPOSITION_COUNTER ? 7 : 1);
	s->name = name;
	s->unit = unit_of(e);
	s->kind = g->type == EXPOSITION_COUNTER ? OTLP_SAMPLE_COUNTER
		: g->type == EXPOSITION_SUMMARY ? OTLP_SAMPLE_SUMMARY
						: OTLP_SAMPLE_HISTOGRAM;
	s->real = g->value;
	s->distribution = g->type == EXPOSITION_COUNTER ? NULL : &g->distribution;
	s->start_us = start_of(g);
	s->time_us = microseconds(e->now.timed, e->now.time_s);
	memcpy(s->labels, g->labels, g->n_labels * sizeof(*s->labels));
	s->n_labels = g->n_labels;
	return e->fn(s, e->now.timed, e->arg);
}

/* --- groups ------------------------------------------------------------------------------------------------------ */
/* The lines of this family make points together. */
static bool
is_gathered(const struct exposition *e)
{
	enum exposition_type t = e->family.type;

	return t == EXPOSITION_HISTOGRAM || t == EXPOSITION_GAUGEHISTOGRAM ||
		t == EXPOSITION_SUMMARY ||
		(t == EXPOSITION_COUNTER && exposition_is_open_metrics(e));
}

static int
close_group(struct exposition *e)
{
	bool open = e->now.open;

	e->now.open = false;
	return open && is_gathered(e) ? hand_on_group(e) : 0;
}

static void
open_group(struct exposition *e, uint64_t id, size_t leave_out)
{
	e->now.open = true;
	e->now.id = id;
	e->now.timed = e->line.timed;
	e->now.time_s = e->line.time_s;
	if (is_gathered(e))
		exposition_group_begin(&e->group, e->family.type, exposition_is_open_metrics(e),
			&e->line, leave_out);
}

/* Which group the line belongs to: all labels, in any order, but the one that tells its points apart. */
static uint64_t
group_id(const struct exposition *e, size_t leave_out)
{
	uint64_t id = exposition_line_hash(1, e->family.name, e->family.len);

	if (e->family.type != EXPOSITION_INFO) /* all its labels are what it tells */
		for (size_t i = 0; i < e->line.n_labels; i++) {
			const char *name = e->line.labels[i].name, *value = e->line.labels[i].value;

			if (i != leave_out)
				id += exposition_line_hash(exposition_line_hash(3, name,
								   strlen(name)),
					value, strlen(value));
		}
	return id;
}

/* Another group, or another time of the same. */
static int
move_on(struct exposition *e, uint64_t id, size_t leave_out)
{
	const struct exposition_line *line = &e->line;
	int r;

	if (e->now.open && e->now.id == id) {
		if (exposition_is_open_metrics(e) && line->timed != e->now.timed)
			return exposition_bad_line(e,
				"has a time, or none, unlike the lines of its metric before it");
		if (exposition_is_open_metrics(e) && line->timed && line->time_s < e->now.time_s &&
			e->family.type != EXPOSITION_INFO)
			return exposition_bad_line(e,
				"has a time before that of the line before it");
		if (!line->timed || line->time_s == e->now.time_s)
			return 0;
		r = close_group(e);
		open_group(e, id, leave_out);
		return r;
	}
	r = close_group(e);
	if (r != 0)
		return r;
	r = exposition_seen_put(&e->groups, id);
	if (r == EXPOSITION_SEEN)
		return exposition_bad_line(e,
			"belongs to a metric whose other lines stand apart from it");
	if (r < 0) /* of memory: there are fewer samples than it may hold */
		return FAULT(r);
	open_group(e, id, leave_out);
	return 0;
}

/* --- families ------------------------------------------------------------------------------------------------------ */
static const struct suffix *
suffixes(const struct exposition *e)
{
	return exposition_is_open_metrics(e) ? openmetrics_suffixes : text_suffixes;
}

/* Note a name; of an untyped family of the older format only that it is none of a typed one. */
static int
note_name(struct exposition *e, const char *suffix)
{
	bool loose = !exposition_is_open_metrics(e) && e->family.type == EXPOSITION_UNKNOWN;
	char name[EXPOSITION_NAME_MAX + SUFFIX_MAX + 1];
	int len = snprintf(name, sizeof(name), "%s%s", e->family.name, suffix);
	uint64_t id = exposition_line_hash(2, name, (size_t)len);
	int r = loose ? exposition_seen_has(&e->names, id) : exposition_seen_put(&e->names, id);

	if (r == EXPOSITION_SEEN)
		return exposition_bad_line(e, "ends a family of a name that was there before");
	if (r == -EMSGSIZE)
		return exposition_too_much(e, "names", EXPOSITION_SEEN_MAX);
	return r < 0 ? FAULT(r) : 0;
}

int
exposition_family_close(struct exposition *e)
{
	int r = close_group(e);
	bool bare = false;

	if (!e->family.open || r != 0)
		return r;
	e->family.open = false;
	for (const struct suffix *s = suffixes(e); s->text && r == 0; s++) {
		if (s->type != e->family.type)
			continue;
		bare = bare || !*s->text;
		r = note_name(e, s->text);
	}
	return r != 0 || bare ? r : note_name(e, "");
}

static int
open_family(struct exposition *e, const char *name, size_t len)
{
	struct family *f = &e->family;
	int r = exposition_family_close(e);

	if (r != 0)
		return r;
	if (len > EXPOSITION_NAME_MAX)
		return exposition_bad_line(e, "has a name of more than 1024 bytes");
	memcpy(f->name, name, len);
	f->name[len] = '\0';
	f->len = len;
	f->unit_len = f->lines = 0;
	f->type = EXPOSITION_UNKNOWN;
	f->open = true;
	f->has_type = f->has_help = f->has_unit = false;
	return 0;
}

/* What the line is to the family that is open, NULL: it is none of it. */
static const struct suffix *
role_of(const struct exposition *e)
{
	const struct family *f = &e->family;
	const struct exposition_line *line = &e->line;

	if (!f->open || line->name_len < f->len || memcmp(line->name, f->name, f->len) != 0)
		return NULL;
	for (const struct suffix *s = suffixes(e); s->text; s++)
		if (s->type == f->type && strcmp(line->name + f->len, s->text) == 0)
			return s;
	return NULL;
}

/* --- samples ------------------------------------------------------------------------------------------------------- */
/* The label that tells the points of one metric apart; NO_LABEL: there is none. */
static size_t
find_label(const struct exposition *e, const char *name)
{
	for (size_t i = 0; i < e->line.n_labels; i++)
		if (strcmp(e->line.labels[i].name, name) == 0)
			return i;
	return NO_LABEL;
}

/* The number of a label le or quantile. */
static const char *
read_bound(const struct exposition *e, enum exposition_role role, size_t at, double *ret)
{
	const char *text = at == NO_LABEL ? "" : e->line.labels[at].value;

	if (!exposition_line_number(ret, text, text + strlen(text), false) || isnan(*ret))
		return role == EXPOSITION_BUCKET ? "has no number as its label le"
						 : "has no number as its label quantile";
	if (role == EXPOSITION_QUANTILE && (*ret < 0 || *ret > 1))
		return "has a quantile that is not from 0 to 1";
	if (isinf(*ret) &&
		(*ret < 0 || (exposition_is_open_metrics(e) && strcmp(text, "+Inf") != 0)))
		return "has an infinite le that is not +Inf";
	return NULL;
}

/* What OpenMetrics says about values of one line. */
static const char *
check_line(const struct exposition *e, enum exposition_role role, size_t label)
{
	const struct exposition_line *line = &e->line;
	enum exposition_type type = e->family.type;

	if (line->exemplar && role != EXPOSITION_TOTAL && role != EXPOSITION_BUCKET)
		return "has an exemplar, which only totals and buckets may have";
	if (type == EXPOSITION_INFO && line->value != 1)
		return "is of an info and not 1";
	if (type != EXPOSITION_STATESET)
		return NULL;
	if (label == NO_LABEL)
		return "is of a stateset and has no label of its name";
	return line->value == 0 || line->value == 1 ? NULL : "is of a stateset and neither 0 nor 1";
}

static int
take_line(struct exposition *e, enum exposition_role role)
{
	const char *apart = role == EXPOSITION_BUCKET	? "le"
		: role == EXPOSITION_QUANTILE		? "quantile"
		: e->family.type == EXPOSITION_STATESET ? e->family.name
							: NULL;
	size_t label = apart ? find_label(e, apart) : NO_LABEL;
	const char *bad = check_line(e, role, label);
	double at = 0;
	int r;

	if (!bad && (role == EXPOSITION_BUCKET || role == EXPOSITION_QUANTILE))
		bad = read_bound(e, role, label, &at);
	r = bad ? exposition_bad_line(e, bad)
		: is_gathered(e) || exposition_is_open_metrics(e)
		? move_on(e, group_id(e, label), label)
		: 0;
	if (r != 0)
		return r;
	if (!is_gathered(e))
		return hand_on_line(e,
			role == EXPOSITION_TOTAL ? OTLP_SAMPLE_COUNTER : OTLP_SAMPLE_GAUGE);
	bad = exposition_group_put(&e->group, role, e->line.value, at);
	if (bad)
		return exposition_bad_line(e, bad);
	return e->family.type == EXPOSITION_GAUGEHISTOGRAM ? hand_on_line(e, OTLP_SAMPLE_GAUGE) : 0;
}

int
exposition_family_sample(struct exposition *e, char *p, char *end)
{
	const char *bad = exposition_line_read(&e->line, e->format, p, end);
	const struct suffix *s;
	int r = 0;

	if (bad)
		return exposition_bad_line(e, bad);
	if (++e->samples > EXPOSITION_SAMPLES_MAX)
		return exposition_too_much(e, "samples", EXPOSITION_SAMPLES_MAX);
	s = role_of(e);
	if (!s) {
		r = open_family(e, e->line.name, e->line.name_len);
		s = suffixes(e); /* the first: an untyped one */
	}
	e->family.lines++;
	return r ?: take_line(e, s->role);
}

/* --- what describes a family --- */
static const struct {
	const char *text;
	enum exposition_type type;
	bool openmetrics, older;
} types[] = {
	{ "counter", EXPOSITION_COUNTER, true, true },
	{ "gauge", EXPOSITION_GAUGE, true, true },
	{ "histogram", EXPOSITION_HISTOGRAM, true, true },
	{ "summary", EXPOSITION_SUMMARY, true, true },
	{ "untyped", EXPOSITION_UNKNOWN, false, true },
	{ "unknown", EXPOSITION_UNKNOWN, true, false },
	{ "gaugehistogram", EXPOSITION_GAUGEHISTOGRAM, true, false },
	{ "stateset", EXPOSITION_STATESET, true, false },
	{ "info", EXPOSITION_INFO, true, false },
};

static const char *
take_type(struct exposition *e, const char *text, size_t len)
{
	struct family *f = &e->family;

	if (f->has_type)
		return "gives a family's type twice";
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strlen(types[i].text) == len && memcmp(types[i].text, text, len) == 0 &&
			(exposition_is_open_metrics(e) ? types[i].openmetrics : types[i].older)) {
			f->type = types[i].type;
			f->has_type = true;
			return NULL;
		}
	return "gives a type that is none";
}

static const char *
take_unit(struct exposition *e, const char *text, size_t len)
{
	struct family *f = &e->family;

	if (f->has_unit)
		return "gives a family's unit twice";
	if (len > 0 &&
		(f->len <= len || f->name[f->len - len - 1] != '_' ||
			memcmp(f->name + f->len - len, text, len) != 0))
		return "gives a unit that is not the end of its family's name";
	f->has_unit = true;
	f->unit_len = len;
	return NULL;
}

int
exposition_family_describe(struct exposition *e, char word, const char *name, size_t name_len,
	const char *text, size_t len)
{
	struct family *f = &e->family;
	const char *bad = NULL;
	int r = 0;

	if (!f->open || f->len != name_len || memcmp(f->name, name, name_len) != 0)
		r = open_family(e, name, name_len);
	else if (f->lines > 0 && (word != 'H' || exposition_is_open_metrics(e)))
		return exposition_bad_line(e, "describes a family after lines of it");
	if (r != 0)
		return r;
	if (word == 'T')
		bad = take_type(e, text, len);
	else if (word == 'U')
		bad = take_unit(e, text, len);
	else if (f->has_help && exposition_is_open_metrics(e))
		bad = "gives a family's help twice";
	f->has_help = f->has_help || word == 'H';
	if (!bad && f->unit_len > 0 &&
		(f->type == EXPOSITION_INFO || f->type == EXPOSITION_STATESET))
		bad = "gives a unit to what has none";
	return bad ? exposition_bad_line(e, bad) : 0;
}
