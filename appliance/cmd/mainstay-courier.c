/* mainstay-courier: the only program of the site that talks to the vendor.  It carries, and is believed by
 * nobody: what it ships lies in spool and outbox, what it fetches is checked by the monitor. */
#include "appliance/base/fs.h"
#include "appliance/egress/carrier.h"
#include "appliance/egress/outbox_ship.h"
#include "appliance/egress/standing.h"
#include "appliance/egress/witness_ship.h"
#include "appliance/loop/confine.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "remote/mailbox/mailbox_site.h"
#include "telemetry/ship/ship.h"
#include "updater/fetch/fetch.h"

static int (*const modules[])(struct carrier *) = {
	standing_init, outbox_ship_init, witness_ship_init, ship_init, mailbox_site_init, fetch_init,
};

static int
serve(const char *state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(carrier_freep) struct carrier *carrier = NULL;
	struct paths paths;
	int r;

	r = fs_paths(&paths, state);
	r = r ?: confine_dumpable();
	r = r ?: confine_enter(CONFINE_DAEMON);
	r = r ?: loop_new(&loop, NULL, NULL);
	r = r ?: carrier_new(&carrier, loop, &paths);
	for (size_t i = 0; i < ARRAY_LEN(modules) && r == 0; i++)
		r = modules[i](carrier);
	if (r != 0)
		return r;
	program_ready();
	return loop_run(loop);
}

int
main(int argc, char **argv)
{
	return program_daemon("mainstay-courier", argc, argv, serve);
}
