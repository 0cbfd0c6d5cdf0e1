/* Requests on disk. */
#include "tests/unit/remote/request/fixture.h"

#include <sys/stat.h>

#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/trust/sha256.h"
#include "remote/request/store.h"


struct room {
	struct scratch scratch;
	struct request_store *store;
	uint64_t now_us; /* as whoever opens it knows it; 0: not */
};

static void
room_open(struct room *w)
{
	scratch_make(&w->scratch);
	w->now_us = FIXTURE_NOW;
	assert_int_equal(request_store_open(&w->store, w->scratch.fd, w->now_us), 0);
}

static void
room_close(struct room *w)
{
	request_store_close(w->store);
	scratch_remove(&w->scratch);
}

static void
room_again(struct room *w)
{
	w->store = request_store_close(w->store);
	assert_int_equal(request_store_open(&w->store, w->scratch.fd, w->now_us), 0);
}

static int
add(struct room *w, const char *id, const char *engineer, uint8_t nonce, uint64_t expires_us,
	struct request_item **ret)
{
	struct request q = fixture_request(&fx), *parsed = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED_JSON *envelope = NULL;
	struct request_item *item = NULL;
	int r;

	q.id = id;
	q.engineer = engineer;
	q.nonce[0] = nonce;
	q.expires_us = expires_us;
	q.not_before_us = expires_us - FIXTURE_HOUR;
	envelope = fixture_seal(&fx, &q, ANN);
	assert_int_equal(envelope_open_json(&e, MESSAGE_REQUEST, envelope), 0);
	assert_int_equal(request_from_envelope(&parsed, e), 0);
	r = request_store_add(w->store, parsed, e, nonce, FIXTURE_NOW + nonce, FIXTURE_NOW + nonce, &item);
	if (ret)
		*ret = item;
	return r;
}

static void
test_round_trip(void **state)
{
	SCOPED(room_close) struct room w;
	struct request_item *item;
	uint8_t digest[32];

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, &item), 0);
	memcpy(digest, item->request->digest, 32);
	item->flow.state = FLOW_STATE_WAITING;
	item->flow.expires_us -= 5000;
	item->decision = strdup("ask");
	item->plan_text = strdup("line one\nline two\n");
	item->plan = json_pack("{s:s}", "payload", "x");
	item->result = json_pack("{s:s}", "payload", "y");
	item->permits = json_pack("[{s:s, s:s}]", "text", "a\nb\n", "sig", "c\n");
	item->reason = REASON_STATE_MOVED;
	item->detail = strdup("moved");
	item->outcome = strdup("ok");
	item->settled = true;
	assert_int_equal(request_store_save(w.store, item), 0);
	room_again(&w);
	item = request_store_find(w.store, "r-1");
	assert_non_null(item);
	assert_memory_equal(item->request->digest, digest, 32);
	assert_int_equal(item->flow.state, FLOW_STATE_WAITING);
	assert_true(item->flow.expires_us == FIXTURE_NOW + FIXTURE_HOUR - 5000);
	assert_int_equal(item->mailbox, 1);
	assert_true(item->received_us == FIXTURE_NOW);
	assert_string_equal(item->decision, "ask");
	assert_string_equal(item->plan_text, "line one\nline two\n");
	assert_string_equal(json_string_value(json_object_get(item->plan, "payload")), "x");
	assert_string_equal(json_string_value(json_object_get(item->result, "payload")), "y");
	assert_string_equal(json_string_value(json_object_get(json_array_get(item->permits, 0), "text")), "a\nb\n");
	assert_int_equal(item->reason, REASON_STATE_MOVED);
	assert_string_equal(item->detail, "moved");
	assert_string_equal(item->outcome, "ok");
	assert_true(item->settled);
	assert_false(item->leafed);
}

