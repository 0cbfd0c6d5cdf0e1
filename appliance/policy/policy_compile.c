#include "appliance/policy/policy_compile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/nearest.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/yaml.h"
#include "appliance/policy/policy.h"
#include "appliance/policy/policy_form.h"

const char policy_compile_default[] =
	"# What the vendor may do here.  All rules that match count: deny beats ask beats allow.\n"
	"v: 1\n"
	"rules:\n"
	"  - { risk: [observe, change], decision: ask }\n"
	"  - { risk: [destroy, session], decision: deny }\n";

SCOPED_DESTRUCTOR(struct yaml_node, yaml_node_free)

struct compiler {
	const char *name;   /* of the file */
	char within[32];    /* "rule 2"; "" elsewhere */
};

/* What a refusal is about: the rule, for people count them, or the key. */
static const char *
operand(const struct compiler *c, const struct yaml_node *n)
{
	return c->within[0] ? c->within : n->key ? n->key : "policy";
}

static int
refuse_at(const struct compiler *c, const struct yaml_node *n, const char *text)
{
	char place[REFUSE_PLACE_MAX];

	return REFUSE_AT(REASON_MALFORMED, operand(c, n),
		yaml_place(place, sizeof(place), c->name, n), "%s", text);
}

static int
put(json_t *obj, const char *name, json_t *take_v)
{
	return json_object_set_new(obj, name, take_v) < 0 ? FAULT(-ENOMEM) : 0;
}

/* --- words --------------------------------------------------------------------------------------- */
static int
check_word(const struct compiler *c, const struct yaml_node *n, enum policy_form form)
{
	char place[REFUSE_PLACE_MAX];
	const char *const *words;
	const char *wanted, *near;
	size_t n_words;

	if (n->kind != YAML_KIND_SCALAR)
		return refuse_at(c, n, "must be one word");
	wanted = policy_form_check(form, n->text);
	if (!wanted)
		return 0;
	words = policy_form_words(form, &n_words);
	near = words ? nearest_word(n->text, words, n_words) : NULL;
	yaml_place(place, sizeof(place), c->name, n);
	if (near)
		return REFUSE_AT(REASON_MALFORMED, policy_form_name(form), place,
			"\"%s\" is not %s; did you mean \"%s\"?", n->text, wanted, near);
	return REFUSE_AT(REASON_MALFORMED, policy_form_name(form), place, "\"%s\" is not %s",
		n->text, wanted);
}

/* One word or a list of words, to a list. */
static int
put_list(const struct compiler *c, const struct yaml_node *n, enum policy_form form,
	const char *name, json_t *out)
{
	const struct yaml_node *child = n->kind == YAML_KIND_SCALAR ? n : n->children;
	json_t *list = json_array();
	int r = put(out, name, list);

	if (r < 0)
		return r;
	if (n->kind == YAML_KIND_MAPPING || !child)
		return refuse_at(c, n, "must be one word or a list of words");
	for (; r == 0 && child; child = n->kind == YAML_KIND_SCALAR ? NULL : child->next) {
		if (json_array_size(list) == POLICY_FORM_LIST_MAX)
			return refuse_at(c, n, "has too many entries");
		r = check_word(c, child, form);
		if (r == 0 && json_array_append_new(list, json_string(child->text)) < 0)
			r = FAULT(-ENOMEM);
	}
	return r;
}

static int
put_word(const struct compiler *c, const struct yaml_node *n, enum policy_form form,
	const char *name, json_t *out)
{
	int r = check_word(c, n, form);

	return r ? r : put(out, name, json_string(n->text));
}

static int
need_mapping(const struct compiler *c, const struct yaml_node *n, const char *const keys[],
	size_t n_keys)
{
	if (n->kind != YAML_KIND_MAPPING)
		return refuse_at(c, n, "must be a mapping");
	for (const struct yaml_node *child = n->children; keys && child; child = child->next) {
		bool known = false;

		for (size_t i = 0; i < n_keys; i++)
			known = known || strcmp(keys[i], child->key) == 0;
		if (!known)
			return yaml_unknown(c->name, child, operand(c, n), "key", keys, n_keys);
	}
	return 0;
}

/* --- sections ------------------------------------------------------------------------------------ */
static int
put_owners(const struct compiler *c, const struct yaml_node *n, json_t *out)
{
	static const char *const keys[] = { "k", "keys" };
	const struct yaml_node *k, *list;
	json_t *owners = json_object();
	uint64_t count = 0;
	int r = put(out, "owners", owners);

	r = r ?: need_mapping(c, n, keys, ARRAY_LEN(keys));
	if (r)
		return r;
	k = yaml_get(n, "k");
	list = yaml_get(n, "keys");
	if (!k || !list)
		return refuse_at(c, n, "needs k (how many must sign) and keys");
	r = put_list(c, list, POLICY_FORM_KEY, "keys", owners);
	if (r)
		return r;
	if (k->kind != YAML_KIND_SCALAR || number_u64(&count, k->text, POLICY_FORM_LIST_MAX) != 0 ||
		count < 1 || count > json_array_size(json_object_get(owners, "keys")))
		return refuse_at(c, k, "must be a number from 1 to the number of keys");
	return put(owners, "k", json_integer((json_int_t)count));
}

