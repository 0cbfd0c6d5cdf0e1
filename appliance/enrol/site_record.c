#include "appliance/enrol/site_record.h"

#include <errno.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/trust/ed25519.h"
#include "appliance/trust/envelope.h"

#define OPERAND "site record"

enum { LABEL_MAX = 128 };

struct fields {
	uint64_t v, time_us;
	const char *site, *customer, *platform, *name, *engineer;
	uint8_t key[32];
	json_t *labels;
};

static const struct json_field table[] = {
	{ "v", JSON_KIND_U64, false, offsetof(struct fields, v), 1 },
	{ "site", JSON_KIND_TEXT, false, offsetof(struct fields, site), TOKEN_NAME_MAX - 1 },
	{ "customer", JSON_KIND_TEXT, false, offsetof(struct fields, customer),
		TOKEN_NAME_MAX - 1 },
	{ "key", JSON_KIND_KEY, false, offsetof(struct fields, key), 0 },
	{ "platform", JSON_KIND_TEXT, false, offsetof(struct fields, platform), 64 },
	{ "name", JSON_KIND_TEXT, false, offsetof(struct fields, name), SITE_RECORD_NAME_MAX - 1 },
	{ "labels", JSON_KIND_OBJECT, false, offsetof(struct fields, labels),
		SITE_RECORD_LABELS_MAX },
	{ "time", JSON_KIND_TIME, false, offsetof(struct fields, time_us), 0 },
	{ "engineer", JSON_KIND_TEXT, false, offsetof(struct fields, engineer),
		SITE_RECORD_NAME_MAX - 1 },
};

void
site_record_done(struct site_record *r)
{
	json_decref(r->labels);
	r->labels = NULL;
}

int
site_record_seal(json_t **ret, const struct site_record *rec, const struct sshkey_signer *signer)
{
	SCOPED_JSON *p = json_object();
	int r;

	if (!p ||
		json_object_set_new(p, "labels",
			rec->labels ? json_incref(rec->labels) : json_object()) < 0)
		return FAULT(-ENOMEM);
	r = json_put_u64(p, "v", 1);
	r = r ?: json_put_text(p, "site", rec->site);
	r = r ?: json_put_text(p, "customer", rec->customer);
	r = r ?: json_put_hex(p, "key", rec->key, sizeof(rec->key));
	r = r ?: json_put_text(p, "platform", rec->platform);
	r = r ?: json_put_text(p, "name", rec->name);
	r = r ?: json_put_time(p, "time", rec->time_us);
	r = r ?: json_put_text(p, "engineer", rec->engineer);
	return FAULT(r ?: envelope_seal_person(ret, MESSAGE_SITE, p, signer));
}

static int
check_labels(const json_t *labels)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)labels, name, value) {
		if (!json_is_string(value) || json_string_length(value) > LABEL_MAX ||
			strlen(name) > LABEL_MAX)
			return REFUSE(REASON_MALFORMED, OPERAND, "a label is no short text");
	}
	return 0;
}

int
site_record_verify(struct site_record *ret, const json_t *envelope, site_record_who_fn *who,
	void *arg)
{
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct site_record rec = { 0 };
	struct sshkey_public key;
	struct fields f = { 0 };
	int r;

	r = envelope_open_json(&e, MESSAGE_SITE, envelope);
	r = r ?: envelope_claimed_key(e, 0, &key);
	r = r ?: envelope_verify_person(e, &key);
	r = r ?: json_members(e->payload, table, ARRAY_LEN(table), &f, OPERAND);
	r = r ?: check_labels(f.labels);
	if (r)
		return FAULT(r);
	if (f.v != 1 || e->n_sigs != 1 || !token_name_ok(f.site) || !token_name_ok(f.customer))
		return REFUSE(REASON_MALFORMED, OPERAND,
			"not of version 1, signed by one engineer");
	r = ed25519_check_public(f.key, OPERAND);
	r = r ?: who(&key, f.engineer, f.customer, arg);
	if (r)
		return FAULT(r);
	memcpy(rec.site, f.site, strlen(f.site));
	memcpy(rec.customer, f.customer, strlen(f.customer));
	memcpy(rec.key, f.key, sizeof(rec.key));
	memcpy(rec.platform, f.platform, strlen(f.platform));
	memcpy(rec.name, f.name, strlen(f.name));
	memcpy(rec.engineer, f.engineer, strlen(f.engineer));
	rec.time_us = f.time_us;
	rec.labels = json_incref(f.labels);
	*ret = rec;
	return 0;
}

int
site_record_check(const struct site_record *rec, const char *site, const char *customer,
	const uint8_t key[32])
{
	if (strcmp(rec->site, site))
		return REFUSE(REASON_WRONG_ADDRESSEE, OPERAND, "is about site %s", rec->site);
	if (customer && strcmp(rec->customer, customer))
		return REFUSE(REASON_WRONG_ADDRESSEE, OPERAND, "is about customer %s",
			rec->customer);
	if (memcmp(rec->key, key, sizeof(rec->key)))
		return REFUSE(REASON_WRONG_ADDRESSEE, OPERAND, "is about another key of site %s",
			rec->site);
	return 0;
}
