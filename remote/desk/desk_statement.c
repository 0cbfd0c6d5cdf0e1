#include "remote/desk/desk_statement.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"

enum { BYTES_MAX = 128 * 1024 };

static int
open_folder(struct desk *d, const struct desk_site *s, int *ret_fd, char name[96])
{
	(void)snprintf(name, 96, "%s.json", s->site);
	return fs_open_dir(ret_fd, d->dir_fd, "statements", 0700);
}

static json_int_t
counter_of(const json_t *statement)
{
	const json_t *v = json_object_get(statement, "counter");

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

static int
verify(const struct desk_site *s, const json_t *envelope, struct envelope **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	int r = envelope_open_json(&e, MESSAGE_STATEMENT, envelope);

	r = r ?: envelope_verify_daemon(e, s->key);
	if (r)
		return r;
	if (strcmp(json_text(e->payload, "site"), s->site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, s->site, "the statement is of %s", json_text(e->payload, "site"));
	if (counter_of(e->payload) < 0)
		return REFUSE(REASON_MALFORMED, s->site, "its statement has no counter");
	*ret = STEAL(e);
	return 0;
}

static void
replace(struct desk_site *s, const struct envelope *e)
{
	json_decref(s->statement);
	s->statement = json_incref(e->payload);
	s->by_file = true;
}

int
desk_statement_take(struct desk *d, struct desk_site *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;
	char name[96];
	int r = open_folder(d, s, &fd, name);

	if (r < 0)
		return FAULT(r);
	r = r ?: fs_read(fd, name, BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read(&doc, b.data, b.len, BYTES_MAX, name);
	r = r ?: verify(s, doc, &e);
	if (r == 0 && counter_of(e->payload) > counter_of(s->statement))
		replace(s, e);
	if (r > 0)
		log_warning("%s: the statement that was imported here is not by the site's present key: import a new one", s->site);
	return r > 0 ? 0 : r;
}

int
desk_statement_keep(struct desk *d, struct desk_site *s, const json_t *envelope)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(scope_close) int fd = -1;
	char name[96];
	int r = verify(s, envelope, &e);

	if (r)
		return r;
	/* s has the newest of what is kept and what the hub shows already; an older file still brings its results. */
	if (counter_of(e->payload) <= counter_of(s->statement))
		return 0;
	r = open_folder(d, s, &fd, name);
	r = r ?: json_canonical(&b, envelope);
	r = r ?: fs_replace(fd, name, b.data, b.len, 0600);
	if (r)
		return FAULT(r);
	replace(s, e);
	return 0;
}

int
desk_statement_seen(struct desk *d, const struct desk_site *s)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX), out = BUF_MAX(BYTES_MAX);
	const char *epoch = json_text(s->statement, "epoch");
	json_int_t counter = counter_of(s->statement);
	SCOPED_JSON *was = NULL, *now = NULL;
	SCOPED(scope_close) int fd = -1;
	char name[96];
	int r;

	if (counter < 0 || json_object_get(s->hub, "clone"))
		return 0;
	(void)snprintf(name, sizeof(name), "%s.json", s->site);
	r = fs_open_dir(&fd, d->dir_fd, "seen", 0700);
	r = r ?: fs_read(fd, name, BYTES_MAX, &b);
	r = r == REASON_NOT_FOUND ? 0 : r ?: json_read(&was, b.data, b.len, BYTES_MAX, name);
	if (r)
		return r < 0 ? FAULT(r) : r;
	if (strcmp(json_text(was, "epoch"), epoch) == 0 && counter_of(was) >= counter)
		return counter_of(was) == counter
			? 0
			: REFUSE(REASON_ROLLBACK, s->site, "the hub shows an older statement than it did before");
	now = json_pack("{s:s, s:I}", "epoch", epoch, "counter", counter);
	r = now ? json_canonical(&out, now) : -ENOMEM;
	r = r ?: fs_replace(fd, name, out.data, out.len, 0600);
	return FAULT(r);
}
