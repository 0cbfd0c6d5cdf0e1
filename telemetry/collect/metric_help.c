#include "telemetry/collect/metric_help.h"

#include <stddef.h>
#include <string.h>

#include "appliance/base/scope.h"

static const struct help {
	const char *name, *text;
} helps[] = {
	{ "host_boot_time_seconds", "When the host was started, since 1970." },
	{ "host_conntrack_entries", "Connections that the kernel tracks." },
	{ "host_conntrack_max", "Connections that the kernel tracks at most." },
	{ "host_context_switches", "Switches from one task to another." },
	{ "host_cpu_seconds", "Time of all processors, by what they did." },
	{ "host_cpus", "Processors that are online." },
	{ "host_disk_busy_seconds", "Time in which the device had something to do." },
	{ "host_disk_in_flight", "Requests that the device has not answered yet." },
	{ "host_disk_read_bytes", "Bytes read from the device." },
	{ "host_disk_read_seconds", "Time that reads took, all added up." },
	{ "host_disk_reads", "Reads that are done." },
	{ "host_disk_write_seconds", "Time that writes took, all added up." },
	{ "host_disk_writes", "Writes that are done." },
	{ "host_disk_written_bytes", "Bytes written to the device." },
	{ "host_entropy_available", "Bits of entropy that the kernel counts." },
	{ "host_files_max", "Files that may be open at once." },
	{ "host_files_open", "Files that are open." },
	{ "host_filesystem_free_bytes", "Room of a mounted file system that users may take." },
	{ "host_filesystem_free_inodes", "Files that a mounted file system has room for." },
	{ "host_filesystem_inodes", "Files that a mounted file system holds at most." },
	{ "host_filesystem_read_only", "1 where a mounted file system takes no writes." },
	{ "host_filesystem_size_bytes", "Size of a mounted file system." },
	{ "host_forks", "Processes and threads that were begun." },
	{ "host_interrupts", "Interrupts that were served." },
	{ "host_load1", "Tasks that run or wait to, on average of a minute." },
	{ "host_load15", "Tasks that run or wait to, on average of 15 minutes." },
	{ "host_load5", "Tasks that run or wait to, on average of 5 minutes." },
	{ "host_major_faults", "Faults of pages that were read from a disk." },
	{ "host_memory_anonymous_bytes", "Memory of programs that no file stands behind." },
	{ "host_memory_available_bytes", "Memory that programs can still have without swapping." },
	{ "host_memory_buffers_bytes", "Memory that holds blocks of devices." },
	{ "host_memory_cached_bytes", "Memory that holds what files say." },
	{ "host_memory_commit_limit_bytes", "Memory that may be promised." },
	{ "host_memory_committed_bytes", "Memory that is promised." },
	{ "host_memory_corrupted_bytes", "Memory that the hardware spoilt." },
	{ "host_memory_dirty_bytes", "Memory that waits to be written to disks." },
	{ "host_memory_free_bytes", "Memory that nobody uses." },
	{ "host_memory_hugepages", "Huge pages that are set aside." },
	{ "host_memory_hugepages_free", "Huge pages that nobody uses." },
	{ "host_memory_hugetlb_bytes", "Memory in huge pages." },
	{ "host_memory_kernel_stack_bytes", "Memory of the kernel's stacks." },
	{ "host_memory_page_tables_bytes", "Memory of page tables." },
	{ "host_memory_shared_bytes", "Memory that is shared, tmpfs included." },
	{ "host_memory_slab_reclaimable_bytes", "Memory of the kernel that it can give back." },
	{ "host_memory_slab_unreclaimable_bytes", "Memory of the kernel that it cannot give back." },
	{ "host_memory_swap_free_bytes", "Swap that nobody uses." },
	{ "host_memory_swap_total_bytes", "Swap, all of it." },
	{ "host_memory_total_bytes", "Memory, all of it." },
	{ "host_memory_writeback_bytes", "Memory that is being written to disks." },
	{ "host_network_errors", "Errors of an interface, both ways." },
	{ "host_network_received_bytes", "Bytes that an interface received." },
	{ "host_network_received_drops", "Received packets that were dropped." },
	{ "host_network_received_packets", "Packets that an interface received." },
	{ "host_network_sent_bytes", "Bytes that an interface sent." },
	{ "host_network_sent_drops", "Packets that were dropped before they were sent." },
	{ "host_network_sent_packets", "Packets that an interface sent." },
	{ "host_network_up", "1 where an interface is up." },
	{ "host_oom_kills", "Processes that the kernel killed for lack of memory." },
	{ "host_pressure_stalled_seconds", "Time in which tasks waited for a resource." },
	{ "host_processes_blocked", "Tasks that wait for a disk." },
	{ "host_processes_running", "Tasks that run or could." },
	{ "host_storage_free_bytes", "Room where our files are that users may take, by their role." },
	{ "host_storage_free_inodes", "Files that there is room for where ours are." },
	{ "host_storage_inodes", "Files that there can be where ours are." },
	{ "host_storage_read_only", "1 where our files cannot be written." },
	{ "host_storage_size_bytes", "Size of the file system where our files are." },
	{ "host_swap_in_pages", "Pages that came back from swap." },
	{ "host_swap_out_pages", "Pages that went to swap." },
	{ "host_threads", "Threads of all processes." },
	{ "host_time_error_max_seconds", "By how much the clock may be wrong, as the kernel counts it." },
	{ "host_time_offset_seconds", "What the clock is still to be moved by." },
	{ "host_time_synchronised", "1 where the kernel takes its clock for set." },
	{ "host_uptime_seconds", "How long the host has been running." },
	{ "mainstay_filter_held_samples", "Samples that did not leave, as their fields are not accepted." },
	{ "mainstay_log_bytes", "Bytes of lines that were read from logs." },
	{ "mainstay_log_cut_lines", "Lines of logs that were cut, being too long." },
	{ "mainstay_log_denied", "Logs that the collector may not read." },
	{ "mainstay_log_escaped_bytes", "Bytes of logs that were no UTF-8 and were written otherwise." },
	{ "mainstay_log_files", "Logs that are followed." },
	{ "mainstay_log_lines", "Lines that were read from logs." },
	{ "mainstay_log_lost_files", "Logs that went away before they were read to the end." },
	{ "mainstay_log_refused_batches", "Batches of lines that there was no room for." },
	{ "mainstay_scrape_dropped_series", "Series of a target that were left out of scrapes." },
	{ "mainstay_service_cpu_seconds", "Processor time of a service." },
	{ "mainstay_service_cpu_throttled_seconds", "Time in which a service's limit kept it from running." },
	{ "mainstay_service_files_open", "Files that a service has open." },
	{ "mainstay_service_memory_bytes", "Memory of a service." },
	{ "mainstay_service_oom_kills", "Processes of a service that were killed for lack of memory." },
	{ "mainstay_service_processes", "Processes of a service." },
	{ "mainstay_service_read_bytes", "Bytes that a service read from disks." },
	{ "mainstay_service_restarts", "Restarts of a service after it came down." },
	{ "mainstay_service_threads", "Threads of a service." },
	{ "mainstay_service_up", "1 where a service runs." },
	{ "mainstay_service_written_bytes", "Bytes that a service wrote to disks." },
	{ "mainstay_ship_missing_records", "Records that the vendor does not have." },
	{ "mainstay_ship_rejected_items", "Samples and lines that the vendor did not take." },
	{ "mainstay_spool_lost_records", "Records that gave way to newer ones before they were sent." },
	{ "scrape_duration_seconds", "How long the last scrape of a target took." },
	{ "scrape_samples_scraped", "Samples that the last scrape of a target gave." },
	{ "up", "1 where the last scrape of a target was answered." },
};

/* Of what a source asks for: the definition chooses which. */
static const struct help sources[] = {
	{ "nats_", "As a NATS server's monitoring pages say it." },
	{ "nginx_", "As nginx's status page says it." },
	{ "postgres_", "As PostgreSQL's statistics say it." },
	{ "redis_", "As INFO of a Redis says it." },
};

const char *
metric_help(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(helps); i++)
		if (strcmp(helps[i].name, name) == 0)
			return helps[i].text;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++)
		if (strncmp(sources[i].name, name, strlen(sources[i].name)) == 0)
			return sources[i].text;
	return NULL;
}
