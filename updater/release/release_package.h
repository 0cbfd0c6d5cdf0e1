/* Debian's packages on this machine, as dpkg-query tells them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Append the absolute paths of what an installed package holds (folders and links too) to list.  Returns 0;
 * REASON_NOT_FOUND (logged, with the remedy) where it is not installed or this machine has no dpkg; or a fault. */
int release_package_files(json_t *list, const char *package);

/* Which package each of paths (an array of absolute ones) came with: *ret maps those that have one to
 * "NAME" or, where the package has an architecture of its own, "NAME:ARCH".  As the loader and people name
 * paths, so also below a folder at the top that is a link here (/lib for /usr/lib, either way).  0; REASON_NOT_FOUND where this
 * machine has no dpkg; or a fault. */
int release_package_owners(json_t **ret, const json_t *paths);

/* What is known of packages (an array of names as above), none installed twice: *ret maps each to {"name",
 * "version","architecture","source","source_version","maintainer","homepage"}, all texts. */
int release_package_facts(json_t **ret, const json_t *packages);

/* The names of facts in order, borrowed from it, and how many; the array is the caller's to free, NULL where there is
 * no memory. */
const char **release_package_sorted(const json_t *facts, size_t *ret_n);
/* "pkg:deb/debian/libc6@2.36-9?arch=amd64" of one package's facts. */
const char *release_package_url(char *out, size_t size, const json_t *facts);

/* true where path is what pattern means: "*" stands for any part of a name, "?" for one letter, "**" for
 * anything with its slashes. */
bool release_package_match(const char *pattern, const char *path);
