#include "appliance/egress/outbox_ship.h"

#include <stddef.h>

#include "appliance/egress/carrier.h"
#include "appliance/egress/ledger.h"
#include "appliance/egress/shipper.h"

#define OUTBOX_FOLDER "outbox"

static struct call_request *
answer(const char *stream, uint64_t sequence, const struct hub_reply *reply)
{
	struct call_request *call = call_new("outbox.reply");

	call_param(call, "stream", stream);
	call_param_u64(call, "sequence", sequence);
	carrier_put_reply(call, reply);
	return call;
}

static const struct shipper_stream streams[] = {
	{ .folder = OUTBOX_FOLDER, .stream = "heartbeat", .answer = answer },
	{ .folder = OUTBOX_FOLDER, .stream = LEDGER_KEPT, .answer = answer, .kept = true },
	/* A witness's 409 carries the size it knows: an answer like any other. */
	{ .folder = OUTBOX_FOLDER, .stream = "audit", .answer = answer, .take_any_status = true },
};

int
outbox_ship_init(struct carrier *c)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]) && r == 0; i++)
		r = shipper_add(c, &streams[i], NULL);
	return r;
}
