#include "remote/desk/desk_actions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "remote/desk/desk_after.h"
#include "remote/desk/desk_evidence.h"
#include "remote/desk/desk_permits.h"
#include "remote/desk/desk_session.h"
#include "remote/desk/desk_trust.h"
#include "remote/desk/desk_waiting.h"
#include "remote/desk/desk_words.h"
#include "remote/request/permits.h"

enum { CELL = 512, SHOWN_METRICS = 12, SHOWN_ALERTS = 16, SHOWN_CHANGES = 6, SHOWN_OPERATIONS = 3, CLOCK_DOUBT_MS = 60 * 1000 };

/* Members of a line, one after the other, as harmless text. */
static void
say_row(struct command_call *call, const json_t *item, const char *const *names)
{
	char line[4 * CELL] = "  ", cell[CELL];
	size_t len = 2;

	for (; *names && len < sizeof(line); names++) {
		const json_t *v = json_object_get(item, *names);
		char text[CELL] = "-";
		size_t n;

		if (json_is_string(v)) {
			(void)snprintf(text, sizeof(text), "%s", json_string_value(v));
		} else if (v) {
			n = json_dumpb(v, text, sizeof(text) - 1,
				JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
			text[n < sizeof(text) ? n : sizeof(text) - 1] = '\0';
		}
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s  ",
			log_escape(cell, sizeof(cell), text));
	}
	command_say(call, "%s", line);
}

static void
say_rows(struct command_call *call, const char *title, const json_t *items,
	const char *const *names, size_t max)
{
	size_t i;
	json_t *item;

	command_say(call, "\n%s", title);
	if (json_array_size(items) == 0)
		command_say(call, "  none");
	json_array_foreach(items, i, item) {
		if (i == max) {
			command_say(call, "  and %zu more (--json)", json_array_size(items) - max);
			break;
		}
		say_row(call, item, names);
	}
}

/* Of the newest sample of whether a service runs: "up at TIME". */
static const char *
up_text(const json_t *metrics, const char *service, char out[CELL])
{
	const json_t *item;
	size_t i;

	json_array_foreach(metrics, i, item)
		if (strcmp(json_text(item, "name"), "mainstay_service_up") == 0 &&
			strcmp(json_text(item, "service"), service) == 0) {
			(void)snprintf(out, CELL, "%s at %.40s", json_number_value(json_object_get(item, "value")) > 0 ? "up" : "DOWN",
				json_text(item, "time"));
			return out;
		}
	return "not told";
}

/* One screen is for what the engineer supports.  NULL: no memory. */
static json_t *
services_only(const json_t *metrics)
{
	SCOPED_JSON *list = json_array();
	json_t *item;
	size_t i;

	json_array_foreach(metrics, i, item) {
		const char *service = json_string_value(json_object_get(item, "service"));

		if (service && *service && json_array_append(list, item) < 0)
			return NULL;
	}
	return STEAL(list);
}

/* What ran is one thing, in which state it left the site another; many of the first do not hide the second.  NULL: no
 * memory. */
static json_t *
changes_of(const json_t *changes, bool operations)
{
	SCOPED_JSON *list = json_array();
	json_t *item;
	size_t i;

	json_array_foreach(changes, i, item)
		if ((strcmp(json_text(item, "of"), "mailbox") == 0) == operations &&
			json_array_append(list, item) < 0)
			return NULL;
	return STEAL(list);
}

/* Two with one key: who they are, and what to do. */
static void
say_clone(struct command_call *call, const char *site, const json_t *clone)
{
	static const char *const life[] = { "epoch", "address", "time", "counter", NULL };

	char kind[CELL];

	if (!clone)
		return;
	command_say(call, "\nCLONED: two speak with this site's key (%s, the hub says; both statements with --json)",
		log_escape(kind, sizeof(kind), json_text(clone, "kind")));
	say_row(call, json_object_get(clone, "first"), life);
	say_row(call, json_object_get(clone, "second"), life);
	command_say(call,
		"  ask the customer which is theirs: there, mainstay enrol --rotate; on the other, mainstay leave;\n"
		"  then, its fingerprint compared with them, mainstay-desk accept %s",
		site);
}

