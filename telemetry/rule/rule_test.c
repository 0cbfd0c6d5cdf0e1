#include "telemetry/rule/rule_test.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/service/definition.h"
#include "telemetry/rule/rule_own.h"
#include "telemetry/rule/rule_values.h"

#define BEGIN_US (UINT64_C(1000000) * CLOCK_US_PER_S) /* some time after 1970 */
#define TICK_US	 (2 * CLOCK_US_PER_S)		      /* as the collector probes */
#define AT_MAX_US (2 * 86400 * CLOCK_US_PER_S)

enum { PATH_BYTES = 1024, SERIES_MAX = 64, SAID_MAX = 16 * 1024 };

struct try {
	const char *file; /* for messages */
	char dir[PATH_BYTES];
	struct rule_own rules;
	char service[RULE_NAME_MAX + 1]; /* of the definition; "" */
	uint64_t interval_us;
	rule_test_fn *fn;
	void *arg;
	size_t expectations;
};

struct series {
	const char *metric, *service;
	struct rule_label labels[RULE_WHERE_MAX];
	size_t n_labels;
	struct rule_values values;
};

static int
bad(const struct try *t, const struct yaml_node *node, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, node->key ? node->key : "alert test",
		yaml_place(place, sizeof(place), t->file, node), "%s", text);
}

/* The member's text, or the fallback; NULL where it is none (refused). */
static int
text_of(const struct try *t, const struct yaml_node *map, const char *key, const char *fallback, const char **ret)
{
	const struct yaml_node *node = yaml_get(map, key);

	*ret = fallback;
	if (!node)
		return fallback ? 0 : bad(t, map, "lacks a member that it must have");
	if (node->kind != YAML_KIND_SCALAR || !*node->text)
		return bad(t, node, "must be text");
	*ret = node->text;
	return 0;
}

static int
check_members(const struct try *t, const struct yaml_node *map, const char *const *known, size_t n)
{
	if (map->kind != YAML_KIND_MAPPING)
		return bad(t, map, "must be a mapping");
	for (const struct yaml_node *node = map->children; node; node = node->next) {
		size_t i = 0;

		while (i < n && strcmp(known[i], node->key) != 0)
			i++;
		if (i == n)
			return yaml_unknown(t->file, node, node->key, "key", known, n);
	}
	return 0;
}

/* --- the rules ------------------------------------------------------------------------------------------ */
static int
take_definition(struct try *t, const char *name)
{
	SCOPED(scope_close) int fd = open(t->dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	SCOPED(definition_freep) struct definition *d = NULL;
	SCOPED(buf_done) struct buf in = BUF_MAX(DEFINITION_BYTES_MAX);
	int r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, name, in.max, &in);

	if (r > 0)
		return REFUSE(r, name, "cannot be read in %s", t->dir);
	r = r ?: definition_compile(&d, in.data, in.len, name, fd);
	if (r)
		return r < 0 ? FAULT(r) : r;
	(void)snprintf(t->service, sizeof(t->service), "%s", d->name);
	t->rules.rules = calloc(d->n_alerts + 1, sizeof(struct rule *));
	if (!t->rules.rules)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < d->n_alerts && r == 0; i++) {
		r = rule_read(&t->rules.rules[i], d->name, (json_t *)d->alerts[i].json);
		t->rules.n += r == 0;
	}
	return r < 0 ? FAULT(r) : r;
}

static int
take_rules(struct try *t, const struct yaml_node *root)
{
	const char *definition, *rules, *interval;
	int r = text_of(t, root, "definition", "", &definition);

	r = r ?: text_of(t, root, "rules", "", &rules);
	r = r ?: text_of(t, root, "interval", "15s", &interval);
	if (r)
		return r;
	if (!*definition == !*rules)
		return bad(t, root, "needs one of definition and rules");
	if (clock_parse_span(&t->interval_us, interval) != 0 || t->interval_us < CLOCK_US_PER_S ||
		t->interval_us > 3600 * CLOCK_US_PER_S)
		return bad(t, yaml_get(root, "interval"), "must be a span from 1s to 1h");
	return *definition ? take_definition(t, definition) : rule_own_load(&t->rules, t->dir, rules);
}

