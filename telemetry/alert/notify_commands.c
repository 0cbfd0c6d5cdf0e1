#include "telemetry/alert/notify_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/serve/hub_folder.h"
#include "appliance/serve/serve.h"
#include "telemetry/alert/alert_inbox.h"
#include "telemetry/alert/notify_message.h"
#include "telemetry/alert/notify_queue.h"
#include "telemetry/alert/notify_target.h"

static const struct serve_module *const modules[] = { &alert_inbox_module, NULL };

/* The hub's files, where the folder is one. */
static int
open_databases(const struct command_call *call, struct databases **ret)
{
	char file[PATH_MAX];
	const char *state;
	int r = hub_folder_find(call, &state);

	if (r != 0)
		return r;
	(void)snprintf(file, sizeof(file), "%s/hub.json", state);
	if (faccessat(AT_FDCWD, file, R_OK, AT_EACCESS) < 0)
		return REFUSE(REASON_NOT_FOUND, state, "is no hub's folder; make one with init");
	return FAULT(serve_open_databases(ret, state, modules));
}

static int
read_id(const struct command_call *call, int64_t *ret)
{
	uint64_t id;

	if (number_u64(&id, call->operands[0], INT64_MAX) != 0)
		return REFUSE(REASON_USAGE, call->operands[0], "is no number of a receiver (mainstay-hubd notify list)");
	*ret = (int64_t)id;
	return 0;
}

/* --- what is shown ---------------------------------------------------------------------------------------------- */
struct sums {
	const struct notify_target *target;
	int64_t told, dead, waiting;
	char error[NOTIFY_QUEUE_ERROR_MAX];
};

static int
sum(const char *name, struct db *db, void *arg)
{
	struct sums *s = arg;
	struct notify_position at;
	int64_t waiting;
	int r;

	if (s->target->customer[0] && strcmp(s->target->customer, name) != 0)
		return 0;
	r = notify_queue_position(db, s->target->id, s->target->created_us, &at);
	r = r ? r : db_number(db, &waiting, 0, "SELECT count(*) FROM notices WHERE id > ?1", "i", at.notice);
	if (r < 0)
		return FAULT(r);
	s->told += at.told;
	s->dead += at.dead;
	s->waiting += waiting;
	if (at.error[0])
		(void)snprintf(s->error, sizeof(s->error), "%s", at.error);
	return 0;
}

static int
describe(struct databases *d, const struct notify_target *t, json_t **ret)
{
	struct sums s = { .target = t };
	int r = databases_each(d, NULL, sum, &s);

	*ret = r < 0 ? NULL
		     : json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:s}", "id", (json_int_t)t->id, "kind",
				       notify_target_kind(t->kind), "url", t->url, "customer", t->customer, "from", t->from, "to", t->to,
				       "plain", (int)t->plain, "told", (json_int_t)s.told, "waiting", (json_int_t)s.waiting, "dead",
				       (json_int_t)s.dead, "error", s.error);
	return r < 0 ? FAULT(r) : *ret ? 0 : FAULT(-ENOMEM);
}

struct listing {
	struct databases *databases;
	json_t *items;
};

static int
list_one(const struct notify_target *t, void *arg)
{
	struct listing *l = arg;
	json_t *item = NULL;
	int r = describe(l->databases, t, &item);

	return r == 0 && json_array_append_new(l->items, item) < 0 ? FAULT(-ENOMEM) : FAULT(r);
}

static int
run_list(struct command_call *call)
{
	static const char *const columns[] = { "id", "kind", "url", "customer", "to", "told", "waiting", "dead", "error", NULL };
	SCOPED(databases_closep) struct databases *d = NULL;
	SCOPED_JSON *items = json_array();
	struct listing l = { .items = items };
	int r = open_databases(call, &d);

	l.databases = d;
	r = r ? r : notify_target_each(databases_fleet(d), list_one, &l);
	return r ? r : command_print_items(call, "Receivers", STEAL(items), columns);
}

