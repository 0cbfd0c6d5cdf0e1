#include "telemetry/collect/believed.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"

#define FILE_NAME "believed.json"

enum { BYTES_MAX = 4 * 1024 * 1024, VALUE_MAX = 4 * RULE_VALUE_MAX };

struct believed {
	int dir_fd;
	json_t *items; /* [{"service","name","severity","group","since","labels":[[NAME, VALUE]...]}]; owned */
};

/* --- the file ------------------------------------------------------------------------------------------------ */
static int
save(const struct believed *b)
{
	SCOPED(buf_done) struct buf out = BUF_MAX(BYTES_MAX);
	int r = json_canonical(&out, b->items);

	r = r ?: fs_replace(b->dir_fd, FILE_NAME, out.data, out.len, 0640);
	return FAULT(r);
}

static int
check_labels(const json_t *labels)
{
	const json_t *one;
	size_t i;

	json_array_foreach(labels, i, one) {
		const char *name = json_string_value(json_array_get(one, 0)), *value = json_string_value(json_array_get(one, 1));

		if (!name || strlen(name) > RULE_NAME_MAX || !value || strlen(value) > VALUE_MAX)
			return REFUSE(REASON_MALFORMED, FILE_NAME, "a label is no short text");
	}
	return 0;
}

static int
check(const json_t *items)
{
	struct {
		const char *service, *name, *severity, *group;
		const json_t *labels;
		uint64_t since_us;
	} in;
	static const struct json_field fields[] = {
		{ "service", JSON_KIND_TEXT, false, offsetof(__typeof__(in), service), RULE_NAME_MAX },
		{ "name", JSON_KIND_TEXT, false, offsetof(__typeof__(in), name), RULE_NAME_MAX },
		{ "severity", JSON_KIND_TEXT, false, offsetof(__typeof__(in), severity), RULE_NAME_MAX },
		{ "group", JSON_KIND_TEXT0, false, offsetof(__typeof__(in), group), RULE_GROUP_MAX },
		{ "labels", JSON_KIND_ARRAY, false, offsetof(__typeof__(in), labels), RULE_BY_MAX },
		{ "since", JSON_KIND_TIME, false, offsetof(__typeof__(in), since_us), 0 },
	};
	const json_t *one;
	size_t i;

	if (!json_is_array(items) || json_array_size(items) > BELIEVED_MAX)
		return REFUSE(REASON_MALFORMED, FILE_NAME, "is no list of at most %d", (int)BELIEVED_MAX);
	json_array_foreach(items, i, one) {
		int r = json_members(one, fields, ARRAY_LEN(fields), &in, FILE_NAME);

		r = r ?: check_labels(in.labels);
		if (r)
			return r < 0 ? FAULT(r) : r;
	}
	return 0;
}

int
believed_open(struct believed **ret, int dir_fd)
{
	SCOPED(believed_freep) struct believed *b = calloc(1, sizeof(*b));
	SCOPED(buf_done) struct buf in = BUF_MAX(BYTES_MAX);
	SCOPED_JSON *items = NULL;
	int r;

	if (!b)
		return FAULT(-ENOMEM);
	b->dir_fd = dir_fd;
	r = fs_read(dir_fd, FILE_NAME, in.max, &in);
	if (r == 0)
		r = json_read(&items, in.data, in.len, in.max, FILE_NAME);
	r = r ?: check(items);
	if (r < 0)
		return FAULT(r);
	b->items = r == 0 ? STEAL(items) : json_array();
	if (!b->items)
		return FAULT(-ENOMEM);
	*ret = STEAL(b);
	return 0;
}

struct believed *
believed_free(struct believed *b)
{
	if (!b)
		return NULL;
	json_decref(b->items);
	free(b);
	return NULL;
}

/* --- what was told ------------------------------------------------------------------------------------------- */
static bool
is_same(const json_t *item, const struct rule_alert *alert)
{
	return strcmp(json_text(item, "name"), alert->rule->name) == 0 &&
		strcmp(json_text(item, "service"), alert->rule->service) == 0 &&
		strcmp(json_text(item, "group"), alert->group) == 0;
}

static size_t
find(const json_t *items, const struct rule_alert *alert)
{
	size_t i = 0;

	while (i < json_array_size(items) && !is_same(json_array_get(items, i), alert))
		i++;
	return i;
}

static int
add(struct believed *b, size_t at, const struct rule_alert *alert)
{
	SCOPED_JSON *labels = json_array(), *item = NULL;
	char since[CLOCK_TEXT_MAX];

	for (size_t i = 0; i < alert->n_labels; i++)
		if (json_array_append_new(labels, json_pack("[s, s]", alert->labels[i].name, alert->labels[i].value)) < 0)
			return -ENOMEM;
	item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "service", alert->rule->service, "name", alert->rule->name,
		"severity", alert->rule->severity, "group", alert->group, "since", clock_format(since, alert->since_us),
		"labels", labels);
	if (!item)
		return -ENOMEM;
	return (at < json_array_size(b->items) ? json_array_set(b->items, at, item) : json_array_append(b->items, item)) < 0
		? -ENOMEM
		: 0;
}

void
believed_told(struct believed *b, const struct rule_alert *alert)
{
	size_t at = find(b->items, alert);
	bool known = at < json_array_size(b->items);
	int r = 0;

	if (alert->told == RULE_TOLD_RESOLVED ? !known : !known && at == BELIEVED_MAX)
		return;
	if (alert->told == RULE_TOLD_RESOLVED)
		(void)json_array_remove(b->items, at);
	else
		r = add(b, at, alert);
	r = r ?: save(b);
	if (r < 0)
		log_fault(r, "keeping which alerts the vendor was told");
}

/* --- what is owed -------------------------------------------------------------------------------------------- */
static void
strike(const struct rule_alert *alert, void *arg)
{
	json_t *owed = arg;

	(void)json_array_remove(owed, find(owed, alert)); /* none beyond its end */
}

static void
end_one(const json_t *item, rule_fn *each, void *arg)
{
	struct rule rule = { .name = json_text(item, "name"), .metric = "", .severity = json_text(item, "severity"), .text = "",
		.operation = "" };
	struct rule_label labels[RULE_BY_MAX];
	struct rule_alert alert = { .rule = &rule, .told = RULE_TOLD_RESOLVED, .text = "", .labels = labels,
		.group = json_text(item, "group"), .muted_by = "", .value = NAN };
	const json_t *pair;
	size_t i;

	(void)snprintf(rule.service, sizeof(rule.service), "%s", json_text(item, "service"));
	(void)clock_parse(&alert.since_us, json_text(item, "since"));
	json_array_foreach(json_object_get(item, "labels"), i, pair) {
		labels[i] = (struct rule_label){ json_string_value(json_array_get(pair, 0)),
			json_string_value(json_array_get(pair, 1)) };
		rule.by[i] = labels[i].name;
	}
	rule.n_by = alert.n_labels = i;
	each(&alert, arg);
}

void
believed_ends(struct believed *b, const struct rule_set *s, rule_fn *each, void *arg)
{
	SCOPED_JSON *owed = json_copy_whole(b->items, JSON_SHALLOW);
	const json_t *item;
	size_t i;

	if (!owed)
		return; /* without memory: at the next change of the switch */
	rule_each_firing(s, strike, owed);
	json_array_foreach(owed, i, item)
		end_one(item, each, arg);
}
