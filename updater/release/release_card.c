#include "updater/release/release_card.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/client.h"
#include "appliance/tuf/metadata.h"
#include "appliance/tuf/repo.h"
#include "updater/release/release_ceremony_check.h"
#include "updater/release/release_chain.h"
#include "updater/release/release_keys.h"

enum { LINE_MAX_BYTES = 1200 };

void
release_card_done(struct release_card *c)
{
	buf_done(&c->text);
	c->card = card_free(c->card);
}

static const json_t *
root_of(const struct release_card *c)
{
	return json_object_get(c->card->root, "signed");
}

static const json_t *
root_role(const struct release_card *c)
{
	return json_object_get(json_object_get(root_of(c), "roles"), "root");
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
static int
follow_known(const struct release_card *c, const char *known)
{
	SCOPED(tuf_client_freep) struct tuf_client *client = NULL;
	SCOPED(buf_done) struct buf file = BUF_MAX(TUF_ROOT_MAX * 2), root = BUF_MAX(TUF_ROOT_MAX), next = BUF_MAX(TUF_ROOT_MAX);
	uint64_t theirs, is = tuf_version(root_of(c));
	int r = fs_read(AT_FDCWD, known, TUF_ROOT_MAX * 2, &file);

	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, known, "is no readable root document or trust card");
	r = release_ceremony_known(&root, &file);
	r = r ?: tuf_client_new(&client, root.data, root.len, 1);
	if (r)
		return r;
	theirs = tuf_version(tuf_client_signed(client, "root"));
	if (theirs > is)
		return REFUSE(REASON_ROLLBACK, "root", "the card holds root %llu, and you know root %llu", (unsigned long long)is,
			(unsigned long long)theirs);
	if (is > theirs + 1)
		return REFUSE(REASON_CONFLICT, "root", "the card holds root %llu, and you know root %llu: name %llu.root.json with --known",
			(unsigned long long)is, (unsigned long long)theirs, (unsigned long long)is - 1);
	if (is == theirs + 1) {
		r = json_canonical(&next, c->card->root);
		return r < 0 ? FAULT(r) : tuf_client_update(client, "root", next.data, next.len);
	}
	if (!json_equal(tuf_client_signed(client, "root"), root_of(c)))
		return REFUSE(REASON_ALTERED, "root", "the card is of another root than the one you know");
	return 0;
}

int
release_card_read(struct release_card *ret, const char *file, const char *known)
{
	SCOPED(release_card_done) struct release_card c = { .text = BUF_MAX(CARD_MAX) };
	int r = fs_read(AT_FDCWD, file, CARD_MAX, &c.text);

	if (r)
		return r < 0 ? FAULT(r) : REFUSE(r, file, "is no readable card");
	r = card_read_draft(&c.card, c.text.data, c.text.len);
	if (!r && known)
		r = follow_known(&c, known);
	if (r)
		return r;
	*ret = c;
	c = (struct release_card){ .card = NULL };
	return 0;
}

