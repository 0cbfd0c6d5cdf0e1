#include "telemetry/alert/alert_store.h"

#include "telemetry/alert/alert_inbox.h"
#include "telemetry/alert/alert_page.h"
#include "telemetry/alert/dead_man.h"
#include "telemetry/alert/notify_queue.h"
#include "telemetry/otlp/otlp.h"
#include "tests/fakes/hub_bench.h"

/* A room that knows twice as many changes as are shown, in no order. */
static int
add_changes(void *state, const char *site, struct db *customer, json_t *changes)
{
	(void)state;
	(void)site;
	(void)customer;
	for (int i = 0; i < 2 * ALERT_PAGE_CHANGES; i++) {
		int n = i * 7 % (2 * ALERT_PAGE_CHANGES);
		char what[16], time[32];

		(void)snprintf(what, sizeof(what), "%d", n);
		(void)snprintf(time, sizeof(time), "2026-11-21T10:%02d:00.000Z", n);
		json_array_append_new(changes, json_pack("{s:s, s:s}", "what", what, "time", time));
	}
	return 0;
}

static const struct serve_module changing = { .name = "changing", .changes = add_changes };
static const struct serve_module *const modules[] = { &alert_inbox_module, &changing, NULL };

static int
setup(void **state)
{
	(void)state;
	bench_open(modules);
	return 0;
}

static uint64_t at_us;

static void
wait_s(unsigned s)
{
	at_us += s * CLOCK_US_PER_S;
	clock_fake(at_us, at_us);
}

static int
begin(void **state)
{
	setup(state);
	at_us = BENCH_NOW;
	return 0;
}

static int
take_of(const char *site, const char *name, const char *labels, enum alert_state how, const char *muted_by)
{
	struct alert_record a = { .service = "redis", .severity = "critical", .text = "it is 7", .value = "7",
		.proposed = "info", .state = how, .since_us = clock_now_us() };

	(void)snprintf(a.name, sizeof(a.name), "%s", name);
	(void)snprintf(a.labels, sizeof(a.labels), "%s", labels);
	(void)snprintf(a.muted_by, sizeof(a.muted_by), "%s", muted_by);
	return alert_store_take(bench_db(), site, &a, false, clock_now_us());
}

static void
take(const char *name, enum alert_state how)
{
	assert_int_equal(take_of("acme-1", name, "{}", how, ""), 0);
}

/* The states of the notices there are, in order: "firing resolved". */
static const char *
notices(void)
{
	static char text[512];
	struct db_query *q = NULL;
	size_t len = 0;

	text[0] = '\0';
	assert_int_equal(db_query(&q, bench_db(), "SELECT state, held FROM notices ORDER BY id", ""), 0);
	while (db_next(q) == DB_ROW)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", db_text(q, 0));
	db_query_end(q);
	return text;
}

static int64_t
rows(void)
{
	return bench_count(bench_db(), "SELECT count(*) FROM alerts");
}

