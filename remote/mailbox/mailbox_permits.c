#include "remote/mailbox/mailbox_permits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/serve/registry.h"
#include "appliance/serve/stored.h"
#include "remote/request/permits.h"

enum { EPOCH_MAX = 65 };

/* The epoch of the site's last statement; "" where it said none. */
static int
present_epoch(struct db *db, const char *site, char ret[EPOCH_MAX])
{
	SCOPED(scope_free) char *payload = NULL;
	SCOPED_JSON *doc = NULL;
	int r = registry_statement_get(db, site, NULL, &payload);

	ret[0] = '\0';
	r = r ? r : stored_json(&doc, payload);
	if (r != 0)
		return r < 0 ? FAULT(r) : 0;
	(void)snprintf(ret, EPOCH_MAX, "%s", json_text(doc, "epoch"));
	return 0;
}

int
mailbox_permits_put(struct db *db, const struct permits *p, const uint8_t key[32], const char *envelope,
	uint64_t now_us, bool *ret_kept)
{
	char epoch[EPOCH_MAX];
	int r = present_epoch(db, p->site, epoch);

	/* What a former key signed is nobody's word now. */
	r = r ? r : db_exec(db, "DELETE FROM permits WHERE site = ?1 AND key <> ?2", "tb", p->site, key, (size_t)32);
	r = r ? r : db_exec(db,
			    "INSERT INTO permits(site, key, epoch, counter, time, envelope) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
			    " ON CONFLICT(site, epoch) DO UPDATE SET key = excluded.key, counter = excluded.counter,"
			    " time = excluded.time, envelope = excluded.envelope WHERE excluded.counter > permits.counter",
			    "tbtiit", p->site, key, (size_t)32, p->epoch, (int64_t)p->counter, (int64_t)now_us, envelope);
	*ret_kept = r == 0 && db_changes(db) > 0;
	r = r ? r : db_exec(db, "DELETE FROM permits WHERE site = ?1 AND epoch <> ?2 AND epoch <> ?3", "ttt", p->site,
			    p->epoch, epoch);
	return FAULT(r);
}

int
mailbox_permits_page(struct db *db, const struct registry_site *site, json_t *page)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	char epoch[EPOCH_MAX];
	json_t *envelope = NULL;
	int r = present_epoch(db, site->site, epoch);

	r = r ? r : db_query(&q, db,
			    "SELECT envelope FROM permits WHERE site = ?1 AND key = ?2 AND (epoch = ?3 OR ?3 = '')"
			    " ORDER BY time DESC LIMIT 1",
			    "tbt", site->site, site->key, sizeof(site->key), epoch);
	r = r ? r : db_next(q);
	if (r != DB_ROW)
		return FAULT(r);
	r = stored_json(&envelope, db_text(q, 0));
	if (r == 0 && json_object_set_new(page, "permits", envelope ? envelope : json_null()) < 0)
		r = -ENOMEM;
	return FAULT(r);
}
