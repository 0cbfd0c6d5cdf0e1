/* What is the customer's, copied into one new folder for whoever leaves a vendor.  No private key is taken. */
#pragma once

#include "appliance/base/fs.h"

enum { TAKEOUT_FILE_MAX = 64 * 1024 * 1024 };

/* Make the folder (0700) and open it.  Returns 0; REASON_CONFLICT (logged) where there is something in it;
 * REASON_NOT_FOUND (logged) where it cannot be made; or a fault. */
int takeout_open(int *ret_fd, const char *dir);
/* Copy files and folders by a fixed list; what is not there is left out, links and what is no plain file are not
 * followed.  Returns 0, REASON_TOO_LARGE (logged) for a file over TAKEOUT_FILE_MAX, or a fault. */
int takeout_copy(int dir_fd, const struct paths *paths);
/* What lies where, and how to check it without anybody's help. */
int takeout_readme(int dir_fd);
