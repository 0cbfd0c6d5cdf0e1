#include "appliance/tuf/people.h"

#include <errno.h>

#include "appliance/base/clock.h"
#include "appliance/base/fault.h"
#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"

enum { DAY_S = 24 * 3600 };

static const char operand[] = "people.json";
static const uint64_t life_us = PEOPLE_LIFE_MAX_DAYS * (uint64_t)DAY_S * CLOCK_US_PER_S;

struct people_officer {
	const char *name;
	uint8_t key[32];
};

struct people {
	json_t *doc;
	uint64_t version, expires_us;
	struct people_engineer *engineers;
	size_t n_engineers;
	struct people_officer *officers;
	size_t n_officers;
	struct sshkey_public *revoked;
	size_t n_revoked;
};

struct document {
	uint64_t v, version, expires_us;
	const json_t *engineers, *officers, *revoked;
};

static const struct json_field document_fields[] = {
	{"v",	       JSON_KIND_U64,   false, offsetof(struct document, v),	   1},
	{ "version",   JSON_KIND_U64,   false, offsetof(struct document, version),    0},
	{ "expires",   JSON_KIND_TIME,  false, offsetof(struct document, expires_us), 0},
	{ "engineers", JSON_KIND_ARRAY, false, offsetof(struct document, engineers),
		PEOPLE_ENGINEERS_MAX							  },
	{ "officers",  JSON_KIND_ARRAY, false, offsetof(struct document, officers),
		PEOPLE_LIST_MAX							       },
	{ "revoked",   JSON_KIND_ARRAY, false, offsetof(struct document, revoked),
		PEOPLE_REVOKED_MAX							    },
};

struct person {
	const char *name, *key;
	const json_t *roles, *customers;
	uint64_t not_before_us, not_after_us;
};

static const struct json_field person_fields[] = {
	{"name",	  JSON_KIND_TEXT,  false, offsetof(struct person, name),		PEOPLE_NAME_MAX},
	{ "key",	 JSON_KIND_TEXT,	 false, offsetof(struct person, key),	      SSHKEY_LINE_MAX},
	{ "roles",	   JSON_KIND_ARRAY, false, offsetof(struct person, roles),	   PEOPLE_LIST_MAX},
	{ "customers",  JSON_KIND_ARRAY, false, offsetof(struct person, customers),
		PEOPLE_LIST_MAX									       },
	{ "not_before", JSON_KIND_TIME,	false, offsetof(struct person, not_before_us), 0		 },
	{ "not_after",  JSON_KIND_TIME,  false, offsetof(struct person, not_after_us),  0	       },
};

struct officer {
	const char *name;
	uint8_t key[32];
};

static const struct json_field officer_fields[] = {
	{"name", JSON_KIND_TEXT, false, offsetof(struct officer, name), PEOPLE_NAME_MAX},
	{ "key", JSON_KIND_KEY,	false, offsetof(struct officer, key),  0		},
};

struct revocation {
	const char *key, *reason;
	uint64_t time_us;
};

static const struct json_field revocation_fields[] = {
	{"key",	 JSON_KIND_TEXT, false, offsetof(struct revocation, key),	  SSHKEY_LINE_MAX},
	{ "reason", JSON_KIND_TEXT, false, offsetof(struct revocation, reason),	512	    },
	{ "time",	  JSON_KIND_TIME, false, offsetof(struct revocation, time_us), 0		 },
};

static int
check_words(const json_t *list, const char *who)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));

		if (!word || !*word || strlen(word) > PEOPLE_NAME_MAX)
			return REFUSE(REASON_MALFORMED, operand,
				"engineer %s: a role or customer is no word", who);
	}
	return 0;
}

static int
read_engineer(struct people *p, const json_t *obj)
{
	struct people_engineer *e = &p->engineers[p->n_engineers];
	struct person one = { 0 };
	int r;

	r = json_members(obj, person_fields, ARRAY_LEN(person_fields), &one, operand);
	r = r ?: check_words(one.roles, one.name);
	r = r ?: check_words(one.customers, one.name);
	r = r ?: sshkey_parse(&e->key, one.key, operand);
	if (r)
		return r;
	/* Two engineers with one name or one key could not be told apart afterwards. */
	for (size_t i = 0; i < p->n_engineers; i++) {
		if (!strcmp(p->engineers[i].name, one.name) ||
			sshkey_same(&p->engineers[i].key, &e->key))
			return REFUSE(REASON_MALFORMED, operand,
				"engineer %s: the name or the key comes twice", one.name);
	}
	e->name = one.name;
	e->roles = one.roles;
	e->customers = one.customers;
	e->not_before_us = one.not_before_us;
	e->not_after_us = one.not_after_us;
	p->n_engineers++;
	return 0;
}

