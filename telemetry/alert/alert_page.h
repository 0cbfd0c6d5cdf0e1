/* The inbox as engineers read it. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "appliance/serve/query.h"
#include "appliance/serve/registry.h"

struct serve;
struct auth_identity;

enum {
	ALERT_PAGE_LIMIT = 500,      /* alerts in one answer */
	ALERT_PAGE_SITE_RESOLVED = 20, /* resolved ones on a site's page */
	ALERT_PAGE_PAST = 20,        /* earlier times of one alert */
	ALERT_PAGE_CHANGES = 12,     /* of its site */
};

/* What a list is asked for; "" and 0: everything. */
struct alert_filter {
	char site[65], customer[65], state[16], severity[32];
	uint64_t since_us; /* changed then or later, by the hub's clock */
	uint64_t limit;
	/* Behind this alert of an earlier page; before_customer "": from the start. */
	char before_customer[65];
	int64_t before_us, before_id;
};

/* Read site, customer, state, severity, since, limit and after (the "next" of the page before).  Returns 0 or
 * REASON_MALFORMED (logged). */
int alert_page_filter(struct alert_filter *ret, const struct query *params);

/* The newest first, of the customers that who covers; *ret_next is "" or where the next page begins.  Names of customers
 * whose file cannot be read go to unavailable.  Returns 0 or a fault.
 *
 *	{"id","customer","site","service","name","state","severity","text","value","labels","since","changed",
 *	 "first_seen","last_seen","site_time","clock_offset_ms","firings","flapping","muted_by","proposed",
 *	 "note","noted_by","acknowledged_by","acknowledged","silent","last_contact"}
 *
 * since and site_time are the site's clock, which is clock_offset_ms ahead of the hub's; the rest is the hub's.  silent: the
 * site has not been heard of for long, so state is what it was then.  site_time, acknowledged and last_contact are left
 * out where there is none. */
int alert_page_list(struct serve *serve, const struct auth_identity *who, const struct alert_filter *f, json_t *items,
	char ret_next[128], json_t *unavailable);

/* One, as above; with past also "past": earlier times of the same condition, newest first
 * [{"id","since","changed","firings","acknowledged_by","note"}], and "changes" of the site
 * [{"time","what"}], the newest first, whatever room of the hub knows them.  Returns 0; REASON_NOT_FOUND (unlogged); or a
 * fault. */
int alert_page_one(struct serve *serve, struct db *db, const char *customer, int64_t id, bool past, json_t **ret);

/* What a site's page shows: all that is open, and the last that are over. */
int alert_page_site(struct serve *serve, struct db *db, const struct registry_site *site, json_t *items);