/* --- numbers ------------------------------------------------------------------------------------------- */
static int
read_labels(const struct try *t, const struct yaml_node *map, struct series *s)
{
	if (!map)
		return 0;
	if (map->kind != YAML_KIND_MAPPING || map->n_children > RULE_WHERE_MAX)
		return bad(t, map, "must be a mapping of at most 8");
	for (const struct yaml_node *node = map->children; node; node = node->next) {
		if (node->kind != YAML_KIND_SCALAR)
			return bad(t, node, "must be text");
		s->labels[s->n_labels++] = (struct rule_label){ node->key, node->text };
	}
	return 0;
}

static int
read_one(const struct try *t, const struct yaml_node *map, struct series *s)
{
	static const char *const known[] = { "metric", "service", "labels", "values" };
	const char *values;
	int r = check_members(t, map, known, ARRAY_LEN(known));

	r = r ?: text_of(t, map, "metric", NULL, &s->metric);
	r = r ?: text_of(t, map, "service", *t->service ? t->service : NULL, &s->service);
	r = r ?: text_of(t, map, "values", NULL, &values);
	r = r ?: read_labels(t, yaml_get(map, "labels"), s);
	if (r)
		return r;
	r = rule_values_parse(&s->values, values);
	return r > 0 ? bad(t, yaml_get(map, "values"), "is not of the form \"1x5 _ 0+10x3\", or of too many") : r;
}

struct numbers {
	struct series items[SERIES_MAX];
	size_t n;
};

static void
numbers_done(struct numbers *all)
{
	for (size_t i = 0; i < all->n; i++)
		rule_values_done(&all->items[i].values);
}

static int
read_series(const struct try *t, const struct yaml_node *list, struct numbers *all)
{
	int r = 0;

	if (!list || list->kind != YAML_KIND_SEQUENCE || list->n_children > SERIES_MAX)
		return bad(t, list ? list : &(struct yaml_node){ .line = 1, .column = 1 },
			"series must be a list of at most 64");
	for (const struct yaml_node *node = list->children; node && r == 0; node = node->next)
		r = read_one(t, node, &all->items[all->n++]);
	return r;
}

/* --- running --------------------------------------------------------------------------------------------- */
static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct words {
	char **items;
	size_t n;
	int r;
};

static void
words_done(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->items[i]);
	free(w->items);
}

static void
add_word(struct words *w, const char *name, const char *group, const char *state)
{
	char **more = reallocarray(w->items, w->n + 1, sizeof(*more));
	SCOPED(buf_done) struct buf b = BUF_MAX(2 * RULE_GROUP_MAX);

	if (more)
		w->items = more;
	buf_printf(&b, "%s%s%s%s %s", name, *group ? "{" : "", group, *group ? "}" : "", state);
	if (!more || !(w->items[w->n] = buf_take_text(&b)))
		w->r = -ENOMEM;
	else
		w->n++;
}

static void
on_standing(const struct rule_alert *alert, void *arg)
{
	add_word(arg, alert->rule->name, alert->group, rule_told_text(alert->told));
}

static void
on_told(const struct rule_alert *alert, void *arg)
{
	(void)alert; /* what stands is asked for */
	(void)arg;
}

static void
join(struct words *w, struct buf *out)
{
	if (w->n > 0)
		qsort(w->items, w->n, sizeof(*w->items), by_text);
	for (size_t i = 0; i < w->n; i++)
		buf_printf(out, "%s%s", i ? "; " : "", w->items[i]);
	if (w->n == 0)
		buf_puts(out, "nothing");
}

static int
expected(const struct try *t, const struct yaml_node *map, struct words *w)
{
	static const char *const states[] = { "firing", "muted" };

	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		const struct yaml_node *list = yaml_get(map, states[i]);

		if (list && list->kind != YAML_KIND_SEQUENCE)
			return bad(t, list, "must be a list of alerts");
		for (const struct yaml_node *node = list ? list->children : NULL; node; node = node->next) {
			if (node->kind != YAML_KIND_SCALAR)
				return bad(t, node, "must be an alert's name");
			add_word(w, node->text, "", states[i]);
		}
	}
	return FAULT(w->r);
}

/* From one moment to the next: numbers where they are due, and time. */
static void
pass(const struct try *t, struct rule_set *set, const struct numbers *all, uint64_t from_us, uint64_t to_us)
{
	for (uint64_t at_us = from_us; at_us <= to_us; at_us += CLOCK_US_PER_S) {
		for (size_t i = 0; at_us % t->interval_us == 0 && i < all->n; i++) {
			const struct series *s = &all->items[i];
			uint64_t n = at_us / t->interval_us;

			if (n < s->values.n)
				rule_feed(set, s->service, s->metric, s->labels, s->n_labels, s->values.items[n],
					BEGIN_US + at_us);
		}
		if (at_us % TICK_US == 0)
			rule_tick(set, BEGIN_US + at_us);
	}
}

