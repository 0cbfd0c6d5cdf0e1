#include "updater/release/release_licence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/json.h"

#define FORMAT "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"

static void
expressions(void **state)
{
	static const struct {
		const char *text, *licence;
		size_t refs;
	} rows[] = {
		{ "",						     "NOASSERTION",				   0 },
		{ "License: GPL-2+\n",				     "NOASSERTION",				   0 },
		{ FORMAT "Files: *\n",				     "NOASSERTION",				   0 },
		{ FORMAT "License: GPL-2+\n",			     "GPL-2.0-or-later",			      0 },
		{ FORMAT "License: Expat\n",			     "MIT",					   0 },
		{ FORMAT "License:\tzlib \r\n",			     "Zlib",					  0 },
		{ FORMAT "License: GPL-2+\n\nLicense: BSD-3-clause\n text\n\nLicense: GPL-2+\n",
			"BSD-3-Clause AND GPL-2.0-or-later",							   0 },
		{ FORMAT "License: GPL-2+ or Artistic\n",	     "LicenseRef-GPL-2--or-Artistic",		   1 },
		{ FORMAT "License: public-domain\n\nLicense: ISC",     "ISC AND LicenseRef-public-domain",	      1 },
		{ FORMAT "License:\n text\n",			     "NOASSERTION",				   0 },
		{ FORMAT " License: ISC\n",			     "NOASSERTION",				   0 },
		{ FORMAT "License: Fran\xe7" "ais\n",		     "LicenseRef-Fran-ais",			   1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SCOPED_JSON *refs = json_object();
		char *licence = NULL;

		assert_int_equal(release_licence_parse(&licence, rows[i].text, strlen(rows[i].text), refs), 0);
		assert_string_equal(licence, rows[i].licence);
		assert_int_equal(json_object_size(refs), rows[i].refs);
		free(licence);
	}
}

static void
a_package_without_a_copyright_file(void **state)
{
	SCOPED_JSON *refs = json_object();
	char *licence = NULL;

	(void)state;
	assert_int_equal(release_licence_of(&licence, "no-such-package:amd64", refs), 0);
	assert_string_equal(licence, "NOASSERTION");
	free(licence);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions),
		cmocka_unit_test(a_package_without_a_copyright_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
