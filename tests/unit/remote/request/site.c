/* Requests on the customer's side, whole: what is delivered, what is recorded, what runs, what is
 * said. */
#include "tests/unit/remote/request/world.h"

#include <signal.h>

/* --- tests ------------------------------------------------------------------------------------ */
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
test_ground_moves(void **state)
{
	SCOPED(scope_free) char *text = NULL, *again = NULL, *waits = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;
	size_t posts;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	posts = m.n_posts;
	(void)snprintf(m.service.state, sizeof(m.service.state), "stopped");
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_STATE_MOVED);
	assert_int_equal(refuse_last()->reason, REASON_STATE_MOVED);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(m.n_posts, posts + 2); /* the new plan, and that it waits again */
	waits = last_state(&m, "r-1", 2);
	assert_ptr_equal(strstr(waits, "plan 2: waits for one of: dora; since "), waits);
	/* The old text fits the new ground no more, a new one does. */
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_ALTERED);
	again = to_sign(&m, "r-1");
	assert_string_not_equal(text, again);
	assert_int_equal(approve(&m, "r-1", again, DORA), 0);
	assert_int_equal(spawned(&m), 1);
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

/* --- after a crash ---------------------------------------------------------------------------- */
static void
test_crash_while_running(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 1);
	crash(&m);
	assert_int_equal(spawned(&m), 0); /* never a rerun */
	assert_string_equal(story(&m), "request start end[interrupted] ");
	assert_string_equal(state_of(&m, "r-1"), "done");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_INTERRUPTED);
	assert_non_null(strstr(m.recording, "\n[0.000000, \"m\", \"interrupted\"]\n"));
	crash(&m);
	assert_string_equal(story(&m), "request start end[interrupted] ");
}

/* What had come is kept, and its recording closed, at whatever byte the monitor ended. */
static void
test_crash_while_recording(void **state)
{
	static const uint8_t said_so_far[] = "begun\n";
	SCOPED(operate_job_done) struct operate_job job = { 0 };
	SCOPED(scope_close) int fd = -1;
	SCOPED(world_end) struct monitor m;
	struct operate_output o = { OPERATE_STDERR, said_so_far, sizeof(said_so_far) - 1 };
	struct request q;
	char path[512];

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(operate_job_receive(m.spawn->calls[0].fd, &job), 0);
	assert_int_equal(operate_output_send(m.spawn->calls[0].fd, &o), 0);
	for (int i = 0; i < 20; i++) { /* until it is an event */
		(void)usleep(2000);
		pump(&m);
	}
	/* Torn within the next. */
	(void)snprintf(path, sizeof(path), "%s/lib/monitor/recordings/r-1.cast.part", fx.scratch.path);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(write(fd, "[0.1, \"o\", \"to", 15), 15);
	crash(&m);
	assert_string_equal(story(&m), "request start end[interrupted] ");
	assert_non_null(strstr(m.recording, ", \"o\", \"begun\\n\"]\n["));
	assert_null(strstr(m.recording, "to"));
	assert_non_null(strstr(m.recording, ", \"m\", \"interrupted\"]\n"));
}

/* Nothing runs that cannot be recorded: whoever took the folder away did not open a way around it. */
static void
test_no_run_without_a_recording(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_close) int dir = -1;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	assert_int_equal(fs_open_dir(&dir, m.dir_fd, "recordings", 0700), 0);
	assert_int_equal(fs_replace(dir, "r-1.cast.part", "", 0, 0600), 0); /* its place is taken */
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(story(&m), "request start end[fault] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_FAILED);
	assert_int_equal(result->reason, REASON_FAULT);
}

static void
test_crash_while_waiting(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(story(&m), "request ");
	/* What was signed before still holds: the plan is the same. */
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_string_equal(story(&m), "request permit start ");
	crash(&m);
	assert_string_equal(story(&m), "request permit start end[interrupted] ");
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_REPLAYED);
}

static void
document_ended(json_t *doc)
{
	json_object_set_new(doc, "expires", json_string("2026-11-21T19:00:00Z"));
}