/* --- states ------------------------------------------------------------------------------------------------ */
static void
test_each_change_is_one_row_or_one_change_of_it_and_one_notice(void **state)
{
	static const struct {
		const char *what;
		enum alert_state said[4];
		unsigned n;
		int64_t rows;
		const char *notices;
	} table[] = {
		{ "fires", { ALERT_FIRING }, 1, 1, "firing" },
		{ "fires twice", { ALERT_FIRING, ALERT_FIRING }, 2, 1, "firing" },
		{ "fires and ends", { ALERT_FIRING, ALERT_RESOLVED }, 2, 1, "firing resolved" },
		{ "ends what never fired", { ALERT_RESOLVED }, 1, 1, "" },
		{ "is muted from the start", { ALERT_MUTED, ALERT_RESOLVED }, 2, 1, "" },
		{ "is muted, and then not", { ALERT_MUTED, ALERT_FIRING }, 2, 1, "firing" },
		{ "is muted while it fires", { ALERT_FIRING, ALERT_MUTED, ALERT_RESOLVED }, 3, 1, "firing muted" },
		{ "fires, ends, fires", { ALERT_FIRING, ALERT_RESOLVED, ALERT_FIRING }, 3, 2, "firing resolved firing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(db_exec(bench_db(), "DELETE FROM alerts", ""), 0);
		assert_int_equal(db_exec(bench_db(), "DELETE FROM notices", ""), 0);
		for (unsigned k = 0; k < table[i].n; k++) {
			take("down", table[i].said[k]);
			wait_s(1);
		}
		if (rows() != table[i].rows || strcmp(notices(), table[i].notices) != 0)
			fail_msg("%s: %jd rows, notices \"%s\"", table[i].what, (intmax_t)rows(), notices());
	}
}

static void
test_an_end_that_is_said_twice_is_one(void **state)
{
	uint64_t since_us = clock_now_us();

	(void)state;
	take("down", ALERT_FIRING);
	for (int i = 0; i < 3; i++) {
		struct alert_record a = { .name = "down", .service = "redis", .severity = "critical", .labels = "{}",
			.state = ALERT_RESOLVED, .since_us = since_us + (i == 2) };

		wait_s(1);
		assert_int_equal(alert_store_take(bench_db(), "acme-1", &a, false, clock_now_us()), 0);
		assert_int_equal(rows(), i == 2 ? 2 : 1); /* of another time it is another */
		assert_string_equal(notices(), "firing resolved");
	}
}

static void
test_each_group_of_labels_is_an_alert_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(take_of("acme-1", "full", "{\"disk\":\"a\"}", ALERT_FIRING, ""), 0);
	assert_int_equal(take_of("acme-1", "full", "{\"disk\":\"b\"}", ALERT_FIRING, ""), 0);
	assert_int_equal(rows(), 2);
	assert_int_equal(take_of("acme-1", "full", "{\"disk\":\"a\"}", ALERT_RESOLVED, ""), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE state = 'firing'"), 1);
}

static void
test_what_fires_three_times_an_hour_is_one_row_that_counts(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		take("down", ALERT_FIRING);
		wait_s(60);
		take("down", ALERT_RESOLVED);
		wait_s(60);
	}
	assert_int_equal(rows(), 2);
	assert_int_equal(bench_count(bench_db(), "SELECT max(firings) FROM alerts WHERE flapping = 1"), 9);
	assert_string_equal(notices(), "firing resolved firing resolved flapping");
	/* It stays away: that is told, once. */
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_string_equal(notices(), "firing resolved firing resolved flapping");
	wait_s(ALERT_STORE_FLAP_S);
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_string_equal(notices(), "firing resolved firing resolved flapping resolved");
	/* Three in more than an hour are three. */
	take("slow", ALERT_FIRING);
	for (int i = 0; i < 2; i++) {
		wait_s(60);
		take("slow", ALERT_RESOLVED);
		wait_s(ALERT_STORE_FLAP_S);
		take("slow", ALERT_FIRING);
	}
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE name = 'slow'"), 3);
}

static void
test_a_flood_of_one_site_is_summed_up_and_delays_nobody(void **state)
{
	char name[32];
	uint64_t before = refuse_count(REASON_TOO_LARGE);
	int refused = 0;

	(void)state;
	assert_int_equal(db_begin(bench_db()), 0);
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "alert-%d", i);
		refused += take_of("acme-1", name, "{}", ALERT_FIRING, "") == REASON_TOO_LARGE;
	}
	assert_int_equal(db_commit(bench_db()), 0);
	assert_int_equal(refused, 10000 - ALERT_STORE_OPEN_MAX);
	assert_int_equal(refuse_count(REASON_TOO_LARGE), before + (uint64_t)refused);
	assert_int_equal(rows(), ALERT_STORE_OPEN_MAX + 1); /* and AlertFlood */
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM notices"), NOTIFY_QUEUE_SITE_MAX);
	/* Another site of the customer is told of at once. */
	assert_int_equal(take_of("acme-2", "down", "{}", ALERT_FIRING, ""), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM notices WHERE site = 'acme-2' AND held = 0"), 1);
	/* The rest in one, once the minute is over. */
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM notices WHERE held > 0"), 0);
	wait_s(60);
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT held FROM notices WHERE held > 0"),
		ALERT_STORE_OPEN_MAX + 1 - NOTIFY_QUEUE_SITE_MAX);
	/* There is room again: the hub's own alert ends. */
	assert_int_equal(db_exec(bench_db(), "UPDATE alerts SET state = 'resolved' WHERE name <> 'AlertFlood' AND id % 4 > 0", ""), 0);
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE name = 'AlertFlood' AND state = 'firing'"), 0);
}

