/* What client.c and search.c share: the state of a client.  Not for other rooms. */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/tuf/client.h"

enum { TUF_STATES_MAX = 256 };

struct tuf_state {
	char name[TUF_ROLE_MAX + 1];
	struct tuf_split split;
	json_t *signed_;  /* NULL: not trusted (yet) */
	struct buf bytes;
	struct buf offer; /* kept bytes that wait for their step */
	bool fresh;
};

enum tuf_phase {
	TUF_PHASE_ROOT,
	TUF_PHASE_TIMESTAMP,
	TUF_PHASE_SNAPSHOT,
	TUF_PHASE_TARGETS,
	TUF_PHASE_CURRENT,
};

/* Who vouches for a role's metadata: the delegating role's keys, or (role NULL) the root. */
struct tuf_delegation {
	char name[TUF_ROLE_MAX + 1];
	const json_t *keys, *role; /* borrowed */
};

struct tuf_client {
	uint64_t start_us;
	enum tuf_phase phase;
	unsigned rotations;
	json_t *first; /* the root it began with */
	struct tuf_state *roles[TUF_STATES_MAX];
	size_t n_roles;
	struct tuf_delegation wanted; /* targets or delegated; "" where none */
	json_t *wanted_keys, *wanted_role; /* what wanted borrows from */
};

struct tuf_state *tuf_client_find(const struct tuf_client *c, const char *role);

/* Have a role trusted through this delegation: at once, or from what was offered.  Returns 0;
 * TUF_WANTS (tuf_client_want() names it); REASON_NOT_FOUND where the snapshot does not list it, or
 * the refusal of a role that another parent's keys vouched for; or a fault. */
int tuf_client_load(struct tuf_client *c, const struct tuf_delegation *of);
