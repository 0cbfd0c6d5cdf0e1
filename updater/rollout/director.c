#include "updater/rollout/director.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/problem.h"
#include "appliance/serve/registry.h"
#include "appliance/trust/envelope.h"
#include "appliance/tuf/local.h"

#define CORE_NAME "mainstay"

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

static bool
fits(const struct tuf_target *t, const struct director_ask *ask)
{
	/* The core has a name of its own. */
	const char *class = strcmp(ask->service, CORE_NAME) == 0 ? "core" : "service";

	/* Without this hash sites could not name its tree. */
	return t->has_sha256 && has_text(t->custom, "channel", ask->channel) &&
		has_text(t->custom, "platform", ask->platform) && has_text(t->custom, "class", class);
}

/* Would a site let it in, as far as the signed metadata says? */
static bool
let_in(struct tuf_client *c, const struct director_ask *ask, const char *path, json_int_t counter)
{
	const json_t *floors = json_object_get(tuf_client_signed(c, "targets"), "x-mainstay-floors");
	const char *role;

	if (counter < json_integer_value(json_object_get(floors, ask->service)))
		return false;
	for (size_t i = 0; (role = tuf_client_role(c, i)); i++)
		if (json_object_get(json_object_get(tuf_client_signed(c, role), "x-mainstay-withdrawn"), path))
			return false;
	return true;
}

/* The newest so far, and how new that is which runs. */
struct choice {
	json_int_t newest, runs;
};

/* One of a role's targets.  It counts only where the search for it ends at this role: another may not speak for it. */
static int
consider(struct tuf_client *c, const struct director_ask *ask, const char *role, const char *path, struct choice *so_far,
	struct tuf_target *ret)
{
	struct tuf_target t;
	json_int_t counter;
	char hex[65];
	int r = tuf_client_target(c, path, &t);

	if (r != 0 || strcmp(t.role, role) != 0 || !json_is_integer(json_object_get(t.custom, "counter")))
		return r < 0 ? FAULT(r) : 0;
	counter = json_integer_value(json_object_get(t.custom, "counter"));
	if (t.has_sha256 && strcmp(hex_encode(hex, t.sha256, 32), ask->runs) == 0 && counter > so_far->runs)
		so_far->runs = counter;
	if (counter <= so_far->newest || !fits(&t, ask) || !let_in(c, ask, path, counter))
		return 0;
	so_far->newest = counter;
	*ret = t;
	return 0;
}

int
director_newest(struct tuf_local *repo, const struct director_ask *ask, struct tuf_target *ret)
{
	struct choice so_far = { -1, -1 };
	struct tuf_client *c;
	struct tuf_target t;
	const char *role, *path;
	char any[TUF_PATH_MAX];
	json_t *one;
	int r;

	/* Who may sign releases of this service at all. */
	(void)snprintf(any, sizeof(any), "services/%s/-/index.json", ask->service);
	r = tuf_local_reach(repo, any);
	if (r != 0)
		return r;
	c = tuf_local_client(repo);
	for (size_t i = 0; (role = tuf_client_role(c, i)); i++) {
		json_t *targets = json_object_get(tuf_client_signed(c, role), "targets");

		json_object_foreach(targets, path, one) {
			if (!is_release_of(path, ask->service))
				continue;
			r = consider(c, ask, role, path, &so_far, &t);
			if (r != 0)
				return r;
		}
	}
	if (so_far.newest < 0 || so_far.newest < so_far.runs)
		return REASON_NOT_FOUND;
	*ret = t;
	return 0;
}

/* Can a release be of this service?  It becomes part of a path. */
static bool
is_name(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n > 0 && n < DIRECTOR_NAME_MAX && !text[n];
}

static int
add_release(json_t *releases, const json_t *service, const char *platform, struct tuf_local *repo)
{
	const char *runs = json_string_value(json_object_get(service, "release"));
	struct director_ask ask = {
		.service = json_string_value(json_object_get(service, "name")),
		.channel = json_string_value(json_object_get(service, "channel")),
		.platform = platform,
		.runs = !runs ? "" : strncmp(runs, "sha256:", 7) == 0 ? runs + 7 : runs,
	};
	struct tuf_target t;
	char hex[65];
	json_t *o;
	int r;

	if (!is_name(ask.service))
		return 0;
	r = director_newest(repo, &ask, &t);
	if (r != 0)
		return r == REASON_NOT_FOUND ? 0 : r;
	o = json_pack("{s:s, s:s, s:s}", "service", ask.service, "target", t.path, "sha256",
		hex_encode(hex, t.sha256, sizeof(t.sha256)));
	return json_array_append_new(releases, o) < 0 ? FAULT(-ENOMEM) : 0;
}

int
director_check(const json_t *statement)
{
	const json_t *services = json_object_get(statement, "services");
	json_t *service;
	size_t i;

	if (!json_is_array(services) || !json_is_string(json_object_get(statement, "platform")) ||
		json_array_size(services) > DIRECTOR_RELEASES_MAX)
		return REFUSE(REASON_MALFORMED, "statement", "has no platform, or no list of at most %d services",
			DIRECTOR_RELEASES_MAX);
	json_array_foreach(services, i, service) {
		if (!json_is_string(json_object_get(service, "name")) || !json_is_string(json_object_get(service, "channel")))
			return REFUSE(REASON_MALFORMED, "statement", "a service has no name or channel");
	}
	return 0;
}

