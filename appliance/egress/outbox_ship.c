#include "appliance/egress/outbox_ship.h"

#include <stddef.h>

#include "appliance/base/log.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/shipper.h"

#define OUTBOX_FOLDER "outbox"

static void
on_told(int r, const json_t *answer, void *arg)
{
	(void)answer;
	(void)arg;
	if (r < 0)
		log_fault(r, "telling the monitor of the hub's answer");
}

static void
answered(struct carrier *c, const char *stream, uint64_t sequence, const struct hub_reply *reply)
{
	struct call_request *call = call_new("outbox.reply");

	call_param(call, "stream", stream);
	call_param_u64(call, "sequence", sequence);
	call_param_u64(call, "status", (uint64_t)reply->status);
	call_param(call, "committed", reply->committed_text);
	call_param(call, "content_digest", reply->content_digest);
	call_param(call, "signature_input", reply->signature_input);
	call_param(call, "signature", reply->signature);
	call_param(call, "nonce", reply->nonce);
	call_body(call, reply->body, reply->len);
	/* Lost with the link: a heartbeat comes again soon, a head too; a result is the hub's already. */
	(void)carrier_call(c, call, on_told, c);
}

static const struct shipper_stream streams[] = {
	{ .folder = OUTBOX_FOLDER, .stream = "heartbeat", .answered = answered },
	{ .folder = OUTBOX_FOLDER, .stream = "results", .answered = answered },
	/* A witness's 409 carries the size it knows: an answer like any other. */
	{ .folder = OUTBOX_FOLDER, .stream = "audit", .answered = answered, .take_any_status = true },
};

int
outbox_ship_init(struct carrier *c)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]) && r == 0; i++)
		r = shipper_add(c, &streams[i]);
	return r;
}
