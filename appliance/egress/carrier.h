/* The courier's core: the connection to the monitor, the signed way to the hub, and what both say may go.
 *
 * A carrier, no more: nothing it receives is believed by anybody, and nothing leaves that is not a ledger
 * record or one of the fixed requests of its modules (mailbox poll, metadata and objects, standing).  With
 * every switch off it holds no network socket.
 *
 * Modules (ship, mailbox, fetch) are added by cmd/mainstay-courier.c; their hooks run from the loop. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "appliance/base/fs.h"
#include "appliance/base/refuse.h"
#include "appliance/bus/call.h"
#include "appliance/egress/hub_client.h"
#include "appliance/egress/pace.h"
#include "appliance/policy/switch.h"

struct ack;
struct carrier;
struct notice;

enum { CARRIER_MODULES_MAX = 64, CARRIER_TICK_MS = 500 };

struct carrier_module {
	const char *name;
	/* The hub client is about to be replaced or the ground has changed (switch, enrolment, record): cancel
	 * what is under way, begin anew at the next tick. */
	void (*reset)(struct carrier *c, void *arg);
	/* The site enrolled with another vendor, or under another name: what is still to be sent was for the
	 * former one and stays here.  Before the new hub client is there.  Returns 0 or a fault. */
	int (*part)(struct carrier *c, void *arg);
	/* About twice a second, while the site is enrolled and the link to the monitor is up. */
	void (*tick)(struct carrier *c, uint64_t mono_us, void *arg);
	/* An event of the monitor: "outbox", "fetch", ... */
	void (*event)(struct carrier *c, const char *name, const json_t *json, void *arg);
	void (*free)(void *arg);
};

/* Loads or makes the courier's key in lib/courier, connects to run/courier.sock. */
int carrier_new(struct carrier **ret, sd_event *loop, const struct paths *paths);
struct carrier *carrier_free(struct carrier *c);
SCOPED_DESTRUCTOR(struct carrier, carrier_free)

/* module is kept, not copied; take_arg belongs to module->free also where this fails. */
int carrier_add(struct carrier *c, const struct carrier_module *module, void *take_arg);

const struct paths *carrier_paths(const struct carrier *c);
int carrier_dir(const struct carrier *c);       /* lib/courier; borrowed */
struct ack *carrier_ack(struct carrier *c);
/* One bandwidth cap for all that leaves; and whether the hub is away, for all who send to it. */
struct pace *carrier_pace(struct carrier *c);
struct pace_peer *carrier_hub_peer(struct carrier *c);
struct notice *carrier_notice(struct carrier *c); /* NULL: none can be had */
/* Enrolled, with a client for the hub and the link to the monitor: what tick waits for. */
bool carrier_is_up(const struct carrier *c);

/* For modules that speak with somebody else than the hub: the loop; the proxy and the customer's CA file, ""
 * where there is none; a time that is certainly past, for certificates where our clock is wrong (tls_dates.h), 0
 * where none is known. */
sd_event *carrier_loop(const struct carrier *c);
const char *carrier_proxy(const struct carrier *c);
const char *carrier_ca_file(const struct carrier *c);
uint64_t carrier_floor_us(const struct carrier *c);

/* The hub; NULL before enrolment. */
struct hub_client *carrier_hub(struct carrier *c);
/* What the monitor said at hello; NULL before. */
const json_t *carrier_config(const struct carrier *c);
const char *carrier_site(const struct carrier *c);
bool carrier_recorded(const struct carrier *c); /* an engineer's site record has verified */

/* The monitor's word and no off file; looked at each time. */
bool carrier_switch_on(const struct carrier *c, enum switch_name which);
bool carrier_any_on(const struct carrier *c);

/* Call the monitor. */
int carrier_call(struct carrier *c, struct call_request *take_call, call_done_fn *done, void *arg);

/* A signed answer of the hub as the parameters by which the monitor verifies it for itself. */
void carrier_put_reply(struct call_request *call, const struct hub_reply *reply);

/* The hub answered (signed), whatever its status: tells the monitor now and then, by the answer itself, which says what
 * time it is there.  (What stood in the way of an answer, the carrier tells by itself.) */
void carrier_contact(struct carrier *c, const struct hub_reply *reply);