int
director_releases(json_t **ret, const json_t *statement, struct tuf_local *repo)
{
	const json_t *services = json_object_get(statement, "services");
	const char *platform = json_string_value(json_object_get(statement, "platform"));
	SCOPED_JSON *releases = json_array();
	json_t *service;
	size_t i;

	if (!releases)
		return FAULT(-ENOMEM);
	json_array_foreach(services, i, service) {
		int r = add_release(releases, service, platform, repo);

		if (r != 0)
			return r;
	}
	*ret = STEAL(releases);
	return 0;
}

/* --- the assignment ------------------------------------------------------------------------------------- */
/* A module's state: what it counts. */
struct director {
	struct serve *serve;
	uintmax_t given, renewed, kept, failed;
};

/* The one given last, where it says the same (releases NULL: whatever it says) and is good until then.  *ret NULL: there is none. */
static int
kept(struct db *db, const char *site, const char *releases, uint64_t until_us, uint64_t *ret_counter, char **ret)
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
	if ((releases && strcmp(db_text(q, 1), releases) != 0) || (uint64_t)db_i64(q, 3) < until_us)
		return 0;
	*ret = strdup(db_text(q, 2));
	return *ret ? 0 : FAULT(-ENOMEM);
}

static int
assign(struct director *d, struct db *db, const char *site, json_t *releases, uint64_t now_us, char **ret)
{
	const struct serve_config *config = serve_config(d->serve);
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
	r = kept(db, site, text, now_us + DIRECTOR_LIFE_S / 2 * CLOCK_US_PER_S, &counter, &out);
	if (r < 0)
		return FAULT(r);
	if (out) {
		d->given++;
	} else {
		d->renewed++;
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

/* What the site says that it runs. */
static int
read_statement(struct db *db, const char *site, json_t **ret)
{
	SCOPED(scope_free) char *payload = NULL;
	int r = registry_statement_get(db, site, NULL, &payload);

	if (r == REASON_NOT_FOUND)
		return REFUSE(REASON_NOT_FOUND, site, "has not yet said what it runs");
	r = r ? r : json_read(ret, payload, strlen(payload), STATEMENT_MAX, "statement");
	return r ? FAULT(r) : director_check(*ret);
}

/* What ails the repository is the vendor's to mend, not the caller's: the assignment that was given last goes on as long as it is
 * good.  *ret NULL: it is not. */
static int
fall_back(struct director *d, struct db *db, const char *site, uint64_t now_us, char **ret)
{
	uint64_t counter;
	int r = kept(db, site, NULL, now_us, &counter, ret);

	if (r == 0 && *ret)
		d->kept++;
	else
		d->failed++;
	return r;
}

static int
on_assignment(struct http_call *call, void *state)
{
	struct director *d = state;
	struct tuf_local *repo = serve_config(d->serve)->repo;
	SCOPED(scope_free) char *envelope = NULL;
	SCOPED_JSON *releases = NULL, *statement = NULL;
	const char *site = call->who.site;
	uint64_t now_us = clock_now_us();
	struct db *db;
	int r;

	if (strcmp(call->segments[0], site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, site, "asks for the assignment of another site");
	r = databases_customer(serve_databases(d->serve), call->who.customer, &db);
	r = r ? r : read_statement(db, site, &statement);
	if (r != 0)
		return r;
	r = tuf_local_refresh(repo, now_us);
	r = r ? r : director_releases(&releases, statement, repo);
	if (r > 0) {
		r = fall_back(d, db, site, now_us, &envelope);
		if (r == 0 && !envelope) {
			problem_reply(call, refuse_last()->reason, 503);
			return 0;
		}
	} else if (r == 0)
		r = assign(d, db, site, releases, now_us, &envelope);
	if (r != 0)
		return r;
	http_call_reply(call, 200, "application/json", envelope, strlen(envelope));
	return 0;
}

static void
on_counters(void *state, struct buf *out)
{
	const struct director *d = state;

	buf_printf(out,
		"# HELP mainstay_hub_assignments_total Assignments answered: as given before, newly signed, the last one because the "
		"repository did not verify, or none for that reason.\n"
		"# TYPE mainstay_hub_assignments_total counter\n"
		"mainstay_hub_assignments_total{how=\"given\"} %ju\n"
		"mainstay_hub_assignments_total{how=\"signed\"} %ju\n"
		"mainstay_hub_assignments_total{how=\"kept\"} %ju\n"
		"mainstay_hub_assignments_total{how=\"failed\"} %ju\n",
		d->given, d->renewed, d->kept, d->failed);
}

static int
on_open(void **ret_state, struct serve *serve)
{
	struct director *d = calloc(1, sizeof(*d));

	if (!d)
		return FAULT(-ENOMEM);
	d->serve = serve;
	*ret_state = d;
	return 0;
}

static void
on_close(void *state)
{
	free(state);
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
	.close = on_close,
	.metrics = on_counters,
};
