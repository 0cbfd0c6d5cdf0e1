/* Dry runs: what an operation would touch, told by its own program in the profile of what observes, before the plan is
 * made and once more before the run.  Part of the module of site_room.h. */
#include "remote/request/site_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/monitor/monitor.h"
#include "appliance/service/definition.h"
#include "remote/operate/job.h"
#include "remote/request/run.h"

enum {
	TRIALS_MAX = 4,		 /* at a time, of those that come before a plan */
	TRIALS_ENGINEER_MAX = 1, /* of them */
	SAID_MAX = 160,		 /* of its stderr, or of a line, in a refusal */
};

struct trial {
	struct request_site *s;
	struct request_item *item;
	struct request_run *run;
	bool before_run;
};

/* --- how many --------------------------------------------------------------------------------- */
bool
request_site_needs_trial(const struct request_item *item, const struct request_site_ground *g)
{
	return g->verdict.operation->dry_run.n > 0 && !item->tried;
}

bool
request_site_may_try(const struct request_site *s, const struct request_item *item)
{
	size_t all = 0, own = 0;

	for (size_t i = 0; i < request_store_count(s->store); i++) {
		const struct request_item *other = request_store_at(s->store, i);
		const struct trial *trial = other->trial;

		/* What was permitted waits for nobody. */
		if (!trial || trial->before_run)
			continue;
		all++;
		own += strcmp(other->request->engineer, item->request->engineer) == 0;
	}
	return all < TRIALS_MAX && own < TRIALS_ENGINEER_MAX;
}

/* --- what it said ----------------------------------------------------------------------------- */
static int
add_line(json_t *lines, const char *at, size_t len, const char *id)
{
	if (len > 0 && at[len - 1] == '\r')
		len--;
	if (len == 0)
		return 0;
	if (len > REQUEST_TOUCHED_LINE_MAX || json_array_size(lines) == REQUEST_TOUCHED_MAX)
		return REFUSE(REASON_TOO_LARGE, id,
			"its dry run says more than %d lines of %d bytes: an approver could not see all of it",
			REQUEST_TOUCHED_MAX, REQUEST_TOUCHED_LINE_MAX);
	return json_array_append_new(lines, json_stringn(at, len)) < 0 ? FAULT(-ENOMEM) : 0;
}

static int
lines_of(json_t **ret, const char *text, const char *id)
{
	SCOPED_JSON *lines = json_array();
	int r = lines ? 0 : FAULT(-ENOMEM);

	while (!r && *text) {
		size_t len = strcspn(text, "\n");

		r = add_line(lines, text, len, id);
		text += len + (text[len] == '\n');
	}
	if (!r)
		*ret = STEAL(lines);
	return r;
}

/* As much of text as a refusal quotes, and no half of a character. */
static int
quoted(const char *text)
{
	size_t len = strnlen(text, SAID_MAX + 1);

	if (len > SAID_MAX)
		for (len = SAID_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	return (int)len;
}

/* It must have ended well, for half a list is no list. */
static int
judge(const struct request_run_end *end, const char *id, json_t **ret_lines)
{
	if (end->r)
		return end->r;
	if (end->outcome != REQUEST_OUTCOME_OK)
		return REFUSE(REASON_CONFLICT, id, "its dry run: %s, exit %d: %.*s",
			request_outcome_name(end->outcome), end->exit_status, quoted(buf_text(&end->err)),
			buf_text(&end->err));
	if (end->truncated)
		return REFUSE(REASON_TOO_LARGE, id, "its dry run says more than %d bytes",
			REQUEST_TOUCHED_BYTES_MAX);
	return lines_of(ret_lines, buf_text(&end->out), id);
}

/* The first line of a that b has not, and how many of them there are. */
static size_t
missing(const json_t *a, const json_t *b, const char **ret_first)
{
	size_t n = 0, i, k;
	const json_t *one, *other;

	json_array_foreach(a, i, one) {
		bool found = false;

		json_array_foreach(b, k, other)
			found = found || json_equal(one, other);
		if (!found && n++ == 0)
			*ret_first = json_string_value(one);
	}
	return n;
}

static int
compare(const json_t *was, const json_t *is, const char *id)
{
	const char *went = "", *came = "";
	size_t n_went, n_came;

	if (json_equal(was, is))
		return 0;
	n_went = missing(was, is, &went);
	n_came = missing(is, was, &came);
	if (n_went + n_came == 0)
		return REFUSE(REASON_STATE_MOVED, id,
			"its dry run says the same lines another way than when the plan was made");
	return REFUSE(REASON_STATE_MOVED, id,
		"its dry run says otherwise now: lines that went: %zu \"%.*s\"; that came: %zu \"%.*s\"", n_went,
		quoted(went), went, n_came, quoted(came), came);
}

/* --- one -------------------------------------------------------------------------------------- */
static struct trial *
trial_free(struct trial *t)
{
	if (t) {
		request_run_free(t->run);
		free(t);
	}
	return NULL;
}
SCOPED_DESTRUCTOR(struct trial, trial_free)

/* The request goes on with its plan, or its run. */
static void
go_on(struct request_site *s, struct request_item *item, bool before_run, json_t *take_lines)
{
	if (!before_run) {
		json_decref(item->touched);
		item->touched = json_incref(take_lines);
	}
	json_decref(take_lines);
	item->tried = true;
	if (before_run)
		request_site_begin(s, item);
	else
		request_site_planned(s, item);
	item->tried = false;
}

static void
on_end(const struct request_run_end *end, void *arg)
{
	SCOPED(trial_freep) struct trial *t = arg;
	struct request_site *s = t->s;
	struct request_item *item = t->item;
	json_t *lines = NULL;
	int r = judge(end, item->request->id, &lines);

	item->trial = NULL;
	if (!r && t->before_run)
		r = compare(item->touched, lines, item->request->id);
	if (r) {
		json_decref(lines);
		request_site_refuse_last(s, item, r, "the dry run of a request");
	} else {
		go_on(s, item, t->before_run, lines);
	}
	request_site_work_soon(s); /* others may have waited for this one's place */
}

int
request_site_try(struct request_site *s, struct request_item *item,
	const struct request_site_ground *g, bool before_run)
{
	static const struct request_run_ops ops = { .done = on_end };
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED(trial_freep) struct trial *t = NULL;
	int r;

	if (!monitor_spawner(s->m))
		return REFUSE(REASON_BUSY, item->request->id, "nobody here starts workers");
	r = request_site_dry_job(s, item, g, &job);
	if (r)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return FAULT(-ENOMEM);
	*t = (struct trial){ .s = s, .item = item, .before_run = before_run };
	r = request_run_start(&t->run, monitor_loop(s->m), monitor_spawner(s->m), &job, &ops, t);
	if (r)
		return r;
	item->trial = STEAL(t);
	request_site_tell(s, item);
	return 0;
}

void
request_site_stop_trial(struct request_item *item)
{
	item->trial = trial_free(item->trial);
}
