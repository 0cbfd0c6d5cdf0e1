#include "appliance/egress/filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/field.h"
#include "appliance/egress/schema.h"

enum { SERVICE_MAX = 64, RELEASE_MAX = 80, SLOTS = 4 * FILTER_WAITING_MAX };

enum state { STATE_NEW, STATE_CHANGED, STATE_UNFIT, STATE_REFUSED };
static const char *const states[] = { "new", "changed", "unfit", "refused" };

struct waiting {
	char field[FIELD_NAME_MAX + 1];
	char shape[SCHEMA_SHAPE_MAX + 1], was[SCHEMA_SHAPE_MAX + 1];
	char service[SERVICE_MAX + 1], release[RELEASE_MAX + 1];
	char example[FILTER_EXAMPLE_MAX + 1];
	enum class_name class;
	enum state state;
	uint64_t seen, since_us;
};

struct filter {
	json_t *accepted; /* FIELD -> SHAPE, "" or false */
	json_t *pins;	  /* FIELD -> SHAPE, of accepted ones without a shape */
	json_t *releases; /* SERVICE -> RELEASE; may be NULL */
	struct class_fates fates;
	struct waiting waiting[FILTER_WAITING_MAX];
	size_t n_waiting;
	uint16_t slots[SLOTS]; /* by hash of the field: 1 + its place in waiting; 0: none */
	uint64_t held;
	bool pinned;
};

int
filter_new(struct filter **ret)
{
	SCOPED(filter_freep) struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return FAULT(-ENOMEM);
	f->accepted = json_object();
	f->pins = json_object();
	if (!f->accepted || !f->pins)
		return FAULT(-ENOMEM);
	*ret = STEAL(f);
	return 0;
}

struct filter *
filter_free(struct filter *f)
{
	if (!f)
		return NULL;
	json_decref(f->accepted);
	json_decref(f->pins);
	json_decref(f->releases);
	free(f);
	return NULL;
}

void
filter_set_fates(struct filter *f, const struct class_fates *fates)
{
	f->fates = *fates;
}

void
filter_set_releases(struct filter *f, json_t *releases)
{
	json_incref(releases);
	json_decref(f->releases);
	f->releases = releases;
}

/* --- what was decided ------------------------------------------------------------------------------------ */
/* The alerts of Mainstay itself and shipped numbers are the program's own. */
static bool
is_own(enum class_name class, const char *field)
{
	if (class == CLASS_ALERT)
		return strncmp(field, "alert.mainstay.", 15) == 0;
	return field_is_shipped(field);
}

/* The shape that was accepted: NULL where the field is not, "" where any will do. */
static const char *
accepted_shape(const struct filter *f, enum class_name class, const char *field)
{
	const json_t *decided = json_object_get(f->accepted, field);
	const char *shape = json_string_value(decided);

	if (!decided) /* under review nothing passes by itself: each field was accepted by name */
		return f->fates.of[class] != POLICY_REVIEW && is_own(class, field) ? "" : NULL;
	if (!shape || *shape)
		return shape;
	decided = json_object_get(f->pins, field);
	return decided ? json_string_value(decided) : "";
}

static bool
passes(struct filter *f, enum class_name class, const char *field, const char *shape)
{
	const char *was = accepted_shape(f, class, field);

	if (!was)
		return false;
	if (*was)
		return strcmp(was, shape) == 0;
	if (!json_object_get(f->accepted, field))
		return true;
	/* Not pinned it would let another shape by as well: it waits until there is memory for that. */
	if (json_object_set_new(f->pins, field, json_string(shape)) < 0) {
		(void)FAULT(-ENOMEM);
		return false;
	}
	f->pinned = true;
	return true;
}

