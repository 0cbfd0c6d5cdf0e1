#include "telemetry/collect/postgres_fields.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/number.h"
#include "appliance/base/scope.h"

#define SESSIONS "FROM pg_stat_activity WHERE backend_type = 'client backend'"
#define OF_DATABASES(what) "(SELECT sum(" what ")::bigint FROM pg_stat_database)"
#define COUNT(name, unit, sql) { #name, "postgres_" #name, unit, sql, .counter = true }
#define GAUGE(name, unit, sql) { #name, "postgres_" #name, unit, sql, .counter = false }

/* Names as "The Cumulative Statistics System" of PostgreSQL 15's manual has them. */
static const struct postgres_field all[] = {
	GAUGE(connections, "1", "(SELECT count(*) " SESSIONS ")"),
	GAUGE(connections_active, "1", "(SELECT count(*) " SESSIONS " AND state = 'active')"),
	GAUGE(connections_idle_in_transaction, "1",
		"(SELECT count(*) " SESSIONS " AND state LIKE 'idle in transaction%')"),
	GAUGE(connections_percent, "%",
		"(SELECT round(100.0 * count(*) / current_setting('max_connections')::int, 1) " SESSIONS ")"),
	GAUGE(max_connections, "1", "current_setting('max_connections')::int"),
	GAUGE(longest_transaction_seconds, "s",
		"(SELECT coalesce(round(extract(epoch FROM max(now() - xact_start)), 3), 0) " SESSIONS
		" AND pid <> pg_backend_pid())"),
	GAUGE(waiting_locks, "1", "(SELECT count(*) FROM pg_locks WHERE NOT granted)"),
	COUNT(commits, "1", OF_DATABASES("xact_commit")),
	COUNT(rollbacks, "1", OF_DATABASES("xact_rollback")),
	COUNT(blocks_hit, "1", OF_DATABASES("blks_hit")),
	COUNT(blocks_read, "1", OF_DATABASES("blks_read")),
	COUNT(rows_returned, "1", OF_DATABASES("tup_returned")),
	COUNT(rows_inserted, "1", OF_DATABASES("tup_inserted")),
	COUNT(rows_updated, "1", OF_DATABASES("tup_updated")),
	COUNT(rows_deleted, "1", OF_DATABASES("tup_deleted")),
	COUNT(deadlocks, "1", OF_DATABASES("deadlocks")),
	COUNT(conflicts, "1", OF_DATABASES("conflicts")),
	COUNT(temp_bytes, "By", OF_DATABASES("temp_bytes")),
	COUNT(checksum_failures, "1", OF_DATABASES("coalesce(checksum_failures, 0)")),
	COUNT(checkpoints_timed, "1", "(SELECT checkpoints_timed FROM pg_stat_bgwriter)"),
	COUNT(checkpoints_requested, "1", "(SELECT checkpoints_req FROM pg_stat_bgwriter)"),
	GAUGE(xid_age, "1", "(SELECT max(age(datfrozenxid)) FROM pg_database)"),
	GAUGE(slot_bytes, "By",
		"(SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint "
		"FROM pg_replication_slots)"),
	GAUGE(uptime_seconds, "s", "extract(epoch FROM now() - pg_postmaster_start_time())::bigint"),
	GAUGE(settings_pending_restart, "1", "(SELECT count(*) FROM pg_settings WHERE pending_restart)"),
	{ "database_bytes", "postgres_database_bytes", "By",
		"(SELECT sum(pg_database_size(oid))::bigint FROM pg_database)", .dear = true },
	{ "wal_bytes", "postgres_wal_bytes", "By",
		"(SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir())", .dear = true },
};

const struct postgres_field *
postgres_fields_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	return NULL;
}

void
postgres_fields_query(
	struct buf *out, const struct postgres_field *const *fields, size_t n, bool dear)
{
	/* Of the cluster's statistics, not of the server's start: they outlive a restart, not a crash. */
	buf_puts(out, "SELECT (SELECT (extract(epoch FROM stats_reset) * 1000000)::bigint FROM pg_stat_bgwriter)");
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, ", ");
		buf_puts(out, fields[i]->dear && !dear ? "NULL" : fields[i]->sql);
	}
}

bool
postgres_fields_number(const uint8_t *p, size_t len, bool *ret_is_int, int64_t *ret_whole, double *ret_real)
{
	char text[POSTGRES_NUMBER_MAX + 1];
	size_t sign, whole, fraction = 0;

	if (!p || len == 0 || len > POSTGRES_NUMBER_MAX || memchr(p, '\0', len))
		return false;
	memcpy(text, p, len);
	text[len] = '\0';
	sign = text[0] == '-';
	whole = strspn(text + sign, "0123456789");
	if (whole == 0)
		return false;
	*ret_is_int = text[sign + whole] == '\0';
	if (*ret_is_int) {
		if (number_i64(ret_whole, text, INT64_MIN, INT64_MAX) != 0)
			return false;
		*ret_real = (double)*ret_whole;
		return true;
	}
	if (text[sign + whole] == '.')
		fraction = strspn(text + sign + whole + 1, "0123456789");
	if (fraction == 0 || sign + whole + 1 + fraction != len)
		return false;
	*ret_whole = 0;
	*ret_real = strtod(text, NULL); /* checked above: it takes all of the text */
	return true;
}
