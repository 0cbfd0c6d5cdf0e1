#include "appliance/enrol/card_show.h"

#include <errno.h>

#include "appliance/base/buf.h"
#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/enrol/card.h"
#include "appliance/enrol/token.h"
#include "appliance/trust/sha256.h"

static void
show_key(struct buf *out, const char *what, const char *why, const uint8_t key[32])
{
	char hex[65];

	buf_printf(out, "  %-10s %s\n             %s\n", what, hex_encode(hex, key, 32), why);
}

static void
show_further(struct buf *out, const struct card *card)
{
	for (size_t i = 0; i < card->n_further; i++) {
		const struct card_witness *w = &card->further[i];

		show_key(out, "witness", w->url[0] ? w->url : "a further one, asked by file", w->key);
		buf_printf(out, "             named %s\n", w->name);
	}
}

int
card_show_text(struct buf *out, const struct card *card, const struct token *token,
	const struct card_given *given)
{
	char digest[SHA256_TEXT_MAX], when[CLOCK_TEXT_MAX], groups[CARD_GROUPS_MAX];

	buf_printf(out, "Vendor       %s\n", card->name);
	buf_printf(out, "Hub          %s (%s)\n", card->hub.url, card->hub.name);
	show_key(out, "reply", "signs the hub's answers; it can delay, it cannot command",
		card->hub.reply);
	show_key(out, "director", "chooses among signed releases, never below the signed floor",
		card->hub.director);
	show_key(out, "witness", "cosigns the heads of this site's audit log", card->hub.witness);
	buf_printf(out, "             named %s\n", card->hub.witness_name);
	show_further(out, card);
	buf_printf(out, "Releases     signed by %llu of %llu root keys of %s, offline\n",
		(unsigned long long)card->root_threshold, (unsigned long long)card->root_keys,
		card->name);
	for (size_t i = 0; i < card->root_keys && i < CARD_ROOT_KEYS_MAX; i++)
		buf_printf(out, "             key id %s\n", card->root_keyids[i]);
	buf_printf(out,
		"Engineers    named by %llu of %llu officers; each signs every request in person\n",
		(unsigned long long)card->officers_threshold,
		(unsigned long long)card->officers_keys);
	if (token) {
		buf_printf(out, "This site    %s, of customer %s; the token expires %s\n",
			token->site, token->customer, clock_format(when, token->expires_us));
	}
	buf_puts(out,
		"Stays off    telemetry, updates and remote operations: enrolling sends this "
		"site's new\n"
		"             public keys and its platform, and nothing else; `mainstay on` turns "
		"each on\n");
	buf_printf(out, "Fingerprint  %s\n", sha256_text(digest, card->fingerprint));
	buf_printf(out, "in groups    %s\n", card_fingerprint_groups(groups, card->fingerprint));
	buf_puts(out,
		"\nCompare the fingerprint with the one that the vendor gave you by another way. "
		"If they\n"
		"are the same, go on with\n");
	buf_printf(out, "\n  mainstay enrol --card %s --token-file %s%s%s%s --accept %s\n", given->card,
		given->token ? given->token : "TOKEN", given->ca ? " --ca " : "", given->ca ? given->ca : "",
		given->proxy ? " --proxy PROXY" : "", sha256_text(digest, card->fingerprint));
	return FAULT(buf_error(out));
}

static int
put_hub(json_t *obj, const struct card_hub *h)
{
	int r;

	r = json_put_text(obj, "name", h->name);
	r = r ?: json_put_text(obj, "url", h->url);
	r = r ?: json_put_hex(obj, "reply", h->reply, sizeof(h->reply));
	r = r ?: json_put_text(obj, "witness_name", h->witness_name);
	r = r ?: json_put_hex(obj, "witness", h->witness, sizeof(h->witness));
	return FAULT(r ?: json_put_hex(obj, "director", h->director, sizeof(h->director)));
}

static int
put_further(json_t *obj, const struct card *card)
{
	json_t *list = json_array();
	int r = json_object_set_new(obj, "further_witnesses", list) < 0 ? -ENOMEM : 0;

	for (size_t i = 0; i < card->n_further && r == 0; i++) {
		const struct card_witness *w = &card->further[i];
		json_t *item = json_object();

		r = json_array_append_new(list, item) < 0 ? -ENOMEM : 0;
		r = r ?: json_put_text(item, "name", w->name);
		r = r ?: json_put_hex(item, "key", w->key, sizeof(w->key));
		if (r == 0 && w->url[0])
			r = json_put_text(item, "url", w->url);
	}
	return FAULT(r);
}

static int
put_keyids(json_t *obj, const struct card *card)
{
	json_t *list = json_array();
	int r = json_object_set_new(obj, "keyids", list) < 0 ? -ENOMEM : 0;

	for (size_t i = 0; i < card->root_keys && i < CARD_ROOT_KEYS_MAX && r == 0; i++)
		r = json_array_append_new(list, json_string(card->root_keyids[i])) < 0 ? -ENOMEM : 0;
	return FAULT(r);
}

static int
put_quorum(json_t *obj, const char *name, uint64_t threshold, uint64_t keys)
{
	json_t *v = json_pack("{s:I, s:I}", "threshold", (json_int_t)threshold, "keys",
		(json_int_t)keys);

	return v && json_object_set_new(obj, name, v) == 0 ? 0 : FAULT(-ENOMEM);
}

int
card_show_json(json_t **ret, const struct card *card, const struct token *token)
{
	SCOPED_JSON *obj = json_object(), *hub = json_object();
	SCOPED_JSON *switches = json_pack("{s:b, s:b, s:b}", "telemetry", 0, "updates", 0, "remote", 0);
	int r;

	if (!obj || !hub || json_object_set(obj, "switches", switches) < 0 ||
		json_object_set(obj, "hub", hub) < 0)
		return FAULT(-ENOMEM);
	r = json_put_text(obj, "vendor", card->name);
	r = r ?: put_hub(hub, &card->hub);
	r = r ?: put_further(obj, card);
	r = r ?: put_quorum(obj, "root", card->root_threshold, card->root_keys);
	r = r ?: put_keyids(json_object_get(obj, "root"), card);
	r = r ?: put_quorum(obj, "officers", card->officers_threshold, card->officers_keys);
	if (r == 0 && token) {
		r = json_put_text(obj, "site", token->site);
		r = r ?: json_put_text(obj, "customer", token->customer);
		r = r ?: json_put_time(obj, "expires", token->expires_us);
	}
	r = r ?: json_put_sha256(obj, "fingerprint", card->fingerprint);
	if (r)
		return FAULT(r);
	*ret = STEAL(obj);
	return 0;
}