/* --- add, remove ------------------------------------------------------------------------------------------------- */
static int
take_option(const struct command_call *call, const char *name, char *out, size_t size)
{
	const char *text = command_option(call, name);

	if (text && strlen(text) >= size)
		return REFUSE(REASON_USAGE, name, "is longer than %zu bytes", size - 1);
	(void)snprintf(out, size, "%s", text ? text : "");
	return 0;
}

static int
read_target(struct command_call *call, struct notify_target *t)
{
	const char *kind = command_option(call, "kind");
	int r = 0;

	*t = (struct notify_target){ .kind = notify_target_kind_of(kind), .plain = command_option(call, "insecure-http") != NULL,
		.created_us = clock_now_us() };
	if (t->kind == NOTIFY_KINDS)
		return REFUSE(REASON_USAGE, kind, "is no kind of receiver: alertmanager, webhook, smtp");
	r = take_option(call, "url", t->url, sizeof(t->url));
	r = r ? r : take_option(call, "customer", t->customer, sizeof(t->customer));
	r = r ? r : take_option(call, "from", t->from, sizeof(t->from));
	r = r ? r : take_option(call, "to", t->to, sizeof(t->to));
	r = r ? r : take_option(call, "secret-file", t->secret_file, sizeof(t->secret_file));
	return r ? r : take_option(call, "cacert", t->ca_file, sizeof(t->ca_file));
}

static int
run_add(struct command_call *call)
{
	SCOPED(databases_closep) struct databases *d = NULL;
	SCOPED(buf_wipe) struct buf secret = BUF_MAX(NOTIFY_TARGET_SECRET_MAX);
	struct notify_target t;
	json_t *item = NULL;
	int r = read_target(call, &t);

	/* Wrong now is better found now, and as the user who will read it. */
	r = r ? r : notify_target_check(&t);
	r = r ? r : open_databases(call, &d);
	r = r || !t.secret_file[0] ? r : notify_target_secret(&t, &secret);
	r = r ? r : notify_target_add(databases_fleet(d), &t);
	r = r ? r : describe(d, &t, &item);
	if (r != 0)
		return r;
	command_say(call, "receiver %jd is told of %s%s from now on; try it: mainstay-hubd notify test %jd", (intmax_t)t.id,
		t.customer[0] ? "alerts of customer " : "every customer's alerts", t.customer, (intmax_t)t.id);
	if (call->json)
		return command_print_json("Receiver", item);
	json_decref(item);
	return 0;
}

static int
forget(const char *name, struct db *db, void *arg)
{
	(void)name;
	return notify_queue_forget(db, *(const int64_t *)arg);
}

static int
run_remove(struct command_call *call)
{
	SCOPED(databases_closep) struct databases *d = NULL;
	int64_t id;
	int r = read_id(call, &id);

	r = r ? r : open_databases(call, &d);
	r = r ? r : notify_target_remove(databases_fleet(d), id);
	r = r ? r : databases_each(d, NULL, forget, &id);
	if (r != 0)
		return r;
	command_say(call, "receiver %jd is told nothing from now on", (intmax_t)id);
	return call->json ? command_print_json("Receiver", json_pack("{s:I, s:b}", "id", (json_int_t)id, "removed", 1)) : 0;
}

/* --- test ---------------------------------------------------------------------------------------------------------- */
/* An alert that is none, and says so. */
static json_t *
make_item(uint64_t now_us)
{
	char when[CLOCK_TEXT_MAX];

	clock_format(when, now_us);
	return json_pack("[{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{}, s:s, s:i, s:s}]", "notice", 0, "state",
		"resolved", "time", when, "id", "", "site", "none", "service", "mainstay", "name", "NotificationTest", "severity",
		"info", "text", "a test by mainstay-hubd notify test: nothing is wrong", "value", "", "labels", "since", when,
		"firings", 1, "acknowledged_by", "");
}

