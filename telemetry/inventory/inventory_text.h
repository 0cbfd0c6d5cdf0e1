/* Texts of the kernel and of the distribution, each turned into a tree.  Pure; a line of an unknown form is stepped over.
 * Returns are new references, NULL without memory. */
#pragma once

#include <jansson.h>
#include <stddef.h>

enum { INVENTORY_TEXT_MAX = 128 /* bytes of one value; what is longer is cut */ };

/* A value as it may stand in a tree: printable ASCII, blanks at the ends gone and in between single. */
char *inventory_text_clean(char out[INVENTORY_TEXT_MAX + 1], const char *text, size_t len);

/* /etc/os-release: ID, VERSION_ID, VERSION_CODENAME, NAME and PRETTY_NAME, in small letters. */
json_t *inventory_text_release(const char *text);
/* /proc/cpuinfo: {model, sockets, cores, threads, hypervisor}. */
json_t *inventory_text_cpu(const char *text);
/* /proc/self/mounts: [{name, type, read_only}] of what is stored somewhere, by name. */
json_t *inventory_text_mounts(const char *text);
