#include "tests/unit/appliance/monitor/site.h"

#include "appliance/monitor/courier_verbs.h"

#include <sys/socket.h>

#include "appliance/base/yaml.h"
#include "appliance/bus/call.h"
#include "appliance/bus/frame.h"
#include "appliance/monitor/calls.h"
#include "appliance/monitor/epoch.h"
#include "appliance/monitor/floor.h"
#include "appliance/monitor/outbox.h"
#include "appliance/policy/policy.h"
#include "appliance/trust/envelope.h"

/* --- calls --------------------------------------------------------------------------------------- */
static void
a_verb_is_only_there_for_its_role(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(site_control(t, "status", NULL), 0);
	site_refused(t, site_call(t, CALL_ROLE_COURIER, "status", NULL, NULL, 0, NULL),
		REASON_NOT_FOUND);
	site_refused(t, site_call(t, CALL_ROLE_COLLECT, "switch", NULL, NULL, 0, NULL),
		REASON_NOT_FOUND);
	site_refused(t, site_control(t, "courier.hello", NULL), REASON_NOT_FOUND);
	site_refused(t, site_control(t, "no.such", NULL), REASON_NOT_FOUND);
}

static void
frames_that_are_no_calls_change_nothing(void **state)
{
	struct site_test *t = *state;
	struct frame_out out;
	struct frame f = { 0 };
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_CONTROL, fds[1], "uid:0"), 0);
	frame_begin(&out, CALL_TYPE_CALL, 5); /* a name without a verb */
	frame_put_text(&out, CALL_TAG_NAME, "x");
	assert_int_equal(frame_send_wait(fds[0], &out, 1000), 0);
	frame_out_done(&out);
	site_settle(t);
	assert_int_equal(frame_recv_wait(fds[0], &f, 1000), 0);
	assert_int_equal(f.type, CALL_TYPE_REFUSED);
	assert_int_equal(f.id, 5);
	assert_string_equal(frame_text(&f, CALL_TAG_REASON, 64), "malformed");
	frame_done(&f);
	assert_int_equal(send(fds[0], "garbage", 7, 0), 7); /* ends the connection */
	site_settle(t);
	assert_int_equal(frame_recv_wait(fds[0], &f, 1000), REASON_UNREACHABLE);
	(void)close(fds[0]);
	assert_int_equal(audit_size(t->m->audit), 0);
}

static struct monitor_call *held;
static unsigned gone;

static void
on_gone(struct monitor_call *call, void *arg)
{
	(void)arg;
	gone++;
	monitor_answer(call, NULL);
	held = NULL;
}

static int
on_hold(struct monitor *m, struct monitor_call *call, void *arg)
{
	(void)m;
	(void)arg;
	held = call;
	monitor_call_hold(call, on_gone, NULL);
	return 0;
}

static void
a_held_call_is_answered_later_or_its_peer_leaves(void **state)
{
	struct site_test *t = *state;
	struct frame_out out;
	struct frame f = { 0 };
	int fds[2];

	gone = 0;
	assert_int_equal(monitor_register_verb(t->m, "test.hold", CALL_ROLE_CONTROL, on_hold, NULL),
		0);
	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_CONTROL, fds[1], "uid:0"), 0);
	for (uint32_t id = 1; id <= 2; id++) {
		frame_begin(&out, CALL_TYPE_CALL, id);
		frame_put_text(&out, CALL_TAG_VERB, "test.hold");
		assert_int_equal(frame_send_wait(fds[0], &out, 1000), 0);
		frame_out_done(&out);
		site_settle(t);
		assert_non_null(held);
		if (id == 2)
			break;
		monitor_answer(held, json_pack("{s:b}", "late", true));
		assert_int_equal(frame_recv_wait(fds[0], &f, 1000), 0);
		assert_int_equal(f.type, CALL_TYPE_OK);
		frame_done(&f);
	}
	(void)close(fds[0]);
	site_settle(t);
	assert_int_equal(gone, 1);
	assert_null(held);
}

/* --- switches ------------------------------------------------------------------------------------ */
static int
turn(struct site_test *t, const char *name, const char *on)
{
	return site_control(t, "switch", json_pack("{s:s, s:s}", "name", name, "on", on));
}

