/* What a health check says to a service, and whether the answer is one of a service that is well: no
 * I/O.  The answer is hostile: the service may be broken into. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "appliance/service/spec.h"

struct buf;

enum { PROBE_TALK_MAX = 4096 }; /* bytes of an answer that are looked at */

enum probe_talk {
	PROBE_TALK_MORE, /* not to be told yet */
	PROBE_TALK_WELL,
	PROBE_TALK_ILL,
};

/* Append what is to be said; nothing where accepting is enough.  Returns 0 or a fault. */
int probe_talk_ask(struct buf *out, const struct spec *spec);

/* Judge what has come so far.  ended: no more comes.  Never MORE where it ended, or where
 * PROBE_TALK_MAX bytes have come.
 *
 * RESP: "+PONG", or that a password is wanted.  HTTP (RFC 9112, section 4): a status line, then as
 * spec's expect says.  PostgreSQL (message formats, protocol 3.0): any request for authentication, or
 * an error of the classes 28 and 3D (it does not let us in); all others, 57P03 (starting up) among
 * them, are ill. */
enum probe_talk probe_talk_judge(const struct spec *spec, const void *answer, size_t len,
	bool ended);
