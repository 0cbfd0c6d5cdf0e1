#include "updater/rollout/director.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/local.h"

enum { STATEMENT_MAX = 64 * 1024, EARLY_S = 300 };

static const char *const customer_steps[] = {
	"CREATE TABLE assignments("
	"  site TEXT PRIMARY KEY, counter INTEGER NOT NULL, releases TEXT NOT NULL, envelope TEXT NOT NULL,"
	"  not_after INTEGER NOT NULL) STRICT;",
};
static const struct db_migration customer_migration = { "updater/rollout", customer_steps,
	ARRAY_LEN(customer_steps) };

/* --- which releases ----------------------------------------------------------------------------------- */
/* "services/NAME/VERSION/index.json" of this service? */
static bool
is_release_of(const char *path, const char *service)
{
	static const char head[] = "services/", tail[] = "/index.json";
	size_t len = strlen(service);
	const char *version;

	if (strncmp(path, head, sizeof(head) - 1) != 0 || strncmp(path + sizeof(head) - 1, service, len) != 0)
		return false;
	version = path + sizeof(head) - 1 + len;
	if (*version++ != '/')
		return false;
	len = strcspn(version, "/");
	return len > 0 && strcmp(version + len, tail) == 0;
}

static bool
has_text(const json_t *custom, const char *name, const char *text)
{
	const char *is = json_string_value(json_object_get(custom, name));

	return is && strcmp(is, text) == 0;
}

int
director_newest(const json_t *targets, const char *service, const char *channel, const char *platform,
	const char **ret_path, const json_t **ret_target)
{
	const char *class = strcmp(service, "mainstay") == 0 ? "core" : "service"; /* the core has a name of its own */
	json_int_t newest = -1;
	const char *path;
	json_t *target;

	json_object_foreach((json_t *)(uintptr_t)targets, path, target) {
		const json_t *custom = json_object_get(target, "custom");
		const json_t *counter = json_object_get(custom, "counter");

		if (!is_release_of(path, service) || !has_text(custom, "channel", channel) ||
			!has_text(custom, "platform", platform) || !has_text(custom, "class", class) ||
			!json_is_integer(counter) || json_integer_value(counter) <= newest)
			continue;
		newest = json_integer_value(counter);
		*ret_path = path;
		*ret_target = target;
	}
	return newest >= 0 ? 0 : REASON_NOT_FOUND;
}

static int
add_release(json_t *releases, const json_t *service, const char *platform, const json_t *targets)
{
	const char *name = json_string_value(json_object_get(service, "name"));
	const char *channel = json_string_value(json_object_get(service, "channel"));
	const json_t *target;
	const char *path, *hash;
	json_t *o;

	if (!name || !channel || strlen(name) >= DIRECTOR_NAME_MAX)
		return REFUSE(REASON_MALFORMED, "statement", "a service has no name or channel");
	if (director_newest(targets, name, channel, platform, &path, &target) != 0)
		return 0;
	hash = json_string_value(json_object_get(json_object_get(target, "hashes"), "sha256"));
	if (!hash)
		return 0; /* signed without the hash that sites name trees by: nothing they could take */
	o = json_pack("{s:s, s:s, s:s}", "service", name, "target", path, "sha256", hash);
	return json_array_append_new(releases, o) < 0 ? FAULT(-ENOMEM) : 0;
}

int
director_releases(json_t **ret, const json_t *statement, const json_t *targets)
{
	const json_t *services = json_object_get(statement, "services");
	const char *platform = json_string_value(json_object_get(statement, "platform"));
	SCOPED_JSON *releases = json_array();
	json_t *service;
	size_t i;

	if (!releases)
		return FAULT(-ENOMEM);
	if (!json_is_array(services) || !platform || json_array_size(services) > DIRECTOR_RELEASES_MAX)
		return REFUSE(REASON_MALFORMED, "statement", "has no platform, or no list of at most %d services",
			DIRECTOR_RELEASES_MAX);
	json_array_foreach(services, i, service) {
		int r = add_release(releases, service, platform, targets);

		if (r != 0)
			return r;
	}
	*ret = STEAL(releases);
	return 0;
}

