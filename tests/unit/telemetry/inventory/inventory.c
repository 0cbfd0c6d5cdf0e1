/* The groups of a host, from a folder that looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "telemetry/inventory/inventory.h"

static char top[] = "/tmp/mainstay-inventory-XXXXXX";
static int top_fd = -1;

static const struct {
	const char *folder, *name, *text;
} files[] = {
	{ "proc", "cpuinfo", "processor\t: 0\nmodel name\t: CPU X\nflags\t\t: a hypervisor\n" },
	{ "proc", "meminfo", "MemTotal:       1049000 kB\n" },
	{ "proc/sys/kernel", "osrelease", "6.1.0-1-amd64\n" },
	{ "proc/sys/kernel", "version", "#1 SMP Debian\n" },
	{ "proc/self", "mounts", "/dev/vda / ext4 rw 0 0\n" },
	{ "sys/class/dmi/id", "sys_vendor", "QEMU\n" },
	{ "sys/class/dmi/id", "product_name", "Standard PC (Q35)\n" },
	{ "sys/class/dmi/id", "product_serial", "SERIAL-4711\n" },
	{ "sys/block/vda", "size", "2048\n" },
	{ "sys/block/vda/queue", "rotational", "0\n" },
	{ "sys/block/vda/device", "model", "  Disk   One \n" },
	{ "sys/block/vda/device", "serial", "SERIAL-4712\n" },
	{ "sys/block/loop0", "size", "2048\n" },
	{ "sys/class/net/eth0", "speed", "1000\n" },
	{ "sys/class/net/eth0", "mtu", "1500\n" },
	{ "sys/class/net/eth0", "operstate", "up\n" },
	{ "sys/class/net/eth0", "address", "02:00:00:00:00:01\n" },
	{ "sys/class/net/eth0/device", "vendor", "x\n" },
	{ "sys/class/net/br0/bridge", "x", "" },
	{ "sys/class/net/br0", "speed", "-1\n" },
	{ "sys/class/net/lo", "mtu", "65536\n" },
	{ "sys/class/net/veth0", "mtu", "1500\n" },
	{ "usr/lib", "os-release", "ID=debian\nVERSION_ID=\"12\"\n" },
	{ "etc", "hostname", "secret-host\n" },
	{ "var/lib/dpkg", "status", "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1.2.5.1-2\n" },
};

static int
make_files(void **state)
{
	(void)state;
	if (!mkdtemp(top))
		return -1;
	top_fd = open(top, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		SCOPED(scope_close) int fd = -1;

		if (fs_open_dir(&fd, top_fd, files[i].folder, 0755) != 0 ||
			fs_replace(fd, files[i].name, files[i].text, strlen(files[i].text), 0644) != 0)
			return -1;
	}
	return symlinkat("../usr/lib/os-release", top_fd, "etc/os-release") < 0 ||
			symlinkat("/usr/share/zoneinfo/Europe/Berlin", top_fd, "etc/localtime") < 0 ?
		-1 :
		0;
}

static int
remove_files(void **state)
{
	SCOPED(scope_close) int tmp = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	(void)state;
	close(top_fd);
	return fs_remove_tree(tmp, strrchr(top, '/') + 1);
}

static const struct {
	enum inventory_group group;
	const char *tree;
} rows[] = {
	{ INVENTORY_HARDWARE, "{\"cpu\":{\"model\":\"CPU X\",\"threads\":1},\"memory_mib\":1024,\"vendor\":\"QEMU\","
		"\"product\":\"Standard PC (Q35)\",\"virtualisation\":\"kvm\","
		"\"disks\":[{\"name\":\"vda\",\"model\":\"Disk One\",\"bytes\":1048576,\"rotational\":false}]}" },
	{ INVENTORY_OS, "{\"id\":\"debian\",\"version_id\":\"12\",\"kernel\":\"6.1.0-1-amd64\","
		"\"kernel_version\":\"#1 SMP Debian\",\"time_zone\":\"Europe/Berlin\",\"init\":\"other\"}" },
	{ INVENTORY_PACKAGES, "{\"manager\":\"dpkg\",\"packages\":[{\"name\":\"a\",\"version\":\"1.2.5.1-2\","
		"\"arch\":\"all\"}]}" },
	{ INVENTORY_CERTIFICATES, "{\"certificates\":[]}" },
	{ INVENTORY_NETWORK, "{\"interfaces\":[{\"name\":\"br0\",\"kind\":\"bridge\"},{\"name\":\"eth0\","
		"\"kind\":\"physical\",\"speed_mbit\":1000,\"mtu\":1500,\"state\":\"up\"}]}" },
	{ INVENTORY_FILESYSTEMS, "{\"mounts\":[{\"name\":\"/\",\"type\":\"ext4\",\"read_only\":false}]}" },
};

/* Neither serial numbers nor addresses nor the host's name: each row is the whole tree. */
static void
each_group_is_told(void **state)
{
	const struct inventory_ask ask = { .root = top };

	(void)state;
	assert_int_equal(ARRAY_LEN(rows), INVENTORY_GROUPS);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *tree = NULL, *expected = json_loads(rows[i].tree, 0, NULL);
		SCOPED(scope_free) char *shown = NULL;

		assert_int_equal(inventory_build(&tree, rows[i].group, &ask), 0);
		shown = json_dumps(tree, JSON_SORT_KEYS);
		assert_non_null(expected);
		if (!json_equal(tree, expected))
			fail_msg("%s: %s", inventory_name(rows[i].group), shown);
	}
}

