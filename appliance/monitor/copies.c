#include "appliance/monitor/copies.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "appliance/monitor/catalogue.h"

#define JOURNAL "/run/systemd/journal/socket"
#define SYSLOG "/dev/log"
#define NAME "mainstayd"
#define SD_ID "mainstay@32473"

enum {
	DATAGRAM_MAX = 8 * 1024,
	VALUE_MAX = 1024,
	FACILITY_AUDIT = 13, /* RFC 5424, table 1: log audit */
	NOTICE = 5,
	WARNING = 4,
};

void
copies_init(struct copies *c, const char *journal_path, const char *syslog_path, uint64_t next)
{
	bool standard = !journal_path && !syslog_path;

	*c = (struct copies){
		.fd = -1,
		.journal_path = standard ? JOURNAL : journal_path,
		.syslog_path = standard ? SYSLOG : syslog_path,
		.next = next,
	};
}

void
copies_done(struct copies *c)
{
	scope_close(&c->fd);
}

void
copies_redirect(struct copies *c, const char *path)
{
	bool own = path[0] != '\0';

	scope_close(&c->fd);
	c->journal_path = own ? NULL : JOURNAL;
	c->syslog_path = own ? path : SYSLOG;
	c->is_off = strcmp(path, "none") == 0;
}

/* --- the sockets ---------------------------------------------------------------------------------- */
static int
connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (!path || strlen(path) >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		scope_close(&fd);
	return fd;
}

static bool
is_open(struct copies *c)
{
	if (c->fd < 0) {
		c->is_syslog = false;
		c->fd = connect_to(c->journal_path);
	}
	if (c->fd < 0) {
		c->is_syslog = true;
		c->fd = connect_to(c->syslog_path);
	}
	return c->fd >= 0;
}

/* --- forms ---------------------------------------------------------------------------------------- */
static const char *
message_id(enum audit_kind kind)
{
#define X(k, id, cause, remedy) [k] = (id),
	static const char *const ids[AUDIT_KIND_MAX] = { CATALOGUE(X) };
#undef X
	return ids[kind];
}

static int
severity(const struct audit_entry *e)
{
	bool bad = e->kind == AUDIT_REFUSE || e->kind == AUDIT_ALERT || e->kind == AUDIT_CLONE ||
		e->kind == AUDIT_ROLLBACK || e->reason[0];

	return bad ? WARNING : NOTICE;
}

static void
put_message(struct buf *b, const struct audit_entry *e)
{
	char actor[VALUE_MAX], object[VALUE_MAX];

	buf_printf(b, "leaf %llu: %s %s%s%s%s%s", (unsigned long long)e->n,
		audit_kind_name(e->kind), log_escape(object, sizeof(object), e->object),
		e->actor[0] ? " by " : "", log_escape(actor, sizeof(actor), e->actor),
		e->reason[0] ? ": " : "", e->reason);
}

static void
put_field(struct buf *b, const char *name, const char *value)
{
	char text[VALUE_MAX];

	buf_printf(b, "%s=%s\n", name, log_escape(text, sizeof(text), value));
}

static void
journal_form(struct buf *b, const char *site, const struct audit_entry *e)
{
	buf_puts(b, "MESSAGE=");
	put_message(b, e);
	buf_printf(b, "\nMESSAGE_ID=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=" NAME "\n",
		message_id(e->kind), severity(e));
	buf_printf(b, "MAINSTAY_LEAF=%llu\n", (unsigned long long)e->n);
	put_field(b, "MAINSTAY_KIND", audit_kind_name(e->kind));
	put_field(b, "MAINSTAY_ACTOR", e->actor);
	put_field(b, "MAINSTAY_OBJECT", e->object);
	put_field(b, "MAINSTAY_DIGEST", e->digest);
	put_field(b, "MAINSTAY_REASON", e->reason);
	put_field(b, "MAINSTAY_SITE", site);
}

/* RFC 5424, section 6.3.3: '"', '\' and ']' are escaped in a value. */
static void
put_param(struct buf *b, const char *name, const char *value)
{
	char text[VALUE_MAX];

	buf_printf(b, " %s=\"", name);
	for (const char *p = log_escape(text, sizeof(text), value); *p; p++) {
		if (*p == '"' || *p == '\\' || *p == ']')
			buf_u8(b, '\\');
		buf_u8(b, (uint8_t)*p);
	}
	buf_u8(b, '"');
}

static void
syslog_form(struct buf *b, const char *site, const struct audit_entry *e)
{
	char time[CLOCK_TEXT_MAX], n[24];

	(void)snprintf(n, sizeof(n), "%llu", (unsigned long long)e->n);
	buf_printf(b, "<%d>1 %s - " NAME " %d %s [" SD_ID, FACILITY_AUDIT * 8 + severity(e),
		clock_format(time, e->time_us), (int)getpid(), audit_kind_name(e->kind));
	put_param(b, "leaf", n);
	put_param(b, "kind", audit_kind_name(e->kind));
	put_param(b, "actor", e->actor);
	put_param(b, "object", e->object);
	put_param(b, "digest", e->digest);
	put_param(b, "reason", e->reason);
	put_param(b, "site", site);
	buf_puts(b, "] ");
	put_message(b, e);
}

void
copies_say(struct copies *c, const char *site, const struct audit_entry *e)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DATAGRAM_MAX);

	c->next = e->n + 1;
	if (c->is_off)
		return;
	/* A reader that was restarted has another socket under the same name: a second try finds it. */
	for (unsigned tries = 0; tries < 2; tries++) {
		if (!is_open(c))
			break;
		buf_reset(&b);
		if (c->is_syslog)
			syslog_form(&b, site, e);
		else
			journal_form(&b, site, e);
		if (buf_error(&b))
			break;
		if (send(c->fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)b.len)
			return;
		if (errno == EAGAIN || errno == ENOBUFS)
			break; /* it does not keep up; waiting for it would hold up the site */
		scope_close(&c->fd);
	}
	c->left_out++;
}

struct telling {
	struct copies *copies;
	const char *site;
};

static int
tell_one(const struct audit_entry *e, void *arg)
{
	struct telling *t = arg;

	copies_say(t->copies, t->site, e);
	return 0;
}

int
copies_catch_up(struct copies *c, const char *site, struct audit *a)
{
	struct telling t = { c, site };

	if (c->next >= audit_size(a))
		return 0;
	return FAULT(audit_each(a, &(struct audit_filter){ .from = c->next }, tell_one, &t));
}
