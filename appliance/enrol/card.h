/* vendor.card: whom a site trusts.
 * {"signed":{"_type":"card","v":1,"name","root":{root.json},"hub":FACTS,
 * "officers":{"keys":N,"threshold":M},"witnesses":[{"name","key","url"}]},"signatures":[{"keyid",
 * "sig"}]}, canonical JSON, signed by the threshold of the very root it carries.  "witnesses" (there
 * may be none) are further ones beside the hub's, "url" where one is asked over the network.  So the signatures say only that the root's holders
 * made it; what makes it trusted is that the customer compared its fingerprint: SHA-256 of the
 * canonical bytes of "signed". */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "appliance/base/scope.h"

struct buf;

enum {
	CARD_MAX = 256 * 1024,
	CARD_NAME_MAX = 129,
	CARD_URL_MAX = 513,
	CARD_WITNESSES_MAX = 8,
	CARD_ROOT_KEYS_MAX = 16, /* whose ids are kept for showing */
	CARD_GROUPS_MAX = 80,	 /* a fingerprint in groups */
};

struct card_witness {
	char name[CARD_NAME_MAX];
	char url[CARD_URL_MAX]; /* "" where there is none; no trailing slash */
	uint8_t key[32];
};

struct card {
	char name[CARD_NAME_MAX];
	struct card_hub {
		char name[CARD_NAME_MAX];
		char url[CARD_URL_MAX]; /* no trailing slash */
		uint8_t reply[32];
		char witness_name[CARD_NAME_MAX];
		uint8_t witness[32];
		uint8_t director[32];
	} hub;
	uint64_t officers_keys, officers_threshold;
	uint64_t root_keys, root_threshold; /* of the root role, for showing */
	char root_keyids[CARD_ROOT_KEYS_MAX][65];
	struct card_witness further[CARD_WITNESSES_MAX]; /* beside the hub's */
	size_t n_further;
	uint8_t fingerprint[32];
	json_t *root;  /* the whole root.json, TUF form; owned */
	json_t *facts; /* "hub" as it stands; owned */
	json_t *whole; /* the card; owned */
};

/* Read FACTS as `mainstay-hubd init` wrote them.  Returns 0, REASON_MALFORMED,
 * REASON_UNKNOWN_FIELD, REASON_LOW_ORDER_KEY (logged), or a fault. */
int card_facts(struct card_hub *ret, json_t **ret_facts, const void *p, size_t len);

/* Read "NAME HEX" or "NAME HEX URL", as `mainstay-release card --witness` takes it.  Returns 0,
 * REASON_USAGE or REASON_LOW_ORDER_KEY (logged). */
int card_witness_parse(struct card_witness *ret, const char *text);

/* What the "signed" part is made of, to be signed in TUF's way. */
struct card_parts {
	const char *name;
	const json_t *root;  /* whole root.json; borrowed */
	const json_t *facts; /* as card_facts() gave it; borrowed */
	uint64_t officers_keys, officers_threshold;
	const struct card_witness *further;
	size_t n_further;
};
int card_build(json_t **ret_signed, const struct card_parts *parts);

/* Read a card and verify it: form, its root by its own root role, its signatures by the root role's
 * threshold. Returns 0; REASON_MALFORMED, REASON_UNKNOWN_FIELD, REASON_TOO_LARGE, REASON_UNSIGNED,
 * REASON_THRESHOLD, REASON_LOW_ORDER_KEY (logged, operand "vendor.card"); or a fault. */
int card_read(struct card **ret, const void *p, size_t len);
/* The same of one that not all have signed yet, for those who do: its own signatures are not looked at. */
int card_read_draft(struct card **ret, const void *p, size_t len);
/* The same from the judge's output: the exact bytes of "signed" and the list [{"keyid","sig"}]. */
int card_read_parts(struct card **ret, const void *signed_bytes, size_t len,
	const json_t *signatures);
/* A fingerprint as people give it: "sha256:" may be left out, the 64 digits may be in capitals and in
 * groups parted by spaces, dashes or colons.  Returns 0 or REASON_USAGE (logged) where it is anything
 * else. */
int card_fingerprint_parse(uint8_t ret[32], const char *text, const char *operand);
/* The digits in groups of eight, to be compared with paper.  Returns out. */
char *card_fingerprint_groups(char out[CARD_GROUPS_MAX], const uint8_t fingerprint[32]);
struct card *card_free(struct card *c);
SCOPED_DESTRUCTOR(struct card, card_free)
