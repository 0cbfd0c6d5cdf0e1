/* The director's assignment: which signed releases this site is to run.  The director is the hub's: it can only
 * choose among releases that the vendor's targets key signed, never below what was assigned before. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

enum { ASSIGNMENT_RELEASES_MAX = 64, ASSIGNMENT_TARGET_MAX = 512,
	ASSIGNMENT_LIFE_MAX_S = 92 * 24 * 60 * 60 /* from not_before on; the hub gives a day, a stick may travel */ };

struct assignment_release {
	char service[65];
	char target[ASSIGNMENT_TARGET_MAX + 1]; /* "services/redis/7.0.15-1/index.json" */
	uint8_t sha256[32];                     /* of index.json: the name of its tree in the store */
};

struct assignment {
	uint64_t counter;
	uint64_t not_before_us, not_after_us;
	struct assignment_release releases[ASSIGNMENT_RELEASES_MAX];
	size_t n;
};

/* What it is judged by. */
struct assignment_facts {
	const char *site;
	const uint8_t *director; /* 32 bytes, from the trust card */
	uint64_t counter;        /* of the last one that was taken */
	uint64_t now_us;
	bool clock_doubtful;     /* then its counter counts alone */
};

/* Check the payload's exact bytes with their signatures ([{"keyid","sig"}], as the judge split them).  In this
 * order: signature (unknown-key, bad-signature), form (malformed, unknown-field; malformed, too, one without an end), addressee (wrong-addressee), time
 * (not-yet-valid, expired), counter (rollback).  Returns 0 or the reason (logged), or a fault. */
int assignment_check(struct assignment *ret, const void *payload, size_t len, const json_t *sigs,
	const struct assignment_facts *facts);

/* The release for a service, or NULL. */
const struct assignment_release *assignment_find(const struct assignment *a, const char *service);

/* Kept by the site as canonical JSON in dir_fd/assignment.json (payload only; it was verified). */
int assignment_save(const struct assignment *a, int dir_fd);
/* Returns 0; REASON_NOT_FOUND (unlogged) before the first; REASON_MALFORMED (logged); or a fault. */
int assignment_load(struct assignment *ret, int dir_fd);
