#include "telemetry/logs/log_journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "telemetry/logs/log_file.h"

#define MESSAGE "MESSAGE="

struct log_journal {
	sd_journal *sd;
	const struct log_journal_unit *units; /* borrowed */
	size_t n;
	char behind[LOG_CURSOR_JOURNAL_MAX + 1]; /* the first entry that is found may be this one: it was read */
};

int
log_journal_open(struct log_journal **ret, const char *dir)
{
	SCOPED(log_journal_closep) struct log_journal *j = calloc(1, sizeof(*j));
	uint64_t bytes;
	int r;

	if (!j)
		return FAULT(-ENOMEM);
	r = dir ? sd_journal_open_directory(&j->sd, dir, 0)
		: sd_journal_open(&j->sd, SD_JOURNAL_LOCAL_ONLY);
	if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
		return REASON_NOT_FOUND;
	if (r < 0)
		return FAULT(r);
	/* What may not be read is no error to libsystemd: it has no files then. */
	r = sd_journal_get_usage(j->sd, &bytes);
	if (r < 0)
		return FAULT(r);
	if (bytes == 0)
		return REASON_NOT_FOUND;
	r = sd_journal_set_data_threshold(j->sd, LOG_LINE_MAX + sizeof(MESSAGE));
	if (r < 0)
		return FAULT(r);
	*ret = STEAL(j);
	return 0;
}

struct log_journal *
log_journal_close(struct log_journal *j)
{
	if (!j)
		return NULL;
	sd_journal_close(j->sd);
	free(j);
	return NULL;
}

/* --- which entries --------------------------------------------------------------------------------------------- */
static int
match(struct log_journal *j, const char *field, const char *value)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s=%s", field, value);

	return n < (int)sizeof(text) ? sd_journal_add_match(j->sd, text, (size_t)n) : -EINVAL;
}

/* Values of one field are alternatives, fields must all match. */
static int
match_unit(struct log_journal *j, const struct log_journal_unit *unit, bool spoken_of)
{
	char level[2] = "0";
	unsigned i;
	int r = match(j, spoken_of ? "UNIT" : "_SYSTEMD_UNIT", unit->unit);

	if (r >= 0 && spoken_of)
		r = match(j, "_PID", "1");
	for (i = 0; r >= 0 && unit->level + 1 < LOG_JOURNAL_LEVELS && i <= unit->level; i++) {
		level[0] = (char)('0' + i);
		r = match(j, "PRIORITY", level);
	}
	return r < 0 ? r : sd_journal_add_disjunction(j->sd);
}

static int
match_all(struct log_journal *j, const struct log_journal_unit *units, size_t n)
{
	size_t i;
	int r = 0;

	sd_journal_flush_matches(j->sd);
	j->units = units;
	j->n = n;
	for (i = 0; r >= 0 && i < n; i++) {
		r = match_unit(j, &units[i], false);
		if (r >= 0)
			r = match_unit(j, &units[i], true);
	}
	return r < 0 ? FAULT(r) : 0;
}

/* Where cursor's entry is of another unit, it is looked for among all. */
static int
is_there(struct log_journal *j, const char *cursor, bool *ret)
{
	int r;

	sd_journal_flush_matches(j->sd);
	r = sd_journal_seek_cursor(j->sd, cursor);
	if (r >= 0)
		r = sd_journal_next(j->sd);
	if (r > 0)
		r = sd_journal_test_cursor(j->sd, cursor);
	*ret = r > 0;
	return r < 0 ? r : 0;
}

int
log_journal_seek(struct log_journal *j, const struct log_journal_unit *units, size_t n,
	const char *cursor, bool *ret_gone)
{
	bool there = true;
	int found = 0, r;

	if (ret_gone && *cursor)
		found = is_there(j, cursor, &there);
	if (ret_gone)
		*ret_gone = found == -EINVAL || !there;
	r = match_all(j, units, n);
	if (r < 0)
		return FAULT(r);
	if (found == -ENOMEM) /* it was not looked for, so that nothing says that it is gone */
		return FAULT(found);
	j->behind[0] = '\0';
	r = *cursor ? sd_journal_seek_cursor(j->sd, cursor) : sd_journal_seek_head(j->sd);
	if (r == -EINVAL) /* none of libsystemd's */
		r = sd_journal_seek_head(j->sd);
	else if (r >= 0)
		(void)snprintf(j->behind, sizeof(j->behind), "%s", cursor);
	return r < 0 ? FAULT(r) : 0;
}

