/* A copy of the core's slots, as a disk or a careless hand left it: what is taken is sound, written again as it was read,
 * and every pick of it comes to an end with a core that is there. */
#include "appliance/supervise/slots.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"
#include "appliance/trust/sha256.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_picks(struct slots s)
{
	static const struct slots_package package = { "1.0", "f-1", "f-1,f-0" };
	struct slots_now now = { .ms = 1, .boot = "0" };

	for (unsigned i = 0; i <= SLOTS_TRIES_MAX + 1; i++) {
		enum slots_slot slot = SLOTS_NONE;

		now.boot[0]++; /* each is cut off by the next boot */
		(void)slots_pick(&s, &package, &now, &slot);
		if (!slots_sound(&s) || (slot != SLOTS_PACKAGED && slot != SLOTS_NONE && !slots_tree(&s, slot)) ||
			(slot == SLOTS_NONE && slots_accepts(package.accepts, s.format)))
			__builtin_trap();
		if (s.trial && slot != s.trial)
			__builtin_trap();
	}
	if (s.trial)
		__builtin_trap(); /* never tried for ever */
}

static void
try_bytes(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf again = BUF_MAX(SLOTS_BYTES_MAX);
	struct slots s;

	if (slots_parse(&s, data, size) != 0)
		return;
	if (slots_write(&again, &s) != 0 || again.len != size || memcmp(again.data, data, size) != 0)
		__builtin_trap();
	check_picks(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t whole[SLOTS_BYTES_MAX];

	log_quiet_refusals(true);
	try_bytes(data, size);
	/* No fuzzer finds the digest: put it there. */
	if (size + SHA256_LEN > sizeof(whole))
		return 0;
	memcpy(whole, data, size);
	sha256_of(whole + size, data, size);
	try_bytes(whole, size + SHA256_LEN);
	return 0;
}
