#include "telemetry/alert/notify_target.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/databases.h"

static const char *const steps[] = {
	/* AUTOINCREMENT: an id is never another's, so nobody's position is taken for it */
	"CREATE TABLE notify("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, url TEXT NOT NULL, customer TEXT NOT NULL,"
	"  mail_from TEXT NOT NULL, mail_to TEXT NOT NULL, secret_file TEXT NOT NULL, ca_file TEXT NOT NULL,"
	"  plain INTEGER NOT NULL, created INTEGER NOT NULL) STRICT;",
};
const struct db_migration notify_target_migration = { "telemetry/alert", steps, ARRAY_LEN(steps) };

static const char *const kinds[NOTIFY_KINDS] = { [NOTIFY_ALERTMANAGER] = "alertmanager", [NOTIFY_WEBHOOK] = "webhook",
	[NOTIFY_SMTP] = "smtp" };

const char *
notify_target_kind(enum notify_kind kind)
{
	return kinds[kind];
}

enum notify_kind
notify_target_kind_of(const char *text)
{
	for (int i = 0; i < NOTIFY_KINDS; i++)
		if (strcmp(text, kinds[i]) == 0)
			return (enum notify_kind)i;
	return NOTIFY_KINDS;
}

/* --- is it safe? --------------------------------------------------------------------------------------------- */
static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* 127.0.0.1, [::1] or localhost, then a port, a path or nothing. */
static bool
is_loopback(const char *host)
{
	static const char *const names[] = { "127.0.0.1", "[::1]", "localhost" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (begins(host, names[i]) && strchr(":/", host[strlen(names[i])]))
			return true;
	return false;
}

static int
check_url(const struct notify_target *t)
{
	const char *safe = t->kind == NOTIFY_SMTP ? "smtps://" : "https://";
	const char *open = t->kind == NOTIFY_SMTP ? "smtp://" : "http://";
	const char *host;

	for (const char *p = t->url; *p; p++)
		if (*p <= ' ' || *p >= 127 || strchr("@\"<>\\^`{|}#", *p))
			return REFUSE(REASON_USAGE, t->url, "holds a character that is not for here (user names: in --secret-file)");
	if (!begins(t->url, safe) && !begins(t->url, open))
		return REFUSE(REASON_USAGE, t->url, "begins with neither %s nor %s", safe, open);
	host = strstr(t->url, "://") + 3;
	if (!isalnum((unsigned char)host[0]) && host[0] != '[')
		return REFUSE(REASON_USAGE, t->url, "names no host");
	if (t->plain && !is_loopback(host))
		return REFUSE(REASON_USAGE, t->url, "is not this machine: --insecure-http is for 127.0.0.1, [::1] and localhost");
	/* smtp:// is encrypted by STARTTLS, or nothing is said. */
	if (!t->plain && t->kind != NOTIFY_SMTP && !begins(t->url, safe))
		return REFUSE(REASON_USAGE, t->url, "is not encrypted: https:// it has to be");
	return 0;
}

/* LOCAL@DOMAIN of plain characters: nothing that means something in a header or to SMTP. */
static bool
is_address(const char *text, size_t len)
{
	const char *at = memchr(text, '@', len);

	if (!at || at == text || at + 1 == text + len || len >= NOTIFY_TARGET_ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("._+-=@", text[i]))
			return false;
	return !memchr(at + 1, '@', (size_t)(text + len - at - 1)) && isalnum((unsigned char)text[0]);
}

static int
check_mail(const struct notify_target *t)
{
	size_t n = 0;

	if (t->kind != NOTIFY_SMTP)
		return t->from[0] || t->to[0] ? REFUSE(REASON_USAGE, "--from", "and --to are for smtp") : 0;
	if (!is_address(t->from, strlen(t->from)))
		return REFUSE(REASON_USAGE, "--from", "is no mail address (alerts@example.com)");
	for (const char *p = t->to;; p++) {
		size_t len = strcspn(p, ",");

		if (++n > NOTIFY_TARGET_TO_MAX || !is_address(p, len))
			return REFUSE(REASON_USAGE, "--to", "is not one to %d mail addresses with commas between", NOTIFY_TARGET_TO_MAX);
		p += len;
		if (*p == '\0')
			return 0;
	}
}

int
notify_target_check(const struct notify_target *t)
{
	int r = check_url(t);

	r = r ? r : check_mail(t);
	if (r == 0 && t->customer[0] && !databases_is_name(t->customer))
		return REFUSE(REASON_USAGE, t->customer, "is no customer's name");
	if (r == 0 && ((t->secret_file[0] && t->secret_file[0] != '/') || (t->ca_file[0] && t->ca_file[0] != '/')))
		return REFUSE(REASON_USAGE, t->secret_file[0] && t->secret_file[0] != '/' ? "--secret-file" : "--ca", "is no absolute path");
	return r;
}

/* --- rows ------------------------------------------------------------------------------------------------------ */
int
notify_target_add(struct db *fleet, struct notify_target *t)
{
	int64_t n;
	int r = notify_target_check(t);

	if (r != 0)
		return r;
	r = db_number(fleet, &n, 0, "SELECT count(*) FROM notify", "");
	if (r == 0 && n >= NOTIFY_TARGET_MAX)
		return REFUSE(REASON_TOO_LARGE, "notify", "there are %d receivers already", NOTIFY_TARGET_MAX);
	r = r ? r
	      : db_exec(fleet,
			"INSERT INTO notify(kind, url, customer, mail_from, mail_to, secret_file, ca_file, plain, created)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
			"tttttttii", kinds[t->kind], t->url, t->customer, t->from, t->to, t->secret_file, t->ca_file,
			(int64_t)t->plain, (int64_t)t->created_us);
	t->id = r == 0 ? db_last_id(fleet) : 0;
	return FAULT(r);
}

static int
not_there(int64_t id)
{
	char name[24];

	(void)snprintf(name, sizeof(name), "%jd", (intmax_t)id);
	return REFUSE(REASON_NOT_FOUND, name, "is no receiver (mainstay-hubd notify list)");
}

int
notify_target_remove(struct db *fleet, int64_t id)
{
	int r = db_exec(fleet, "DELETE FROM notify WHERE id = ?1", "i", id);

	return r < 0 ? FAULT(r) : db_changes(fleet) > 0 ? 0 : not_there(id);
}

static void
copy(char *out, size_t size, struct db_query *q, int column)
{
	(void)snprintf(out, size, "%s", db_text(q, column));
}

static void
read_row(struct db_query *q, struct notify_target *t)
{
	*t = (struct notify_target){ .id = db_i64(q, 0), .kind = notify_target_kind_of(db_text(q, 1)),
		.plain = db_i64(q, 8) != 0, .created_us = (uint64_t)db_i64(q, 9) };
	copy(t->url, sizeof(t->url), q, 2);
	copy(t->customer, sizeof(t->customer), q, 3);
	copy(t->from, sizeof(t->from), q, 4);
	copy(t->to, sizeof(t->to), q, 5);
	copy(t->secret_file, sizeof(t->secret_file), q, 6);
	copy(t->ca_file, sizeof(t->ca_file), q, 7);
}

int
notify_target_get(struct db *fleet, int64_t id, struct notify_target *ret)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r = db_query(&q, fleet,
		"SELECT id, kind, url, customer, mail_from, mail_to, secret_file, ca_file, plain, created FROM notify WHERE id = ?1",
		"i", id);

	r = r ? r : db_next(q);
	if (r == 0)
		return not_there(id);
	if (r == DB_ROW)
		read_row(q, ret);
	return r < 0 ? FAULT(r) : 0;
}

