#include "telemetry/collect/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "telemetry/collect/host_devices.h"
#include "telemetry/collect/host_text.h"
#include "telemetry/collect/sample.h"

enum {
	TEXT_MAX = 256 * 1024, /* of one file: many CPUs and interrupts make /proc/stat long */
	MOUNTS_MAX = 64,
};

/* stat comes first: it knows when the counters of the others began. */
static const struct {
	const char *path;
	host_text_fn *parse;
	const char *what;
} files[] = {
	{ "stat", host_text_stat, NULL },
	{ "meminfo", host_text_memory, NULL },
	{ "vmstat", host_text_paging, NULL },
	{ "loadavg", host_text_load, NULL },
	{ "uptime", host_text_uptime, NULL },
	{ "diskstats", host_devices_disks, NULL },
	{ "net/dev", host_devices_network, NULL },
	{ "pressure/cpu", host_text_pressure, "cpu" },
	{ "pressure/memory", host_text_pressure, "memory" },
	{ "pressure/io", host_text_pressure, "io" },
	{ "pressure/irq", host_text_pressure, "irq" },
	{ "sys/fs/file-nr", host_text_files, NULL },
	{ "sys/kernel/random/entropy_avail", host_text_number, "host_entropy_available" },
	{ "sys/net/netfilter/nf_conntrack_count", host_text_number, "host_conntrack_entries" },
	{ "sys/net/netfilter/nf_conntrack_max", host_text_number, "host_conntrack_max" },
	{ "self/mounts", host_devices_mounts, NULL },
};

struct host {
	int fds[ARRAY_LEN(files)]; /* -1: this kernel has no such file */
	int block_fd;              /* /sys/block, -1 where there is none */
	int net_fd;                /* /sys/class/net, -1 likewise */
	char *state;
	char *text;
	struct sample_set *out;    /* during a round */
	uint64_t now_us;
	char seen[MOUNTS_MAX][64]; /* devices already counted in this round */
	size_t n_seen;
};

int
host_open(struct host **ret, const char *proc, const char *sys, const char *state)
{
	SCOPED(host_closep) struct host *h = calloc(1, sizeof(*h));
	SCOPED(scope_close) int proc_fd = open(proc, O_DIRECTORY | O_PATH | O_CLOEXEC);
	char path[256];
	size_t i;

	if (!h)
		return FAULT(-ENOMEM);
	for (i = 0; i < ARRAY_LEN(files); i++)
		h->fds[i] = -1;
	h->block_fd = h->net_fd = -1;
	if (proc_fd < 0)
		return FAULT(-errno);
	h->state = strdup(state);
	h->text = malloc(TEXT_MAX + 1);
	if (!h->state || !h->text)
		return FAULT(-ENOMEM);
	for (i = 0; i < ARRAY_LEN(files); i++) {
		h->fds[i] = openat(proc_fd, files[i].path, O_RDONLY | O_CLOEXEC);
		if (h->fds[i] < 0)
			log_debug("no %s/%s: %m", proc, files[i].path);
	}
	(void)snprintf(path, sizeof(path), "%s/block", sys);
	h->block_fd = open(path, O_DIRECTORY | O_PATH | O_CLOEXEC); /* absent: no disks are told apart */
	(void)snprintf(path, sizeof(path), "%s/class/net", sys);
	h->net_fd = open(path, O_DIRECTORY | O_PATH | O_CLOEXEC); /* absent: nobody says what is connected */
	*ret = STEAL(h);
	return 0;
}

struct host *
host_close(struct host *h)
{
	size_t i;

	if (!h)
		return NULL;
	for (i = 0; i < ARRAY_LEN(files); i++)
		scope_close(&h->fds[i]);
	scope_close(&h->block_fd);
	scope_close(&h->net_fd);
	free(h->state);
	free(h->text);
	free(h);
	return NULL;
}

static int
is_disk(const char *name, void *arg)
{
	const struct host *h = arg;
	char path[64];

	if (h->block_fd < 0 || strchr(name, '/'))
		return 0;
	(void)snprintf(path, sizeof(path), "%s/device", name);
	return faccessat(h->block_fd, path, F_OK, 0) == 0;
}

static int
carrier(const char *name, void *arg)
{
	const struct host *h = arg;
	SCOPED(scope_close) int fd = -1;
	char path[64], c;

	if (h->net_fd < 0 || strchr(name, '/'))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/carrier", name);
	fd = openat(h->net_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* The kernel refuses to say it of an interface that is switched off. */
	return read(fd, &c, 1) == 1 && c == '1';
}

/* What statvfs() says of a file system, under one label. */
struct space {
	const char *size, *free, *inodes, *free_inodes, *read_only;
};
static const struct space by_role = { "host_storage_size_bytes", "host_storage_free_bytes",
	"host_storage_inodes", "host_storage_free_inodes", "host_storage_read_only" };
static const struct space by_mount = { "host_filesystem_size_bytes", "host_filesystem_free_bytes",
	"host_filesystem_inodes", "host_filesystem_free_inodes", "host_filesystem_read_only" };

static void
put_space(struct host *h, const char *where, bool read_only, const struct space *names,
	const char *label, const char *value)
{
	struct statvfs fs;

	if (statvfs(where, &fs) < 0)
		return;
	const struct {
		const char *name, *unit;
		uint64_t v;
	} rows[] = {
		{ names->size, "By", fs.f_blocks * fs.f_frsize },
		{ names->free, "By", fs.f_bavail * fs.f_frsize },
		{ names->inodes, "1", fs.f_files },
		{ names->free_inodes, "1", fs.f_favail },
		{ names->read_only, "1", read_only || fs.f_flag & ST_RDONLY },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		sample_label(h->out,
			sample_gauge_int(h->out, NULL, rows[i].name, rows[i].unit, h->now_us, (int64_t)rows[i].v),
			label, value);
}

/* A file system that is mounted in many places counts once, where it was mounted first. */
static void
mounted(const char *device, const char *where, int read_only, void *arg)
{
	struct host *h = arg;
	size_t i;

	for (i = 0; i < h->n_seen; i++)
		if (strcmp(h->seen[i], device) == 0)
			return;
	if (h->n_seen == MOUNTS_MAX || strlen(device) >= sizeof(h->seen[0]))
		return;
	(void)snprintf(h->seen[h->n_seen++], sizeof(h->seen[0]), "%s", device);
	put_space(h, where, read_only, &by_mount, "mountpoint", where);
}

/* The whole text; the kernel makes some of them a page at a time.  What is over the maximum is cut. */
static bool
read_text(struct host *h, int fd)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = pread(fd, h->text + len, TEXT_MAX - len, (off_t)len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 && len < TEXT_MAX);
	h->text[len] = '\0';
	return len > 0;
}

void
host_collect(struct host *h, struct sample_set *out, uint64_t now_us)
{
	struct host_text t = {
		.out = out,
		.now_us = now_us,
		.ticks = sysconf(_SC_CLK_TCK),
		.is_disk = is_disk,
		.mounted = mounted,
		.carrier = carrier,
		.arg = h,
	};
	struct timex clock = { 0 }; /* modes 0: it only asks */
	size_t i;

	h->out = out;
	h->now_us = now_us;
	h->n_seen = 0;
	for (i = 0; i < ARRAY_LEN(files); i++) {
		if (h->fds[i] >= 0 && read_text(h, h->fds[i]))
			files[i].parse(&t, h->text, files[i].what);
	}
	host_text_clock(&t, &clock, adjtimex(&clock));
	put_space(h, "/", false, &by_role, "role", "root");
	put_space(h, h->state, false, &by_role, "role", "state");
}
