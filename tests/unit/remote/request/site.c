/* Requests on the customer's side, whole: what is delivered, what is recorded, what runs, what is
 * said. */
#include "tests/unit/remote/request/world.h"

static void
test_allowed_runs_at_once(void **state)
{
	static const struct operate_result ok = {
		.outcome = OPERATE_OK, .cpu_ms = 3, .wall_ms = 5
	};
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "request start ");
	assert_string_equal(state_of(&m, "r-1"), "running");
	assert_int_equal(spawned(&m), 1);
	assert_int_equal(m.n_posts, 1); /* the plan */
	assert_string_equal(m.muted, ""); /* it only looks */
	work(&m, "# Server\r\n", &ok);
	assert_string_equal(story(&m), "request start end ");
	assert_string_equal(state_of(&m, "r-1"), "done");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_OK);
	assert_string_equal(result->out, "# Server\r\n");
	assert_int_equal(result->cpu_ms, 3);
	assert_non_null(strstr(m.recording, "\"title\":\"redis info\""));
	assert_non_null(strstr(m.recording, ", \"o\", \"# Server\\r\\n\"]\n"));
	assert_non_null(strstr(m.recording, ", \"m\", \"end: ok\"]\n"));
	assert_string_equal(m.leaves[0].actor, "ann");
	assert_string_equal(m.leaves[0].object, "r-1");
}

static void
test_job_is_what_was_planned(void **state)
{
	SCOPED(world_end) struct monitor m;
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED_JSON *args = json_pack("{s:s}", "section", "memory");
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	q.args = args;
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(operate_job_receive(m.spawn->calls[0].fd, &job), 0);
	assert_int_equal(job.profile, OPERATE_OBSERVE);
	assert_string_equal(job.argv[0], "/usr/bin/redis-cli");
	assert_string_equal(job.argv[2], "/run/service/redis.sock");
	assert_string_equal(job.argv[4], "memory");
	assert_null(job.argv[5]);
	assert_int_equal(job.uid, 131072 + IDENTITY_SERVICES_FIRST);
	assert_int_equal(job.n_secrets, 0);
	assert_int_equal(job.timeout_ms, 10000);
	assert_int_equal(job.memory, 64 << 20);
	assert_int_equal(job.declared, 0);
	assert_non_null(strstr(job.tree, "/lib/store/aaaa"));
	assert_non_null(strstr(job.run, "/run/services/redis"));
}

static void
test_asked_waits_for_a_permit(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(story(&m), "request ");
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(m.n_notes, 1);
	assert_string_equal(
		json_string_value(json_object_get(m.posts[0], "decision")), "ask");
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_string_equal(story(&m), "request permit start ");
	assert_string_equal(m.leaves[1].actor, "dora");
	assert_string_equal(m.step, "restart");
	assert_int_equal(spawned(&m), 1);
	assert_string_equal(m.muted, "redis operation r-1");
	step_over(&m, 0);
	assert_string_equal(m.muted, "");
	assert_string_equal(story(&m), "request permit start end ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_OK);
	assert_non_null(strstr(result->out, "running, health passing"));
	/* The same permit again opens nothing. */
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_REPLAYED);
	assert_int_equal(refuse_last()->reason, REASON_REPLAYED);
	assert_int_equal(spawned(&m), 1);
}

static void
nowhere_in(const json_t *json, const char *value, const char *where)
{
	SCOPED(scope_free) char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

	if (strstr(text, value))
		fail_msg("the secret stands in %s", where);
}

/* By descriptor to the worker, and by name to people: nowhere else. */
static void
test_secrets_go_by_descriptor(void **state)
{
	SCOPED(buf_done) struct buf value = BUF_MAX(4096), kept = BUF_MAX(1 << 20);
	SCOPED(scope_free) char *text = NULL;
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED_JSON *item = NULL;
	SCOPED(world_end) struct monitor m;
	char file[256], want[256];
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "login");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_non_null(strstr(text, "\nsecret        password: the program can read it; in what is recorded *** stands "
				     "for it\n"));
	assert_non_null(strstr(text, "'/usr/bin/redis-cli' '--passfile' '/run/secrets/password'"));
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(operate_job_receive(m.spawn->calls[0].fd, &job), 0);
	assert_int_equal(job.n_secrets, 1);
	assert_string_equal(job.secrets[0].name, "password");
	assert_string_equal(job.argv[2], "/run/secrets/password");
	assert_int_equal(fs_read(fx.scratch.fd, "lib/services/redis/secrets/password", 4096, &value), 0);
	(void)snprintf(want, sizeof(want), "requirepass %s\n", buf_text(&value));
	file[pread(job.secrets[0].fd, file, sizeof(file) - 1, 0)] = '\0';
	assert_string_equal(file, want);
	assert_memory_equal(file + job.secrets[0].from, buf_text(&value), value.len);
	assert_int_equal(job.secrets[0].len, value.len);
	item = show(&m, "r-1", NULL);
	nowhere_in(item, buf_text(&value), "what is shown");
	for (size_t i = 0; i < m.n_posts; i++)
		nowhere_in(m.posts[i], buf_text(&value), "what is sent");
	assert_int_equal(fs_read(m.dir_fd, "requests/r-1.json", kept.max, &kept), 0);
	assert_null(strstr(buf_text(&kept), buf_text(&value)));
}

