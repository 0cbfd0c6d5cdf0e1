/* Packs: objects and patches one behind the other in one file, packs/HEX (HEX: SHA-256 of the pack), so that a site gets what it
 * lacks by a few range requests.  packs.json says what lies where.  It is an object like others, so it travels compressed; the signed target
 * of the release names it: custom.packs, HEX.  A target without it has no packs.  Canonical JSON:
 *
 *	{"v":1,"service","version",
 *	 "packs":[{"sha256":HEX,"size":N,"members":[[TO,FROM,LENGTH]...]}...]}
 *
 * TO names an object by its HEX; FROM is "" for the object itself, as objects/aa/TO.zst has it, or the HEX of the base for the
 * patch patches/FROM-TO.zst.  The members fill the pack without a gap, in this order: a member's offset is the sum of
 * the lengths before it.  Each patch and each object stands once.
 *
 * The list is signed, but what it leads to is checked all the same: it can cost bytes, nothing else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;
struct tree_index;

enum {
	PACK_LIST_MAX = 5 * 1000 * 1000,	  /* bytes of packs.json: what the courier takes of one file below /tuf */
	PACK_MAX = 64,
	PACK_MEMBERS_MAX = 65536,	  /* of all packs */
	PACK_RELEASES = 4,		  /* how many releases back patches reach */
	PACK_GAP = 8 * 1024,		  /* what a request costs, as bytes: smaller gaps are fetched along */
};
#define PACK_BYTES_MAX (UINT64_C(8) << 30) /* of one pack */
#define PACK_LIST_FILE "packs.json"

struct pack_member {
	uint8_t to[32], from[32];
	bool patch;	/* from counts */
	unsigned pack; /* which of packs */
	uint64_t at, length;
};

struct pack {
	uint8_t sha256[32];
	uint64_t size;
};

struct pack_list {
	char service[65], version[65];
	struct pack packs[PACK_MAX];
	size_t n_packs;
	struct pack_member *members; /* in the order of the packs; owned */
	size_t n_members;
	struct pack_member **by_to;  /* the same, sorted; of a list that was read; owned */
};

/* Parse and check; only the canonical form is accepted.  Returns 0, REASON_MALFORMED, REASON_UNKNOWN_FIELD,
 * REASON_TOO_LARGE or REASON_CONFLICT where something stands twice (logged), or a fault. */
int pack_list_read(struct pack_list **ret, const void *p, size_t len);
struct pack_list *pack_list_free(struct pack_list *l);
SCOPED_DESTRUCTOR(struct pack_list, pack_list_free)

/* Build one: members are added to the newest pack in their order (offsets are set here). */
int pack_list_new(struct pack_list **ret, const char *service, const char *version);
int pack_list_pack(struct pack_list *l);
int pack_list_add(struct pack_list *l, const uint8_t to[32], const uint8_t *from, uint64_t length);
/* Is this patch (from NULL: this object) a member already? */
bool pack_list_has(const struct pack_list *l, const uint8_t to[32], const uint8_t *from);
/* Append the canonical bytes. */
int pack_list_write(const struct pack_list *l, struct buf *out);

/* --- what to fetch ------------------------------------------------------------------------------------------------ */
/* What the site knows about a digest. */
struct pack_ask {
	bool (*held)(const uint8_t sha256[32], void *arg);   /* a file of these bytes is in the store */
	bool (*spoilt)(const uint8_t from[32], const uint8_t to[32], void *arg); /* the patch came, and was none */
	void *arg;
};
/* The cheapest member for an object: a patch of something held, else the object itself; NULL where no pack has it. */
const struct pack_member *pack_choose(const struct pack_list *l, const uint8_t to[32], const struct pack_ask *ask);
