/* The compiled form, read strictly. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/policy/policy_room.h"
#include "appliance/trust/sha256.h"

static const char operand[] = "policy";

static enum policy_decision
decision_of(const char *text)
{
	return text[0] == 'd' ? POLICY_DENY : text[1] == 's' ? POLICY_ASK : POLICY_ALLOW;
}

static int
check_word(const json_t *v, enum policy_form form, const char **ret)
{
	const char *s = json_string_value(v);
	const char *wanted;

	if (!s || strlen(s) != json_string_length(v))
		return REFUSE(REASON_MALFORMED, operand, "%s: must be text",
			policy_form_name(form));
	wanted = policy_form_check(form, s);
	if (wanted)
		return REFUSE(REASON_MALFORMED, operand, "%s: \"%s\" is not %s",
			policy_form_name(form), s, wanted);
	*ret = s;
	return 0;
}

static int
read_list(const json_t *v, enum policy_form form, struct policy_list *ret)
{
	size_t n = json_array_size(v);
	int r = 0;

	if (!v)
		return 0;
	if (!json_is_array(v) || n == 0 || n > POLICY_FORM_LIST_MAX)
		return REFUSE(REASON_MALFORMED, operand, "%s: must be a list of 1 to %d",
			policy_form_name(form), (int)POLICY_FORM_LIST_MAX);
	ret->words = calloc(n, sizeof(*ret->words));
	if (!ret->words)
		return FAULT(-ENOMEM);
	ret->given = true;
	ret->n = n;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = check_word(json_array_get(v, i), form, &ret->words[i]);
	return r;
}

static int
read_hours(struct policy_rule *rule)
{
	const struct policy_list *l = &rule->lists[POLICY_FORM_HOURS];

	rule->hours = l->given ? calloc(l->n, sizeof(*rule->hours)) : NULL;
	if (l->given && !rule->hours)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < l->n; i++)
		if (!hours_parse(&rule->hours[i], l->words[i]))
			return FAULT(-EINVAL); /* read_list() has checked its form */
	return 0;
}

/* [ann, bob]: one of them; {need: 2, of: [ann, bob, eve]}: two of them, of all where "of" is left out. */
static int
read_rule_approvers(struct policy_rule *rule, const json_t *v)
{
	struct parts {
		uint64_t need;
		json_t *of;
	} parts = { 0 };
	static const struct json_field fields[] = {
		{ "need", JSON_KIND_U64, false, offsetof(struct parts, need), POLICY_NEED_MAX },
		{ "of", JSON_KIND_ARRAY, true, offsetof(struct parts, of), 0 },
	};
	int r;

	if (!json_is_object(v))
		return read_list(v, POLICY_FORM_APPROVERS, &rule->approvers);
	r = json_members(v, fields, ARRAY_LEN(fields), &parts, operand);
	if (r == 0 && parts.need < 1)
		return REFUSE(REASON_MALFORMED, operand, "approvers: need must be 1 at least");
	rule->need = (unsigned)parts.need;
	r = r ?: read_list(parts.of, POLICY_FORM_APPROVERS, &rule->approvers);
	for (size_t i = 0; r == 0 && i < rule->approvers.n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(rule->approvers.words[i], rule->approvers.words[j]) == 0)
				return REFUSE(REASON_MALFORMED, operand,
					"approvers: \"%s\" stands there twice",
					rule->approvers.words[i]);
	return r;
}

static int
read_rule(struct policy *p, const json_t *obj, struct policy_rule *rule)
{
	struct parts {
		json_t *lists[POLICY_LISTS], *approvers;
		const char *decision;
	} parts = { 0 };
	static const struct json_field fields[] = {
		{ "services", JSON_KIND_ARRAY, true,
			offsetof(struct parts, lists[POLICY_FORM_SERVICES]), 0 },
		{ "operations", JSON_KIND_ARRAY, true,
			offsetof(struct parts, lists[POLICY_FORM_OPERATIONS]), 0 },
		{ "risk", JSON_KIND_ARRAY, true, offsetof(struct parts, lists[POLICY_FORM_RISK]),
			0 },
		{ "roles", JSON_KIND_ARRAY, true, offsetof(struct parts, lists[POLICY_FORM_ROLES]),
			0 },
		{ "engineers", JSON_KIND_ARRAY, true,
			offsetof(struct parts, lists[POLICY_FORM_ENGINEERS]), 0 },
		{ "hours", JSON_KIND_ARRAY, true, offsetof(struct parts, lists[POLICY_FORM_HOURS]),
			0 },
		{ "approvers", JSON_KIND_ANY, true, offsetof(struct parts, approvers), 0 },
		{ "decision", JSON_KIND_TEXT, false, offsetof(struct parts, decision), 0 },
	};
	int r = json_members(obj, fields, ARRAY_LEN(fields), &parts, operand);

	for (unsigned i = 0; r == 0 && i < POLICY_LISTS; i++)
		r = read_list(parts.lists[i], (enum policy_form)i, &rule->lists[i]);
	r = r ?: read_rule_approvers(rule, parts.approvers);
	r = r
		?: check_word(json_object_get(obj, "decision"), POLICY_FORM_DECISION,
			   &parts.decision);
	r = r ?: read_hours(rule);
	if (r)
		return r;
	rule->decision = decision_of(parts.decision);
	if (rule->decision == POLICY_ALLOW &&
		(!rule->lists[POLICY_FORM_OPERATIONS].given ||
			policy_list_has(&rule->lists[POLICY_FORM_OPERATIONS], POLICY_EVERYTHING)))
		return REFUSE(REASON_MALFORMED, operand,
			"a rule that allows must name its operations");
	if (parts.approvers && rule->decision != POLICY_ASK)
		return REFUSE(REASON_MALFORMED, operand, "approvers belong to a rule that asks");
	rule->need = rule->decision != POLICY_ASK ? 0 : rule->need ? rule->need : 1;
	if (rule->need > 1 &&
		rule->need > (rule->approvers.given ? rule->approvers.n : p->n_approvers))
		return REFUSE(REASON_MALFORMED, operand,
			"approvers: %u must approve, and there are not so many", rule->need);
	for (size_t i = 0; i < rule->approvers.n; i++)
		if (!policy_find_approver(p, rule->approvers.words[i]))
			return REFUSE(REASON_MALFORMED, operand,
				"approvers: nobody is called \"%s\"", rule->approvers.words[i]);
	return 0;
}