/* --- the assignment ------------------------------------------------------------------------------------- */
/* The one given last, where it says the same and has half its time left. */
static int
kept(struct db *db, const char *site, const char *releases, uint64_t now_us, uint64_t *ret_counter, char **ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	*ret = NULL;
	*ret_counter = 0;
	r = db_query(&q, db, "SELECT counter, releases, envelope, not_after FROM assignments WHERE site = ?1", "t",
		site);
	r = r ? r : db_next(q);
	if (r < 0)
		return FAULT(r);
	if (r != DB_ROW)
		return 0;
	*ret_counter = (uint64_t)db_i64(q, 0);
	if (strcmp(db_text(q, 1), releases) != 0 ||
		(uint64_t)db_i64(q, 3) < now_us + DIRECTOR_LIFE_S / 2 * CLOCK_US_PER_S)
		return 0;
	*ret = strdup(db_text(q, 2));
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
assign(const struct serve_config *config, struct db *db, const char *site, json_t *releases, uint64_t now_us,
	char **ret)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	SCOPED(scope_free) char *text = json_dumps(releases, JSON_COMPACT | JSON_SORT_KEYS);
	SCOPED(scope_free) char *out = NULL;
	SCOPED_JSON *payload = json_object();
	SCOPED_JSON *envelope = NULL;
	uint64_t counter, not_after_us = now_us + DIRECTOR_LIFE_S * CLOCK_US_PER_S;
	int r;

	if (!text || !payload)
		return FAULT(-ENOMEM);
	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	r = kept(db, site, text, now_us, &counter, &out);
	if (r < 0)
		return FAULT(r);
	if (!out) {
		/* Never below the clock, so that a hub whose file was lost does not begin at 1, which sites that saw
		 * more would refuse for ever. */
		counter = counter + 1 > now_us / CLOCK_US_PER_S ? counter + 1 : now_us / CLOCK_US_PER_S;
		r = json_put_u64(payload, "v", 1);
		r = r ? r : json_put_text(payload, "site", site);
		r = r ? r : json_put_u64(payload, "counter", counter);
		if (r == 0 && json_object_set(payload, "releases", releases) < 0)
			r = -ENOMEM;
		r = r ? r : json_put_time(payload, "not_before", now_us - EARLY_S * CLOCK_US_PER_S);
		r = r ? r : json_put_time(payload, "not_after", not_after_us);
		r = r ? r : envelope_seal(&envelope, MESSAGE_ASSIGNMENT, payload, config->director);
		out = r == 0 ? json_dumps(envelope, JSON_COMPACT) : NULL;
		if (r == 0 && !out)
			r = -ENOMEM;
		r = r ? r : db_exec(db,
				    "INSERT OR REPLACE INTO assignments(site, counter, releases, envelope, not_after)"
				    " VALUES(?1, ?2, ?3, ?4, ?5)",
				    "titti", site, (int64_t)counter, text, out, (int64_t)not_after_us);
	}
	r = r ? r : db_commit(STEAL(tx));
	if (r == 0)
		*ret = STEAL(out);
	return FAULT(r);
}

static int
read_releases(struct serve *serve, struct db *db, const char *site, uint64_t now_us, json_t **ret)
{
	struct tuf_local *repo = serve_config(serve)->repo;
	SCOPED(scope_free) char *payload = NULL;
	SCOPED_JSON *statement = NULL;
	int r;

	r = registry_statement_get(db, site, NULL, &payload);
	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, site, "has not yet said what it runs");
	r = r ? r : json_read(&statement, payload, strlen(payload), STATEMENT_MAX, "statement");
	r = r ? r : tuf_local_refresh(repo, now_us);
	if (r != 0)
		return FAULT(r);
	return director_releases(
		ret, statement, json_object_get(tuf_client_signed(tuf_local_client(repo), "targets"), "targets"));
}

static int
on_assignment(struct http_call *call, void *state)
{
	struct serve *serve = state;
	SCOPED(scope_free) char *envelope = NULL;
	SCOPED_JSON *releases = NULL;
	uint64_t now_us = clock_now_us();
	struct db *db;
	int r;

	if (strcmp(call->segments[0], call->who.site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, call->who.site, "asks for the assignment of another site");
	r = databases_customer(serve_databases(serve), call->who.customer, &db);
	r = r ? r : read_releases(serve, db, call->who.site, now_us, &releases);
	if (r > 0 && r != REASON_NOT_FOUND) {
		/* What ails the repository is the vendor's to mend, not the caller's. */
		problem_reply(call, r, 503);
		return 0;
	}
	r = r ? r : assign(serve_config(serve), db, call->who.site, releases, now_us, &envelope);
	if (r != 0)
		return r;
	http_call_reply(call, 200, "application/json", envelope, strlen(envelope));
	return 0;
}

static int
on_open(void **ret_state, struct serve *serve)
{
	*ret_state = serve;
	return 0;
}

static const struct route routes[] = {
	{ "GET", "/assignments/{}", ROUTE_SITE, 0, on_assignment, 0 },
};

const struct serve_module director_module = {
	.name = "director",
	.customer = &customer_migration,
	.routes = routes,
	.n_routes = ARRAY_LEN(routes),
	.open = on_open,
};
