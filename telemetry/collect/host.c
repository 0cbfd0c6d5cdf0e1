#include "telemetry/collect/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "appliance/base/fault.h"
#include "appliance/base/log.h"
#include "telemetry/collect/host_text.h"
#include "telemetry/collect/sample.h"

enum {
	TEXT_MAX = 256 * 1024, /* of one file: many CPUs and interrupts make /proc/stat long */
	MOUNTS_MAX = 64,
};

static void
pressure_cpu(struct host_text *h, char *text)
{
	host_text_pressure(h, text, "cpu");
}

static void
pressure_memory(struct host_text *h, char *text)
{
	host_text_pressure(h, text, "memory");
}

static void
pressure_io(struct host_text *h, char *text)
{
	host_text_pressure(h, text, "io");
}

/* stat comes first: it knows when the counters of the others began. */
static const struct {
	const char *path;
	host_text_fn *parse;
} files[] = {
	{ "stat", host_text_stat },
	{ "meminfo", host_text_memory },
	{ "loadavg", host_text_load },
	{ "diskstats", host_text_disks },
	{ "net/dev", host_text_network },
	{ "pressure/cpu", pressure_cpu },
	{ "pressure/memory", pressure_memory },
	{ "pressure/io", pressure_io },
	{ "self/mounts", host_text_mounts },
};

struct host {
	int fds[ARRAY_LEN(files)]; /* -1: this kernel has no such file */
	int block_fd;              /* /sys/block, -1 where there is none */
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
	char block[256];
	size_t i;

	if (!h)
		return FAULT(-ENOMEM);
	for (i = 0; i < ARRAY_LEN(files); i++)
		h->fds[i] = -1;
	h->block_fd = -1;
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
	(void)snprintf(block, sizeof(block), "%s/block", sys);
	h->block_fd = open(block, O_DIRECTORY | O_PATH | O_CLOEXEC); /* absent: no disks are told apart */
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

static void
put_space(struct host *h, const char *where, const char *size_name, const char *free_name,
	const char *label, const char *value)
{
	struct otlp_sample *p;
	struct statvfs fs;

	if (statvfs(where, &fs) < 0)
		return;
	p = sample_gauge_int(h->out, NULL, size_name, "By", h->now_us,
		(int64_t)(fs.f_blocks * fs.f_frsize));
	sample_label(h->out, p, label, value);
	p = sample_gauge_int(h->out, NULL, free_name, "By", h->now_us,
		(int64_t)(fs.f_bavail * fs.f_frsize));
	sample_label(h->out, p, label, value);
}

/* A file system that is mounted in many places counts once, where it was mounted first. */
static void
mounted(const char *device, const char *where, void *arg)
{
	struct host *h = arg;
	size_t i;

	for (i = 0; i < h->n_seen; i++)
		if (strcmp(h->seen[i], device) == 0)
			return;
	if (h->n_seen == MOUNTS_MAX || strlen(device) >= sizeof(h->seen[0]))
		return;
	(void)snprintf(h->seen[h->n_seen++], sizeof(h->seen[0]), "%s", device);
	put_space(h, where, "host_filesystem_size_bytes", "host_filesystem_free_bytes",
		"mountpoint", where);
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
		.arg = h,
	};
	size_t i;

	h->out = out;
	h->now_us = now_us;
	h->n_seen = 0;
	for (i = 0; i < ARRAY_LEN(files); i++) {
		if (h->fds[i] >= 0 && read_text(h, h->fds[i]))
			files[i].parse(&t, h->text);
	}
	put_space(h, "/", "host_storage_size_bytes", "host_storage_free_bytes", "role", "root");
	put_space(h, h->state, "host_storage_size_bytes", "host_storage_free_bytes", "role", "state");
}