static void
a_switch_is_in_the_log_before_it_is_on(void **state)
{
	struct site_test *t = *state;

	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_int_equal(turn(t, "remote", "true"), 0);
	assert_true(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_false(monitor_switch_on(t->m, SWITCH_UPDATES));
	assert_string_equal(site_last_leaf(t), "switch remote on");
	assert_int_equal(turn(t, "remote", "true"), 0); /* no second leaf */
	assert_int_equal(audit_size(t->m->audit), 1);
	site_restart(t);
	assert_true(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_int_equal(turn(t, "all", "false"), 0);
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
	assert_string_equal(site_last_leaf(t), "switch remote off");
	site_restart(t);
	assert_false(monitor_switch_on(t->m, SWITCH_REMOTE));
}

static void
what_is_no_switch_is_refused(void **state)
{
	struct site_test *t = *state;

	site_refused(t, turn(t, "everything", "true"), REASON_USAGE);
	site_refused(t, turn(t, "remote", "yes"), REASON_USAGE);
	site_refused(t, site_control(t, "switch", json_pack("{s:s}", "name", "remote")),
		REASON_USAGE);
	assert_int_equal(audit_size(t->m->audit), 0);
}

/* A class that the policy keeps, or would review though it has no fields, stays here. */
static void
nothing_of_a_kept_class_goes_into_the_outbox(void **state)
{
	static const struct {
		const char *fate;
		int r;
	} rows[] = { { "keep", REASON_SWITCHED_OFF }, { "review", REASON_SWITCHED_OFF }, { "send", 0 } };
	struct site_test *t = *state;

	assert_int_equal(turn(t, "remote", "true"), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *doc = json_pack("{s:i, s:[], s:{s:s}}", "v", 1, "rules", "classes", "result", rows[i].fate);
		SCOPED_JSON *warnings = NULL;
		struct policy *p = NULL;

		assert_int_equal(policy_from_json(&p, doc), 0);
		policy_free(t->m->policy);
		t->m->policy = p;
		assert_int_equal(monitor_outbox(t->m, "results", "result", "/v1/results",
					 "application/json", "{}", 2),
			rows[i].r);
		assert_int_equal(outbox_next(t->m->outbox, "results"), rows[i].r ? 1 : 2);
		warnings = policy_warnings(p);
		assert_int_equal(json_array_size(warnings), rows[i].r ? 1 : 0);
	}
}

static unsigned told;

static void
on_changed(struct monitor *m, unsigned changes, void *arg)
{
	(void)m;
	(void)arg;
	told |= changes;
}

static void
an_off_file_is_noticed(void **state)
{
	static const struct monitor_module module = { .name = "test", .changed = on_changed };
	struct site_test *t = *state;

	assert_int_equal(turn(t, "updates", "true"), 0);
	assert_int_equal(monitor_add_module(t->m, &module, NULL), 0);
	site_settle(t);
	told = 0;
	assert_int_equal(switch_write_off(&t->paths, SWITCH_UPDATES), 0);
	assert_false(monitor_switch_on(t->m, SWITCH_UPDATES));
	for (unsigned i = 0; i < 300 && !(told & MONITOR_CHANGE_SWITCH); i++)
		site_turn(t);
	assert_true(told & MONITOR_CHANGE_SWITCH);
}

static void
nothing_goes_into_the_outbox_while_its_switch_is_off(void **state)
{
	struct site_test *t = *state;

	assert_int_equal(monitor_outbox(t->m, "results", "result", "/v1/results",
				 "application/json", "{}", 2),
		REASON_SWITCHED_OFF);
	assert_int_equal(outbox_next(t->m->outbox, "results"), 1);
	assert_int_equal(turn(t, "telemetry", "true"), 0);
	assert_int_equal(monitor_outbox(t->m, "results", "result", "/v1/results",
				 "application/json", "{}", 2),
		REASON_SWITCHED_OFF);
	assert_int_equal(monitor_outbox(t->m, "audit", "audit", "/witness/add-checkpoint",
				 "text/plain", "x", 1),
		0);
	assert_int_equal(turn(t, "remote", "true"), 0);
	assert_int_equal(monitor_outbox(t->m, "results", "result", "/v1/results",
				 "application/json", "{}", 2),
		0);
	assert_int_equal(outbox_next(t->m->outbox, "results"), 2);
	assert_int_equal(monitor_outbox(t->m, "other", "result", "/v1/results", "application/json",
				 "{}", 2),
		REASON_NOT_FOUND);
	assert_int_equal(outbox_committed(t->m->outbox, "results", 7), REASON_MALFORMED);
	assert_int_equal(outbox_committed(t->m->outbox, "other", 1), REASON_NOT_FOUND);
	assert_int_equal(outbox_committed(t->m->outbox, "results", 1), 0);
}

/* --- policy -------------------------------------------------------------------------------------- */
static const char asks[] = "v: 1\nrules:\n  - { operations: [info], decision: ask }\n";

static int
apply(struct site_test *t, const char *name, const char *text, mode_t mode, const void *body,
	size_t len)
{
	char path[512];

	if (text)
		scratch_write(&t->dir, name, text, strlen(text));
	(void)snprintf(path, sizeof(path), "%s/%s", t->dir.path, name);
	if (text)
		assert_int_equal(chmod(path, mode), 0);
	return site_call(t, CALL_ROLE_CONTROL, "policy.apply", json_pack("{s:s}", "path", path),
		body, len, NULL);
}

static void
a_policy_is_applied_with_its_leaf(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *diff = NULL;
	char path[512];

	assert_int_equal(apply(t, "policy.yaml", asks, 0644, NULL, 0), 0);
	assert_string_equal(site_last_leaf(t), "policy policy.yaml");
	assert_int_equal(json_array_size(json_object_get(policy_json(t->m->policy), "rules")), 1);
	assert_int_equal(apply(t, "policy.yaml", asks, 0644, NULL, 0),
		0); /* the same: no second leaf */
	assert_int_equal(audit_size(t->m->audit), 1);
	site_restart(t);
	assert_int_equal(json_array_size(json_object_get(policy_json(t->m->policy), "rules")), 1);
	(void)snprintf(path, sizeof(path), "%s/policy.yaml", t->dir.path);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "policy.diff",
				 json_pack("{s:s}", "path", path), NULL, 0, &diff),
		0);
	assert_int_equal(json_array_size(json_object_get(diff, "changes")), 0);
}