/* A file that is no secret (somebody wrote there) stops it before anything runs. */
static void
test_a_secret_that_is_none(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(scope_close) int dir = -1;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	assert_int_equal(fs_open_dir(&dir, fx.scratch.fd, "lib/services/redis/secrets", 0700), 0);
	assert_int_equal(fs_replace(dir, "password", "two words", 9, 0600), 0);
	q = good("r-1", "login");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(spawned(&m), 0);
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_MALFORMED);
}

/* What the order of services forbids is refused to an operation, too: nothing ran. */
static void
test_a_verb_that_is_refused(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.step_refused = REASON_CONFLICT;
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(m.n_steps, 0);
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_CONFLICT);
	assert_non_null(strstr(result->err, "requires postgresql"));
}

static void
test_permit_for_another(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	q = good("r-2", "restart");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-2", text, DORA), REASON_ALTERED);
	assert_int_equal(approve(&m, "r-1", text, ANN), REASON_UNKNOWN_KEY);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request request refuse[altered] refuse[unknown-key] ");
}

/* What is refused about a request is not its own end: after a crash in between it has that, too. */
static void
test_a_refused_permit_is_no_end(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, ANN), REASON_UNKNOWN_KEY);
	m.leaf_fails = "refuse";
	assert_int_equal(approve(&m, "r-1", text, ANN), -EIO);
	later(&m, 2 * FIXTURE_HOUR);
	assert_string_equal(story(&m), "request refuse[unknown-key] ");
	m.leaf_fails = NULL;
	crash(&m);
	assert_string_equal(story(&m), "request refuse[unknown-key] refuse[expired] ");
	assert_memory_equal(m.leaves[2].digest, m.leaves[0].digest, SHA256_LEN);
	assert_int_equal(spawned(&m), 0);
}

static void
test_denied(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(deny(&m, "r-1"), 0);
	assert_string_equal(story(&m), "request deny[denied] ");
	assert_string_equal(m.leaves[1].actor, "uid:0");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_DENIED);
	assert_string_equal(result->err, "not today");
	assert_int_equal(deny(&m, "r-1"), REASON_CONFLICT);
	assert_string_equal(story(&m), "request deny[denied] ");
	assert_int_equal(spawned(&m), 0);
}

static void
test_refused_after_it_was_kept(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "flush");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "refuse[denied] ");
	assert_string_equal(state_of(&m, "r-1"), "refused");
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_DENIED);
	assert_int_equal(spawned(&m), 0);
}

/* What is not an engineer's gets a leaf, and no file. */
static void
test_strangers(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	SCOPED(call_done) struct monitor_call c = { 0 };
	struct request q;

	(void)state;
	world_open(&m);
	assert_int_equal(deliver_text(&m, "1", "{"), 0);
	assert_string_equal(story(&m), "refuse[malformed] ");
	assert_int_equal(m.n_posts, 0); /* there is no id to answer */
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "2", &q, CID), 0);
	assert_string_equal(story(&m), "refuse[malformed] refuse[unknown-key] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_UNKNOWN_KEY);
	assert_int_equal(call(&m, "requests.list", &c), 0);
	assert_int_equal(json_array_size(json_object_get(c.answer, "items")), 0);
	assert_int_equal(spawned(&m), 0);
}

/* A hub that delivers garbage fills neither the disk nor the way of those behind it. */
static void
test_strangers_in_numbers(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct tally_row *row;
	struct request q;

	(void)state;
	world_open(&m);
	for (int n = 0; n < 10000; n++)
		assert_int_equal(deliver_text(&m, "1", "{"), 0);
	assert_int_equal(m.n_leaves, 1);
	row = tally_due(&m.tally, 0, true);
	assert_non_null(row);
	assert_int_equal(row->count, 9999);
	assert_int_equal(row->reason, REASON_MALFORMED);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(m.leaves[1].reason, REASON_NONE);
	assert_string_equal(m.leaves[1].kind, "request");
	/* What a person brings is a leaf each. */
	for (size_t n = 3; n < 6; n++) {
		size_t before = m.n_leaves;

		assert_int_equal(import_text(&m, "{"), REASON_MALFORMED);
		assert_int_equal(m.n_leaves, before + 1);
	}
}

