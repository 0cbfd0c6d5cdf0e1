/* What was taken once comes again, 100,000 times: how often is it taken again?
 *
 *	replays [TOTAL]     100,000 by default; 4,000 in check-unit
 *
 * Half of them are HTTP requests at a hub that is closed and opened again on its files, whose clock goes on, forgets old
 * nonces, and is set back; half are requests of engineers at a site whose store is closed and opened again, and forgets
 * the oldest.  Between them new ones must be taken: what takes nothing proves nothing. */
#include "tests/fakes/hub_bench.h"
#include "tests/unit/remote/request/fixture.h"

#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/number.h"
#include "remote/request/check.h"
#include "remote/request/store.h"

enum {
	EACH = 200,	/* replays of all so far, for one new message */
	RESTART = 1000, /* replays, then the process comes back */
	STEP_S = 7,	/* between two new messages */
};

static uint64_t total = 100000;

/* Any order will do, the same in each run. */
static size_t
any(size_t n)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (size_t)(x % n);
}

static void
say(const char *what, uint64_t tried, uint64_t accepted, uint64_t restarts, uint64_t fresh)
{
	print_message("replays: %s: %ju replays over %ju restarts, %ju accepted; new: %ju of %ju "
		      "accepted\n",
		what, (uintmax_t)tried, (uintmax_t)restarts, (uintmax_t)accepted, (uintmax_t)fresh,
		(uintmax_t)fresh);
	assert_int_equal(accepted, 0);
}

/* --- at the hub --------------------------------------------------------------------------------------------- */
static uint64_t handled;

static int
on_knock(struct http_call *call, void *state)
{
	(void)state;
	handled++;
	http_call_reply(call, 200, NULL, NULL, 0);
	return 0;
}

static const struct route routes[] = { { "GET", "/knock", ROUTE_SITE, 0, on_knock, 0 } };
static const struct serve_module knocker = {
	.name = "knocker", .routes = routes, .n_routes = ARRAY_LEN(routes)
};
static const struct serve_module *const modules[] = { &knocker, NULL };

struct taken {
	char *input, *signature;
};

static void
knock(const struct taken *t)
{
	struct bench_call *c = bench_new("GET", "/knock", NULL, 0);

	bench_header(c, "signature-input", t->input);
	bench_header(c, "signature", t->signature);
	bench_send(c);
	assert_int_not_equal(c->status, 0);
	bench_forget_calls();
}

/* A new one, signed now. */
static struct taken
knock_first(void)
{
	struct bench_call *c = bench_new("GET", "/knock", NULL, 0);
	uint64_t before = handled;
	struct taken t;

	bench_sign(c, bench.courier);
	t = (struct taken){ strdup(http_call_get(&c->pub, "signature-input")),
		strdup(http_call_get(&c->pub, "signature")) };
	bench_send(c);
	if (c->status != 200)
		fail_msg("a new request was answered %d", c->status);
	assert_int_equal(handled, before + 1);
	bench_forget_calls();
	return t;
}

static void
hub_takes_nothing_twice(void **state)
{
	uint64_t want = total / 2, tried = 0, restarts = 0, now_us = BENCH_NOW, mono_us = 1;
	size_t n = 0, max = (size_t)(want / EACH) + 2;
	struct taken *taken = calloc(max, sizeof(*taken));

	(void)state;
	assert_non_null(taken);
	bench_open(modules);
	handled = 0;
	while (tried < want) {
		bool back = restarts % 4 ==
			3; /* the hub's clock is an hour behind for this life of it */

		now_us += STEP_S * CLOCK_US_PER_S;
		mono_us += STEP_S * CLOCK_US_PER_S;
		clock_fake(now_us - (back ? 3600 * CLOCK_US_PER_S : 0), mono_us);
		if (!back) {
			assert_true(n < max);
			taken[n++] = knock_first();
		}
		assert_int_equal(auth_nonce_sweep(serve_databases(bench.serve), clock_now_us()), 0);
		for (size_t i = 0; i < EACH && tried < want; i++, tried++) {
			/* Half of them of the latest, whose times still hold. */
			knock(&taken[any(2) ? n - 1 - any(n < 30 ? n : 30) : any(n)]);
			if (tried % RESTART == RESTART - 1) {
				bench_restart(modules);
				restarts++;
			}
		}
	}
	say("HTTP requests at a hub", tried, handled - n, restarts, n);
	for (size_t i = 0; i < n; i++) {
		free(taken[i].input);
		free(taken[i].signature);
	}
	free(taken);
	bench_close();
}