/* --- what waits ------------------------------------------------------------------------------------------- */
static uint16_t *
slot_of(struct filter *f, const char *field)
{
	uint32_t h = 2166136261U;
	const char *p;

	for (p = field; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619U;
	for (h ^= h >> 15;; h++) {
		uint16_t *slot = &f->slots[h % SLOTS];

		if (*slot == 0 || strcmp(f->waiting[*slot - 1].field, field) == 0)
			return slot;
	}
}

/* The entry of a field, made where there is none; NULL where there is no room. */
static struct waiting *
entry_of(struct filter *f, const char *field)
{
	uint16_t *slot = slot_of(f, field);
	struct waiting *w;

	if (*slot)
		return &f->waiting[*slot - 1];
	if (f->n_waiting == FILTER_WAITING_MAX || strlen(field) > FIELD_NAME_MAX)
		return NULL;
	w = &f->waiting[f->n_waiting++];
	*slot = (uint16_t)f->n_waiting;
	*w = (struct waiting){ 0 };
	(void)snprintf(w->field, sizeof(w->field), "%s", field);
	return w;
}

/* Forget what waits no more. */
static void
sweep(struct filter *f)
{
	size_t i, n = f->n_waiting;

	f->n_waiting = 0;
	memset(f->slots, 0, sizeof(f->slots));
	for (i = 0; i < n; i++) {
		const char *was = accepted_shape(f, f->waiting[i].class, f->waiting[i].field);

		if (was && (!*was || strcmp(was, f->waiting[i].shape) == 0))
			continue;
		if (json_is_false(json_object_get(f->accepted, f->waiting[i].field)))
			f->waiting[i].state = STATE_REFUSED;
		f->waiting[f->n_waiting] = f->waiting[i];
		*slot_of(f, f->waiting[f->n_waiting].field) = (uint16_t)(f->n_waiting + 1);
		f->n_waiting++;
	}
}

static void
remember(struct filter *f, const struct filter_item *item, const char *field, const char *shape,
	const char *example, bool unfit)
{
	const char *was = accepted_shape(f, item->class, field);
	const char *service = item->service ? item->service : "";
	const char *release = f->releases ? json_text(f->releases, service) : "";
	struct waiting *w = entry_of(f, field);

	if (!w)
		return;
	w->class = item->class;
	w->state = unfit ? STATE_UNFIT : json_is_false(json_object_get(f->accepted, field)) ? STATE_REFUSED :
		was ? STATE_CHANGED : STATE_NEW;
	w->since_us = w->since_us ? w->since_us : item->now_us;
	w->seen++;
	(void)snprintf(w->shape, sizeof(w->shape), "%s", shape);
	(void)snprintf(w->was, sizeof(w->was), "%s", was && !unfit ? was : "");
	(void)snprintf(w->service, sizeof(w->service), "%s", service);
	(void)snprintf(w->release, sizeof(w->release), "%s", release);
	(void)log_escape(w->example, sizeof(w->example), example);
}

/* --- deciding --------------------------------------------------------------------------------------------- */
static enum filter_verdict
check_label(struct filter *f, const struct filter_item *item, const struct filter_label *label)
{
	char field[FIELD_NAME_MAX + 1];

	if (!field_of_label(field, item->field, label->name))
		return FILTER_UNFIT;
	if (!field_label_fits(label->value)) {
		remember(f, item, field, SCHEMA_LABEL, label->value, true);
		return FILTER_UNFIT;
	}
	if (passes(f, item->class, field, SCHEMA_LABEL))
		return FILTER_PASS;
	remember(f, item, field, SCHEMA_LABEL, label->value, false);
	return FILTER_WAITS;
}

enum filter_verdict
filter_check(struct filter *f, const struct filter_item *item)
{
	enum filter_verdict verdict = FILTER_PASS, one;
	size_t i;

	if (f->fates.of[item->class] == POLICY_KEEP) {
		f->held++;
		return FILTER_KEPT;
	}
	if (!passes(f, item->class, item->field, item->shape)) {
		remember(f, item, item->field, item->shape, item->example, false);
		verdict = FILTER_WAITS;
	}
	for (i = 0; i < item->n_labels; i++) {
		one = check_label(f, item, &item->labels[i]);
		if (one == FILTER_UNFIT || verdict == FILTER_PASS)
			verdict = one;
	}
	f->held += verdict != FILTER_PASS;
	return verdict;
}

/* --- told and kept by the caller ---------------------------------------------------------------------------- */
int
filter_set_accepted(struct filter *f, const json_t *fields)
{
	SCOPED_JSON *copy = NULL;
	const char *name;
	json_t *shape;
	void *next;

	if (!json_is_object(fields))
		return REFUSE(REASON_MALFORMED, "fields", "is no object");
	if (json_object_size(fields) > FILTER_ACCEPTED_MAX)
		return REFUSE(REASON_TOO_LARGE, "fields", "more than %d", FILTER_ACCEPTED_MAX);
	copy = json_copy_whole(fields, JSON_DEEP);
	if (!copy)
		return FAULT(-ENOMEM);
	json_object_foreach (copy, name, shape) {
		const char *text = json_string_value(shape);

		if (!field_valid(name))
			return REFUSE(REASON_MALFORMED, "fields", "\"%s\" is no field", name);
		if (!json_is_false(shape) && !(text && (!*text || schema_shape_valid(text))))
			return REFUSE(REASON_MALFORMED, "fields", "\"%s\" has no shape", name);
	}
	json_decref(f->accepted);
	f->accepted = STEAL(copy);
	json_object_foreach_safe (f->pins, next, name, shape)
		if (!json_is_string(json_object_get(f->accepted, name)) &&
			json_object_del(f->pins, name) == 0)
			f->pinned = true; /* accepted again, it is seen anew */
	sweep(f);
	return 0;
}

uint64_t
filter_held(const struct filter *f)
{
	return f->held;
}

static int
by_field(const void *a, const void *b)
{
	return strcmp((*(const struct waiting *const *)a)->field, (*(const struct waiting *const *)b)->field);
}

static json_t *
waiting_json(const struct waiting *w)
{
	json_t *item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s}", "field", w->field, "class",
		class_text(w->class), "state", states[w->state], "shape", w->shape, "was", w->was, "service",
		w->service, "release", w->release, "seen", (json_int_t)w->seen, "example", w->example);

	if (item && json_put_time(item, "since", w->since_us) < 0) {
		json_decref(item);
		return NULL;
	}
	return item;
}