/* Or a pager would ring for ever for what ended in a busy minute. */
static void
test_the_end_of_what_was_told_is_told_in_a_flood_too(void **state)
{
	char name[32];

	(void)state;
	for (int i = 0; i < NOTIFY_QUEUE_SITE_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "alert-%d", i);
		take(name, ALERT_FIRING);
	}
	wait_s(1);
	for (int i = 0; i < NOTIFY_QUEUE_SITE_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "alert-%d", i);
		take(name, ALERT_RESOLVED);
		take(name, ALERT_FIRING); /* again: held back */
	}
	wait_s(1);
	for (int i = 0; i < NOTIFY_QUEUE_SITE_MAX + 5; i++) {
		(void)snprintf(name, sizeof(name), "alert-%d", i);
		take(name, ALERT_RESOLVED); /* of what nobody was told */
	}
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM notices WHERE state = 'firing'"), NOTIFY_QUEUE_SITE_MAX);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM notices WHERE state = 'resolved'"), NOTIFY_QUEUE_SITE_MAX);
	assert_int_equal(bench_count(bench_db(), "SELECT n FROM notices_held"), 4 * 5 + 2 * NOTIFY_QUEUE_SITE_MAX);
}

static void
test_what_is_over_for_long_is_swept(void **state)
{
	(void)state;
	take("down", ALERT_FIRING);
	take("down", ALERT_RESOLVED);
	take("up", ALERT_FIRING);
	wait_s(ALERT_STORE_KEEP_S + 1);
	assert_int_equal(alert_store_sweep(bench_db(), clock_now_us()), 0);
	assert_int_equal(rows(), 1);
	assert_string_equal(notices(), "");
}

/* --- pages ------------------------------------------------------------------------------------------------- */
static json_t *
get(const char *target)
{
	struct bench_call *c = bench_ask(bench.engineer, "GET", target, NULL, 0);

	assert_int_equal(c->status, 200);
	return bench_json(c);
}

static void
test_an_alert_is_shown_with_all_that_is_known_of_it(void **state)
{
	SCOPED_JSON *doc = NULL, *one = NULL;
	const json_t *item;

	(void)state;
	take("down", ALERT_FIRING);
	wait_s(1);
	take("down", ALERT_RESOLVED);
	wait_s(1);
	assert_int_equal(take_of("acme-1", "down", "{}", ALERT_MUTED, "update u-1"), 0);
	doc = get("/v1/fleet/alerts?site=acme-1&state=muted&severity=critical&customer=acme");
	assert_int_equal(json_array_size(json_object_get(doc, "items")), 1);
	item = json_array_get(json_object_get(doc, "items"), 0);
	assert_string_equal(json_text(item, "muted_by"), "update u-1");
	assert_string_equal(json_text(item, "proposed"), "info");
	assert_string_equal(json_text(item, "value"), "7");
	assert_string_equal(json_text(item, "customer"), "acme");
	assert_true(json_is_false(json_object_get(item, "silent")));
	assert_non_null(json_object_get(item, "clock_offset_ms"));
	one = get("/v1/fleet/alerts/acme.2");
	assert_int_equal(json_array_size(json_object_get(one, "past")), 1);
	assert_string_equal(json_text(json_array_get(json_object_get(one, "past"), 0), "id"), "acme.1");
}

static void
test_what_changed_there_is_shown_newest_first(void **state)
{
	SCOPED_JSON *one = NULL;
	const json_t *changes;

	(void)state;
	take("down", ALERT_FIRING);
	one = get("/v1/fleet/alerts/acme.1");
	changes = json_object_get(one, "changes");
	assert_int_equal(json_array_size(changes), ALERT_PAGE_CHANGES);
	for (size_t i = 0; i < ALERT_PAGE_CHANGES; i++)
		assert_int_equal(strtol(json_text(json_array_get(changes, i), "what"), NULL, 10),
			2 * ALERT_PAGE_CHANGES - 1 - (int)i);
}

