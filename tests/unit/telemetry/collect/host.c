/* The kernel's texts, from a folder that looks like /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fs.h"
#include "appliance/base/scope.h"
#include "appliance/egress/field.h"
#include "telemetry/collect/host.h"
#include "telemetry/collect/metric_help.h"
#include "telemetry/collect/host_text.h"
#include "telemetry/collect/sample.h"

#define NOW (UINT64_C(2000000000) * CLOCK_US_PER_S)

static char top[] = "/tmp/mainstay-host-XXXXXX";
static int top_fd = -1;

static const struct {
	const char *folder, *name, *text;
} files[] = {
	{ "proc", "stat", "cpu  400 0 200 1000 50 1 2 3 0 0\ncpu0 200 0 100 500 25 0 1 1 0 0\n"
		"cpu1 200 0 100 500 25 1 1 2 0 0\nintr 5 0 0\nctxt 9\nbtime 1999999000\nprocesses 77\n"
		"procs_running 2\nprocs_blocked 1\nsoftirq 4 5\n" },
	{ "proc", "meminfo", "MemTotal:       16000 kB\nMemFree:        500 kB\nMemAvailable:   8000 kB\n"
		"SwapTotal:      0 kB\nSwapFree:       0 kB\nSReclaimable: 300 kB\nSUnreclaim: 200 kB\n"
		"Active(anon): 7 kB\nNovelty: 1 kB\nHugePages_Total:       4\nHugePages_Free:        1\n"
		"Hugepagesize: 2048 kB\nHugetlb: 8192 kB\nDirty: nonsense\n" },
	{ "proc", "vmstat", "nr_free_pages 5\npgpgin 9\npswpin 3\npswpout 4\npgmajfault 6\noom_kill 2\npgodd\n" },
	{ "proc", "uptime", "1000.25 3000.00\n" },
	{ "proc/sys/fs", "file-nr", "1500\t0\t9223372036854775807\n" },
	{ "proc/sys/kernel/random", "entropy_avail", "256\n" },
	{ "proc/sys/net/netfilter", "nf_conntrack_count", "12\n" },
	{ "proc/sys/net/netfilter", "nf_conntrack_max", "none\n" },
	{ "proc", "loadavg", "0.50 1.25 2.00 3/250 4711\n" },
	{ "proc", "diskstats", "   8       0 sda 10 0 100 5 20 0 200 7 3 1500 12 0 0 0 0\n"
		"   8       1 sda1 10 0 100 5 20 0 200 7 0 1500 12 0 0 0 0\n"
		"   7       0 loop0 1 0 2 0 0 0 0 0 0 0 0\nnot a disk\n   8 1 sda 1 2 3\n" },
	{ "proc/net", "dev", "Inter-|   Receive                       |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes ...\n"
		"    lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0\n"
		"  eth0:1000 10 1 5 0 0 0 0 2000 20 2 6 0 0 0 0\n"
		"  eth1: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n  wan0: 1 2 3\n"
		"veth12: 1000 10 1 5 0 0 0 0 2000 20 2 6 0 0 0 0\n" },
	{ "sys/class/net/eth0", "carrier", "1\n" },
	{ "sys/class/net/eth1", "carrier", "0\n" },
	{ "proc/pressure", "io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nnonsense\n" },
	{ "proc/pressure", "cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n"
		"full avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n" },
	{ "proc/self", "mounts", "/dev/sda1 / ext4 rw 0 0\nproc /proc proc rw 0 0\n"
		"/dev/sda1 /mnt/again ext4 rw 0 0\nserver:/x /mnt/nfs nfs4 rw 0 0\nbroken\n" },
};

static int
make_files(void **state)
{
	size_t i;

	(void)state;
	if (!mkdtemp(top))
		return -1;
	top_fd = open(top, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	for (i = 0; i < ARRAY_LEN(files); i++) {
		SCOPED(scope_close) int fd = -1;

		if (fs_open_dir(&fd, top_fd, files[i].folder, 0755) != 0 ||
			fs_replace(fd, files[i].name, files[i].text, strlen(files[i].text), 0644) != 0)
			return -1;
	}
	for (i = 0; i < 2; i++) {
		SCOPED(scope_close) int fd = -1;

		if (fs_open_dir(&fd, top_fd, i ? "sys/block/loop0" : "sys/block/sda/device", 0755) != 0)
			return -1;
	}
	return 0;
}

static int
remove_files(void **state)
{
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	(void)state;
	close(top_fd);
	return fs_remove_tree(tmp, strrchr(top, '/') + 1);
}

/* "name{label=value,...} value" and, of counters, "+"; those whose name begins with prefix. */
static void
show(const struct sample_set *s, const char *prefix, struct buf *out)
{
	size_t i, j;

	for (i = 0; i < s->n; i++) {
		const struct otlp_sample *p = &s->items[i];

		if (strncmp(p->name, prefix, strlen(prefix)) != 0)
			continue;
		buf_puts(out, p->name);
		for (j = 0; j < p->n_labels; j++)
			buf_printf(out, "{%s=%s}", p->labels[j].name, p->labels[j].value);
		buf_printf(out, " %g%s\n", p->real, p->kind == OTLP_SAMPLE_COUNTER ? "+" : "");
		assert_int_equal(p->time_us, NOW);
		if (p->kind == OTLP_SAMPLE_COUNTER)
			assert_int_equal(p->start_us, UINT64_C(1999999000) * CLOCK_US_PER_S);
	}
}

