/* The control group that systemd gave our unit: what a supervisor hands its children of the group it made for them. */
#pragma once

#include <stddef.h>

enum { GROUP_OWN_KILLS = 1, GROUP_OWN_ALL = 3 };

/* Open the first n of what counts how often limits were reached (group_own_counts()), at descriptor first and behind it,
 * where nothing is open yet.  None where there is no such group. */
void group_own_hand_over(int first, size_t n);
