/* What telemetry's way out stands on in a test: a spool, the courier with its settings, and a receiver that answers what
 * it likes. */
#pragma once

#include "telemetry/ship/ship.h"

#include "tests/unit/appliance/egress/ground.h"

#include "appliance/egress/ack.h"
#include "telemetry/spool/spool.h"

static struct spool *metrics;
static int spool_fd, courier_fd;

static void
on_frame(struct frame_conn *c, struct frame *f, void *arg)
{
	(void)c;
	(void)arg;
	if (strcmp(frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX), "courier.hello") == 0)
		send_json(CALL_TYPE_OK, f->id, NULL, ground_config(true, true, "site1", true, true));
	else
		send_json(CALL_TYPE_OK, f->id, NULL, json_object());
}

/* text: the telemetry section; NULL: no file. */
static void
begin(const char *text)
{
	const struct spool_limits limits = { .total_max = 1 << 20 };
	char path[200];

	ground_make();
	(void)snprintf(path, sizeof(path), "%s/telemetry", paths.lib);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/bus", paths.run);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/telemetry/spool", paths.lib);
	assert_int_equal(fs_open_dir(&spool_fd, -1, path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/courier", paths.lib);
	assert_int_equal(fs_open_dir(&courier_fd, -1, path, 0700), 0);
	assert_int_equal(spool_open(&metrics, spool_fd, "metrics", &limits), 0);
	if (text)
		scratch_put(&scratch, "etc/mainstay.yaml", text, strlen(text));
	assert_int_equal(carrier_new(&carrier, loop, &paths), 0);
	assert_int_equal(ship_init(carrier), 0);
}

static int
tear_down(void **state)
{
	(void)state;
	ground_close();
	metrics = spool_close(metrics);
	scope_close(&spool_fd);
	scope_close(&courier_fd);
	ground_remove();
	return 0;
}

static void
put(enum class_name class)
{
	static char body[600];

	memset(body, 'm', sizeof(body));
	assert_int_equal(spool_write(metrics,
		&(struct spool_item){ .class = class, .path = "/v1/metrics",
			.content_type = "application/x-protobuf", .body = body, .len = sizeof(body) },
		NULL), 0);
	if (conn && carrier_hub(carrier)) /* it need not wait for the next tick */
		send_json(CALL_TYPE_EVENT, 0, "outbox", json_pack("{s:s}", "stream", "metrics"));
}

/* As the next life of the courier, or `status`, finds it on the disk. */
__attribute__((unused)) static json_int_t
counted(const char *place, const char *what)
{
	struct ack *a = NULL;
	json_int_t n;

	assert_int_equal(ack_open(&a, courier_fd), 0);
	n = json_integer_value(json_object_get(json_object_get(ack_counts(a), place), what));
	ack_free(a);
	return n;
}

#define GONE(place, n) UNTIL(ack_get(carrier_ack(carrier), place) == (n))

/* A receiver of the customer's own is the same peer without a signature. */
__attribute__((unused)) static void
begin_elsewhere(const char *more)
{
	char text[1024];

	/* The port is known only once the peer is there. */
	begin(NULL);
	(void)snprintf(text, sizeof(text),
		"telemetry:\n  destinations:\n    - name: otel\n      url: %s\n      ca: %s\n      classes: [metric]\n%s",
		peer.url, peer.ca_file, more);
	carrier = carrier_free(carrier);
	scratch_put(&scratch, "etc/mainstay.yaml", text, strlen(text));
	assert_int_equal(carrier_new(&carrier, loop, &paths), 0);
	assert_int_equal(ship_init(carrier), 0);
}

/* --- a clock that is told ------------------------------------------------------------------------------------------ */
#define UNUSED __attribute__((unused))

static uint64_t now_us;

UNUSED static void
pass(uint64_t us)
{
	now_us += us;
	clock_fake(now_us, now_us);
}

UNUSED static void
start_clock(void)
{
	now_us = clock_now_us();
	pass(0);
}

/* The stream's event; a tick would come half a second of real time later. */
UNUSED static void
nudge(void)
{
	if (conn && carrier_hub(carrier))
		send_json(CALL_TYPE_EVENT, 0, "outbox", json_pack("{s:s}", "stream", "metrics"));
}

UNUSED static void
turn(unsigned n)
{
	while (n-- > 0)
		assert_true(turn_beside(loop, 10000) >= 0);
}

/* Until this many are done with, whatever there is to wait for. */
UNUSED static void
until_gone(const char *place, uint64_t n)
{
	for (unsigned i = 0; ack_get(carrier_ack(carrier), place) < n; i++) {
		if (i == 4000)
			fail_msg("%s: %llu, not %llu", place,
				(unsigned long long)ack_get(carrier_ack(carrier), place), (unsigned long long)n);
		pass(CLOCK_US_PER_S);
		nudge();
		turn(2);
	}
}