/* Write a state into the file, as power that failed at that instant would have left it. */
static void
leave_as(struct monitor *m, const char *state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20), out = BUF_MAX(1 << 20);
	SCOPED(scope_close) int fd = -1;
	SCOPED_JSON *doc = NULL;

	assert_int_equal(fs_open_dir(&fd, m->dir_fd, "requests", 0700), 0);
	assert_int_equal(fs_read(fd, "r-1.json", 1 << 20, &b), 0);
	assert_int_equal(json_read_canonical(&doc, b.data, b.len, 1 << 20, "r-1"), 0);
	json_object_set_new(doc, "state", json_string(state));
	assert_int_equal(json_canonical(&out, doc), 0);
	assert_int_equal(fs_replace(fd, "r-1.json", out.data, out.len, 0600), 0);
}

/* A restart of the machine, a restored disk, a jump of the clock: what was allowed before waits for a person, whose yes
 * is for the life that the site has now. */
static void
test_another_epoch(void **state)
{
	SCOPED(scope_free) char *before = NULL, *between = NULL, *now = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q, kept;

	(void)state;
	world_open(&m);
	kept = good("r-2", "restart");
	assert_int_equal(deliver(&m, "1", &kept, ANN), 0);
	before = to_sign(&m, "r-2");
	m.epoch[0] ^= 1;
	crash(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	assert_int_equal(spawned(&m), 0);
	between = to_sign(&m, "r-1");
	assert_non_null(strstr(between, "attention     wrong-epoch: "));
	/* A permit of the former life counts no more, one of a life that ended since neither. */
	assert_int_equal(approve(&m, "r-2", before, DORA), REASON_ALTERED);
	m.epoch[0] ^= 2;
	assert_int_equal(approve(&m, "r-1", between, DORA), REASON_STATE_MOVED);
	changed(&m, MONITOR_CHANGE_CLOCK);
	assert_int_equal(spawned(&m), 0);
	now = to_sign(&m, "r-1");
	assert_string_not_equal(between, now);
	assert_int_equal(approve(&m, "r-1", between, DORA), REASON_ALTERED);
	assert_int_equal(approve(&m, "r-1", now, DORA), 0);
	assert_int_equal(spawned(&m), 1);
	assert_string_equal(state_of(&m, "r-1"), "running");
}

/* What was permitted and had not begun when the machine went down does not begin by itself. */
static void
test_permitted_in_another_epoch(void **state)
{
	static const char *const operations[] = { "info", "restart" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;
		uint64_t before;

		world_open(&m);
		q = good("r-1", operations[i]);
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		if (i == 1) {
			text = to_sign(&m, "r-1");
			assert_int_equal(approve(&m, "r-1", text, DORA), 0);
		}
		leave_as(&m, "permitted");
		m.epoch[3] ^= 1;
		m.n_leaves = 0;
		before = refuse_count(REASON_WRONG_EPOCH);
		m.n_steps = 0;
		crash(&m);
		assert_int_equal(refuse_count(REASON_WRONG_EPOCH), before + 1);
		assert_string_equal(state_of(&m, "r-1"), "refused");
		assert_string_equal(reason_of(&m, "r-1"), "wrong-epoch");
		assert_int_equal(spawned(&m), 0);
	}
}

static void
document_ended_since(json_t *doc)
{
	json_object_set_new(doc, "expires", json_string("2026-11-21T19:59:59Z"));
}

/* Allowed, and before it began the people's document ended. */
static void
test_allowed_before_the_people_ended(void **state)
{
	SCOPED(people_freep) struct people *stale = fixture_people(document_ended_since);
	SCOPED(world_end) struct monitor m;
	struct request q;
	uint64_t before;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	leave_as(&m, "permitted");
	m.people = stale;
	before = refuse_count(REASON_STALE_PEOPLE);
	crash(&m);
	assert_int_equal(refuse_count(REASON_STALE_PEOPLE), before + 1);
	assert_string_equal(reason_of(&m, "r-1"), "stale-people");
	assert_int_equal(spawned(&m), 0);
}

/* The vendor's officers did not renew their document: only the customer's own yes lets an engineer in. */
static void
test_stale_people_wait_for_a_permit(void **state)
{
	SCOPED(people_freep) struct people *stale = fixture_people(document_ended);
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.people = stale;
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	/* One that is newer may be on its way. */
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_int_equal(m.n_fetches, 1);
	later(&m, 61 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	text = to_sign(&m, "r-1");
	assert_non_null(strstr(text, "attention     stale-people: "));
	assert_int_equal(spawned(&m), 0);
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(spawned(&m), 1);
	/* It is renewed: what is allowed runs by itself again. */
	m.people = fx.people;
	q = good("r-2", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(spawned(&m), 2);
}

/* A site whose clock is decades off still takes a request, with a person's yes; and only once. */
static void
test_clocks_that_are_decades_off(void **state)
{
	static const uint64_t years_us = UINT64_C(73) * 365 * 24 * FIXTURE_HOUR;
	const struct {
		uint64_t now_us;
	} clocks[] = { { FIXTURE_NOW - 20 * 24 * FIXTURE_HOUR }, { FIXTURE_NOW + years_us } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		SCOPED(scope_free) char *text = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		m.now_us = clocks[i].now_us;
		m.floor_us = FIXTURE_NOW - 20 * 24 * FIXTURE_HOUR;
		m.doubtful = true;
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		assert_string_equal(state_of(&m, "r-1"), "waiting");
		later(&m, CLOCK_US_PER_S);
		text = to_sign(&m, "r-1");
		assert_non_null(strstr(text, "attention     the clock here is doubtful"));
		assert_int_equal(approve(&m, "r-1", text, DORA), 0);
		assert_int_equal(spawned(&m), 1);
		/* Its life is as long as it was made for, by the clock there is. */
		q = good("r-2", "info");
		assert_int_equal(deliver(&m, "2", &q, ANN), 0);
		later(&m, 3 * FIXTURE_HOUR);
		assert_string_equal(reason_of(&m, "r-2"), "expired");
		assert_int_equal(spawned(&m), 1);
	}
}

/* Of two lives of one site the customer alone knows which is meant; before the record there is none. */
static void
test_a_clone_asks_and_an_unrecorded_site_takes_nothing(void **state)
{
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;
	uint64_t count;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	m.unrecorded = true;
	count = refuse_count(REASON_NOT_APPROVED);
	assert_int_equal(deliver(&m, "1", &q, ANN), REASON_NOT_APPROVED);
	assert_int_equal(refuse_count(REASON_NOT_APPROVED), count + 1);
	assert_string_equal(story(&m), "");
	m.unrecorded = false;
	m.cloned = true;
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	later(&m, CLOCK_US_PER_S);
	text = to_sign(&m, "r-1");
	assert_non_null(strstr(text, "attention     clone: two speak"));
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	assert_int_equal(spawned(&m), 1);
}

/* Power failed between the saved result and the leaf, or between the leaf and the outbox. */
static void
test_crash_before_it_was_settled(void **state)
{
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	m.leaf_fails = "end";
	work(&m, "x", &ok);
	assert_string_equal(story(&m), "request start ");
	assert_int_equal(m.n_posts, 1);
	m.leaf_fails = NULL;
	crash(&m);
	assert_string_equal(story(&m), "request start end ");
	result = said(&m, "r-1");
	assert_string_equal(result->out, "x"); /* the result itself was not lost */

	q = good("r-2", "info");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	m.outbox_full = true;
	work(&m, "y", &ok);
	assert_string_equal(story(&m), "request start end request start end ");
	m.outbox_full = false;
	crash(&m);
	assert_string_equal(story(&m), "request start end request start end "); /* one end each */
	request_result_free(result);
	result = said(&m, "r-2");
	assert_string_equal(result->out, "y");
}

static void
test_no_start_without_its_leaf(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.leaf_fails = "start";
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(spawned(&m), 0);
	assert_string_equal(state_of(&m, "r-1"), "done");
	assert_string_equal(story(&m), "request end[fault] ");
}

/* --- while it waits or runs ------------------------------------------------------------------- */
static void
test_switched_off_while_waiting(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;
	size_t posts;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	posts = m.n_posts;
	m.remote_on = false;
	changed(&m, MONITOR_CHANGE_SWITCH);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "switched-off");
	assert_string_equal(story(&m), "request refuse[switched-off] ");
	assert_int_equal(m.n_posts, posts); /* nothing leaves */
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_CONFLICT);
	m.remote_on = true;
	changed(&m, MONITOR_CHANGE_SWITCH);
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_SWITCHED_OFF);
	assert_string_equal(story(&m), "request refuse[switched-off] refuse[conflict] ");
	assert_int_equal(spawned(&m), 0);
}