static int
truncate_to(struct site_test *t, const char *name, off_t size)
{
	SCOPED(scope_close) int fd = openat(t->dir.fd, name, O_RDWR | O_CLOEXEC);

	return ftruncate(fd, size);
}

static void
a_policy_that_is_not_the_customers_word_is_refused(void **state)
{
	struct site_test *t = *state;
	const uint8_t *before = policy_digest(t->m->policy);

	site_refused(t, apply(t, "open.yaml", asks, 0666, NULL, 0), REASON_WRONG_ROLE);
	site_refused(t, apply(t, "absent.yaml", NULL, 0, NULL, 0), REASON_NOT_FOUND);
	site_refused(t, apply(t, ".", NULL, 0, NULL, 0), REASON_MALFORMED);
	scratch_write(&t->dir, "large.yaml", "", 0);
	assert_int_equal(truncate_to(t, "large.yaml", YAML_BYTES_MAX + 1), 0);
	site_refused(t, apply(t, "large.yaml", NULL, 0, NULL, 0), REASON_TOO_LARGE);
	if (geteuid() == 0) {
		scratch_write(&t->dir, "foreign.yaml", asks, strlen(asks));
		assert_int_equal(fchownat(t->dir.fd, "foreign.yaml", 12345, (gid_t)-1, 0), 0);
		site_refused(t, apply(t, "foreign.yaml", NULL, 0, NULL, 0), REASON_WRONG_ROLE);
	}
	assert_int_equal(symlinkat("policy.yaml", t->dir.fd, "link"), 0);
	site_refused(t, apply(t, "link", NULL, 0, NULL, 0), REASON_NOT_FOUND);
	site_refused(t,
		apply(t, "bad.yaml", "v: 1\nrules:\n  - { decision: alow }\n", 0644, NULL, 0),
		REASON_MALFORMED);
	assert_string_equal(refuse_last()->place, "bad.yaml:3:7");
	site_refused(t, site_control(t, "policy.apply", json_pack("{s:s}", "path", "policy.yaml")),
		REASON_USAGE);
	t->judge_dies = 3;
	site_refused(t, apply(t, "policy.yaml", asks, 0644, NULL, 0), REASON_MALFORMED);
	assert_ptr_equal(policy_digest(t->m->policy), before);
	assert_int_equal(audit_size(t->m->audit), 0);
}