/* Nor the outbox: so many are answered, the others hear nothing. */
static void
test_answers_to_strangers_are_few(void **state)
{
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_open(&m);
	for (int n = 0; n < 40; n++) {
		char id[16];
		struct request q;

		(void)snprintf(id, sizeof(id), "r-%d", n);
		q = good(id, "info");
		assert_int_equal(deliver(&m, "2", &q, CID), 0);
	}
	assert_int_equal(m.n_leaves, 1);
	assert_int_equal(m.n_posts, 30);
}

/* Whoever carries a request can have it refused, and so answered in the site's name: that answer
 * must stay true. */
static void
test_what_was_refused_never_runs(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, CID), 0);
	assert_int_equal(m.n_posts, 1);
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(story(&m), "refuse[unknown-key] refuse[replayed] ");
	crash(&m);
	assert_int_equal(deliver(&m, "3", &q, ANN), 0);
	assert_string_equal(story(&m), "refuse[unknown-key] refuse[replayed] "); /* one a minute */
	assert_int_equal(refuse_last()->reason, REASON_REPLAYED);
	assert_int_equal(m.n_posts, 1); /* one answer is enough */
	assert_int_equal(spawned(&m), 0);
}

/* Nobody knows which they were then: what was made before must be made again. */
static void
test_what_a_damaged_file_knew_never_runs(void **state)
{
	SCOPED(world_end) struct monitor m;
	SCOPED(scope_close) int fd = -1;
	struct request q;
	uint64_t before;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, CID), 0);
	fd = openat(m.dir_fd, "requests/refused", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "odd", 3), 3);
	crash(&m);
	before = refuse_count(REASON_REPLAYED);
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_true(refuse_count(REASON_REPLAYED) > before);
	assert_string_equal(refuse_last()->operand, "r-1");
	assert_non_null(strstr(refuse_last()->text, "damaged"));
	assert_string_equal(story(&m), "refuse[unknown-key] refuse[replayed] ");
	q = good("r-2", "info");
	q.not_before_us = m.now_us - 1;
	assert_int_equal(deliver(&m, "3", &q, ANN), 0);
	assert_string_equal(refuse_last()->operand, "r-2");
	assert_int_equal(spawned(&m), 0);
	q = good("r-3", "info");
	q.not_before_us = m.now_us;
	assert_int_equal(deliver(&m, "4", &q, ANN), 0);
	assert_string_equal(refuse_last()->operand, "r-2");
	assert_int_equal(spawned(&m), 1);
}

static void
test_delivered_again_and_replayed(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;
	size_t posts;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	posts = m.n_posts;
	/* The courier did not hear us: the same item again is no news. */
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "request ");
	/* Under another number it is a replay; its own result is not overwritten by that. */
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(story(&m), "request refuse[replayed] ");
	assert_int_equal(m.n_posts, posts);
	/* Another id with the nonce is one, too. */
	q.id = "r-2";
	assert_int_equal(deliver(&m, "3", &q, ANN), 0);
	assert_string_equal(story(&m), "request refuse[replayed] refuse[replayed] ");
	assert_string_equal(state_of(&m, "r-2"), "refused");
	assert_int_equal(spawned(&m), 0);
}

/* --- on ground that is not there ------------------------------------------------------------- */
static void
test_no_definition(void **state)
{
	SCOPED(world_end) struct monitor m;
	SCOPED(scope_close) int store = -1;
	char name[128];
	struct request q;

	(void)state;
	world_open(&m);
	assert_int_equal(fs_open_dir(&store, fx.scratch.fd, "lib/store", 0700), 0);
	(void)snprintf(name, sizeof(name), "%s.definition.json", m.service.release);
	assert_int_equal(unlinkat(store, name, 0), 0);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "refuse[not-found] ");
	assert_string_equal(refuse_last()->text, "the definition cannot be read");
}

