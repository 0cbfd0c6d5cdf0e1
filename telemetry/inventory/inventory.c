#include "telemetry/inventory/inventory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/number.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "telemetry/inventory/inventory_packages.h"
#include "telemetry/inventory/inventory_room.h"
#include "telemetry/inventory/inventory_text.h"

enum { PATH_BYTES = 512, SMALL_MAX = 4096, TEXT_MAX = 1024 * 1024, CHUNK = 32 * 1024 };

/* --- files ---------------------------------------------------------------------------------------------------------- */
static int
open_below(const struct inventory_ask *ask, const char *path)
{
	char full[PATH_BYTES];

	if (snprintf(full, sizeof(full), "%s%s", ask->root, path) >= (int)sizeof(full))
		return -1;
	/* What is no file must not hold us up. */
	return open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int
inventory_read(const struct inventory_ask *ask, const char *path, struct buf *out)
{
	SCOPED(scope_close) int fd = open_below(ask, path);
	int r;

	buf_reset(out);
	if (fd < 0)
		return REASON_NOT_FOUND;
	r = fs_read_fd(fd, out->max, out);
	/* Files of sysfs say in many ways that there is nothing to be said. */
	return r < 0 && r != -ENOMEM ? REASON_NOT_FOUND : r;
}

bool
inventory_has(const struct inventory_ask *ask, const char *path)
{
	char full[PATH_BYTES];

	return snprintf(full, sizeof(full), "%s%s", ask->root, path) < (int)sizeof(full) && access(full, F_OK) == 0;
}

int
inventory_put_line(json_t *to, const char *name, const struct inventory_ask *ask, const char *path)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(SMALL_MAX);
	char clean[INVENTORY_TEXT_MAX + 1];
	const char *text;
	int r = inventory_read(ask, path, &in);

	if (r != 0)
		return r < 0 ? FAULT(r) : 0;
	text = buf_text(&in);
	(void)inventory_text_clean(clean, text, strcspn(text, "\n"));
	return *clean ? json_put_text(to, name, clean) : 0;
}

int
inventory_number(int64_t *ret, const struct inventory_ask *ask, const char *path)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(SMALL_MAX);
	char clean[INVENTORY_TEXT_MAX + 1];
	uint64_t v;
	int r = inventory_read(ask, path, &in);

	*ret = -1;
	if (r < 0)
		return FAULT(r);
	if (r == 0 && number_u64(&v, inventory_text_clean(clean, buf_text(&in), in.len), INT64_MAX) == 0)
		*ret = (int64_t)v;
	return 0;
}

/* --- os ------------------------------------------------------------------------------------------------------------- */
/* Debian writes it down; others only link to it. */
static int
put_zone(json_t *to, const struct inventory_ask *ask)
{
	static const char zones[] = "/zoneinfo/";
	char full[PATH_BYTES], link[PATH_BYTES], clean[INVENTORY_TEXT_MAX + 1];
	const char *zone;
	ssize_t n;

	(void)snprintf(full, sizeof(full), "%s/etc/localtime", ask->root);
	n = readlink(full, link, sizeof(link) - 1);
	if (n <= 0)
		return inventory_put_line(to, "time_zone", ask, "/etc/timezone");
	link[n] = '\0';
	zone = strstr(link, zones);
	if (!zone)
		return 0;
	zone += sizeof(zones) - 1;
	return json_put_text(to, "time_zone", inventory_text_clean(clean, zone, strlen(zone)));
}

static int
build_os(json_t *to, const struct inventory_ask *ask)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(SMALL_MAX);
	int r;

	r = inventory_read(ask, "/etc/os-release", &in);
	if (r > 0)
		r = inventory_read(ask, "/usr/lib/os-release", &in);
	if (r == 0) {
		SCOPED_JSON *release = inventory_text_release(buf_text(&in));

		r = release && json_object_update(to, release) == 0 ? 0 : -ENOMEM;
	}
	if (r < 0)
		return FAULT(r);
	r = inventory_put_line(to, "kernel", ask, "/proc/sys/kernel/osrelease");
	r = r ?: inventory_put_line(to, "kernel_version", ask, "/proc/sys/kernel/version");
	r = r ?: inventory_put_line(to, "architecture", ask, "/proc/sys/kernel/arch");
	r = r ?: put_zone(to, ask);
	r = r ?: json_put_text(to, "init", inventory_has(ask, "/run/systemd/system") ? "systemd" : "other");
	return FAULT(r);
}

/* --- packages ------------------------------------------------------------------------------------------------------- */
static int
read_packages(struct inventory_packages *p, int fd)
{
	char chunk[CHUNK];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		inventory_packages_feed(p, chunk, (size_t)n);
	return n < 0 ? FAULT(-errno) : 0;
}

/* dpkg's are read.  Of another manager it is said that it is there, and that its packages are not told. */
static int
build_packages(json_t *to, const struct inventory_ask *ask)
{
	SCOPED(inventory_packages_done) struct inventory_packages p;
	SCOPED(scope_close) int fd = open_below(ask, "/var/lib/dpkg/status");
	json_t *list = NULL;
	int r;

	inventory_packages_begin(&p);
	if (fd < 0)
		return FAULT(json_put_text(to, "manager",
			inventory_has(ask, "/var/lib/rpm") || inventory_has(ask, "/usr/lib/sysimage/rpm") ?
				"rpm: not read" : "none known"));
	r = read_packages(&p, fd);
	if (r == 0)
		list = inventory_packages_end(&p);
	if (r < 0 || !list || json_object_set_new(to, "packages", list) < 0)
		return FAULT(r ?: -ENOMEM);
	r = json_put_text(to, "manager", "dpkg");
	if (r == 0 && p.refused > 0)
		r = json_put_u64(to, "not_told", p.refused);
	return FAULT(r);
}

/* --- filesystems ---------------------------------------------------------------------------------------------------- */
static int
build_filesystems(json_t *to, const struct inventory_ask *ask)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(TEXT_MAX);
	int r = inventory_read(ask, "/proc/self/mounts", &in);

	if (r < 0)
		return FAULT(r);
	if (r > 0)
		return 0;
	return json_object_set_new(to, "mounts", inventory_text_mounts(buf_text(&in))) < 0 ? FAULT(-ENOMEM) : 0;
}

/* --- all ------------------------------------------------------------------------------------------------------------ */
static const struct {
	const char *name, *shape;
	inventory_fn *build;
} groups[INVENTORY_GROUPS] = {
	[INVENTORY_HARDWARE] = { "hardware", "inventory cpu,memory,disks,product,virtualisation", inventory_devices_hardware },
	[INVENTORY_OS] = { "os", "inventory release,kernel,time_zone,init", build_os },
	[INVENTORY_PACKAGES] = { "packages", "inventory name,version,arch", build_packages },
	[INVENTORY_CERTIFICATES] = { "certificates", "inventory file,subject,issuer,days,key", inventory_certificates },
	[INVENTORY_NETWORK] = { "network", "inventory name,kind,speed,mtu,state", inventory_devices_network },
	[INVENTORY_FILESYSTEMS] = { "filesystems", "inventory mountpoint,type,read_only", build_filesystems },
};

const char *
inventory_name(enum inventory_group group)
{
	return groups[group].name;
}

const char *
inventory_shape(enum inventory_group group)
{
	return groups[group].shape;
}

int
inventory_build(json_t **ret, enum inventory_group group, const struct inventory_ask *ask)
{
	SCOPED_JSON *to = json_object();
	int r = to ? groups[group].build(to, ask) : -ENOMEM;

	if (r < 0)
		return FAULT(r);
	*ret = STEAL(to);
	return 0;
}