/* --- owners -------------------------------------------------------------------------------------- */
static void
what_owners_sign_is_about_this_policy_here(void **state)
{
	static const char other[] = "v: 1\nrules: []\n";
	static const struct {
		const char *name, *member;
		const char *value; /* NULL: leave the member out */
		enum reason reason;
	} rows[] = {
		{ "of another kind", "kind", "core", REASON_WRONG_ROLE },
		{ "for another site", "site", "site2", REASON_WRONG_ADDRESSEE },
		{ "about another policy", "digest",
			"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
			REASON_ALTERED },
		{ "without a digest", "digest", NULL, REASON_MALFORMED },
		{ "with more than is known", "more", "x", REASON_UNKNOWN_FIELD },
	};
	const char *const argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ann",
		NULL };
	SCOPED(buf_done) struct buf owned = BUF_MAX(4096);
	SCOPED_JSON *diff = NULL, *payload = NULL;
	struct site_test *t = *state;
	struct sshkey_signer *ann = NULL;
	char path[512], line[SSHKEY_LINE_MAX], time[CLOCK_TEXT_MAX];

	assert_int_equal(scratch_run(&t->dir, argv, NULL, 0, NULL), 0);
	(void)snprintf(path, sizeof(path), "%s/ann", t->dir.path);
	assert_int_equal(sshkey_signer_open(&ann, path), 0);
	sshkey_line(line, sshkey_signer_public(ann));
	buf_printf(&owned, "v: 1\nowners: { k: 1, keys: [%s] }\nrules: []\n", line);
	assert_int_equal(apply(t, "owned.yaml", buf_text(&owned), 0644, NULL, 0), 0);
	scratch_write(&t->dir, "other.yaml", other, strlen(other));
	(void)snprintf(path, sizeof(path), "%s/other.yaml", t->dir.path);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "policy.diff",
				 json_pack("{s:s}", "path", path), NULL, 0, &diff),
		0);
	payload = json_pack("{s:i, s:s, s:s, s:O, s:s}", "v", 1, "site", "", "kind", "policy",
		"digest", json_object_get(diff, "digest"), "time",
		clock_format(time, clock_now_us()));
	for (size_t i = 0; i <= ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf text = BUF_MAX(65536);
		SCOPED_JSON *said = json_deep_copy(payload), *envelope = NULL;

		if (i < ARRAY_LEN(rows) && rows[i].value)
			json_object_set_new(said, rows[i].member, json_string(rows[i].value));
		else if (i < ARRAY_LEN(rows))
			json_object_del(said, rows[i].member);
		assert_int_equal(envelope_seal_person(&envelope, MESSAGE_OWNER, said, ann), 0);
		assert_int_equal(json_canonical(&text, envelope), 0);
		if (i < ARRAY_LEN(rows))
			site_refused(t, apply(t, "other.yaml", other, 0644, text.data, text.len),
				rows[i].reason);
		else
			assert_int_equal(apply(t, "other.yaml", other, 0644, text.data, text.len),
				0);
	}
	sshkey_signer_free(ann);
}

/* --- epoch, floor -------------------------------------------------------------------------------- */
static void
the_epoch_lives_through_a_restart_and_not_through_a_copy(void **state)
{
	struct site_test *t = *state;
	struct epoch e;
	char first[33];

	(void)snprintf(first, sizeof(first), "%s", monitor_epoch(t->m));
	site_restart(t);
	assert_string_equal(monitor_epoch(t->m), first);
	assert_int_equal(epoch_advance(&t->m->epoch, t->m->run_fd, 5), 0);
	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 5), 0);
	assert_string_equal(e.text, first);
	/* another folder, as a copy has */
	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->dir_fd, 5), 0);
	assert_true(e.renewed);
	assert_string_not_equal(e.text, first);
}

