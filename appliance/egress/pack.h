/* A record's body in the coding that its reader takes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "appliance/egress/ledger.h"

struct buf;

/* From the best down; OTLP obliges every receiver to the last two. */
enum pack_coding { PACK_ZSTD, PACK_GZIP, PACK_IDENTITY };

const char *pack_text(enum pack_coding c); /* "zstd"; NULL for PACK_IDENTITY */

/* The next coding below c that an Accept-Encoding names (RFC 9110, 12.5.3); without one, or where it names none,
 * PACK_IDENTITY. */
enum pack_coding pack_below(enum pack_coding c, const char *accept_encoding);

/* The body for a reader that takes want, in *ret (room's bytes, replaced, or e's own, borrowed) and *ret_coding: as it lies
 * where it lies so already; plain where packing does not make it smaller.  Returns 0; REASON_MALFORMED (logged) where it
 * cannot be decoded; or a fault. */
int pack_body(const struct ledger_entry *e, enum pack_coding want, struct buf *room, const uint8_t **ret,
	size_t *ret_len, enum pack_coding *ret_coding, const char *stream);