static void
test_a_filter_leaves_out_what_it_names_not(void **state)
{
	static const struct {
		const char *query;
		size_t n;
	} table[] = { { "", 2 }, { "?site=acme-1", 1 }, { "?site=acme-9", 0 }, { "?state=firing", 1 },
		{ "?severity=warning", 0 }, { "?customer=globex", 0 }, { "?since=2027-01-15T08:00:01Z", 1 } };

	(void)state;
	take("down", ALERT_RESOLVED);
	wait_s(2);
	assert_int_equal(take_of("acme-2", "down", "{}", ALERT_FIRING, ""), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char target[100];
		SCOPED_JSON *doc = NULL;

		(void)snprintf(target, sizeof(target), "/v1/fleet/alerts%s", table[i].query);
		doc = get(target);
		if (json_array_size(json_object_get(doc, "items")) != table[i].n)
			fail_msg("%s: %zu", table[i].query, json_array_size(json_object_get(doc, "items")));
	}
}

static void
test_a_filter_of_another_form_is_refused(void **state)
{
	static const char *const table[] = { "?color=red", "?site=", "?state=0123456789abcdef", "?since=yesterday", "?limit=501",
		"?after=soon", "?after=99999999999999999999.1.acme", "?after=1.99999999999999999999.acme" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char target[100];

		(void)snprintf(target, sizeof(target), "/v1/fleet/alerts%s", table[i]);
		bench_refused(bench_ask(bench.engineer, "GET", target, NULL, 0), 400, REASON_MALFORMED);
	}
}

/* Of both customers, one microsecond for several of them, two at a time. */
static void
test_pages_show_every_alert_once_and_the_newest_first(void **state)
{
	char target[200] = "/v1/fleet/alerts?limit=2", seen[200] = "";
	struct auth_identity bob = { .kind = AUTH_ENGINEER, .engineer = "bob", .customers = ",*,",
		.ssh_key = "ssh-ed25519 AAAA" };
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	struct alert_record a = { .name = "x", .service = "s", .labels = "{}", .severity = "info" };
	struct db *other;
	size_t len = 0;

	(void)state;
	assert_int_equal(ed25519_generate(&key), 0);
	memcpy(bob.key, ed25519_public(key), 32);
	memcpy(bob.keyid, ed25519_keyid(key), 65);
	assert_int_equal(registry_key_put(serve_databases(bench.serve), &bob, BENCH_NOW * 2), 0);
	take("a", ALERT_FIRING);
	take("b", ALERT_FIRING);
	assert_int_equal(databases_customer(serve_databases(bench.serve), "globex", &other), 0);
	assert_int_equal(alert_store_take(other, "globex-1", &a, false, clock_now_us()), 0);
	wait_s(1);
	take("c", ALERT_FIRING);
	for (int page = 0; page < 3; page++) {
		struct bench_call *c = bench_ask(key, "GET", target, NULL, 0);
		SCOPED_JSON *doc = bench_json(c);
		json_t *item;
		size_t i;

		json_array_foreach(json_object_get(doc, "items"), i, item)
			len += (size_t)snprintf(seen + len, sizeof(seen) - len, "%s ", json_text(item, "id"));
		if (!json_text(doc, "next")[0])
			break;
		(void)snprintf(target, sizeof(target), "/v1/fleet/alerts?limit=2&after=%s", json_text(doc, "next"));
	}
	assert_string_equal(seen, "acme.3 acme.2 acme.1 globex.1 ");
}