/* Heads of its log that contradict each other, and what to do. */
static void
say_conflicts(struct command_call *call, const struct desk_site *s)
{
	const json_t *items = json_object_get(s->hub, "conflicts"), *item;
	const char *hex = json_text(json_object_get(s->statement, "audit"), "key");
	struct desk_evidence e;
	uint8_t key[32];
	size_t i;

	if (json_array_size(items) == 0)
		return;
	command_say(call, "\nAUDIT LOG: not the one that the hub's witness saw before");
	json_array_foreach(items, i, item) {
		if (!hex_decode(key, sizeof(key), hex)
			|| desk_evidence_read(&e, s->site, key, item) != 0)
			command_say(call, "  the hub says so, and shows nothing that the site signed");
		else
			command_say(call, "  %s", e.text);
	}
	command_say(call,
		"  the site's disk was restored or copied, or its history rewritten: ask the customer which (there, mainstay\n"
		"  audit head shows both heads); mainstay-desk audit verify %s checks the evidence; until it is known,\n"
		"  what the site says of its past counts for nothing",
		s->site);
}

/* Whose it is, as an engineer signed it; what the hub says of another customer or machine is nowhere shown then. */
static void
say_whose(struct command_call *call, const struct desk_site *s)
{
	static const char *const signed_[] = { "site", "customer", "platform", "engineer", "time", NULL };
	static const char *const said[] = { "site", "customer", "platform", NULL };

	command_say(call, s->record ? "site, customer, platform, accepted by, when (signed)"
				    : "site, customer, platform (the hub says; no engineer has accepted it)");
	say_row(call, s->record ? s->record : s->hub, s->record ? signed_ : said);
}

/* Name, version, channel as the site signed them and the repository's signed list names them; whether each is up is the
 * hub's word. */
static int
say_services(struct command_call *call, struct desk *d, const struct desk_site *s)
{
	static const char *const names[] = { "name", "version", "channel", "up", NULL };
	const json_t *services = json_object_get(s->statement, "services"), *item;
	SCOPED_JSON *rows = json_array();
	size_t i;

	json_array_foreach(services, i, item) {
		const char *name = json_text(item, "name"), *release = json_text(item, "release");
		char version[DESK_TRUST_VERSION_MAX], up[CELL];
		json_t *row = json_object();
		int r = json_array_append_new(rows, row) < 0 ? -ENOMEM : 0;

		r = r ?: json_put_text(row, "name", name);
		desk_trust_version(d, release, version);
		r = r ?: json_put_text(row, "version", *version ? version : *release ? release : "not installed");
		r = r ?: json_put_text(row, "channel", json_text(item, "channel"));
		if (r < 0)
			return FAULT(r);
		/* The hub's word, cut anywhere, may be no text: then it has none. */
		(void)json_put_text(row, "up", up_text(json_object_get(s->hub, "metrics"), name, up));
	}
	say_rows(call, "services: name, version, channel (signed); health (the hub says)", rows, names, 64);
	return 0;
}

/* The signer's clock against the hub's, and what that does to times. */
static void
say_clock(struct command_call *call, const struct desk_site *s)
{
	json_int_t offset = json_integer_value(json_object_get(s->hub, "clock_offset_ms"));
	uint64_t said, now = clock_now_us();
	bool ahead = s->statement && clock_parse(&said, json_text(s->statement, "time")) == 0 &&
		said > now + CLOCK_DOUBT_MS * CLOCK_US_PER_MS;

	command_say(call, "\nclock %+lld ms against the hub's (the hub says)%s%s", (long long)offset,
		offset > CLOCK_DOUBT_MS || offset < -CLOCK_DOUBT_MS
			? ": IN DOUBT, the site's times count for little"
			: "",
		ahead ? "; its own signed time is to come: IN DOUBT, or this desk's clock is" : "");
}

/* What is on its way there, since when, and for whom it waits. */
static int
say_requests(struct command_call *call, struct desk *d, const struct desk_site *s)
{
	static const char *const names[] = { "id", "service", "operation", "engineer", "state", "since", "for", NULL };
	json_t *items = json_object_get(s->hub, "requests"), *item;
	size_t i;
	int r = desk_waiting_fill(d, items);

	if (r)
		return r;
	json_array_foreach(items, i, item)
		if (json_is_true(json_object_get(item, "signed")))
			r = r ?: json_put_text(item, "state", "waiting (signed)");
	if (r < 0)
		return FAULT(r);
	say_rows(call, "requests on their way: id, what, by, state, since, for (the hub says, where not signed)", items,
		names, 64);
	return 0;
}

/* What began soon after an operation says so, a line below. */
static void
say_alerts(struct command_call *call, const json_t *items)
{
	static const char *const names[] = { "id", "service", "name", "state", "since", "text", NULL };
	const json_t *item, *after;
	char what[CELL];
	size_t i;

	command_say(call, "\nalerts: id, service, name, state, since, text (the hub says)");
	if (json_array_size(items) == 0)
		command_say(call, "  none");
	json_array_foreach(items, i, item) {
		if (i == SHOWN_ALERTS) {
			command_say(call, "  and %zu more (--json)", json_array_size(items) - i);
			break;
		}
		say_row(call, item, names);
		after = json_object_get(item, "after");
		if (after)
			command_say(call, "    it began %lld s after this had ended: %s",
				(long long)json_integer_value(json_object_get(after, "seconds")),
				log_escape(what, sizeof(what), json_text(after, "what")));
	}
}

