/* json_read(), and that what it accepts has one canonical form that reads back as the same. */
#include <stdint.h>
#include <stdlib.h>

#include "appliance/base/buf.h"
#include "appliance/base/json.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf one = BUF_MAX(1 << 20), two = BUF_MAX(1 << 20);
	SCOPED_JSON *v = NULL, *again = NULL;

	log_quiet_refusals(true);
	if (json_read(&v, data, size, 65536, "fuzz") != 0 || json_canonical(&one, v) != 0)
		return 0;
	/* OLPC escapes no control characters, so its form of text with them is no JSON: only what reads is
	 * compared. */
	if (json_read(&again, one.data, one.len, 1 << 20, "fuzz") != 0)
		return 0;
	if (json_canonical(&two, again) != 0 || !json_is_canonical(again, one.data, one.len) ||
		one.len != two.len)
		abort();
	return 0;
}
