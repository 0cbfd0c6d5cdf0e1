/* Envelopes of every type; the first byte chooses it. */
#include "appliance/trust/envelope.h"

#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/trust/ed25519.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a daemon seals anew is opened and verified, and is the same payload. */
static void
seal(enum message type, const struct envelope *e)
{
	static const uint8_t seed[32] = { 1 };
	static struct ed25519 *daemon;
	SCOPED(envelope_freep) struct envelope *again = NULL;
	SCOPED_JSON *sealed = NULL;
	uint8_t digest[32];

	if (!daemon && ed25519_from_seed(&daemon, seed))
		__builtin_trap();
	if (envelope_seal(&sealed, type, e->payload, daemon))
		__builtin_trap();
	if (envelope_open_json(&again, type, sealed) ||
		envelope_verify_daemon(again, ed25519_public(daemon)) ||
		envelope_digest(digest, again->payload) ||
		memcmp(digest, e->sha256, sizeof(digest)) != 0)
		__builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = { 1 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct sshkey_public person;

	log_quiet_refusals(true);
	if (!size || envelope_open(&e, (enum message)(data[0] % MESSAGE_MAX), data + 1, size - 1))
		return 0;
	seal((enum message)(data[0] % MESSAGE_MAX), e);
	if (json_compare_canonical(e->payload, e->bytes, e->len) != 0 || !e->n_sigs)
		__builtin_trap();
	(void)envelope_verify_daemon(e, key);
	for (size_t i = 0; i < e->n_sigs; i++) {
		int claimed = envelope_claimed_message(e, i);

		if (claimed < 0 || claimed >= MESSAGE_MAX)
			__builtin_trap();
		if (!envelope_claimed_key(e, i, &person))
			(void)envelope_verify_person(e, &person);
	}
	return 0;
}
