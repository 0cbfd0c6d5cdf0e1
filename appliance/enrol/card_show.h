/* `mainstay enrol --show`: what a person agrees to, in words and as JSON. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct card;
struct token;

/* What the command was given, to be given again; NULL where it was not. */
struct card_given {
	const char *card, *token, *ca;
	bool proxy; /* its address may hold a password, and is not said again */
};

/* Append the text: vendor, hub and its keys, root and officers m of n, site and customer of the
 * token (NULL: not shown), that all three switches stay off, the fingerprint to compare, and the
 * command to go on with. */
int card_show_text(struct buf *out, const struct card *card, const struct token *token,
	const struct card_given *given);
/* The same as an object. */
int card_show_json(json_t **ret, const struct card *card, const struct token *token);
