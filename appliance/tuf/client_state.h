/* What client.c, workflow.c and search.c share: the state of a client.  Not for other rooms. */
#pragma once

#include "appliance/base/buf.h"
#include "appliance/tuf/client.h"

enum {
	TUF_STATES_MAX = 256,
	TUF_OFFERED_MAX = 32 * 1024 * 1024, /* bytes of delegated roles, beyond the four */
};

struct tuf_state {
	char name[TUF_ROLE_MAX + 1];
	struct tuf_split split;
	json_t *signed_; /* NULL: not trusted (yet) */
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
	bool recovered; /* a new root took back keys of timestamp or snapshot */
	size_t offered; /* bytes of delegated roles that were offered */
	struct tuf_state *roles[TUF_STATES_MAX];
	size_t n_roles;
	struct tuf_delegation wanted;	   /* targets or delegated; "" where none */
	json_t *wanted_keys, *wanted_role; /* what wanted borrows from */
};

struct tuf_state *tuf_client_find(const struct tuf_client *c, const char *role);

/* Have a role trusted through this delegation: at once, or from what was offered.  Returns 0;
 * TUF_WANTS (tuf_client_want() names it); REASON_NOT_FOUND where the snapshot does not list it, or
 * the refusal of a role that another parent's keys vouched for; or a fault. */
int tuf_client_load(struct tuf_client *c, const struct tuf_delegation *of);

/* Find or make; NULL where there are too many or no memory. */
struct tuf_state *tuf_client_add(struct tuf_client *c, const char *role);
/* How many bytes a role's file may have. */
size_t tuf_client_cap(const char *role);
/* The trusted root, and what a document lists for a role. */
const json_t *tuf_client_root(const struct tuf_client *c);
const json_t *tuf_client_meta(const json_t *signed_, const char *role);

/* A document that was split and parsed, and not yet trusted. */
struct tuf_candidate {
	struct tuf_split split;
	json_t *signed_;
	struct buf bytes;
};
void tuf_candidate_done(struct tuf_candidate *d);
/* From whole bytes, which are kept as they are; or from a split, whose document is made again. */
int tuf_candidate_read(struct tuf_candidate *d, const char *role, const void *p, size_t len);
int tuf_candidate_copy(struct tuf_candidate *d, const char *role, const struct tuf_split *s);

/* The root a client begins with; the candidate that is wanted; the end of the rotations. */
int tuf_workflow_first(struct tuf_client *c, struct tuf_candidate *d);
int tuf_workflow_take(struct tuf_client *c, struct tuf_candidate *d);
int tuf_workflow_root_end(struct tuf_client *c);
