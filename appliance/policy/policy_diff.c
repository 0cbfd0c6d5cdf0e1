/* What one policy permits otherwise than another, in sentences.
 *
 * The difference is taken rule by rule, never by trying questions: so it is complete, and errs by saying too much.
 * Whenever some question gets a weaker answer (or more people may approve it, or fewer must), a "+" line says why:
 * that question's answer rests on a rule that came (allow, ask) or on one that went (deny, ask) while something that
 * permits still matches it. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_form.h"
#include "appliance/policy/policy_room.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

enum sign { MORE, LESS, SAME }; /* in the order they are shown */

struct diff {
	json_t *lines[3]; /* owned */
	struct buf b;	  /* the line that is being made */
	bool short_of;	  /* memory: a line could be missing */
};

static void
add(struct diff *d, enum sign sign)
{
	static const char signs[] = { [MORE] = '+', [LESS] = '-', [SAME] = '=' };
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE_MAX_BYTES);

	buf_printf(&b, "%c %s", signs[sign], buf_text(&d->b));
	/* A line that does not fit is still a line: its beginning says what it is about. */
	if (buf_error(&d->b) == -ENOMEM || buf_error(&b) == -ENOMEM ||
		json_array_append_new(d->lines[sign], json_string(buf_text(&b))) < 0)
		d->short_of = true;
	buf_reset(&d->b);
}

/* --- rules in words ------------------------------------------------------------------------------ */
static bool
is_given(const struct policy_list *l)
{
	return l->given && !policy_list_has(l, POLICY_EVERYTHING);
}

static void
put_words(struct buf *b, const struct policy_list *l, const char *before, const char *nothing)
{
	if (!is_given(l))
		buf_puts(b, nothing);
	for (size_t i = 0; is_given(l) && i < l->n; i++)
		buf_printf(b, "%s%s", i == 0 ? before : i + 1 == l->n ? " or " : ", ", l->words[i]);
}

void
policy_rule_words(struct buf *b, const struct policy_rule *r)
{
	put_words(b, &r->lists[POLICY_FORM_OPERATIONS], "", "any operation");
	put_words(b, &r->lists[POLICY_FORM_RISK], " of risk ", "");
	put_words(b, &r->lists[POLICY_FORM_SERVICES], " of ", " of any service");
	put_words(b, &r->lists[POLICY_FORM_ENGINEERS], " by ", "");
	put_words(b, &r->lists[POLICY_FORM_ROLES], " as ", "");
	put_words(b, &r->lists[POLICY_FORM_HOURS], " in the hours ", "");
	if (r->decision != POLICY_ASK)
		return;
	if (r->need > 1)
		buf_printf(b, ", by %u of ", r->need);
	else
		buf_puts(b, ", by ");
	put_words(b, &r->approvers, "", r->need > 1 ? "the approvers" : "any approver");
}

/* --- comparing rules ----------------------------------------------------------------------------- */
static bool
lists_equal(const struct policy_list *a, const struct policy_list *b)
{
	if (a->given != b->given || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!policy_list_has(b, a->words[i]) || !policy_list_has(a, b->words[i]))
			return false;
	return true;
}

static bool
rules_equal(const struct policy_rule *a, const struct policy_rule *b)
{
	for (unsigned i = 0; i < POLICY_LISTS; i++)
		if (!lists_equal(&a->lists[i], &b->lists[i]))
			return false;
	return a->decision == b->decision && a->need == b->need &&
		lists_equal(&a->approvers, &b->approvers);
}

static bool
has_rule(const struct policy *p, const struct policy_rule *rule)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (rules_equal(&p->rules[i], rule))
			return true;
	return false;
}

/* Is there a question that both match?  Hours are left aside: what might meet is said to. */
static bool
may_meet(const struct policy_rule *a, const struct policy_rule *b)
{
	for (unsigned i = 0; i < POLICY_FORM_HOURS; i++) {
		const struct policy_list *x = &a->lists[i], *y = &b->lists[i];
		bool meet = !is_given(x) || !is_given(y);

		for (size_t k = 0; !meet && k < x->n; k++)
			meet = policy_list_has(y, x->words[k]);
		if (!meet)
			return false;
	}
	return true;
}

/* Does something in p still permit what the rule held back? */
static bool
is_permitted(const struct policy *p, const struct policy_rule *rule)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].decision != POLICY_DENY && may_meet(&p->rules[i], rule))
			return true;
	return false;
}

static void
rule_came(struct diff *d, const struct policy_rule *rule)
{
	static const char *const words[] = {
		[POLICY_DENY] = "denied: ",
		[POLICY_ASK] = "may run once it is approved: ",
		[POLICY_ALLOW] = "may run without asking: ",
	};

	buf_puts(&d->b, words[rule->decision]);
	policy_rule_words(&d->b, rule);
	add(d, rule->decision == POLICY_DENY ? LESS : MORE);
}

