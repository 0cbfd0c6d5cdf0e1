#include "appliance/monitor/tally.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"

#define FILE_NAME "tally.json"

static const uint64_t window_us = TALLY_WINDOW_S * CLOCK_US_PER_S;

static struct tally_row *
find(struct tally *t, const char *kind, const char *about, enum reason reason)
{
	for (size_t i = 0; i < t->n; i++) {
		struct tally_row *row = &t->rows[i];

		if (row->reason == reason && strcmp(row->kind, kind) == 0 &&
			strcmp(row->about, about) == 0)
			return row;
	}
	return NULL;
}

static bool
is_over(const struct tally_row *row, uint64_t mono_us)
{
	return mono_us - row->began_us >= window_us;
}

static void
forget(struct tally *t, struct tally_row *row)
{
	*row = t->rows[--t->n];
}

static void
forget_idle(struct tally *t, uint64_t mono_us)
{
	for (size_t i = t->n; i-- > 0;)
		if (!t->rows[i].count && is_over(&t->rows[i], mono_us))
			forget(t, &t->rows[i]);
}

/* NULL where not even a shared row is left. */
static struct tally_row *
make(struct tally *t, const char *kind, const char *about, enum reason reason)
{
	bool shared = strcmp(about, TALLY_OTHERS) == 0;
	struct tally_row *row;

	if (t->n >= (shared ? TALLY_ROWS_MAX : TALLY_ROWS_MAX - TALLY_SHARED))
		return NULL;
	row = &t->rows[t->n++];
	*row = (struct tally_row){ .reason = reason };
	(void)snprintf(row->kind, sizeof(row->kind), "%s", kind);
	(void)snprintf(row->about, sizeof(row->about), "%s", about);
	return row;
}

static void
count(struct tally_row *row, const uint8_t *digest, uint64_t wall_us)
{
	if (row->count++ == 0) {
		row->first_us = wall_us;
		row->n_samples = 0;
	}
	row->last_us = wall_us;
	if (digest && row->n_samples < TALLY_SAMPLES)
		memcpy(row->samples[row->n_samples++], digest, 32);
}

bool
tally_add(struct tally *t, const char *kind, const char *about, enum reason reason,
	const uint8_t *digest, uint64_t wall_us, uint64_t mono_us)
{
	struct tally_row *row;
	char cut[TALLY_ABOUT_MAX];

	(void)snprintf(cut, sizeof(cut), "%s", about);
	forget_idle(t, mono_us);
	row = find(t, kind, cut, reason);
	if (!row && (row = make(t, kind, cut, reason)) != NULL) {
		row->began_us = mono_us;
		return true;
	}
	if (!row) {
		row = find(t, kind, TALLY_OTHERS, REASON_NONE);
		if (!row && (row = make(t, kind, TALLY_OTHERS, REASON_NONE)) != NULL)
			row->began_us = mono_us;
		if (!row)
			row = &t->rows[0]; /* more kinds than this program has */
	}
	count(row, digest, wall_us);
	t->changed = true;
	return false;
}

struct tally_row *
tally_due(struct tally *t, uint64_t mono_us, bool all)
{
	forget_idle(t, mono_us);
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].count && (all || is_over(&t->rows[i], mono_us)))
			return &t->rows[i];
	return NULL;
}

void
tally_told(struct tally *t, struct tally_row *row, uint64_t mono_us)
{
	row->count = 0;
	row->n_samples = 0;
	row->began_us = mono_us;
	t->changed = true;
}

static json_t *
digests(const struct tally_row *row)
{
	json_t *list = json_array();
	char hex[65];

	for (size_t i = 0; list && i < row->n_samples; i++)
		if (json_array_append_new(list,
			    json_string(hex_encode(hex, row->samples[i], 32)))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *
tally_extra(const struct tally_row *row)
{
	SCOPED_JSON *o = json_object();
	int r = o ? 0 : -ENOMEM;

	r = r ?: json_put_u64(o, "count", row->count);
	r = r ?: json_put_time(o, "first", row->first_us);
	r = r ?: json_put_time(o, "last", row->last_us);
	r = r ?: json_object_set_new(o, "digests", digests(row));
	return r ? NULL : STEAL(o);
}

/* --- over a restart ------------------------------------------------------------------------------- */
json_t *
tally_json(const struct tally *t)
{
	SCOPED_JSON *list = json_array();

	for (size_t i = 0; list && i < t->n; i++) {
		const struct tally_row *row = &t->rows[i];
		SCOPED_JSON *o = row->count ? tally_extra(row) : json_object();
		int r = o ? 0 : -ENOMEM;

		if (r == 0 && !row->count)
			continue;
		r = r ?: json_put_text(o, "kind", row->kind);
		r = r ?: json_put_text(o, "about", row->about);
		r = r ?: json_put_text(o, "reason", row->reason ? refuse_token(row->reason) : "");
		if (r || json_array_append(list, o) < 0)
			return NULL;
	}
	return list ? json_pack("{s:i, s:O}", "v", 1, "rows", list) : NULL;
}

static int
load_row(struct tally_row *row, const json_t *item)
{
	struct parts {
		const char *kind, *about, *reason;
		uint64_t count, first_us, last_us;
		json_t *digests;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "kind", JSON_KIND_TEXT, .offset = offsetof(struct parts, kind),
			.max = TALLY_KIND_MAX - 1 },
		{ "about", JSON_KIND_TEXT0, .offset = offsetof(struct parts, about),
			.max = TALLY_ABOUT_MAX - 1 },
		{ "reason", JSON_KIND_TEXT0, .offset = offsetof(struct parts, reason) },
		{ "count", JSON_KIND_U64, .offset = offsetof(struct parts, count) },
		{ "first", JSON_KIND_TIME, .offset = offsetof(struct parts, first_us) },
		{ "last", JSON_KIND_TIME, .offset = offsetof(struct parts, last_us) },
		{ "digests", JSON_KIND_ARRAY, .offset = offsetof(struct parts, digests),
			.max = TALLY_SAMPLES },
	};
	int r = json_members(item, fields, ARRAY_LEN(fields), &in, FILE_NAME);

	if (r)
		return r;
	*row = (struct tally_row){ .reason = refuse_reason(in.reason),
		.count = in.count,
		.first_us = in.first_us,
		.last_us = in.last_us };
	(void)snprintf(row->kind, sizeof(row->kind), "%s", in.kind);
	(void)snprintf(row->about, sizeof(row->about), "%s", in.about);
	for (size_t i = 0; i < json_array_size(in.digests); i++) {
		const char *hex = json_string_value(json_array_get(in.digests, i));

		if (!hex || !hex_decode(row->samples[row->n_samples++], 32, hex))
			return REFUSE(REASON_MALFORMED, FILE_NAME, "digest is not hex");
	}
	return 0;
}

int
tally_load(struct tally *t, const json_t *doc)
{
	struct parts {
		uint64_t v;
		json_t *rows;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v), .max = 1 },
		{ "rows", JSON_KIND_ARRAY, .offset = offsetof(struct parts, rows),
			.max = TALLY_ROWS_MAX },
	};
	size_t n = 0;
	int r = json_members(doc, fields, ARRAY_LEN(fields), &in, FILE_NAME);

	for (; r == 0 && n < json_array_size(in.rows); n++)
		r = load_row(&t->rows[n], json_array_get(in.rows, n));
	t->n = r ? 0 : n;
	return r;
}
