#include "telemetry/collect/collector_room.h"

#include <malloc.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "telemetry/collect/outgoing.h"

/* The filter is asked also while telemetry is off: what would wait can be reviewed before the first upload. */
static int
send_group(struct collector *c, enum inventory_group group, const json_t *body)
{
	char digest[SHA256_TEXT_MAX];
	bool same;
	size_t n = 0;
	int r;

	r = stock_same(&c->stock, group, body, digest, &same);
	if (r < 0 || same)
		return FAULT(r);
	buf_reset(&c->body);
	r = outgoing_inventory(door_outgoing(c->door), &c->body, inventory_name(group), inventory_shape(group), body,
		clock_now_us(), &n);
	if (r < 0 || n == 0 || !collector_look_at_switch(c))
		return FAULT(r);
	/* Between the two a death sends it once more: the hub knows a state that it has. */
	if (!collector_write(c, c->inventory, CLASS_INVENTORY, OUTGOING_LOGS_PATH))
		return 0;
	return FAULT(stock_written(&c->stock, group, digest));
}

void
collector_inventory(struct collector *c, uint64_t mono_us)
{
	const char *pointers[CONFIG_CERTIFICATES_MAX];
	bool due[INVENTORY_GROUPS];
	struct inventory_ask ask;
	uint64_t since_us, lost = spool_lost(c->inventory, &since_us);

	if (lost != c->stock_lost)
		stock_forget(&c->stock);
	c->stock_lost = lost;
	if (!stock_due(&c->stock, "", c->config.site ? c->config.site : "", mono_us, due))
		return;
	stock_ask(&ask, pointers, &c->settings);
	for (enum inventory_group i = 0; i < INVENTORY_GROUPS; i++) {
		SCOPED_JSON *body = NULL;
		int r = due[i] ? inventory_build(&body, i, &ask) : 0;

		if (r == 0 && body)
			r = send_group(c, i, body);
		if (r < 0)
			log_fault(r, inventory_name(i));
	}
	(void)malloc_trim(0); /* a tree of thousands of packages is gone again for an hour */
}