static void
what_a_host_does_not_have_is_left_out(void **state)
{
	const struct inventory_ask ask = { .root = "/nowhere" };
	SCOPED_JSON *os = NULL, *packages = NULL, *hardware = NULL, *network = NULL, *mounts = NULL;

	(void)state;
	assert_int_equal(inventory_build(&os, INVENTORY_OS, &ask), 0);
	assert_int_equal(json_object_size(os), 1);
	assert_int_equal(inventory_build(&packages, INVENTORY_PACKAGES, &ask), 0);
	assert_string_equal(json_text(packages, "manager"), "none known");
	assert_int_equal(inventory_build(&hardware, INVENTORY_HARDWARE, &ask), 0);
	assert_string_equal(json_text(hardware, "virtualisation"), "none");
	assert_int_equal(inventory_build(&network, INVENTORY_NETWORK, &ask), 0);
	assert_int_equal(json_array_size(json_object_get(network, "interfaces")), 0);
	assert_int_equal(inventory_build(&mounts, INVENTORY_FILESYSTEMS, &ask), 0);
	assert_int_equal(json_object_size(mounts), 0);
}

static void
this_host_is_made_of_something(void **state)
{
	const struct inventory_ask ask = { .root = "" };
	SCOPED_JSON *once = NULL, *again = NULL;

	(void)state;
	for (enum inventory_group i = 0; i < INVENTORY_GROUPS; i++) {
		json_decref(once);
		json_decref(again);
		once = again = NULL;
		assert_int_equal(inventory_build(&once, i, &ask), 0);
		assert_int_equal(inventory_build(&again, i, &ask), 0);
		assert_true(json_equal(once, again)); /* the same as long as the host is */
	}
}

/* --- certificates ----------------------------------------------------------------------------------------------------- */
/* Append one that is valid from 2001-09-09T01:46:40Z for 100 s. */
static void
put_certificate(FILE *f, const char *common_name)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *x = X509_new();

	assert_non_null(key);
	assert_non_null(x);
	assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x), 1000000000));
	assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x), 1000000100));
	if (common_name)
		assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
			(const unsigned char *)common_name, -1, -1, 0), 1);
	assert_int_equal(X509_set_issuer_name(x, X509_get_subject_name(x)), 1);
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_true(X509_sign(x, key, NULL) > 0);
	assert_int_equal(PEM_write_X509(f, x), 1);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void
certificates_say_until_when(void **state)
{
	static const char *const named[] = { "/chain.pem", "/none.pem", "/text.pem", "/locked.pem" };
	const struct inventory_ask ask = { .root = top, .certificates = named, .n_certificates = ARRAY_LEN(named) };
	static const char locked[] = "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
		"DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n-----END CERTIFICATE-----\n";
	SCOPED_JSON *tree = NULL;
	char path[80];
	json_t *list;
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/chain.pem", top);
	f = fopen(path, "we");
	assert_non_null(f);
	put_certificate(f, "www.example.org");
	put_certificate(f, NULL);
	fclose(f);
	assert_int_equal(fs_replace(top_fd, "text.pem", "no certificate", 14, 0644), 0);
	assert_int_equal(fs_replace(top_fd, "locked.pem", locked, sizeof(locked) - 1, 0644), 0);
	assert_int_equal(inventory_build(&tree, INVENTORY_CERTIFICATES, &ask), 0);
	list = json_object_get(tree, "certificates");
	assert_int_equal(json_array_size(list), 5);
	assert_string_equal(json_text(json_array_get(list, 0), "name"), "/chain.pem");
	assert_string_equal(json_text(json_array_get(list, 0), "subject"), "www.example.org");
	assert_string_equal(json_text(json_array_get(list, 0), "not_before"), "2001-09-09T01:46:40.000Z");
	assert_string_equal(json_text(json_array_get(list, 0), "not_after"), "2001-09-09T01:48:20.000Z");
	assert_string_equal(json_text(json_array_get(list, 0), "key"), "ED25519 256");
	assert_string_equal(json_text(json_array_get(list, 1), "name"), "/chain.pem#2");
	assert_string_equal(json_text(json_array_get(list, 1), "subject"), "");
	for (size_t i = 2; i < 5; i++)
		assert_non_null(json_text(json_array_get(list, i), "problem"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_group_is_told),
		cmocka_unit_test(what_a_host_does_not_have_is_left_out),
		cmocka_unit_test(this_host_is_made_of_something),
		cmocka_unit_test(certificates_say_until_when),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
