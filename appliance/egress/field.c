#include "appliance/egress/field.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/scope.h"

#define LOWER	"abcdefghijklmnopqrstuvwxyz"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"
#define NAME	LOWER UPPER DIGITS "_"
#define SERVICE LOWER DIGITS ".+~-"

/* Names of mount points are not here: they are the customer's words and wait for review. */
const char *const field_shipped[] = {
	"host_boot_time_seconds",
	"host_uptime_seconds",
	"host_cpus",
	"host_cpu_seconds",
	"host_cpu_seconds{mode}",
	"host_interrupts",
	"host_context_switches",
	"host_forks",
	"host_load1",
	"host_load5",
	"host_load15",
	"host_threads",
	"host_processes_running",
	"host_processes_blocked",
	"host_memory_total_bytes",
	"host_memory_free_bytes",
	"host_memory_available_bytes",
	"host_memory_buffers_bytes",
	"host_memory_cached_bytes",
	"host_memory_dirty_bytes",
	"host_memory_writeback_bytes",
	"host_memory_anonymous_bytes",
	"host_memory_shared_bytes",
	"host_memory_slab_reclaimable_bytes",
	"host_memory_slab_unreclaimable_bytes",
	"host_memory_kernel_stack_bytes",
	"host_memory_page_tables_bytes",
	"host_memory_commit_limit_bytes",
	"host_memory_committed_bytes",
	"host_memory_hugetlb_bytes",
	"host_memory_corrupted_bytes",
	"host_memory_swap_total_bytes",
	"host_memory_swap_free_bytes",
	"host_memory_hugepages",
	"host_memory_hugepages_free",
	"host_swap_in_pages",
	"host_swap_out_pages",
	"host_major_faults",
	"host_oom_kills",
	"host_pressure_stalled_seconds",
	"host_pressure_stalled_seconds{resource}",
	"host_pressure_stalled_seconds{kind}",
	"host_disk_reads",
	"host_disk_reads{device}",
	"host_disk_read_bytes",
	"host_disk_read_bytes{device}",
	"host_disk_read_seconds",
	"host_disk_read_seconds{device}",
	"host_disk_writes",
	"host_disk_writes{device}",
	"host_disk_written_bytes",
	"host_disk_written_bytes{device}",
	"host_disk_write_seconds",
	"host_disk_write_seconds{device}",
	"host_disk_in_flight",
	"host_disk_in_flight{device}",
	"host_disk_busy_seconds",
	"host_disk_busy_seconds{device}",
	"host_network_received_bytes",
	"host_network_received_bytes{device}",
	"host_network_received_packets",
	"host_network_received_packets{device}",
	"host_network_received_drops",
	"host_network_received_drops{device}",
	"host_network_sent_bytes",
	"host_network_sent_bytes{device}",
	"host_network_sent_packets",
	"host_network_sent_packets{device}",
	"host_network_sent_drops",
	"host_network_sent_drops{device}",
	"host_network_errors",
	"host_network_errors{device}",
	"host_network_up",
	"host_network_up{device}",
	"host_storage_size_bytes",
	"host_storage_size_bytes{role}",
	"host_storage_free_bytes",
	"host_storage_free_bytes{role}",
	"host_storage_inodes",
	"host_storage_inodes{role}",
	"host_storage_free_inodes",
	"host_storage_free_inodes{role}",
	"host_storage_read_only",
	"host_storage_read_only{role}",
	"host_files_open",
	"host_files_max",
	"host_entropy_available",
	"host_conntrack_entries",
	"host_conntrack_max",
	"host_time_synchronised",
	"host_time_offset_seconds",
	"host_time_error_max_seconds",
	"mainstay_service_up",
	"mainstay_service_restarts",
	"mainstay_service_memory_bytes",
	"mainstay_service_cpu_seconds",
	"mainstay_service_processes",
	"mainstay_service_threads",
	"mainstay_service_oom_kills",
	"mainstay_service_cpu_throttled_seconds",
	"mainstay_service_read_bytes",
	"mainstay_service_written_bytes",
	"mainstay_service_files_open",
	"mainstay_spool_lost_records",
	"mainstay_spool_lost_records{stream}",
	"mainstay_ship_missing_records",
	"mainstay_ship_missing_records{stream}",
	"mainstay_ship_missing_records{reason}",
	"mainstay_ship_rejected_items",
	"mainstay_ship_rejected_items{stream}",
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

/* What stands before the first dot names a kind; the rest begins and ends with one of taken and holds as many dots
 * as that kind needs at least: a service's name and a unit's may hold dots themselves. */
static const struct {
	const char *prefix;
	const char *taken;
	bool dotted;
} kinds[] = {
	{ "alert.", SERVICE UPPER "_", true },
	{ "log.", SERVICE UPPER "_@:\\", true },
	{ "inventory.", LOWER DIGITS "-_", false },
};

static bool
valid_rest(const char *p, size_t kind)
{
	size_t n = strspn(p, kinds[kind].taken);
	const char *dot = strchr(p, '.');

	if (n == 0 || p[n] != '\0' || p[0] == '.' || p[n - 1] == '.')
		return false;
	return !kinds[kind].dotted || dot;
}

static bool
valid_attribute(const char *p)
{
	size_t n = strspn(p, NAME);

	return n > 0 && !strchr(DIGITS, p[0]) && strcmp(p + n, "}") == 0;
}

bool
field_valid(const char *text)
{
	size_t n, i;

	if (strlen(text) > FIELD_NAME_MAX)
		return false;
	for (i = 0; i < ARRAY_LEN(kinds); i++)
		if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return valid_rest(text + strlen(kinds[i].prefix), i);
	n = strspn(text, NAME ":");
	if (n == 0 || strchr(DIGITS, text[0]))
		return false;
	return text[n] == '\0' || (text[n] == '{' && valid_attribute(text + n + 1));
}

bool
field_label_fits(const char *value)
{
	size_t n = strspn(value, NAME ".:/@+ -[]<>");

	return n > 0 && n <= FIELD_LABEL_MAX && value[n] == '\0';
}

bool
field_of_label(char *out, const char *metric, const char *attribute)
{
	int n = snprintf(out, FIELD_NAME_MAX + 1, "%s{%s}", metric, attribute);

	return n > 0 && n <= FIELD_NAME_MAX;
}

bool
field_matches(const char *pattern, const char *field)
{
	const char *star = NULL, *again = NULL;

	while (*field) {
		if (*pattern == '*') {
			star = pattern++;
			again = field;
		} else if (*pattern == '?' || *pattern == *field) {
			pattern++;
			field++;
		} else if (star) { /* only the last star can take more */
			pattern = star + 1;
			field = ++again;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}
