#include "telemetry/collect/host_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/scope.h"
#include "telemetry/collect/sample.h"

enum { SECTOR = 512 }; /* in diskstats always, whatever the disk says */

static void
count_real(struct host_text *h, const char *name, const char *unit, const char *label,
	const char *value, double v)
{
	struct otlp_sample *p = sample_add(h->out, NULL, name, unit, h->now_us);

	sample_count(p, h->boot_us, v);
	sample_label(h->out, p, label, value);
}

static void
count_whole(struct host_text *h, const char *name, const char *unit, const char *label,
	const char *value, uint64_t v)
{
	struct otlp_sample *p = sample_add(h->out, NULL, name, unit, h->now_us);

	sample_count_int(p, h->boot_us, (int64_t)v);
	sample_label(h->out, p, label, value);
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
host_text_stat(struct host_text *h, char *text)
{
	const char *boot = strstr(text, "\nbtime ");
	uint64_t cpus = 0, v;
	char *line;

	/* The boot time stands near the end, and the counters at the start begin there. */
	if (boot && sscanf(boot, "\nbtime %" SCNu64, &v) == 1) {
		h->boot_us = v * CLOCK_US_PER_S;
		sample_gauge_int(h->out, NULL, "host_boot_time_seconds", "s", h->now_us,
			(int64_t)v);
	}
	while ((line = strsep(&text, "\n"))) {
		if (strncmp(line, "cpu ", 4) == 0)
			stat_cpu(h, line);
		else if (strncmp(line, "cpu", 3) == 0)
			cpus++;
		else if (sscanf(line, "procs_running %" SCNu64, &v) == 1)
			sample_gauge_int(h->out, NULL, "host_processes_running", "1", h->now_us,
				(int64_t)v);
		else if (sscanf(line, "procs_blocked %" SCNu64, &v) == 1)
			sample_gauge_int(h->out, NULL, "host_processes_blocked", "1", h->now_us,
				(int64_t)v);
	}
	if (cpus > 0)
		sample_gauge_int(h->out, NULL, "host_cpus", "1", h->now_us, (int64_t)cpus);
}

void
host_text_memory(struct host_text *h, char *text)
{
	static const struct {
		const char *key, *name;
	} wanted[] = {
		{ "MemTotal", "host_memory_total_bytes" },
		{ "MemAvailable", "host_memory_available_bytes" },
		{ "SwapTotal", "host_memory_swap_total_bytes" },
		{ "SwapFree", "host_memory_swap_free_bytes" },
	};
	char *line, key[32];
	uint64_t kib;
	size_t i;

	while ((line = strsep(&text, "\n"))) {
		if (sscanf(line, "%31[A-Za-z]: %" SCNu64 " kB", key, &kib) != 2)
			continue;
		for (i = 0; i < ARRAY_LEN(wanted); i++)
			if (strcmp(wanted[i].key, key) == 0)
				sample_gauge_int(h->out, NULL, wanted[i].name, "By", h->now_us,
					(int64_t)(kib * 1024));
	}
}

void
host_text_load(struct host_text *h, char *text)
{
	double one, five, fifteen;
	uint64_t threads;

	if (sscanf(text, "%lf %lf %lf %*u/%" SCNu64, &one, &five, &fifteen, &threads) != 4)
		return;
	sample_gauge(h->out, NULL, "host_load1", "1", h->now_us, one);
	sample_gauge(h->out, NULL, "host_load5", "1", h->now_us, five);
	sample_gauge(h->out, NULL, "host_load15", "1", h->now_us, fifteen);
	sample_gauge_int(h->out, NULL, "host_threads", "1", h->now_us, (int64_t)threads);
}

void
host_text_disks(struct host_text *h, char *text)
{
	uint64_t read, written, busy_ms;
	char *line, name[33];

	while ((line = strsep(&text, "\n"))) {
		if (sscanf(line, "%*u %*u %32s %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64
			" %*u %*u %" SCNu64, name, &read, &written, &busy_ms) != 4)
			continue;
		if (!h->is_disk(name, h->arg))
			continue;
		count_whole(h, "host_disk_read_bytes", "By", "device", name, read * SECTOR);
		count_whole(h, "host_disk_written_bytes", "By", "device", name, written * SECTOR);
		count_real(h, "host_disk_busy_seconds", "s", "device", name,
			(double)busy_ms / 1000);
	}
}

void
host_text_network(struct host_text *h, char *text)
{
	uint64_t in, in_errors, out, out_errors;
	char *line, *colon, name[33];

	while ((line = strsep(&text, "\n"))) {
		colon = strrchr(line, ':'); /* an alias holds one, too */
		if (!colon)
			continue;
		*colon = '\0';
		if (sscanf(line, " %32s", name) != 1 || strcmp(name, "lo") == 0)
			continue;
		if (sscanf(colon + 1, "%" SCNu64 " %*u %" SCNu64 " %*u %*u %*u %*u %*u %" SCNu64
			" %*u %" SCNu64, &in, &in_errors, &out, &out_errors) != 4)
			continue;
		count_whole(h, "host_network_received_bytes", "By", "device", name, in);
		count_whole(h, "host_network_sent_bytes", "By", "device", name, out);
		count_whole(h, "host_network_errors", "1", "device", name, in_errors + out_errors);
	}
}

/* "\040" and its like, as the kernel writes blanks in names. */
static void
unescape(char *text)
{
	char *to = text;

	while (*text) {
		unsigned v;

		if (*text == '\\' && strspn(text + 1, "01234567") >= 3 &&
			sscanf(text + 1, "%3o", &v) == 1) {
			*to++ = (char)v;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

void
host_text_mounts(struct host_text *h, char *text)
{
	/* Local ones only: statvfs() of a network file system whose server is gone blocks for ever. */
	static const char *const local[] = { "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat",
		"zfs", "jfs", "reiserfs", "bcachefs" };
	char *line, *device, *where, *type;
	size_t i;

	while ((line = strsep(&text, "\n"))) {
		device = strsep(&line, " ");
		where = strsep(&line, " ");
		type = strsep(&line, " ");
		if (!type)
			continue;
		for (i = 0; i < ARRAY_LEN(local) && strcmp(local[i], type) != 0; i++)
			;
		if (i == ARRAY_LEN(local))
			continue;
		unescape(where);
		h->mounted(device, where, h->arg);
	}
}

void
host_text_pressure(struct host_text *h, char *text, const char *resource)
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
		sample_label(h->out, p, "resource", resource);
		sample_label(h->out, p, "kind", kind);
	}
}

int
host_text_process(const char *text, uint64_t *ret_ticks, uint64_t *ret_pages)
{
	/* The second field is the program's name in parentheses and may hold anything. */
	const char *p = strrchr(text, ')');
	uint64_t user, sys, pages;

	if (!p || sscanf(p + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
		" %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64, &user, &sys, &pages) != 3)
		return -1;
	*ret_ticks = user + sys;
	*ret_pages = pages;
	return 0;
}
