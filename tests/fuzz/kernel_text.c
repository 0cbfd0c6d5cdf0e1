/* What a kernel, or whoever mounts something over /proc, says of the host and of processes.  The first byte picks the
 * text. */
#include <stdlib.h>
#include <string.h>

#include "appliance/base/scope.h"
#include "telemetry/collect/host_devices.h"
#include "telemetry/collect/process_text.h"
#include "telemetry/collect/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
is_disk(const char *name, void *arg)
{
	(void)arg;
	return name[0] != 'l';
}

static void
mounted(const char *device, const char *where, int read_only, void *arg)
{
	struct sample_set *out = arg;

	(void)device;
	sample_label(out, sample_gauge_int(out, NULL, "mounted", "1", 1, read_only), "where", where);
}

static int
carrier(const char *name, void *arg)
{
	(void)arg;
	return name[0] == 'e' ? 1 : -1;
}

static const struct {
	host_text_fn *parse;
	const char *what;
} hosts[] = {
	{ host_text_stat, NULL },
	{ host_text_memory, NULL },
	{ host_text_paging, NULL },
	{ host_text_load, NULL },
	{ host_text_pressure, "cpu" },
	{ host_text_files, NULL },
	{ host_text_uptime, NULL },
	{ host_text_number, "number" },
	{ host_devices_disks, NULL },
	{ host_devices_network, NULL },
	{ host_devices_mounts, NULL },
};

static void
read_process(const char *text)
{
	struct process_stat stat;
	uint64_t a, b;
	char group[64];

	(void)process_text_stat(&stat, text);
	(void)process_text_memory(text, &a, &b);
	(void)process_text_io(text, &a, &b);
	(void)process_text_value(text, "oom_kill", &a);
	process_text_devices(text, &a, &b);
	(void)process_text_group(text, "", group, sizeof(group));
	(void)process_text_group(text, "cpu", group, sizeof(group));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(sample_done) struct sample_set out = { 0 };
	struct host_text h = { .out = &out, .now_us = 1, .ticks = 100, .is_disk = is_disk, .mounted = mounted,
		.carrier = carrier, .arg = &out };
	SCOPED(scope_free) char *text = size > 0 ? strndup((const char *)data + 1, size - 1) : NULL;

	if (!text)
		return 0;
	if (data[0] - 'a' < (int)ARRAY_LEN(hosts) && data[0] >= 'a')
		hosts[data[0] - 'a'].parse(&h, text, hosts[data[0] - 'a'].what);
	else
		read_process(text);
	return 0;
}