static int
check_own(const struct people *p, const uint8_t key[32], const char *whose)
{
	for (size_t i = 0; i < p->n_engineers; i++) {
		const struct people_engineer *e = &p->engineers[i];

		if (e->key.raw_len == 32 && !memcmp(e->key.raw, key, 32))
			return REFUSE(REASON_CONFLICT, operand,
				"engineer %s has the key of %s: give the engineer a key of their own",
				e->name, whose);
	}
	return 0;
}

static int
read_officer(struct people *p, const json_t *obj)
{
	struct people_officer *o = &p->officers[p->n_officers];
	struct officer one = { 0 };
	int r = json_members(obj, officer_fields, ARRAY_LEN(officer_fields), &one, operand);

	if (r)
		return r;
	for (size_t i = 0; i < p->n_officers; i++) {
		if (!strcmp(p->officers[i].name, one.name) ||
			!memcmp(p->officers[i].key, one.key, sizeof(one.key)))
			return REFUSE(REASON_MALFORMED, operand,
				"officer %s: the name or the key comes twice", one.name);
	}
	memcpy(o->key, one.key, sizeof(o->key));
	o->name = one.name;
	p->n_officers++;
	/* Who says what engineers may do is none: one stolen key would be both. */
	return check_own(p, o->key, one.name);
}

static int
read_lists(struct people *p, const struct document *d)
{
	int r = 0;

	p->engineers = calloc(json_array_size(d->engineers) + 1, sizeof(*p->engineers));
	p->revoked = calloc(json_array_size(d->revoked) + 1, sizeof(*p->revoked));
	p->officers = calloc(json_array_size(d->officers) + 1, sizeof(*p->officers));
	if (!p->engineers || !p->revoked || !p->officers)
		return FAULT(-ENOMEM);
	for (size_t i = 0; !r && i < json_array_size(d->engineers); i++)
		r = read_engineer(p, json_array_get(d->engineers, i));
	for (size_t i = 0; !r && i < json_array_size(d->officers); i++)
		r = read_officer(p, json_array_get(d->officers, i));
	for (size_t i = 0; !r && i < json_array_size(d->revoked); i++) {
		struct revocation one = { 0 };

		r = json_members(json_array_get(d->revoked, i), revocation_fields,
			ARRAY_LEN(revocation_fields), &one, operand);
		r = r ?: sshkey_parse(&p->revoked[p->n_revoked], one.key, operand);
		p->n_revoked += !r;
	}
	return r;
}

int
people_read(struct people **ret, const void *p, size_t len)
{
	SCOPED(people_freep) struct people *people = calloc(1, sizeof(*people));
	struct document d = { 0 };
	int r;

	if (!people)
		return FAULT(-ENOMEM);
	r = json_read(&people->doc, p, len, PEOPLE_BYTES_MAX, operand);
	r = r
		?: json_members(
			   people->doc, document_fields, ARRAY_LEN(document_fields), &d, operand);
	if (r)
		return r;
	if (d.v != 1 || d.version < 1)
		return REFUSE(REASON_MALFORMED, operand, "v must be 1 and version at least 1");
	people->version = d.version;
	people->expires_us = d.expires_us;
	r = read_lists(people, &d);
	if (r)
		return r;
	*ret = STEAL(people);
	return 0;
}

struct people *
people_free(struct people *p)
{
	if (!p)
		return NULL;
	json_decref(p->doc);
	free(p->engineers);
	free(p->officers);
	free(p->revoked);
	free(p);
	return NULL;
}

uint64_t
people_version(const struct people *p)
{
	return p->version;
}

uint64_t
people_expires_us(const struct people *p)
{
	return p->expires_us;
}

size_t
people_engineers(const struct people *p)
{
	return p->n_engineers;
}

const struct people_engineer *
people_engineer_at(const struct people *p, size_t i)
{
	return i < p->n_engineers ? &p->engineers[i] : NULL;
}

uint64_t
people_since_us(const struct people *p)
{
	return p->expires_us > life_us ? p->expires_us - life_us : 0;
}

bool
people_stale(const struct people *p, uint64_t now_us)
{
	return now_us >= p->expires_us;
}

