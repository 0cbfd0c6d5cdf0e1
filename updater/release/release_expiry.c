#include "updater/release/release_expiry.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/people.h"
#include "updater/release/release_repo.h"

static uint64_t
ends_us(const json_t *item)
{
	uint64_t us = 0;

	return clock_parse(&us, json_text(item, "expires")) == 0 ? us : 0;
}

static const char *
renewal(char out[TUF_ROLE_MAX + 32], const char *role)
{
	static const struct {
		const char *role, *command;
	} rows[] = {
		{ "root", "root draft REPO --out FILE" },
		{ "timestamp", "refresh REPO" },
		{ "snapshot", "refresh REPO" },
		{ RELEASE_PEOPLE_ROLE, "people sign REPO" },
		{ PEOPLE_TARGET, "people sign REPO" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!strcmp(rows[i].role, role))
			return rows[i].command;
	(void)snprintf(out, TUF_ROLE_MAX + 32, "renew %s --to REPO", role);
	return out;
}

/* Sorted in as it comes. */
static int
add(json_t *items, const struct release_repo *r, const char *name, const char *role, uint64_t version, uint64_t us)
{
	const json_t *keys, *of = release_repo_role(r, role, &keys), *ids = json_object_get(of, "keyids");
	char command[TUF_ROLE_MAX + 32];
	SCOPED_JSON *item = json_pack("{s:s, s:I, s:I, s:I, s:O, s:s}", "role", name, "version", (json_int_t)version,
		"threshold", (json_int_t)json_integer_value(json_object_get(of, "threshold")), "signers",
		(json_int_t)json_array_size(ids), "keys", ids, "renew", renewal(command, name));
	size_t at = 0;

	if (!item || json_put_time(item, "expires", us) < 0)
		return FAULT(-ENOMEM);
	while (at < json_array_size(items) && ends_us(json_array_get(items, at)) <= us)
		at++;
	return json_array_insert_new(items, at, STEAL(item)) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
add_people(json_t *items, struct release_repo *r)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(PEOPLE_BYTES_MAX);
	SCOPED(people_freep) struct people *people = NULL;
	int e;

	if (!release_repo_signed(r, RELEASE_PEOPLE_ROLE))
		return 0;
	e = release_repo_get_target(r, PEOPLE_TARGET, PEOPLE_BYTES_MAX, &b);
	e = e ?: people_read(&people, b.data, b.len);
	return e ?: add(items, r, PEOPLE_TARGET, RELEASE_PEOPLE_ROLE, people_version(people), people_expires_us(people));
}

int
release_expiry(struct release_repo *r, json_t **ret_items)
{
	static const char *const roles[] = { "root", "targets", "snapshot", "timestamp" };
	SCOPED_JSON *items = json_array();
	const char *role;
	json_t *signed_;
	int e = items ? 0 : FAULT(-ENOMEM);

	for (size_t i = 0; !e && i < ARRAY_LEN(roles); i++) {
		const json_t *is = release_repo_signed(r, roles[i]);

		e = add(items, r, roles[i], roles[i], tuf_version(is), tuf_expires_us(is));
	}
	json_object_foreach(r->delegated, role, signed_)
		e = e ?: add(items, r, role, role, tuf_version(signed_), tuf_expires_us(signed_));
	e = e ?: add_people(items, r);
	if (!e)
		*ret_items = STEAL(items);
	return e;
}

int
release_expiry_within(const json_t *items, uint64_t now_us, uint64_t within_us, json_t **ret_soon)
{
	const uint64_t daily_us = RELEASE_EXPIRY_DAILY_S * CLOCK_US_PER_S;
	SCOPED_JSON *soon = json_array();
	int e = soon ? 0 : FAULT(-ENOMEM);

	for (size_t i = 0; !e && i < json_array_size(items); i++) {
		json_t *item = json_array_get(items, i);
		bool daily = !strcmp(json_text(item, "role"), "timestamp") && within_us > daily_us;

		if (ends_us(item) < now_us + (daily ? daily_us : within_us) && json_array_append(soon, item) < 0)
			e = FAULT(-ENOMEM);
	}
	if (!e)
		*ret_soon = STEAL(soon);
	return e;
}
