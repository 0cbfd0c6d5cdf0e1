#include "remote/fleet/changes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/stored.h"

enum { WORD_MAX = 128, WHAT_MAX = 3 * WORD_MAX + 32, HASH_TEXT = 64, HASH_SHOWN = 12 };

/* --- comparing -------------------------------------------------------------------------------------------- */
struct taking {
	struct db *db;
	const char *site;
	uint64_t now_us;
};

static bool
is_word(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len <= WORD_MAX;
}

static int
keep(const struct taking *t, const char *what)
{
	return FAULT(db_exec(t->db, "INSERT INTO changes(site, time, what) VALUES(?1, ?2, ?3)", "tit", t->site,
		(int64_t)t->now_us, what));
}

/* A release is the hash of what it holds: as many of its digits as people compare. */
static int
shown(const char *word)
{
	size_t len = strlen(word);

	return len == HASH_TEXT && strspn(word, "0123456789abcdef") == len ? HASH_SHOWN : (int)len;
}

/* "redis 7eb75a7083e6 -> 3150ecb42c8c"; "" is nothing installed. */
static int
compare(const struct taking *t, const char *name, const char *was, const char *is)
{
	char what[WHAT_MAX];

	if (strcmp(was, is) == 0 || !*name || !is_word(name) || !is_word(was) || !is_word(is))
		return 0;
	if (*was && *is)
		(void)snprintf(what, sizeof(what), "%s %.*s -> %.*s", name, shown(was), was, shown(is), is);
	else
		(void)snprintf(what, sizeof(what), "%s %.*s %s", name, shown(*is ? is : was), *is ? is : was,
			*is ? "installed" : "removed");
	return keep(t, what);
}

/* The release of a service in a list of them; NULL where it is not in it. */
static const char *
release_of(const json_t *services, const char *name)
{
	for (size_t i = 0; i < json_array_size(services) && i < CHANGES_SERVICES_MAX; i++) {
		const json_t *one = json_array_get(services, i);

		if (strcmp(json_text(one, "name"), name) == 0)
			return json_text(one, "release");
	}
	return NULL;
}

static int
compare_services(const struct taking *t, const json_t *was, const json_t *is)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(is) && i < CHANGES_SERVICES_MAX; i++) {
		const json_t *one = json_array_get(is, i);
		const char *name = json_text(one, "name");

		r = compare(t, name, release_of(was, name) ?: "", json_text(one, "release"));
	}
	for (size_t i = 0; r == 0 && i < json_array_size(was) && i < CHANGES_SERVICES_MAX; i++) {
		const json_t *one = json_array_get(was, i);
		const char *name = json_text(one, "name");

		if (!release_of(is, name))
			r = compare(t, name, json_text(one, "release"), "");
	}
	return r;
}

int
changes_take(struct db *customer, const char *site, const json_t *payload, uint64_t now_us)
{
	const struct taking t = { customer, site, now_us };
	SCOPED(scope_free) char *text = NULL;
	SCOPED_JSON *was = NULL;
	int r = registry_statement_get(customer, site, NULL, &text);

	r = r ? r : stored_json(&was, text);
	if (r != 0)
		return r < 0 ? FAULT(r) : 0;
	if (!was)
		return 0; /* what stood there told nothing */
	r = compare_services(&t, json_object_get(was, "services"), json_object_get(payload, "services"));
	r = r ? r : compare(&t, "platform", json_text(was, "platform"), json_text(payload, "platform"));
	if (r == 0)
		r = db_exec(customer,
			"DELETE FROM changes WHERE site = ?1 AND id NOT IN"
			" (SELECT id FROM changes WHERE site = ?1 ORDER BY id DESC LIMIT ?2)",
			"ti", site, (int64_t)CHANGES_KEPT);
	return FAULT(r);
}

/* --- telling ----------------------------------------------------------------------------------------------- */
int
changes_append(struct db *customer, const char *site, json_t *changes)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r = db_query(&q, customer, "SELECT what, time FROM changes WHERE site = ?1 ORDER BY id DESC", "t", site);

	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		json_t *one = json_object();

		r = json_array_append_new(changes, one) < 0 ? -ENOMEM : json_put_text(one, "what", db_text(q, 0));
		r = r ? r : json_put_time(one, "time", (uint64_t)db_i64(q, 1));
	}
	return FAULT(r);
}
