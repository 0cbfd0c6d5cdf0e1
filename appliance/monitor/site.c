#include "appliance/monitor/site.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/fs.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

enum { FILE_MAX = 64 * 1024 };

static const char *const states[] = {
	[SITE_STATE_BEGUN] = "begun",
	[SITE_STATE_ENROLLED] = "enrolled",
};

static int
load_json(json_t **ret, int dir_fd, const char *name, size_t max)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(max);
	int r = fs_read(dir_fd, name, max, &b);

	if (r == REASON_NOT_FOUND)
		return r;
	if (r > 0)
		return REFUSE(r, name, "cannot be read");
	return r < 0 ? FAULT(r) : json_read(ret, b.data, b.len, max, name);
}

static int
save_json(int dir_fd, const char *name, const json_t *doc, size_t max)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(max);
	int r = json_canonical(&b, doc);

	return FAULT(r ?: fs_replace(dir_fd, name, b.data, b.len, 0600));
}

static int
remove_file(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? FAULT(-errno) : 0;
}

static int
save(const struct site *s, int dir_fd)
{
	SCOPED_JSON *doc = json_object();
	int r = doc ? 0 : -ENOMEM;

	r = r ?: json_put_u64(doc, "v", 1);
	r = r ?: json_put_text(doc, "state", states[s->state]);
	r = r ?: json_put_text(doc, "site", s->site);
	r = r ?: json_put_text(doc, "customer", s->customer);
	r = r ?: json_put_text(doc, "nonce", s->nonce);
	r = r ?: json_put_text(doc, "proxy", s->proxy);
	return FAULT(r ?: save_json(dir_fd, "site.json", doc, FILE_MAX));
}

static int
load_facts(struct site *s, int dir_fd)
{
	struct parts {
		uint64_t v;
		const char *state, *site, *customer, *nonce, *proxy;
	} in = { 0 };
	static const struct json_field fields[] = {
		{ "v", JSON_KIND_U64, .offset = offsetof(struct parts, v), .max = 1 },
		{ "state", JSON_KIND_TEXT, .offset = offsetof(struct parts, state), .max = 16 },
		{ "site", JSON_KIND_TEXT, .offset = offsetof(struct parts, site),
			.max = TOKEN_NAME_MAX - 1 },
		{ "customer", JSON_KIND_TEXT, .offset = offsetof(struct parts, customer),
			.max = TOKEN_NAME_MAX - 1 },
		{ "nonce", JSON_KIND_TEXT0, .offset = offsetof(struct parts, nonce),
			.max = SITE_NONCE_MAX - 1 },
		{ "proxy", JSON_KIND_TEXT0, .offset = offsetof(struct parts, proxy),
			.max = SITE_PROXY_MAX - 1 },
	};
	SCOPED_JSON *doc = NULL;
	int r = load_json(&doc, dir_fd, "site.json", FILE_MAX);

	if (r == REASON_NOT_FOUND)
		return 0;
	r = r ?: json_members(doc, fields, ARRAY_LEN(fields), &in, "site.json");
	if (r)
		return r;
	(void)snprintf(s->site, sizeof(s->site), "%s", in.site);
	(void)snprintf(s->customer, sizeof(s->customer), "%s", in.customer);
	(void)snprintf(s->nonce, sizeof(s->nonce), "%s", in.nonce);
	(void)snprintf(s->proxy, sizeof(s->proxy), "%s", in.proxy);
	s->state = strcmp(in.state, states[SITE_STATE_ENROLLED]) == 0 ? SITE_STATE_ENROLLED
								      : SITE_STATE_BEGUN;
	return 0;
}

static int
load_card(struct site *s, int dir_fd)
{
	SCOPED(buf_done) struct buf b = BUF_MAX(CARD_MAX);
	int r = fs_read(dir_fd, "card.json", CARD_MAX, &b);

	if (r > 0)
		return REFUSE(r, "card.json", "cannot be read");
	r = r ?: card_read(&s->card, b.data, b.len);
	r = r
		?: note_key_make(&s->witness, s->card->hub.witness_name, NOTE_TYPE_COSIGNATURE,
			   s->card->hub.witness);
	return r < 0 ? FAULT(r) : r;
}

/* A file that is not there is nothing; one that is damaged is refused. */
static int
load_optional(json_t **ret, int dir_fd, const char *name)
{
	int r = load_json(ret, dir_fd, name, FILE_MAX);

	return r == REASON_NOT_FOUND ? 0 : r;
}

/* One that is the present key already is what a power cut left of a rotation that was over. */
static int
load_next(struct site *s, int dir_fd)
{
	int r = ed25519_load(&s->next_key, dir_fd, "next.key");

	if (r == REASON_NOT_FOUND)
		return 0;
	if (r || memcmp(ed25519_public(s->next_key), ed25519_public(s->key), ED25519_KEY_LEN) != 0)
		return r < 0 ? FAULT(r) : r;
	s->next_key = ed25519_free(s->next_key);
	return remove_file(dir_fd, "next.key");
}

