/* How a program gets into a service's sandbox: the same walls for the service, its health check, its
 * preparation and its reload. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "appliance/base/scope.h"
#include "appliance/loop/child.h"
#include "appliance/service/spec.h"
#include "appliance/supervise/group.h"

struct boxed {
	const struct spec *spec; /* borrowed; its secrets have their descriptors */
	struct group group;	 /* owned; what runs inside joins it */
	bool own_user; /* no other service has this uid: its processes can be counted by it */
	int filter, passwd,
		users; /* owned memory files: the seccomp program, /etc/passwd, /etc/group */
};

enum boxed_rights {
	BOXED_DATA =
		1 << 0, /* its data, configuration and log; else its run folder alone, read-only */
	BOXED_SECRETS = 1 << 1,
	BOXED_BOUND = 1 << 2, /* ends when its parent does */
};

/* Where its output goes, and what tells of it.  Borrowed; -1: none. */
struct boxed_ends {
	int out, err;
	int info; /* bubblewrap writes there, see sandbox_child_pid() */
	int go;	  /* it begins once this can be read */
};

/* Fill; group and own_user are the caller's to set afterwards.  Returns 0; REASON_NO_SANDBOX (logged)
 * where the filter cannot be built; or a fault. */
int boxed_open(struct boxed *ret, const struct spec *spec);
struct boxed *boxed_done(struct boxed *b);

/* Start argv (ends with NULL) inside.  *ret is bubblewrap.  Returns 0; what sandbox_end() refuses;
 * REASON_NO_SANDBOX bubblewrap is not there; REASON_NOT_FOUND a secret is needed that nobody gave (both
 * logged); or a fault. */
int boxed_spawn(struct child *ret, const struct boxed *b, char *const *argv, unsigned rights,
	const struct boxed_ends *ends);
