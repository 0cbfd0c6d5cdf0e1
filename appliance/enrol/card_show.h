/* `mainstay enrol --show`: what a person agrees to, in words and as JSON. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct buf;
struct card;
struct token;

/* Append the text: vendor, hub and its keys, root and officers m of n, site and customer of the
 * token (NULL: not shown), that all three switches stay off, the fingerprint to compare, and the
 * command to go on with, card_file and token_file (may be NULL) as they were given. */
int card_show_text(struct buf *out, const struct card *card, const struct token *token,
	const char *card_file, const char *token_file);
/* The same as an object. */
int card_show_json(json_t **ret, const struct card *card, const struct token *token);
