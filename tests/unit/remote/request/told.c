/* What the vendor's engineers are told of standing permits: when, what, and when not. */
#include "tests/unit/remote/request/approvers.h"

#include "remote/request/permits.h"
#include "remote/request/results_file.h"

enum { TURN_US = 2 * 1000 * 1000 };

static size_t
told(const struct monitor *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_posts; i++)
		n += strcmp(json_text(m->posts[i], "kind"), "permits") == 0;
	return n;
}

static void
open_envelope(struct monitor *m, const json_t *envelope, struct permits **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;

	assert_int_equal(envelope_open_json(&e, MESSAGE_PERMITS, envelope), 0);
	assert_int_equal(envelope_verify_daemon(e, ed25519_public(m->site_key)), 0);
	assert_int_equal(permits_parse(ret, e->payload), 0);
	assert_string_equal((*ret)->site, "acme-1");
	assert_string_equal((*ret)->epoch, monitor_epoch(m));
}

/* The last message, taken apart: it is about no request. */
static struct permits *
last_told(struct monitor *m)
{
	struct permits *p = NULL;

	for (size_t i = m->n_posts; i-- > 0 && !p;) {
		if (strcmp(json_text(m->posts[i], "kind"), "permits") != 0)
			continue;
		assert_int_equal(json_object_size(m->posts[i]), 3);
		open_envelope(m, json_object_get(m->posts[i], "envelope"), &p);
	}
	assert_non_null(p);
	return p;
}

static void
test_they_are_told_as_they_change(void **state)
{
	SCOPED(permits_freep) struct permits *first = NULL, *second = NULL, *none = NULL;
	SCOPED(end) struct monitor m;
	SCOPED_JSON *list = NULL;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", ""));
	later(&m, TURN_US);
	assert_int_equal(told(&m), 0); /* who never had one says nothing */
	stand(&m, "3");
	later(&m, TURN_US);
	assert_int_equal(told(&m), 1);
	first = last_told(&m);
	assert_int_equal(first->n_items, 1);
	assert_string_equal(first->items[0].service, "redis");
	assert_string_equal(first->items[0].operation, "restart");
	assert_string_equal(first->items[0].engineer, "ann");
	assert_string_equal(first->items[0].approver, "dora");
	assert_int_equal(first->items[0].uses, 3);
	assert_int_equal(first->items[0].left, 2);
	assert_true(first->items[0].expires_us == FIXTURE_NOW + TURN_US + 8 * FIXTURE_HOUR);
	assert_non_null(strstr(first->items[0].limits, " s"));
	later(&m, TURN_US);
	later(&m, TURN_US);
	assert_int_equal(told(&m), 1); /* once, while nothing changes */
	ask(&m, "r-2", "2");
	done(&m);
	later(&m, TURN_US);
	second = last_told(&m);
	assert_int_equal(second->items[0].left, 1);
	assert_true(second->counter > first->counter);
	list = permits(&m);
	{
		SCOPED(call_done) struct monitor_call c = { .names = { "id" },
			.values = { json_text(json_array_get(list, 0), "id") } };

		assert_int_equal(call(&m, "requests.revoke", &c), 0);
	}
	later(&m, TURN_US);
	none = last_told(&m);
	assert_int_equal(none->n_items, 0);
	assert_true(none->counter > second->counter);
	crash(&m);
	later(&m, TURN_US);
	assert_int_equal(told(&m), 3); /* that there is none is said once */
}

/* Two in one turn of the gap are one message. */
static void
test_many_uses_are_few_messages(void **state)
{
	SCOPED(permits_freep) struct permits *p = NULL;
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", ""));
	stand(&m, "9");
	later(&m, TURN_US);
	for (unsigned i = 2; i < 6; i++) {
		char id[8], n[8];

		(void)snprintf(id, sizeof(id), "r-%u", i);
		(void)snprintf(n, sizeof(n), "%u", i);
		ask(&m, id, n);
		done(&m);
		later(&m, 1000);
	}
	assert_int_equal(told(&m), 1);
	later(&m, TURN_US);
	assert_int_equal(told(&m), 2);
	p = last_told(&m);
	assert_int_equal(p->items[0].left, 4);
}

static void
nothing(struct monitor *m)
{
	(void)m;
}

static void
switched_off(struct monitor *m)
{
	m->remote_on = false;
	changed(m, MONITOR_CHANGE_SWITCH);
}

static void
class_kept(struct monitor *m)
{
	use_policy(m, two_of("", "classes: {result: keep}\n"));
}

static void
class_reviewed(struct monitor *m)
{
	use_policy(m, two_of("", "classes: {result: review}\n"));
}

static void
unrecorded(struct monitor *m)
{
	m->unrecorded = true;
	changed(m, MONITOR_CHANGE_RECORD);
}

static void
another_life(struct monitor *m)
{
	m->epoch[0] ^= 1;
	changed(m, MONITOR_CHANGE_CLOCK);
}

