/* Receivers that are ill, and one that is away for days. */
#include "tests/unit/telemetry/ship/ship_ground.h"

#include <dirent.h>

enum {
	STEP_S = 15,
	THREE_DAYS = 3 * 24 * 3600 / STEP_S,
	SPOOL_MAX = 256 * 1024,
	SEGMENT_MAX = 32 * 1024,
};

/* --- what they answer ------------------------------------------------------------------------------------------ */
static uint64_t dice;

static unsigned
draw(unsigned n)
{
	dice = dice * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice >> 33) % n;
}

static const struct kind {
	enum https_hub_says says;
	int status;
	bool again; /* the same record comes again */
} kinds[] = {
	{ HTTPS_HUB_YES, 200, false },
	{ HTTPS_HUB_YES, 400, false },
	{ HTTPS_HUB_YES, 413, false },
	{ HTTPS_HUB_YES, 500, false },
	{ HTTPS_HUB_YES, 429, true },
	{ HTTPS_HUB_YES, 502, true },
	{ HTTPS_HUB_YES, 503, true },
	{ HTTPS_HUB_YES, 504, true },
	{ HTTPS_HUB_SHORT, 200, true },
	{ HTTPS_HUB_SILENT, 200, true },
	{ HTTPS_HUB_RESET, 200, true },
};

/* So many records against answers as they fall, and each count as the table has it. */
static void
hold_to_the_table(const char *place, unsigned records)
{
	unsigned ended[ARRAY_LEN(kinds)] = { 0 }, put_so_far = 0, n = 0;
	uint64_t sum = 0;

	dice = 20261122;
	while (put_so_far < records && n < HTTPS_HUB_SCRIPT_MAX) {
		size_t k = draw(ARRAY_LEN(kinds));

		/* A slow one now and then, whole in the end. */
		peer.shared->script[n].says = n == 7 ? HTTPS_HUB_SLOW : kinds[k].says;
		peer.shared->script[n].status = n == 7 ? 200 : kinds[k].status;
		n++;
		if (n != 8 && kinds[k].again)
			continue;
		ended[n == 8 ? 0 : k]++;
		put_so_far++;
	}
	assert_int_equal(put_so_far, records);
	peer.shared->n_script = n;
	for (unsigned i = 1; i <= records; i++) {
		put(CLASS_METRIC);
		until_gone(place, i);
	}
	assert_int_equal(peer.shared->requests, n); /* neither one more nor one less */
	for (size_t k = 1; k < ARRAY_LEN(kinds); k++) {
		char what[8];

		(void)snprintf(what, sizeof(what), "%d", kinds[k].status);
		if (kinds[k].status == 200)
			continue;
		if (counted(place, what) != ended[k])
			fail_msg("%s: %lld, not %u", what, (long long)counted(place, what), ended[k]);
		sum += ended[k];
	}
	assert_true(sum > 0 && ended[0] > 1);
	assert_int_equal(counted(place, "lost"), 0);
	assert_int_equal(counted(place, "damaged"), 0);
}

static void
the_hub_ill_in_every_way_is_held_to_the_table(void **state)
{
	(void)state;
	begin(NULL);
	start_clock();
	hold_to_the_table("metrics", 60);
}

static void
another_receiver_ill_in_every_way_is_held_to_the_table(void **state)
{
	(void)state;
	begin_elsewhere("      instead: true\n");
	UNTIL(ack_known(carrier_ack(carrier), "otel/metrics"));
	start_clock();
	hold_to_the_table("otel/metrics", 60);
}

/* --- away ------------------------------------------------------------------------------------------------------- */
/* Files of the stream, and what they hold. */
static unsigned
files(uint64_t *ret_bytes)
{
	int fd = openat(spool_fd, "metrics", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	unsigned n = 0;

	assert_non_null(dir);
	*ret_bytes = 0;
	for (struct dirent *d; (d = readdir(dir));) {
		struct stat st;

		if (d->d_name[0] == '.')
			continue;
		assert_int_equal(fstatat(fd, d->d_name, &st, 0), 0);
		*ret_bytes += (uint64_t)st.st_size;
		n++;
	}
	(void)closedir(dir);
	return n;
}

static void
write_one(void)
{
	uint8_t body[1500];

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)draw(256);
	assert_int_equal(spool_write_unsynced(metrics,
		&(struct spool_item){ .class = CLASS_METRIC, .path = "/v1/metrics",
			.content_type = "application/x-protobuf", .body = body, .len = sizeof(body) },
		NULL), 0);
}

static void
three_days_away_cost_no_file_no_disk_no_loop_and_no_time_at_the_end(void **state)
{
	const struct spool_limits limits = { .total_max = SPOOL_MAX, .segment_max = SEGMENT_MAX };
	uint64_t bytes, lost, since_us, back_us, arrived;
	unsigned most = 0;

	(void)state;
	begin(NULL);
	metrics = spool_close(metrics);
	assert_int_equal(spool_open(&metrics, spool_fd, "metrics", &limits), 0);
	UNTIL(conn && carrier_hub(carrier));
	start_clock();
	peer.shared->says = HTTPS_HUB_SILENT;
	dice = 1;
	for (unsigned i = 1; i <= THREE_DAYS; i++) {
		pass(STEP_S * CLOCK_US_PER_S);
		write_one();
		if (i % 60 != 0)
			continue;
		nudge();
		turn(3);
		most = files(&bytes) > most ? files(&bytes) : most;
		assert_true(bytes <= SPOOL_MAX);
	}
	assert_true(most <= SPOOL_MAX / SEGMENT_MAX + 1);
	/* Asked at most once each time that somebody looked. */
	assert_true(peer.shared->requests > 10 && peer.shared->requests <= THREE_DAYS / 60 + 1);
	peer.shared->says = HTTPS_HUB_YES;
	arrived = peer.shared->requests;
	back_us = now_us;
	while (!ack_has(carrier_ack(carrier), "metrics", THREE_DAYS)) {
		pass(CARRIER_TICK_MS * CLOCK_US_PER_MS);
		nudge();
		turn(20);
		assert_true(now_us - back_us <= 10 * CLOCK_US_PER_S);
	}
	assert_true(ack_get(carrier_ack(carrier), "metrics") < THREE_DAYS - 10); /* it went ahead of the others */
	until_gone("metrics", THREE_DAYS);
	/* What arrived and what is counted as lost are all that there was.  The spool counts what it pushed out: the courier
	 * may have had one of these in its hands. */
	arrived = peer.shared->requests - arrived;
	lost = spool_lost(metrics, &since_us);
	assert_int_equal(counted("metrics", "lost") + (json_int_t)arrived, THREE_DAYS);
	assert_in_range(lost, counted("metrics", "lost"), counted("metrics", "lost") + 1);
	assert_true(arrived > 50);
}

#define T(f) cmocka_unit_test_teardown(f, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(the_hub_ill_in_every_way_is_held_to_the_table),
		T(another_receiver_ill_in_every_way_is_held_to_the_table),
		T(three_days_away_cost_no_file_no_disk_no_loop_and_no_time_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