int
people_check_life(const struct people *p, uint64_t now_us)
{
	char text[CLOCK_TEXT_MAX];

	if (p->expires_us > now_us + life_us + CLOCK_US_PER_S * DAY_S)
		return REFUSE(REASON_MALFORMED, operand,
			"version %llu ends %s, in more than %d days: officers sign a shorter one",
			(unsigned long long)p->version, clock_format_s(text, p->expires_us),
			PEOPLE_LIFE_MAX_DAYS);
	return 0;
}

int
people_check_keys(const struct people *p, const json_t *keys)
{
	const char *id;
	json_t *key, *obj;
	int r = 0;

	memcpy(&obj, &keys, sizeof(obj)); /* jansson's iterator takes no const object */
	json_object_foreach(obj, id, key) {
		const json_t *value = json_object_get(key, "keyval");
		uint8_t raw[32];

		(void)id;
		if (!r && !strcmp(json_text(key, "keytype"), "ed25519") &&
			hex_decode(raw, sizeof(raw), json_text(value, "public")))
			r = check_own(p, raw, "the repository");
	}
	return r;
}

static bool
is_revoked(const struct people *p, const struct sshkey_public *key)
{
	for (size_t i = 0; i < p->n_revoked; i++)
		if (sshkey_same(&p->revoked[i], key))
			return true;
	return false;
}

int
people_check_next(const struct people *p, const struct people *next)
{
	for (size_t i = 0; i < next->n_engineers; i++) {
		const struct people_engineer *e = &next->engineers[i];

		if (is_revoked(p, &e->key) && !is_revoked(next, &e->key))
			return REFUSE(REASON_CONFLICT, operand,
				"engineer %s has a key that was revoked: give them another one", e->name);
	}
	return 0;
}

static bool
has_word(const json_t *list, const char *word, bool star)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *one = json_string_value(json_array_get(list, i));

		if (!strcmp(one, word) || (star && !strcmp(one, "*")))
			return true;
	}
	return false;
}

static int
check_engineer(const struct people_engineer *e, const char *role, const char *customer,
	uint64_t now_us)
{
	char text[CLOCK_TEXT_MAX];

	if (!has_word(e->roles, role, false))
		return REFUSE(REASON_WRONG_ROLE, e->name, "has not the role %s", role);
	if (customer && !has_word(e->customers, customer, true))
		return REFUSE(REASON_WRONG_ROLE, e->name, "is not for customer %s", customer);
	if (now_us < e->not_before_us)
		return REFUSE(REASON_NOT_YET_VALID, e->name, "the key is valid from %s",
			clock_format(text, e->not_before_us));
	if (now_us >= e->not_after_us)
		return REFUSE(REASON_EXPIRED, e->name, "the key was valid until %s",
			clock_format(text, e->not_after_us));
	return 0;
}

int
people_engineer_listed(const struct people *p, const struct sshkey_public *key, const char *role,
	const char *customer, uint64_t now_us, const struct people_engineer **ret)
{
	const struct people_engineer *e;
	int r;

	if (is_revoked(p, key))
		return REFUSE(REASON_REVOKED, key->keyid, "this key is revoked");
	e = people_engineer_by_keyid(p, key->keyid);
	if (!e)
		return REFUSE(REASON_UNKNOWN_KEY, key->keyid, "no engineer has this key");
	r = check_engineer(e, role, customer, now_us);
	if (r)
		return r;
	*ret = e;
	return 0;
}

int
people_engineer_by_key(const struct people *p, const struct sshkey_public *key, const char *role,
	const char *customer, uint64_t now_us, const struct people_engineer **ret)
{
	const struct people_engineer *e;
	char text[CLOCK_TEXT_MAX];
	int r = people_engineer_listed(p, key, role, customer, now_us, &e);

	if (r)
		return r;
	if (people_stale(p, now_us))
		return REFUSE(REASON_STALE_PEOPLE, operand,
			"version %llu expired %s; officers renew it: mainstay-release people sign",
			(unsigned long long)p->version, clock_format_s(text, p->expires_us));
	*ret = e;
	return 0;
}

const struct people_engineer *
people_engineer_by_keyid(const struct people *p, const char *keyid)
{
	for (size_t i = 0; i < p->n_engineers; i++) {
		if (!strcmp(p->engineers[i].key.keyid, keyid))
			return &p->engineers[i];
	}
	return NULL;
}
