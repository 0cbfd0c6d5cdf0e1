#include "telemetry/collect/host_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/sample.h"

static void
count_real(struct host_text *h, const char *name, const char *unit, const char *label,
	const char *value, double v)
{
	struct otlp_sample *p = sample_add(h->out, NULL, name, unit, h->now_us);

	sample_count(p, h->boot_us, v);
	sample_label(h->out, p, label, value);
}

static void
count_whole(struct host_text *h, const char *name, uint64_t v)
{
	sample_count_int(sample_add(h->out, NULL, name, "1", h->now_us), h->boot_us, (int64_t)v);
}

static void
gauge_whole(struct host_text *h, const char *name, const char *unit, uint64_t v)
{
	sample_gauge_int(h->out, NULL, name, unit, h->now_us, (int64_t)v);
}

/* "NAME NUMBER" at the beginning of a line. */
struct named {
	const char *key, *name;
};

static const char *
find_named(const struct named *list, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].key, key) == 0)
			return list[i].name;
	return NULL;
}

static void
stat_cpu(struct host_text *h, const char *line)
{
	static const char *const modes[] = { "user", "nice", "system", "idle", "iowait", "irq",
		"softirq", "steal" };
	uint64_t t[8] = { 0 };
	size_t i;

	if (sscanf(line, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		" %" SCNu64 " %" SCNu64, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
		return;
	for (i = 0; i < ARRAY_LEN(modes); i++)
		count_real(h, "host_cpu_seconds", "s", "mode", modes[i],
			(double)t[i] / (double)h->ticks);
}

void
host_text_stat(struct host_text *h, char *text, const char *what)
{
	static const struct named counters[] = {
		{ "intr", "host_interrupts" }, { "ctxt", "host_context_switches" },
		{ "processes", "host_forks" },
	}, gauges[] = {
		{ "procs_running", "host_processes_running" },
		{ "procs_blocked", "host_processes_blocked" },
	};
	const char *boot = strstr(text, "\nbtime ");
	uint64_t cpus = 0, v;
	char *line, key[32];

	(void)what;
	/* The boot time stands near the end, and the counters at the start begin there. */
	if (boot && sscanf(boot, "\nbtime %" SCNu64, &v) == 1) {
		h->boot_us = v * CLOCK_US_PER_S;
		gauge_whole(h, "host_boot_time_seconds", "s", v);
	}
	while ((line = strsep(&text, "\n"))) {
		const char *name;

		if (strncmp(line, "cpu ", 4) == 0)
			stat_cpu(h, line);
		else if (strncmp(line, "cpu", 3) == 0)
			cpus++;
		else if (sscanf(line, "%31[a-z_] %" SCNu64, key, &v) != 2)
			continue;
		else if ((name = find_named(counters, ARRAY_LEN(counters), key)))
			count_whole(h, name, v);
		else if ((name = find_named(gauges, ARRAY_LEN(gauges), key)))
			gauge_whole(h, name, "1", v);
	}
	if (cpus > 0)
		gauge_whole(h, "host_cpus", "1", cpus);
}

void
host_text_memory(struct host_text *h, char *text, const char *what)
{
	static const struct named wanted[] = {
		{ "MemTotal", "host_memory_total_bytes" },
		{ "MemFree", "host_memory_free_bytes" },
		{ "MemAvailable", "host_memory_available_bytes" },
		{ "Buffers", "host_memory_buffers_bytes" },
		{ "Cached", "host_memory_cached_bytes" },
		{ "Dirty", "host_memory_dirty_bytes" },
		{ "Writeback", "host_memory_writeback_bytes" },
		{ "AnonPages", "host_memory_anonymous_bytes" },
		{ "Shmem", "host_memory_shared_bytes" },
		{ "SReclaimable", "host_memory_slab_reclaimable_bytes" },
		{ "SUnreclaim", "host_memory_slab_unreclaimable_bytes" },
		{ "KernelStack", "host_memory_kernel_stack_bytes" },
		{ "PageTables", "host_memory_page_tables_bytes" },
		{ "CommitLimit", "host_memory_commit_limit_bytes" },
		{ "Committed_AS", "host_memory_committed_bytes" },
		{ "Hugetlb", "host_memory_hugetlb_bytes" },
		{ "HardwareCorrupted", "host_memory_corrupted_bytes" },
		{ "SwapTotal", "host_memory_swap_total_bytes" },
		{ "SwapFree", "host_memory_swap_free_bytes" },
	}, pages[] = {
		{ "HugePages_Total", "host_memory_hugepages" },
		{ "HugePages_Free", "host_memory_hugepages_free" },
	};
	char *line, key[32], unit[3];
	uint64_t v;

	(void)what;
	while ((line = strsep(&text, "\n"))) {
		const char *name;
		int n = sscanf(line, "%31[A-Za-z_]: %" SCNu64 " %2s", key, &v, unit);

		if (n == 3 && strcmp(unit, "kB") == 0 && (name = find_named(wanted, ARRAY_LEN(wanted), key)))
			gauge_whole(h, name, "By", v * 1024);
		else if (n == 2 && (name = find_named(pages, ARRAY_LEN(pages), key)))
			gauge_whole(h, name, "1", v);
	}
}

void
host_text_paging(struct host_text *h, char *text, const char *what)
{
	static const struct named wanted[] = {
		{ "pswpin", "host_swap_in_pages" },
		{ "pswpout", "host_swap_out_pages" },
		{ "pgmajfault", "host_major_faults" },
		{ "oom_kill", "host_oom_kills" },
	};
	char *line, key[48];
	uint64_t v;

	(void)what;
	while ((line = strsep(&text, "\n"))) {
		const char *name;

		/* The text has some 150 lines: only those that may be one of ours are taken apart. */
		if ((line[0] != 'p' && line[0] != 'o') || sscanf(line, "%47s %" SCNu64, key, &v) != 2)
			continue;
		name = find_named(wanted, ARRAY_LEN(wanted), key);
		if (name)
			count_whole(h, name, v);
	}
}

void
host_text_load(struct host_text *h, char *text, const char *what)
{
	double one, five, fifteen;
	uint64_t threads;

	(void)what;
	if (sscanf(text, "%lf %lf %lf %*u/%" SCNu64, &one, &five, &fifteen, &threads) != 4)
		return;
	sample_gauge(h->out, NULL, "host_load1", "1", h->now_us, one);
	sample_gauge(h->out, NULL, "host_load5", "1", h->now_us, five);
	sample_gauge(h->out, NULL, "host_load15", "1", h->now_us, fifteen);
	gauge_whole(h, "host_threads", "1", threads);
}

void
host_text_files(struct host_text *h, char *text, const char *what)
{
	uint64_t open, max;

	(void)what;
	if (sscanf(text, "%" SCNu64 " %*u %" SCNu64, &open, &max) != 2)
		return;
	gauge_whole(h, "host_files_open", "1", open);
	gauge_whole(h, "host_files_max", "1", max > INT64_MAX ? INT64_MAX : max);
}

void
host_text_uptime(struct host_text *h, char *text, const char *what)
{
	double s;

	(void)what;
	if (sscanf(text, "%lf", &s) == 1)
		sample_gauge(h->out, NULL, "host_uptime_seconds", "s", h->now_us, s);
}

void
host_text_number(struct host_text *h, char *text, const char *what)
{
	uint64_t v;

	if (sscanf(text, "%" SCNu64, &v) == 1)
		gauge_whole(h, what, "1", v);
}

void
host_text_clock(struct host_text *h, const struct timex *t, int state)
{
	/* Where nobody disciplines the clock the kernel's estimates say nothing. */
	bool good = state != TIME_ERROR && !(t->status & STA_UNSYNC);
	double unit = t->status & STA_NANO ? 1e-9 : 1e-6;

	if (state < 0)
		return;
	gauge_whole(h, "host_time_synchronised", "1", good);
	if (!good)
		return;
	sample_gauge(h->out, NULL, "host_time_offset_seconds", "s", h->now_us, (double)t->offset * unit);
	sample_gauge(h->out, NULL, "host_time_error_max_seconds", "s", h->now_us, (double)t->maxerror * 1e-6);
}

void
host_text_pressure(struct host_text *h, char *text, const char *what)
{
	char *line, kind[8];
	uint64_t total_us;

	while ((line = strsep(&text, "\n"))) {
		struct otlp_sample *p;

		if (sscanf(line, "%7s avg10=%*f avg60=%*f avg300=%*f total=%" SCNu64, kind,
			&total_us) != 2)
			continue;
		p = sample_add(h->out, NULL, "host_pressure_stalled_seconds", "s", h->now_us);
		sample_count(p, h->boot_us, (double)total_us / (double)CLOCK_US_PER_S);
		sample_label(h->out, p, "resource", what);
		sample_label(h->out, p, "kind", kind);
	}
}

