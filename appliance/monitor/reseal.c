#include "appliance/monitor/reseal.h"

#include <errno.h>
#include <string.h>

#include "appliance/base/fault.h"
#include "appliance/base/json.h"
#include "appliance/trust/envelope.h"
#include "remote/mailbox/mailbox_wire.h"

static bool
type_of(const json_t *doc, enum message *ret)
{
	static const struct {
		const char *word;
		enum message message;
	} kinds[] = { { "plan", MESSAGE_PLAN }, { "result", MESSAGE_RESULT }, { "progress", MESSAGE_PROGRESS },
		{ "permits", MESSAGE_PERMITS } };
	const char *kind = json_text(doc, "kind");

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kind, kinds[i].word) == 0) {
			*ret = kinds[i].message;
			return true;
		}
	return false;
}

static bool
has_signed(const struct envelope *e, const struct ed25519 *key)
{
	char keyid[ED25519_KEYID_MAX];

	ed25519_keyid_of(keyid, ed25519_public(key));
	for (size_t i = 0; i < e->n_sigs; i++)
		if (strcmp(e->sigs[i].keyid, keyid) == 0)
			return true;
	return false;
}

/* The first signature stays, those of keys in between go: two are enough however often the key changes. */
static int
sign(json_t *doc, const struct envelope *e, const struct ed25519 *key)
{
	json_t *envelope = json_object_get(doc, "envelope"), *sigs = json_object_get(envelope, "sigs");

	while (json_array_size(sigs) > 1)
		if (json_array_remove(sigs, json_array_size(sigs) - 1) < 0)
			return FAULT(-ENOMEM);
	return FAULT(envelope_cosign(envelope, e->type, e->payload, key));
}

int
reseal_answer(struct buf *out, const void *body, size_t len, void *arg)
{
	SCOPED_JSON *doc = NULL;
	SCOPED(envelope_freep) struct envelope *e = NULL;
	const struct ed25519 *key = arg;
	enum message type;
	int r;

	if (!key || len > MAILBOX_WIRE_RESULT_MAX)
		return 0;
	errno = 0;
	doc = json_load_whole(body, len, 0, NULL);
	if (!doc && errno == ENOMEM)
		return FAULT(-ENOMEM);
	if (!type_of(doc, &type))
		return 0;
	r = envelope_open_json(&e, type, json_object_get(doc, "envelope"));
	if (r || has_signed(e, key))
		return r < 0 ? FAULT(r) : 0;
	r = sign(doc, e, key);
	return FAULT(r ?: json_canonical(out, doc));
}
