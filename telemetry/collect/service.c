#include "telemetry/collect/service.h"

#include <fcntl.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/state.h"
#include "telemetry/collect/host_text.h"
#include "telemetry/collect/sample.h"

static void
put_process(struct sample_set *out, const char *service, const struct state *s, uint64_t now_us)
{
	SCOPED(scope_close) int fd = -1;
	char path[64], text[1024];
	uint64_t ticks, pages, start;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)s->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	/* A pid that is another's by now must not be counted as the service. */
	if (child_starttime(&start, s->pid) != 0 || start != s->start_time ||
		host_text_process(text, &ticks, &pages) < 0)
		return;
	sample_gauge_int(out, service, "mainstay_service_memory_bytes", "By", now_us,
		(int64_t)(pages * (uint64_t)sysconf(_SC_PAGESIZE)));
	sample_count(sample_add(out, service, "mainstay_service_cpu_seconds", "s", now_us),
		s->started_us, (double)ticks / (double)sysconf(_SC_CLK_TCK));
}

void
service_collect(struct sample_set *out, const struct paths *paths, const char *service,
	uint64_t now_us)
{
	struct state s;
	bool up;

	if (state_read(&s, paths, service) != 0)
		return;
	up = s.is == STATE_RUNNING && s.health != STATE_HEALTH_FAILING;
	sample_gauge_int(out, service, "mainstay_service_up", "1", now_us, up);
	sample_gauge_int(out, service, "mainstay_service_restarts", "1", now_us, s.restarts);
	if (s.pid > 0)
		put_process(out, service, &s, now_us);
}
