/* run/supervise/roster: what parses is written and parsed again as the same. */
#include "appliance/service/roster.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/buf.h"
#include "appliance/base/log.h"
#include "appliance/base/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SCOPED(buf_done) struct buf first = BUF_MAX(2 * ROSTER_BYTES_MAX), second = BUF_MAX(2 * ROSTER_BYTES_MAX);
	static struct roster r, again; /* large */

	log_quiet_refusals(true);
	if (roster_parse(&r, data, size, "BOOT") != 0) {
		if (r.n != 0)
			abort();
		return 0;
	}
	for (size_t i = 0; i < r.n; i++) {
		if (!roster_find(&r, r.entries[i].role, r.entries[i].id))
			abort();
	}
	if (roster_text(&first, &r, "BOOT") != 0 || roster_parse(&again, first.data, first.len, "BOOT") != 0 ||
		roster_text(&second, &again, "BOOT") != 0)
		abort();
	if (r.n != again.n || first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
		abort();
	return 0;
}