static int
say_statement(struct command_call *call, struct desk *d, const struct desk_site *s)
{
	static const char *const statement[] = { "time", "epoch", NULL };

	if (!s->statement) {
		command_say(call, "\nthe site has said nothing yet");
		return 0;
	}
	command_say(call, "\nthe site says, signed%s: time, epoch; its audit log has %lld entries", s->by_file ? ", brought by hand" : "",
		(long long)json_integer_value(json_object_get(json_object_get(s->statement, "audit"), "size")));
	say_row(call, s->statement, statement);
	return say_services(call, d, s);
}

static int
say_site(struct command_call *call, struct desk *d, const struct desk_site *s)
{
	static const char *const contact[] = { "status", "last_contact", NULL };
	static const char *const changes[] = { "time", "what", NULL };
	static const char *const metrics[] = { "service", "name", "value", "time", "attributes",
		NULL };
	SCOPED_JSON *of_services = services_only(json_object_get(s->hub, "metrics"));
	SCOPED_JSON *of_operations = changes_of(json_object_get(s->hub, "changes"), true);
	SCOPED_JSON *of_states = changes_of(json_object_get(s->hub, "changes"), false);
	int r;

	if (!of_services || !of_operations || !of_states)
		return FAULT(-ENOMEM);
	say_whose(call, s);
	say_clone(call, s->site, json_object_get(s->hub, "clone"));
	say_conflicts(call, s);
	command_say(call, "\nstatus, last contact (the hub says)");
	say_row(call, s->hub, contact);
	say_clock(call, s);
	r = say_statement(call, d, s);
	say_alerts(call, json_object_get(s->hub, "alerts"));
	r = r ?: say_requests(call, d, s);
	desk_permits_say(call, s);
	say_rows(call, "last changes (the hub says)", of_states, changes, SHOWN_CHANGES);
	say_rows(call, "last operations (the hub says)", of_operations, changes, SHOWN_OPERATIONS);
	say_rows(call, "metrics of services (the hub says; hosts' with --json)", of_services,
		metrics, SHOWN_METRICS);
	return r;
}

/* The hub's answer, with what was verified in the place of the envelopes and of the hub's own words for it. */
static json_t *
page_json(const struct desk_site *s)
{
	static const char *const of_record[] = { "site", "customer", "platform" };
	json_t *out = json_copy_whole(s->hub, JSON_SHALLOW);
	int r = out ? 0 : -ENOMEM;

	r = r ?: json_object_set_new(out, "verified", json_boolean(s->record != NULL));
	r = r ?: json_object_set(out, "record", s->record ? s->record : json_null());
	r = r ?: json_object_set(out, "statement", s->statement ? s->statement : json_null());
	/* Those that count by its statement: none of a former life. */
	r = r ?: json_object_set(out, "permits", s->permits && !desk_permits_former(s) ? s->permits->doc : json_null());
	r = r ?: json_object_set(out, "services",
			 s->statement ? json_object_get(s->statement, "services") : json_null());
	for (size_t i = 0; !r && s->record && i < ARRAY_LEN(of_record); i++)
		r = json_object_set(out, of_record[i], json_object_get(s->record, of_record[i]));
	if (!r && s->record)
		r = json_put_hex(out, "key", s->key, sizeof(s->key));
	if (!r)
		return out;
	json_decref(out);
	return NULL;
}

int
desk_fleet_show(struct command_call *call)
{
	SCOPED(desk_session_done) struct desk d;
	SCOPED(desk_trust_site_done) struct desk_site s = { 0 };
	json_t *out;
	int r = desk_session_open(&d, call);

	r = r ?: desk_session_load(&d);
	r = r ?: desk_trust_refresh(&d);
	r = r ?: desk_trust_site(&d, call->operands[0], true, &s);
	r = r ?: desk_after_mark(json_object_get(s.hub, "alerts"), json_object_get(s.hub, "changes"));
	if (r)
		return r;
	if (!call->json) {
		r = say_site(call, &d, &s);
		if (!r && s.record)
			desk_words_learn(&d, &s);
		return r;
	}
	r = desk_waiting_fill(&d, json_object_get(s.hub, "requests"));
	if (r)
		return r;
	out = page_json(&s);
	return out ? command_print_json("Site", out) : FAULT(-ENOMEM);
}