static void
rule_went(struct diff *d, const struct policy_rule *rule, const struct policy *after)
{
	static const char *const words[] = {
		[POLICY_DENY] = "no longer denied: ",
		[POLICY_ASK] = "no longer asked about: ",
		[POLICY_ALLOW] = "no longer runs without asking: ",
	};
	bool permitted = is_permitted(after, rule);

	buf_puts(&d->b, words[rule->decision]);
	policy_rule_words(&d->b, rule);
	if (rule->decision == POLICY_ALLOW)
		add(d, LESS);
	else if (permitted)
		add(d, MORE);
	else if (rule->decision == POLICY_ASK)
		add(d, LESS);
	else {
		buf_puts(&d->b, " (no rule permits it either)");
		add(d, SAME);
	}
}

static void
rules(struct diff *d, const struct policy *before, const struct policy *after)
{
	for (size_t i = 0; i < after->n_rules; i++)
		if (!has_rule(before, &after->rules[i]))
			rule_came(d, &after->rules[i]);
	for (size_t i = 0; i < before->n_rules; i++)
		if (!has_rule(after, &before->rules[i]))
			rule_went(d, &before->rules[i], after);
}

/* --- people -------------------------------------------------------------------------------------- */
static bool
has_approver(const struct policy *p, const struct policy_approver *a)
{
	const struct policy_approver *same = policy_find_approver(p, a->name);

	return same && strcmp(same->key, a->key) == 0;
}

static void
approvers(struct diff *d, const struct policy *p, const struct policy *other, enum sign sign)
{
	for (size_t i = 0; i < p->n_approvers; i++) {
		const struct policy_approver *a = &p->approvers[i];

		if (has_approver(other, a))
			continue;
		buf_printf(&d->b, "approver %s %s %s", a->name,
			sign == MORE ? "may say yes, with" : "may no longer say yes, with", a->key);
		add(d, sign);
	}
}

static void
owners(struct diff *d, const struct policy *before, const struct policy *after)
{
	for (size_t i = 0; i < after->owners.n; i++)
		if (!policy_list_has(&before->owners, after->owners.words[i])) {
			buf_printf(&d->b, "owner %s", after->owners.words[i]);
			add(d, before->owners.n ? MORE : LESS);
		}
	for (size_t i = 0; i < before->owners.n; i++)
		if (!policy_list_has(&after->owners, before->owners.words[i])) {
			buf_printf(&d->b, "no longer owner %s", before->owners.words[i]);
			add(d, after->owners.n ? LESS : MORE);
		}
	if (before->k == after->k)
		return;
	if (after->k == 0)
		buf_puts(&d->b, "nobody guards policy, switches and core any more: no owners");
	else
		buf_printf(&d->b, "%u of %zu owners must sign, before %u of %zu", after->k,
			after->owners.n, before->k, before->owners.n);
	add(d, after->k < before->k ? MORE : LESS);
}

/* --- classes, windows, notify -------------------------------------------------------------------- */
/* Those that either policy names. */
static json_t *
names_of(struct diff *d, const json_t *a, const json_t *b)
{
	json_t *all = json_object();

	if (!all || (a && json_object_update(all, (json_t *)(uintptr_t)a) < 0) || /* read only */
		(b && json_object_update(all, (json_t *)(uintptr_t)b) < 0))
		d->short_of = true;
	return all;
}

static void
classes(struct diff *d, const struct policy *before, const struct policy *after)
{
	static const char *const fates[] = { [POLICY_SEND] = "sent",
		[POLICY_REVIEW] = "kept for review before it goes",
		[POLICY_KEEP] = "kept here" };
	SCOPED_JSON *all = names_of(d, before->classes, after->classes);
	const char *name;
	json_t *v;

	json_object_foreach(all, name, v) {
		enum policy_class old = policy_class_of(before, name),
				  new = policy_class_of(after, name);

		if (old == new)
			continue;
		buf_printf(&d->b, "class %s is %s, before %s", name, fates[new], fates[old]);
		add(d, new < old ? MORE : LESS);
	}
}

static bool
all_within(const json_t *spans, const json_t *in)
{
	bool all = true;

	for (size_t i = 0; i < json_array_size(spans); i++) {
		bool found = false;

		for (size_t k = 0; k < json_array_size(in); k++)
			found = found || json_equal(json_array_get(spans, i), json_array_get(in, k));
		all = all && found;
	}
	return all;
}

static void
windows(struct diff *d, const struct policy *before, const struct policy *after)
{
	SCOPED_JSON *all = names_of(d, before->windows, after->windows);
	const char *name;
	json_t *v;

	json_object_foreach(all, name, v) {
		const json_t *old = json_object_get(before->windows, name);
		const json_t *new = json_object_get(after->windows, name);

		if (new && old && all_within(old, new) && all_within(new, old))
			continue;
		buf_printf(&d->b, "window %s is ", name);
		if (!new)
			buf_puts(&d->b, "always open");
		for (size_t i = 0; i < json_array_size(new); i++)
			buf_printf(&d->b, "%s%s", i ? ", " : "open ",
				json_string_value(json_array_get(new, i)));
		/* What is not named is always open. */
		add(d, !new || (old && !all_within(new, old)) ? MORE : LESS);
	}
}