static int
read_rules(struct policy *p, const json_t *rules)
{
	size_t n = json_array_size(rules);
	int r = 0;

	p->rules = calloc(n + 1, sizeof(*p->rules));
	if (!p->rules)
		return FAULT(-ENOMEM);
	p->n_rules = n;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = read_rule(p, json_array_get(rules, i), &p->rules[i]);
	return r;
}

static int
read_approvers(struct policy *p, const json_t *approvers)
{
	static const struct json_field fields[] = {
		{ "name", JSON_KIND_TEXT, false, offsetof(struct policy_approver, name),
			POLICY_FORM_WORD_MAX },
		{ "key", JSON_KIND_TEXT, false, offsetof(struct policy_approver, key),
			POLICY_KEY_MAX },
	};
	size_t n = json_array_size(approvers);

	p->approvers = calloc(n + 1, sizeof(*p->approvers));
	if (!p->approvers)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < n; i++) {
		const json_t *obj = json_array_get(approvers, i);
		struct policy_approver *a = &p->approvers[i];
		int r = json_members(obj, fields, ARRAY_LEN(fields), a, operand);

		r = r ?: check_word(json_object_get(obj, "name"), POLICY_FORM_NAME, &a->name);
		r = r ?: check_word(json_object_get(obj, "key"), POLICY_FORM_KEY, &a->key);
		if (r)
			return r;
		if (policy_find_approver(p, a->name))
			return REFUSE(REASON_MALFORMED, operand, "approvers: two are called \"%s\"",
				a->name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->approvers[j].key, a->key) == 0)
				return REFUSE(REASON_MALFORMED, operand,
					"approvers: \"%s\" and \"%s\" have the same key",
					p->approvers[j].name, a->name);
		p->n_approvers++;
	}
	return 0;
}

static int
read_owners(struct policy *p, const json_t *owners)
{
	struct parts {
		uint64_t k;
		json_t *keys;
	} parts = { 0 };
	static const struct json_field fields[] = {
		{ "k", JSON_KIND_U64, false, offsetof(struct parts, k), POLICY_FORM_LIST_MAX },
		{ "keys", JSON_KIND_ARRAY, false, offsetof(struct parts, keys), 0 },
	};
	int r;

	if (!owners)
		return 0;
	r = json_members(owners, fields, ARRAY_LEN(fields), &parts, operand);
	r = r ?: read_list(parts.keys, POLICY_FORM_KEY, &p->owners);
	if (r)
		return r;
	if (parts.k < 1 || parts.k > p->owners.n)
		return REFUSE(REASON_MALFORMED, operand,
			"owners: k must be from 1 to the number of keys");
	for (size_t i = 0; i < p->owners.n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->owners.words[i], p->owners.words[j]) == 0)
				return REFUSE(REASON_MALFORMED, operand,
					"owners: the same key twice");
	p->k = (unsigned)parts.k;
	return 0;
}

static int
check_classes(const json_t *classes)
{
	const char *name, *word;
	json_t *v, *obj;

	memcpy(&obj, &classes, sizeof(obj)); /* jansson's iterator takes no const */
	json_object_foreach(obj, name, v) {
		size_t i = 0;
		int r;

		while (i < POLICY_CLASSES && strcmp(policy_class_names[i], name) != 0)
			i++;
		if (i == POLICY_CLASSES)
			return REFUSE(REASON_MALFORMED, operand, "classes: \"%s\" is no class", name);
		r = check_word(v, POLICY_FORM_CLASS, &word);
		if (r)
			return r;
	}
	return 0;
}

