/* Answers that a former site key signed and the hub never took: after a rotation it takes only what the present key
 * signs, for anybody may have the old one. */
#pragma once

#include <stddef.h>

struct buf;

/* outbox_change_fn; arg is the present key (struct ed25519).  Appends the same body with the envelope signed by the present
 * key beside the signature that it was made with; nothing where it is no plan, result, progress or permits, or signed so
 * already.  What lies in the outbox only this process could write.  Returns 0 or a fault. */
int reseal_answer(struct buf *out, const void *body, size_t len, void *arg);
