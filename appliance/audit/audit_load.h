/* The signed heads of an audit folder, read without changing anything: what opening and verifying
 * have in common. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "appliance/audit/audit.h"

#define AUDIT_LOAD_CHECKPOINT "checkpoint"
#define AUDIT_LOAD_COSIGNED "cosigned"

struct audit_head {
	bool present;
	struct note *note;
	char *text; /* the whole note, NUL-terminated */
	size_t len;
	struct note_checkpoint checkpoint;
};
void audit_head_done(struct audit_head *h);

/* Read checkpoint or cosigned and verify that audit_key signed it under the origin it names, the
 * checkpoint with no other signature, cosigned with more.  An absent file is not an error: present
 * is false.  Returns 0, REASON_ALTERED (logged), or a fault. */
int audit_load_head(struct audit_head *ret, int dir_fd, const char *file,
	const uint8_t audit_key[32]);