static void
notify(struct diff *d, const struct policy *before, const struct policy *after)
{
	for (size_t i = 0; i < before->notify.n; i++)
		if (!policy_list_has(&after->notify, before->notify.words[i])) {
			buf_printf(&d->b, "nobody is told of: %s", before->notify.words[i]);
			add(d, MORE);
		}
	for (size_t i = 0; i < after->notify.n; i++)
		if (!policy_list_has(&before->notify, after->notify.words[i])) {
			buf_printf(&d->b, "told of: %s", after->notify.words[i]);
			add(d, LESS);
		}
}

/* --- all ----------------------------------------------------------------------------------------- */
json_t *
policy_diff(const struct policy *before, const struct policy *after, bool *ret_widens)
{
	struct diff d = { .b = BUF_MAX(LINE_MAX_BYTES) };

	for (unsigned i = 0; i < ARRAY_LEN(d.lines); i++)
		d.lines[i] = json_array();
	rules(&d, before, after);
	approvers(&d, after, before, MORE);
	approvers(&d, before, after, LESS);
	owners(&d, before, after);
	classes(&d, before, after);
	windows(&d, before, after);
	notify(&d, before, after);
	*ret_widens = json_array_size(d.lines[MORE]) > 0 || d.short_of;
	if (json_array_extend(d.lines[MORE], d.lines[LESS]) < 0 || json_array_extend(d.lines[MORE], d.lines[SAME]) < 0)
		d.short_of = true;
	json_decref(d.lines[LESS]);
	json_decref(d.lines[SAME]);
	buf_done(&d.b);
	if (!d.short_of)
		return d.lines[MORE];
	json_decref(d.lines[MORE]);
	(void)FAULT(-ENOMEM);
	return NULL;
}

int
policy_same_but_approvers(const struct policy *a, const struct policy *b)
{
	SCOPED_JSON *x = json_copy_whole(policy_json(a), JSON_SHALLOW); /* shallow: only a member goes */
	SCOPED_JSON *y = json_copy_whole(policy_json(b), JSON_SHALLOW);

	if (!x || !y)
		return FAULT(-ENOMEM);
	(void)json_object_del(x, "approvers");
	(void)json_object_del(y, "approvers");
	return json_equal(x, y);
}

/* --- what nobody could approve ------------------------------------------------------------------- */
static size_t
in_common(const struct policy *p, const struct policy_rule *a, const struct policy_rule *b)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_approvers; i++)
		n += (!a->approvers.given || policy_list_has(&a->approvers, p->approvers[i].name)) &&
			(!b->approvers.given || policy_list_has(&b->approvers, p->approvers[i].name));
	return n;
}

static int
warn(json_t *out, const struct policy *p, size_t i, size_t k)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(LINE_MAX_BYTES);
	const struct policy_rule *first = &p->rules[i], *second = &p->rules[k];
	unsigned need = first->need > second->need ? first->need : second->need;
	size_t n = in_common(p, first, second);

	if (n >= need || !may_meet(first, second))
		return 0;
	buf_printf(&b, "rules %zu and %zu may ask about the same request, and %u must approve it who stand on both "
		       "lists: %zu of the approvers %s",
		i + 1, k + 1, need, n, n == 1 ? "does" : "do");
	return buf_error(&b) == -ENOMEM || json_array_append_new(out, json_string(buf_text(&b))) < 0 ? FAULT(-ENOMEM) : 0;
}

/* What the vendor's part of the work needs, and what happens without.  These have no fields that could be accepted one by
 * one: under review nothing of them leaves, either. */
static int
warn_classes(json_t *out, const struct policy *p)
{
	static const struct {
		const char *name, *what;
	} needed[] = {
		{ "heartbeat", "the vendor does not learn what runs here: no releases are assigned, and requests cannot "
			       "name this site's epoch" },
		{ "result", "requests are judged and may run, but neither plan nor result reaches who asked" },
		{ "audit", "no head of the audit log leaves: no witness can cosign it" },
	};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		SCOPED(buf_done) struct buf b = BUF_MAX(LINE_MAX_BYTES);

		if (policy_class_of(p, needed[i].name) == POLICY_SEND)
			continue;
		buf_printf(&b, "class %s is not sent: %s", needed[i].name, needed[i].what);
		if (buf_error(&b) == -ENOMEM || json_array_append_new(out, json_string(buf_text(&b))) < 0)
			return FAULT(-ENOMEM);
	}
	return 0;
}

json_t *
policy_warnings(const struct policy *p)
{
	SCOPED_JSON *out = json_array();
	int r = warn_classes(out, p);

	/* Without approvers nothing can be approved anyway, and `policy explain` says so. */
	for (size_t i = 0; p->n_approvers > 0 && i < p->n_rules; i++)
		for (size_t k = 0; p->rules[i].decision == POLICY_ASK && k < i; k++)
			if (p->rules[k].decision == POLICY_ASK)
				r = r ?: warn(out, p, k, i);
	return r == 0 ? STEAL(out) : NULL;
}
