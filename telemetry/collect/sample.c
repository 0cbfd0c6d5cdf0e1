#include "telemetry/collect/sample.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8 * 1024 };

/* Texts never move: samples point at them. */
struct sample_block {
	struct sample_block *next;
	size_t used, size;
	_Alignas(8) char bytes[];
};

void
sample_reset(struct sample_set *s)
{
	while (s->texts) {
		struct sample_block *next = s->texts->next;

		free(s->texts);
		s->texts = next;
	}
	s->n = 0;
	s->text_bytes = 0;
	s->refused = 0;
}

void
sample_done(struct sample_set *s)
{
	sample_reset(s);
	free(s->items);
	*s = (struct sample_set){ 0 };
}

/* Room in the arena, its start a multiple of align. */
static void *
room(struct sample_set *s, size_t len, size_t align)
{
	struct sample_block *b = s->texts;
	size_t at = b ? (b->used + align - 1) & ~(align - 1) : 0;

	if (len > SAMPLE_TEXT_MAX - s->text_bytes)
		return NULL;
	if (!b || at > b->size || b->size - at < len) {
		size_t size = len > BLOCK_BYTES ? len : BLOCK_BYTES;

		b = malloc(sizeof(*b) + size);
		if (!b)
			return NULL;
		*b = (struct sample_block){ .next = s->texts, .size = size };
		s->texts = b;
		at = 0;
	}
	b->used = at + len;
	s->text_bytes += len;
	return b->bytes + at;
}

const char *
sample_text(struct sample_set *s, const char *text)
{
	size_t len = strlen(text) + 1;
	char *at = room(s, len, 1);

	return at ? memcpy(at, text, len) : NULL;
}

const struct otlp_distribution *
sample_distribution(struct sample_set *s, const struct otlp_distribution *d)
{
	size_t n = d->n_bounds;
	struct otlp_distribution *copy = room(s, sizeof(*copy), _Alignof(struct otlp_distribution));
	double *bounds = copy ? room(s, n * sizeof(*bounds), sizeof(*bounds)) : NULL;
	double *values = bounds && d->values ? room(s, n * sizeof(*values), sizeof(*values)) : NULL;
	uint64_t *buckets = bounds && d->buckets ? room(s, (n + 1) * sizeof(*buckets), sizeof(*buckets)) : NULL;

	if (!bounds || (d->values && !values) || (d->buckets && !buckets))
		return NULL;
	*copy = *d;
	if (n > 0)
		memcpy(bounds, d->bounds, n * sizeof(*bounds));
	if (values && n > 0)
		memcpy(values, d->values, n * sizeof(*values));
	if (buckets)
		memcpy(buckets, d->buckets, (n + 1) * sizeof(*buckets));
	copy->bounds = bounds;
	copy->values = values;
	copy->buckets = buckets;
	return copy;
}

static bool
grow(struct sample_set *s)
{
	size_t cap = s->cap ? s->cap * 2 : 16;
	struct otlp_sample *items;

	if (s->n < s->cap)
		return true;
	if (s->n == SAMPLE_SET_MAX)
		return false;
	items = realloc(s->items, cap * sizeof(*items));
	if (!items)
		return false;
	s->items = items;
	s->cap = cap;
	return true;
}

struct otlp_sample *
sample_add(struct sample_set *s, const char *service, const char *name, const char *unit,
	uint64_t time_us)
{
	struct otlp_sample *p;
	const char *owner = NULL;

	if (service)
		owner = sample_text(s, service);
	if (!grow(s) || (service && !owner)) {
		s->refused++;
		return NULL;
	}
	p = &s->items[s->n++];
	*p = (struct otlp_sample){
		.service = owner, .name = name, .unit = unit, .time_us = time_us
	};
	return p;
}

struct otlp_sample *
sample_gauge(struct sample_set *s, const char *service, const char *name, const char *unit,
	uint64_t time_us, double v)
{
	struct otlp_sample *p = sample_add(s, service, name, unit, time_us);

	if (p)
		p->real = v;
	return p;
}

struct otlp_sample *
sample_gauge_int(struct sample_set *s, const char *service, const char *name, const char *unit,
	uint64_t time_us, int64_t v)
{
	struct otlp_sample *p = sample_gauge(s, service, name, unit, time_us, (double)v);

	if (p) {
		p->is_int = true;
		p->whole = v;
	}
	return p;
}

void
sample_count(struct otlp_sample *p, uint64_t start_us, double v)
{
	if (!p)
		return;
	p->kind = OTLP_SAMPLE_COUNTER;
	p->start_us = start_us;
	p->real = v;
}

void
sample_count_int(struct otlp_sample *p, uint64_t start_us, int64_t v)
{
	if (!p)
		return;
	sample_count(p, start_us, (double)v);
	p->is_int = true;
	p->whole = v;
}

/* Take the last one back: without one of its labels it would be another series' number. */
static void
refuse_last(struct sample_set *s, const struct otlp_sample *p)
{
	if (s->n == 0 || p != &s->items[s->n - 1])
		return; /* already, for another label */
	s->n--;
	s->refused++;
}

void
sample_label(struct sample_set *s, struct otlp_sample *p, const char *name, const char *value)
{
	const char *copy;

	if (!p || p->n_labels == OTLP_LABELS_MAX)
		return;
	copy = sample_text(s, value);
	if (copy)
		p->labels[p->n_labels++] = (struct otlp_label){ name, copy };
	else
		refuse_last(s, p);
}

void
sample_append(struct sample_set *s, const struct sample_set *from)
{
	size_t i, j;

	for (i = 0; i < from->n; i++) {
		const struct otlp_sample *in = &from->items[i];
		const char *name = sample_text(s, in->name);
		const char *unit = in->unit ? sample_text(s, in->unit) : NULL;
		const struct otlp_distribution *distribution =
			in->distribution ? sample_distribution(s, in->distribution) : NULL;
		struct otlp_sample *p;

		if (!name || (in->unit && !unit) || (in->distribution && !distribution)) {
			s->refused++;
			continue;
		}
		p = sample_add(s, in->service, name, unit, in->time_us);
		if (!p)
			continue;
		p->kind = in->kind;
		p->no_value = in->no_value;
		p->distribution = distribution;
		p->is_int = in->is_int;
		p->whole = in->whole;
		p->real = in->real;
		p->start_us = in->start_us;
		for (j = 0; j < in->n_labels; j++) {
			name = sample_text(s, in->labels[j].name);
			if (name)
				sample_label(s, p, name, in->labels[j].value);
			else
				refuse_last(s, p);
		}
	}
	s->refused += from->refused;
}
