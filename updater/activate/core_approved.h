/* Core releases that k of the customer's owners said yes to: lib/monitor/core.json, {"v":1,"items":["sha256:HEX"...],
 * "back":["sha256:HEX"...]}, newest last.  The core runs as root: no switch, rule or director lets one in that is not in
 * items.  back: those of them that this site went back from since; such a one goes in again by a new word of the owners, or
 * where somebody says `--again`. */
#pragma once

#include <stdint.h>

enum { CORE_APPROVED_MAX = 32 };

/* Add a digest, durably, and forget that the site went back from it; the oldest makes room.  A damaged file is begun anew: what it approved must be approved again.
 * Returns 0 or a fault. */
int core_approved_add(int monitor_fd, const uint8_t digest[32]);

/* 1 where it is one of them; 0 where it is not, or the file is damaged or not there; or a fault: nobody could look. */
int core_approved_has(int monitor_fd, const uint8_t digest[32]);

/* The site went back from it: to be asked for anew.  Nothing where it is not in the list.  Returns 0 or a fault. */
int core_approved_went_back(int monitor_fd, const uint8_t digest[32]);
int core_approved_is_back(int monitor_fd, const uint8_t digest[32]);