/* --- at a site ---------------------------------------------------------------------------------------------- */
/* One delivery, as a site takes it: 0 where it is kept. */
static int
deliver(struct request_store *store, const json_t *envelope, uint64_t mailbox,
	struct request_item **ret)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	SCOPED(request_freep) struct request *q = NULL;
	int r;

	r = envelope_open_json(&e, MESSAGE_REQUEST, envelope);
	r = r ? r : request_check_sender(&q, e, fx.people, "acme", clock_now_us());
	if (r == 0 && request_store_nonce_used(store, q->id, q->nonce))
		return REFUSE(REASON_REPLAYED, q->id, "its nonce was used");
	return r ? r
		 : request_store_add(store, STEAL(q), e, mailbox, clock_now_us(),
			   clock_now_us(), ret);
}

static json_t *
ask_for(size_t n, uint64_t now_us)
{
	struct request q = fixture_request(&fx);
	char id[32];

	(void)snprintf(id, sizeof(id), "r-%zu", n);
	q.id = id;
	q.not_before_us = now_us;
	q.expires_us = now_us + FIXTURE_HOUR;
	memcpy(q.nonce, &n, sizeof(n));
	return fixture_seal(&fx, &q, ANN);
}

static void
site_takes_nothing_twice(void **state)
{
	uint64_t want = total / 2, tried = 0, accepted = 0, restarts = 0, now_us = FIXTURE_NOW;
	size_t n = 0,
	       fresh = want / 20 < 600 ? (size_t)(want / 20) + 1
				       : 600; /* 600: more than a site keeps */
	size_t each = (size_t)(want / fresh) + 1;
	json_t **asked = calloc(fresh, sizeof(json_t *));
	struct request_store *store = NULL;
	struct request_item *item;

	(void)state;
	assert_non_null(asked);
	fixture_open(&fx);
	assert_int_equal(request_store_open(&store, fx.scratch.fd, FIXTURE_NOW), 0);
	while (tried < want) {
		if (n < fresh) {
			now_us += 10 * 60 * CLOCK_US_PER_S;
			clock_fake(now_us, 1);
			asked[n] = ask_for(n, now_us);
			assert_int_equal(deliver(store, asked[n], n + 1, &item), 0);
			n++;
			item->flow.state = FLOW_STATE_DONE;
			item->settled = true;
			assert_int_equal(request_store_save(store, item), 0);
		}
		for (size_t i = 0; i < each && tried < want; i++, tried++) {
			/* Under its old number, under a new one, and now and then by a clock that is a day behind. */
			size_t which = any(n);

			clock_fake(any(5) ? now_us : now_us - 24 * FIXTURE_HOUR, 1);
			if (deliver(store, asked[which], any(2) ? which + 1 : 5000 + tried,
				    &item) == 0)
				accepted++;
			if (tried % RESTART == RESTART - 1) {
				store = request_store_close(store);
				assert_int_equal(request_store_open(&store, fx.scratch.fd, FIXTURE_NOW), 0);
				restarts++;
			}
		}
	}
	say("engineers' requests at a site", tried, accepted, restarts, n);
	for (size_t i = 0; i < n; i++)
		json_decref(asked[i]);
	free(asked);
	request_store_close(store);
	fixture_close(&fx);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hub_takes_nothing_twice),
		cmocka_unit_test(site_takes_nothing_twice),
	};

	if (argc > 2 ||
		(argc == 2 && (number_u64(&total, argv[1], UINT64_C(1) << 40) != 0 || total < 2))) {
		(void)fprintf(stderr, "usage: replays [TOTAL]\n");
		return 2;
	}
	log_quiet_refusals(true); /* one a replay is too much to read */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