static void
a_log_that_went_back_gets_another_epoch(void **state)
{
	struct site_test *t = *state;
	struct epoch e;
	char first[33];

	(void)snprintf(first, sizeof(first), "%s", monitor_epoch(t->m));
	assert_int_equal(epoch_advance(&t->m->epoch, t->m->run_fd, 9), 0);
	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 8), 0);
	assert_true(e.renewed);
	assert_string_not_equal(e.text, first);
	assert_int_equal(fs_replace(t->m->run_fd, "epoch", "{}", 2, 0600), 0); /* damaged */
	assert_int_equal(epoch_open(&e, t->m->run_fd, t->m->lib_fd, 8), 0);
	assert_true(e.renewed);
}

static void
the_floor_only_rises(void **state)
{
	struct site_test *t = *state;
	uint64_t far = UINT64_C(4000000000) * CLOCK_US_PER_S;
	struct floor floor;

	assert_int_equal(monitor_raise_floor(t->m, far, "people 7"), 0);
	assert_true(monitor_now_us(t->m) == far);
	assert_int_equal(monitor_raise_floor(t->m, 5, "owners"), 0);
	assert_true(monitor_now_us(t->m) == far);
	site_restart(t);
	assert_true(monitor_now_us(t->m) == far);
	assert_string_equal(monitor_floor(t->m)->whose, "people 7");
	assert_int_equal(fs_replace(t->m->dir_fd, "floor.json", "{\"floor\":7}", 11, 0600), 0);
	assert_int_equal(floor_load(&floor, t->m->dir_fd), REASON_MALFORMED);
	assert_int_equal(fs_remove_tree(t->m->dir_fd, "floor.json"), 0);
}

#define NOW_S UINT64_C(1795291200) /* 2026-11-21T20:00:00Z */
#define YEAR_S (365 * UINT64_C(86400))

static const struct {
	const char *name;
	uint64_t local_s, floor_s;
	const char *offset_ms; /* the hub's clock less ours; NULL: it has not been heard */
	const char *why;       /* NULL: not doubtful */
	uint64_t date_s;       /* what ends are held against */
} doubts[] = {
	{ "a good clock", NOW_S, NOW_S - 86400, "20", NULL, NOW_S },
	{ "a hub that was never heard is no reason", NOW_S, 0, NULL, NULL, NOW_S },
	{ "five minutes are none", NOW_S, 0, "300000", NULL, NOW_S },
	{ "a hub ahead", NOW_S, NOW_S - 86400, "300001", "the hub's clock is 300 s ahead", NOW_S - 86400 },
	{ "a hub behind", NOW_S, NOW_S - 86400, "-86400000", "the hub's clock is 86400 s behind",
		NOW_S - 86400 },
	{ "1970, and nobody has said anything", 60, 0, NULL, "it was never set", 0 },
	{ "1970, and the floor lifts it", 60, NOW_S, NULL, "it was never set", NOW_S },
	{ "a clock of the floor's day is a little behind", NOW_S - 299, NOW_S, NULL, NULL, NOW_S },
	{ "a clock before the floor", NOW_S - 301, NOW_S, NULL, "but people 7 was signed 2026-11-21T20:00:00Z",
		NOW_S },
	{ "2099, and a hub of today", NOW_S + 73 * YEAR_S, NOW_S - 86400, "-2302128000000",
		"the hub's clock is 2302128000 s behind", NOW_S - 86400 },
};

