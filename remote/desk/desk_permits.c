#include "remote/desk/desk_permits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/request/permits.h"

enum { BYTES_MAX = 512 * 1024 };

/* --- kept here -------------------------------------------------------------------------------------- */
static int
verify(const struct desk_site *s, const json_t *envelope, struct permits **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(permits_freep) struct permits *p = NULL;
	int r = envelope_open_json(&e, MESSAGE_PERMITS, envelope);

	r = r ?: envelope_verify_daemon(e, s->key);
	r = r ?: permits_parse(&p, e->payload);
	if (r)
		return r;
	if (strcmp(p->site, s->site) != 0)
		return REFUSE(REASON_WRONG_ADDRESSEE, s->site, "the standing permits are of %s", p->site);
	*ret = STEAL(p);
	return 0;
}

static int
open_folder(struct desk *d, const struct desk_site *s, int *ret_fd, char name[96])
{
	(void)snprintf(name, 96, "%s.json", s->site);
	return fs_open_dir(ret_fd, d->dir_fd, "permits", 0700);
}

struct kept {
	bool by_file;
	json_t *envelope;
};

static const struct json_field fields[] = {
	{ "by_file", JSON_KIND_BOOL, false, offsetof(struct kept, by_file), 0 },
	{ "envelope", JSON_KIND_OBJECT, false, offsetof(struct kept, envelope), 0 },
};

/* *ret is NULL where nothing is kept that counts. */
static int
load(struct desk *d, const struct desk_site *s, struct permits **ret, bool *ret_by_file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;
	struct kept k = { 0 };
	char name[96];
	int r = open_folder(d, s, &fd, name);

	if (r < 0)
		return FAULT(r);
	r = fs_read(fd, name, BYTES_MAX, &b);
	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_read(&doc, b.data, b.len, BYTES_MAX, name);
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &k, name);
	r = r ?: verify(s, k.envelope, ret);
	*ret_by_file = k.by_file;
	if (r > 0)
		log_warning("%s: the list of standing permits that was kept here is not by the site's present key", s->site);
	return r > 0 ? 0 : r;
}

static int
save(struct desk *d, const struct desk_site *s, const json_t *envelope, bool by_file)
{
	SCOPED_JSON *doc = json_pack("{s:b, s:O}", "by_file", by_file, "envelope", envelope);
	SCOPED(buf_done) struct buf b = BUF_MAX(BYTES_MAX);
	SCOPED(scope_close) int fd = -1;
	char name[96];
	int r = open_folder(d, s, &fd, name);

	r = r ?: doc ? json_canonical(&b, doc) : -ENOMEM;
	return FAULT(r ?: fs_replace(fd, name, b.data, b.len, 0600));
}

/* --- which of two ----------------------------------------------------------------------------------- */
static bool
same_life(const struct permits *a, const struct permits *b)
{
	return strcmp(a->epoch, b->epoch) == 0;
}

/* Of one life the one with the higher number; of two lives the one of which the site's statement is. */
static bool
is_newer(const struct desk_site *s, const struct permits *a, const struct permits *b)
{
	if (!b)
		return true;
	return same_life(a, b) ? a->counter > b->counter
			       : strcmp(json_text(s->statement, "epoch"), a->epoch) == 0;
}

static void
set(struct desk_site *s, struct permits **take_p, bool by_file)
{
	permits_free(s->permits);
	s->permits = STEAL(*take_p);
	s->permits_by_file = by_file;
}

int
desk_permits_take(struct desk *d, struct desk_site *s)
{
	const json_t *envelope = json_object_get(s->hub, "permits");
	SCOPED(permits_freep) struct permits *kept = NULL, *shown = NULL;
	bool by_file = false, cloned = json_object_get(s->hub, "clone") != NULL;
	int r = load(d, s, &kept, &by_file);

	if (!r && json_is_object(envelope))
		r = verify(s, envelope, &shown);
	if (r)
		return r;
	if (!shown || (kept && by_file && is_newer(s, kept, shown))) {
		set(s, &kept, by_file);
		return 0;
	}
	/* Two that speak with one key count each for itself. */
	if (kept && !cloned && same_life(kept, shown) && kept->counter > shown->counter)
		return REFUSE(REASON_ROLLBACK, s->site, "the hub shows an older list of its standing permits than it did before");
	if (!kept || by_file || !same_life(kept, shown) || kept->counter != shown->counter)
		r = save(d, s, envelope, false);
	set(s, &shown, false);
	return r;
}

int
desk_permits_keep(struct desk *d, struct desk_site *s, const json_t *envelope)
{
	SCOPED(permits_freep) struct permits *p = NULL;
	int r = verify(s, envelope, &p);

	if (r || !is_newer(s, p, s->permits))
		return r;
	r = save(d, s, envelope, true);
	if (!r)
		set(s, &p, true);
	return r;
}

/* --- shown ------------------------------------------------------------------------------------------ */
bool
desk_permits_former(const struct desk_site *s)
{
	const char *epoch = json_text(s->statement, "epoch");

	return s->permits && *epoch && strcmp(epoch, s->permits->epoch) != 0;
}

static void
say_one(struct command_call *call, const struct permits_item *p)
{
	char until[CLOCK_TEXT_MAX];
	const json_t *line;
	size_t i;

	command_say(call, "  %s %s  asked by %s, approved by %s, %llu of %llu uses left, until %s", p->service, p->operation,
		p->engineer, p->approver, (unsigned long long)p->left, (unsigned long long)p->uses,
		clock_format(until, p->expires_us));
	json_array_foreach(p->arguments, i, line)
		command_say(call, "    argument %s", json_string_value(line));
	command_say(call, "    limits %s", p->limits);
}

void
desk_permits_say(struct command_call *call, const struct desk_site *s)
{
	uint64_t now = clock_now_us();
	char when[CLOCK_TEXT_MAX];
	size_t shown = 0;

	if (!s->permits) {
		command_say(call, "\nstanding permits\n  the site told of none");
		return;
	}
	command_say(call, "\nstanding permits: what runs without asking again (signed%s, %s)",
		s->permits_by_file ? ", brought by hand" : "", clock_format(when, s->permits->time_us));
	if (desk_permits_former(s)) {
		command_say(call, "  none: those that it had were for a life of the site that is over");
		return;
	}
	for (size_t i = 0; i < s->permits->n_items; i++)
		if (s->permits->items[i].expires_us > now) {
			say_one(call, &s->permits->items[i]);
			shown++;
		}
	if (shown == 0)
		command_say(call, "  none");
	if (s->permits->more)
		command_say(call, "  and %llu more, for which the message had no room", (unsigned long long)s->permits->more);
}
