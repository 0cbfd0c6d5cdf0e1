/* What is the customer's, copied into one new folder for whoever leaves a vendor.  No private key is taken. */
#pragma once

#include <stdint.h>

#include "appliance/base/fs.h"

/* One file: beyond it something is wrong, and nobody fills the new disk with it. */
#define TAKEOUT_FILE_MAX (INT64_C(4) << 30)

/* Make the folder (0700) and open it.  Returns 0; REASON_CONFLICT (logged) where there is something in it;
 * REASON_NOT_FOUND (logged) where it cannot be made; or a fault. */
int takeout_open(int *ret_fd, const char *dir);
/* Copy files and folders by a fixed list, whatever their size; what is not there is left out, links and what is no plain
 * file are not followed.  Returns 0, REASON_TOO_LARGE (logged) for a file over TAKEOUT_FILE_MAX, or a fault. */
int takeout_copy(int dir_fd, const struct paths *paths);
/* The log, once its last entry is written: copied and verified as a whole by audit_key.  Returns as takeout_copy(), what
 * verify_log() refuses, or a fault. */
int takeout_log(int dir_fd, const struct paths *paths, const uint8_t audit_key[32]);
/* What lies where, and how to check it without anybody's help. */
int takeout_readme(int dir_fd);