int
notify_target_each(struct db *fleet, int (*each)(const struct notify_target *t, void *arg), void *arg)
{
	SCOPED(db_query_endp) struct db_query *q = NULL;
	int r = db_query(&q, fleet,
		"SELECT id, kind, url, customer, mail_from, mail_to, secret_file, ca_file, plain, created FROM notify ORDER BY id",
		"");

	while (r == 0 && (r = db_next(q)) == DB_ROW) {
		struct notify_target t;

		read_row(q, &t);
		r = t.kind == NOTIFY_KINDS ? 0 : each(&t, arg); /* a kind of a newer hub is not ours */
	}
	return r < 0 ? FAULT(r) : r;
}

/* --- secrets --------------------------------------------------------------------------------------------------- */
int
notify_target_secret(const struct notify_target *t, struct buf *out)
{
	SCOPED(scope_close) int fd = open(t->secret_file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return REFUSE(REASON_NOT_FOUND, t->secret_file, "cannot be read: %s", strerror(errno));
	if (st.st_mode & 077)
		return REFUSE(REASON_DENIED, t->secret_file, "others may read it: chmod 600 it");
	r = fs_read_fd(fd, NOTIFY_TARGET_SECRET_MAX, out);
	if (r > 0)
		return REFUSE((enum reason)r, t->secret_file, "is no file of at most %d bytes", NOTIFY_TARGET_SECRET_MAX);
	while (r == 0 && out->len > 0 && strchr("\r\n", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return FAULT(r);
}
