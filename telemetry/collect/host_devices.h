/* The kernel's texts about devices: as host_text.h has it. */
#pragma once

#include "telemetry/collect/host_text.h"

host_text_fn host_devices_disks;   /* /proc/diskstats */
host_text_fn host_devices_network; /* /proc/net/dev */
host_text_fn host_devices_mounts;  /* /proc/self/mounts */