/* More than its plan allows, or what is no frame of a worker: it is killed, and its word on the end does not count. */
static void
test_worker_says_too_much(void **state)
{
	static const uint8_t part[OPERATE_CHUNK_MAX];
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	static const struct {
		const char *says;
		size_t whole, more; /* parts of full size, and bytes after them */
		enum request_outcome outcome;
		enum reason reason;
	} rows[] = {
		{ "all that it may write", 4, 0, REQUEST_OUTCOME_OK, REASON_NONE },
		{ "a byte more", 4, 1, REQUEST_OUTCOME_FAILED, REASON_MALFORMED },
		{ "a part of nothing", 0, 0, REQUEST_OUTCOME_FAILED, REASON_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(operate_job_done) struct operate_job job = { 0 };
		struct operate_output o = { OPERATE_STDOUT, part, sizeof(part) };
		SCOPED(world_end) struct monitor m;
		struct request q;
		int fd;

		world_open(&m);
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		fd = m.spawn->calls[0].fd;
		assert_int_equal(operate_job_receive(fd, &job), 0);
		assert_int_equal(job.output, 4 * sizeof(part));
		for (size_t k = 0; k < rows[i].whole; k++)
			assert_int_equal(operate_output_send(fd, &o), 0);
		o = (struct operate_output){ OPERATE_STDERR, part, rows[i].more };
		if (rows[i].more > 0 || rows[i].whole == 0)
			assert_int_equal(operate_output_send(fd, &o), 0);
		assert_int_equal(operate_result_send(fd, &ok), 0);
		pump(&m);
		result = said(&m, "r-1");
		if (result->outcome != rows[i].outcome || result->reason != rows[i].reason)
			fail_msg("%s: %s", rows[i].says, request_outcome_name(result->outcome));
		assert_int_equal(strcmp(m.spawn->calls[m.spawn->n_calls - 1].what, "kill") == 0,
			rows[i].outcome != REQUEST_OUTCOME_OK);
		assert_string_equal(story(&m), rows[i].reason ? "request start end[malformed] " : "request start end ");
	}
}

/* Each is named in the result, in what is recorded, and asked of the supervisor. */
static void
test_limits_are_named(void **state)
{
	static const struct {
		struct operate_result end;
		const char *text;
	} rows[] = {
		{ { .outcome = OPERATE_TIMEOUT, .exit_status = -1, .signal = SIGKILL }, "its time of 10000 ms was over" },
		{ { .outcome = OPERATE_FAILED, .signal = SIGKILL, .exit_status = -1, .limits = OPERATE_LIMIT_MEMORY },
			"its limit of 67108864 bytes of memory" },
		{ { .outcome = OPERATE_OK, .limits = OPERATE_LIMIT_PROCESSES }, "its limit of 64 processes" },
		{ { .outcome = OPERATE_OK, .limits = OPERATE_LIMIT_CPU }, "its limit of one processor's time" },
		{ { .outcome = OPERATE_FAILED, .signal = SIGKILL, .exit_status = -1, .limits = OPERATE_LIMIT_UNTOLD },
			"perhaps reached its limit of 67108864 bytes of memory or 64 processes" },
		{ { .outcome = OPERATE_OK, .truncated = true }, "its limit of 65536 bytes of output" },
		{ { .outcome = OPERATE_OK }, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		assert_int_equal(m.spawn->calls[0].memory, 64 << 20);
		assert_int_equal(m.spawn->calls[0].processes, OPERATE_PROCESSES + OPERATE_OURS);
		assert_int_equal(m.spawn->calls[0].cpu_milli, OPERATE_CPU_MILLI);
		work(&m, "so far\n", &rows[i].end);
		result = said(&m, "r-1");
		assert_string_equal(result->out, "so far\n");
		if (!strstr(result->err, rows[i].text) || !strstr(m.recording, rows[i].text) ||
			(*rows[i].text == '\0') != (*result->err == '\0'))
			fail_msg("%s: %s", rows[i].text, result->err);
	}
}

static void
stopped_while_running(struct monitor *m, void (*stop)(struct monitor *m), enum reason reason)
{
	static const struct operate_result cancelled = {
		.outcome = OPERATE_CANCELLED, .exit_status = -1, .signal = SIGTERM
	};
	SCOPED(request_result_freep) struct request_result *result = NULL;
	struct request q;

	world_open(m);
	q = good("r-1", "info");
	assert_int_equal(deliver(m, "1", &q, ANN), 0);
	stop(m);
	assert_string_equal(m->spawn->calls[m->spawn->n_calls - 1].what, "kill");
	assert_int_equal(m->spawn->calls[m->spawn->n_calls - 1].signal, SIGTERM);
	work(m, "", &cancelled);
	assert_string_equal(state_of(m, "r-1"), "done");
	m->remote_on = true;
	changed(m, MONITOR_CHANGE_SWITCH);
	result = said(m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_CANCELLED);
	assert_int_equal(result->reason, reason);
}

static void
switch_off(struct monitor *m)
{
	m->remote_on = false;
	changed(m, MONITOR_CHANGE_SWITCH);
}

static void
customer_stops(struct monitor *m)
{
	assert_int_equal(deny(m, "r-1"), 0);
}

static void
test_stopped_while_running(void **state)
{
	struct monitor m;

	(void)state;
	stopped_while_running(&m, switch_off, REASON_SWITCHED_OFF);
	assert_string_equal(story(&m), "request start end[switched-off] ");
	world_end(&m);
	stopped_while_running(&m, customer_stops, REASON_DENIED);
	assert_string_equal(story(&m), "request start cancel[denied] end[denied] ");
	world_end(&m);
}

static void
test_worker_dies(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	close(STEAL_FD(m.spawn->calls[0].fd));
	pump(&m);
	assert_string_equal(story(&m), "request start end[interrupted] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_INTERRUPTED);
}

/* A worker is not believed: what is no answer is none, and it is killed. */
static void
test_worker_lies(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_int_equal(write(m.spawn->calls[0].fd, "rubbish", 7), 7);
	pump(&m);
	assert_string_equal(m.spawn->calls[1].what, "kill");
	assert_int_equal(m.spawn->calls[1].signal, SIGKILL);
	assert_string_equal(story(&m), "request start end[interrupted] ");
}

static void
test_no_sandbox(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	m.spawn->answer = REASON_NO_SANDBOX;
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(story(&m), "request start end[no-sandbox] ");
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_REFUSED);
	assert_int_equal(result->reason, REASON_NO_SANDBOX);
	m.spawn->answer = 0;
}

/* The supervisor was killed while it started the worker: that one may run, so nobody says that nothing has. */
static void
test_supervisor_is_lost(void **state)
{
	static const struct operate_result ok = { .outcome = OPERATE_OK };
	static const enum request_outcome want[] = { REQUEST_OUTCOME_INTERRUPTED, REQUEST_OUTCOME_OK };

	(void)state;
	for (size_t runs = 0; runs < ARRAY_LEN(want); runs++) {
		SCOPED(request_result_freep) struct request_result *result = NULL;
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		m.spawn->answer = REASON_INTERRUPTED;
		q = good("r-1", "info");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		pump(&m);
		assert_string_equal(story(&m), "request start "); /* its socket will tell */
		if (runs)
			work_at(&m, 0, OPERATE_STDOUT, "a\n", &ok);
		close(STEAL_FD(m.spawn->calls[0].fd));
		pump(&m);
		assert_string_equal(story(&m), runs ? "request start end " : "request start end[interrupted] ");
		result = said(&m, "r-1");
		assert_int_equal(result->outcome, want[runs]);
		m.spawn->answer = 0;
	}
}

static void
test_step_fails(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	assert_int_equal(approve(&m, "r-1", text, DORA), 0);
	(void)snprintf(m.service.health, sizeof(m.service.health), "failing");
	step_over(&m, REFUSE(REASON_STATE_MOVED, "redis", "it did not get there"));
	result = said(&m, "r-1");
	assert_int_equal(result->outcome, REQUEST_OUTCOME_FAILED);
	assert_int_equal(result->reason, REASON_STATE_MOVED);
	assert_non_null(strstr(result->out, "health failing"));
}

static void
test_expires_while_waiting(void **state)
{
	SCOPED(request_result_freep) struct request_result *result = NULL;
	SCOPED(scope_free) char *text = NULL;
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	text = to_sign(&m, "r-1");
	later(&m, FIXTURE_HOUR);
	assert_string_equal(state_of(&m, "r-1"), "waiting"); /* to its very end */
	later(&m, 1000);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	result = said(&m, "r-1");
	assert_int_equal(result->reason, REASON_EXPIRED);
	assert_int_equal(approve(&m, "r-1", text, DORA), REASON_CONFLICT);
	assert_int_equal(spawned(&m), 0);
}

static void
test_ceiling_changes_while_waiting(void **state)
{
	SCOPED(policy_freep) struct policy *none = fixture_policy("v: 1\nrules: []\n");
	SCOPED(policy_freep) struct policy *free_for_all = fixture_policy(
		"v: 1\nrules:\n  - {operations: [restart], decision: allow}\n");
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	changed(&m, MONITOR_CHANGE_POLICY);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	m.policy = none;
	changed(&m, MONITOR_CHANGE_POLICY);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "denied");
	m.policy = fx.policy;
	q = good("r-2", "restart");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-2"), "waiting");
	m.policy = free_for_all;
	changed(&m, MONITOR_CHANGE_POLICY);
	assert_string_equal(state_of(&m, "r-2"), "running");
	assert_int_equal(spawned(&m), 1);
}

static void
revoke_ann(json_t *doc)
{
	json_array_append_new(json_object_get(doc, "revoked"),
		json_pack("{s:s, s:s, s:s}", "key", fixture_public[ANN], "reason", "lost", "time",
			"2026-11-20T00:00:00Z"));
}

static void
test_revoked_while_waiting(void **state)
{
	SCOPED(people_freep) struct people *people = fixture_people(revoke_ann);
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	m.people = people;
	changed(&m, MONITOR_CHANGE_PEOPLE);
	assert_string_equal(state_of(&m, "r-1"), "refused");
	assert_string_equal(reason_of(&m, "r-1"), "revoked");
	assert_int_equal(spawned(&m), 0);
}

static void
newer(json_t *doc)
{
	json_object_set_new(doc, "version", json_integer(8));
	json_array_append_new(json_object_get(doc, "engineers"),
		fixture_engineer("cid", CID, "support", "acme"));
}

/* The desk knows newer people than the site: the site fetches them and goes on. */
static void
test_waits_for_newer_people(void **state)
{
	SCOPED(people_freep) struct people *people = fixture_people(newer);
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	q.people_version = 8;
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_int_equal(m.n_fetches, 1);
	later(&m, 30 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-1"), "received");
	assert_string_equal(story(&m), "");
	m.people = people;
	changed(&m, MONITOR_CHANGE_PEOPLE);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	/* Where they do not come, it is refused. */
	q = good("r-2", "restart");
	q.people_version = 9;
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	assert_int_equal(m.n_fetches, 2);
	later(&m, 61 * CLOCK_US_PER_S);
	assert_string_equal(state_of(&m, "r-2"), "refused");
	assert_string_equal(reason_of(&m, "r-2"), "stale-people");
}

/* A new engineer's key is not known yet: the item stays at the hub until it is, or for a minute. */
static void
test_waits_for_a_new_engineer(void **state)
{
	SCOPED(people_freep) struct people *people = fixture_people(newer);
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	q.people_version = 8;
	q.engineer = "cid";
	assert_int_equal(deliver(&m, "1", &q, CID), REASON_BUSY);
	assert_int_equal(deliver(&m, "1", &q, CID), REASON_BUSY);
	assert_int_equal(m.n_fetches, 1);
	assert_string_equal(story(&m), "");
	m.people = people;
	changed(&m, MONITOR_CHANGE_PEOPLE);
	assert_int_equal(deliver(&m, "1", &q, CID), 0);
	assert_string_equal(state_of(&m, "r-1"), "waiting");
	m.people = fx.people;
	q.id = "r-2";
	assert_int_equal(deliver(&m, "2", &q, CID), REASON_BUSY);
	clock_fake(FIXTURE_NOW, 100 * CLOCK_US_PER_S);
	assert_int_equal(deliver(&m, "2", &q, CID), 0);
	assert_string_equal(story(&m), "request refuse[unknown-key] ");
	clock_fake(FIXTURE_NOW, 1000);
}

/* --- on ground that is not there ------------------------------------------------------------- */
static void
test_crash_when_permitted(void **state)
{
	static const struct {
		bool moved;
		const char *reason;
	} rows[] = {
		{ false, "not-approved" },
		{ true, "state-moved" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(world_end) struct monitor m;
		struct request q;

		world_open(&m);
		q = good("r-1", "restart");
		assert_int_equal(deliver(&m, "1", &q, ANN), 0);
		leave_as(&m, "permitted");
		if (rows[i].moved)
			(void)snprintf(m.service.state, sizeof(m.service.state), "stopped");
		crash(&m);
		assert_string_equal(state_of(&m, "r-1"), "refused");
		assert_string_equal(reason_of(&m, "r-1"), rows[i].reason);
		assert_int_equal(spawned(&m), 0);
	}
}

/* Permitted by the ceiling alone, nothing ran yet: it goes on, once. */
static void
test_crash_when_allowed(void **state)
{
	SCOPED(world_end) struct monitor m;
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "info");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	leave_as(&m, "permitted");
	crash(&m);
	assert_string_equal(state_of(&m, "r-1"), "running");
	assert_int_equal(spawned(&m), 1);
	crash(&m);
	assert_string_equal(reason_of(&m, "r-1"), "interrupted");
	assert_int_equal(spawned(&m), 0);
}

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
	struct request q;

	(void)state;
	world_open(&m);
	q = good("r-1", "restart");
	assert_int_equal(deliver(&m, "1", &q, ANN), 0);
	q = good("r-2", "flush");
	assert_int_equal(deliver(&m, "2", &q, ANN), 0);
	m.module->status(&m, status, m.module_arg);
	assert_int_equal(json_array_size(json_object_get(status, "pending")), 1);
}

static int
setup(void **state)
{
	(void)state;
	fixture_open(&fx);
	scratch_remove(&fx.scratch); /* each world has its own */
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_make(&fx.scratch);
	fixture_close(&fx);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allowed_runs_at_once),
		cmocka_unit_test(test_a_clone_asks_and_an_unrecorded_site_takes_nothing),
		cmocka_unit_test(test_job_is_what_was_planned),
		cmocka_unit_test(test_asked_waits_for_a_permit),
		cmocka_unit_test(test_a_verb_that_is_refused),
		cmocka_unit_test(test_secrets_go_by_descriptor),
		cmocka_unit_test(test_a_secret_that_is_none),
		cmocka_unit_test(test_permit_for_another),
		cmocka_unit_test(test_a_refused_permit_is_no_end),
		cmocka_unit_test(test_ground_moves),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_refused_after_it_was_kept),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_strangers_in_numbers),
		cmocka_unit_test(test_answers_to_strangers_are_few),
		cmocka_unit_test(test_what_was_refused_never_runs),
		cmocka_unit_test(test_delivered_again_and_replayed),
		cmocka_unit_test(test_crash_while_running),
		cmocka_unit_test(test_crash_while_recording),
		cmocka_unit_test(test_no_run_without_a_recording),
		cmocka_unit_test(test_crash_while_waiting),
		cmocka_unit_test(test_another_epoch),
		cmocka_unit_test(test_permitted_in_another_epoch),
		cmocka_unit_test(test_allowed_before_the_people_ended),
		cmocka_unit_test(test_stale_people_wait_for_a_permit),
		cmocka_unit_test(test_clocks_that_are_decades_off),
		cmocka_unit_test(test_crash_before_it_was_settled),
		cmocka_unit_test(test_no_start_without_its_leaf),
		cmocka_unit_test(test_switched_off_while_waiting),
		cmocka_unit_test(test_worker_says_too_much),
		cmocka_unit_test(test_limits_are_named),
		cmocka_unit_test(test_stopped_while_running),
		cmocka_unit_test(test_worker_dies),
		cmocka_unit_test(test_worker_lies),
		cmocka_unit_test(test_no_sandbox),
		cmocka_unit_test(test_supervisor_is_lost),
		cmocka_unit_test(test_step_fails),
		cmocka_unit_test(test_expires_while_waiting),
		cmocka_unit_test(test_ceiling_changes_while_waiting),
		cmocka_unit_test(test_revoked_while_waiting),
		cmocka_unit_test(test_waits_for_newer_people),
		cmocka_unit_test(test_waits_for_a_new_engineer),
		cmocka_unit_test(test_crash_when_permitted),
		cmocka_unit_test(test_crash_when_allowed),
		cmocka_unit_test(test_no_definition),
		cmocka_unit_test(test_no_spawner),
		cmocka_unit_test(test_too_many_watchers),
		cmocka_unit_test(test_nobody_can_approve),
		cmocka_unit_test(test_verbs_refuse),
		cmocka_unit_test(test_import),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