static void
test_who_acknowledged_first_stands_until_it_is_taken_back(void **state)
{
	SCOPED_JSON *one = NULL, *two = NULL;

	(void)state;
	take("down", ALERT_FIRING);
	assert_int_equal(alert_store_acknowledge(bench_db(), 1, "bob", NULL, clock_now_us()), 0);
	one = bench_json(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/ack", "{\"note\":\"disk\"}", 15));
	assert_string_equal(json_text(one, "acknowledged_by"), "bob");
	assert_string_equal(json_text(one, "note"), "disk");
	assert_string_equal(json_text(one, "noted_by"), "ada");
	assert_int_equal(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/unack", "{}", 2)->status, 200);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE acknowledged_by = '' AND acknowledged = 0"), 1);
	two = bench_json(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/ack", "{}", 2));
	assert_string_equal(json_text(two, "acknowledged_by"), "ada");
	assert_string_equal(json_text(two, "note"), "disk");
	bench_refused(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/note", "{}", 2), 400, REASON_MALFORMED);
	assert_int_equal(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/note", "{\"note\":\"x\"}", 12)->status, 200);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE note = 'x'"), 1);
	for (size_t i = 0; i < 3; i++) {
		static const char *const words[] = { "ack", "unack", "note" };
		char target[64];

		(void)snprintf(target, sizeof(target), "/v1/fleet/alerts/acme.9/%s", words[i]);
		bench_refused(bench_ask(bench.engineer, "POST", target, "{\"note\":\"x\"}", 12), 404, REASON_NOT_FOUND);
	}
	bench_refused(bench_ask(bench.engineer, "GET", "/v1/fleet/alerts/acme.9", NULL, 0), 404, REASON_NOT_FOUND);
	bench.engineer_says = REASON_REVOKED;
	assert_int_equal(bench_ask(bench.engineer, "POST", "/v1/fleet/alerts/acme.1/unack", "{}", 2)->status, 403);
	assert_int_equal(bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE acknowledged_by = 'ada'"), 1);
}

/* --- labels ------------------------------------------------------------------------------------------------ */
static struct otlp_text
text(const char *p)
{
	return (struct otlp_text){ p, strlen(p) };
}

static void
test_what_an_alert_may_say_besides_is_held_to_its_form(void **state)
{
	static char longest[300], big[250];
	static const struct {
		const char *what, *key, *value;
		int n;
		enum otlp_value_kind kind;
		int result;
	} table[] = {
		{ "a value", "value", "7", 1, OTLP_VALUE_TEXT, 0 },
		{ "a number as value", "value", "7", 1, OTLP_VALUE_INT, REASON_MALFORMED },
		{ "a reason too long", "muted_by", longest, 1, OTLP_VALUE_TEXT, REASON_MALFORMED },
		{ "an operation too long", "proposed", longest, 1, OTLP_VALUE_TEXT, REASON_MALFORMED },
		{ "sixteen labels", "label.x", "1", 16, OTLP_VALUE_TEXT, 0 },
		{ "seventeen labels", "label.x", "1", 17, OTLP_VALUE_TEXT, REASON_MALFORMED },
		{ "a number as label", "label.x", "1", 1, OTLP_VALUE_INT, REASON_MALFORMED },
		{ "a label too long", "label.x", longest, 1, OTLP_VALUE_TEXT, REASON_MALFORMED },
		{ "a label with a name too long", longest, "1", 1, OTLP_VALUE_TEXT, REASON_MALFORMED },
		{ "labels too long together", "label.x", big, 16, OTLP_VALUE_TEXT, REASON_TOO_LARGE },
	};

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	memcpy(longest, "label.", 6);
	memset(big, 'y', sizeof(big) - 1);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct otlp_attribute attributes[32] = {
			{ text("alert"), { .kind = OTLP_VALUE_TEXT, .text = text("a") } },
			{ text("service"), { .kind = OTLP_VALUE_TEXT, .text = text("s") } },
			{ text("severity"), { .kind = OTLP_VALUE_TEXT, .text = text("info") } },
			{ text("state"), { .kind = OTLP_VALUE_TEXT, .text = text("firing") } },
			{ text("since"), { .kind = OTLP_VALUE_TEXT, .text = text("2026-11-21T10:00:00Z") } },
		};
		struct otlp_record record = { .event_name = text("mainstay.alert"), .attributes = attributes, .n_attributes = 5 };
		char names[32][16];
		uint64_t before = bench_refusals();
		int r;

		assert_int_equal(db_exec(bench_db(), "DELETE FROM alerts", ""), 0);
		for (int k = 0; k < table[i].n; k++) {
			(void)snprintf(names[k], sizeof(names[k]), "%s%d", table[i].key, k);
			attributes[record.n_attributes].key = text(table[i].n > 1 ? names[k] : table[i].key);
			attributes[record.n_attributes].value.kind = table[i].kind;
			attributes[record.n_attributes++].value.text = text(table[i].value);
		}
		r = alert_inbox_record(bench_db(), "acme-1", "", &record);
		if (r != table[i].result || bench_refusals() != before + (r != 0) || rows() != (r == 0))
			fail_msg("%s: %d", table[i].what, r);
	}
}

/* --- silence ----------------------------------------------------------------------------------------------- */
static struct dead_man dead_man;

static int64_t
silent_sites(void)
{
	return bench_count(bench_db(), "SELECT count(*) FROM alerts WHERE name = 'SiteSilent' AND state = 'firing'");
}

static void
heartbeat(void)
{
	assert_int_equal(registry_statement_put(bench_db(), "acme-1", clock_now_us(), "{}", "{}"), 0);
}

/* Let the hub listen for so long. */
static void
listen_s(unsigned s)
{
	for (unsigned i = 0; i < s; i += DEAD_MAN_TICK_S) {
		wait_s(DEAD_MAN_TICK_S);
		assert_int_equal(dead_man_check(&dead_man, bench.serve), 0);
	}
}

static void
test_a_site_that_stops_speaking_is_an_alert_until_it_speaks(void **state)
{
	(void)state;
	dead_man_init(&dead_man);
	listen_s(300);
	assert_int_equal(rows(), 0); /* it never spoke */
	heartbeat();
	listen_s(DEAD_MAN_PERIODS * DEAD_MAN_PERIOD_S);
	assert_int_equal(silent_sites(), 0);
	listen_s(DEAD_MAN_TICK_S);
	assert_int_equal(silent_sites(), 1);
	listen_s(600);
	assert_int_equal(rows(), 1);
	/* The hub dies: nothing is said twice, nothing forgotten. */
	bench_restart(modules);
	dead_man_init(&dead_man);
	listen_s(60);
	assert_int_equal(silent_sites(), 1);
	heartbeat();
	listen_s(DEAD_MAN_TICK_S);
	assert_int_equal(silent_sites(), 0);
	assert_string_equal(notices(), "firing resolved");
}

static void
test_a_site_that_left_is_not_silent(void **state)
{
	(void)state;
	dead_man_init(&dead_man);
	heartbeat();
	listen_s(120);
	assert_int_equal(silent_sites(), 1);
	assert_int_equal(registry_site_status(serve_databases(bench.serve), "acme-1", REGISTRY_LEFT), 0);
	listen_s(DEAD_MAN_TICK_S);
	assert_int_equal(silent_sites(), 0);
	listen_s(120);
	assert_int_equal(rows(), 1);
}

static void
test_a_hub_that_did_not_listen_calls_nobody_silent(void **state)
{
	(void)state;
	heartbeat();
	wait_s(86400); /* it was down */
	dead_man_init(&dead_man);
	listen_s(DEAD_MAN_PERIOD_S - DEAD_MAN_TICK_S);
	assert_int_equal(silent_sites(), 0);
	heartbeat();
	listen_s(60);
	wait_s(86400); /* it stood still */
	assert_int_equal(dead_man_check(&dead_man, bench.serve), 0);
	assert_int_equal(silent_sites(), 0);
	heartbeat();
	listen_s(60);
	clock_fake(at_us + 86400 * CLOCK_US_PER_S, at_us); /* its clock was set */
	assert_int_equal(dead_man_check(&dead_man, bench.serve), 0);
	assert_int_equal(silent_sites(), 0);
	clock_fake(at_us, at_us);
	/* And then it does. */
	listen_s(DEAD_MAN_PERIOD_S + DEAD_MAN_PERIODS * DEAD_MAN_PERIOD_S);
	assert_int_equal(silent_sites(), 1);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_each_change_is_one_row_or_one_change_of_it_and_one_notice),
		TEST(test_an_end_that_is_said_twice_is_one),
		TEST(test_each_group_of_labels_is_an_alert_of_its_own),
		TEST(test_what_fires_three_times_an_hour_is_one_row_that_counts),
		TEST(test_a_flood_of_one_site_is_summed_up_and_delays_nobody),
		TEST(test_the_end_of_what_was_told_is_told_in_a_flood_too),
		TEST(test_what_is_over_for_long_is_swept),
		TEST(test_an_alert_is_shown_with_all_that_is_known_of_it),
		TEST(test_what_changed_there_is_shown_newest_first),
		TEST(test_a_filter_leaves_out_what_it_names_not),
		TEST(test_a_filter_of_another_form_is_refused),
		TEST(test_pages_show_every_alert_once_and_the_newest_first),
		TEST(test_who_acknowledged_first_stands_until_it_is_taken_back),
		TEST(test_what_an_alert_may_say_besides_is_held_to_its_form),
		TEST(test_a_site_that_stops_speaking_is_an_alert_until_it_speaks),
		TEST(test_a_site_that_left_is_not_silent),
		TEST(test_a_hub_that_did_not_listen_calls_nobody_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