/* --- in words ----------------------------------------------------------------------------------------------------- */
/* A line that finds no room takes all others with it. */
static void __attribute__((format(printf, 2, 3)))
say(json_t **lines, const char *format, ...)
{
	char line[LINE_MAX_BYTES], safe[4 * LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (json_array_append_new(*lines, json_string(log_escape(safe, sizeof(safe), line))) < 0) {
		json_decref(*lines);
		*lines = NULL;
	}
}

static void
say_key(json_t **lines, const char *what, const char *name, const uint8_t key[32])
{
	char hex[65];

	say(lines, "  %s %s key %s", what, name, hex_encode(hex, key, 32));
}

json_t *
release_card_words(const struct release_card *c)
{
	const struct card *card = c->card;
	char groups[CARD_GROUPS_MAX];
	json_t *lines = json_array();

	say(&lines, "card of %s", card->name);
	say(&lines, "hub %s at %s", card->hub.name, card->hub.url);
	say_key(&lines, "replies:", "", card->hub.reply);
	say_key(&lines, "assignments:", "", card->hub.director);
	say_key(&lines, "witness", card->hub.witness_name, card->hub.witness);
	for (size_t i = 0; i < card->n_further; i++) {
		say_key(&lines, "witness", card->further[i].name, card->further[i].key);
		if (card->further[i].url[0])
			say(&lines, "    at %s", card->further[i].url);
	}
	say(&lines, "root %llu: %llu of %llu keys sign", (unsigned long long)tuf_version(root_of(c)),
		(unsigned long long)card->root_threshold, (unsigned long long)card->root_keys);
	for (size_t i = 0; i < card->root_keys && i < CARD_ROOT_KEYS_MAX; i++)
		say(&lines, "  key %s", card->root_keyids[i]);
	say(&lines, "officers: %llu of %llu sign who the engineers are", (unsigned long long)card->officers_threshold,
		(unsigned long long)card->officers_keys);
	say(&lines, "fingerprint %s", card_fingerprint_groups(groups, card->fingerprint));
	return lines;
}

/* --- signing ------------------------------------------------------------------------------------------------------ */
int
release_card_sign(struct release_card *c, const struct release_keys *keys)
{
	int r = 0;

	for (size_t i = 0; i < keys->n; i++)
		if (!release_keys_is_of(keys->key[i], root_role(c)))
			return REFUSE(REASON_UNKNOWN_KEY, keys->key[i]->name, "is no key of the card's root");
	for (size_t i = 0; !r && i < keys->n; i++) {
		SCOPED(buf_done) struct buf again = BUF_MAX(CARD_MAX);
		const struct ed25519 *key;

		r = release_keys_open(keys, i, &key);
		r = r ?: tuf_repo_cosign(&again, c->text.data, c->text.len, key);
		if (r)
			return r < 0 ? FAULT(r) : r;
		buf_reset(&c->text);
		buf_put(&c->text, again.data, again.len);
		r = FAULT(buf_error(&c->text));
	}
	return r;
}

int
release_card_signed(const struct release_card *c, size_t *ret)
{
	SCOPED(tuf_split_done) struct tuf_split s = { 0 };
	const json_t *ids = json_object_get(root_role(c), "keyids");
	int r = tuf_split(&s, c->text.data, c->text.len, CARD_MAX, "card");

	*ret = 0;
	for (size_t i = 0; !r && i < json_array_size(ids); i++) {
		int is = release_chain_signed(&s, json_object_get(root_of(c), "keys"), json_string_value(json_array_get(ids, i)));

		if (is < 0)
			r = is;
		else
			*ret += is > 0;
	}
	return r < 0 ? FAULT(r) : r;
}

int
release_card_join(struct release_card *c, const struct release_card *from)
{
	const json_t *keys = json_object_get(root_of(c), "keys");
	SCOPED(tuf_split_done) struct tuf_split ours = { 0 };
	SCOPED(tuf_split_done) struct tuf_split theirs = { 0 };
	SCOPED(buf_done) struct buf out = BUF_MAX(CARD_MAX);
	int r;

	if (memcmp(c->card->fingerprint, from->card->fingerprint, sizeof(c->card->fingerprint)) != 0)
		return REFUSE(REASON_CONFLICT, "card", "the files are of different cards");
	r = tuf_split(&ours, c->text.data, c->text.len, CARD_MAX, "card");
	r = r ?: tuf_split(&theirs, from->text.data, from->text.len, CARD_MAX, "card");
	r = r ?: release_chain_join(&ours, &theirs, &keys, 1, &out);
	if (r)
		return r < 0 ? FAULT(r) : r;
	buf_reset(&c->text);
	buf_put(&c->text, out.data, out.len);
	return FAULT(buf_error(&c->text));
}

int
release_card_write(const struct release_card *c, const char *file)
{
	return FAULT(fs_replace_path(file, c->text.data, c->text.len, 0644));
}
