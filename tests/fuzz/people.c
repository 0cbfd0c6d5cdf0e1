/* people.json: whoever stands there is found by name, and a key acts as the engineer whose key it is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/hex.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/refuse.h"
#include "appliance/tuf/people.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nobody who signs releases is an engineer. */
static void
check_keys(const struct people *p)
{
	for (size_t i = 0; i < people_engineers(p); i++) {
		const struct sshkey_public *key = &people_engineer_at(p, i)->key;
		char hex[2 * sizeof(key->raw) + 1];
		SCOPED_JSON *keys = json_pack("{s:{s:s, s:{s:s}}}", "id", "keytype", "ed25519",
			"keyval", "public", hex_encode(hex, key->raw, key->raw_len));

		if (people_check_keys(p, keys) !=
			(key->kind == SSHKEY_ED25519 ? (int)REASON_CONFLICT : 0))
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(people_freep) struct people *p = NULL;

	log_quiet_refusals(true);
	if (people_read(&p, data, size) != 0)
		return 0;
	(void)people_check_life(p, people_since_us(p));
	(void)people_stale(p, people_expires_us(p));
	if (people_version(p) == 0)
		abort();
	/* Whom it revokes, it revokes after itself. */
	if (people_check_next(p, p) != 0)
		abort();
	check_keys(p);
	for (size_t i = 0; i < people_engineers(p); i++) {
		const struct people_engineer *e = people_engineer_at(p, i), *found = NULL;
		int r = people_engineer_by_key(p, &e->key, "support", "acme",
			people_expires_us(p) / 2, &found);

		if (r == 0 && (!found || !sshkey_same(&found->key, &e->key)))
			abort();
	}
	return 0;
}
