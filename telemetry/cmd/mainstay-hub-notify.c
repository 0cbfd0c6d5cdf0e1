/* mainstay-hub-notify: tells Alertmanagers, webhooks and mail servers of alerts.  Started by mainstay-hubd; ends with it. */
#include "appliance/loop/confine.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "telemetry/alert/notify_sender.h"

static int
serve(const char *state)
{
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(notify_sender_freep) struct notify_sender *sender = NULL;
	int r;

	/* It reads secrets: they are not to end in a core file. */
	r = confine_dumpable();
	r = r ? r : confine_enter(CONFINE_DAEMON);
	r = r ? r : loop_new(&loop, NULL, NULL);
	r = r ? r : notify_sender_new(&sender, loop, state);
	r = r ? r : notify_sender_start(sender);
	if (r != 0)
		return r;
	return loop_run(loop);
}

int
main(int argc, char **argv)
{
	return program_daemon("mainstay-hub-notify", argc, argv, serve);
}
