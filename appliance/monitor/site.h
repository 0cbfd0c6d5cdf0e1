/* Who this site is: keys, card, and how far its enrolment came.
 *
 * lib/monitor/site.json  {"v":1,"state":"begun"|"enrolled","site","customer","nonce","proxy"}
 * lib/monitor/card.json  the vendor card       lib/monitor/record.json  the verified site record's envelope
 * lib/monitor/pending.json  a site record that came before the people document did
 * lib/monitor/site.key audit.key  the keys
 * lib/monitor/next.key  the site key that a rotation brings, from its beginning to the hub's answer */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "appliance/enrol/card.h"
#include "appliance/enrol/token.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/note.h"

enum { SITE_PROXY_MAX = 512, SITE_NONCE_MAX = 33 };

enum site_state { SITE_STATE_NONE, SITE_STATE_BEGUN, SITE_STATE_ENROLLED };

struct site {
	enum site_state state;
	char site[TOKEN_NAME_MAX];
	char customer[TOKEN_NAME_MAX];
	char nonce[SITE_NONCE_MAX]; /* that the hub's answer to the enrolment must repeat */
	char proxy[SITE_PROXY_MAX]; /* "" for none */
	struct ed25519 *key;	    /* the site key; NULL before enrol.begin */
	struct ed25519 *next_key;   /* that a rotation under way brings (next.key); NULL: none is */
	struct ed25519 *audit_key;  /* there from the first start */
	struct card *card;	    /* NULL before enrol.begin */
	struct note_key witness;    /* of the card */
	json_t *record;		    /* the verified site record; NULL before */
	json_t *pending;	    /* one that waits for the people document; NULL: none */
	uint8_t courier[32]; /* the courier's public key, as it said hello; see has_courier */
	bool has_courier;
};

/* Load from lib/monitor, making the audit key on a first start.  Returns 0, a refusal of damaged files, or a
 * fault. */
int site_open(struct site *s, int dir_fd);
void site_done(struct site *s);

/* Begin: keep card and names, make the site key.  take_card is consumed.  The state is BEGUN on 0, or
 * stays ENROLLED. */
int site_begin(struct site *s, int dir_fd, struct card *take_card, const struct token *token,
	const char *proxy);
/* The request is made: its answer must repeat this nonce. */
int site_ask(struct site *s, int dir_fd, const char *nonce);
/* The hub's answer verified. */
int site_enrolled(struct site *s, int dir_fd);
/* Keep a record, verified or pending (borrowed; NULL removes). */
int site_keep_record(struct site *s, int dir_fd, json_t *envelope);
int site_keep_pending(struct site *s, int dir_fd, json_t *envelope);
/* A rotation: make the next key (or find the one that was made), and put it in the place of the present one. */
int site_make_next(struct site *s, int dir_fd);
int site_take_next(struct site *s, int dir_fd);
/* Forget the vendor: card, names, site key, records.  The audit key and the log stay. */
int site_leave(struct site *s, int dir_fd);
