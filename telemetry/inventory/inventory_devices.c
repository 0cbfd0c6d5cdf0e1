/* Hardware and network, mostly from sysfs. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "telemetry/inventory/inventory_room.h"
#include "telemetry/inventory/inventory_text.h"

enum { PATH_BYTES = 512, NAME_BYTES = 64, DEVICES_MAX = 256, CPU_MAX = 2 * 1024 * 1024, SECTOR = 512 };

typedef int device_fn(json_t *list, const struct inventory_ask *ask, const char *dir, const char *name);

/* Each name of a folder, in order.  An absent folder has none. */
static int
each_device(json_t *list, const struct inventory_ask *ask, const char *dir, device_fn *fn)
{
	char full[PATH_BYTES];
	struct dirent **names;
	int n, r = 0;

	(void)snprintf(full, sizeof(full), "%s%s", ask->root, dir);
	n = scandir(full, &names, NULL, alphasort);
	if (n < 0)
		return errno == ENOMEM ? -ENOMEM : 0;
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (r == 0 && name[0] != '.' && strlen(name) < NAME_BYTES && json_array_size(list) < DEVICES_MAX)
			r = fn(list, ask, dir, name);
		free(names[i]);
	}
	free(names);
	return r;
}

/* "DIR/NAME/ABOUT" */
static const char *
path_of(char out[PATH_BYTES], const char *dir, const char *name, const char *about)
{
	(void)snprintf(out, PATH_BYTES, "%s/%s/%s", dir, name, about);
	return out;
}

static int
put_number(json_t *to, const char *name, const struct inventory_ask *ask, const char *path, int64_t times)
{
	int64_t v;
	int r = inventory_number(&v, ask, path);

	if (r < 0 || v < 0 || v > INT64_MAX / times)
		return r;
	return json_object_set_new(to, name, json_integer(v * times)) < 0 ? -ENOMEM : 0;
}

/* --- hardware ------------------------------------------------------------------------------------------------------- */
static int
add_disk(json_t *list, const struct inventory_ask *ask, const char *dir, const char *name)
{
	SCOPED_JSON *item = NULL;
	char path[PATH_BYTES];
	int64_t rotational = -1;
	int r;

	if (!inventory_has(ask, path_of(path, dir, name, "device")))
		return 0; /* made of others: loop, dm, md, ram */
	item = json_pack("{s:s}", "name", name);
	if (!item)
		return -ENOMEM;
	r = inventory_put_line(item, "model", ask, path_of(path, dir, name, "device/model"));
	r = r ?: put_number(item, "bytes", ask, path_of(path, dir, name, "size"), SECTOR);
	r = r ?: inventory_number(&rotational, ask, path_of(path, dir, name, "queue/rotational"));
	if (r == 0 && rotational >= 0)
		r = json_object_set_new(item, "rotational", json_boolean(rotational > 0)) < 0 ? -ENOMEM : 0;
	return r ?: json_array_append(list, item);
}

/* What the firmware says of itself names the hypervisor; the processor only says that there is one. */
static const char *
virtualisation(const json_t *product, bool hypervisor)
{
	static const struct {
		const char *word, *is;
	} known[] = { { "VMware", "vmware" }, { "VirtualBox", "virtualbox" }, { "innotek", "virtualbox" },
		{ "QEMU", "kvm" }, { "KVM", "kvm" }, { "OpenStack", "kvm" }, { "Xen", "xen" },
		{ "Virtual Machine", "hyper-v" }, { "Amazon EC2", "amazon" }, { "Google", "google" },
		{ "DigitalOcean", "kvm" }, { "Hetzner", "kvm" } };
	static const char *const where[] = { "vendor", "product" };

	for (size_t i = 0; i < ARRAY_LEN(where); i++) {
		const char *text = json_text(product, where[i]);

		for (size_t k = 0; text && k < ARRAY_LEN(known); k++)
			if (strstr(text, known[k].word) && (hypervisor || k < 3))
				return known[k].is;
	}
	return hypervisor ? "some" : "none";
}