json_t *
filter_waiting(const struct filter *f)
{
	SCOPED(scope_free) const struct waiting **sorted = calloc(f->n_waiting + 1, sizeof(*sorted));
	SCOPED_JSON *list = json_array();
	size_t i;

	if (!sorted || !list)
		return NULL;
	for (i = 0; i < f->n_waiting; i++)
		sorted[i] = &f->waiting[i];
	qsort(sorted, f->n_waiting, sizeof(struct waiting *), by_field);
	for (i = 0; i < f->n_waiting; i++)
		if (json_array_append_new(list, waiting_json(sorted[i])) < 0)
			return NULL;
	return STEAL(list);
}

static void
copy_member(char *out, size_t size, const json_t *item, const char *name)
{
	(void)snprintf(out, size, "%s", json_text(item, name));
}

void
filter_remember(struct filter *f, const json_t *waiting)
{
	const json_t *item;
	size_t i, k;

	json_array_foreach (waiting, i, item) {
		const char *field = json_text(item, "field");
		enum class_name class;
		struct waiting *w;

		if (!field_valid(field) || !class_parse(&class, json_text(item, "class")))
			continue;
		w = entry_of(f, field);
		if (!w || w->seen > 0)
			continue;
		w->class = class;
		for (k = 0; k < ARRAY_LEN(states); k++)
			if (strcmp(states[k], json_text(item, "state")) == 0)
				w->state = (enum state)k;
		w->seen = (uint64_t)json_integer_value(json_object_get(item, "seen"));
		if (clock_parse(&w->since_us, json_text(item, "since")) != 0)
			w->since_us = 0;
		copy_member(w->shape, sizeof(w->shape), item, "shape");
		copy_member(w->was, sizeof(w->was), item, "was");
		copy_member(w->service, sizeof(w->service), item, "service");
		copy_member(w->release, sizeof(w->release), item, "release");
		copy_member(w->example, sizeof(w->example), item, "example");
	}
	sweep(f);
}

const json_t *
filter_pins(const struct filter *f)
{
	return f->pins;
}

bool
filter_pinned(struct filter *f)
{
	bool was = f->pinned;

	f->pinned = false;
	return was;
}

int
filter_set_pins(struct filter *f, const json_t *pins)
{
	SCOPED_JSON *copy = json_copy_whole(pins, JSON_DEEP);
	const char *name;
	json_t *shape;

	if (!copy)
		return FAULT(-ENOMEM);
	if (!json_is_object(copy) || json_object_size(copy) > FILTER_ACCEPTED_MAX)
		return REFUSE(REASON_MALFORMED, "shapes", "is no object of at most %d", FILTER_ACCEPTED_MAX);
	json_object_foreach (copy, name, shape)
		if (!field_valid(name) || !json_is_string(shape) || !schema_shape_valid(json_string_value(shape)))
			return REFUSE(REASON_MALFORMED, "shapes", "\"%s\" is no field with a shape", name);
	json_decref(f->pins);
	f->pins = STEAL(copy);
	sweep(f);
	return 0;
}
