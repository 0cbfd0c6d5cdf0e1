#include "appliance/monitor/answers.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"

#define OPERAND "answers.json"

static uint64_t
pause_us(uint64_t tries)
{
	return clock_backoff_us(tries > 30 ? 30 : (unsigned)tries, ANSWERS_PAUSE_S * CLOCK_US_PER_S,
		ANSWERS_PAUSE_MAX_S * CLOCK_US_PER_S);
}

static struct answers_held *
find(const struct answers *a, uint64_t sequence)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->held[i].sequence == sequence)
			return (struct answers_held *)&a->held[i];
	return NULL;
}

bool
answers_open(const struct answers *a, uint64_t sequence)
{
	return sequence > a->seen || find(a, sequence);
}

void
answers_lost(struct answers *a, struct answers_held *h)
{
	*h = a->held[--a->n];
}

void
answers_taken(struct answers *a, uint64_t sequence)
{
	struct answers_held *h = find(a, sequence);

	if (h)
		answers_lost(a, h);
	if (sequence > a->seen)
		a->seen = sequence;
}

int
answers_refused(struct answers *a, uint64_t sequence, unsigned status, uint64_t wall_us,
	uint64_t mono_us)
{
	struct answers_held *h = find(a, sequence);

	if (sequence <= a->seen)
		return 0;
	if (!h && a->n == ANSWERS_HELD_MAX)
		return REASON_BUSY;
	if (!h) {
		h = &a->held[a->n++];
		*h = (struct answers_held){ .sequence = sequence, .since_us = wall_us };
	}
	h->status = status;
	h->due_us = mono_us + pause_us(h->tries++);
	a->seen = sequence;
	return 0;
}

struct answers_held *
answers_due(struct answers *a, uint64_t mono_us)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->held[i].sequence <= a->seen && a->held[i].due_us <= mono_us)
			return &a->held[i];
	return NULL;
}

void
answers_moved(struct answers_held *h, uint64_t sequence)
{
	h->sequence = sequence;
}

void
answers_again(struct answers_held *h, uint64_t mono_us)
{
	h->due_us = mono_us + pause_us(h->tries);
}

uint64_t
answers_upto(const struct answers *a)
{
	uint64_t upto = a->seen;

	for (size_t i = 0; i < a->n; i++)
		if (a->held[i].sequence <= upto)
			upto = a->held[i].sequence - 1;
	return upto;
}

/* --- on the disk --------------------------------------------------------------------------------- */
json_t *
answers_json(const struct answers *a)
{
	SCOPED_JSON *doc = json_object();
	json_t *held = json_array();
	int r = doc && held ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_u64(doc, "seen", a->seen);
	if (r == 0)
		r = json_object_set(doc, "held", held);
	for (size_t i = 0; r == 0 && i < a->n; i++) {
		const struct answers_held *h = &a->held[i];
		json_t *item = json_object();

		r = item ? json_array_append_new(held, item) : -ENOMEM;
		r = r ?: json_put_u64(item, "sequence", h->sequence);
		r = r ?: json_put_u64(item, "status", h->status);
		r = r ?: json_put_u64(item, "tries", h->tries);
		r = r ?: json_put_time(item, "since", h->since_us);
	}
	json_decref(held);
	return r ? NULL : STEAL(doc);
}

struct file {
	uint64_t v, seen;
	json_t *held;
};

static const struct json_field file_fields[] = {
	{ "v", JSON_KIND_U64, .offset = offsetof(struct file, v), .max = 1 },
	{ "seen", JSON_KIND_U64, .offset = offsetof(struct file, seen) },
	{ "held", JSON_KIND_ARRAY, .offset = offsetof(struct file, held), .max = ANSWERS_HELD_MAX },
};

static const struct json_field held_fields[] = {
	{ "sequence", JSON_KIND_U64, .offset = offsetof(struct answers_held, sequence) },
	{ "status", JSON_KIND_U64, .offset = offsetof(struct answers_held, status), .max = 999 },
	{ "tries", JSON_KIND_U64, .offset = offsetof(struct answers_held, tries) },
	{ "since", JSON_KIND_TIME, .offset = offsetof(struct answers_held, since_us) },
};

int
answers_load(struct answers *a, const json_t *doc, uint64_t mono_us)
{
	struct file file = { 0 };
	struct answers in = { 0 };
	int r = json_members(doc, file_fields, ARRAY_LEN(file_fields), &file, OPERAND);

	in.seen = file.seen;
	for (size_t i = 0; r == 0 && i < json_array_size(file.held); i++) {
		struct answers_held *h = &in.held[in.n++];

		r = json_members(json_array_get(file.held, i), held_fields, ARRAY_LEN(held_fields),
			h, OPERAND);
		h->due_us = mono_us + pause_us(h->tries);
	}
	if (r == 0)
		*a = in;
	return r;
}