static int
compare(struct try *t, const char *name, uint64_t at_us, const struct rule_set *set, const struct yaml_node *want)
{
	SCOPED(words_done) struct words is = { 0 }, should = { 0 };
	SCOPED(buf_done) struct buf a = BUF_MAX(SAID_MAX), b = BUF_MAX(SAID_MAX);
	int r = expected(t, want, &should);

	rule_each_firing(set, on_standing, &is);
	r = r ?: is.r;
	if (r)
		return r < 0 ? FAULT(r) : r;
	join(&should, &a);
	join(&is, &b);
	r = buf_error(&a) ?: buf_error(&b);
	if (r)
		return FAULT(r);
	t->expectations++;
	if (strcmp(buf_text(&a), buf_text(&b)) != 0)
		t->fn(&(struct rule_difference){ name, at_us, buf_text(&a), buf_text(&b) }, t->arg);
	return 0;
}

static int
run_one(struct try *t, const struct yaml_node *test)
{
	static const char *const known[] = { "name", "series", "expect" }, *const wants[] = { "at", "firing", "muted" };
	SCOPED(rule_freep) struct rule_set *set = NULL;
	SCOPED(numbers_done) struct numbers all = { .n = 0 };
	const struct yaml_node *expect;
	uint64_t next_us = 0, at_us;
	const char *name, *at;
	int r = check_members(t, test, known, ARRAY_LEN(known));

	r = r ?: text_of(t, test, "name", NULL, &name);
	r = r ?: read_series(t, yaml_get(test, "series"), &all);
	r = r ?: rule_new(&set, on_told, NULL);
	r = r ?: rule_load(set, t->rules.rules, t->rules.n, BEGIN_US);
	if (r)
		return r;
	expect = yaml_get(test, "expect");
	if (!expect || expect->kind != YAML_KIND_SEQUENCE)
		return bad(t, test, "expect must be a list");
	for (const struct yaml_node *want = expect->children; want && r == 0; want = want->next) {
		r = check_members(t, want, wants, ARRAY_LEN(wants));
		r = r ?: text_of(t, want, "at", NULL, &at);
		if (r)
			return r;
		if (clock_parse_span(&at_us, at) != 0 || at_us > AT_MAX_US || at_us + CLOCK_US_PER_S < next_us)
			return bad(t, want, "at must be a span of at most 2d, and not before the one above");
		pass(t, set, &all, next_us, at_us);
		next_us = (at_us / CLOCK_US_PER_S + 1) * CLOCK_US_PER_S;
		r = compare(t, name, at_us, set, want);
	}
	return r;
}

static int
run_all(struct try *t, const struct yaml_node *root)
{
	static const char *const known[] = { "definition", "rules", "interval", "tests" };
	const struct yaml_node *tests;
	int r = check_members(t, root, known, ARRAY_LEN(known));

	r = r ?: take_rules(t, root);
	if (r)
		return r;
	tests = yaml_get(root, "tests");
	if (!tests || tests->kind != YAML_KIND_SEQUENCE || tests->n_children == 0)
		return bad(t, tests ? tests : root, "tests must be a list of at least one");
	for (const struct yaml_node *test = tests->children; test && r == 0; test = test->next)
		r = run_one(t, test);
	return r;
}

int
rule_test_file(const char *path, rule_test_fn *fn, void *arg, size_t *ret_expectations)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(YAML_BYTES_MAX);
	struct try t = { .file = path, .fn = fn, .arg = arg };
	const char *slash = strrchr(path, '/');
	struct yaml_node *root = NULL;
	SCOPED(scope_close) int fd = -1;
	int r;

	(void)snprintf(t.dir, sizeof(t.dir), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	fd = open(t.dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? REASON_NOT_FOUND : fs_read(fd, slash ? slash + 1 : path, in.max, &in);
	if (r > 0)
		return REFUSE(r, path, "cannot be read");
	r = r ?: yaml_parse(&root, in.data, in.len, path);
	r = r ?: run_all(&t, root);
	yaml_node_free(root);
	rule_own_done(&t.rules);
	*ret_expectations = t.expectations;
	return r < 0 ? FAULT(r) : r;
}
