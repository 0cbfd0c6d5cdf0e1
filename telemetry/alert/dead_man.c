#include "telemetry/alert/dead_man.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/serve.h"
#include "telemetry/alert/alert_store.h"

#define PERIOD_US (DEAD_MAN_PERIOD_S * CLOCK_US_PER_S)

void
dead_man_init(struct dead_man *d)
{
	*d = (struct dead_man){ .listening_us = clock_mono_us(), .last_us = clock_now_us(),
		.last_mono_us = clock_mono_us() };
}

bool
dead_man_is_late(uint64_t heard_us, uint64_t now_us)
{
	return heard_us > 0 && heard_us + DEAD_MAN_PERIODS * PERIOD_US < now_us;
}

int
dead_man_heard(struct db *customer, const char *site, uint64_t *ret_us)
{
	int64_t us;
	int r = db_number(customer, &us, 0, "SELECT time FROM statements WHERE site = ?1", "t", site);

	*ret_us = r == 0 ? (uint64_t)us : 0;
	return FAULT(r);
}

/* What stands still hears nothing, and what a clock says that was set is nobody's silence. */
static bool
has_listened(struct dead_man *d, uint64_t now_us, uint64_t mono_us)
{
	int64_t set_us = (int64_t)(now_us - d->last_us) - (int64_t)(mono_us - d->last_mono_us);

	if (mono_us - d->last_mono_us > PERIOD_US || set_us > (int64_t)PERIOD_US)
		d->listening_us = mono_us;
	d->last_us = now_us;
	d->last_mono_us = mono_us;
	return mono_us - d->listening_us >= PERIOD_US;
}

/* --- one customer ------------------------------------------------------------------------------------------ */
struct round {
	struct serve *serve;
	uint64_t now_us;
	bool may_fire;
};

/* Sites that are late, or called silent: [site, heard, called]. */
static int
collect(struct db *db, uint64_t now_us, json_t *sites)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r;

	r = db_query(&q, db,
		"SELECT s.site, s.time, a.id FROM statements s LEFT JOIN alerts a ON a.site = s.site AND a.service = '"
		ALERT_RECORD_CORE "' AND a.name = '" ALERT_RECORD_SILENT "' AND a.state <> 'resolved'"
		" WHERE s.time < ?1 OR a.id IS NOT NULL",
		"i", (int64_t)(now_us - DEAD_MAN_PERIODS * PERIOD_US));
	while (r == 0 && (r = db_next(q)) == DB_ROW)
		r = json_array_append_new(sites,
			    json_pack("[s, I, b]", db_text(q, 0), (json_int_t)db_i64(q, 1), !db_null(q, 2))) < 0
			? -ENOMEM
			: 0;
	return FAULT(r);
}

static int
is_living(struct serve *serve, const char *name, bool *ret)
{
	SCOPED(registry_site_done) struct registry_site site = { 0 };
	int r = registry_site_get(serve_databases(serve), name, &site);

	*ret = r == 0 && (strcmp(site.status, REGISTRY_ACCEPTED) == 0 || strcmp(site.status, REGISTRY_CLONED) == 0);
	return r < 0 ? FAULT(r) : 0;
}

static int
say(struct db *db, const char *site, uint64_t heard_us, bool silent, uint64_t now_us)
{
	struct alert_record a = { .name = ALERT_RECORD_SILENT, .service = ALERT_RECORD_CORE, .severity = "critical",
		.labels = "{}", .state = silent ? ALERT_FIRING : ALERT_RESOLVED, .since_us = heard_us };
	char when[CLOCK_TEXT_MAX];

	(void)snprintf(a.text, sizeof(a.text), silent ? "no heartbeat since %s by the hub's clock" : "heard again at %s by the hub's clock",
		clock_format(when, heard_us));
	return FAULT(alert_store_take(db, site, &a, true, now_us));
}

static int
check_site(const struct round *round, struct db *db, const json_t *one)
{
	const char *site = json_string_value(json_array_get(one, 0));
	uint64_t heard_us = (uint64_t)json_integer_value(json_array_get(one, 1));
	bool called = json_is_true(json_array_get(one, 2)), living, silent;
	int r = is_living(round->serve, site, &living);

	silent = living && dead_man_is_late(heard_us, round->now_us);
	if (r < 0 || silent == called || (silent && !round->may_fire))
		return FAULT(r);
	return say(db, site, heard_us, silent, round->now_us);
}

static int
check_customer(const char *name, struct db *db, void *arg)
{
	SCOPED(db_rollbackp) struct db *tx = NULL;
	const struct round *round = arg;
	SCOPED_JSON *sites = json_array();
	json_t *one;
	size_t i;
	int r = collect(db, round->now_us, sites);

	(void)name;
	if (r < 0 || json_array_size(sites) == 0)
		return FAULT(r);
	r = db_begin(db);
	if (r < 0)
		return FAULT(r);
	tx = db;
	json_array_foreach(sites, i, one)
		r = r ? r : check_site(round, db, one);
	r = r ? r : db_commit(STEAL(tx));
	return FAULT(r);
}

int
dead_man_check(struct dead_man *d, struct serve *serve)
{
	struct round round = { .serve = serve, .now_us = clock_now_us() };

	round.may_fire = has_listened(d, round.now_us, clock_mono_us());
	return FAULT(databases_each(serve_databases(serve), NULL, check_customer, &round));
}
