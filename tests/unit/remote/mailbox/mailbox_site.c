/* The courier's end of the mailbox: who has something to hand over is asked again at once, who has nothing, or floods,
 * at the tick. */
#include "tests/unit/appliance/egress/ground.h"

#include "appliance/egress/ack.h"
#include "remote/mailbox/mailbox_site.h"
#include "remote/mailbox/mailbox_wire.h"

static struct {
	uint64_t last;	    /* item that is in the mailbox */
	uint64_t until;	    /* after that one it is empty */
	unsigned delivered;
	unsigned in_a_tick; /* of these, since the last tick */
	unsigned most;	    /* in any */
	unsigned ticks;
	bool busy;
} seen;

static void
fill(uint64_t n)
{
	seen.last = n;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body),
		n <= seen.until ? "{\"v\":1,\"items\":[{\"n\":%llu,\"kind\":\"request\",\"body\":{}}]}"
				: "{\"v\":1,\"items\":[]}",
		(unsigned long long)n);
}

static void
send_busy(uint32_t id)
{
	struct frame_out out;

	frame_begin(&out, CALL_TYPE_REFUSED, id);
	frame_put_text(&out, CALL_TAG_REASON, "busy");
	assert_int_equal(frame_conn_send(conn, &out), 0);
	frame_out_done(&out);
}

static void
on_frame(struct frame_conn *c, struct frame *f, void *arg)
{
	const char *verb = frame_text(f, CALL_TAG_VERB, CALL_VERB_MAX);

	(void)arg;
	assert_ptr_equal(c, conn);
	if (strcmp(verb, "courier.hello") == 0) {
		send_json(CALL_TYPE_OK, f->id, NULL, ground_config(true, true, "site1", false, true));
		return;
	}
	if (strcmp(verb, "mailbox.deliver") == 0) {
		assert_int_equal(strtoull(param(f, "n"), NULL, 10), seen.last);
		seen.delivered++;
		if (seen.busy) {
			send_busy(f->id);
			return;
		}
		if (++seen.in_a_tick > seen.most)
			seen.most = seen.in_a_tick;
		fill(seen.last + 1);
	}
	send_json(CALL_TYPE_OK, f->id, NULL, json_object());
}

static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	(void)c;
	(void)now;
	(void)arg;
	seen.ticks++;
	seen.in_a_tick = 0;
}

static const struct carrier_module counting = { .name = "counting", .tick = on_tick };

static int
set_up(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	ground_make();
	assert_int_equal(carrier_new(&carrier, loop, &paths), 0);
	assert_int_equal(carrier_add(carrier, &counting, NULL), 0);
	assert_int_equal(mailbox_site_init(carrier), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	ground_close();
	ground_remove();
	return 0;
}

static void
one_item_after_the_other_does_not_wait_for_ticks(void **state)
{
	(void)state;
	seen.until = 40;
	fill(1);
	UNTIL(seen.delivered == 40);
	UNTIL(ack_get(carrier_ack(carrier), "mailbox") == 40);
	assert_true(seen.most > 1);
	assert_true(seen.most <= MAILBOX_WIRE_ITEMS_MAX); /* a flood waits */
}

/* A hub that parks no poll, or whose items the monitor has no room for. */
static void
who_has_nothing_that_can_be_taken_is_asked_at_the_tick(void **state)
{
	(void)state;
	fill(1);
	UNTIL(seen.ticks == 8);
	assert_true(peer.shared->requests <= 8);
	assert_int_equal(seen.delivered, 0);
	seen.busy = true;
	seen.until = 1;
	fill(1);
	UNTIL(seen.delivered == 3);
	assert_true(peer.shared->requests <= seen.ticks);
	assert_int_equal(ack_get(carrier_ack(carrier), "mailbox"), 0);
}

/* Somebody had the hub, and gave out the last number that there is; who has it again knows nothing of that. */
static void
a_hub_that_does_not_know_our_number_is_followed_anew(void **state)
{
	const uint64_t most = UINT64_C(1) << 52;

	(void)state;
	seen.until = most;
	fill(most);
	UNTIL(ack_get(carrier_ack(carrier), "mailbox") == most);
	peer.shared->status = 409;
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "{\"reason\":\"replayed\"}");
	UNTIL(peer.shared->requests > 3);
	assert_int_equal(ack_get(carrier_ack(carrier), "mailbox"), most); /* another conflict than that */
	(void)snprintf(peer.shared->body, sizeof(peer.shared->body), "{\"reason\":\"conflict\"}");
	UNTIL(ack_get(carrier_ack(carrier), "mailbox") == 0);
	seen.until = 1;
	fill(1);
	peer.shared->status = 200;
	UNTIL(ack_get(carrier_ack(carrier), "mailbox") == 1);
	assert_int_equal(seen.delivered, 2);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(one_item_after_the_other_does_not_wait_for_ticks),
		TEST(a_hub_that_does_not_know_our_number_is_followed_anew),
		TEST(who_has_nothing_that_can_be_taken_is_asked_at_the_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
