#include "telemetry/collect/scraped.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "appliance/egress/field.h"
#include "telemetry/scrape/exposition_line.h"

enum { TIME_BACK_S = 3600, TIME_AHEAD_S = 600, NAME_ROOM = 1025 };

static const char *const own_names[] = { "up", "scrape_duration_seconds",
	"scrape_samples_scraped" };

/* --- names ---------------------------------------------------------------------------------------------------- */
/* Each character that a name of ours may not have becomes one "_". */
static const char *
legal(char out[NAME_ROOM], const char *name, bool colon)
{
	size_t n = 0;

	if (isdigit((unsigned char)*name))
		out[n++] = '_';
	for (; *name && n < NAME_ROOM - 1; name++) {
		if (((unsigned char)*name & 0xc0) == 0x80)
			continue;
		out[n++] = (char)(isalnum((unsigned char)*name) || (colon && *name == ':') ? *name
											   : '_');
	}
	out[n] = '\0';
	return out;
}

static const char *
unit_of(struct sample_set *set, const char *unit)
{
	static const char *const known[][2] = { { "seconds", "s" }, { "bytes", "By" },
		{ "ratio", "1" }, { "percent", "%" }, { "celsius", "Cel" }, { "meters", "m" },
		{ "volts", "V" }, { "amperes", "A" }, { "joules", "J" }, { "grams", "g" },
		{ "hertz", "Hz" }, { "watts", "W" }, { "milliseconds", "ms" } };

	for (size_t i = 0; unit && i < ARRAY_LEN(known); i++)
		if (strcmp(known[i][0], unit) == 0)
			return known[i][1];
	return unit ? sample_text(set, unit) : NULL;
}

static uint64_t
series_of(const struct otlp_sample *s)
{
	uint64_t id = exposition_line_hash(4, s->name, strlen(s->name));

	for (size_t i = 0; i < s->n_labels; i++)
		id += exposition_line_hash(exposition_line_hash(5, s->labels[i].name,
						   strlen(s->labels[i].name)),
			s->labels[i].value, strlen(s->labels[i].value));
	return id;
}

/* --- life --- */
void
scraped_begin(struct scraped *s, uint64_t at_us)
{
	sample_reset(&s->set);
	exposition_seen_done(&s->seen);
	s->at_us = at_us;
	memset(s->dropped, 0, sizeof(s->dropped));
	/* What is ours to say no exporter says. */
	for (size_t i = 0; at_us > 0 && i < ARRAY_LEN(own_names); i++)
		(void)exposition_seen_put(&s->seen,
			series_of(&(struct otlp_sample){ .name = own_names[i] }));
}

void
scraped_done(struct scraped *s)
{
	scraped_begin(s, 0);
	sample_done(&s->set);
}

/* --- samples ---------------------------------------------------------------------------------------------------- */
/* A sample of the same series at this time, without its value. */
static struct otlp_sample *
put_series(struct scraped *s, const char *service, const struct otlp_sample *from, uint64_t time_us)
{
	char name[NAME_ROOM];
	const char *text = sample_text(&s->set, legal(name, from->name, true));
	struct otlp_sample *p;

	if (!text || s->set.text_bytes > SCRAPED_TEXT_MAX)
		return NULL;
	p = sample_add(&s->set, service, text, unit_of(&s->set, from->unit), time_us);
	for (size_t i = 0; p && i < from->n_labels; i++) {
		text = sample_text(&s->set, legal(name, from->labels[i].name, false));
		if (!text)
			return NULL;
		sample_label(&s->set, p, text, from->labels[i].value);
	}
	if (p)
		p->kind = from->kind;
	return p;
}

static bool
drop(struct scraped *s, enum scraped_drop why)
{
	s->dropped[why]++;
	return true;
}

/* Whoever shows numbers of such a name would have them leave without anybody's word. */
static bool
is_ours(const char *name)
{
	return (strncmp(name, "host_", 5) == 0 || strncmp(name, "mainstay_", 9) == 0) && field_is_shipped(name);
}

bool
scraped_put(struct scraped *s, const char *service, const struct otlp_sample *sample, bool timed)
{
	uint64_t time_us = timed ? sample->time_us : s->at_us;
	struct otlp_sample *p;

	if (time_us + TIME_BACK_S * CLOCK_US_PER_S < s->at_us ||
		time_us > s->at_us + TIME_AHEAD_S * CLOCK_US_PER_S)
		return drop(s, SCRAPED_TIME);
	if (is_ours(sample->name))
		return drop(s, SCRAPED_NAME);
	p = put_series(s, service, sample, time_us);
	if (!p)
		return false;
	if (!timed) {
		int r = exposition_seen_put(&s->seen, series_of(p));

		if (r != 0) {
			s->set.n--;
			return r == EXPOSITION_SEEN && drop(s, SCRAPED_TWICE);
		}
	}
	p->real = sample->real;
	p->start_us = sample->start_us;
	if (sample->distribution) {
		p->distribution = sample_distribution(&s->set, sample->distribution);
		return p->distribution;
	}
	return true;
}

void
scraped_own(struct scraped *s, const char *service, bool up, double took_s, size_t samples)
{
	sample_gauge_int(&s->set, service, own_names[0], "1", s->at_us, up);
	sample_gauge(&s->set, service, own_names[1], "s", s->at_us, took_s);
	sample_gauge_int(&s->set, service, own_names[2], "1", s->at_us, (int64_t)samples);
}

void
scraped_tell_dropped(struct scraped *s, const char *target, const uint64_t dropped[SCRAPED_DROPS], uint64_t since_us)
{
	static const char *const reasons[] = { "labels", "name", "time", "twice" };

	for (size_t i = 0; i < SCRAPED_DROPS; i++) {
		struct otlp_sample *p = dropped[i] == 0
			? NULL
			: sample_add(&s->set, NULL, "mainstay_scrape_dropped_series", "1", s->at_us);

		sample_count_int(p, since_us, (int64_t)dropped[i]);
		sample_label(&s->set, p, "target", target);
		sample_label(&s->set, p, "reason", reasons[i]);
		if (p)
			(void)exposition_seen_put(&s->seen, series_of(p)); /* else it is told as gone */
	}
}

void
scraped_gone(struct scraped *s, const char *service, const struct scraped *before)
{
	for (size_t i = 0; i < before->set.n; i++) {
		const struct otlp_sample *old = &before->set.items[i];
		struct otlp_sample *p;

		if (old->no_value || old->time_us != before->at_us ||
			exposition_seen_has(&s->seen, series_of(old)) == EXPOSITION_SEEN)
			continue;
		p = put_series(s, service, old, s->at_us);
		if (!p)
			return;
		p->no_value = true;
	}
}