static int
cursor_of(struct log_journal *j, char ret[LOG_CURSOR_JOURNAL_MAX + 1])
{
	SCOPED(scope_free) char *text = NULL;
	int r = sd_journal_get_cursor(j->sd, &text);

	if (r < 0)
		return FAULT(r);
	if (strlen(text) > LOG_CURSOR_JOURNAL_MAX)
		return FAULT(-EMSGSIZE);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

int
log_journal_tail(struct log_journal *j, char ret[LOG_CURSOR_JOURNAL_MAX + 1])
{
	int r;

	ret[0] = '\0';
	sd_journal_flush_matches(j->sd);
	r = sd_journal_seek_tail(j->sd);
	if (r >= 0)
		r = sd_journal_previous(j->sd);
	if (r > 0)
		r = cursor_of(j, ret);
	return r < 0 ? FAULT(r) : 0;
}

int
log_journal_last(struct log_journal *j, const struct log_journal_unit *units, size_t n_units, size_t n)
{
	int r = match_all(j, units, n_units);

	if (r < 0)
		return FAULT(r);
	j->behind[0] = '\0';
	r = sd_journal_seek_tail(j->sd);
	if (r >= 0)
		r = sd_journal_previous_skip(j->sd, n + 1);
	/* Fewer than that: it stands at the oldest, before which there is none. */
	if (r >= 0 && (size_t)r < n + 1)
		r = sd_journal_seek_head(j->sd);
	return r < 0 ? FAULT(r) : 0;
}

/* --- one entry --------------------------------------------------------------------------------------------------- */
/* What stands behind "FIELD="; NULL where there is none. */
static const char *
field(struct log_journal *j, const char *name, size_t *ret_len)
{
	const size_t skip = strlen(name) + 1;
	const void *p;
	size_t len;

	if (sd_journal_get_data(j->sd, name, &p, &len) < 0 || len < skip)
		return NULL;
	*ret_len = len - skip;
	return (const char *)p + skip;
}

/* A short one, without NUL in it; false, and "", where it is none. */
static bool
short_field(struct log_journal *j, const char *name, char *out, size_t size)
{
	size_t len;
	const char *p = field(j, name, &len);

	out[0] = '\0';
	if (!p || len >= size || memchr(p, '\0', len))
		return false;
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

static bool
find_unit(struct log_journal *j, const char *name, size_t *ret)
{
	char unit[256];
	size_t i;

	if (!short_field(j, name, unit, sizeof(unit)))
		return false;
	for (i = 0; i < j->n; i++)
		if (strcmp(j->units[i].unit, unit) == 0) {
			*ret = i;
			return true;
		}
	return false;
}

static void
read_time(struct log_journal *j, uint64_t *ret)
{
	char text[24], *end;

	if (sd_journal_get_realtime_usec(j->sd, ret) < 0)
		*ret = 0;
	if (!short_field(j, "_SOURCE_REALTIME_TIMESTAMP", text, sizeof(text)) || *text < '1' || *text > '9')
		return;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno || *end)
		*ret = 0;
}

/* Returns 0; REASON_ALTERED; REASON_NOT_FOUND where it says nothing that is asked for; or a fault. */
static int
read_entry(struct log_journal *j, struct log_journal_entry *ret)
{
	struct log_journal_entry e = { .priority = LOG_JOURNAL_LEVELS };
	const void *p;
	char level[4];
	int r;

	/* Whom systemd speaks of first: its own unit might be asked for, too. */
	if (!find_unit(j, "UNIT", &e.unit) && !find_unit(j, "_SYSTEMD_UNIT", &e.unit))
		return REASON_NOT_FOUND;
	read_time(j, &e.time_us);
	if (short_field(j, "PRIORITY", level, sizeof(level)) && level[0] >= '0' && level[0] <= '7' && !level[1])
		e.priority = (unsigned)(level[0] - '0');
	(void)short_field(j, "SYSLOG_IDENTIFIER", e.identifier, sizeof(e.identifier));
	(void)short_field(j, "_BOOT_ID", e.boot, sizeof(e.boot));
	r = cursor_of(j, e.cursor);
	if (r < 0)
		return FAULT(r);
	/* Last of all: libsystemd lends one thing at a time. */
	r = sd_journal_get_data(j->sd, "MESSAGE", &p, &e.len);
	if (r == -ENOENT)
		return REASON_NOT_FOUND;
	if (r < 0 || e.len < strlen(MESSAGE))
		return REASON_ALTERED;
	e.text = (const char *)p + strlen(MESSAGE);
	e.len -= strlen(MESSAGE);
	e.cut = e.len > LOG_LINE_MAX;
	if (e.cut)
		e.len = LOG_LINE_MAX;
	*ret = e;
	return 0;
}

int
log_journal_next(struct log_journal *j, struct log_journal_entry *ret)
{
	int r;

	while ((r = sd_journal_next(j->sd)) > 0) {
		if (j->behind[0]) {
			bool read = sd_journal_test_cursor(j->sd, j->behind) > 0;

			j->behind[0] = '\0';
			if (read)
				continue;
		}
		r = read_entry(j, ret);
		if (r != REASON_NOT_FOUND)
			return r;
	}
	return r < 0 ? FAULT(r) : REASON_NOT_FOUND;
}

int
log_journal_fd(struct log_journal *j)
{
	int fd = sd_journal_get_fd(j->sd);

	return fd < 0 ? FAULT(fd) : fd;
}

void
log_journal_process(struct log_journal *j)
{
	(void)sd_journal_process(j->sd);
}
