#include "appliance/egress/standing.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/egress/carrier.h"
#include "appliance/trust/sha256.h"

#define SENT_NAME "daemon.sent" /* digest of the key statement that the hub has */

enum { RECORD_EVERY_S = 2, DAEMON_BYTES_MAX = 16 * 1024, RETRY_CAP_S = 30 };

struct standing {
	struct hub_call *record, *daemon, *rotation;
	uint64_t record_us, daemon_us, rotation_us; /* not before */
	unsigned tries;
	char sent[SHA256_TEXT_MAX];
	char sending[SHA256_TEXT_MAX];
	struct carrier *carrier;
};

/* --- the site record ------------------------------------------------------------------------------------- */
static void
on_record_told(int r, const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	if (r < 0)
		log_fault(r, "handing the site record to the monitor");
}

static void
on_record(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct standing *s = arg;
	struct call_request *call;

	s->record_us = clock_mono_us() + RECORD_EVERY_S * CLOCK_US_PER_S;
	if (r != 0) {
		log_debug("site record: %s", why);
		return;
	}
	carrier_contact(s->carrier, reply);
	if (reply->status != 200)
		return;
	call = call_new("courier.record");
	call_body(call, reply->body, reply->len);
	(void)carrier_call(s->carrier, call, on_record_told, s); /* asked again until the monitor has it */
}

/* --- the courier's key statement --------------------------------------------------------------------------- */
static void
on_daemon(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct standing *s = arg;

	if (r == 0)
		carrier_contact(s->carrier, reply); /* a refusal tells the time, too */
	if (r == 0 && reply->status / 100 == 2) {
		s->tries = 0;
		snprintf(s->sent, sizeof(s->sent), "%s", s->sending);
		r = fs_replace(carrier_dir(s->carrier), SENT_NAME, s->sent, strlen(s->sent), 0600);
		if (r < 0)
			log_fault(r, "remembering the key statement sent");
		return;
	}
	log_debug("key statement not taken: %s", r == 0 ? reply->reason : why);
	s->daemon_us = clock_mono_us() +
		clock_backoff_us(s->tries++, CLOCK_US_PER_S, RETRY_CAP_S * CLOCK_US_PER_S);
}

static int
send_daemon(struct standing *s, const json_t *envelope)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(DAEMON_BYTES_MAX);
	uint8_t digest[SHA256_LEN];
	int r;

	r = json_canonical(&b, envelope);
	if (r != 0)
		return r < 0 ? FAULT(r) : FAULT(-EPROTO);
	sha256_of(digest, b.data, b.len);
	sha256_text(s->sending, digest);
	if (strcmp(s->sending, s->sent) == 0)
		return 0;
	return hub_client_send(&s->daemon, carrier_hub(s->carrier),
		&(struct hub_request){
			.method = "POST",
			.path = "/v1/daemon",
			.content_type = "application/json",
			.body = b.data,
			.len = b.len,
		},
		on_daemon, s);
}

/* --- a rotation of the site key that the command did not see to its end -------------------------------- */
static void
on_rotation(int r, const struct hub_reply *reply, const char *why, void *arg)
{
	struct standing *s = arg;
	struct call_request *call;

	s->rotation_us = clock_mono_us() + RETRY_CAP_S * CLOCK_US_PER_S;
	if (r != 0) {
		log_debug("rotation: %s", why);
		return;
	}
	carrier_contact(s->carrier, reply);
	if (reply->status != 200) {
		log_debug("rotation not taken: %s", reply->reason);
		return;
	}
	call = call_new("rotate.finish");
	carrier_put_reply(call, reply);
	/* Asked again until the monitor has it, and soon where only memory was wanting. */
	if (carrier_call(s->carrier, call, on_record_told, s) == -ENOMEM)
		s->rotation_us = 0;
}

static int
send_rotation(struct standing *s, const char *body)
{
	return hub_client_send(&s->rotation, carrier_hub(s->carrier),
		&(struct hub_request){ .method = "POST",
			.path = "/v1/rotate",
			.content_type = "application/json",
			.body = body,
			.len = strlen(body) },
		on_rotation, s);
}

/* --- module -------------------------------------------------------------------------------------------------- */
static void
on_tick(struct carrier *c, uint64_t now, void *arg)
{
	struct standing *s = arg;
	const json_t *envelope = json_object_get(carrier_config(c), "daemon");
	const char *rotation = json_string_value(json_object_get(carrier_config(c), "rotation"));
	int r = 0;

	if (!carrier_any_on(c))
		return;
	if (json_is_object(envelope) && !s->daemon && now >= s->daemon_us)
		r = send_daemon(s, envelope);
	if (r == 0 && rotation && !s->rotation && now >= s->rotation_us)
		r = send_rotation(s, rotation);
	if (r == 0 && !carrier_recorded(c) && !s->record && now >= s->record_us)
		r = hub_client_send(&s->record, carrier_hub(c),
			&(struct hub_request){ .method = "GET", .path = "/v1/record" }, on_record, s);
	if (r < 0)
		log_fault(r, "standing");
}

static void
on_reset(struct carrier *c, void *arg)
{
	struct standing *s = arg;

	(void)c;
	hub_client_cancel(s->record);
	hub_client_cancel(s->daemon);
	hub_client_cancel(s->rotation);
	s->record_us = s->daemon_us = s->rotation_us = 0;
}

static int
on_part(struct carrier *c, void *arg)
{
	struct standing *s = arg;

	(void)c;
	s->sent[0] = '\0';
	return 0;
}

static const struct carrier_module module = {
	.name = "standing",
	.reset = on_reset,
	.part = on_part,
	.tick = on_tick,
	.free = free,
};

int
standing_init(struct carrier *c)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(SHA256_TEXT_MAX - 1);
	struct standing *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return FAULT(-ENOMEM);
	s->carrier = c;
	r = fs_read(carrier_dir(c), SENT_NAME, SHA256_TEXT_MAX - 1, &b);
	if (r == 0) /* anything else: the statement is sent once more */
		snprintf(s->sent, sizeof(s->sent), "%s", buf_text(&b));
	return carrier_add(c, &module, s);
}
