#include "appliance/egress/field.h"

#include <stdio.h>
#include <string.h>

#define LOWER	"abcdefghijklmnopqrstuvwxyz"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"
#define NAME	LOWER DIGITS "_"
#define SERVICE LOWER DIGITS ".+~-"

/* Names of mount points are not here: they are the customer's words and wait for review. */
const char *const field_shipped[] = {
	"host_boot_time_seconds",
	"host_cpus",
	"host_cpu_seconds",
	"host_cpu_seconds{mode}",
	"host_load1",
	"host_load5",
	"host_load15",
	"host_threads",
	"host_processes_running",
	"host_processes_blocked",
	"host_memory_total_bytes",
	"host_memory_available_bytes",
	"host_memory_swap_total_bytes",
	"host_memory_swap_free_bytes",
	"host_pressure_stalled_seconds",
	"host_pressure_stalled_seconds{resource}",
	"host_pressure_stalled_seconds{kind}",
	"host_disk_read_bytes",
	"host_disk_read_bytes{device}",
	"host_disk_written_bytes",
	"host_disk_written_bytes{device}",
	"host_disk_busy_seconds",
	"host_disk_busy_seconds{device}",
	"host_network_received_bytes",
	"host_network_received_bytes{device}",
	"host_network_sent_bytes",
	"host_network_sent_bytes{device}",
	"host_network_errors",
	"host_network_errors{device}",
	"host_storage_size_bytes",
	"host_storage_size_bytes{role}",
	"host_storage_free_bytes",
	"host_storage_free_bytes{role}",
	"mainstay_service_up",
	"mainstay_service_restarts",
	"mainstay_service_memory_bytes",
	"mainstay_service_cpu_seconds",
	"mainstay_spool_lost_records",
	"mainstay_spool_lost_records{stream}",
	"mainstay_filter_held_samples",
	NULL,
};

bool
field_is_shipped(const char *name)
{
	size_t i;

	for (i = 0; field_shipped[i]; i++)
		if (strcmp(field_shipped[i], name) == 0)
			return true;
	return false;
}

static bool
valid_alert(const char *p)
{
	/* A service's name may hold dots itself: the alert's name is what follows the last. */
	const char *dot = strrchr(p, '.');

	return dot && dot > p && dot[1] != '\0' && p[strspn(p, SERVICE UPPER "_")] == '\0';
}

bool
field_valid(const char *text)
{
	size_t n;

	if (strlen(text) > FIELD_NAME_MAX)
		return false;
	if (strncmp(text, "alert.", 6) == 0)
		return valid_alert(text + 6);
	n = strspn(text, NAME);
	if (n == 0 || !strchr(LOWER, text[0]))
		return false;
	if (text[n] == '\0')
		return true;
	if (text[n] != '{')
		return false;
	text += n + 1;
	n = strspn(text, NAME);
	return n > 0 && strcmp(text + n, "}") == 0;
}

bool
field_label_fits(const char *value)
{
	size_t n = strspn(value, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_.:/@+ -");

	return n > 0 && n <= FIELD_LABEL_MAX && value[n] == '\0';
}

bool
field_of_label(char *out, const char *metric, const char *attribute)
{
	int n = snprintf(out, FIELD_NAME_MAX + 1, "%s{%s}", metric, attribute);

	return n > 0 && n <= FIELD_NAME_MAX;
}