static void
a_clock_is_doubtful_for_a_reason(void **state)
{
	struct site_test *t = *state;

	for (size_t i = 0; i < ARRAY_LEN(doubts); i++) {
		char text[MONITOR_DOUBT_MAX];
		const char *why;
		SCOPED_JSON *status = NULL;

		clock_fake(doubts[i].local_s * CLOCK_US_PER_S, 5000);
		t->m->floor = (struct floor){ .us = doubts[i].floor_s * CLOCK_US_PER_S, .whose = "people 7" };
		t->m->offset_at_us = 0;
		assert_int_equal(courier_verbs_hear_clock(t->m, doubts[i].offset_ms), 0);
		why = monitor_clock_doubt(t->m, text);
		if ((why != NULL) != (doubts[i].why != NULL) || (why && !strstr(why, doubts[i].why)))
			fail_msg("%s: %s", doubts[i].name, why ? why : "believed");
		assert_int_equal(monitor_clock_doubtful(t->m), why != NULL);
		assert_true(monitor_date_us(t->m) == doubts[i].date_s * CLOCK_US_PER_S);
		/* Only what was signed moves the clock, never the hub. */
		assert_true(monitor_now_us(t->m) ==
			CLOCK_US_PER_S * (doubts[i].local_s > doubts[i].floor_s ? doubts[i].local_s
									       : doubts[i].floor_s));
		assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "status", NULL, NULL, 0, &status), 0);
		assert_int_equal(json_is_true(json_object_get(json_object_get(status, "clock"), "doubtful")),
			why != NULL);
		assert_string_equal(json_text(json_object_get(status, "clock"), "why"), why ? why : "");
		assert_true(t->m->floor.us == doubts[i].floor_s * CLOCK_US_PER_S);
	}
	clock_real();
}

/* --- alerts -------------------------------------------------------------------------------------- */
static int
alert(struct site_test *t, const char *state)
{
	return site_call(t, CALL_ROLE_COLLECT, "alert",
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", "RedisDown", "service", "redis",
			"state", state, "since", "2026-11-21T20:00:00.000Z", "text",
			"it does not answer"),
		NULL, 0, NULL);
}

static void
an_alert_is_one_leaf_however_often_it_is_told(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *items = NULL;

	assert_int_equal(alert(t, "firing"), 0);
	assert_int_equal(alert(t, "firing"), 0);
	assert_string_equal(site_last_leaf(t), "alert redis RedisDown firing");
	assert_int_equal(audit_size(t->m->audit), 1);
	site_restart(t);
	assert_int_equal(alert(t, "firing"), 0);
	assert_int_equal(audit_size(t->m->audit), 1);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "alerts", NULL, NULL, 0, &items), 0);
	assert_int_equal(json_array_size(json_object_get(items, "items")), 1);
	assert_int_equal(alert(t, "resolved"), 0);
	assert_string_equal(site_last_leaf(t), "alert redis RedisDown resolved");
	assert_int_equal(alert(t, "resolved"), 0);
	assert_int_equal(audit_size(t->m->audit), 2);
	site_refused(t, alert(t, "maybe"), REASON_MALFORMED);
	site_refused(t, site_call(t, CALL_ROLE_COLLECT, "alert", NULL, NULL, 0, NULL),
		REASON_USAGE);
}

/* The collector reads what services say: it may be made to say anything. */
static void
an_alert_of_another_form_is_refused(void **state)
{
	struct site_test *t = *state;
	struct {
		const char *name, *member;
		char value[700];
	} rows[] = {
		{ "a name with a line break", "name", "Redis\nDown" },
		{ "a name that is empty", "name", "" },
		{ "a service that is no UTF-8", "service", "red\xff" },
		{ "a text that is no UTF-8", "text", "\xc3(" },
		{ "a time that is none", "since", "yesterday" },
		{ "a state that is none", "state", "gone" },
		{ "a name that is too long", "name", "" },
		{ "a service that is too long", "service", "" },
		{ "a text that is too long", "text", "" },
		{ "a value that is too long", "value", "" },
		{ "a severity that is too long", "severity", "" },
		{ "a group that is too long", "group", "" },
		{ "a mute that is too long", "muted_by", "" },
		{ "an operation that is too long", "operation", "" },
		{ "a group that is no UTF-8", "group", "a=\"\xff\"" },
		{ "an operation with a line break", "operation", "a\nb" },
	};

	for (size_t i = 6; i < ARRAY_LEN(rows); i++)
		if (!*rows[i].value)
			(void)snprintf(rows[i].value, sizeof(rows[i].value), "%s%0600d", "x", 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *params = json_pack("{s:s, s:s, s:s, s:s}", "name", "RedisDown", "service",
			"redis", "state", "firing", "since", "2026-11-21T20:00:00.000Z");

		json_object_set_new(params, rows[i].member, json_string_nocheck(rows[i].value));
		site_refused(t, site_call(t, CALL_ROLE_COLLECT, "alert", params, NULL, 0, NULL),
			REASON_MALFORMED);
	}
}