static int
put_approvers(const struct compiler *c, const struct yaml_node *n, json_t *out)
{
	static const char *const keys[] = { "name", "key" };
	json_t *list = json_array();
	int r = put(out, "approvers", list);

	if (r == 0 && n->kind != YAML_KIND_SEQUENCE)
		return refuse_at(c, n, "must be a list of {name, key}");
	for (const struct yaml_node *child = n->children; r == 0 && child; child = child->next) {
		const struct yaml_node *name, *key;
		json_t *obj = json_object();

		if (json_array_append_new(list, obj) < 0)
			return FAULT(-ENOMEM);
		r = need_mapping(c, child, keys, ARRAY_LEN(keys));
		if (r)
			return r;
		name = yaml_get(child, "name");
		key = yaml_get(child, "key");
		if (!name || !key)
			return refuse_at(c, child, "an approver needs name and key");
		r = put_word(c, name, POLICY_FORM_NAME, "name", obj);
		r = r ?: put_word(c, key, POLICY_FORM_KEY, "key", obj);
	}
	return r;
}

/* classes: { log: review }: a word that is no class would send what somebody meant to keep. */
static int
put_classes(const struct compiler *c, const struct yaml_node *n, json_t *out)
{
	json_t *obj = json_object();
	int r = put(out, n->key, obj);

	r = r ?: need_mapping(c, n, policy_class_names, POLICY_CLASSES);
	for (const struct yaml_node *child = n->children; r == 0 && child; child = child->next)
		r = put_word(c, child, POLICY_FORM_CLASS, child->key, obj);
	return r;
}

/* windows: { updates: [...], remote: [...] } */
static int
put_windows(const struct compiler *c, const struct yaml_node *n, json_t *out)
{
	size_t n_names;
	const char *const *names = policy_form_words(POLICY_FORM_WINDOW, &n_names);
	json_t *obj = json_object();
	int r = put(out, n->key, obj);

	r = r ?: need_mapping(c, n, names, n_names);
	for (const struct yaml_node *child = n->children; r == 0 && child; child = child->next)
		r = put_list(c, child, POLICY_FORM_HOURS, child->key, obj);
	return r;
}

static bool
is_approver(const json_t *out, const char *name)
{
	const json_t *list = json_object_get(out, "approvers");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_object_get(json_array_get(list, i), "name")),
			    name) == 0)
			return true;
	return false;
}

static bool
names_operations(const json_t *rule)
{
	const json_t *list = json_object_get(rule, "operations");

	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), "*") == 0)
			return false;
	return list != NULL;
}

/* approvers: ann | [ann, bob] | {need: 2, of: [ann, bob, eve]}; *ret_names is what they name, NULL: all. */
static int
put_rule_approvers(const struct compiler *c, const struct yaml_node *n, json_t *rule,
	const json_t **ret_names)
{
	static const char *const keys[] = { "need", "of" };
	const struct yaml_node *need, *of;
	uint64_t count = 0;
	json_t *obj;
	int r;

	if (n->kind != YAML_KIND_MAPPING) {
		r = put_list(c, n, POLICY_FORM_APPROVERS, "approvers", rule);
		*ret_names = json_object_get(rule, "approvers");
		return r;
	}
	obj = json_object();
	r = put(rule, "approvers", obj);
	r = r ?: need_mapping(c, n, keys, ARRAY_LEN(keys));
	if (r)
		return r;
	need = yaml_get(n, "need");
	of = yaml_get(n, "of");
	if (!need || need->kind != YAML_KIND_SCALAR ||
		number_u64(&count, need->text, POLICY_NEED_MAX) != 0 || count < 1)
		return refuse_at(c, need ? need : n, "needs \"need\", how many must approve");
	r = put(obj, "need", json_integer((json_int_t)count));
	if (r == 0 && of)
		r = put_list(c, of, POLICY_FORM_APPROVERS, "of", obj);
	*ret_names = json_object_get(obj, "of");
	return r;
}