static void
approver_left(struct monitor *m)
{
	SCOPED(scope_free) char *text = NULL;

	assert_true(asprintf(&text, "v: 1\napprovers: [{name: cid, key: %s}]\nrules:\n  - {risk: [change], decision: ask}\n",
			    fixture_public[CID])
		> 0);
	use_policy(m, fixture_policy(text));
}

static void
time_over(struct monitor *m)
{
	m->now_us += 9 * FIXTURE_HOUR;
}

static void
test_who_is_told_and_of_what(void **state)
{
	static const struct {
		const char *name;
		void (*change)(struct monitor *m);
		size_t messages, permits;
	} rows[] = {
		{ "it stands", nothing, 1, 1 },
		{ "remote operations are off", switched_off, 0, 0 },
		{ "the policy keeps results here", class_kept, 0, 0 },
		{ "the policy wants results looked at first", class_reviewed, 0, 0 },
		{ "nobody vouches for the site", unrecorded, 0, 0 },
		{ "it was for another life of the site", another_life, 1, 0 },
		{ "its approver left the policy", approver_left, 1, 0 },
		{ "its time is over", time_over, 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(permits_freep) struct permits *p = NULL;
		SCOPED(end) struct monitor m;
		size_t before;

		world_open(&m);
		use_policy(&m, two_of("", ""));
		stand(&m, "5");
		/* Told once, so that there is something to take back, but for those that look at the first time. */
		if (rows[i].messages == 1 && rows[i].permits == 0)
			later(&m, TURN_US);
		before = told(&m);
		rows[i].change(&m);
		later(&m, TURN_US);
		later(&m, TURN_US);
		if (told(&m) - before != rows[i].messages)
			fail_msg("%s: %zu messages", rows[i].name, told(&m) - before);
		if (rows[i].messages == 0)
			continue;
		p = last_told(&m);
		if (p->n_items != rows[i].permits)
			fail_msg("%s: %zu permits", rows[i].name, p->n_items);
	}
}

/* What was off is told once it is on; what the outbox did not take is told again; after a start and by a new key, too. */
static void
test_it_is_made_up_for(void **state)
{
	SCOPED(permits_freep) struct permits *first = NULL, *second = NULL;
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", ""));
	stand(&m, "5");
	switched_off(&m);
	later(&m, TURN_US);
	assert_int_equal(told(&m), 0);
	m.remote_on = true;
	changed(&m, MONITOR_CHANGE_SWITCH);
	m.outbox_full = true;
	later(&m, TURN_US);
	assert_int_equal(told(&m), 0);
	m.outbox_full = false;
	later(&m, 6 * TURN_US);
	assert_int_equal(told(&m), 1);
	first = last_told(&m);
	crash(&m);
	later(&m, TURN_US);
	assert_int_equal(told(&m), 2);
	changed(&m, MONITOR_CHANGE_RECORD);
	later(&m, TURN_US);
	assert_int_equal(told(&m), 3);
	second = last_told(&m);
	assert_true(second->counter > first->counter);
	/* What was said last is lost: it counts on, beyond what there can have been. */
	assert_int_equal(fs_replace(m.dir_fd, "permits.json", "{}", 2, 0600), 0);
	crash(&m);
	later(&m, TURN_US);
	permits_free(first);
	first = last_told(&m);
	assert_true(first->counter > second->counter + 1000000);
}

/* By hand as the other answers, whatever may leave by network. */
static void
test_a_file_brings_them_along(void **state)
{
	SCOPED(results_file_freep) struct results_file *f = NULL;
	SCOPED(buf_done) struct buf b = BUF_MAX(RESULTS_FILE_MAX);
	SCOPED(permits_freep) struct permits *p = NULL;
	SCOPED(end) struct monitor m;

	(void)state;
	world_open(&m);
	use_policy(&m, two_of("", "classes: {result: keep}\n"));
	for (int i = 0; i < 2; i++) {
		SCOPED(call_done) struct monitor_call c = { 0 };

		assert_int_equal(call(&m, "results.export", &c), 0);
		buf_reset(&b);
		assert_int_equal(json_canonical(&b, json_object_get(c.answer, "file")), 0);
		results_file_free(f);
		f = NULL;
		assert_int_equal(results_file_read(&f, b.data, b.len), 0);
		assert_true((f->permits != NULL) == (i == 1)); /* who never had one says nothing of it */
		if (i == 0)
			stand(&m, "5");
	}
	open_envelope(&m, f->permits, &p);
	assert_int_equal(p->n_items, 1);
	assert_int_equal(told(&m), 0);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_they_are_told_as_they_change),
		cmocka_unit_test(test_many_uses_are_few_messages),
		cmocka_unit_test(test_who_is_told_and_of_what),
		cmocka_unit_test(test_it_is_made_up_for),
		cmocka_unit_test(test_a_file_brings_them_along),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
