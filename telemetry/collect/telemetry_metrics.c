#include "telemetry/collect/telemetry_metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/command.h"
#include "appliance/base/fault.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/config.h"
#include "telemetry/collect/metric_help.h"
#include "telemetry/collect/sample.h"
#include "telemetry/collect/telemetry_preview.h"
#include "telemetry/scrape/exposition_print.h"

enum { METRICS_MAX = 32 * 1024 * 1024 };

/* What the collector knows of services; none before the monitor told it anything. */
static int
load(struct config *ret, const struct paths *paths)
{
	char path[sizeof(paths->lib) + 16];
	SCOPED(scope_close) int dir = -1;
	int r;

	(void)snprintf(path, sizeof(path), "%s/telemetry", paths->lib);
	dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return REFUSE(REASON_UNREACHABLE, "collector", "has never run here (no %s)", path);
	if (dir < 0)
		return FAULT(-errno);
	r = config_load(ret, dir);
	return r == REASON_NOT_FOUND ? 0 : r < 0 ? FAULT(r) : r;
}

int
telemetry_metrics_run(struct command_call *call)
{
	SCOPED(config_done) struct config config = { 0 };
	struct config_settings settings;
	SCOPED(sample_done) struct sample_set round = { 0 };
	SCOPED(buf_done) struct buf out = BUF_MAX(METRICS_MAX);
	enum exposition_format format =
		command_option(call, "openmetrics") ? EXPOSITION_OPENMETRICS : EXPOSITION_TEXT;
	int r = load(&config, &call->paths);

	r = r ?: config_settings(&settings, &call->paths);
	r = r ?: telemetry_preview_round(&call->paths, &config, &settings, &round);
	if (r != 0)
		return r < 0 ? FAULT(r) : r;
	r = exposition_print(&out, format, round.items, round.n, false, metric_help);
	if (r < 0)
		return FAULT(r);
	if (call->json)
		return command_print_json("Metrics",
			json_pack("{s:b, s:s}", "openmetrics", format == EXPOSITION_OPENMETRICS,
				"text", buf_text(&out)));
	if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
		return FAULT(-EIO);
	return 0;
}
