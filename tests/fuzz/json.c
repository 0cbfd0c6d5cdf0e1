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
	if (json_read_canonical(&again, one.data, one.len, one.max, "fuzz") != 0)
		abort();
	if (!json_equal(v, again) || json_canonical(&two, again) != 0 || one.len != two.len)
		abort();
	return 0;
}
