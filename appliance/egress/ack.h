/* How far the hub has committed each stream: lib/courier/acks.json, replaced at each step, never going back.
 *
 * The courier writes it; the owners of the streams read it as a hint for what may be trimmed (a courier that
 * lies can only lose what it could have withheld), `telemetry sent` reads it to tell sent from waiting. */
#pragma once

#include <stdint.h>

struct ack;

#define ACK_NAME "acks.json"

/* Read dir_fd/acks.json; no file: nothing was acknowledged.  dir_fd is borrowed and outlives it.  Returns 0, a
 * reason (logged) where the file is damaged, or a fault. */
int ack_open(struct ack **ret, int dir_fd);
struct ack *ack_free(struct ack *a);

uint64_t ack_get(const struct ack *a, const char *stream); /* 0: none yet */
/* Durable on return.  A lower sequence than the known one is ignored. */
int ack_set(struct ack *a, const char *stream, uint64_t sequence);
