/* mainstay.yaml's telemetry.journal:
 *
 *	units: [ssh.service, cron]   # "cron" is cron.service
 *	level: warning               # and worse; without it everything
 *	directory: /var/log/journal/remote   # where it is not the host's own journal */
#pragma once

#include "telemetry/collect/config.h"

struct yaml_node;

/* Returns 0; REASON_MALFORMED or REASON_UNKNOWN_FIELD (logged with file:line:col). */
int config_journal_read(struct config_settings *s, const struct yaml_node *map);