static void
so_many_alerts_fire_and_no_more(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *items = NULL;

	for (unsigned i = 0; i <= 256; i++) {
		char name[16];
		json_t *params;

		(void)snprintf(name, sizeof(name), "a%u", i);
		params = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "service", "redis",
			"state", "firing", "since", "2026-11-21T20:00:00.000Z", "text", name);
		if (i < 256)
			assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "alert", params, NULL, 0,
						 NULL),
				0);
		else
			site_refused(t,
				site_call(t, CALL_ROLE_COLLECT, "alert", params, NULL, 0, NULL),
				REASON_BUSY);
	}
	site_restart(t);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "alerts", NULL, NULL, 0, &items), 0);
	assert_int_equal(json_array_size(json_object_get(items, "items")), 256);
}

static void
fields_are_accepted_all_or_none(void **state)
{
	struct site_test *t = *state;
	SCOPED(scope_free) char *before = site_state(t);
	SCOPED(scope_free) char *after = NULL;
	struct frame f = { 0 };
	struct frame_out out;
	int fds[2];

	assert_int_equal(frame_pair(fds), 0);
	assert_int_equal(calls_attach(t->m, CALL_ROLE_CONTROL, fds[1], "uid:0"), 0);
	frame_begin(&out, CALL_TYPE_CALL, 5);
	frame_put_text(&out, CALL_TAG_VERB, "telemetry.accept");
	frame_put_text(&out, CALL_TAG_NAME, "field");
	frame_put_text(&out, CALL_TAG_VALUE, "host_load1");
	frame_put_text(&out, CALL_TAG_NAME, "field");
	frame_put_text(&out, CALL_TAG_VALUE, "no{field");
	assert_int_equal(frame_send_wait(fds[0], &out, 1000), 0);
	frame_out_done(&out);
	site_settle(t);
	assert_int_equal(frame_recv_wait(fds[0], &f, 1000), 0);
	assert_string_equal(frame_text(&f, CALL_TAG_REASON, 64), "usage");
	frame_done(&f);
	(void)close(fds[0]);
	after = site_state(t);
	assert_string_equal(before, after);
}

static void
a_field_is_accepted_with_a_leaf(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *config = NULL;

	assert_int_equal(site_control(t, "telemetry.accept",
				 json_pack("{s:s}", "field", "host_filesystem_free_bytes")),
		0);
	assert_string_equal(site_last_leaf(t), "accept host_filesystem_free_bytes");
	assert_int_equal(site_call(t, CALL_ROLE_COLLECT, "collect.hello", NULL, NULL, 0, &config),
		0);
	assert_string_equal(json_text(json_object_get(config, "fields"), "host_filesystem_free_bytes"), "");
	assert_int_equal(json_object_size(json_object_get(config, "fields")), 1);
	site_refused(t,
		site_control(t, "telemetry.accept", json_pack("{s:s}", "field", "no{field")),
		REASON_USAGE);
	site_refused(t, site_control(t, "telemetry.accept", NULL), REASON_USAGE);
	assert_int_equal(audit_size(t->m->audit), 1);
}

