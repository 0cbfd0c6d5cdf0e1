#include "appliance/egress/filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/egress/field.h"

struct waiting {
	char field[FIELD_NAME_MAX + 1];
	enum class_name class;
	uint64_t seen;
	char example[FILTER_EXAMPLE_MAX + 1];
};

struct filter {
	json_t *accepted; /* object used as a set: field -> true */
	struct class_fates fates;
	struct waiting waiting[FILTER_WAITING_MAX];
	size_t n_waiting;
	uint64_t held;
};

int
filter_new(struct filter **ret)
{
	SCOPED(filter_freep) struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return FAULT(-ENOMEM);
	f->accepted = json_object();
	if (!f->accepted)
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
	free(f);
	return NULL;
}

void
filter_set_fates(struct filter *f, const struct class_fates *fates)
{
	f->fates = *fates;
}

static bool
accepted(const struct filter *f, enum class_name class, const char *field)
{
	if (json_object_get(f->accepted, field))
		return true;
	/* Under review nothing passes by itself: each field was accepted by name. */
	if (f->fates.of[class] == POLICY_REVIEW)
		return false;
	/* An alert came with the service's definition, which the customer accepted when installing it. */
	return class == CLASS_ALERT || field_is_shipped(field);
}

/* Forget what waits no more. */
static void
sweep(struct filter *f)
{
	size_t i, n = 0;

	for (i = 0; i < f->n_waiting; i++)
		if (!accepted(f, f->waiting[i].class, f->waiting[i].field))
			f->waiting[n++] = f->waiting[i];
	f->n_waiting = n;
}

int
filter_set_accepted(struct filter *f, const json_t *fields)
{
	json_t *set, *item;
	size_t i;

	if (!json_is_array(fields))
		return REFUSE(REASON_MALFORMED, "fields", "is no array");
	if (json_array_size(fields) > FILTER_ACCEPTED_MAX)
		return REFUSE(REASON_TOO_LARGE, "fields", "more than %d", FILTER_ACCEPTED_MAX);
	set = json_object();
	if (!set)
		return FAULT(-ENOMEM);
	json_array_foreach (fields, i, item) {
		const char *name = json_string_value(item);

		if (!name || !field_valid(name)) {
			json_decref(set);
			return REFUSE(REASON_MALFORMED, "fields", "\"%s\" is no field",
				name ? name : "?");
		}
		if (json_object_set_new(set, name, json_true()) < 0) {
			json_decref(set);
			return FAULT(-ENOMEM);
		}
	}
	json_decref(f->accepted);
	f->accepted = set;
	sweep(f);
	return 0;
}

static void
remember(struct filter *f, enum class_name class, const char *field, const char *example)
{
	struct waiting *w;
	size_t i;

	for (i = 0; i < f->n_waiting && strcmp(f->waiting[i].field, field) != 0; i++)
		;
	if (i == FILTER_WAITING_MAX)
		return;
	w = &f->waiting[i];
	if (i == f->n_waiting) {
		*w = (struct waiting){ .class = class };
		(void)snprintf(w->field, sizeof(w->field), "%s", field);
		f->n_waiting++;
	}
	w->seen++;
	(void)log_escape(w->example, sizeof(w->example), example);
}

enum filter_verdict
filter_check(struct filter *f, enum class_name class, const char *name,
	const struct filter_label *labels, size_t n_labels, const char *example)
{
	enum filter_verdict verdict = FILTER_PASS;
	char field[FIELD_NAME_MAX + 1];
	size_t i;

	if (f->fates.of[class] == POLICY_KEEP) {
		f->held++;
		return FILTER_KEPT;
	}
	if (!accepted(f, class, name)) {
		remember(f, class, name, example);
		verdict = FILTER_WAITS;
	}
	for (i = 0; i < n_labels; i++) {
		if (!field_label_fits(labels[i].value) ||
			!field_of_label(field, name, labels[i].name)) {
			verdict = FILTER_UNFIT;
			continue;
		}
		if (class != CLASS_ALERT && !accepted(f, class, field)) {
			remember(f, class, field, labels[i].value);
			if (verdict == FILTER_PASS)
				verdict = FILTER_WAITS;
		}
	}
	f->held += verdict != FILTER_PASS;
	return verdict;
}

uint64_t
filter_held(const struct filter *f)
{
	return f->held;
}

static int
by_field(const void *a, const void *b)
{
	return strcmp(((const struct waiting *)a)->field, ((const struct waiting *)b)->field);
}

json_t *
filter_waiting(const struct filter *f)
{
	struct waiting *sorted = calloc(f->n_waiting + 1, sizeof(*sorted));
	json_t *list = json_array();
	size_t i;

	if (!sorted || !list)
		goto fail;
	memcpy(sorted, f->waiting, f->n_waiting * sizeof(*sorted));
	qsort(sorted, f->n_waiting, sizeof(*sorted), by_field);
	for (i = 0; i < f->n_waiting; i++) {
		json_t *item = json_pack("{s:s, s:s, s:I, s:s}", "field", sorted[i].field, "class",
			class_text(sorted[i].class), "seen", (json_int_t)sorted[i].seen, "example",
			sorted[i].example);

		if (!item || json_array_append_new(list, item) < 0)
			goto fail;
	}
	free(sorted);
	return list;
fail:
	free(sorted);
	json_decref(list);
	return NULL;
}
