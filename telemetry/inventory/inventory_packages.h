/* dpkg's status file, read as it streams: a megabyte is never in memory at once. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
	INVENTORY_PACKAGES_MAX = 20000,
	INVENTORY_PACKAGE_WORD_MAX = 96, /* bytes of a name, a version, an architecture */
};

/* One at a time, into a list; begin with inventory_packages_begin(). */
struct inventory_packages {
	json_t *list; /* owned: [{name, version, arch}] */
	size_t refused; /* installed, and not in the list: too many, or a name of another form */
	bool failed;  /* no memory */
	char line[2 * INVENTORY_PACKAGE_WORD_MAX];
	size_t len;
	bool longer; /* the line is longer than any that is wanted */
	char name[INVENTORY_PACKAGE_WORD_MAX + 1], version[INVENTORY_PACKAGE_WORD_MAX + 1],
		arch[INVENTORY_PACKAGE_WORD_MAX + 1];
	bool installed;
};

/* Empty; done() frees what was gathered, also after end(). */
void inventory_packages_begin(struct inventory_packages *p);
void inventory_packages_done(struct inventory_packages *p);

/* The next bytes of the file, cut anywhere; what is malformed in it is passed over. */
void inventory_packages_feed(struct inventory_packages *p, const char *text, size_t len);

/* The file has ended.  The list is then in the order of names, and a name that is there for two architectures is
 * "name:arch".  Returns a new reference, or NULL without memory. */
json_t *inventory_packages_end(struct inventory_packages *p);
