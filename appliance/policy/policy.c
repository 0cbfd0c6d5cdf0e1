#include "appliance/policy/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "appliance/policy/policy_room.h"

static const char *const decision_texts[] = {
	[POLICY_DENY] = "deny",
	[POLICY_ASK] = "ask",
	[POLICY_ALLOW] = "allow",
};

const char *
policy_decision_text(enum policy_decision d)
{
	return decision_texts[d];
}

bool
policy_list_has(const struct policy_list *l, const char *word)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->words[i], word) == 0)
			return true;
	return false;
}

/* --- deciding ------------------------------------------------------------------------------------ */
/* A closed window keeps an allowing rule from helping and never a denying one from biting; one that asks helps nobody
 * then, and is asked all the same where another one helps (policy_decide). */
static bool
in_hours(const struct policy_rule *rule, const struct policy_question *q)
{
	const struct policy_list *l = &rule->lists[POLICY_FORM_HOURS];

	if (!l->given)
		return true;
	if (q->windows_closed)
		return rule->decision == POLICY_DENY;
	for (size_t i = 0; i < l->n; i++)
		if (hours_open(&rule->hours[i], q->now_us))
			return true;
	return false;
}

/* But for its hours. */
static bool
is_about(const struct policy_rule *rule, const struct policy_question *q)
{
	const char *words[POLICY_FORM_HOURS] = {
		[POLICY_FORM_SERVICES] = q->service,
		[POLICY_FORM_OPERATIONS] = q->operation,
		[POLICY_FORM_RISK] = q->risk,
		[POLICY_FORM_ROLES] = q->role,
		[POLICY_FORM_ENGINEERS] = q->engineer,
	};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (rule->lists[i].given && !policy_list_has(&rule->lists[i], words[i]) &&
			!policy_list_has(&rule->lists[i], POLICY_EVERYTHING))
			return false;
	return true;
}

/* Of several rules that ask, only who stands on every list may approve. */
static void
limit_approvers(struct policy_answer *a, const struct policy_list *l)
{
	size_t kept = 0;

	if (!a->limited) {
		a->limited = true;
		for (size_t i = 0; i < l->n; i++)
			a->approvers[a->n_approvers++] = l->words[i];
		return;
	}
	for (size_t i = 0; i < a->n_approvers; i++)
		if (policy_list_has(l, a->approvers[i]))
			a->approvers[kept++] = a->approvers[i];
	a->n_approvers = kept;
}

/* When the rule would say something again. */
static uint64_t
rule_opens(const struct policy_rule *rule, const struct policy_question *q)
{
	uint64_t opens = UINT64_MAX;

	for (size_t i = 0; i < rule->lists[POLICY_FORM_HOURS].n; i++) {
		uint64_t at = hours_next(&rule->hours[i], q->now_us);

		opens = at < opens ? at : opens;
	}
	return q->windows_closed ? 0 : opens;
}

/* The maintenance hours are about what changes something. */
static void
hold_outside_window(const struct policy *p, const struct policy_question *q, struct policy_answer *a)
{
	uint64_t opens;

	if (a->decision == POLICY_DENY || strcmp(q->risk, "observe") == 0 ||
		policy_window_open(p, POLICY_WINDOW_REMOTE, q->now_us, q->windows_closed, &opens))
		return;
	a->outside = true;
	a->opens_us = opens;
	a->inside = a->decision == POLICY_ALLOW;
	a->decision = POLICY_ASK;
}

/* Who must say yes, wherever this rule asks. */
static void
ask_by(struct policy_answer *a, const struct policy_rule *rule)
{
	if (rule->need > a->need)
		a->need = rule->need;
	if (rule->decision == POLICY_ASK && rule->approvers.given)
		limit_approvers(a, &rule->approvers);
}

void
policy_decide(const struct policy *p, const struct policy_question *q, struct policy_answer *ret)
{
	struct policy_answer a = { .decision = POLICY_DENY, .need = 1 };
	bool held = false;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		if (!is_about(rule, q))
			continue;
		if (!in_hours(rule, q)) {
			if (a.closed == 0 && rule->decision != POLICY_DENY) {
				a.closed = (unsigned)i + 1;
				a.opens_us = rule_opens(rule, q);
			}
			/* Whoever can make the clock doubtful must not get rid of those who are asked at this hour. */
			if (q->windows_closed && rule->decision == POLICY_ASK) {
				held = true;
				ask_by(&a, rule);
			}
			continue;
		}
		if (a.n_rules < POLICY_MATCHES_MAX)
			a.rules[a.n_rules] = (unsigned)i + 1;
		/* The order of the enum is the order of strength. */
		if (a.n_rules++ == 0 || rule->decision < a.decision)
			a.decision = rule->decision;
		ask_by(&a, rule);
	}
	if (held && a.decision == POLICY_ALLOW)
		a.decision = POLICY_ASK;
	hold_outside_window(p, q, &a);
	*ret = a;
}