static const struct row {
	const char *prefix, *shown;
} rows[] = {
	{ "host_boot", "host_boot_time_seconds 2e+09\n" },
	{ "host_uptime", "host_uptime_seconds 1000.25\n" },
	{ "host_cpus", "host_cpus 2\n" },
	{ "host_cpu_", "host_cpu_seconds{mode=user} 4+\nhost_cpu_seconds{mode=nice} 0+\n"
		"host_cpu_seconds{mode=system} 2+\nhost_cpu_seconds{mode=idle} 10+\n"
		"host_cpu_seconds{mode=iowait} 0.5+\nhost_cpu_seconds{mode=irq} 0.01+\n"
		"host_cpu_seconds{mode=softirq} 0.02+\nhost_cpu_seconds{mode=steal} 0.03+\n" },
	{ "host_interrupts", "host_interrupts 5+\n" },
	{ "host_context", "host_context_switches 9+\n" },
	{ "host_forks", "host_forks 77+\n" },
	{ "host_processes", "host_processes_running 2\nhost_processes_blocked 1\n" },
	{ "host_memory", "host_memory_total_bytes 1.6384e+07\nhost_memory_free_bytes 512000\n"
		"host_memory_available_bytes 8.192e+06\nhost_memory_swap_total_bytes 0\n"
		"host_memory_swap_free_bytes 0\nhost_memory_slab_reclaimable_bytes 307200\n"
		"host_memory_slab_unreclaimable_bytes 204800\nhost_memory_hugepages 4\n"
		"host_memory_hugepages_free 1\nhost_memory_hugetlb_bytes 8.38861e+06\n" },
	{ "host_swap", "host_swap_in_pages 3+\nhost_swap_out_pages 4+\n" },
	{ "host_major", "host_major_faults 6+\n" },
	{ "host_oom", "host_oom_kills 2+\n" },
	{ "host_load", "host_load1 0.5\nhost_load5 1.25\nhost_load15 2\n" },
	{ "host_threads", "host_threads 250\n" },
	{ "host_files_", "host_files_open 1500\nhost_files_max 9.22337e+18\n" },
	{ "host_entropy", "host_entropy_available 256\n" },
	{ "host_conntrack", "host_conntrack_entries 12\n" },
	{ "host_disk", "host_disk_reads{device=sda} 10+\nhost_disk_read_bytes{device=sda} 51200+\n"
		"host_disk_read_seconds{device=sda} 0.005+\nhost_disk_writes{device=sda} 20+\n"
		"host_disk_written_bytes{device=sda} 102400+\nhost_disk_write_seconds{device=sda} 0.007+\n"
		"host_disk_in_flight{device=sda} 3\nhost_disk_busy_seconds{device=sda} 1.5+\n" },
	{ "host_network_r", "host_network_received_bytes{device=eth0} 1000+\n"
		"host_network_received_packets{device=eth0} 10+\nhost_network_received_drops{device=eth0} 5+\n"
		"host_network_received_bytes{device=eth1} 0+\n"
		"host_network_received_packets{device=eth1} 0+\nhost_network_received_drops{device=eth1} 0+\n" },
	{ "host_network_sent_d", "host_network_sent_drops{device=eth0} 6+\nhost_network_sent_drops{device=eth1} 0+\n" },
	{ "host_network_errors", "host_network_errors{device=eth0} 3+\nhost_network_errors{device=eth1} 0+\n" },
	{ "host_network_up", "host_network_up{device=eth0} 1\nhost_network_up{device=eth1} 0\n" },
	{ "host_pressure", "host_pressure_stalled_seconds{resource=cpu}{kind=some} 2.5+\n"
		"host_pressure_stalled_seconds{resource=cpu}{kind=full} 0.5+\n"
		"host_pressure_stalled_seconds{resource=io}{kind=some} 1+\n" },
};

