#include "appliance/enrol/card.h"

#include <errno.h>
#include <stdio.h>

#include "appliance/base/buf.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/note.h"
#include "appliance/trust/sha256.h"
#include "appliance/tuf/metadata.h"

#define OPERAND "vendor.card"

enum { FACTS_MAX = 16 * 1024, OFFICERS_MAX = 64 };

struct card *
card_free(struct card *c)
{
	if (!c)
		return NULL;
	json_decref(c->root);
	json_decref(c->facts);
	json_decref(c->whole);
	free(c);
	return NULL;
}

/* --- facts of the hub ------------------------------------------------------------------------- */
struct facts {
	uint64_t v;
	const char *name, *url;
	uint8_t reply[32], director[32];
	json_t *witness;
};

static const struct json_field facts_table[] = {
	{ "v", JSON_KIND_U64, true, offsetof(struct facts, v), 1 },
	{ "name", JSON_KIND_TEXT, false, offsetof(struct facts, name), CARD_NAME_MAX - 1 },
	{ "url", JSON_KIND_TEXT, false, offsetof(struct facts, url), CARD_URL_MAX - 1 },
	{ "reply", JSON_KIND_KEY, false, offsetof(struct facts, reply), 0 },
	{ "witness", JSON_KIND_OBJECT, false, offsetof(struct facts, witness), 2 },
	{ "director", JSON_KIND_KEY, false, offsetof(struct facts, director), 0 },
};

struct witness {
	const char *name, *url;
	uint8_t key[32];
};

static const struct json_field witness_table[] = {
	{ "name", JSON_KIND_TEXT, false, offsetof(struct witness, name), CARD_NAME_MAX - 1 },
	{ "key", JSON_KIND_KEY, false, offsetof(struct witness, key), 0 },
	{ "url", JSON_KIND_TEXT, true, offsetof(struct witness, url), CARD_URL_MAX - 1 },
};
enum { HUB_WITNESS_FIELDS = 2 }; /* the hub's has no URL of its own */

static bool
url_ok(const char *url)
{
	size_t len = strlen(url);

	for (size_t i = 0; i < len; i++) {
		if (url[i] <= ' ' || url[i] > '~' || strchr("\"'<>\\?#@", url[i]))
			return false;
	}
	if (strncmp(url, "https://", 8) && strncmp(url, "http://", 7))
		return false;
	return len > 8 && url[len - 1] != '/';
}

/* with_v: the file of hubd init has it, the part of a card has not. */
static int
read_facts(struct card_hub *ret, const json_t *obj, bool with_v)
{
	struct facts f = { 0 };
	struct witness w = { 0 };
	struct card_hub h = { 0 };
	struct note_key unused;
	int r;

	r = json_members(obj, facts_table, ARRAY_LEN(facts_table), &f, OPERAND);
	r = r ?: json_members(f.witness, witness_table, HUB_WITNESS_FIELDS, &w, OPERAND);
	if (r)
		return FAULT(r);
	if (with_v != (f.v == 1))
		return REFUSE(REASON_MALFORMED, OPERAND, "facts of the hub are of another version");
	if (!url_ok(f.url))
		return REFUSE(REASON_MALFORMED, OPERAND, "no URL of a hub: %s", f.url);
	r = ed25519_check_public(f.reply, OPERAND);
	r = r ?: ed25519_check_public(f.director, OPERAND);
	r = r ?: ed25519_check_public(w.key, OPERAND);
	r = r ?: note_key_make(&unused, w.name, NOTE_TYPE_COSIGNATURE, w.key);
	if (r)
		return FAULT(r);
	memcpy(h.name, f.name, strlen(f.name));
	memcpy(h.url, f.url, strlen(f.url));
	memcpy(h.witness_name, w.name, strlen(w.name));
	memcpy(h.reply, f.reply, sizeof(h.reply));
	memcpy(h.director, f.director, sizeof(h.director));
	memcpy(h.witness, w.key, sizeof(h.witness));
	*ret = h;
	return 0;
}

