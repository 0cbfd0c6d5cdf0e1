/* Which logs are followed, and through which door their lines leave: telemetry/logs, told what the monitor and the
 * operator named, asking the collector's filter and redactors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "appliance/base/scope.h"
#include "telemetry/collect/config.h"

struct door;
struct follow;
struct sample_set;
struct spool;

struct follow_ops {
	bool (*on)(void *arg); /* may anything leave now? */
	void (*written)(struct spool *spool, uint64_t sequence, void *arg);
};

/* All borrowed, and outlive it.  settings: what mainstay.yaml names.  Returns 0 or a fault. */
int follow_new(struct follow **ret, sd_event *loop, int dir_fd, struct spool *spool,
	struct door *door, const struct config_settings *settings, const struct follow_ops *ops,
	void *arg);
struct follow *follow_free(struct follow *f);
SCOPED_DESTRUCTOR(struct follow, follow_free)

/* The logs of the services of c; the site's name is taken over.  A log that cannot be understood is logged and left
 * out.  Returns 0 or a fault. */
int follow_set(struct follow *f, const struct config *c);

/* Once a period, and when a switch or what is accepted changed. */
void follow_look(struct follow *f);

/* Append what was read, left out and lost.  since_us: when this process began to count. */
void follow_own(const struct follow *f, struct sample_set *out, uint64_t since_us, uint64_t now_us);

/* For `mainstay telemetry preview`: append the request that carries the last lines of each log that may leave, by the same
 * door and the same encoder.  Files are read, nothing is kept.  Returns 0 with how many lines, or a fault. */
enum { FOLLOW_PREVIEW_LINES = 5 };
int follow_preview(struct door *door, const struct config *c, const struct config_settings *settings,
	struct buf *out, size_t *ret_n);
