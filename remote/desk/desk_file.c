#include "remote/desk/desk_actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/envelope.h"
#include "remote/desk/desk_answer.h"
#include "remote/desk/desk_asked.h"
#include "remote/desk/desk_order.h"
#include "remote/desk/desk_permits.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_statement.h"
#include "remote/desk/desk_trust.h"
#include "remote/request/request.h"
#include "remote/request/result.h"
#include "remote/request/results_file.h"

/* --- request --file ------------------------------------------------------------------------------- */
static int
write_request(struct desk_order *o, const char *file)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(REQUEST_BYTES_MAX);
	struct command_call *call = o->d.call;
	char until[CLOCK_TEXT_MAX];
	SCOPED_JSON *envelope = NULL, *out = NULL;
	int r = desk_order_seal(o, MESSAGE_REQUEST, &envelope);

	r = r ?: json_canonical(&b, envelope);
	r = r ?: fs_replace_path(file, b.data, b.len, 0600);
	if (r)
		return r;
	(void)clock_format(until, o->request.expires_us);
	if (call->json) {
		out = desk_order_json(o);
		r = out ? json_put_text(out, "id", o->id) : FAULT(-ENOMEM);
		r = r ?: json_put_text(out, "file", file);
		r = r ?: json_put_text(out, "expires", until);
		return r ?: command_print_json("RequestFile", STEAL(out));
	}
	command_say(call,
		"written    %s, as %s, good until %s\n"
		"at the site, by then:  mainstay requests import %s\n"
		"                       mainstay results export %s --out results.json\n"
		"and here:              mainstay-desk import results.json",
		file, o->id, until, file, o->id);
	return 0;
}

int
desk_request(struct command_call *call)
{
	SCOPED(desk_order_done) struct desk_order o = DESK_ORDER_NONE;
	const uint64_t most = (REQUEST_FILE_LIFE_S - REQUEST_EARLY_S) * CLOCK_US_PER_S;
	const char *life = command_option(call, "for");
	uint64_t life_us = most;
	int r = 0;

	if (life && (clock_parse_span(&life_us, life) || life_us == 0 || life_us > most))
		r = REFUSE(REASON_USAGE, "--for", "a span like 8h or 7d, under 14 days");
	r = r ?: desk_order_make(&o, call, life_us);
	if (r)
		return r;
	desk_order_say(&o);
	return write_request(&o, command_option(call, "file"));
}

/* --- import --------------------------------------------------------------------------------------- */
/* One item: what was asked, by whom, and what the site signed about it; a as run() leaves it. */
static int
take_item(struct desk *d, const struct desk_site *site, const struct results_file_item *item, bool quiet,
	struct request **ret, struct desk_answer *a)
{
	SCOPED(request_freep) struct request *q = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *doc = NULL;
	int type, r = envelope_open_json(&e, MESSAGE_REQUEST, item->request);

	*a = (struct desk_answer){ .call = d->call, .id = item->id, .quiet = quiet };
	if (r)
		return r;
	type = envelope_claimed_message(e, 0);
	if (type < 0)
		return FAULT(type);
	a->plan_only = type == MESSAGE_DRY_RUN;
	r = desk_asked_open(d, item->id, item->request, a->plan_only, &q);
	if (!r && strcmp(q->site, site->site) != 0)
		r = REFUSE(REASON_WRONG_ADDRESSEE, item->id, "was asked of %s, the file is of %s", q->site, site->site);
	if (r)
		return r;
	desk_asked_ready(a, q, site);
	if (!quiet)
		command_say(d->call, "%s %s at %s, asked by %s: %s", q->service, q->operation, q->site, q->engineer, q->reason);
	doc = json_pack("{s:s, s:s, s:O?, s:O?}", "state", item->result ? "done" : "delivered", "decision", item->decision,
		"plan", item->plan, "result", item->result);
	r = doc ? desk_answer_take(a, doc) : FAULT(-ENOMEM);
	if (!r)
		*ret = STEAL(q);
	return r;
}

static json_t *
about(const struct request *q)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "site", q->site, "service", q->service, "operation", q->operation,
		"engineer", q->engineer);
}

/* As `requests ID` shows it, and ends. */
static int
show_one(struct desk *d, const struct desk_site *site, const struct results_file_item *item)
{
	SCOPED(desk_answer_done) struct desk_answer a = { 0 };
	SCOPED(request_freep) struct request *q = NULL;
	int r = take_item(d, site, item, false, &q, &a);

	return r ?: desk_answer_finish(&a, about(q));
}

static int
add_row(struct desk *d, const struct desk_site *site, const struct results_file_item *item, json_t *rows)
{
	SCOPED(desk_answer_done) struct desk_answer a = { 0 };
	SCOPED(request_freep) struct request *q = NULL;
	json_t *row;
	int r;

	r = take_item(d, site, item, true, &q, &a);
	row = r ? NULL : about(q);
	r = r ?: json_put_text(row, "id", item->id);
	r = r ?: json_put_text(row, "outcome", a.result ? request_outcome_name(a.result->outcome) : "none yet");
	if (row && json_array_append_new(rows, row) < 0)
		r = FAULT(-ENOMEM);
	return r;
}

/* All of them, each verified before the first is shown. */
static int
show_all(struct desk *d, const struct desk_site *site, const struct results_file *f)
{
	static const char *const columns[] = { "id", "site", "service", "operation", "engineer", "outcome", NULL };
	struct command_call *call = d->call;
	SCOPED_JSON *rows = json_array();
	int r = 0;

	for (size_t i = 0; !r && i < f->n_items; i++)
		r = add_row(d, site, &f->items[i], rows);
	if (r)
		return r;
	r = command_print_items(call, "ResultList", STEAL(rows), columns);
	command_say(call, "(signed by the site; all of one: mainstay-desk import %s ID)", call->operands[0]);
	return r;
}

static int
show_file(struct desk *d, const struct results_file *f, const char *id)
{
	SCOPED(desk_trust_site_done) struct desk_site site = { 0 };
	size_t i = 0;
	int r = desk_trust_site(d, f->site, false, &site);

	r = r ?: desk_statement_keep(d, &site, f->statement);
	if (!r && f->permits)
		r = desk_permits_keep(d, &site, f->permits);
	if (r)
		return r;
	while (id && i < f->n_items && strcmp(f->items[i].id, id) != 0)
		i++;
	if (id && i == f->n_items)
		return REFUSE(REASON_NOT_FOUND, id, "is not in the file");
	command_say(d->call, "%s spoke at %s (signed)", site.site, json_text(site.statement, "time"));
	if (id || f->n_items == 1)
		return show_one(d, &site, &f->items[i]);
	return show_all(d, &site, f);
}

int
desk_import(struct command_call *call)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(RESULTS_FILE_MAX + 1);
	SCOPED(results_file_freep) struct results_file *f = NULL;
	SCOPED(desk_session_done) struct desk d;
	int r = desk_session_open(&d, call);

	r = r ?: command_read_file(call->operands[0], RESULTS_FILE_MAX, &b);
	r = r ?: results_file_read(&f, b.data, b.len);
	r = r ?: desk_session_load(&d);
	r = r ?: desk_trust_refresh(&d);
	return r ?: show_file(&d, f, call->n_operands > 1 ? call->operands[1] : NULL);
}
