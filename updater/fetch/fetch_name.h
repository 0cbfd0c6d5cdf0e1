/* The names that the monitor gives the courier to fetch: it made them from documents that the hub brought, so that
 * each is looked at before it becomes a path and a URL. */
#pragma once

#include <stdbool.h>

enum { FETCH_NAME_MAX = 350 };

/* A path of plain names: letters, digits and "._-%+~", none empty, none beginning with a dot. */
bool fetch_name_ok(const char *name);
/* Below incoming/ (and, behind a slash, on the hub): "tuf/NAME"; or, where object is true, "objects/aa/HEX.zst" for HEX and
 * "patches/FROM-TO.zst" for FROM-TO.  out has size bytes.  false where the name is not one: an object's is 64 hex digits, a
 * patch's two of these. */
bool fetch_name_path(char *out, unsigned size, const char *name, bool object);
/* The pack's path on the hub, "packs/HEX". */
bool fetch_name_pack(char *out, unsigned size, const char *hex);