static void
test_an_id_counts_once(void **state)
{
	SCOPED(room_close) struct room w;
	uint64_t before = refuse_count(REASON_REPLAYED);

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(add(&w, "r-1", "ann", 2, FIXTURE_NOW + FIXTURE_HOUR, NULL),
		REASON_REPLAYED);
	assert_int_equal(refuse_last()->reason, REASON_REPLAYED);
	assert_int_equal(refuse_count(REASON_REPLAYED), before + 1);
	assert_int_equal(request_store_count(w.store), 1);
	room_again(&w);
	assert_int_equal(request_store_count(w.store), 1);
	assert_int_equal(add(&w, "r-1", "ann", 3, FIXTURE_NOW + FIXTURE_HOUR, NULL),
		REASON_REPLAYED);
}

/* The nonce window lives in the files: it survives a restart. */
static void
test_nonces_last(void **state)
{
	SCOPED(room_close) struct room w;
	struct request_item *item;
	uint8_t nonce[REQUEST_NONCE_BYTES];

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, &item), 0);
	memcpy(nonce, item->request->nonce, sizeof(nonce));
	assert_false(request_store_nonce_used(w.store, "r-1", nonce));
	assert_true(request_store_nonce_used(w.store, "r-2", nonce));
	item->flow.state = FLOW_STATE_DONE;
	assert_int_equal(request_store_save(w.store, item), 0);
	room_again(&w);
	assert_true(request_store_nonce_used(w.store, "r-2", nonce));
	nonce[5] ^= 1;
	assert_false(request_store_nonce_used(w.store, "r-2", nonce));
}

static void
test_delivered_twice(void **state)
{
	SCOPED(room_close) struct room w;
	struct request_item *item;
	uint8_t digest[32];

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, &item), 0);
	memcpy(digest, item->request->digest, 32);
	room_again(&w);
	assert_true(request_store_delivered(w.store, 1, digest));
	assert_false(request_store_delivered(w.store, 2, digest)); /* a replay, not a repetition */
	assert_false(request_store_delivered(w.store, 0, digest));
	digest[0] ^= 1;
	assert_false(request_store_delivered(w.store, 1, digest));
}

