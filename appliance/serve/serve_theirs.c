#include "appliance/serve/serve.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/auth.h"
#include "appliance/serve/registry.h"

int
serve_not_yours(const char *named)
{
	return REFUSE(REASON_NOT_FOUND, named, "is not here, or not yours");
}

int
serve_engineer(struct serve *s, const struct auth_identity *who, const char *role, const char *customer,
	const char *named)
{
	const struct serve_config *config = serve_config(s);
	int r;

	if (!auth_covers(who, customer))
		return serve_not_yours(named);
	r = config->engineer(who, NULL, customer, config->engineer_arg);
	/* The login is older than the word that he is this customer's no more. */
	if (r == REASON_WRONG_ROLE)
		return serve_not_yours(named);
	return r || !role ? FAULT(r) : config->engineer(who, role, customer, config->engineer_arg);
}

int
serve_find_site(struct serve *s, const struct auth_identity *who, const char *name, struct registry_site *ret,
	struct db **ret_db)
{
	int r = registry_site_get(serve_databases(s), name, ret);

	if (r == REASON_NOT_FOUND)
		return serve_not_yours(name);
	r = r ? r : serve_engineer(s, who, NULL, ret->customer, name);
	if (r == 0 && ret_db)
		r = databases_customer(serve_databases(s), ret->customer, ret_db);
	return FAULT(r);
}

struct visit {
	const struct serve_config *config;
	const struct auth_identity *who;
	databases_each_fn *each;
	void *arg;
	json_t *unavailable;
	int untold; /* a fault where one is missing there */
};

static bool
is_theirs(const char *name, void *arg)
{
	const struct visit *v = arg;

	/* Of the others nothing is asked: that is no refusal. */
	return auth_covers(v->who, name) &&
		v->config->engineer(v->who, NULL, name, v->config->engineer_arg) == 0;
}

static int
visit_one(const char *name, struct db *db, void *arg)
{
	const struct visit *v = arg;

	return v->each(name, db, v->arg);
}

static void
tell_ailing(const char *name, int why, void *arg)
{
	struct visit *v = arg;

	(void)why;
	if (is_theirs(name, arg) && json_array_append_new(v->unavailable, json_string(name)) < 0)
		v->untold = -ENOMEM;
}

int
serve_each_customer(struct serve *s, const struct auth_identity *who, databases_each_fn *each, void *arg,
	json_t *unavailable)
{
	struct visit v = { serve_config(s), who, each, arg, unavailable, 0 };
	int r = databases_each(serve_databases(s), is_theirs, visit_one, &v);

	(void)databases_ailing(serve_databases(s), tell_ailing, &v);
	return FAULT(r ? r : v.untold);
}

int
serve_reply_items(struct http_call *call, json_t *items, json_t *unavailable)
{
	json_t *o = json_pack("{s:O}", "items", items);

	if (o && json_array_size(unavailable) > 0 && json_object_set(o, "unavailable", unavailable) < 0) {
		json_decref(o);
		o = NULL;
	}
	return serve_reply_json(call, 200, o);
}
