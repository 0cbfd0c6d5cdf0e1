#include "updater/release/release_role.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "updater/release/release_repo.h"

/* --- counters ----------------------------------------------------------------------------------------------------- */
bool
release_role_service(char out[65], const char *path)
{
	size_t len = !strncmp(path, "services/", 9) ? strcspn(path + 9, "/") : 0;

	if (!len || len > 64)
		return false;
	(void)snprintf(out, 65, "%.*s", (int)len, path + 9);
	return true;
}

static uint64_t
counter_of(const json_t *target)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(target, "custom"), "counter"));
}

static uint64_t
highest_in(const json_t *signed_, const char *service)
{
	uint64_t highest = (uint64_t)json_integer_value(
		json_object_get(json_object_get(signed_, "x-mainstay-counters"), service));
	const char *path;
	json_t *t;

	json_object_foreach((json_t *)json_object_get(signed_, "targets"), path, t)
	{
		char name[65];

		if (release_role_service(name, path) && !strcmp(name, service) && counter_of(t) > highest)
			highest = counter_of(t);
	}
	return highest;
}

uint64_t
release_role_counter(const struct release_repo *r, const char *service)
{
	uint64_t highest = highest_in(release_repo_signed(r, "targets"), service);
	const char *role;
	json_t *signed_;

	json_object_foreach(r->delegated, role, signed_)
	{
		uint64_t n = highest_in(signed_, service);

		highest = n > highest ? n : highest;
	}
	return highest + 1;
}

bool
release_role_withdrawn(const struct release_repo *r, const char *path)
{
	const char *role;
	json_t *signed_;

	json_object_foreach(r->delegated, role, signed_)
		if (json_object_get(json_object_get(signed_, "x-mainstay-withdrawn"), path))
			return true;
	return json_object_get(json_object_get(release_repo_signed(r, "targets"), "x-mainstay-withdrawn"), path) != NULL;
}

static json_t *
member(json_t *signed_, const char *name)
{
	json_t *obj = json_object_get(signed_, name);

	if (!obj && json_object_set_new(signed_, name, json_object()) == 0)
		obj = json_object_get(signed_, name);
	return obj;
}

int
release_role_keep_counter(const struct release_repo *r, json_t *signed_, const char *service)
{
	json_t *counters = member(signed_, "x-mainstay-counters");
	int e = counters ? json_put_u64(counters, service, release_role_counter(r, service) - 1) : -ENOMEM;

	return FAULT(e);
}

/* --- floors, withdrawals ------------------------------------------------------------------------------------------ */
static uint64_t
newest_but(const struct release_repo *r, const char *service, const char *but)
{
	const char *role = NULL, *path;
	char index[256];
	const json_t *signed_;
	uint64_t highest = 0;
	json_t *t;

	(void)snprintf(index, sizeof(index), "services/%s/x/index.json", service);
	role = release_repo_owner(r, index);
	signed_ = release_repo_signed(r, role);
	json_object_foreach((json_t *)json_object_get(signed_, "targets"), path, t)
	{
		char name[65];

		if (release_role_service(name, path) && !strcmp(name, service) && (!but || strcmp(path, but) != 0) &&
			counter_of(t) > highest)
			highest = counter_of(t);
	}
	return highest;
}

int
release_role_floor(const struct release_repo *r, const char *service, uint64_t counter, json_t **ret_next)
{
	SCOPED_JSON *targets = NULL;
	json_t *floors;
	uint64_t was, newest = newest_but(r, service, NULL);
	int e = release_role_renew(r, "targets", &targets);

	if (e)
		return e;
	floors = member(targets, "x-mainstay-floors");
	was = (uint64_t)json_integer_value(json_object_get(floors, service));
	if (counter < was)
		return REFUSE(REASON_ROLLBACK, service, "its floor is %llu, and floors do not fall", (unsigned long long)was);
	if (!newest)
		return REFUSE(REASON_NOT_FOUND, service, "no release of a service of this name is listed");
	if (counter > newest)
		return REFUSE(REASON_CONFLICT, service, "its newest release has counter %llu: no site could take any",
			(unsigned long long)newest);
	e = floors ? json_put_u64(floors, service, counter) : -ENOMEM;
	if (e)
		return FAULT(e);
	*ret_next = json_pack("{s:O}", "targets", targets);
	return *ret_next ? 0 : FAULT(-ENOMEM);
}

int
release_role_withdraw(const struct release_repo *r, const char *service, const char *version, const char *reason,
	json_t **ret_next)
{
	SCOPED_JSON *signed_ = NULL;
	char index[256], prefix[256];
	const char *role, *path;
	uint64_t floor = (uint64_t)json_integer_value(
		json_object_get(json_object_get(release_repo_signed(r, "targets"), "x-mainstay-floors"), service));
	json_t *list, *t, *withdrawn;
	void *more;
	int e;

	(void)snprintf(prefix, sizeof(prefix), "services/%s/%s/", service, version);
	(void)snprintf(index, sizeof(index), "%sindex.json", prefix);
	role = release_repo_owner(r, index);
	e = release_role_renew(r, role, &signed_);
	if (e)
		return e;
	list = json_object_get(signed_, "targets");
	if (!json_object_get(list, index))
		return REFUSE(REASON_NOT_FOUND, index, "is not published");
	if (floor && newest_but(r, service, index) < floor)
		return REFUSE(REASON_CONFLICT, index, "is the last that reaches the floor of %llu: publish another first",
			(unsigned long long)floor);
	withdrawn = member(signed_, "x-mainstay-withdrawn");
	e = withdrawn ? release_role_keep_counter(r, signed_, service) : FAULT(-ENOMEM);
	e = e ?: json_put_text(withdrawn, index, reason);
	if (e)
		return FAULT(e);
	json_object_foreach_safe(list, more, path, t)
		if (!strncmp(path, prefix, strlen(prefix)))
			(void)json_object_del(list, path);
	*ret_next = json_pack("{s:O}", role, signed_);
	return *ret_next ? 0 : FAULT(-ENOMEM);
}