/* --- before enrolment ---------------------------------------------------------------------------- */
static void
an_unenrolled_site_signs_and_believes_nothing(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *payload = json_pack("{s:i}", "v", 1);
	json_t *envelope = NULL;

	assert_int_equal(monitor_sign(t->m, MESSAGE_PLAN, payload, &envelope), REASON_NOT_FOUND);
	assert_null(envelope);
	assert_null(monitor_hub(t->m));
	site_refused(t, site_call(t, CALL_ROLE_COURIER, "courier.record", NULL, "{}", 2, NULL),
		REASON_NOT_FOUND);
	site_refused(t, site_call(t, CALL_ROLE_COURIER, "update.metadata", NULL, NULL, 0, NULL),
		REASON_NOT_FOUND);
	site_refused(t, site_control(t, "enrol.finish", NULL), REASON_NOT_FOUND);
	site_refused(t, site_control(t, "audit.policy", NULL), REASON_NOT_FOUND);
	site_refused(t, site_control(t, "leave", NULL), REASON_NOT_FOUND);
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "outbox.reply",
			json_pack("{s:s, s:s}", "stream", "results", "nonce", "00"), NULL, 0, NULL),
		REASON_NOT_FOUND);
	site_refused(t,
		site_call(t, CALL_ROLE_COURIER, "courier.hello", json_pack("{s:s}", "key", "xyz"),
			NULL, 0, NULL),
		REASON_MALFORMED);
}

static void
services_that_are_not_there_are_not_found(void **state)
{
	struct site_test *t = *state;

	site_refused(t, site_control(t, "service.start", json_pack("{s:s}", "service", "redis")),
		REASON_NOT_FOUND);
	site_refused(t,
		site_control(t, "service.set",
			json_pack("{s:s, s:s}", "service", "redis", "set", "a=b")),
		REASON_NOT_FOUND);
	assert_int_equal(services_count(t->m), 0);
	assert_int_equal(audit_size(t->m->audit), 0);
}

static void
the_log_proves_its_entries(void **state)
{
	struct site_test *t = *state;
	SCOPED_JSON *items = NULL, *proof = NULL, *report = NULL;

	assert_int_equal(turn(t, "telemetry", "true"), 0);
	assert_int_equal(turn(t, "telemetry", "false"), 0);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.log",
				 json_pack("{s:s}", "kind", "switch"), NULL, 0, &items),
		0);
	assert_int_equal(json_array_size(json_object_get(items, "items")), 2);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.prove",
				 json_pack("{s:s}", "n", "1"), NULL, 0, &proof),
		0);
	assert_int_equal(site_call(t, CALL_ROLE_CONTROL, "audit.verify", NULL, NULL, 0, &report),
		0);
	assert_int_equal(json_integer_value(json_object_get(report, "size")), 2);
	site_refused(t, site_control(t, "audit.prove", json_pack("{s:s}", "n", "2")),
		REASON_NOT_FOUND);
	site_refused(t, site_control(t, "audit.prove", json_pack("{s:s}", "n", "-1")),
		REASON_USAGE);
	site_refused(t, site_control(t, "audit.log", json_pack("{s:s}", "kind", "gossip")),
		REASON_USAGE);
	site_refused(t, site_control(t, "audit.log", json_pack("{s:s}", "since", "yesterday")),
		REASON_USAGE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_verb_is_only_there_for_its_role, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(frames_that_are_no_calls_change_nothing,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_held_call_is_answered_later_or_its_peer_leaves,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_switch_is_in_the_log_before_it_is_on, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_switch_is_refused, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(an_off_file_is_noticed, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(
			nothing_goes_into_the_outbox_while_its_switch_is_off, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(nothing_of_a_kept_class_goes_into_the_outbox,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_policy_is_applied_with_its_leaf, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(a_policy_that_is_not_the_customers_word_is_refused,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(what_owners_sign_is_about_this_policy_here,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(
			the_epoch_lives_through_a_restart_and_not_through_a_copy, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(a_log_that_went_back_gets_another_epoch,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(the_floor_only_rises, site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(a_clock_is_doubtful_for_a_reason, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(an_alert_is_one_leaf_however_often_it_is_told,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(an_alert_of_another_form_is_refused, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(so_many_alerts_fire_and_no_more, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(fields_are_accepted_all_or_none, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(a_field_is_accepted_with_a_leaf, site_set_up,
			site_tear_down),
		cmocka_unit_test_setup_teardown(an_unenrolled_site_signs_and_believes_nothing,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(services_that_are_not_there_are_not_found,
			site_set_up, site_tear_down),
		cmocka_unit_test_setup_teardown(the_log_proves_its_entries, site_set_up,
			site_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