/* Whatever a host tells by default is accepted as it is switched on, but for mounts: they are the customer's words. */
static void
assert_ships(const struct sample_set *s)
{
	char field[FIELD_NAME_MAX + 1];

	for (size_t i = 0; i < s->n; i++) {
		bool by_mount = strncmp(s->items[i].name, "host_filesystem_", 16) == 0;

		assert_int_equal(field_is_shipped(s->items[i].name), !by_mount);
		if (!metric_help(s->items[i].name))
			fail_msg("%s is not described", s->items[i].name);
		for (size_t j = 0; j < s->items[i].n_labels; j++) {
			assert_true(field_of_label(field, s->items[i].name, s->items[i].labels[j].name));
			assert_int_equal(field_is_shipped(field), !by_mount);
		}
	}
}

static void
every_field_that_ships_is_described(void **state)
{
	(void)state;
	for (size_t i = 0; field_shipped[i]; i++)
		if (!strchr(field_shipped[i], '{') && strchr(field_shipped[i], '_') && !metric_help(field_shipped[i]))
			fail_msg("%s is not described", field_shipped[i]);
	assert_null(metric_help("node_load1"));
	assert_null(metric_help("redis"));
	assert_non_null(metric_help("redis_up"));
	assert_non_null(metric_help("up"));
}

static void
texts_become_samples(void **state)
{
	SCOPED(host_closep) struct host *h = NULL;
	SCOPED(sample_done) struct sample_set s = { 0 };
	char proc[64], sys[64];
	size_t i, mounted = 0, roles = 0;

	(void)state;
	(void)snprintf(proc, sizeof(proc), "%s/proc", top);
	(void)snprintf(sys, sizeof(sys), "%s/sys", top);
	assert_int_equal(host_open(&h, proc, sys, top), 0);
	host_collect(h, &s, NOW);
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED(buf_done) struct buf out = BUF_MAX(65536);

		show(&s, rows[i].prefix, &out);
		assert_string_equal(buf_text(&out), rows[i].shown);
	}
	for (i = 0; i < s.n; i++) {
		mounted += strcmp(s.items[i].name, "host_filesystem_size_bytes") == 0;
		roles += strcmp(s.items[i].name, "host_storage_free_bytes") == 0;
	}
	assert_int_equal(mounted, 1); /* one device counts once, a network file system never */
	assert_int_equal(roles, 2);
	assert_ships(&s);
	i = s.n;
	host_collect(h, &s, NOW); /* kept files are read anew */
	assert_int_equal(s.n, 2 * i);
}