bool
policy_outside_window(const struct policy_answer *a)
{
	return a->decision == POLICY_DENY && a->n_rules == 0 && a->closed > 0;
}

bool
policy_may_approve(const struct policy *p, const struct policy_answer *a, const char *name)
{
	if (!policy_find_approver(p, name))
		return false;
	for (size_t i = 0; a->limited && i < a->n_approvers; i++)
		if (strcmp(a->approvers[i], name) == 0)
			return true;
	return !a->limited;
}

bool
policy_approvable(const struct policy *p, const struct policy_answer *a)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_approvers; i++)
		n += policy_may_approve(p, a, p->approvers[i].name);
	return n >= a->need;
}

/* At the end of out, cut to what there is room for. */
static void __attribute__((format(printf, 3, 4)))
say(char *out, size_t size, const char *fmt, ...)
{
	size_t at = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out + at, size - at, fmt, ap);
	va_end(ap);
}

static void
say_opening(char *out, size_t size, const struct policy_answer *a)
{
	char when[CLOCK_TEXT_MAX];

	if (a->opens_us)
		say(out, size, ", opens %s", clock_format(when, a->opens_us));
	else
		say(out, size, "; while the clock is doubtful it stays closed");
}

void
policy_explain(const struct policy *p, const struct policy_answer *a, char *out, size_t size)
{
	size_t shown = a->n_rules < POLICY_MATCHES_MAX ? a->n_rules : POLICY_MATCHES_MAX;

	(void)snprintf(out, size, "%s: ", decision_texts[a->decision]);
	if (a->n_rules == 0)
		say(out, size, "no rule matches");
	if (policy_outside_window(a)) {
		say(out, size, "; rule %u would (%s), but not at this hour", a->closed,
			decision_texts[p->rules[a->closed - 1].decision]);
		say_opening(out, size, a);
	}
	for (size_t i = 0; i < shown; i++)
		say(out, size, "%srule %u (%s)", i > 0 ? ", " : "", a->rules[i],
			decision_texts[p->rules[a->rules[i] - 1].decision]);
	if (a->outside) {
		say(out, size, "; %s the maintenance hours (windows.remote)",
			a->inside ? "allowed, but only within" : "outside");
		say_opening(out, size, a);
	}
}

json_t *
policy_rule_json(const struct policy *p, unsigned n)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(16 * 1024);
	const struct policy_rule *rule = &p->rules[n - 1];

	policy_rule_words(&b, rule);
	if (buf_error(&b))
		return NULL;
	return json_pack("{s:i, s:s, s:s}", "number", (int)n, "decision",
		decision_texts[rule->decision], "text", buf_text(&b));
}

/* --- people and the rest ------------------------------------------------------------------------- */
size_t
policy_n_approvers(const struct policy *p)
{
	return p->n_approvers;
}

const struct policy_approver *
policy_approver(const struct policy *p, size_t i)
{
	return i < p->n_approvers ? &p->approvers[i] : NULL;
}

const struct policy_approver *
policy_find_approver(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_approvers; i++)
		if (strcmp(p->approvers[i].name, name) == 0)
			return &p->approvers[i];
	return NULL;
}

size_t
policy_owners(const struct policy *p, unsigned *ret_k)
{
	*ret_k = p->k;
	return p->owners.n;
}

const char *
policy_owner(const struct policy *p, size_t i)
{
	return i < p->owners.n ? p->owners.words[i] : NULL;
}

const char *const policy_class_names[POLICY_CLASSES] = { "alert", "heartbeat", "inventory", "metric", "log", "result",
	"recording", "audit", "bundle" };

enum policy_class
policy_class_of(const struct policy *p, const char *class)
{
	const char *s = json_string_value(json_object_get(p->classes, class));

	return !s || s[0] == 's' ? POLICY_SEND : s[0] == 'r' ? POLICY_REVIEW : POLICY_KEEP;
}

bool
policy_notifies(const struct policy *p, const char *event)
{
	return policy_list_has(&p->notify, event);
}

bool
policy_window_open(const struct policy *p, const char *window, uint64_t now_us, bool doubtful,
	uint64_t *ret_opens_us)
{
	const json_t *spans = json_object_get(p->windows, window);
	uint64_t opens = UINT64_MAX;
	struct hours h;

	for (size_t i = 0; i < json_array_size(spans); i++) {
		if (!hours_parse(&h, json_string_value(json_array_get(spans, i))))
			continue; /* the reader took only spans */
		if (hours_next(&h, now_us) < opens)
			opens = hours_next(&h, now_us);
	}
	if (ret_opens_us)
		*ret_opens_us = !spans || doubtful || opens == now_us ? 0 : opens;
	return !spans || (!doubtful && opens == now_us);
}