int
site_open(struct site *s, int dir_fd)
{
	int r;

	memset(s, 0, sizeof(*s));
	r = ed25519_load_or_make(&s->audit_key, dir_fd, "audit.key");
	r = r ?: load_facts(s, dir_fd);
	if (r || s->state == SITE_STATE_NONE)
		return r < 0 ? FAULT(r) : r;
	r = ed25519_load(&s->key, dir_fd, "site.key");
	if (r == REASON_NOT_FOUND)
		return REFUSE(r, "site.key", "the site is enrolled but its key is gone");
	r = r ?: load_next(s, dir_fd);
	r = r ?: load_card(s, dir_fd);
	r = r ?: load_optional(&s->record, dir_fd, "record.json");
	r = r ?: load_optional(&s->pending, dir_fd, "pending.json");
	return r < 0 ? FAULT(r) : r;
}

void
site_done(struct site *s)
{
	s->key = ed25519_free(s->key);
	s->next_key = ed25519_free(s->next_key);
	s->audit_key = ed25519_free(s->audit_key);
	s->card = card_free(s->card);
	json_decref(s->record);
	json_decref(s->pending);
	s->record = s->pending = NULL;
}

int
site_begin(struct site *s, int dir_fd, struct card *take_card, const struct token *token,
	const char *proxy)
{
	SCOPED(card_freep) struct card *card = take_card;
	SCOPED(ed25519_freep) struct ed25519 *key = NULL;
	struct site next = *s;
	int r;

	if (next.state != SITE_STATE_ENROLLED) /* asking again takes nothing back */
		next.state = SITE_STATE_BEGUN;
	memcpy(next.site, token->site, sizeof(next.site));
	memcpy(next.customer, token->customer, sizeof(next.customer));
	next.nonce[0] = '\0';
	(void)snprintf(next.proxy, sizeof(next.proxy), "%s", proxy);
	r = note_key_make(&next.witness, card->hub.witness_name, NOTE_TYPE_COSIGNATURE,
		card->hub.witness);
	if (r)
		return r;
	/* The same token may be used again with the same key: what a lost answer left is found again. */
	r = ed25519_load_or_make(&key, dir_fd, "site.key");
	r = r ?: save_json(dir_fd, "card.json", card->whole, CARD_MAX);
	r = r ?: save(&next, dir_fd);
	if (r)
		return FAULT(r);
	ed25519_free(next.key);
	card_free(next.card);
	next.key = STEAL(key);
	next.card = STEAL(card);
	*s = next;
	return 0;
}

int
site_ask(struct site *s, int dir_fd, const char *nonce)
{
	(void)snprintf(s->nonce, sizeof(s->nonce), "%s", nonce);
	return FAULT(save(s, dir_fd));
}

int
site_enrolled(struct site *s, int dir_fd)
{
	enum site_state before = s->state;
	int r;

	s->state = SITE_STATE_ENROLLED;
	r = save(s, dir_fd);
	if (r < 0)
		s->state = before;
	return FAULT(r);
}

static int
keep(json_t **slot, int dir_fd, const char *name, json_t *envelope)
{
	int r = envelope ? save_json(dir_fd, name, envelope, FILE_MAX) : remove_file(dir_fd, name);

	if (r < 0)
		return FAULT(r);
	json_incref(envelope);
	json_decref(*slot);
	*slot = envelope;
	return 0;
}

int
site_keep_record(struct site *s, int dir_fd, json_t *envelope)
{
	return FAULT(keep(&s->record, dir_fd, "record.json", envelope));
}

int
site_keep_pending(struct site *s, int dir_fd, json_t *envelope)
{
	return FAULT(keep(&s->pending, dir_fd, "pending.json", envelope));
}

int
site_make_next(struct site *s, int dir_fd)
{
	return s->next_key ? 0 : FAULT(ed25519_load_or_make(&s->next_key, dir_fd, "next.key"));
}

int
site_take_next(struct site *s, int dir_fd)
{
	/* One rename: before it the old key is the site's, after it the new one, never none. */
	int r = ed25519_save(s->next_key, dir_fd, "site.key");

	if (r < 0)
		return FAULT(r);
	ed25519_free(s->key);
	s->key = STEAL(s->next_key);
	return remove_file(dir_fd, "next.key");
}

int
site_leave(struct site *s, int dir_fd)
{
	static const char *const files[] = { "site.json", "card.json", "record.json",
		"pending.json", "people.json", "daemon.json", "next.key", "rotate.json",
		"site.key" };
	int r = 0;

	/* site.json first: without it the rest is nobody's. */
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
		r = remove_file(dir_fd, files[i]);
	r = r ?: fs_remove_tree(dir_fd, "tuf");
	r = r ?: fs_sync_dir(dir_fd);
	if (r < 0)
		return FAULT(r);
	s->key = ed25519_free(s->key);
	s->next_key = ed25519_free(s->next_key);
	s->card = card_free(s->card);
	json_decref(s->record);
	json_decref(s->pending);
	s->record = s->pending = NULL;
	s->state = SITE_STATE_NONE;
	s->site[0] = s->customer[0] = s->nonce[0] = s->proxy[0] = '\0';
	return 0;
}