int
card_facts(struct card_hub *ret, json_t **ret_facts, const void *p, size_t len)
{
	SCOPED_JSON *obj = NULL;
	int r;

	r = json_read(&obj, p, len, FACTS_MAX, "facts");
	r = r ?: read_facts(ret, obj, true);
	if (r)
		return FAULT(r);
	(void)json_object_del(obj, "v");
	*ret_facts = STEAL(obj);
	return 0;
}

/* --- further witnesses ------------------------------------------------------------------------- */
static int
keep_witness(struct card_witness *ret, const struct witness *w)
{
	struct note_key unused;
	int r = ed25519_check_public(w->key, OPERAND);

	r = r ?: note_key_make(&unused, w->name, NOTE_TYPE_COSIGNATURE, w->key);
	if (r)
		return r;
	if (w->url && !url_ok(w->url))
		return REFUSE(REASON_MALFORMED, OPERAND, "no URL of a witness: %s", w->url);
	*ret = (struct card_witness){ 0 };
	memcpy(ret->name, w->name, strlen(w->name));
	memcpy(ret->key, w->key, sizeof(ret->key));
	if (w->url)
		memcpy(ret->url, w->url, strlen(w->url));
	return 0;
}

/* No name and no key twice, the hub's among them: one witness is not to look like two. */
static int
check_distinct(const struct card *c, const struct card_witness *w)
{
	bool twice = !strcmp(w->name, c->hub.witness_name) ||
		!memcmp(w->key, c->hub.witness, sizeof(w->key));

	for (size_t i = 0; i < c->n_further && !twice; i++)
		twice = !strcmp(w->name, c->further[i].name) ||
			!memcmp(w->key, c->further[i].key, sizeof(w->key));
	return twice ? REFUSE(REASON_MALFORMED, OPERAND, "witness %s stands there twice", w->name) : 0;
}

static int
read_further(struct card *c, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		struct card_witness next;
		struct witness w = { 0 };
		int r = json_members(item, witness_table, ARRAY_LEN(witness_table), &w, OPERAND);

		r = r ?: keep_witness(&next, &w);
		r = r ?: check_distinct(c, &next);
		if (r)
			return r;
		c->further[c->n_further++] = next;
	}
	return 0;
}