static int
put_rule(const struct compiler *c, const struct yaml_node *n, const json_t *out, json_t *list)
{
	static const char *const keys[] = { "services", "operations", "risk", "roles", "engineers",
		"hours", "decision", "approvers" };
	static const enum policy_form lists[] = { POLICY_FORM_SERVICES, POLICY_FORM_OPERATIONS,
		POLICY_FORM_RISK, POLICY_FORM_ROLES, POLICY_FORM_ENGINEERS, POLICY_FORM_HOURS };
	const struct yaml_node *decision, *approvers;
	const json_t *names = NULL;
	json_t *rule = json_object();
	int r;

	if (json_array_append_new(list, rule) < 0)
		return FAULT(-ENOMEM);
	r = need_mapping(c, n, keys, ARRAY_LEN(keys));
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(lists); i++) {
		const struct yaml_node *child = yaml_get(n, policy_form_name(lists[i]));

		if (child)
			r = put_list(c, child, lists[i], policy_form_name(lists[i]), rule);
	}
	if (r)
		return r;
	decision = yaml_get(n, "decision");
	if (!decision)
		return refuse_at(c, n, "a rule needs a decision: allow, ask or deny");
	r = put_word(c, decision, POLICY_FORM_DECISION, "decision", rule);
	if (r)
		return r;
	if (strcmp(decision->text, "allow") == 0 && !names_operations(rule))
		return refuse_at(c, decision, "a rule that allows must name its operations");
	approvers = yaml_get(n, "approvers");
	if (!approvers)
		return 0;
	if (strcmp(decision->text, "ask") != 0)
		return refuse_at(c, approvers, "approvers belong to a rule that asks");
	r = put_rule_approvers(c, approvers, rule, &names);
	for (size_t i = 0; r == 0 && i < json_array_size(names); i++)
		if (!is_approver(out, json_string_value(json_array_get(names, i))))
			return refuse_at(c, approvers,
				"names somebody who is not among the approvers");
	return r;
}

static int
put_rules(const struct compiler *c, const struct yaml_node *n, json_t *out)
{
	json_t *list = json_array();
	int r = put(out, "rules", list);

	if (r == 0 && n->kind != YAML_KIND_SEQUENCE && n->n_children > 0)
		return refuse_at(c, n, "must be a list");
	if (n->n_children > POLICY_RULES_MAX)
		return refuse_at(c, n, "has too many rules");
	for (const struct yaml_node *child = n->children; r == 0 && child; child = child->next) {
		struct compiler at = { .name = c->name };

		(void)snprintf(at.within, sizeof(at.within), "rule %zu", json_array_size(list) + 1);
		r = put_rule(&at, child, out, list);
	}
	return r;
}

static int
put_document(const struct compiler *c, const struct yaml_node *root, json_t *out)
{
	static const char *const keys[] = { "v", "owners", "approvers", "classes", "windows",
		"notify", "rules" };
	const struct yaml_node *n;
	int r = need_mapping(c, root, keys, ARRAY_LEN(keys));

	if (r)
		return r;
	n = yaml_get(root, "v");
	if (!n || n->kind != YAML_KIND_SCALAR || strcmp(n->text, "1") != 0)
		return refuse_at(c, n ? n : root, "needs \"v: 1\"");
	r = put(out, "v", json_integer(1));
	if (r == 0 && (n = yaml_get(root, "owners")))
		r = put_owners(c, n, out);
	if (r == 0 && (n = yaml_get(root, "approvers")))
		r = put_approvers(c, n, out);
	if (r == 0 && (n = yaml_get(root, "classes")))
		r = put_classes(c, n, out);
	if (r == 0 && (n = yaml_get(root, "windows")))
		r = put_windows(c, n, out);
	if (r == 0 && (n = yaml_get(root, "notify")))
		r = put_list(c, n, POLICY_FORM_NOTIFY, "notify", out);
	if (r)
		return r;
	n = yaml_get(root, "rules");
	return n ? put_rules(c, n, out)
		 : refuse_at(c, root, "needs \"rules\" (a list, perhaps empty)");
}

int
policy_compile(json_t **ret_json, const void *yaml, size_t len, const char *name)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	SCOPED(policy_freep) struct policy *whole = NULL;
	SCOPED_JSON *out = json_object();
	struct compiler c = { .name = name };
	int r;

	if (!out)
		return FAULT(-ENOMEM);
	r = yaml_parse(&root, yaml, len, name);
	r = r ?: put_document(&c, root, out);
	/* What only shows in the whole (the same approver twice) is the reader's to say. */
	r = r ?: policy_from_json(&whole, out);
	if (r)
		return FAULT(r);
	*ret_json = STEAL(out);
	return 0;
}

int
policy_compile_lines(unsigned *lines, size_t max, size_t *ret_n, const void *yaml, size_t len,
	const char *name)
{
	SCOPED(yaml_node_freep) struct yaml_node *root = NULL;
	const struct yaml_node *rules, *child;
	size_t n = 0;
	int r = yaml_parse(&root, yaml, len, name);

	if (r)
		return r < 0 ? FAULT(r) : r;
	rules = root->kind == YAML_KIND_MAPPING ? yaml_get(root, "rules") : NULL;
	for (child = rules ? rules->children : NULL; child && n < max; child = child->next)
		lines[n++] = child->line;
	*ret_n = n;
	return 0;
}