static int
check_windows(const json_t *windows)
{
	const char *name;
	json_t *v, *obj;
	int r = 0;

	memcpy(&obj, &windows, sizeof(obj));
	json_object_foreach(obj, name, v) {
		struct policy_list l = { 0 };

		if (policy_form_check(POLICY_FORM_WINDOW, name))
			return REFUSE(REASON_UNKNOWN_FIELD, operand,
				"windows: \"%s\" is not one of updates, remote", name);
		r = read_list(v, POLICY_FORM_HOURS, &l);
		free(l.words);
		if (r)
			break;
	}
	return r;
}

static int
read_document(struct policy *p)
{
	struct parts {
		uint64_t v;
		json_t *owners, *approvers, *classes, *windows, *notify, *rules;
	} parts = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, false, offsetof(struct parts, v), 0 },
		{ "owners", JSON_KIND_OBJECT, true, offsetof(struct parts, owners), 0 },
		{ "approvers", JSON_KIND_ARRAY, true, offsetof(struct parts, approvers),
			POLICY_APPROVERS_MAX },
		{ "classes", JSON_KIND_OBJECT, true, offsetof(struct parts, classes),
			POLICY_FORM_LIST_MAX },
		{ "windows", JSON_KIND_OBJECT, true, offsetof(struct parts, windows),
			POLICY_FORM_LIST_MAX },
		{ "notify", JSON_KIND_ARRAY, true, offsetof(struct parts, notify), 0 },
		{ "rules", JSON_KIND_ARRAY, false, offsetof(struct parts, rules),
			POLICY_RULES_MAX },
	};
	int r = json_members(p->doc, fields, ARRAY_LEN(fields), &parts, operand);

	if (r == 0 && parts.v != 1)
		return REFUSE(REASON_MALFORMED, operand, "version %llu; this one reads 1",
			(unsigned long long)parts.v);
	r = r ?: read_owners(p, parts.owners);
	r = r ?: read_approvers(p, parts.approvers);
	r = r ?: check_classes(parts.classes);
	r = r ?: check_windows(parts.windows);
	r = r ?: read_list(parts.notify, POLICY_FORM_NOTIFY, &p->notify);
	r = r ?: read_rules(p, parts.rules);
	p->classes = parts.classes;
	p->windows = parts.windows;
	return r;
}

int
policy_from_json(struct policy **ret, const json_t *doc)
{
	SCOPED(policy_freep) struct policy *p = calloc(1, sizeof(*p));
	SCOPED(buf_done) struct buf b = BUF_MAX(POLICY_BYTES_MAX);
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	p->doc = json_copy_whole(doc, JSON_DEEP);
	if (!p->doc)
		return FAULT(-ENOMEM);
	r = read_document(p);
	r = r ?: json_canonical(&b, p->doc);
	if (r == -EMSGSIZE)
		return REFUSE(REASON_TOO_LARGE, operand, "compiled, over %d bytes",
			(int)POLICY_BYTES_MAX);
	if (r)
		return FAULT(r);
	sha256_of(p->digest, b.data, b.len);
	*ret = STEAL(p);
	return 0;
}

int
policy_parse(struct policy **ret, const void *json, size_t len)
{
	SCOPED_JSON *doc = NULL;
	int r = json_read(&doc, json, len, POLICY_BYTES_MAX, operand);

	return r ? FAULT(r) : policy_from_json(ret, doc);
}

int
policy_default(struct policy **ret)
{
	static const char text[] = "{\"v\":1,\"rules\":["
				   "{\"risk\":[\"observe\",\"change\"],\"decision\":\"ask\"},"
				   "{\"risk\":[\"destroy\",\"session\"],\"decision\":\"deny\"}]}";

	return policy_parse(ret, text, sizeof(text) - 1);
}

int
policy_deny_all(struct policy **ret, const json_t *owners)
{
	SCOPED_JSON *doc = json_pack("{s:i, s:[{s:s}]}", "v", 1, "rules", "decision", "deny");

	if (!doc || (owners && json_object_set_new(doc, "owners", json_copy_whole(owners, JSON_DEEP)) < 0))
		return FAULT(-ENOMEM);
	return policy_from_json(ret, doc);
}

struct policy *
policy_free(struct policy *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n_rules; i++) {
		for (unsigned l = 0; l < POLICY_LISTS; l++)
			free(p->rules[i].lists[l].words);
		free(p->rules[i].approvers.words);
		free(p->rules[i].hours);
	}
	free(p->rules);
	free(p->approvers);
	free(p->owners.words);
	free(p->notify.words);
	json_decref(p->doc);
	free(p);
	return NULL;
}

const json_t *
policy_json(const struct policy *p)
{
	return p->doc;
}

const uint8_t *
policy_digest(const struct policy *p)
{
	return p->digest;
}
