/* What a host is made of, in groups: each a tree of texts and numbers that is the same as long as the host is.
 *
 *	hardware       processor, memory, disks, product, virtualisation
 *	os             distribution, kernel, time zone
 *	packages       name, version, architecture of each installed package (dpkg)
 *	certificates   subject, issuer, days and key of those that mainstay.yaml names
 *	network        interfaces: kind, speed, MTU, state
 *	filesystems    what is mounted where, and of which type
 *
 * No serial number, no address of the network or of an interface, and no name of the host is ever in it. */
#pragma once

#include <jansson.h>
#include <stddef.h>

enum inventory_group {
	INVENTORY_HARDWARE,
	INVENTORY_OS,
	INVENTORY_PACKAGES,
	INVENTORY_CERTIFICATES,
	INVENTORY_NETWORK,
	INVENTORY_FILESYSTEMS,
	INVENTORY_GROUPS
};

const char *inventory_name(enum inventory_group group);	 /* "hardware" */
const char *inventory_shape(enum inventory_group group); /* what it holds, as accepted: "inventory name,version,arch" */

/* All borrowed. */
struct inventory_ask {
	const char *root; /* "" for this host, or a folder that looks like "/" */
	const char *const *certificates; /* absolute paths */
	size_t n_certificates;
};

/* *ret is a new object.  What this host does not tell is left out; lists are in the order of their names.  Blocks while
 * files are read.  Returns 0 or a fault. */
int inventory_build(json_t **ret, enum inventory_group group, const struct inventory_ask *ask);