static void
this_host_has_numbers(void **state)
{
	SCOPED(host_closep) struct host *h = NULL;
	SCOPED(sample_done) struct sample_set s = { 0 };
	size_t i, cpu = 0;

	(void)state;
	assert_int_equal(host_open(&h, "/proc", "/sys", "/tmp"), 0);
	host_collect(h, &s, clock_now_us());
	for (i = 0; i < s.n; i++)
		cpu += strcmp(s.items[i].name, "host_cpu_seconds") == 0;
	assert_int_equal(cpu, 8);
	assert_true(host_open(&h, "/nowhere", "/sys", "/tmp") < 0);
}

static const struct clock_row {
	int state, status;
	long offset, error;
	const char *shown;
} clock_rows[] = {
	{ TIME_OK, STA_NANO, 2500000, 40000, "host_time_synchronised 1\nhost_time_offset_seconds 0.0025\n"
		"host_time_error_max_seconds 0.04\n" },
	{ TIME_INS, 0, -2500, 1000, "host_time_synchronised 1\nhost_time_offset_seconds -0.0025\n"
		"host_time_error_max_seconds 0.001\n" },
	{ TIME_ERROR, STA_UNSYNC, 0, 16000000, "host_time_synchronised 0\n" },
	{ TIME_OK, STA_UNSYNC, 0, 16000000, "host_time_synchronised 0\n" },
	{ -1, 0, 0, 0, "" },
};

static void
the_clock_says_how_good_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clock_rows); i++) {
		const struct clock_row *row = &clock_rows[i];
		const struct timex t = { .status = row->status, .offset = row->offset, .maxerror = row->error };
		SCOPED(sample_done) struct sample_set s = { 0 };
		SCOPED(buf_done) struct buf out = BUF_MAX(4096);
		struct host_text h = { .out = &s, .now_us = NOW };

		host_text_clock(&h, &t, row->state);
		show(&s, "host_time", &out);
		assert_string_equal(buf_text(&out), row->shown);
	}
}

static void
a_full_set_counts_what_it_refuses(void **state)
{
	SCOPED(sample_done) struct sample_set s = { 0 }, copy = { 0 };
	int i;

	(void)state;
	for (i = 0; i < SAMPLE_SET_MAX; i++)
		assert_non_null(sample_add(&s, "redis", "a", "1", NOW));
	assert_null(sample_gauge(&s, NULL, "a", "1", NOW, 1));
	sample_count(NULL, 0, 1);
	sample_label(&s, NULL, "a", "b");
	assert_int_equal(s.refused, 1);
	sample_append(&copy, &s);
	assert_int_equal(copy.n, SAMPLE_SET_MAX);
	assert_int_equal(copy.refused, 1);
	sample_reset(&s);
	assert_string_equal(copy.items[0].service, "redis");
	assert_int_equal(s.n + s.refused, 0);
}

/* A number without one of its labels would be another series'. */
static void
a_sample_whose_label_finds_no_room_is_taken_back(void **state)
{
	SCOPED(scope_free) char *large = malloc(SAMPLE_TEXT_MAX);
	SCOPED(sample_done) struct sample_set s = { 0 };
	struct otlp_sample *p;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', SAMPLE_TEXT_MAX - 1);
	large[SAMPLE_TEXT_MAX - 1] = '\0';
	sample_label(&s, sample_add(&s, "redis", "a", "1", NOW), "small", "x");
	p = sample_add(&s, "redis", "b", "1", NOW);
	sample_label(&s, p, "large", large);
	sample_label(&s, p, "large too", large);
	sample_count(p, 0, 1);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.refused, 1);
	assert_string_equal(s.items[0].name, "a");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_samples),
		cmocka_unit_test(every_field_that_ships_is_described),
		cmocka_unit_test(this_host_has_numbers),
		cmocka_unit_test(the_clock_says_how_good_it_is),
		cmocka_unit_test(a_full_set_counts_what_it_refuses),
		cmocka_unit_test(a_sample_whose_label_finds_no_room_is_taken_back),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
