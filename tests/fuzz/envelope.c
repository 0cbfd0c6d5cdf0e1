/* Envelopes of every type; the first byte chooses it. */
#include "appliance/trust/envelope.h"

#include "appliance/base/json.h"
#include "appliance/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = { 1 };
	SCOPED(envelope_freep) struct envelope *e = NULL;
	struct sshkey_public person;

	log_quiet_refusals(true);
	if (!size || envelope_open(&e, (enum message)(data[0] % MESSAGE_MAX), data + 1, size - 1))
		return 0;
	if (!json_is_canonical(e->payload, e->bytes, e->len) || !e->n_sigs)
		__builtin_trap();
	(void)envelope_verify_daemon(e, key);
	for (size_t i = 0; i < e->n_sigs; i++) {
		if (!envelope_claimed_key(e, i, &person))
			(void)envelope_verify_person(e, &person);
	}
	return 0;
}
