#include "telemetry/collect/host_devices.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/scope.h"
#include "telemetry/collect/sample.h"

enum { SECTOR = 512 /* in diskstats always, whatever the disk says */, NUMBERS_MAX = 17 };

/* Up to NUMBERS_MAX whole numbers; how many there are. */
static size_t
numbers(const char *text, uint64_t *ret)
{
	size_t n = 0;
	int used;

	while (n < NUMBERS_MAX && sscanf(text, "%" SCNu64 "%n", &ret[n], &used) == 1) {
		text += used;
		n++;
	}
	return n;
}

/* A column of a device's line, counted since boot or as it is now. */
struct column {
	const char *name, *unit;
	size_t at;	 /* among the numbers of the line */
	double scale;	 /* 0: whole */
	uint64_t times;	 /* of a whole one */
	int gauge;
};

static void
put_columns(struct host_text *h, const struct column *columns, size_t n, const char *device,
	const uint64_t *v, size_t n_v)
{
	for (size_t i = 0; i < n; i++) {
		const struct column *c = &columns[i];
		struct otlp_sample *p;

		if (c->at >= n_v)
			continue; /* an older kernel says less */
		p = sample_gauge_int(h->out, NULL, c->name, c->unit, h->now_us,
			(int64_t)(v[c->at] * (c->times ? c->times : 1)));
		if (p && c->scale > 0) {
			p->is_int = false;
			sample_count(p, h->boot_us, (double)v[c->at] * c->scale);
		} else if (p && !c->gauge) {
			sample_count_int(p, h->boot_us, p->whole);
		}
		sample_label(h->out, p, "device", device);
	}
}

void
host_devices_disks(struct host_text *h, char *text, const char *what)
{
	static const struct column columns[] = {
		{ "host_disk_reads", "1", 0, 0, 0, 0 },
		{ "host_disk_read_bytes", "By", 2, 0, SECTOR, 0 },
		{ "host_disk_read_seconds", "s", 3, 0.001, 0, 0 },
		{ "host_disk_writes", "1", 4, 0, 0, 0 },
		{ "host_disk_written_bytes", "By", 6, 0, SECTOR, 0 },
		{ "host_disk_write_seconds", "s", 7, 0.001, 0, 0 },
		{ "host_disk_in_flight", "1", 8, 0, 0, 1 },
		{ "host_disk_busy_seconds", "s", 9, 0.001, 0, 0 },
	};
	char *line, name[33];

	(void)what;
	while ((line = strsep(&text, "\n"))) {
		uint64_t v[NUMBERS_MAX];
		size_t n;
		int used;

		if (sscanf(line, "%*u %*u %32s%n", name, &used) != 1)
			continue;
		n = numbers(line + used, v);
		if (n >= 10 && h->is_disk(name, h->arg))
			put_columns(h, columns, ARRAY_LEN(columns), name, v, n);
	}
}

void
host_devices_network(struct host_text *h, char *text, const char *what)
{
	static const struct column columns[] = {
		{ "host_network_received_bytes", "By", 0, 0, 0, 0 },
		{ "host_network_received_packets", "1", 1, 0, 0, 0 },
		{ "host_network_received_drops", "1", 3, 0, 0, 0 },
		{ "host_network_sent_bytes", "By", 8, 0, 0, 0 },
		{ "host_network_sent_packets", "1", 9, 0, 0, 0 },
		{ "host_network_sent_drops", "1", 11, 0, 0, 0 },
	};
	char *line, *colon, name[33];

	(void)what;
	while ((line = strsep(&text, "\n"))) {
		uint64_t v[NUMBERS_MAX];
		struct otlp_sample *p;
		size_t n;
		int up;

		colon = strrchr(line, ':'); /* an alias holds one, too */
		if (!colon)
			continue;
		*colon = '\0';
		/* Ends of containers come and go: series without end, and what they carry is counted at the bridge. */
		if (sscanf(line, " %32s", name) != 1 || strcmp(name, "lo") == 0 ||
			strncmp(name, "veth", 4) == 0)
			continue;
		n = numbers(colon + 1, v);
		if (n < 12)
			continue;
		put_columns(h, columns, ARRAY_LEN(columns), name, v, n);
		p = sample_add(h->out, NULL, "host_network_errors", "1", h->now_us);
		sample_count_int(p, h->boot_us, (int64_t)(v[2] + v[10]));
		sample_label(h->out, p, "device", name);
		up = h->carrier(name, h->arg);
		if (up < 0)
			continue;
		p = sample_gauge_int(h->out, NULL, "host_network_up", "1", h->now_us, up);
		sample_label(h->out, p, "device", name);
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
host_devices_mounts(struct host_text *h, char *text, const char *what)
{
	/* Local ones only: statvfs() of a network file system whose server is gone blocks for ever. */
	static const char *const local[] = { "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat",
		"zfs", "jfs", "reiserfs", "bcachefs" };
	char *line, *device, *where, *type, *options;
	size_t i;

	(void)what;
	while ((line = strsep(&text, "\n"))) {
		device = strsep(&line, " ");
		where = strsep(&line, " ");
		type = strsep(&line, " ");
		options = strsep(&line, " ");
		if (!options)
			continue;
		for (i = 0; i < ARRAY_LEN(local) && strcmp(local[i], type) != 0; i++)
			;
		if (i == ARRAY_LEN(local))
			continue;
		unescape(where);
		h->mounted(device, where, strncmp(options, "ro", 2) == 0 && strchr(",", options[2]) != NULL,
			h->arg);
	}
}
