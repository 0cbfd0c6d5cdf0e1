/* Texts of kernel and distribution as trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/json.h"
#include "appliance/base/scope.h"
#include "telemetry/inventory/inventory_packages.h"
#include "telemetry/inventory/inventory_text.h"

static const struct {
	json_t *(*read)(const char *text);
	const char *text, *tree;
} rows[] = {
	{ inventory_text_release, "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"
		"HOME_URL=\"https://x\"\n# NAME=no\nNAME='a \\n b'\nVERSION_CODENAME=book\\worm",
		"{\"id\":\"debian\",\"name\":\"a \\\\n b\",\"pretty_name\":\"Debian GNU/Linux 12 (bookworm)\","
		"\"version_codename\":\"bookworm\",\"version_id\":\"12\"}" },
	{ inventory_text_release, "NAME=\"a \\\"b\\\" \\$c\"tail\nID=\nPRETTY_NAME=\"open\nVERSION_ID", "{"
		"\"name\":\"a \\\"b\\\" $c\",\"pretty_name\":\"open\"}" },
	{ inventory_text_release, "NAME=a\tb\x01\xff  c \n", "{\"name\":\"a b c\"}" },
	{ inventory_text_release, "", "{}" },
	{ inventory_text_cpu, "processor\t: 0\nmodel name\t: Some CPU  @ 2GHz\nphysical id\t: 0\ncore id\t\t: 0\n"
		"flags\t\t: fpu hypervisor sse\n\nprocessor\t: 1\nmodel name\t: Other\nphysical id\t: 0\ncore id\t\t: 0\n"
		"\nprocessor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\nflags\t\t: fpu hypervisor\n",
		"{\"cores\":2,\"hypervisor\":true,\"model\":\"Some CPU @ 2GHz\",\"sockets\":2,\"threads\":3}" },
	{ inventory_text_cpu, "processor\t: 0\nBogoMIPS\t: 1\nprocessors: 9\nflags\t\t: nohypervisor\nmodel name\n",
		"{\"hypervisor\":false,\"threads\":1}" },
	{ inventory_text_cpu, "processor: 0\nModel\t: Raspberry Pi", "{\"hypervisor\":false,\"model\":\"Raspberry Pi\","
		"\"threads\":1}" },
	{ inventory_text_mounts, "/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n"
		"10.0.0.1:/x /mnt/b nfs4 ro,x 0 0\n/dev/sdc /mnt/a vfat rw 0 0\nbroken\n"
		"a b c\n/dev/sdd /root\\040x ext4 rom 0 0\n",
		"[{\"name\":\"/\",\"read_only\":false,\"type\":\"ext4\"},"
		"{\"name\":\"/mnt/a\",\"read_only\":false,\"type\":\"vfat\"},"
		"{\"name\":\"/mnt/b\",\"read_only\":true,\"type\":\"nfs4\"},"
		"{\"name\":\"/root\\\\040x\",\"read_only\":false,\"type\":\"ext4\"}]" },
	{ inventory_text_mounts, "", "[]" },
};

static void
texts_become_trees(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		SCOPED_JSON *tree = rows[i].read(rows[i].text), *expected = json_loads(rows[i].tree, 0, NULL);
		SCOPED(scope_free) char *shown = json_dumps(tree, JSON_SORT_KEYS | JSON_COMPACT);

		assert_non_null(expected);
		assert_non_null(tree);
		if (!json_equal(tree, expected))
			fail_msg("row %zu: %s", i, shown);
	}
}

/* Of two file systems at one place one is told. */
static void
a_place_is_told_once(void **state)
{
	SCOPED_JSON *tree = inventory_text_mounts("/dev/a /x ext4 rw 0 0\n/dev/b / ext4 rw 0 0\n/dev/c /x ext4 rw 0 0\n");

	(void)state;
	assert_non_null(tree);
	assert_int_equal(json_array_size(tree), 2);
	assert_string_equal(json_text(json_array_get(tree, 0), "name"), "/");
	assert_string_equal(json_text(json_array_get(tree, 1), "name"), "/x");
}

