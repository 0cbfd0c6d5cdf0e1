/* Standing permits: lib/monitor/standing.json, replaced atomically.
 *
 * A permit with more than one use covers, besides the request it was read under, later ones whose plan says the same
 * but for the lines that name the request (request_plan_class()): same site, epoch, engineer, service, release and
 * state, definition, operation, arguments, command and limits.  What counts is the text that was signed, kept here
 * whole and verified again at each use. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"
#include "appliance/policy/permit.h"

enum {
	STANDING_MAX = 64,
	STANDING_LIFE_S = 30 * 24 * 3600, /* at most */
};

struct standing_permit {
	struct permit permit;
	char *text;    /* plan text, LF, permit, LF: what was signed; owned */
	size_t plan_len; /* of the plan text in it */
	char *sig;     /* armoured; owned */
	unsigned used; /* 1..permit.uses */
};

struct standing;

/* Read lib/monitor/standing.json below monitor_fd (kept, borrowed).  A damaged file is logged and read as none: what
 * is lost permits nothing.  Returns 0 or a fault. */
int standing_open(struct standing **ret, int monitor_fd);
struct standing *standing_close(struct standing *s);
SCOPED_DESTRUCTOR(struct standing, standing_close)

/* Keep a permit that verified and has been used once; forgets those that are over.  Durable when it returns 0.
 * REASON_REPLAYED where one of that id is here, REASON_BUSY where STANDING_MAX are (both logged, nothing changed). */
int standing_add(struct standing *s, const struct permit *permit, const char *text, size_t len,
	const char *sig, uint64_t now_us);
/* Count a use, durably.  REASON_REPLAYED (logged) where none is left. */
int standing_use(struct standing *s, struct standing_permit *p);
/* Forget one, durably. */
int standing_remove(struct standing *s, struct standing_permit *p);

/* Those that are kept, borrowed until the next add, use or remove: by id (NULL: none), and one after the other, i below the
 * count. */
struct standing_permit *standing_find(struct standing *s, const char *id);
size_t standing_count(const struct standing *s);
struct standing_permit *standing_at(struct standing *s, size_t i);
