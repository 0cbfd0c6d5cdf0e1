/* mainstay-collectd: reads the host and the services, judges, filters, and writes what may leave into the spool.
 * It never speaks with the vendor: the courier carries what it wrote.  As mainstay-listen it is systemd's generator for its own
 * unit (telemetry/collect/unit_listen.h). */
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/loop/confine.h"
#include "appliance/loop/loop.h"
#include "appliance/loop/program.h"
#include "telemetry/collect/collector.h"
#include "telemetry/collect/monitor_link.h"
#include "telemetry/collect/page.h"
#include "telemetry/collect/unit_listen.h"

static const struct collector_ops ops = { .alert = monitor_link_alert, .want = monitor_link_want, .dial = monitor_link_dial };

/* While nothing is open yet: what shows the page is to have no part in what follows. */
static int
begin_page(struct page **ret, const struct paths *paths)
{
	struct config_settings settings;
	int r = config_settings(&settings, paths);

	return r ?: page_start(ret, &settings.listen);
}

static int
serve(const char *state)
{
	SCOPED(page_freep) struct page *page = NULL;
	SCOPED(loop_unrefp) sd_event *loop = NULL;
	SCOPED(collector_freep) struct collector *collector = NULL;
	SCOPED(monitor_link_freep) struct monitor_link *link = NULL;
	struct paths paths;
	int r;

	r = fs_paths(&paths, state);
	r = r ?: confine_dumpable();
	r = r ?: begin_page(&page, &paths);
	r = r ?: confine_enter(CONFINE_COLLECT);
	r = r ?: loop_new(&loop, NULL, NULL);
	r = r ?: monitor_link_new(&link, loop, &paths);
	r = r ?: collector_new(&collector, loop, &paths, &ops, link);
	r = r ?: collector_show(collector, page);
	r = r ?: collector_start(collector);
	r = r ?: monitor_link_start(link, collector);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	program_ready();
	return loop_run(loop);
}

/* systemd has three folders; the first one is for what a file of the customer's asks for. */
static int
generate(const char *dir)
{
	struct paths paths;
	int r;

	log_open(UNIT_LISTEN_NAME, LOG_LEVEL_INFO);
	r = fs_paths(&paths, NULL);
	r = r ?: unit_listen_generate(dir, &paths);
	if (r < 0)
		log_fault(r, UNIT_LISTEN_NAME);
	return refuse_exit_code(r);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');

	if (argc == 4 && strcmp(slash ? slash + 1 : argv[0], UNIT_LISTEN_NAME) == 0)
		return generate(argv[1]);
	return program_daemon("mainstay-collectd", argc, argv, serve);
}