static int
put_product(json_t *to, const struct inventory_ask *ask, bool hypervisor)
{
	static const struct {
		const char *name, *path;
	} lines[] = {
		{ "vendor", "/sys/class/dmi/id/sys_vendor" },
		{ "product", "/sys/class/dmi/id/product_name" },
		{ "board", "/sys/class/dmi/id/board_name" },
		{ "firmware", "/sys/class/dmi/id/bios_version" },
		{ "firmware_date", "/sys/class/dmi/id/bios_date" },
		{ "product", "/proc/device-tree/model" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(lines) && r == 0; i++)
		r = inventory_put_line(to, lines[i].name, ask, lines[i].path);
	r = r ?: json_put_text(to, "virtualisation", virtualisation(to, hypervisor));
	if (r == 0 && (inventory_has(ask, "/.dockerenv") || inventory_has(ask, "/run/.containerenv")))
		r = json_object_set_new(to, "container", json_true());
	return r;
}

static int
put_memory(json_t *to, const struct inventory_ask *ask)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(64 * 1024);
	unsigned long long kib;
	int r = inventory_read(ask, "/proc/meminfo", &in);

	/* To the MiB: another kernel keeps some pages more or less for itself. */
	if (r != 0 || sscanf(buf_text(&in), "MemTotal: %llu kB", &kib) != 1)
		return r < 0 ? FAULT(r) : 0;
	return json_put_u64(to, "memory_mib", kib / 1024);
}

int
inventory_devices_hardware(json_t *to, const struct inventory_ask *ask)
{
	SCOPED(buf_done) struct buf in = BUF_MAX(CPU_MAX);
	SCOPED_JSON *disks = json_array(), *cpu = NULL;
	bool hypervisor = false;
	int r = disks ? inventory_read(ask, "/proc/cpuinfo", &in) : -ENOMEM;

	if (r > 0) {
		r = 0;
	} else if (r == 0) {
		cpu = inventory_text_cpu(buf_text(&in));
		r = cpu ? 0 : -ENOMEM;
		hypervisor = json_is_true(json_object_get(cpu, "hypervisor"));
		(void)json_object_del(cpu, "hypervisor");
		r = r ?: json_object_set(to, "cpu", cpu);
	}
	r = r ?: put_memory(to, ask);
	r = r ?: put_product(to, ask, hypervisor);
	r = r ?: each_device(disks, ask, "/sys/block", add_disk);
	if (r < 0 || json_object_set(to, "disks", disks) < 0)
		return FAULT(-ENOMEM);
	return 0;
}

/* --- network -------------------------------------------------------------------------------------------------------- */
static int
add_interface(json_t *list, const struct inventory_ask *ask, const char *dir, const char *name)
{
	static const struct {
		const char *about, *kind;
	} kinds[] = { { "device", "physical" }, { "bonding", "bond" }, { "bridge", "bridge" }, { "wireless", "wireless" } };
	SCOPED_JSON *item = NULL;
	const char *kind = "virtual";
	char path[PATH_BYTES];
	int r;

	/* Ends of containers come and go. */
	if (strcmp(name, "lo") == 0 || strncmp(name, "veth", 4) == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (inventory_has(ask, path_of(path, dir, name, kinds[i].about)))
			kind = kinds[i].kind;
	item = json_pack("{s:s, s:s}", "name", name, "kind", kind);
	if (!item)
		return -ENOMEM;
	r = put_number(item, "speed_mbit", ask, path_of(path, dir, name, "speed"), 1);
	r = r ?: put_number(item, "mtu", ask, path_of(path, dir, name, "mtu"), 1);
	r = r ?: inventory_put_line(item, "state", ask, path_of(path, dir, name, "operstate"));
	return r ?: json_array_append(list, item);
}

int
inventory_devices_network(json_t *to, const struct inventory_ask *ask)
{
	SCOPED_JSON *list = json_array();

	if (!list || each_device(list, ask, "/sys/class/net", add_interface) < 0 ||
		json_object_set(to, "interfaces", list) < 0)
		return FAULT(-ENOMEM);
	return 0;
}