/* --- packages ------------------------------------------------------------------------------------------------------- */
static const char status[] =
	"Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1:1.2.13.dfsg-1\n"
	"Description: compression\n Package: not-me\n .\n more\n\n"
	"Package: adduser\nStatus: hold ok installed\nPriority: important\nArchitecture: all\nVersion: 3.134\n\n"
	"Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\n"
	"Package: half\nStatus: install ok half-installed\nArchitecture: all\nVersion: 1\n\n"
	"Package: odd name\nStatus: install ok installed\nVersion: 1\n\n"
	"Package: noversion\nStatus: install ok installed\n\n"
	"Package: zlib1g\nStatus: install ok installed\nArchitecture: i386\nVersion: 1:1.2.13.dfsg-1";

static const char listed[] = "[{\"name\":\"adduser\",\"version\":\"3.134\",\"arch\":\"all\"},"
	"{\"name\":\"zlib1g:amd64\",\"version\":\"1:1.2.13.dfsg-1\",\"arch\":\"amd64\"},"
	"{\"name\":\"zlib1g:i386\",\"version\":\"1:1.2.13.dfsg-1\",\"arch\":\"i386\"}]";

/* In pieces of any size: where a chunk ends is nobody's choice. */
static void
installed_packages_are_listed_however_they_stream(void **state)
{
	SCOPED_JSON *expected = json_loads(listed, 0, NULL);

	(void)state;
	for (size_t piece = 1; piece < sizeof(status); piece += piece < 40 ? 1 : 97) {
		SCOPED(inventory_packages_done) struct inventory_packages p;
		SCOPED_JSON *list = NULL;

		inventory_packages_begin(&p);
		for (size_t at = 0; at < sizeof(status) - 1; at += piece)
			inventory_packages_feed(&p, status + at,
				piece < sizeof(status) - 1 - at ? piece : sizeof(status) - 1 - at);
		list = inventory_packages_end(&p);
		assert_non_null(list);
		assert_true(json_equal(list, expected));
		assert_int_equal(p.refused, 2);
	}
}

static void
a_line_longer_than_any_word_is_stepped_over(void **state)
{
	SCOPED(inventory_packages_done) struct inventory_packages p;
	SCOPED_JSON *list = NULL;
	char line[1000];

	(void)state;
	inventory_packages_begin(&p);
	memset(line, 'a', sizeof(line));
	memcpy(line, "Package: ", 9);
	line[sizeof(line) - 1] = '\n';
	inventory_packages_feed(&p, "Status: install ok installed\nVersion: 1\n", 40);
	inventory_packages_feed(&p, line, sizeof(line));
	memcpy(line + 9 + INVENTORY_PACKAGE_WORD_MAX + 1, "\n\n", 2); /* one byte more than a name has */
	inventory_packages_feed(&p, "\nStatus: install ok installed\nVersion: 1\n", 41);
	inventory_packages_feed(&p, line, 9 + INVENTORY_PACKAGE_WORD_MAX + 3);
	memcpy(line + 9 + INVENTORY_PACKAGE_WORD_MAX, "\n\n", 2);
	inventory_packages_feed(&p, "Status: install ok installed\nVersion: 1\n", 40);
	inventory_packages_feed(&p, line, 9 + INVENTORY_PACKAGE_WORD_MAX + 2);
	list = inventory_packages_end(&p);
	assert_non_null(list);
	assert_int_equal(p.refused, 2);
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(strlen(json_text(json_array_get(list, 0), "name")), INVENTORY_PACKAGE_WORD_MAX);
}

static void
no_more_packages_than_the_cap(void **state)
{
	SCOPED(inventory_packages_done) struct inventory_packages p;
	SCOPED_JSON *list = NULL;
	char text[96];

	(void)state;
	inventory_packages_begin(&p);
	for (int i = 0; i < INVENTORY_PACKAGES_MAX + 5; i++) {
		int n = snprintf(text, sizeof(text), "Package: p%d\nStatus: install ok installed\nVersion: 1\n\n", i);

		inventory_packages_feed(&p, text, (size_t)n);
	}
	list = inventory_packages_end(&p);
	assert_non_null(list);
	assert_int_equal(json_array_size(list), INVENTORY_PACKAGES_MAX);
	assert_int_equal(p.refused, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_become_trees),
		cmocka_unit_test(a_place_is_told_once),
		cmocka_unit_test(installed_packages_are_listed_however_they_stream),
		cmocka_unit_test(a_line_longer_than_any_word_is_stepped_over),
		cmocka_unit_test(no_more_packages_than_the_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
