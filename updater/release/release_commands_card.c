#include <errno.h>
#include <stdio.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/sha256.h"
#include "updater/release/release_card.h"
#include "updater/release/release_commands.h"
#include "updater/release/release_keys.h"
#include "updater/release/release_passphrase.h"

static int
say_words(struct command_call *call, const struct release_card *c)
{
	SCOPED_JSON *lines = release_card_words(c);

	if (!lines)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < json_array_size(lines); i++)
		command_say(call, "%s", json_string_value(json_array_get(lines, i)));
	if (!command_option(call, "known"))
		command_say(call, "! compared with nothing that you hold: name a root.json or the trust card with --known");
	(void)fflush(stdout);
	return 0;
}

static int
say_card(struct command_call *call, const struct release_card *c, const char *file)
{
	char text[SHA256_TEXT_MAX];
	size_t n;
	int r = release_card_signed(c, &n);
	bool whole = n >= c->card->root_threshold;

	if (r)
		return r;
	(void)sha256_text(text, c->card->fingerprint);
	command_say(call, "%s: %zu of %llu signatures%s", file, n, (unsigned long long)c->card->root_threshold,
		whole ? ": it is whole" : "; it goes on to the next: card sign, and card join for copies signed apart");
	return call->json ? command_print_json("Card", json_pack("{s:s, s:s, s:I, s:b}", "file", file, "fingerprint", text,
						  "signatures", (json_int_t)n, "whole", whole))
			  : 0;
}

/* --- sign --------------------------------------------------------------------------------------------------------- */
static const struct command_option sign_options[] = {
	{ .name = "key", .value = "FILE", .help = "the root key that signs", .repeated = true, .required = true },
	KNOWN_OPTION,
	{ 0 },
};

static int
run_sign(struct command_call *call)
{
	SCOPED(release_passphrase_freep) struct release_passphrase *passphrase = NULL;
	SCOPED(release_keys_done) struct release_keys keys = { .n = 0 };
	SCOPED(release_card_done) struct release_card c = { .card = NULL };
	const char *file = call->operands[0];
	int r = release_commands_passphrase(call, &passphrase);

	keys.passphrase = passphrase;
	for (size_t i = 0; !r && i < command_option_n(call, "key"); i++)
		r = release_keys_add(&keys, command_option_at(call, "key", i));
	r = r ?: release_card_read(&c, file, command_option(call, "known"));
	/* In words first: then comes the passphrase, or not. */
	r = r ?: say_words(call, &c);
	r = r ?: release_card_sign(&c, &keys);
	r = r ?: release_card_write(&c, file);
	return r ?: say_card(call, &c, file);
}

/* --- join --------------------------------------------------------------------------------------------------------- */
static const struct command_option join_options[] = {
	{ .name = "o", .value = "FILE", .help = "the card", .required = true },
	KNOWN_OPTION,
	{ 0 },
};

static int
run_join(struct command_call *call)
{
	SCOPED(release_card_done) struct release_card c = { .card = NULL };
	SCOPED(card_freep) struct card *whole = NULL;
	const char *known = command_option(call, "known"), *out = command_option(call, "o");
	int r = release_card_read(&c, call->operands[0], known);

	for (size_t i = 1; !r && i < call->n_operands; i++) {
		SCOPED(release_card_done) struct release_card more = { .card = NULL };

		r = release_card_read(&more, call->operands[i], known);
		r = r ?: release_card_join(&c, &more);
	}
	/* As a site will read it. */
	r = r ?: card_read(&whole, c.text.data, c.text.len);
	r = r ?: release_card_write(&c, out);
	r = r ?: say_words(call, &c);
	return r ?: say_card(call, &c, out);
}

const struct command release_commands_card_all[] = {
	{ .name = "card sign",
		.args = "CARD",
		.min = 1,
		.max = 1,
		.summary = "sign a trust card with a root key, after seeing whom it trusts",
		.details = "On a signer's machine: the card that card --out wrote, a key and nothing else.  Says in words whom\n"
			   "customers would trust by it, having compared its root with the one in --known, before it asks for\n"
			   "the passphrase.",
		.examples = "mainstay-release card sign card.json --key root-1.key --known 1.root.json",
		.options = sign_options,
		.run = run_sign },
	{ .name = "card join",
		.args = "CARD...",
		.min = 1,
		.max = 20,
		.summary = "make the trust card of copies that were signed apart",
		.details = "Refused unless enough of the root's keys have signed: what is written is a card that sites take.",
		.examples = "mainstay-release card join a.json b.json -o vendor.card",
		.options = join_options,
		.run = run_join },
	{ 0 },
};
