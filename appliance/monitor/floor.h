/* The floor of the clock: a time that is certainly past, because it stands in what a threshold of the vendor's
 * or the customer's keys signed.  lib/monitor/floor.json; it only rises. */
#pragma once

#include <stdint.h>

/* No file: 0.  Returns 0, a refusal of a damaged file, or a fault. */
int floor_load(uint64_t *ret_us, int dir_fd);
int floor_save(uint64_t us, int dir_fd);