static void
test_limits(void **state)
{
	SCOPED(room_close) struct room w;
	uint64_t before = refuse_count(REASON_BUSY);
	char id[16], engineer[16];
	unsigned n = 0;

	(void)state;
	room_open(&w);
	for (; n < REQUEST_PENDING_ENGINEER_MAX; n++) {
		(void)snprintf(id, sizeof(id), "r-%u", n);
		assert_int_equal(add(&w, id, "ann", (uint8_t)n, FIXTURE_NOW + FIXTURE_HOUR, NULL),
			0);
	}
	assert_int_equal(add(&w, "r-x", "ann", 200, FIXTURE_NOW + FIXTURE_HOUR, NULL), REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	assert_int_equal(request_store_count(w.store), n);
	for (; n < REQUEST_PENDING_MAX; n++) {
		(void)snprintf(id, sizeof(id), "r-%u", n);
		(void)snprintf(engineer, sizeof(engineer), "e%u", n / 8);
		assert_int_equal(add(&w, id, engineer, (uint8_t)n, FIXTURE_NOW + FIXTURE_HOUR,
					 NULL),
			0);
	}
	assert_int_equal(add(&w, "r-y", "zoe", 201, FIXTURE_NOW + FIXTURE_HOUR, NULL), REASON_BUSY);
	assert_int_equal(refuse_count(REASON_BUSY), before + 2);
	assert_int_equal(request_store_count(w.store), REQUEST_PENDING_MAX);
	assert_int_equal(request_store_pending(w.store, "ann"), REQUEST_PENDING_ENGINEER_MAX);
	/* What is over counts no more. */
	request_store_at(w.store, 0)->flow.state = FLOW_STATE_DONE;
	request_store_at(w.store, 1)->flow.state = FLOW_STATE_REFUSED;
	assert_int_equal(request_store_pending(w.store, NULL), REQUEST_PENDING_MAX - 2);
	assert_int_equal(add(&w, "r-x", "ann", 200, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
}

/* What is kept is kept for its nonce: only what has expired makes room. */
static void
test_room(void **state)
{
	SCOPED(room_close) struct room w;
	struct request_item *item;
	char id[16];

	(void)state;
	room_open(&w);
	for (unsigned n = 0; n < REQUEST_KEPT_MAX; n++) {
		(void)snprintf(id, sizeof(id), "r-%u", n);
		assert_int_equal(add(&w, id, n % 2 ? "ann" : "bob", (uint8_t)n, FIXTURE_NOW + FIXTURE_HOUR, &item),
			0);
		item->flow.state = FLOW_STATE_DONE;
		item->settled = true;
	}
	assert_int_equal(add(&w, "r-new", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), REASON_BUSY);
	assert_int_equal(refuse_last()->reason, REASON_BUSY);
	assert_int_equal(request_store_count(w.store), REQUEST_KEPT_MAX);
	request_store_find(w.store, "r-7")->request->expires_us = FIXTURE_NOW - 1;
	request_store_find(w.store, "r-7")->settled = false; /* not handed over yet: stays */
	assert_int_equal(add(&w, "r-new", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), REASON_BUSY);
	request_store_find(w.store, "r-7")->settled = true;
	assert_int_equal(add(&w, "r-new", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(request_store_count(w.store), REQUEST_KEPT_MAX);
	assert_null(request_store_find(w.store, "r-7"));
	assert_non_null(request_store_find(w.store, "r-new"));
	/* Nobody remembers r-7 now: what ends as early may be it, whatever the clock says, and after a restart. */
	for (int i = 0; i < 2; i++) {
		uint64_t before = refuse_count(REASON_REPLAYED);

		assert_int_equal(add(&w, "r-7", "ann", 7, FIXTURE_NOW - 1, NULL), REASON_REPLAYED);
		assert_int_equal(refuse_count(REASON_REPLAYED), before + 1);
		assert_null(request_store_find(w.store, "r-7"));
		room_again(&w);
	}
}

/* One engineer's many are kept for their nonces, and never take the others' places. */
static void
test_one_engineer_leaves_room(void **state)
{
	SCOPED(room_close) struct room w;
	uint64_t before = refuse_count(REASON_BUSY);
	struct request_item *item;
	char id[16];

	(void)state;
	room_open(&w);
	for (unsigned n = 0; n < REQUEST_KEPT_ENGINEER_MAX; n++) {
		(void)snprintf(id, sizeof(id), "r-%u", n);
		assert_int_equal(add(&w, id, "ann", (uint8_t)n, FIXTURE_NOW + FIXTURE_HOUR, &item), 0);
		item->flow.state = FLOW_STATE_DONE;
		item->settled = true;
	}
	assert_int_equal(add(&w, "r-x", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), REASON_BUSY);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_int_equal(request_store_count(w.store), REQUEST_KEPT_ENGINEER_MAX);
	assert_int_equal(add(&w, "r-y", "zoe", 2, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	/* What has expired is none of the many. */
	request_store_find(w.store, "r-3")->request->expires_us = FIXTURE_NOW - 1;
	assert_int_equal(add(&w, "r-x", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
}

static void
test_two_monitors(void **state)
{
	SCOPED(request_store_closep) struct request_store *second = NULL;
	SCOPED(room_close) struct room w;
	uint64_t before = refuse_count(REASON_BUSY);

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(request_store_open(&second, w.scratch.fd, FIXTURE_NOW), REASON_BUSY);
	assert_int_equal(refuse_count(REASON_BUSY), before + 1);
	assert_null(second);
	room_again(&w); /* the first is gone: it is the next one's */
	assert_non_null(request_store_find(w.store, "r-1"));
}

/* A file says what it is by a word of ours; another one is damage. */
static void
test_a_kind_that_is_none(void **state)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20), changed = BUF_MAX(1 << 20);
	SCOPED(scope_close) int fd = -1;
	SCOPED(room_close) struct room w;
	SCOPED_JSON *doc = NULL;
	uint64_t before;

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(fs_open_dir(&fd, w.scratch.fd, "requests", 0700), 0);
	assert_int_equal(fs_read(fd, "r-1.json", 1 << 20, &b), 0);
	assert_int_equal(json_read_canonical(&doc, b.data, b.len, 1 << 20, "r-1"), 0);
	assert_null(json_object_get(doc, "kind"));
	json_object_set_new(doc, "kind", json_string("cancel"));
	assert_int_equal(json_canonical(&changed, doc), 0);
	assert_int_equal(fs_replace(fd, "r-1.json", changed.data, changed.len, 0600), 0);
	before = refuse_count(REASON_MALFORMED);
	room_again(&w);
	assert_int_equal(refuse_count(REASON_MALFORMED), before + 1);
	assert_null(request_store_find(w.store, "r-1"));
	/* A request's signature is no dry run's, but that is for who verifies: the word decides how it is read. */
	json_object_set_new(doc, "kind", json_string("dry-run"));
	buf_reset(&changed);
	assert_int_equal(json_canonical(&changed, doc), 0);
	assert_int_equal(fs_replace(fd, "r-1.json", changed.data, changed.len, 0600), 0);
	room_again(&w);
	assert_true(request_store_find(w.store, "r-1")->plan_only);
}

/* What a dry run said, lowered limits and what kind it is outlive the monitor. */
static void
test_what_it_touches_is_kept(void **state)
{
	SCOPED(room_close) struct room w;
	struct request_item *item;

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, &item), 0);
	item->touched = json_pack("[s, s]", "key a", "key b");
	item->limits = (struct request_limits){ .timeout_ms = 5000, .memory = 1 << 20, .output = 4096 };
	assert_int_equal(request_store_save(w.store, item), 0);
	room_again(&w);
	item = request_store_find(w.store, "r-1");
	assert_false(item->plan_only);
	assert_string_equal(json_string_value(json_array_get(item->touched, 1)), "key b");
	assert_int_equal(item->limits.timeout_ms, 5000);
	assert_int_equal(item->limits.memory, 1 << 20);
	assert_int_equal(item->limits.output, 4096);
	json_array_append_new(item->touched, json_integer(3));
	assert_int_equal(request_store_save(w.store, item), 0);
	room_again(&w);
	assert_null(request_store_find(w.store, "r-1")); /* set aside */
}

static const struct {
	const char *name, *text;
} damaged[] = {
	{ "r-a.json", "" },
	{ "r-b.json", "{" },
	{ "r-c.json", "{\"v\":1}" },
	{ "r-d.json",
		"{\"envelope\":{},\"expires\":\"2026-11-21T20:00:00Z\",\"mailbox\":1,"
		"\"received\":\"2026-11-21T20:00:00Z\",\"settled\":false,\"state\":\"waiting\","
		"\"v\":1}" },
	{ "r-e.json", "{\"extra\":1}" },
};

static void
test_damage_is_set_aside(void **state)
{
	SCOPED(room_close) struct room w;
	SCOPED(scope_close) int fd = -1;
	SCOPED(buf_done) struct buf b = BUF_MAX(1 << 20);

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(add(&w, "r-4", "ann", 4, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(fs_open_dir(&fd, w.scratch.fd, "requests", 0700), 0);
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
		assert_int_equal(fs_replace(fd, damaged[i].name, damaged[i].text,
					 strlen(damaged[i].text), 0600),
			0);
	assert_int_equal(mkdirat(fd, "r-f.json", 0700), 0);
	/* A good file under another's name is nobody's. */
	assert_int_equal(fs_read(fd, "r-1.json", 1 << 20, &b), 0);
	assert_int_equal(fs_replace(fd, "r-2.json", b.data, b.len, 0600), 0);
	assert_int_equal(fs_replace(fd, ".tmp.r-3.json", "x", 1, 0600), 0);
	/* A state that nobody knows. */
	buf_reset(&b);
	assert_int_equal(fs_read(fd, "r-4.json", 1 << 20, &b), 0);
	assert_non_null(memmem(b.data, b.len, "\"received\",\"v\"", 14));
	memcpy(memmem(b.data, b.len, "\"received\",\"v\"", 14), "\"dreaming\"", 10);
	assert_int_equal(fs_replace(fd, "r-4.json", b.data, b.len, 0600), 0);
	room_again(&w);
	assert_int_equal(request_store_count(w.store), 1);
	assert_non_null(request_store_find(w.store, "r-1"));
	assert_null(request_store_find(w.store, "r-2"));
	assert_int_equal(faccessat(fd, "r-1.json", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "r-2.json", F_OK, 0), -1);
	assert_int_equal(faccessat(fd, "r-2.json.bad", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "r-a.json.bad", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "r-4.json.bad", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "r-f.json.bad", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, ".tmp.r-3.json", F_OK, 0), -1);
}

/* What it was, and whether it ran, nobody knows any more: the hub brings it again, and it is a repetition. */
static void
test_what_was_damaged_does_not_come_again(void **state)
{
	SCOPED(room_close) struct room w;
	SCOPED(scope_close) int fd = -1;
	uint64_t before = refuse_count(REASON_REPLAYED);

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(fs_open_dir(&fd, w.scratch.fd, "requests", 0700), 0);
	assert_int_equal(fs_replace(fd, "r-1.json", "{", 1, 0600), 0);
	room_again(&w);
	assert_int_equal(add(&w, "r-1", "ann", 2, FIXTURE_NOW + FIXTURE_HOUR, NULL), REASON_REPLAYED);
	assert_int_equal(refuse_count(REASON_REPLAYED), before + 1);
	assert_int_equal(request_store_count(w.store), 0);
	assert_int_equal(add(&w, "r-2", "ann", 3, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
}

/* As if requests that ended five seconds before FIXTURE_NOW had gone to make room; and then this. */
static void
spoil_forgotten(struct room *w, const char *how)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(64);
	SCOPED(scope_close) int fd = -1;
	uint8_t digest[SHA256_LEN];

	buf_u64(&b, FIXTURE_NOW - 5 * CLOCK_US_PER_S);
	sha256_of(digest, b.data, b.len);
	buf_put(&b, digest, sizeof(digest));
	assert_int_equal(fs_open_dir(&fd, w->scratch.fd, "requests", 0700), 0);
	(void)unlinkat(fd, "forgotten", 0);
	if (strcmp(how, "a bit") == 0)
		b.data[3] ^= 1;
	else if (strcmp(how, "short") == 0)
		b.len = 8;
	else if (strcmp(how, "empty") == 0)
		b.len = 0;
	if (strcmp(how, "no file") == 0)
		assert_int_equal(mkdirat(fd, "forgotten", 0700), 0);
	else
		assert_int_equal(fs_replace(fd, strcmp(how, "aside") == 0 ? "forgotten.bad" : "forgotten", b.data, b.len, 0600), 0);
}

static void
assert_replayed(struct room *w, const char *id, uint64_t expires_us, const char *text)
{
	uint64_t before = refuse_count(REASON_REPLAYED);
	size_t n = request_store_count(w->store);

	assert_int_equal(add(w, id, "ann", 1, expires_us, NULL), REASON_REPLAYED);
	assert_int_equal(refuse_count(REASON_REPLAYED), before + 1);
	assert_non_null(strstr(refuse_last()->text, text));
	assert_int_equal(request_store_count(w->store), n);
	assert_null(request_store_find(w->store, id));
}

/* Nobody knows which they were: what ended before the damage was found may be one of them. */
static void
test_what_a_damaged_file_had_forgotten_stays_so(void **state)
{
	static const struct {
		const char *how;
		uint64_t until_us;
	} rows[] = { { "whole", FIXTURE_NOW - 5 * CLOCK_US_PER_S }, { "a bit", FIXTURE_NOW }, { "short", FIXTURE_NOW },
		{ "empty", FIXTURE_NOW }, { "no file", FIXTURE_NOW }, { "aside", FIXTURE_NOW } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(room_close) struct room w;

		room_open(&w);
		spoil_forgotten(&w, rows[i].how);
		room_again(&w);
		w.now_us = FIXTURE_NOW + FIXTURE_HOUR; /* what is found once is not found later */
		for (int again = 0; again < 2; again++) {
			assert_replayed(&w, "r-1", rows[i].until_us, "not remembered here any more");
			room_again(&w);
		}
		assert_int_equal(add(&w, "r-2", "ann", 2, rows[i].until_us + CLOCK_US_PER_S, NULL), 0);
		assert_int_equal(faccessat(w.scratch.fd, "requests/forgotten.bad", F_OK, 0), i == 0 ? -1 : 0);
	}
}

/* By a clock that is wrong nobody can say what had ended. */
static void
test_a_doubtful_clock_dates_no_damage(void **state)
{
	SCOPED(room_close) struct room w;

	(void)state;
	room_open(&w);
	spoil_forgotten(&w, "a bit");
	w.now_us = 0;
	room_again(&w);
	assert_int_equal(request_store_date(w.store, 0), 0);
	assert_replayed(&w, "r-1", FIXTURE_NOW + FIXTURE_HOUR, "clock in doubt");
	room_again(&w);
	assert_replayed(&w, "r-1", FIXTURE_NOW + FIXTURE_HOUR, "clock in doubt");
	assert_int_equal(request_store_date(w.store, FIXTURE_NOW), 0);
	assert_int_equal(request_store_date(w.store, FIXTURE_NOW + 2 * FIXTURE_HOUR), 0);
	room_again(&w);
	assert_replayed(&w, "r-1", FIXTURE_NOW, "not remembered here any more");
	assert_int_equal(add(&w, "r-1", "ann", 1, FIXTURE_NOW + CLOCK_US_PER_S, NULL), 0);
}

static void
test_order_and_removal(void **state)
{
	SCOPED(room_close) struct room w;

	(void)state;
	room_open(&w);
	assert_int_equal(add(&w, "r-z", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(add(&w, "r-a", "ann", 2, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	assert_int_equal(add(&w, "r-m", "ann", 3, FIXTURE_NOW + FIXTURE_HOUR, NULL), 0);
	room_again(&w);
	assert_string_equal(request_store_at(w.store, 0)->request->id, "r-z");
	assert_string_equal(request_store_at(w.store, 2)->request->id, "r-m");
	assert_null(request_store_at(w.store, 3));
	assert_int_equal(request_store_remove(w.store, request_store_at(w.store, 1)), 0);
	assert_null(request_store_find(w.store, "r-a"));
	room_again(&w);
	assert_int_equal(request_store_count(w.store), 2);
}

/* A disk that takes nothing: the request is refused by a fault and leaves no trace. */
static void
test_failing_disk(void **state)
{
	SCOPED(room_close) struct room w;
	char path[128];

	(void)state;
	room_open(&w);
	(void)snprintf(path, sizeof(path), "%s/requests", w.scratch.path);
	assert_int_equal(rmdir(path), 0); /* the folder's descriptor is now one without a name */
	assert_true(add(&w, "r-1", "ann", 1, FIXTURE_NOW + FIXTURE_HOUR, NULL) < 0);
	assert_int_equal(request_store_count(w.store), 0);
	assert_null(request_store_find(w.store, "r-1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_an_id_counts_once),
		cmocka_unit_test(test_nonces_last),
		cmocka_unit_test(test_delivered_twice),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_one_engineer_leaves_room),
		cmocka_unit_test(test_two_monitors),
		cmocka_unit_test(test_a_kind_that_is_none),
		cmocka_unit_test(test_what_it_touches_is_kept),
		cmocka_unit_test(test_damage_is_set_aside),
		cmocka_unit_test(test_what_was_damaged_does_not_come_again),
		cmocka_unit_test(test_what_a_damaged_file_had_forgotten_stays_so),
		cmocka_unit_test(test_a_doubtful_clock_dates_no_damage),
		cmocka_unit_test(test_order_and_removal),
		cmocka_unit_test(test_failing_disk),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
