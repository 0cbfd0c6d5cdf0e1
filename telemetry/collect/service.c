#include "telemetry/collect/service.h"

#include "appliance/base/fs.h"
#include "appliance/service/state.h"
#include "telemetry/collect/sample.h"

void
service_probe(struct sample_set *out, const struct paths *paths, const char *service,
	uint64_t now_us)
{
	struct state s;
	bool up;

	if (state_read(&s, paths, service) != 0)
		return;
	up = s.is == STATE_RUNNING && s.health != STATE_HEALTH_FAILING;
	sample_gauge_int(out, service, "mainstay_service_up", "1", now_us, up);
	sample_gauge_int(out, service, "mainstay_service_restarts", "1", now_us, s.restarts);
}

void
service_collect(struct sample_set *out, const struct paths *paths, const char *service,
	struct process_kept *kept, uint64_t now_us)
{
	static const struct process_roots roots = { "/proc", "/sys/fs/cgroup" };
	struct state s;

	if (state_read(&s, paths, service) == 0 && s.pid > 0)
		process_collect(out, &roots, service,
			&(struct process_first){ .pid = s.pid, .start_time = s.start_time, .started_us = s.started_us },
			kept, now_us);
}
