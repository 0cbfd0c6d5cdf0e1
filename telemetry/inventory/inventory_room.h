/* What the files of the site's part share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "telemetry/inventory/inventory.h"

struct buf;

/* A whole file below root, which may be reached by links; out is replaced.  Returns 0; REASON_NOT_FOUND, REASON_TOO_LARGE
 * or REASON_MALFORMED (unlogged; also where it may not be read); or -ENOMEM. */
int inventory_read(const struct inventory_ask *ask, const char *path, struct buf *out);
/* Is it there? */
bool inventory_has(const struct inventory_ask *ask, const char *path);
/* Put the first line of a file, cleaned, where it says something.  Returns 0 or -ENOMEM. */
int inventory_put_line(json_t *to, const char *name, const struct inventory_ask *ask, const char *path);
/* A number alone in a file; -1 in *ret where there is none.  Returns 0 or -ENOMEM. */
int inventory_number(int64_t *ret, const struct inventory_ask *ask, const char *path);

/* Put what belongs to the group into an empty object.  Returns 0 or a fault. */
typedef int inventory_fn(json_t *to, const struct inventory_ask *ask);
inventory_fn inventory_devices_hardware, inventory_devices_network, inventory_certificates;