int
card_witness_parse(struct card_witness *ret, const char *text)
{
	char name[CARD_NAME_MAX], url[CARD_URL_MAX];
	struct witness w = { .name = name };
	size_t n = strcspn(text, " ");
	const char *key = text + n;
	char hex[65];

	if (n == 0 || n >= sizeof(name) || strlen(key) < sizeof(hex))
		return REFUSE(REASON_USAGE, "--witness", "is \"NAME KEY-IN-HEX [URL]\"");
	memcpy(name, text, n);
	name[n] = '\0';
	memcpy(hex, key + 1, sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	key += sizeof(hex);
	if (!hex_decode(w.key, sizeof(w.key), hex) || (*key && *key != ' ') ||
		strlen(key) > sizeof(url))
		return REFUSE(REASON_USAGE, "--witness", "is \"NAME KEY-IN-HEX [URL]\"");
	if (*key) {
		memcpy(url, key + 1, strlen(key));
		w.url = url;
	}
	return keep_witness(ret, &w);
}

/* --- building ---------------------------------------------------------------------------------- */
static int
put_further(json_t *obj, const struct card_parts *p)
{
	json_t *list = json_array();
	int r = p->n_further && json_object_set(obj, "witnesses", list) < 0 ? -ENOMEM : 0;

	for (size_t i = 0; i < p->n_further && r == 0; i++) {
		json_t *item = json_object();

		r = json_put_text(item, "name", p->further[i].name);
		r = r ?: json_put_hex(item, "key", p->further[i].key, sizeof(p->further[i].key));
		if (r == 0 && p->further[i].url[0])
			r = json_put_text(item, "url", p->further[i].url);
		if (json_array_append_new(list, item) < 0)
			r = -ENOMEM;
	}
	json_decref(list);
	return FAULT(r);
}

int
card_build(json_t **ret_signed, const struct card_parts *p)
{
	SCOPED_JSON *obj = json_object(), *officers = json_object();
	int r;

	if (!obj || !officers || json_object_set(obj, "root", (json_t *)p->root) < 0 ||
		json_object_set(obj, "hub", (json_t *)p->facts) < 0 ||
		json_object_set(obj, "officers", officers) < 0)
		return FAULT(-ENOMEM);
	r = json_put_text(obj, "_type", "card");
	r = r ?: json_put_u64(obj, "v", 1);
	r = r ?: json_put_text(obj, "name", p->name);
	r = r ?: json_put_u64(officers, "keys", p->officers_keys);
	r = r ?: json_put_u64(officers, "threshold", p->officers_threshold);
	r = r ?: put_further(obj, p);
	if (r)
		return FAULT(r);
	*ret_signed = STEAL(obj);
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */
struct fields {
	uint64_t v, keys, threshold;
	const char *type, *name;
	json_t *root, *hub, *officers, *witnesses;
};

static const struct json_field table[] = {
	{ "_type", JSON_KIND_TEXT, false, offsetof(struct fields, type), 16 },
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "name", JSON_KIND_TEXT, false, offsetof(struct fields, name), CARD_NAME_MAX - 1 },
	{ "root", JSON_KIND_OBJECT, false, offsetof(struct fields, root), 0 },
	{ "hub", JSON_KIND_OBJECT, false, offsetof(struct fields, hub), 0 },
	{ "officers", JSON_KIND_OBJECT, false, offsetof(struct fields, officers), 2 },
	{ "witnesses", JSON_KIND_ARRAY, true, offsetof(struct fields, witnesses),
		CARD_WITNESSES_MAX },
};

static const struct json_field officers_table[] = {
	{ "keys", JSON_KIND_U64, false, offsetof(struct fields, keys), OFFICERS_MAX },
	{ "threshold", JSON_KIND_U64, false, offsetof(struct fields, threshold), OFFICERS_MAX },
};

/* The root within verifies by itself, and the card, but for a draft of one (NULL), by that root. */
static int
verify(const struct tuf_split *card, const json_t *root)
{
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	SCOPED(buf_done) struct buf text = BUF_MAX(CARD_MAX);
	const json_t *root_signed = json_object_get(root, "signed");
	int r;

	if (!root_signed)
		return REFUSE(REASON_MALFORMED, OPERAND, "root is no signed document");
	r = json_canonical(&text, root_signed);
	r = r
		?: tuf_split_join(&split, text.data, text.len, json_object_get(root, "signatures"),
			   OPERAND);
	r = r ?: tuf_check(root_signed, "root", OPERAND);
	r = r ?: tuf_verify_root(&split, root_signed, "root", OPERAND);
	if (!r && card)
		r = tuf_verify_root(card, root_signed, "root", OPERAND);
	return FAULT(r);
}

static void
count_root(struct card *c)
{
	const json_t *roles = json_object_get(json_object_get(c->root, "signed"), "roles");
	const json_t *role = json_object_get(roles, "root");

	c->root_keys = json_array_size(json_object_get(role, "keyids"));
	for (size_t i = 0; i < c->root_keys && i < CARD_ROOT_KEYS_MAX; i++)
		(void)snprintf(c->root_keyids[i], sizeof(c->root_keyids[i]), "%s",
			json_string_value(json_array_get(json_object_get(role, "keyids"), i)));
	c->root_threshold = (uint64_t)json_integer_value(json_object_get(role, "threshold"));
}

static int
read_split(struct card **ret, const struct tuf_split *split, bool draft)
{
	SCOPED(card_freep) struct card *c = calloc(1, sizeof(*c));
	SCOPED_JSON *obj = NULL;
	struct fields f = { 0 };
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	if (!split->n_sigs && !draft)
		return REFUSE(REASON_UNSIGNED, OPERAND, "no signature");
	r = tuf_parse(&obj, &split->canonical, OPERAND);
	r = r ?: json_members(obj, table, ARRAY_LEN(table), &f, OPERAND);
	r = r ?: json_members(f.officers, officers_table, ARRAY_LEN(officers_table), &f, OPERAND);
	if (r)
		return FAULT(r);
	if (strcmp(f.type, "card") || f.v != 1 || !f.threshold || f.threshold > f.keys)
		return REFUSE(REASON_MALFORMED, OPERAND, "no card of version 1");
	r = read_facts(&c->hub, f.hub, false);
	r = r ?: read_further(c, f.witnesses);
	r = r ?: verify(draft ? NULL : split, f.root);
	if (r)
		return FAULT(r);
	memcpy(c->name, f.name, strlen(f.name));
	c->officers_keys = f.keys;
	c->officers_threshold = f.threshold;
	sha256_of(c->fingerprint, split->canonical.data, split->canonical.len);
	c->root = json_incref(f.root);
	c->facts = json_incref(f.hub);
	count_root(c);
	c->whole = json_pack("{s:O, s:o}", "signed", obj, "signatures", tuf_split_sigs(split));
	if (!c->whole)
		return FAULT(-ENOMEM);
	*ret = STEAL(c);
	return 0;
}

int
card_read(struct card **ret, const void *p, size_t len)
{
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	int r;

	r = tuf_split(&split, p, len, CARD_MAX, OPERAND);
	return FAULT(r ?: read_split(ret, &split, false));
}

int
card_read_draft(struct card **ret, const void *p, size_t len)
{
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	int r;

	r = tuf_split(&split, p, len, CARD_MAX, OPERAND);
	return FAULT(r ?: read_split(ret, &split, true));
}

int
card_read_parts(struct card **ret, const void *signed_bytes, size_t len, const json_t *signatures)
{
	SCOPED(tuf_split_done) struct tuf_split split = { 0 };
	int r;

	if (len > CARD_MAX)
		return REFUSE(REASON_TOO_LARGE, OPERAND, "over %d bytes", CARD_MAX);
	r = tuf_split_join(&split, signed_bytes, len, signatures, OPERAND);
	return FAULT(r ?: read_split(ret, &split, false));
}

/* --- fingerprints ------------------------------------------------------------------------------ */
int
card_fingerprint_parse(uint8_t ret[32], const char *text, const char *operand)
{
	static const char prefix[] = "sha256:";
	char digits[65];
	size_t n = 0;

	text += strspn(text, " ");
	if (strncasecmp(text, prefix, sizeof(prefix) - 1) == 0)
		text += sizeof(prefix) - 1;
	for (; *text; text++) {
		char c = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;

		if (strchr(" -:", c))
			continue;
		if (n == sizeof(digits) - 1)
			return REFUSE(REASON_USAGE, operand, "has more than 64 digits");
		digits[n++] = c;
	}
	digits[n] = '\0';
	if (!hex_decode(ret, 32, digits))
		return REFUSE(REASON_USAGE, operand,
			"must be a fingerprint: sha256: and 64 hexadecimal digits, in groups if you like");
	return 0;
}

char *
card_fingerprint_groups(char out[CARD_GROUPS_MAX], const uint8_t fingerprint[32])
{
	enum { GROUP = 4 }; /* bytes */

	for (size_t i = 0; i < 32; i += GROUP) {
		char *at = out + i / GROUP * (2 * GROUP + 1);

		hex_encode(at, fingerprint + i, GROUP);
		at[2 * GROUP] = i + GROUP < 32 ? ' ' : '\0';
	}
	return out;
}