static int
run_test(struct command_call *call)
{
	SCOPED(databases_closep) struct databases *d = NULL;
	SCOPED(notify_message_done) struct notify_message m = { 0 };
	SCOPED(http_reply_done) struct http_reply reply = { 0 };
	uint64_t now_us = clock_now_us();
	SCOPED_JSON *items = make_item(now_us);
	struct notify_form form = { .hub = "test", .items = items, .now_us = now_us };
	char why[NOTIFY_QUEUE_ERROR_MAX], shown[NOTIFY_QUEUE_ERROR_MAX];
	struct notify_target t;
	int64_t id;
	int r = items ? read_id(call, &id) : FAULT(-ENOMEM);

	r = r ? r : open_databases(call, &d);
	r = r ? r : notify_target_get(databases_fleet(d), id, &t);
	if (r != 0)
		return r;
	form.target = &t;
	form.customer = t.customer[0] ? t.customer : "none";
	r = notify_message_make(&m, &form);
	if (r != 0)
		return r;
	r = http_perform(NULL, &m.request, &reply);
	if (r < 0)
		return FAULT(r);
	if (notify_message_result(&t, &reply, why) != 0)
		return REFUSE(REASON_UNREACHABLE, t.url, "%s", log_escape(shown, sizeof(shown), why));
	command_say(call, "%s took the test (%ld)", t.url, reply.status);
	return call->json ? command_print_json("ReceiverTest",
				    json_pack("{s:I, s:s, s:I}", "id", (json_int_t)id, "url", t.url, "status", (json_int_t)reply.status))
			  : 0;
}

static const struct command_option add_options[] = {
	{ .name = "kind", .value = "KIND", .help = "alertmanager, webhook or smtp", .required = true },
	{ .name = "url", .value = "URL", .help = "https://HOST:9093; https://…; smtp://HOST:PORT (STARTTLS) or smtps://",
		.required = true },
	{ .name = "customer", .value = "CUSTOMER", .help = "of this customer's alerts alone (default: of all)" },
	{ .name = "from", .value = "ADDRESS", .help = "who mails" },
	{ .name = "to", .value = "ADDRESSES", .help = "who is mailed, with commas between" },
	{ .name = "secret-file",
		.value = "FILE",
		.help = "0600: user and password, a line each (smtp); the key of the signature (webhook); the value of the "
			"header Authorization (alertmanager)" },
	{ .name = "cacert", .value = "FILE", .help = "whom its certificate is checked against (default: the system's)" },
	{ .name = "insecure-http", .help = "without TLS: to this machine alone" },
	{ 0 },
};

const struct command notify_commands[] = {
	{ .name = "notify add", .summary = "tell somebody of alerts: an Alertmanager, a webhook, a mail server",
		.options = add_options,
		.details = "Each change of an alert is told at least once, in order, per customer; muted ones are not. What a receiver\n"
			   "does not take is tried again for hours, then counted as dead (notify list).",
		.examples = "mainstay-hubd notify add --state /var/lib/hub --kind alertmanager --url https://am.example.com:9093\n"
			    "mainstay-hubd notify add --state /var/lib/hub --kind smtp --url smtp://mail.example.com:587 \\\n"
			    "    --from alerts@example.com --to support@example.com --secret-file /etc/hub/mail --customer acme",
		.run = run_add },
	{ .name = "notify list", .summary = "who is told, how much was told, and what was not",
		.examples = "mainstay-hubd notify list --state /var/lib/hub", .run = run_list },
	{ .name = "notify remove", .args = "ID", .min = 1, .max = 1, .summary = "tell it nothing more",
		.examples = "mainstay-hubd notify remove --state /var/lib/hub 3", .run = run_remove },
	{ .name = "notify test", .args = "ID", .min = 1, .max = 1, .summary = "send it a test now, and say what it answered",
		.examples = "mainstay-hubd notify test --state /var/lib/hub 3", .run = run_test },
	{ 0 },
};