static void
test_no_spawner(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct spawn_fake *spawn;
	struct request q;

	(void)state;
	world_open(&m);
	spawn = m.spawn;
	m.spawn = NULL;
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	m.spawn = spawn;
	assert_string_equal(story(&m), "request start end[busy] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
}

static void
test_too_many_watchers(void **state)
{
	struct monitor_call calls[17] = { 0 };
	SCOPED(world_end) struct monitor m;

	(void)state;
	world_open(&m);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(call(&m, "requests.watch", &calls[i]), 0);
	assert_int_equal(call(&m, "requests.watch", &calls[16]), REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	assert_false(calls[16].held);
	for (size_t i = 0; i < 16; i++)
		calls[i].gone(&calls[i], calls[i].gone_arg);
	assert_int_equal(call(&m, "requests.watch", &calls[16]), 0);
}

static void
test_nobody_can_approve(void **state)
{
	SCOPED(policy_freep) struct policy *policy = fixture_policy(
		"v: 1\nrules:\n  - {risk: [change], decision: ask}\n");
	SCOPED(call_done) struct monitor_call c = { .names = { "id", "approver" },
		.values = { "r-1", "dora" } };
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.policy = policy;
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(call(&m, "requests.show", &c), REASON_NOT_APPROVED);
	assert_int_equal(refuse_last()->reason, REASON_NOT_APPROVED);
}

static void
test_verbs_refuse(void **state)
{
	static char endless[REQUEST_TEXT_MAX + 2];
	static const struct {
		const char *verb, *id, *name, *value;
		enum reason reason;
	} rows[] = {
		{ "requests.deny", "r-1", "reason", endless, REASON_TOO_LARGE },
		{ "requests.show", "r-9", NULL, NULL, REASON_NOT_FOUND },
		{ "requests.show", NULL, NULL, NULL, REASON_USAGE },
		{ "requests.show", "r-1", "approver", "eve", REASON_UNKNOWN_KEY },
		{ "requests.show", "r-2", "approver", "dora", REASON_CONFLICT },
		{ "requests.approve", "r-1", NULL, NULL, REASON_USAGE },
		{ "requests.approve", "r-1", "sig", "none", REASON_MALFORMED },
		{ "requests.deny", "r-1", NULL, NULL, REASON_USAGE },
		{ "requests.deny", "r-9", "reason", "x", REASON_NOT_FOUND },
	};
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	q = good("r-2", "flush");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	memset(endless, 'x', sizeof(endless) - 1);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(call_done) struct monitor_call c = {
			.names = { rows[i].id ? "id" : NULL, rows[i].name },
			.values = { rows[i].id, rows[i].value },
			.body = "x\n",
			.len = 2,
		};

		assert_int_equal(call(&m, rows[i].verb, &c), rows[i].reason);
		assert_int_equal(refuse_last()->reason, rows[i].reason);
		assert_false(c.answered);
	}
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(story(&m), "request refuse[denied] refuse[malformed] ");
}

static void
test_import(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	for (unsigned i = 0; i < 2; i++) {
		SCOPED(call_done) struct monitor_call c = { 0 };
		SCOPED_JSON *envelope = NULL;
		SCOPED(scope_free) char *text = NULL;

		q = good(i ? "r-2" : "r-1", i ? "flush" : "restart");
		envelope = fixture_seal(&fx, &q, ANN);
		text = json_dumps(envelope, JSON_COMPACT);
		c.body = text;
		c.len = strlen(text);
		assert_int_equal(call(&m, "requests.import", &c), i ? REASON_DENIED : 0);
	}
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(story(&m), "request refuse[denied] ");
}

static void
test_watch(void **state)
{
	SCOPED(call_done) struct monitor_call c = { 0 };
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	assert_int_equal(call(&m, "requests.watch", &c), 0);
	assert_true(c.held);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_true(c.n_progress >= 2);
	c.gone(&c, c.gone_arg);
	assert_true(c.answered);
	c.n_progress = 0;
	assert_int_equal(deny(&m, "r-1"), 0);
	assert_int_equal(c.n_progress, 0);
}

static void
test_status(void **state)
{
	SCOPED_JSON *status = json_pack("{s:[]}", "pending");
	SCOPED(world_end) struct monitor m;
	uint64_t wanting;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	q = good("r-2", "flush");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	wanting = json_wanting();
	m.module->status(&m, status, m.module_arg);
	assert_int_equal(json_wanting() != wanting ? -ENOMEM : 0, 0); /* the monitor answers with that fault */
	assert_int_equal(json_array_size(json_object_get(status, "pending")), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed_runs_at_once),
		cmocka_unit_test(test_job_is_what_was_planned),
		cmocka_unit_test(test_asked_waits_for_a_permit),
		cmocka_unit_test(test_a_verb_that_is_refused),
		cmocka_unit_test(test_secrets_go_by_descriptor),
		cmocka_unit_test(test_a_secret_that_is_none),
		cmocka_unit_test(test_permit_for_another),
		cmocka_unit_test(test_a_refused_permit_is_no_end),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_refused_after_it_was_kept),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_strangers_in_numbers),
		cmocka_unit_test(test_answers_to_strangers_are_few),
		cmocka_unit_test(test_what_was_refused_never_runs),
		cmocka_unit_test(test_what_a_damaged_file_knew_never_runs),
		cmocka_unit_test(test_delivered_again_and_replayed),
		cmocka_unit_test(test_no_definition),
		cmocka_unit_test(test_no_spawner),
		cmocka_unit_test(test_too_many_watchers),
		cmocka_unit_test(test_nobody_can_approve),
		cmocka_unit_test(test_verbs_refuse),
		cmocka_unit_test(test_import),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
